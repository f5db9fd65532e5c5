"""Tracking one document and many: with the trackers that a group must have, in pieces, from several threads."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest

import dictrack as dt


def counter(name: str = "all", target: Any = 10_000, **options: Any) -> dt.CountTracker:
    return dt.CountTracker(name, target=target, **options)


def progress(manager: dt.TrackingManager, group: str) -> dict[str, Any]:
    return {tracker.name: tracker.progress for tracker in manager.get_trackers(group)}


def test_many_documents_do_what_a_loop_does() -> None:
    # More than are read at a time.
    items = [(f"user_{n % 7}", {"n": n, "even": n % 2 == 0}, 1000 + n, f"id {n % 900}") for n in range(1000)]
    even = [dt.KeyValueEQ("even", True)]
    with dt.TrackingManager() as one, dt.TrackingManager() as other:
        for manager in (one, other):
            for group in range(7):
                manager.add_trackers(
                    f"user_{group}", [counter("even", [1, 50, 60], conditions=even), counter("all", 150)], now=0
                )
        loop = [one.track(group, data, now=now, event_id=id) for group, data, now, id in items]
        for given in (items[:333], tuple(items[333:600]), iter([list(item) for item in items[600:]])):
            many = other.track_many(given)
            expected, loop = loop[: len(many)], loop[len(many) :]
            assert [repr(outcome) for outcome in many] == [repr(outcome) for outcome in expected]
            assert [event.id for event in many.events] == [event.id for outcome in expected for event in outcome.events]
            assert many.errors == {}
        assert loop == []
        for group in range(7):
            assert progress(one, f"user_{group}") == progress(other, f"user_{group}")


def test_outcomes_are_a_sequence() -> None:
    with dt.TrackingManager() as manager:
        manager.add_tracker("g", counter(target=2))
        outcomes = manager.track_many([("g", {}), ("h", []), ("g", {}), ("h", {})])
        assert repr(outcomes) == "<Outcomes (4 documents, 1 failed)>"
        assert isinstance(outcomes, Sequence) and len(outcomes) == 4
        first, error, third, last = outcomes
        assert outcomes[0] is first and outcomes[-1] is last and outcomes[1:3] == [error, third]
        assert third in outcomes and isinstance(error, TypeError) and outcomes.errors == {1: error}
        assert isinstance(first, dt.Outcome) and isinstance(third, dt.Outcome) and isinstance(last, dt.Outcome)
        (tracker,) = first.dirtied
        assert (tracker.progress, tracker.group_id) == (1, "g")
        assert [tracker.name for tracker in third.completed] == ["all"] and not last.dirtied
        assert [event.code for event in outcomes.events] == [event.code for event in third.events] != []
        with pytest.raises(IndexError):
            outcomes[4]
        empty = manager.track_many([])
        assert not empty and list(empty) == [] and empty.events == [] and empty.errors == {}


def test_ensure_adds_what_a_group_lacks() -> None:
    with dt.TrackingManager() as manager:
        added: list[str] = []
        manager.add_listener(
            dt.EVENT_TRACKER_ADDED, lambda event: added.append(f"{event.group_id} {event.tracker.name}")
        )
        once, many = counter("once", 1), counter("many", [1, 2])
        trackers = manager.tracker_list([once, many])
        assert (len(trackers), trackers.names, repr(trackers)) == (2, ["once", "many"], "<TrackerList (once, many)>")
        many.add_targets(5)  # The list keeps what it was made of.
        outcome = manager.track("a", {}, ensure=trackers)
        assert [tracker.name for tracker in outcome.completed] == ["once"]
        assert not manager.track("a", {}, ensure=trackers).failed
        manager.track("b", {}, ensure=[counter("once", 1)])
        results = manager.track_many([("c", {}), ("c", {}), ("a", {})], ensure=trackers)
        assert results.errors == {} and [
            len(outcome.completed) for outcome in results if isinstance(outcome, dt.Outcome)
        ] == [1, 1, 0]
        assert added == ["a once", "a many", "b once", "c once", "c many"]
        # It was made for another manager, and counts here too.
        with dt.TrackingManager() as other:
            other.track("a", {}, ensure=trackers)
            assert progress(other, "a") == {"many": 1}


def test_a_group_with_another_tracker_of_that_name_does_not_count() -> None:
    with dt.TrackingManager() as manager:
        manager.add_trackers("g", [counter(target=5), counter("other", 5)])
        trackers = manager.tracker_list([counter(target=6)])
        with pytest.raises(dt.ConflictingNameError, match='an active tracker named "all" has a different definition'):
            manager.track("g", {}, ensure=trackers)
        outcomes = manager.track_many([("g", {}), ("h", {})], ensure=trackers)
        assert list(outcomes.errors) == [0] and isinstance(outcomes[0], dt.ConflictingNameError)
        assert progress(manager, "g") == {"all": 0, "other": 0} and progress(manager, "h") == {"all": 1}


def test_an_interrupted_batch_keeps_what_was_read_before() -> None:
    class Interrupting(Mapping[str, Any]):
        def __iter__(self) -> Iterator[str]:
            raise KeyboardInterrupt

        def __getitem__(self, key: str) -> Any:
            raise KeyError(key)

        def __len__(self) -> int:
            return 1

    with dt.TrackingManager() as manager:
        manager.add_tracker("g", counter())
        with pytest.raises(KeyboardInterrupt):
            manager.track_many([("g", {})] * 300 + [("g", Interrupting())] + [("g", {})] * 300)
        assert progress(manager, "g") == {"all": 300}


def test_a_document_waits_for_custom_code_of_another_thread() -> None:
    asked, answer = threading.Event(), threading.Event()
    waiting: list[int] = []

    @dt.condition(name="answers when told")  # type: ignore[untyped-decorator]
    def answers(data: Any) -> bool:
        if data.get("waits"):
            asked.set()
            assert answer.wait(20)
        return True

    with dt.TrackingManager() as manager:
        manager.add_tracker("g", counter(conditions=[answers()]))
        first = threading.Thread(target=lambda: manager.track("g", {"waits": True}))
        first.start()
        assert asked.wait(20)
        others = [
            threading.Thread(target=lambda: waiting.append(len(manager.track("g", {}).dirtied))),
            threading.Thread(target=lambda: waiting.append(len(manager.track_many([("g", {})] * 2)))),
        ]
        for other in others:
            other.start()
        # They wait for the group, without the GIL.
        assert not waiting and all(other.is_alive() for other in others)
        answer.set()
        for thread in (first, *others):
            thread.join(20)
        assert sorted(waiting) == [1, 2] and progress(manager, "g") == {"all": 4}


def test_a_subclass_may_add_arguments_and_must_open_the_manager() -> None:
    class Mine(dt.TrackingManager):
        def __init__(self, prefix: str, **options: Any) -> None:
            super().__init__(**options)
            self.prefix = prefix

        def track(self, group_id: str, data: Any, **options: Any) -> dt.Outcome:
            return super().track(self.prefix + group_id, data, **options)

    class Unopened(dt.TrackingManager):
        def __init__(self) -> None:
            pass

    with Mine("eu:", ahead=5) as manager:
        manager.add_tracker("eu:a", counter())
        assert manager.track("a", {}).dirtied and progress(manager, "eu:a") == {"all": 1}
    with pytest.raises(AttributeError, match="the manager was not opened: its __init__ did not run"):
        Unopened().track("a", {})


def test_track_says_how_to_call_it() -> None:
    assert str(inspect.signature(dt.TrackingManager.track)) == (
        "(self, group_id, data, *, now=None, event_id=None, ensure=None, **kwargs)"
    )
    assert "event_id : str, optional" in (inspect.getdoc(dt.TrackingManager.track) or "")
