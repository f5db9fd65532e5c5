"""``track_table`` beside a ``group_by`` of polars and of pandas, and ``track_many`` of the rows as dicts, all in one run.

    .servers/python/bin/python crates/python/benches/tables.py [ROWS]

1,000,000 rows (or ROWS) of 10,000 groups, ten trackers each: the number of rows of six of eight kinds of event, two sums of one
kind, the number of large amounts, and of all rows. The group-bys compute the same ten totals, which are compared with the progress
of the trackers. In the second workload, trackers have stages that are reached, so that there are events. Figures are medians of
the rounds in which all take turns, ratios those of the medians.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy
import pandas
import polars

import dictrack as dt

GROUPS = 10_000
KINDS = ["login", "view", "add_to_cart", "purchase", "refund", "share", "review", "logout"]
ROUNDS = 7
FAR = 10**11


def data(rows: int) -> polars.DataFrame:
    random = numpy.random.default_rng(7)
    names = polars.Series([f"user_{number:05}" for number in range(GROUPS)])
    return polars.DataFrame(
        {
            "user": names.gather(random.integers(0, GROUPS, rows)),
            "at": (1_767_225_600 + numpy.sort(random.integers(0, 30 * 86_400, rows))) * 1_000_000,
            "event": polars.Series(KINDS).gather(random.integers(0, len(KINDS), rows)),
            "amount": random.integers(1, 20_000, rows) / 100,
        }
    ).with_columns(polars.col("at").cast(polars.Datetime("us", "UTC")))


def trackers(targets: list[int]) -> list[Any]:
    made: list[Any] = [
        dt.CountTracker(f"n_{kind}", [dt.KeyValueEQ("event", kind)], target=targets) for kind in KINDS[:6]
    ]
    for name, kind in (("spent", "purchase"), ("refunded", "refund")):
        made.append(dt.AccumulationTracker(name, [dt.KeyValueEQ("event", kind)], key="amount", target=targets))
    made.append(dt.CountTracker("large", [dt.KeyValueGE("amount", 100)], target=targets))
    return [*made, dt.CountTracker("all", target=targets)]


def by_polars(frame: polars.DataFrame) -> polars.DataFrame:
    event, amount = polars.col("event"), polars.col("amount")
    return frame.group_by("user").agg(
        *[(event == kind).sum().alias(f"n_{kind}") for kind in KINDS[:6]],
        amount.filter(event == "purchase").sum().alias("spent"),
        amount.filter(event == "refund").sum().alias("refunded"),
        (amount >= 100).sum().alias("large"),
        polars.len().alias("all"),
    )


def by_pandas(frame: pandas.DataFrame) -> pandas.DataFrame:
    event, amount = frame["event"], frame["amount"]
    columns = {f"n_{kind}": event == kind for kind in KINDS[:6]}
    columns |= {"spent": amount.where(event == "purchase", 0.0), "refunded": amount.where(event == "refund", 0.0)}
    columns |= {"large": amount >= 100, "all": pandas.Series(1, frame.index)}
    return pandas.DataFrame(columns).groupby(frame["user"]).sum()


def main(rows: int) -> None:
    frame = data(rows)
    pandas_frame, arrow = frame.to_pandas(), frame.to_arrow()
    groups = frame["user"].unique().to_list()

    def ours(table: Any, targets: list[int]) -> tuple[dt.TrackingManager, Callable[[], Any]]:
        manager = dt.TrackingManager()
        made = trackers(targets)
        for group in groups:
            manager.ensure_trackers(group, made)
        return manager, lambda: manager.track_table(table, "user", "at")

    manager, tracked = ours(arrow, [FAR])
    tracked()
    totals = by_polars(frame).to_dicts()
    for total in totals:
        for tracker in manager.get_trackers(total["user"]):
            assert abs(float(tracker.progress_exact) - total[tracker.name]) < 1e-6, (total, tracker)

    reached = [1, 10, 100, 1_000]
    sides: dict[str, Callable[[], Any]] = {
        "track_table of pyarrow": tracked,
        "track_table of polars": ours(frame, [FAR])[1],
        "track_table of pandas": ours(pandas_frame, [FAR])[1],
        "polars group_by": lambda: by_polars(frame),
        "pandas groupby": lambda: by_pandas(pandas_frame),
    }
    times: dict[str, list[float]] = {name: [] for name in [*sides, "track_table, stages are reached"]}
    used: dict[str, list[float]] = {name: [] for name in times}

    def measure(name: str, call: Callable[[], Any]) -> Any:
        start, processor = time.perf_counter(), time.process_time()
        result = call()
        times[name].append(time.perf_counter() - start)
        used[name].append(time.process_time() - processor)
        return result

    events = 0
    for _ in range(ROUNDS):
        for name, call in sides.items():
            measure(name, call)
        fresh, call = ours(arrow, reached)
        events = len(measure("track_table, stages are reached", call).events)
        fresh.close()
    polars_time = statistics.median(times["polars group_by"])
    print(f"{rows:,} rows, 10 trackers in each of {len(groups):,} groups, {events:,} events where stages are reached")
    print(f"{'':34} {'time':>9} {'processor':>10} {'beside polars':>14}")
    for name, taken in times.items():
        median = statistics.median(taken)
        goal = ""
        if name == "track_table of polars":
            ok = median <= 0.5 * rows / 1e6 and median <= 1.5 * polars_time
            goal = f"   goal 0.5 s a million rows and 1.5 x: {'ok' if ok else 'MISSED'}"
        print(
            f"{name:34} {median:>7.3f} s {statistics.median(used[name]):>8.3f} s {median / polars_time:>12.2f} x{goal}"
        )

    some = min(rows, 200_000)
    start = time.perf_counter()
    # Times in seconds: to convert objects that are datetimes takes longer than all else.
    dicts = frame.head(some).with_columns(polars.col("at").dt.epoch("s")).to_pandas().to_dict("records")
    made = time.perf_counter() - start
    start = time.perf_counter()
    manager.track_many([(row["user"], row, row["at"]) for row in dicts])
    many = time.perf_counter() - start
    scale = rows / some
    print(
        f"to_dict takes {made * scale:.2f} s and track_many of the dicts {many * scale:.2f} s ({some:,} rows, times {scale:g})"
    )


if __name__ == "__main__":
    main(int(sys.argv[1]) if sys.argv[1:] else 1_000_000)
