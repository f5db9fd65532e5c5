"""Definitions in Python: windows, warnings, and what a program does at every start."""

from __future__ import annotations

import datetime
import pathlib
import re
import warnings
from collections.abc import Callable
from typing import Any

import pytest

import dictrack as dt

ROOT = pathlib.Path(__file__).resolve().parents[3]
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
START = 1_700_000_000


def managed(**kwargs: Any) -> tuple[dt.TrackingManager, dt.TestClock]:
    clock = dt.TestClock(START)
    return dt.TrackingManager(clock=clock, **kwargs), clock


# Windows.


@pytest.mark.parametrize(
    ("limiter", "last"),
    [
        (lambda: dt.TimeLimiter(end_ts="2023-12-31"), "2023-12-31T23:59:59.999999Z"),
        (lambda: dt.TimeLimiter(end_ts=datetime.date(2023, 12, 31)), "2023-12-31T23:59:59.999999Z"),
        (lambda: dt.TimeLimiter(end_ts="2023-12-31T23:59:59Z"), "2023-12-31T23:59:59.999999Z"),
        (lambda: dt.TimeLimiter(end_ts="2023-12-31T23:59:59.9999999Z"), "2023-12-31T23:59:59.999999Z"),
        (lambda: dt.TimeLimiter(end_ts="2023-12-31T23:59:59.5Z"), "2023-12-31T23:59:59.5Z"),
        (lambda: dt.TimeLimiter(end_ts=datetime.datetime(2023, 12, 31, 23, 59, 59)), "2023-12-31T23:59:59Z"),
        (lambda: dt.TimeLimiter(end_ts=1_704_067_199), "2023-12-31T23:59:59Z"),
        (lambda: dt.TimeLimiter(start_ts="2023-12-31", seconds=86_399.999999), "2023-12-31T23:59:59.999999Z"),
    ],
)
def test_an_end_admits_to_its_last_microsecond(limiter: Callable[[], dt.TimeLimiter], last: str) -> None:
    manager, _ = managed()
    manager.ensure_tracker("g", dt.CountTracker("n", target=100, limiters=[limiter()]))
    assert manager.track("g", {}, now=last).dirtied and not manager.track("g", {}, now=last).refused
    last_micros = round(datetime.datetime.fromisoformat(last.replace("Z", "+00:00")).timestamp() * 1_000_000)
    after = dt.CountTracker("n", target=100, limiters=[limiter()])
    # A definition means the same wherever it comes from.
    assert dt.BaseTracker.from_dict(after.to_dict()) == after
    following = datetime.datetime.fromtimestamp(0, datetime.timezone.utc) + datetime.timedelta(
        microseconds=last_micros + 1
    )
    assert manager.track("g", {}, now=following).refused
    (explained,) = manager.explain("g", {}, now=following)
    assert explained.why.endswith(f"ended at {last}"), explained.why


def test_a_date_in_a_dict_is_read_like_one_in_a_file() -> None:
    # As yaml.safe_load reads `end: 2026-12-31`.
    day = datetime.date(2026, 12, 31)
    limiters = [{"end": day}, {"start": day, "end": day}, {"count": 5}]
    definition = {"name": "n", "kind": "count", "target": 1, "expire_at": day, "limiters": limiters}
    texts = [{"end": "2026-12-31"}, {"start": "2026-12-31", "end": "2026-12-31"}, {"count": 5}]
    written = definition | {"expire_at": "2026-12-31", "limiters": texts}
    assert dt.BaseTracker.from_dict(definition) == dt.BaseTracker.from_dict(written)
    assert limiters[0] == {"end": day}
    moment = datetime.datetime(2026, 12, 31, 12)
    made = dt.BaseTracker.from_dict(definition | {"limiters": [{"end": moment}]})
    assert made.to_dict()["limiters"] == [{"end": 1798718400}]


def test_a_window_with_one_bound_has_no_other() -> None:
    until, since = dt.TimeLimiter(end_ts=START + 10), dt.TimeLimiter(start_ts=START + 10)
    assert (until.start, until.end, until.interval) == (None, START + 10, None)
    assert (since.start, since.end, since.interval) == (START + 10, None, None)
    assert until == dt.TimeLimiter(end_ts=START + 10) != since and "start=None" in repr(until)
    assert dt.TimeLimiter(start_ts=0, end_ts="9999-12-31").interval == datetime.timedelta(days=2_932_897) - (
        datetime.timedelta(microseconds=1)
    )
    manager, clock = managed()
    manager.ensure_tracker("u", dt.CountTracker("n", target=9, limiters=[until]))
    manager.ensure_tracker("s", dt.CountTracker("n", target=9, limiters=[since]))
    for second, limited in [(0, (False, True)), (10, (False, False)), (11, (True, False))]:
        clock.set(START + second)
        assert (until.limited, since.limited) == limited
        refused = bool(manager.track("u", {}).refused), bool(manager.track("s", {}).refused)
        assert refused == limited


def test_limited_is_asked_of_the_clock_that_counts() -> None:
    window = dt.TimeLimiter(start_ts=START, end_ts=START + 60)
    manager, clock = managed()
    heard: list[dt.TrackerEvent] = []
    manager.add_listener(dt.EVENT_TRACKER_STAGE_COMPLETED, heard.append)
    tracker = dt.CountTracker("n", target=[1, 9], limiters=[window], reset_policy=dt.ResetPolicy.NONE)
    manager.ensure_tracker("g", tracker)
    assert not window.limited and window.pre_track({}, None) is True
    (counted,) = manager.track("g", {}).dirtied
    (listed,) = manager.get_trackers("g")
    clock.set(START + 61)
    assert window.limited and window.pre_track({}, None) is False
    # They are snapshots, from a time within the window.
    for shown in (counted, listed, heard[0].tracker):
        assert not shown.limiters[0].limited
    assert manager.track("g", {}).refused[0].limiters[0].limited
    assert manager.get_trackers("g")[0].limiters[0].limited
    assert not manager.get_trackers("g", now=START + 60)[0].limiters[0].limited
    manager.reset_tracker("g", "n", dt.ResetPolicy.LIMITER)
    assert not window.limited and window.start == START + 61


def test_texts_are_moments_of_expiry_too() -> None:
    manager, clock = managed()
    assert manager.add_tracker("g", dt.CountTracker("n", target=9), expire_at="2023-11-15", now="2023-11-14T12:00:00Z")
    assert manager.add_tracker("g", dt.CountTracker("m", target=9, expire_at="2023-11-15"))
    assert [tracker.expire_at for tracker in manager.get_trackers("g")] == [1_700_006_400] * 2
    with pytest.raises(ValueError, match='"soon"'):
        manager.add_tracker("g", dt.CountTracker("o", target=9), expire_at="soon")


# Warnings.


def test_a_limit_that_stages_renew_warns_where_it_is_made() -> None:
    with pytest.warns(dt.DictrackWarning, match=r"tracker \"n\": limiters\[0\]: each stage renews this count") as told:
        dt.CountTracker("n", target=[80, 200], limiters=[dt.CountLimiter(100)])
    assert [one.filename for one in told] == [__file__]
    definition = {"name": "n", "kind": "count", "target": [1, 2], "limiters": [{"seconds": 60}]}
    with pytest.warns(dt.DictrackWarning, match="each of the 2 stages starts these 60 s again") as told:
        dt.BaseTracker.from_dict(definition)
    assert [one.filename for one in told] == [__file__]
    with pytest.warns(dt.DictrackWarning, match="the target 10 is not above 50"):
        dt.CountTracker("n", target=[50, 10])


def test_what_is_meant_does_not_warn() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dt.CountTracker("n", target=[80, 200], limiters=[dt.CountLimiter(100)], reset_policy=dt.ResetPolicy.NONE)
        dt.CountTracker("n", target=80, limiters=[dt.CountLimiter(100), dt.TimeLimiter(seconds=1)])
        dt.CountTracker("n", target=[1, 2], limiters=[dt.TimeLimiter(end_ts=5)])
        dt.CountTracker("n", target=[10, 10], reset_policy=dt.ResetPolicy.PROGRESS)
        assert issubclass(dt.DictrackWarning, UserWarning)


def test_a_file_warns_with_its_line(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "t.toml"
    path.write_text('[[trackers]]\nname = "n"\nkind = "count"\ntarget = [1, 2]\nlimiters = [\n  {count = 5},\n]\n')
    with pytest.warns(dt.DictrackWarning, match=r"t\.toml:6:3: warning: tracker \"n\"") as told:
        assert [tracker.name for tracker in dt.load_trackers(path)] == ["n"]
    assert [one.filename for one in told] == [__file__]


# Every start of a program.


def test_ensuring_leaves_a_completed_tracker_alone_and_adding_does_not() -> None:
    manager, _ = managed()
    made = [dt.CountTracker("n", target=1) for _ in range(4)]
    assert manager.ensure_tracker("g", made[0]) is True and manager.ensure_tracker("g", made[1]) is False
    assert [tracker.name for tracker in manager.track("g", {}).completed] == ["n"]
    assert manager.ensure_tracker("g", made[2]) is False and manager.get_trackers("g") == []
    assert manager.add_tracker("g", made[3]) is True
    assert [tracker.name for tracker in manager.track("g", {}).completed] == ["n"]
    assert len(manager.completed("g")) == 2
    manager.ensure_tracker("other", dt.CountTracker("m", target=5))
    with pytest.raises(dt.ConflictingNameError):
        manager.ensure_tracker("other", dt.CountTracker("m", target=6))


def test_a_completed_tracker_that_gains_targets_is_followed_again() -> None:
    manager, _ = managed()
    tracker = dt.CountTracker("n", target=2)
    manager.ensure_tracker("g", tracker)
    manager.track("g", {})
    manager.track("g", {})
    assert tracker.completed
    with pytest.raises(dt.TrackerAlreadyCompletedError):
        tracker.reset_policy = dt.ResetPolicy.NONE
    tracker.add_targets([4])
    assert manager.update_tracker("g", tracker) is True
    assert (tracker.completed, tracker.progress, tracker.target, tracker.current_stage) == (False, 2, 4, 2)
    assert manager.track("g", {}).dirtied[0].progress == tracker.progress == 3
    manager.track("g", {})
    assert tracker.completed and len(manager.completed("g")) == 2
    assert manager.add_targets("g", "n", 5) is True
    assert manager.ensure_trackers("g", [dt.CountTracker("n", target=[2, 4, 5, 6])], update=True).updated == ["n"]
    assert [(one.progress, one.target) for one in manager.get_trackers("g")] == [(4, 5)]


@pytest.mark.parametrize("page", ["README.md", "docs/python.md"])
def test_the_program_of_a_page_awards_nothing_twice(
    page: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    program = compile(BLOCK.findall((ROOT / page).read_text("utf-8"))[0], page, "exec")
    for _ in range(104):
        names: dict[str, Any] = {}
        exec(program, names)
        names["manager"].close()
    with dt.TrackingManager.open("dictrack.db") as manager:
        assert [tracker.progress for tracker in manager.completed("user_001")] == [100]
        assert manager.get_trackers("user_001") == [], "the hundred and first start added it again"
