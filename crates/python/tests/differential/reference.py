"""Runs cases on Python's dictrack 2.1.5: a line of JSON in, a line of JSON out. Started by that package's interpreter.

The memory cache of 2.1.5 raises on the first document that matches, since it sets the property ``dirtied``, which has
no setter. It gets one here. Nothing else is changed; the clock is that of the case.
"""

from __future__ import annotations

import json
import logging
import sys
from typing import Any

import build

from dictrack.data_caches.memory import MemoryDataCache
from dictrack.data_stores.base import BaseDataStore
from dictrack.events import EVENT_ALL
from dictrack.limiters import time as limiters_time
from dictrack.manager import TrackingManager
from dictrack.trackers.base import BaseTracker

GROUP = "group"


class Clock:
    """What ``time`` is to the limiters."""

    now = 0

    def time(self) -> int:
        return self.now


class NoScheduler:
    """Writes nothing and expires nothing in the background."""

    def add_job(self, *_: Any) -> None:
        pass

    def start(self) -> None:
        pass


class Store(BaseDataStore):
    """Keeps one group in memory as the stores of 2.1.5 keep it: pickled."""

    def __init__(self) -> None:
        super().__init__(NoScheduler)
        self.kept: dict[str, bytes] = {}

    def store(self, group_id: str, tracker: Any, expire: Any = None, expire_at: Any = None, **_: Any) -> None:
        self.kept[tracker.name] = BaseTracker.serialize(tracker)

    def store_all(self, group_id: str, trackers: Any, expire: Any = None, expire_at: Any = None, **_: Any) -> None:
        for tracker in trackers:
            self.store(group_id, tracker)

    def load(self, group_id: str, name: Any = None, **_: Any) -> tuple[bool, list[Any]]:
        names = [name] if isinstance(name, str) else name
        found = [kept for known, kept in self.kept.items() if names is None or known in names]
        return True, BaseTracker.deserialize_list(found)

    def remove(self, group_id: str, name: str | None = None, **_: Any) -> None:
        self.kept.pop(name or "", None)

    def flush(self) -> None:
        self.kept.clear()

    def _check_expire(self) -> None:
        pass


class Run:
    """One case."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.cache = MemoryDataCache(NoScheduler)
        self.manager = TrackingManager(self.cache, Store())
        self.events: list[Any] = []
        self.specs: dict[str, Any] = {}
        self.added: dict[str, Any] = {}
        for code in EVENT_ALL:
            self.manager.add_listener(
                code, lambda event: self.events.append(build.event(event, lambda event: event.limiter.position))
            )

    def step(self, step: dict[str, Any]) -> dict[str, Any]:
        self.clock.now = step["now"]
        self.events.clear()
        done: dict[str, Any] = {"raised": None}
        try:
            # Before it is done: the orders that it meets.
            if step["do"] == "track":
                done["orders"] = self.orders()
            elif step["do"] == "reset":
                # A reset works on a copy, the sets of which may have other orders.
                done["orders"] = {one.name: self.order(one) for one in self.manager.get_trackers(GROUP, [step["name"]])}
            getattr(self, step["do"])(step, done)
        except Exception as error:
            done["raised"] = type(error).__name__
            if step["do"] == "track":
                done |= {"dirtied": [], "completed": [], "limited": []}
        done["events"] = list(self.events)
        return done

    def orders(self) -> dict[str, Any]:
        """The orders in which the conditions and limiters of each tracker are asked: those of sets."""
        if not self.cache.is_cached(GROUP):
            # As `track` does it first.
            self.cache.cache_all(GROUP, self.manager.data_store.load(GROUP)[1])
        return {tracker.name: self.order(tracker) for tracker in self.manager.get_trackers(GROUP)}

    def order(self, tracker: Any) -> list[list[int]]:
        conditions = [_look(build.condition(spec)) for spec in self.specs[tracker.name]["conditions"]]
        return [
            [conditions.index(_look(condition)) for condition in tracker.conditions],
            [limiter.position for limiter in tracker.limiters],
        ]

    def add(self, step: dict[str, Any], done: dict[str, Any]) -> None:
        spec = step["spec"]
        tracker = self.added[spec["name"]] if step["again"] else build.tracker(spec)
        # What is left of the caller's own object.
        done["targets"] = list(spec["target"]) if isinstance(spec["target"], list) else spec["target"]
        self.manager.add_tracker(GROUP, tracker)
        self.specs[spec["name"]] = spec
        self.added[spec["name"]] = tracker

    def track(self, step: dict[str, Any], done: dict[str, Any]) -> None:
        _, dirtied, completed, limited = self.manager.track(GROUP, build.document(step["data"]), now_ts=step["now"])
        done["dirtied"] = [build.described(tracker, _limiters(tracker)) for tracker in dirtied]
        done["completed"] = [tracker.name for tracker in completed]
        done["limited"] = [tracker.name for tracker in limited]

    def reset(self, step: dict[str, Any], done: dict[str, Any]) -> None:
        options = {"reset_" + name: step[name] for name in ("count", "seconds") if step[name] is not None}
        done["found"] = None
        done["found"] = self.manager.reset_tracker(
            GROUP, step["name"], reset_policy=step["policy"], now_ts=step["now"], **options
        )

    def show(self, step: dict[str, Any], done: dict[str, Any]) -> None:
        trackers = self.manager.get_trackers(GROUP)
        done["trackers"] = [build.described(tracker, _limiters(tracker)) for tracker in trackers]
        # What of it there is besides: of trackers that completed nothing.
        active = {tracker.name for tracker in trackers}
        done["kept"] = [name for name in self.manager.data_store.kept if name not in active]


def _limiters(tracker: Any) -> list[tuple[int, Any]]:
    return [(limiter.position, limiter) for limiter in tracker.limiters]


def _look(condition: Any) -> tuple[Any, ...]:
    """What tells conditions apart that 2.1.5 takes for equal."""
    parts = (getattr(condition, name, None) for name in ("key", "value", "op", "_case_sensitive"))
    return type(condition).__name__, *map(repr, parts)


def main() -> None:
    logging.disable()
    clock = Clock()
    limiters_time.time = clock
    if "--unpatched" not in sys.argv:
        BaseTracker.dirtied = BaseTracker.dirtied.setter(lambda tracker, value: setattr(tracker, "_dirtied", value))
    for line in sys.stdin:
        run = Run(clock)
        print(json.dumps([run.step(step) for step in json.loads(line)]), flush=True)


if __name__ == "__main__":
    main()
