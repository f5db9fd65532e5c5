"""Objects that were added stay up to date with their manager; objects that were returned do not."""

from __future__ import annotations

import json
import pathlib
import time
from typing import Any

import pytest

import dictrack as dt


def counter(name: str = "logins", target: Any = 10, **options: Any) -> dt.CountTracker:
    return dt.CountTracker(name, [dt.KeyValueEQ("event", "login")], target=target, **options)


LOGIN = {"event": "login"}


@pytest.fixture(params=["memory", "sqlite"])
def manager(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> Any:
    """A manager whose clock shows 1,000."""
    store = dt.SQLiteDataStore(tmp_path / "live.db") if request.param == "sqlite" else None
    with dt.TrackingManager(data_store=store, clock=dt.TestClock(1000)) as made:
        yield made


def test_the_tracker_that_was_added_follows_documents(manager: dt.TrackingManager) -> None:
    tracker = counter()
    manager.add_tracker("g", tracker)
    assert (tracker.group_id, tracker.progress) == ("g", 0)
    for progress in range(1, 4):
        outcome = manager.track("g", LOGIN)
        assert tracker.progress == progress
        assert outcome.dirtied == [tracker]
    manager.track("g", {"event": "logout"})
    assert tracker.progress == 3
    manager.track_many([("g", LOGIN)] * 4)
    assert (tracker.progress, tracker.completed, tracker.current_stage) == (7, False, 1)


def test_limiters_of_the_tracker_follow_documents_and_resets(manager: dt.TrackingManager) -> None:
    count, window = dt.CountLimiter(3), dt.TimeLimiter(seconds=60)
    tracker = counter(limiters=[count, window])
    manager.add_tracker("g", tracker)
    assert (count.remaining, window.start, window.end) == (3, 1000, 1060)
    for remaining in (2, 1, 0):
        manager.track("g", LOGIN)
        assert count.remaining == remaining
    assert (count.limited, tracker.limited) == (True, True)
    assert manager.reset_tracker("g", "logins", dt.ResetPolicy.LIMITER, reset_count=5, reset_seconds=10, now=2000)
    assert (count.remaining, count.count, count.limited) == (5, 5, False)
    assert (window.start, window.end) == (2000, 2010)
    assert (tracker.limited, tracker.progress) == (False, 3)
    assert tracker.limiters == [count, window]
    assert tracker.limiters[0] is count
    assert manager.reset_tracker("g", "logins", dt.ResetPolicy.ALL, now=3000)
    assert (tracker.progress, count.remaining, window.start, window.end) == (0, 5, 3000, 3010)


def test_stages_and_completion_are_followed_and_the_end_is_kept(manager: dt.TrackingManager) -> None:
    tracker = counter(target=[1, 3], limiters=[dt.CountLimiter(3)])
    manager.add_tracker("g", tracker)
    manager.track("g", LOGIN)
    assert (tracker.current_stage, tracker.target, tracker.multi_target) == (2, 3, [])
    manager.track("g", LOGIN)
    manager.track("g", LOGIN, now=1500)
    for _ in range(2):
        assert (tracker.progress, tracker.completed, tracker.completed_at, tracker.removed) == (3, True, 1500, False)
        assert repr(tracker).startswith("[COMPLETED] <CountTracker (target=3 ")
        # A new tracker of the same name is a different one.
        manager.add_tracker("g", counter(target=5))
        manager.track("g", LOGIN)
    with pytest.raises(dt.TrackerAlreadyCompletedError, match="'logins' of group 'g' has completed"):
        tracker.progress = 1


def test_loops_are_followed_cycle_by_cycle(manager: dt.TrackingManager) -> None:
    tracker = dt.AccumulationTracker("sum", target=[2, 5], loop_forever=True)
    manager.add_tracker("g", tracker)
    seen = []
    for amount in (1, 1, 4, 5, 12):
        manager.track("g", {"amount": amount})
        seen.append((tracker.progress, tracker.current_stage, tracker.cycle, tracker.completed))
    # 2 crosses the first target; 6 the second, 1 goes on; 6 both; 13 = 5 + 5 + 3.
    assert seen == [(1, 1, 0, False), (2, 2, 0, False), (1, 1, 1, False), (1, 1, 2, False), (3, 2, 4, False)]


def test_what_the_manager_sets_is_followed(manager: dt.TrackingManager) -> None:
    tracker = counter(target=5)
    manager.add_tracker("g", tracker)
    assert manager.set_progress("g", "logins", 2.5)
    assert (tracker.progress, type(tracker.progress)) == (2.5, float)
    assert manager.add_targets("g", "logins", [8, 9])
    assert (tracker.targets, tracker.multi_target) == ([5, 8, 9], [8, 9])
    replaced = dt.CountTracker("logins", [dt.KeyExists("other")], target=[4], limiters=[dt.CountLimiter(7)])
    assert manager.update_tracker("g", replaced)
    assert (tracker.targets, tracker.conditions, tracker.progress) == ([4], [dt.KeyExists("other")], 2.5)
    (limiter,) = tracker.limiters
    assert isinstance(limiter, dt.CountLimiter)
    manager.track("g", {"other": 1})
    assert (tracker.progress, limiter.remaining) == (3.5, 6)
    # The replacement was not added, so it shows its own definition.
    assert replaced.progress == 0


def test_removal_and_flush_are_followed_with_the_last_progress(manager: dt.TrackingManager) -> None:
    one, two, three = counter("one"), counter("two"), counter("three")
    manager.add_trackers("g", [one, two, three])
    manager.track("g", LOGIN)
    assert manager.remove_tracker("g", "one") == ["one"]
    assert (one.removed, one.progress, two.removed) == (True, 1, False)
    assert repr(one).startswith("[REMOVED] ")
    with pytest.raises(dt.TrackerAlreadyRemovedError, match="'one' was removed from group 'g'"):
        one.add_targets(20)
    assert manager.ensure_trackers("g", [counter("two")], update=True).removed == ["three"]
    assert (three.removed, three.progress) == (True, 1)
    manager.flush(confirm=True)
    assert (two.removed, two.progress, manager.get_trackers("g")) == (True, 1, [])


def test_an_object_may_be_added_again_and_follows_the_new_tracker(manager: dt.TrackingManager) -> None:
    tracker = counter(target=1)
    manager.add_tracker("g", tracker)
    manager.track("g", LOGIN)
    assert tracker.completed
    assert manager.add_tracker("g", tracker)
    assert (tracker.completed, tracker.progress) == (False, 0)
    manager.remove_tracker("g", "logins")
    assert tracker.removed
    assert manager.add_tracker("g", tracker)
    assert (tracker.removed, tracker.progress) == (False, 0)
    manager.track("g", LOGIN)
    assert (tracker.completed, len(manager.completed("g"))) == (True, 2)


def test_an_equal_tracker_that_is_there_is_followed_by_the_second_object(manager: dt.TrackingManager) -> None:
    first, second = counter(), counter()
    assert manager.add_tracker("g", first)
    manager.track("g", LOGIN)
    assert not manager.add_tracker("g", second)
    manager.track("g", LOGIN)
    assert (first.progress, second.progress) == (2, 2)
    other = counter(target=11)
    with pytest.raises(dt.ConflictingNameError, match="logins"):
        manager.add_tracker("g", other)
    assert (other.progress, other.removed, first.progress) == (0, False, 2)


def test_objects_of_one_tracker_are_one_for_its_manager(manager: dt.TrackingManager) -> None:
    trackers = [dt.CountTracker("logins", target=10) for _ in range(5000)]
    started = time.perf_counter()
    for tracker in trackers:
        manager.ensure_tracker("g", tracker)
    # Looking up each of the others before would take a quarter of a minute.
    assert time.perf_counter() - started < 6
    manager.track("g", {})
    assert {tracker.progress for tracker in trackers} == {1}
    manager.remove_tracker("g")
    assert all(tracker.progress == 1 for tracker in trackers)


def test_an_expired_tracker_shows_its_last_state(manager: dt.TrackingManager) -> None:
    tracker = counter()
    manager.add_tracker("g", tracker, expire=60)
    assert tracker.expire_at == 1060
    manager.track("g", LOGIN, now=1059)
    assert not manager.track("g", LOGIN, now=1060).dirtied
    assert (tracker.progress, tracker.expire_at) == (1, 1060)


def test_the_lists_of_the_caller_are_never_changed_and_not_looked_into_again(manager: dt.TrackingManager) -> None:
    targets, conditions, limiters = [1, 2, 3], [dt.KeyExists("a")], [dt.CountLimiter(9)]
    document: dict[str, Any] = {"a": [1]}
    tracker = dt.CountTracker("t", conditions, target=targets, limiters=limiters)
    trackers = [tracker]
    manager.add_trackers("g", trackers)
    for _ in range(3):
        manager.track("g", document)
    assert (targets, conditions, document, trackers) == ([1, 2, 3], [dt.KeyExists("a")], {"a": [1]}, [tracker])
    assert (len(limiters), trackers[0] is tracker) == (1, True)
    targets.append(4)
    conditions.clear()
    limiters.clear()
    assert (tracker.targets, len(tracker.conditions), len(tracker.limiters)) == ([1, 2, 3], 1, 1)
    # Changing returned lists does not change the object either.
    tracker.targets.append(5)
    tracker.conditions.clear()
    assert (tracker.targets, len(tracker.conditions)) == ([1, 2, 3], 1)


def test_setters_change_the_object_and_update_tracker_makes_that_take_effect(manager: dt.TrackingManager) -> None:
    tracker = counter(target=3, limiters=[dt.CountLimiter(5)])
    manager.add_tracker("g", tracker)
    manager.track("g", LOGIN)
    tracker.progress = 2
    tracker.add_targets([6, 9])
    tracker.reset_policy = dt.ResetPolicy.ALL
    assert (tracker.progress, tracker.targets, tracker.reset_policy) == (2, [3, 6, 9], dt.ResetPolicy.ALL)
    (before,) = manager.get_trackers("g")
    assert (before.progress, before.targets, before.reset_policy) == (1, [3], dt.ResetPolicy.LIMITER)
    assert manager.update_tracker("g", tracker)
    (after,) = manager.get_trackers("g")
    assert (after.progress, after.targets, after.reset_policy) == (2, [3, 6, 9], dt.ResetPolicy.ALL)
    assert after.limiters[0].remaining == 4
    # From here on, the object is live again.
    manager.track("g", LOGIN)
    assert (tracker.progress, tracker.current_stage) == (0, 2)
    tracker.loop_forever = True
    assert manager.update_tracker("g", tracker)
    assert manager.get_trackers("g")[0].loop_forever
    assert not manager.update_tracker("g", counter("unknown"))


class Ones(dt.BaseLimiter):
    def __init__(self) -> None:
        super().__init__()
        self.ones = 0

    def post_track(self, data: Any, post_tracker: Any, *args: Any, **kwargs: Any) -> bool:
        self.ones += 1
        return True


class Tens(dt.BaseLimiter):
    def __init__(self) -> None:
        super().__init__()
        self.tens = 0

    def post_track(self, data: Any, post_tracker: Any, *args: Any, **kwargs: Any) -> bool:
        self.tens += 10
        return True


def test_limiters_that_were_replaced_stay_as_they_were_and_the_others_go_on(manager: dt.TrackingManager) -> None:
    ones, count, window = Ones(), dt.CountLimiter(5), dt.TimeLimiter(seconds=60)
    tracker = counter(limiters=[ones, count, window])
    manager.add_tracker("g", tracker)
    manager.track("g", LOGIN)
    assert (ones.ones, count.remaining) == (1, 4)
    manager.update_tracker("g", counter(limiters=[Tens(), dt.TimeLimiter(seconds=30), window]))
    manager.track("g", LOGIN)
    for _ in range(2):
        assert (ones.ones, hasattr(ones, "tens"), count.remaining, window.end) == (1, False, 4, 1060)
        tens, shorter, same = tracker.limiters
        assert isinstance(tens, Tens)
        assert isinstance(shorter, dt.TimeLimiter)
        assert (tens.tens, shorter.end, same is window) == (10, 1030, True)


def test_a_limiter_of_the_program_is_defined_by_what_it_was_when_it_was_added(manager: dt.TrackingManager) -> None:
    ones = Ones()
    tracker = counter(limiters=[ones], target=2, reset_policy=dt.ResetPolicy.NONE)
    before = tracker.to_dict()
    assert manager.add_tracker("g", tracker)
    manager.track("g", LOGIN)
    # Its attributes are its state; the definition and the tracker do not change.
    assert (ones.ones, tracker.to_dict()) == (1, before)
    assert not manager.add_tracker("g", tracker)
    tracker.add_targets(3)
    assert manager.update_tracker("g", tracker)
    manager.track("g", LOGIN)
    assert (ones.ones, tracker.limiters[0] is ones, tracker.progress, tracker.targets) == (2, True, 2, [2, 3])
    manager.track("g", LOGIN)
    assert tracker.completed
    assert manager.add_tracker("g", tracker)
    manager.track("g", LOGIN)
    assert (ones.ones, tracker.progress) == (1, 1)
    # Attributes set by the program make a different definition.
    ones.ones = 5
    assert manager.update_tracker("g", tracker)
    manager.track("g", LOGIN)
    assert ones.ones == 6


def test_what_was_given_out_shows_one_moment_for_good(manager: dt.TrackingManager) -> None:
    events: list[dt.TrackerEvent] = []
    manager.add_listener(dt.EVENT_TRACKER_STAGE_COMPLETED, events.append)
    manager.add_tracker("g", counter(target=[1, 9], limiters=[dt.CountLimiter(8)]))
    (dirtied,) = manager.track("g", LOGIN).dirtied
    (found,) = manager.get_trackers("g")
    shown = [repr(one) for one in (dirtied, found, events[0].tracker)]
    for _ in range(3):
        manager.track("g", LOGIN)
    assert [repr(one) for one in (dirtied, found, events[0].tracker)] == shown
    assert (events[0].progress, events[0].target, events[0].stage) == (1, 1, 1)
    manager.remove_tracker("g")
    assert not found.removed


def test_a_tracker_shows_its_last_state_when_its_manager_is_closed_or_gone() -> None:
    manager = dt.TrackingManager()
    tracker, unread = counter(limiters=[dt.CountLimiter(5)]), counter("unread")
    manager.add_trackers("g", [tracker, unread])
    manager.track("g", LOGIN)
    manager.close()
    assert (tracker.progress, unread.progress, tracker.limiters[0].remaining) == (1, 1, 4)
    with pytest.raises(dt.ClosedError):
        manager.track("g", LOGIN)
    del manager
    assert (tracker.progress, unread.progress, tracker.removed) == (1, 1, False)


def test_a_limiter_of_a_tracker_is_renewed_through_the_manager_only(manager: dt.TrackingManager) -> None:
    limiter = dt.CountLimiter(2)
    assert limiter.reset(reset_count=3)
    assert (limiter.count, limiter.remaining) == (3, 3)
    manager.add_tracker("g", counter(limiters=[limiter]))
    with pytest.raises(dt.DictrackError, match="belongs to a tracker"):
        limiter.reset()
    # Only the definition matters.
    assert limiter.remaining == 2


def test_a_tracker_that_is_in_no_group_shows_its_limiters_as_new(tmp_path: pathlib.Path) -> None:
    definition = {"name": "x", "kind": "count", "target": 9, "limiters": [{"count": 3}, {"start": 1, "end": 5}]}
    file = tmp_path / "trackers.json"
    file.write_text(json.dumps([definition]), "utf-8")
    for tracker in [dt.BaseTracker.from_dict(definition), *dt.load_trackers(file)]:
        count, window = tracker.limiters
        assert isinstance(count, dt.CountLimiter) and isinstance(window, dt.TimeLimiter)
        assert (count.remaining, window.start, window.end, tracker.progress) == (3, 1, 5, 0)
        assert "CountLimiter (count=3 remaining=3)" in repr(tracker)
