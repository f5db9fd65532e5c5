"""The cost of `track` and `track_many` from Python, compared with a loop by hand and Python's dictrack 2.1.5, all in one run.

    .servers/python/bin/python crates/python/benches/track.py            # in memory
    .servers/python/bin/python crates/python/benches/track.py redis      # one Redis and one MongoDB, started here

`scripts/setup tests` makes both environments. Figures are the median of the rounds, ratios those of the medians.
"""

from __future__ import annotations

import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[2]
sys.path[:0] = [str(HERE), str(HERE.parent / "tests")]

import redis  # noqa: E402
from servers import started_mongod, started_redis  # noqa: E402
from workload import documents, threshold, trackers  # noqa: E402

import dictrack as dt  # noqa: E402

RIVAL = ROOT / ".servers/python-2.1.5/bin/python"
ROUNDS = 9
# N, our calls per round, calls of 2.1.5 per round, and how many times as fast ours should be.
MEMORY = ((1, 20_000, 2_000, 15), (100, 20_000, 60, 300), (1000, 10_000, 10, 2000))
REDIS = ((1, 1_000, 200, 15), (100, 1_000, 60, 80), (1000, 500, 15, None))


class ByHand:
    """A loop written by hand: one dict per tracker, evaluated one after another."""

    def __init__(self, n: int) -> None:
        self.counters = [
            {"game": "abc"[at % 3], "least": threshold(at), "sums": at % 2 == 1, "progress": 0, "target": 10**11}
            for at in range(n)
        ]

    def track(self, _: str, document: dict[str, Any]) -> list[dict[str, Any]]:
        touched = []
        for counter in self.counters:
            if document["game"] == counter["game"] and document["bet"] >= counter["least"]:
                counter["progress"] += document["bet"] if counter["sums"] else 1
                if counter["progress"] >= counter["target"]:
                    print("completed")
                touched.append(counter)
        return touched


def timed(track: Callable[..., Any], calls: int) -> float:
    """Microseconds per call."""
    given = documents(calls)
    start = time.perf_counter()
    for document in given:
        track("g", document)
    return (time.perf_counter() - start) / calls * 1e6


def unpacked(manager: dt.TrackingManager) -> Callable[[str, Any], Any]:
    """Calls `track` like a program."""

    def track(group: str, document: Any) -> Any:
        is_ok, dirtied, completed, limited = manager.track(group_id=group, data=document)
        return dirtied

    return track


def of_many(manager: dt.TrackingManager, calls: int) -> float:
    """Microseconds per document in batches of 1,000, whose outcomes nobody looks at."""
    given = [[("g", document) for document in documents(calls)[at : at + 1_000]] for at in range(0, calls, 1_000)]
    start = time.perf_counter()
    for items in given:
        assert len(manager.track_many(items)) == 1_000
    return (time.perf_counter() - start) / calls * 1e6


def batches() -> None:
    print(f"\n{'W(N)':>6} {'track':>10} {'ensure=':>10} {'track_many':>12} {'by hand':>10}   / track   by hand /")
    for n in (1, 10, 100):
        manager, hand = dt.TrackingManager(), ByHand(n)
        ensured = manager.tracker_list(trackers(n))
        times: dict[str, list[float]] = {"track": [], "ensure": [], "many": [], "hand": []}
        for _ in range(ROUNDS):
            times["ensure"].append(timed(lambda group, data: manager.track(group, data, ensure=ensured), 20_000))
            times["track"].append(timed(lambda group, data: manager.track(group, data), 20_000))
            times["many"].append(of_many(manager, 20_000))
            times["hand"].append(timed(hand.track, 20_000 // n))
        track, ensure, many, loop = (statistics.median(values) for values in times.values())
        ratios = f"{many / track:7.2f}   {loop / many:9.2f}   goals: 0.5 {'ok' if many <= track / 2 else 'MISSED'}"
        goals = f", ahead at 10 {'ok' if n != 10 or many <= loop else 'MISSED'}, ensure {(ensure - track) * 1e3:.0f} ns (100)"
        print(f"{n:>6} {track:>7.2f} µs {ensure:>7.2f} µs {many:>9.2f} µs {loop:>7.2f} µs {ratios}{goals}")
        manager.close()


def verdict(times: float, goal: int | None) -> str:
    return "" if goal is None else f"goal {goal}: {'ok' if times >= goal else 'MISSED'}"


def in_memory() -> None:
    rival = subprocess.Popen([RIVAL, HERE / "rival.py"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert rival.stdin is not None and rival.stdout is not None
    print(f"{'W(N)':>6} {'track':>10} {'by hand':>10} {'2.1.5':>12}   beside by hand   beside 2.1.5")
    for n, calls, rival_calls, goal in MEMORY:
        manager, hand = dt.TrackingManager(), ByHand(n)
        manager.add_trackers("g", trackers(n))
        track = unpacked(manager)
        ours, by_hand, theirs = [], [], []
        for _ in range(ROUNDS):
            ours.append(timed(track, calls))
            by_hand.append(timed(hand.track, max(calls // n, 100)))
            rival.stdin.write(f"{n} {rival_calls}\n")
            rival.stdin.flush()
            theirs.append(float(rival.stdout.readline()))
        mine, loop, other = map(statistics.median, (ours, by_hand, theirs))
        times = f"{loop / mine:9.1f} x   {other / mine:12.0f} x   {verdict(other / mine, goal)}"
        print(f"{n:>6} {mine:>7.2f} µs {loop:>7.2f} µs {other:>9.1f} µs   {times}")
        manager.close()
    rival.stdin.close()
    rival.kill()
    batches()


def through_redis() -> None:
    with tempfile.TemporaryDirectory() as place, started_redis(place) as redis_port, started_mongod(place) as mongod:
        bare = redis.Redis(port=redis_port)
        script = bare.script_load("redis.call('HSET', KEYS[1], 'field', ARGV[1]) return 1")
        print(
            "track beside one EVALSHA of as many bytes through redis-py, which it may exceed by 10 µs, and beside 2.1.5"
        )
        print(
            f"{'W(N)':>6} {'bytes':>6} {'EVALSHA':>10} {'track':>10} {'more':>10} {'unpacked':>10} {'2.1.5':>12}   beside 2.1.5"
        )
        for n, calls, _, goal in REDIS:
            command = [RIVAL, ROOT / "crates/dictrack/benches/rival.py", str(redis_port), str(mongod), str(n)]
            rival = subprocess.run(command, capture_output=True, text=True, check=True)
            other = float(rival.stdout.split()[1]) * 1000
            cache = dt.RedisDataCache(host="127.0.0.1", port=redis_port)
            store = dt.MongoDBDataStore(host="127.0.0.1", port=mongod, database=f"ours{n}")
            with dt.TrackingManager(cache, store) as manager:
                manager.add_trackers("g", trackers(n))
                sent = bare.info("stats")["total_net_input_bytes"]
                timed(manager.track, calls)
                size = (bare.info("stats")["total_net_input_bytes"] - sent) // calls
                value = "x" * max(size - 100, 1)
                times: dict[str, list[float]] = {"bare": [], "track": [], "unpacked": []}
                for _ in range(ROUNDS):
                    times["bare"].append(timed(lambda *_: bare.evalsha(script, 1, "bare", value), calls))
                    times["track"].append(timed(manager.track, calls))
                    times["unpacked"].append(timed(unpacked(manager), calls))
            call, mine, program = (statistics.median(values) for values in times.values())
            more = statistics.median(track - bare for bare, track in zip(times["bare"], times["track"]))
            verdicts = f"{'ok' if more <= 10 else 'MISSED'}, {verdict(other / program, goal)}"
            ours = f"{size:>6} {call:>7.1f} µs {mine:>7.1f} µs {more:>7.1f} µs {program:>7.1f} µs"
            print(f"{n:>6} {ours} {other:>9.0f} µs   {other / program:9.0f} x   {verdicts}")


if __name__ == "__main__":
    through_redis() if sys.argv[1:] == ["redis"] else in_memory()
