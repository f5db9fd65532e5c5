"""Finding groups by how far they are."""

from __future__ import annotations

import asyncio
import pathlib
import random
from typing import Any

import pytest

import dictrack as dt
from dictrack import aio


def filled(manager: dt.TrackingManager, groups: int = 2500) -> dict[str, int]:
    """Groups with a random progress of up to 20; those with 20 have completed."""
    draw = random.Random(7)
    progress = {f"g{at:04}": draw.randint(0, 20) for at in range(groups)}
    manager.track_many([(group, {}) for group, count in progress.items() for _ in range(count)])
    return progress


@pytest.mark.parametrize("stored", [False, True])
def test_places_are_in_order_and_in_pages(stored: bool, tmp_path: pathlib.Path) -> None:
    trackers = [dt.CountTracker("n", target=20)]
    path = tmp_path / "app.db"
    manager = dt.TrackingManager.open(path, trackers=trackers) if stored else dt.TrackingManager(trackers=trackers)
    progress = filled(manager)
    wanted = sorted(((-count, group) for group, count in progress.items() if count), key=lambda one: one)
    if stored:
        # Nothing is in memory any more.
        manager.close()
        manager = dt.TrackingManager.open(path, trackers=trackers)
    found: list[dt.Place] = []
    while page := manager.find("n", limit=333, after=found[-1] if found else None):
        found += page
    assert [(-place.progress, place.group_id) for place in found] == wanted
    assert [place.group_id for place in manager.top("n", 5)] == [group for _, group in wanted[:5]]
    least = manager.find(trackers[0], ascending=True, limit=3, at_least=2)
    assert [place.progress for place in least] == [2, 2, 2]
    assert least[0].group_id < least[1].group_id < least[2].group_id
    done = manager.find("n", status="completed", limit=5000)
    assert len(done) == sum(count == 20 for count in progress.values())
    assert {place.status for place in done} == {"completed"} and done[0].tracker.completed
    assert len(manager.find("n", at_most=19, at_least=19, limit=5000)) == sum(c == 19 for c in progress.values())
    assert manager.find("none") == [] and manager.find("n", limit=0) == []
    assert list(manager.groups()) == sorted(group for group, count in progress.items() if count)
    assert next(manager.groups("g0100")) > "g0100"
    assert found[0].to_dict()["tracker"]["progress"] == 20
    manager.close()


def test_a_period_that_has_ended_counts_as_nothing() -> None:
    clock = dt.TestClock(1_700_000_000)
    manager = dt.TrackingManager(clock=clock, trackers=[dt.CountTracker("daily", every="day")])
    manager.track_many([("a", {}), ("a", {}), ("b", {})])
    assert [(place.group_id, place.progress) for place in manager.top("daily")] == [("a", 2), ("b", 1)]
    clock.advance(86_400)
    manager.track("b", {})
    assert [(place.group_id, place.progress) for place in manager.top("daily")] == [("b", 1), ("a", 0)]
    yesterday = manager.top("daily", now=1_700_000_000)
    assert [(place.group_id, place.progress) for place in yesterday] == [("a", 2), ("b", 1)]


def test_limited_groups_are_active_too() -> None:
    manager = dt.TrackingManager(trackers=[dt.CountTracker("n", limiters=[dt.CountLimiter(2)])])
    manager.track_many([("a", {}), ("a", {}), ("b", {})])
    assert [place.group_id for place in manager.find("n", status="limited")] == ["a"]
    assert [place.group_id for place in manager.find("n", status="active")] == ["a", "b"]


def test_asyncio_has_the_same() -> None:
    async def run() -> None:
        async with await aio.TrackingManager.open(trackers=[dt.CountTracker("n")]) as manager:
            await manager.track_many([("a", {}), ("b", {}), ("b", {})])
            assert [place.group_id for place in await manager.top("n")] == ["b", "a"]
            assert [group async for group in manager.groups()] == ["a", "b"]

    asyncio.run(run())


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"status": "done"}, ValueError, 'status is "done"; expected one of active, limited, resting, completed'),
        ({"status": 5}, TypeError, "status is an int; expected str"),
        ({"limit": -1}, ValueError, "limit is -1; expected 0 or more"),
        ({"limit": 2.5}, TypeError, "limit is a float; expected int"),
        ({"after": 5}, TypeError, "after is an int; expected a Place"),
        ({"after": "g1"}, ValueError, "after is not a place"),
        ({"at_least": "x"}, TypeError, "at_least"),
        ({"tracker": 5}, TypeError, "name is an int; expected str"),
    ],
)
def test_bad_questions_say_what_was_expected(options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        dt.TrackingManager().find(**{"tracker": "n", **options})
