"""The clock of a manager: that of a test, a callable of the program, or what libraries make of the time."""

from __future__ import annotations

import datetime
import logging
import pathlib
import subprocess
import sys
import time
from typing import Any

import freezegun
import pytest
import time_machine

import dictrack as dt
import dictrack.aio

START = 1_700_000_000


def minute() -> dt.CountTracker:
    return dt.CountTracker("calls", limiters=[dt.CountLimiter(1, per="minute")])


def test_a_test_clock_says_what_it_shows() -> None:
    clock = dt.TestClock(START)
    with dt.TrackingManager(clock=clock) as manager:
        assert clock.now() == manager.now() == START
        clock.advance(1.5)
        assert clock.now() == manager.now() == START + 1.5
        clock.set("2026-01-01")
        assert clock.now() == manager.now() == 1_767_225_600
    with dt.TrackingManager() as manager:
        assert abs(manager.now() - time.time()) < 60


@pytest.mark.parametrize(
    "kind", [float, int, lambda now: datetime.datetime.fromtimestamp(now, datetime.timezone.utc), lambda _: "2023-11-14T22:13:20Z"]
)  # fmt: skip
def test_any_callable_is_a_clock(kind: Any) -> None:
    with dt.TrackingManager(clock=lambda: kind(START)) as manager:
        assert manager.now() == START
        manager.add_tracker("g", minute())
        (event,) = manager.track("g", {}).events
        assert event.occurred_at == START and event.to_dict()["occurred_at"] == "2023-11-14T22:13:20Z"


def test_a_callable_moves_the_windows() -> None:
    now = [START]
    calls = minute()
    with dt.TrackingManager(clock=lambda: now[0]) as manager:
        manager.add_tracker("g", calls)
        assert manager.track("g", {}).counted and calls.remaining == 0
        assert manager.track("g", {}).refused
        now[0] += 60
        assert calls.remaining == 1 and manager.track("g", {}).counted
        assert manager.periods("g", "calls") == [] and manager.now() == START + 60


def test_a_clock_that_is_none_is_refused() -> None:
    for clock, error, said in [
        (5, TypeError, "clock is an int; expected a TestClock, or a callable that returns the time"),
        (lambda: None, TypeError, r"the result of clock\(\) is null; expected seconds since 1970 UTC, a datetime"),
        (lambda: "soon", ValueError, r"the result of clock\(\) is \"soon\"; expected"),
        (datetime.datetime.now, ValueError, r"clock\(\) returned a datetime without a time zone; expected"),
        (lambda: 1 / 0, ZeroDivisionError, "division by zero"),
    ]:
        with pytest.raises(error, match=f"^{said}"):
            dt.TrackingManager(clock=clock)  # type: ignore[arg-type]


def test_a_clock_that_fails_later_stands_still(caplog: pytest.LogCaptureFixture) -> None:
    with (
        caplog.at_level(logging.ERROR),
        dt.TrackingManager(clock=lambda: START if not caplog.records else 1 / 0) as manager,
    ):
        logging.getLogger().error("from now on it fails")
        assert manager.now() == START
        manager.add_tracker("g", minute())
        assert manager.track("g", {}).counted
    assert any(
        "the clock failed" in record.message and "division by zero" in record.message for record in caplog.records
    )


def test_freezegun_freezes_the_time_of_a_manager() -> None:
    calls = minute()
    with dt.TrackingManager(clock=time.time) as manager:
        with freezegun.freeze_time("2026-01-01 12:00:30") as frozen:
            manager.add_tracker("g", calls)
            assert manager.now() == 1_767_268_830 and manager.track("g", {}).counted and manager.track("g", {}).refused
            frozen.tick(30)
            assert manager.now() == 1_767_268_860 and manager.track("g", {}).counted
            with dt.TrackingManager(clock=time.time) as other:
                assert other.now() == 1_767_268_860
        assert abs(manager.now() - time.time()) < 60


def test_time_machine_moves_the_time_of_a_manager() -> None:
    calls = minute()
    with dt.TrackingManager(clock=time.time) as manager:
        with time_machine.travel("2026-01-01T12:00:30Z", tick=False) as traveller:
            manager.add_tracker("g", calls)
            assert manager.now() == 1_767_268_830 and manager.track("g", {}).counted and manager.track("g", {}).refused
            traveller.shift(30)
            assert manager.now() == 1_767_268_860 and manager.track("g", {}).counted
        assert abs(manager.now() - time.time()) < 60


def test_asyncio_has_the_same_clocks() -> None:
    import asyncio

    async def program() -> None:
        async with await dictrack.aio.TrackingManager.open(clock=lambda: START) as manager:
            assert manager.now() == START
            await manager.add_tracker("g", minute())
            assert (await manager.track("g", {})).counted
            assert (await manager.track("g", {})).refused

    asyncio.run(program())


PROGRAM = """
import dictrack as dt

def test_a_limit_of_my_own(dictrack_manager, dictrack_clock):
    assert dictrack_clock.now() == dictrack_manager.now() == 1767225600
    dictrack_manager.add_tracker("g", dt.CountTracker("calls", limiters=[dt.CountLimiter(1, per="minute")]))
    assert dictrack_manager.track("g", {}).counted and dictrack_manager.track("g", {}).refused
    dictrack_clock.advance(60)
    assert dictrack_manager.track("g", {}).counted

def test_each_test_has_its_own(dictrack_manager):
    assert dictrack_manager.get_trackers("g") == []
"""


def test_the_plugin_is_there_without_an_import(tmp_path: pathlib.Path) -> None:
    (tmp_path / "test_mine.py").write_text(PROGRAM)
    command = [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider", str(tmp_path)]
    run = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert run.returncode == 0 and "2 passed" in run.stdout, run.stdout + run.stderr
