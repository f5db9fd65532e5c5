"""Workload W(N) of the benchmarks on Python's dictrack 2.1.5: prints N and milliseconds a document.

Run by `cargo bench --bench redis -- rival`, in a virtual environment that has dictrack 2.1.5.
"""

import sys
import time

from dictrack.conditions.keys import KeyValueEQ, KeyValueGE
from dictrack.data_caches.redis import RedisDataCache
from dictrack.data_stores.mongodb import MongoDBDataStore
from dictrack.manager import TrackingManager
from dictrack.trackers.numerics.accumulation import AccumulationTracker
from dictrack.trackers.numerics.count import CountTracker

FAR = 100_000_000_000


def trackers(n):
    for at in range(n):
        conditions = [
            KeyValueEQ(key="game", value="abc"[at % 3]),
            KeyValueGE(key="bet", value=100 + 10 * ((at // 3) % 41)),
        ]
        if at % 2 == 0:
            yield CountTracker(name=f"t{at}", target=FAR, conditions=conditions)
        else:
            yield AccumulationTracker(name=f"t{at}", target=FAR, key="bet", conditions=conditions)


def main():
    redis_port, mongo_port = int(sys.argv[1]), int(sys.argv[2])
    state = 7
    for n in map(int, sys.argv[3:]):
        cache = RedisDataCache(host="127.0.0.1", port=redis_port, db=0)
        store = MongoDBDataStore(host="127.0.0.1", port=mongo_port, database=f"rival{n}")
        manager = TrackingManager(data_cache=cache, data_store=store)
        group = f"rival{n}"
        for tracker in trackers(n):
            manager.add_tracker(group_id=group, tracker=tracker)
        calls = {1: 200, 100: 60}.get(n, 15)
        manager.track(group_id=group, data={"game": "a", "bet": 100})
        start = time.perf_counter()
        for _ in range(calls):
            state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
            draw = state >> 33
            manager.track(group_id=group, data={"game": "abc"[draw % 3], "bet": 100 + draw // 3 % 401})
        print(n, (time.perf_counter() - start) / calls * 1000, flush=True)


main()
