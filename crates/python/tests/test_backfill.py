"""Counting old documents for new trackers."""

from __future__ import annotations

import asyncio
import pathlib
from collections.abc import Iterator
from typing import Any

import pytest

import dictrack as dt
from dictrack import aio

START = 1_700_000_000


def posts(target: int = 3) -> dt.CountTracker:
    return dt.CountTracker("posts", [dt.KeyValueEQ("event", "post")], target)


def old(documents: int = 25_000) -> Iterator[tuple[str, dict[str, str], int, str]]:
    """Documents of five groups, as a program reads them from a file."""
    for at in range(documents):
        yield f"g{at % 5}", {"event": "post" if at % 2 else "login"}, START + at, str(at)


def test_it_counts_once_and_only_for_the_new_trackers(tmp_path: pathlib.Path) -> None:
    with dt.TrackingManager.open(tmp_path / "app.db", trackers=[dt.CountTracker("all")]) as manager:
        manager.track_many(old(1000))
        new = dt.CountTracker("posts", [dt.KeyValueEQ("event", "post")])
        first = manager.backfill([new], old(1000), events="dry")
        assert manager.get_trackers("g0", "posts") == []
        done = manager.backfill([new], old(1000))
        assert first == done
        assert (done.documents, done.counted, done.duplicates, done.errors) == (1000, 500, 0, {})
        assert [tracker.progress for tracker in manager.get_trackers("g1")] == [200, 100]
        again = manager.backfill(manager.tracker_list([new]), old(1100))
        assert (again.counted, again.duplicates) == (50, 1000)
        manager.track("g1", {"event": "post"})
        assert [tracker.progress for tracker in manager.get_trackers("g1")] == [201, 111]


def test_nobody_hears_of_a_silent_one() -> None:
    heard: list[str] = []
    manager = dt.TrackingManager()
    manager.add_listener(dt.EVENT_TRACKER_ALL_COMPLETED, lambda event: heard.append(event.group_id))
    done = manager.backfill([posts()], old(100), events="silent")
    assert done.completed == 5 and heard == []
    manager.backfill([dt.CountTracker("loud", target=1)], old(5))
    assert heard == ["g0", "g1", "g2", "g3", "g4"]


def test_many_documents_and_bad_ones() -> None:
    def some_bad() -> Iterator[Any]:
        for at, document in enumerate(old()):
            yield ("g", 5) if at % 100 == 7 else document

    done = dt.TrackingManager().backfill([posts(10**9)], some_bad())
    assert (done.documents, done.counted) == (24_750, 12_250)
    assert len(done.errors) == 100 and list(done.errors)[:2] == [7, 107]
    assert isinstance(done.errors[7], TypeError) and "7" in done.to_dict()["errors"]


def test_asyncio_has_the_same() -> None:
    async def run() -> None:
        async with await aio.TrackingManager.open() as manager:
            assert (await manager.backfill([posts(10**9)], old(100))).counted == 50

    asyncio.run(run())


@pytest.mark.parametrize(
    ("trackers", "documents", "events", "error", "message"),
    [
        ([posts()], [], "loud", ValueError, "events is .*loud.*; expected one of 'emit', 'silent', 'dry'"),
        ([posts()], 5, "emit", TypeError, "documents is an int; expected an iterable"),
        ([posts()], {}, "emit", TypeError, "documents is a dict"),
        (5, [], "emit", TypeError, "trackers is an int; expected a list of trackers"),
        ([posts(), posts()], [], "emit", dt.RepeatedNameError, "appears twice"),
    ],
)
def test_what_does_not_fit_is_refused(
    trackers: Any, documents: Any, events: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        dt.TrackingManager().backfill(trackers, documents, events=events)
