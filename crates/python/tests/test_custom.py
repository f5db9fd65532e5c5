"""Custom conditions, limiters and trackers: registered by name, stored as JSON, evaluated, and never trusted."""

from __future__ import annotations

import datetime
import logging
from typing import Any

import pytest

import dictrack as dt
from dictrack import _custom


class HighAmount(dt.BaseCondition):
    """As in example 6: ``__init__`` and ``check`` are enough."""

    def __init__(self, least: float) -> None:
        self.least = least

    def check(self, data: Any, *args: Any, **kwargs: Any) -> bool:
        return bool(data.get("amount", 0) >= self.least)


class Named(dt.BaseCondition):
    registered_name = "tests.named"

    def check(self, data: Any, *args: Any, **kwargs: Any) -> bool:
        return "named" in data


class Squares(dt.BaseTracker):
    def __init__(self, name: str, conditions: Any = (), target: Any = 100, *, factor: int = 1) -> None:
        super().__init__(name, conditions, target)
        self.factor = factor

    def amount(self, data: Any) -> Any:
        return self.factor * data["x"] ** 2 if "x" in data else None


class EveryOther(dt.BaseLimiter):
    """Admits every other document that it evaluates and that counts, up to ``most`` of them."""

    def __init__(self, most: int = 3) -> None:
        super().__init__()
        self.most = most
        self.counted: list[float] = []

    def pre_track(self, data: Any, pre_tracker: Any, *args: Any, **kwargs: Any) -> bool:
        return bool(data.get("even", True))

    def post_track(self, data: Any, post_tracker: Any, *args: Any, **kwargs: Any) -> bool:
        assert (post_tracker.dirtied, post_tracker.completed) == (True, False)
        self.counted.append(kwargs["now_ts"])
        return len(self.counted) < self.most

    def reset(self, *args: Any, **kwargs: Any) -> Any:
        self.counted.clear()
        self.most = kwargs.get("reset_count", self.most)
        self.limited = False
        return self.most > 0


@dt.condition
def is_long(data: Any, least: int = 3) -> bool:
    return len(data["word"]) >= least


@dt.measure(name="tests.length")  # type: ignore[untyped-decorator]
def length(data: Any, times: int = 1) -> Any:
    return len(data["word"]) * times


@dt.limiter
def on_weekdays(data: Any, days: Any = ()) -> bool:
    return data.get("day") in days


def progress_of(manager: dt.TrackingManager, *documents: dict[str, Any], group: str = "g") -> dict[str, Any]:
    for document in documents:
        manager.track(group, document)
    return {tracker.name: tracker.progress for tracker in manager.get_trackers(group)}


def test_subclasses_and_functions_are_registered_by_name_and_count() -> None:
    manager = dt.TrackingManager()
    trackers = [
        dt.CountTracker("high", [HighAmount(10)], target=9),
        dt.CountTracker("low", [~HighAmount(least=10) & dt.KeyExists("amount")], target=9),
        dt.CountTracker("named", [Named()], target=9),
        dt.CountTracker("long", [is_long(least=4)], target=9),
        dt.CustomTracker("length", [dt.KeyExists("word")], target=99, measure=length(times=2)),
        Squares("squares", factor=3),
        dt.CountTracker("weekdays", target=9, limiters=[on_weekdays(days=["mon", "tue"])]),
    ]
    manager.add_trackers("g", trackers)
    progress = progress_of(
        manager, {"amount": 10}, {"amount": 9.5}, {"word": "long", "day": "mon"}, {"named": 0, "x": 2}
    )
    assert progress == {"high": 1, "low": 1, "named": 1, "long": 1, "length": 8, "squares": 12, "weekdays": 1}
    here = __name__
    assert trackers[0].to_dict()["conditions"] == [{"custom": f"{here}.HighAmount", "params": {"least": 10}}]
    assert trackers[2].to_dict()["conditions"] == [{"custom": "tests.named"}]
    assert trackers[3].to_dict()["conditions"] == [{"custom": f"{here}.is_long", "params": {"least": 4}}]
    assert trackers[4].to_dict() == {
        "name": "length", "kind": "custom", "measure": "tests.length", "params": {"times": 2}, "target": 99,
        "conditions": [{"key": "word", "exists": True}],
    }  # fmt: skip
    assert trackers[5].to_dict()["measure"] == f"{here}.Squares"
    assert trackers[5].to_dict()["params"] == {"factor": 3}
    (squares,) = manager.get_trackers("g", "squares")
    assert isinstance(squares, Squares)
    assert (squares.factor, squares.progress, trackers[5].progress) == (3, 12, 12)


def test_conditions_of_the_program_are_equal_by_name_and_attributes() -> None:
    assert HighAmount(1) == HighAmount(1)
    assert hash(HighAmount(1)) == hash(HighAmount(1))
    assert HighAmount(1) != HighAmount(2)
    assert HighAmount(1) != Named()
    assert is_long(least=1) == is_long(least=1) != is_long(least=2)
    assert HighAmount(5).check({"amount": 5})
    manager = dt.TrackingManager()
    assert manager.add_tracker("g", dt.CountTracker("high", [HighAmount(10)], target=9))
    assert not manager.add_tracker("g", dt.CountTracker("high", [HighAmount(10)], target=9))
    with pytest.raises(dt.ConflictingNameError):
        manager.add_tracker("g", dt.CountTracker("high", [HighAmount(11)], target=9))


def test_a_subclass_of_a_class_of_the_program_is_registered_too() -> None:
    class VeryHigh(HighAmount):
        def __init__(self) -> None:
            super().__init__(1000)

    class OnlyOne(EveryOther):
        def __init__(self) -> None:
            super().__init__(1)

    class Cubes(Squares):
        def amount(self, data: Any) -> Any:
            return self.factor * data["x"] ** 3

    class Doubled(Cubes):
        pass

    manager = dt.TrackingManager()
    limiter = OnlyOne()
    manager.add_tracker("g", dt.CountTracker("high", [VeryHigh()], target=9, limiters=[limiter]))
    manager.add_trackers("g", [Cubes("cubes", factor=2), Doubled("doubled", factor=3)])
    outcome = manager.track("g", {"amount": 1000, "x": 2})
    assert outcome.failed == {}
    assert progress_of(manager, {"amount": 999, "x": 0}) == {"high": 1, "cubes": 16, "doubled": 24}
    assert (len(limiter.counted), limiter.limited) == (1, True)
    assert [type(tracker) for tracker in manager.get_trackers("g")] == [dt.CountTracker, Cubes, Doubled]


def test_attributes_that_are_not_json_are_a_type_error_when_the_tracker_is_added() -> None:
    manager = dt.TrackingManager()
    for value, found in [
        ({1}, "a set"),
        (datetime.date(2026, 1, 1), "a date"),
        (float("nan"), "nan"),
        (object(), "an object"),
    ]:
        for where, nested in [("least", value), (r"least\['a'\]\[0\]", {"a": [value]})]:
            with pytest.raises(TypeError, match=rf"^HighAmount\.{where} is {found}, which JSON cannot represent"):
                condition = HighAmount(nested)  # type: ignore[arg-type]
                manager.add_tracker("g", dt.CountTracker("high", [condition], target=9))
    with pytest.raises(TypeError, match=r"is_long\(least\) is a bytes, which JSON cannot represent"):
        is_long(least=b"3")
    squares = Squares("squares")
    squares.factor = b"3"  # type: ignore[assignment]
    with pytest.raises(TypeError, match=r"^Squares\.factor is a bytes"):
        manager.add_tracker("g", squares)
    assert manager.get_trackers("g") == []


def test_what_custom_code_raises_is_logged_with_its_traceback_and_listed_in_failed(caplog: Any) -> None:
    manager = dt.TrackingManager()
    long = dt.CountTracker("long", [is_long(least=1)], target=9, limiters=[dt.CountLimiter(5)])
    manager.add_trackers("g", [long, dt.CountTracker("plain", target=9), Squares("squares")])
    with caplog.at_level(logging.ERROR, logger="dictrack"):
        outcome = manager.track("g", {"x": "text"})
    assert [tracker.name for tracker in outcome.dirtied] == ["plain"]
    assert "KeyError: 'word'" in outcome.failed["long"]
    assert "TypeError" in outcome.failed["squares"]
    assert (long.progress, long.limiters[0].remaining) == (0, 5)
    raised = {record.exc_info[0] for record in caplog.records if record.exc_info}
    assert raised == {KeyError, TypeError}
    for named in ("is_long", 'len(data["word"])', "Squares", "in amount"):
        assert named in caplog.text
    verdicts = {explanation.name: explanation.verdict for explanation in manager.explain("g", {"x": "text"})}
    assert verdicts == {"long": "failed", "plain": "counted", "squares": "failed"}


def test_calling_the_manager_from_custom_code_is_reentrant_and_fails_that_tracker() -> None:
    manager = dt.TrackingManager()
    raised: list[BaseException] = []

    @dt.condition(name="tests.calls_back")  # type: ignore[untyped-decorator]
    def calls_back(data: Any, call: str) -> bool:
        try:
            getattr(manager, call)(*(("g", {}) if call in ("track", "explain") else ("g",)))
        except dt.ReentrantError as error:
            raised.append(error)
            raise
        return True

    calls = ["track", "explain", "get_trackers", "remove_tracker", "completed"]
    manager.add_trackers("g", [dt.CountTracker(call, [calls_back(call=call)], target=9) for call in calls])
    manager.add_tracker("g", dt.CountTracker("plain", target=9))
    outcome = manager.track("g", {})
    assert sorted(outcome.failed) == sorted(calls)
    assert all("ReentrantError" in error for error in outcome.failed.values())
    assert len(raised) >= len(calls)
    assert progress_of(manager) == dict.fromkeys(calls, 0) | {"plain": 1}


def test_what_check_changes_on_its_object_is_not_kept() -> None:
    seen: list[Any] = []

    class Counting(dt.BaseCondition):
        def __init__(self) -> None:
            self.calls = 0
            self.documents: dict[str, list[int]] = {"seen": []}

        def check(self, data: Any, *args: Any, **kwargs: Any) -> bool:
            self.calls += 1
            self.documents["seen"].append(1)
            seen.append((self.calls, self.documents["seen"]))
            return True

    class Carried(Counting):
        def to_json(self) -> Any:
            return {"calls": self.calls}

        @classmethod
        def from_json(cls, params: Any) -> Any:
            made = cls()
            made.calls = params["calls"]
            return made

    manager = dt.TrackingManager()
    conditions = [Counting(), Carried()]
    for at, condition in enumerate(conditions):
        manager.add_tracker("g", dt.CountTracker(f"{at}", [condition], target=9))
    assert progress_of(manager, {}, {}, {}) == {"0": 3, "1": 3}
    assert len(seen) >= 6
    assert all(one == (1, [1]) for one in seen)
    assert [(condition.calls, condition.documents) for condition in conditions] == [(0, {"seen": []})] * 2


def test_a_limiter_of_the_program_is_asked_takes_note_is_reset_and_its_object_follows() -> None:
    manager = dt.TrackingManager(clock=dt.TestClock(100))
    limiter = EveryOther(most=2)
    tracker = dt.CountTracker("t", [dt.KeyExists("even")], target=99, limiters=[limiter])
    events: list[dt.LimitedTrackerEvent] = []
    manager.add_listener(dt.EVENT_TRACKER_LIMITED, events.append)
    manager.add_tracker("g", tracker)
    assert manager.track("g", {"even": False}).refused
    assert (limiter.counted, tracker.limited, len(events)) == ([], True, 1)
    # Limiters are only evaluated for documents that satisfy the conditions.
    assert not manager.track("g", {}).limited
    manager.track("g", {"even": True}, now=101)
    assert (limiter.counted, limiter.limited, tracker.limited) == ([101], False, False)
    outcome = manager.track("g", {"even": True}, now=102)
    assert (limiter.counted, limiter.limited, tracker.progress) == ([101, 102], True, 2)
    assert (len(outcome.limited), len(outcome.refused), len(events)) == (1, 0, 2)
    assert isinstance(events[-1].limiter, EveryOther)
    assert events[-1].limiter.counted == [101, 102]
    assert manager.track("g", {"even": True}).refused
    assert manager.reset_tracker("g", "t", dt.ResetPolicy.LIMITER, reset_count=1)
    assert (limiter.counted, limiter.most, limiter.limited) == ([], 1, False)
    manager.track("g", {"even": True})
    assert (limiter.counted, limiter.limited) == ([100], True)
    assert manager.reset_tracker("g", "t", dt.ResetPolicy.LIMITER, reset_count=0)
    assert manager.track("g", {"even": True}).refused
    assert (tracker.progress, len(events)) == (3, 4)


def test_a_class_of_the_same_name_replaces_the_one_before() -> None:
    def made(answer: bool) -> type[dt.BaseCondition]:
        class Replaced(dt.BaseCondition):
            registered_name = "tests.replaced"

            def check(self, data: Any, *args: Any, **kwargs: Any) -> bool:
                return answer

        return Replaced

    manager = dt.TrackingManager()
    manager.add_tracker("g", dt.CountTracker("t", [made(False)()], target=9))
    assert progress_of(manager, {}) == {"t": 0}
    made(True)
    assert progress_of(manager, {}) == {"t": 1}
    assert _custom.knows("condition", "tests.replaced")


class EvenMinutes(dt.BaseLimiter):
    """Admits in even minutes, and says when the next one begins."""

    def pre_track(self, data: Any, tracker: Any, *args: Any, **kwargs: Any) -> bool:
        minute = int(kwargs["now_ts"] // 60)
        self.retry_at = (minute + 1) * 60
        return minute % 2 == 0


def test_a_limiter_of_the_program_says_until_when_it_refuses() -> None:
    with dt.TrackingManager() as manager:
        manager.add_tracker("g", dt.CountTracker("n", target=9, limiters=[dt.CountLimiter(5), EvenMinutes()]), now=0)
        refused = manager.track("g", {}, now=61)
        assert refused.refusals == {"n": {"limiter": 1, "until": 120}}
        assert (list(refused.counted), [tracker.name for tracker in refused.refused]) == ([], ["n"])
        [explanation] = manager.explain("g", {}, now=61)
        assert (explanation.verdict, explanation.until) == ("limited", 120)
        counted = manager.track("g", {}, now=120)
        assert ([tracker.name for tracker in counted.counted], counted.refusals) == (["n"], {})
