"""W(N) on Python's dictrack 2.1.5 in memory: reads lines with N and a number of calls, prints microseconds per call.

Its memory cache raises at the first document that matches, since it sets an attribute that has no setter. With a setter,
which is the only correction made here, it works."""

import sys
import time

from workload import documents, trackers

from dictrack.data_caches.memory import MemoryDataCache
from dictrack.data_stores.base import BaseDataStore
from dictrack.manager import TrackingManager
from dictrack.trackers.base import BaseTracker

BaseTracker.dirtied = BaseTracker.dirtied.setter(lambda tracker, dirtied: setattr(tracker, "_dirtied", dirtied))


class NoStore(BaseDataStore):
    def store(self, group_id, tracker, **kwargs):
        self.data_cache.cache(group_id, tracker)

    def store_all(self, group_id, trackers, **kwargs):
        for tracker in trackers:
            self.store(group_id, tracker)

    def load(self, group_id, name=None, **kwargs):
        return True, []

    def remove(self, group_id, name=None, **kwargs):
        pass

    def flush(self):
        pass

    def _check_expire(self):
        pass


def main():
    managers = {}
    for line in sys.stdin:
        n, calls = map(int, line.split())
        if n not in managers:
            managers[n] = TrackingManager(data_cache=MemoryDataCache(), data_store=NoStore())
            managers[n].add_trackers(group_id="g", trackers=trackers(n))
        track, given = managers[n].track, documents(calls)
        start = time.perf_counter()
        for document in given:
            track(group_id="g", data=document)
        print((time.perf_counter() - start) / calls * 1e6, flush=True)


main()
