"""What a hit costs with limits that renew themselves, compared with the package `limits` in memory, all in one run.

    .servers/python/bin/python crates/python/benches/rate_limits.py

Both answer whether a request is admitted. Groups have their tracker before the measurement starts; `track(ensure=...)` makes sure
of that with each request. Figures are the medians of the rounds, ratios those of the medians.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable

from limits import RateLimitItemPerHour
from limits.storage import MemoryStorage
from limits.strategies import (
    FixedWindowRateLimiter,
    MovingWindowRateLimiter,
    RateLimiter,
    SlidingWindowCounterRateLimiter,
)

import dictrack as dt

COUNT = 100
ROUNDS = 9
CALLS = 20_000
MANY = 10_000
REQUEST = {"path": "/orders"}
# Our limiter, the strategy of `limits`, and how many times as fast ours should be.
RIVALS: tuple[tuple[str, Callable[[], dt.CountLimiter], type[RateLimiter], int], ...] = (
    ("per", lambda: dt.CountLimiter(COUNT, per="hour"), FixedWindowRateLimiter, 3),
    ("within", lambda: dt.CountLimiter(COUNT, within="1 hour"), MovingWindowRateLimiter, 5),
    ("burst", lambda: dt.CountLimiter(COUNT, per="hour", burst=COUNT), SlidingWindowCounterRateLimiter, 5),
)


class Ours:
    """A tracker for each group."""

    def __init__(self, limiter: Callable[[], dt.CountLimiter], groups: list[str]) -> None:
        self.tracker = dt.CountTracker("requests", target=10**12, limiters=[limiter()])
        self.manager = dt.TrackingManager()
        for group in groups:
            self.manager.ensure_tracker(group, self.tracker)

    def hits(self, groups: list[str]) -> list[bool]:
        track = self.manager.track
        return [not track(group, REQUEST).refused for group in groups]

    def renew(self, group: str) -> None:
        self.manager.reset_tracker(group, "requests")

    def settle(self) -> None:
        pass


class Ensured(Ours):
    """The same, for a program that does not know whether a group has its tracker."""

    def hits(self, groups: list[str]) -> list[bool]:
        track, trackers = self.manager.track, self.manager.tracker_list([self.tracker])
        return [not track(group, REQUEST, ensure=trackers).refused for group in groups]


class Theirs:
    """A key for each group."""

    def __init__(self, strategy: type[RateLimiter]) -> None:
        self.storage = MemoryStorage()
        self.limiter = strategy(self.storage)
        self.item = RateLimitItemPerHour(COUNT)

    def hits(self, groups: list[str]) -> list[bool]:
        hit, item = self.limiter.hit, self.item
        return [hit(item, group) for group in groups]

    def renew(self, group: str) -> None:
        self.limiter.clear(self.item, group)

    def settle(self) -> None:
        """Waits for the thread that looks for expired keys after a hit, so that it does not disturb what follows."""
        self.storage.timer.join()


Side = Ours | Theirs


def timed(side: Side, groups: list[str], answer: bool) -> float:
    """Seconds for a hit of each of the groups, which must all have this answer."""
    start = time.perf_counter()
    answers = side.hits(groups)
    spent = time.perf_counter() - start
    assert answers == [answer] * len(groups)
    return spent


def admitted(side: Side, groups: list[str]) -> float:
    """Microseconds per hit. A single group is renewed after as many as it may have."""
    spent = 0.0
    for at in range(0, CALLS, COUNT):
        spent += timed(side, [groups[index % len(groups)] for index in range(at, at + COUNT)], True)
        if len(groups) == 1:
            side.renew(groups[0])
    side.settle()
    return spent / CALLS * 1e6


def refused(side: Side, groups: list[str]) -> float:
    """Microseconds per hit of a group that has used up its limit."""
    side.hits(groups * COUNT)
    spent = timed(side, groups * CALLS, False)
    side.renew(groups[0])
    side.settle()
    return spent / CALLS * 1e6


def compare(name: str, limiter: Callable[[], dt.CountLimiter], strategy: type[RateLimiter], goal: int) -> None:
    # All hits are within the limit.
    assert ROUNDS * CALLS <= MANY * COUNT
    for measure, count in ((admitted, 1), (admitted, MANY), (refused, 1)):
        groups = [f"user_{at}" for at in range(count)]
        sides = (Ours(limiter, groups), Ensured(limiter, groups), Theirs(strategy))
        rounds = [[measure(side, groups) for side in sides] for _ in range(ROUNDS)]
        mine, both, other = map(statistics.median, zip(*rounds))
        verdict = f"goal {goal}: {'ok' if other >= goal * mine else 'MISSED'}"
        print(
            f"{name:>6} {count:>7,} {measure.__name__:>9} {mine:>7.2f} µs {both:>19.2f} µs {other:>7.2f} µs "
            f"{other / mine:>14.1f} x {other / both:>6.2f} x   {verdict}"
        )
        for ours in sides[:2]:
            ours.manager.close()


if __name__ == "__main__":
    print(f"100 an hour; load {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors")
    print("limit   groups        is      track         track(ensure=)     limits   limits / track   / ensure=")
    for rival in RIVALS:
        compare(*rival)
