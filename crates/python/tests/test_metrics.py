"""What programs see of a manager: counts and log records."""

from __future__ import annotations

import pathlib
import subprocess
import sys

import pytest

import dictrack as dt


def test_counts_are_those_of_the_outcomes(tmp_path: pathlib.Path) -> None:
    trackers = [dt.CountTracker("n", [dt.KeyExists("a")], target=3, limiters=[dt.CountLimiter(2)])]
    with dt.TrackingManager.open(tmp_path / "app.db", trackers=trackers) as manager:
        outcomes = [manager.track("g", {"a": 1}, event_id=str(at % 4)) for at in range(5)]
        outcomes += list(manager.track_many([("g", {"a": 1}), ("h", {}), ("h", {"a": 1})]))
        with pytest.raises(dt.ConflictingNameError):
            manager.track("g", {}, ensure=[dt.CountTracker("n", target=1)])
        with pytest.raises(dt.ConflictingNameError):
            manager.add_tracker("g", dt.CountTracker("n", target=1))
        seen = manager.metrics()
        assert (seen.documents, seen.duplicates, seen.counted, seen.refused) == (8, 1, 3, 3)
        assert seen.events == sum(len(outcome.events) for outcome in outcomes)
        assert seen.errors == {"conflicting_name": 2}
        assert 0 < seen.commits <= 8 and seen.committed_groups >= 2 and seen.commit_seconds > 0
        assert seen.to_dict()["errors"] == seen.errors
    with dt.TrackingManager.open(tmp_path / "app.db") as manager:
        manager.peek("g")
        assert (manager.metrics().loads, manager.metrics().documents) == (1, 0)


def test_a_table_counts_too() -> None:
    pyarrow = pytest.importorskip("pyarrow")
    manager = dt.TrackingManager(trackers=[dt.CountTracker("n", target=2)])
    manager.track_table(pyarrow.table({"user": ["a", "b", "a"]}), "user")
    assert (manager.metrics().documents, manager.metrics().counted, manager.metrics().events) == (3, 3, 3)


PROGRAM = """
import logging, sys
import dictrack as dt

logging.basicConfig(level=logging.DEBUG, format="%(levelname)s %(name)s %(message)s")
for _ in range(2):
    with dt.TrackingManager.open(sys.argv[1], trackers=[dt.CountTracker("n")]) as manager:
        manager.track("g", {})
"""


def test_debug_records_say_what_happens(tmp_path: pathlib.Path) -> None:
    # In a process of its own, since the levels of loggers are read once.
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path / "app.db")], check=True, capture_output=True, text=True
    )
    lines = [line for line in ran.stderr.splitlines() if " dictrack" in line]
    for word in ("opening", "loaded", "committed", "folded the journal"):
        assert any(word in line for line in lines), (word, ran.stderr)
    assert all(line.startswith("DEBUG ") for line in lines)
