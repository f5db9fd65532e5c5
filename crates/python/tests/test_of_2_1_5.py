"""What the tests of dictrack 2.1.5 assert about conditions and limiters, and what this version adds.

Where the two differ, MIGRATION.md says so. No test here sleeps: limiters are told the moment.
"""

from __future__ import annotations

import dataclasses
import datetime
import json
import operator
from collections.abc import Callable
from typing import Any

import pytest

import dictrack as dt
from dictrack.conditions.base import AllOf, AnyOf, BaseCondition, Not
from dictrack.conditions.keys import (
    KeyExists,
    KeyNotExists,
    KeyValueComparison,
    KeyValueContained,
    KeyValueEQ,
    KeyValueGE,
    KeyValueGT,
    KeyValueInList,
    KeyValueLE,
    KeyValueListHasItem,
    KeyValueListIntersectList,
    KeyValueListNotHasItem,
    KeyValueListNotIntersectList,
    KeyValueLT,
    KeyValueNE,
    KeyValueNotContained,
    KeyValueNotInList,
)
from dictrack.limiters.base import BaseLimiter
from dictrack.limiters.count import CountLimiter
from dictrack.limiters.time import TimeLimiter
from dictrack.trackers import ResetPolicy
from dictrack.trackers.numerics.accumulation import AccumulationTracker
from dictrack.trackers.numerics.count import CountTracker
from dictrack.utils.errors import DefinitionError

MADRID = datetime.timezone(datetime.timedelta(hours=2))
MOMENT = datetime.datetime(2026, 5, 1, 2, 0, 1, tzinfo=MADRID)
# For arguments that type checkers reject.
UNTYPED: Any = dt


def seconds(number: float) -> datetime.timedelta:
    return datetime.timedelta(seconds=number)


@dataclasses.dataclass
class Kind:
    """A condition and its expected properties."""

    make: Callable[[], BaseCondition]
    shown: str
    spelled: dict[str, Any]
    match: list[Any]
    differ: list[Any]

    @property
    def negative(self) -> bool:
        return "absent" in self.spelled


def kind(
    cls: type[Any], operands: tuple[Any, ...], shown: str, spelled: dict[str, Any], match: list[Any], differ: list[Any]
) -> Kind:
    return Kind(lambda: cls("field", *operands), f"<{cls.__name__} (key=field{shown})>", spelled, match, differ)


def comparison(cls: type[Any], op: str, match: list[Any], differ: list[Any]) -> Kind:
    return kind(cls, (10,), f" operator={op} value=10", {op: 10}, match, differ)


def comparison_with(op: str, match: list[Any], differ: list[Any]) -> Kind:
    operands = (10, getattr(operator, op))
    return kind(KeyValueComparison, operands, f" operator={op} value=10", {op: 10}, match, differ)


def contained(cls: type[Any], word: str, case_sensitive: bool, match: list[Any], differ: list[Any]) -> Kind:
    spelled = {word: "tim"} if case_sensitive else {word: "tim", "ignore_case": True}
    shown = f" value=tim case_sensitive={case_sensitive}"
    return kind(cls, ("tim", case_sensitive), shown, spelled, match, differ)


# Values that order tests and lists do not accept: they do not match, without an error.
OTHER_TYPES = [None, True, [10], {"10": 10}]
WITH_TIM = ["tim", "optimal", ["tim"], {"tim": 1}]
WITHOUT_TIM = ["tom", "", ["optimal"], {"key": "tim"}, 1, None, True]
KINDS = [
    kind(KeyExists, (), "", {"exists": True}, ["tim", None, 0, "", [], {}], []),
    kind(KeyNotExists, (), "", {"absent": True}, [], ["tim", None, 0, "", [], {}]),
    comparison(KeyValueEQ, "eq", [10, 10.0], [9, "10", *OTHER_TYPES]),
    comparison(KeyValueNE, "ne", [9, "10", *OTHER_TYPES], [10, 10.0]),
    comparison(KeyValueGT, "gt", [11, 10.5], [10, 9, "11", *OTHER_TYPES]),
    comparison(KeyValueGE, "ge", [10, 11], [9.5, "11", *OTHER_TYPES]),
    comparison(KeyValueLT, "lt", [9, -1], [10, 11, "1", *OTHER_TYPES]),
    comparison(KeyValueLE, "le", [10, 9.5], [10.5, "1", *OTHER_TYPES]),
    comparison_with("eq", [10], [9, 11]),
    comparison_with("ne", [9, 11], [10]),
    comparison_with("gt", [11], [9, 10]),
    comparison_with("ge", [10, 11], [9]),
    comparison_with("lt", [9], [10, 11]),
    comparison_with("le", [9, 10], [11]),
    contained(KeyValueContained, "contains", True, WITH_TIM, ["Tim", "OPTIMAL", ["TIM"], {"Tim": 1}, *WITHOUT_TIM]),
    contained(KeyValueContained, "contains", False, ["Tim", "OPTIMAL", ["TIM"], {"Tim": 1}, *WITH_TIM], WITHOUT_TIM),
    contained(KeyValueNotContained, "not_contains", True, ["Tim", "OPTIMAL", ["TIM"], *WITHOUT_TIM], WITH_TIM),
    contained(KeyValueNotContained, "not_contains", False, WITHOUT_TIM, ["Tim", "OPTIMAL", ["TIM"], *WITH_TIM]),
    kind(KeyValueInList, ([1, "a"],), " value=[1, 'a']", {"in": [1, "a"]}, [1, 1.0, "a"], ["1", True, "b", None, [1]]),
    kind(KeyValueNotInList, ([1, "a"],), " value=[1, 'a']", {"not_in": [1, "a"]}, ["1", True, [1]], [1, 1.0, "a"]),
    kind(KeyValueListHasItem, ("a",), " value=a", {"has": "a"}, [["a"], ["b", "a"]], ["a", {"a": 1}, ["A"], [["a"]]]),
    kind(KeyValueListNotHasItem, ("a",), " value=a", {"not_has": "a"}, ["a", {"a": 1}, [], None], [["a"], ["b", "a"]]),
    kind(
        KeyValueListIntersectList,
        ([1, "a"],),
        " value=[1, 'a']",
        {"intersects": [1, "a"]},
        [["a"], [2, 1.0]],
        ["a", {"a": 1}, [2, True], [], None],
    ),
    kind(
        KeyValueListNotIntersectList,
        ([1, "a"],),
        " value=[1, 'a']",
        {"not_intersects": [1, "a"]},
        ["a", {"a": 1}, [2, True], [], None],
        [["a"], [2, 1.0]],
    ),
]
EACH_KIND = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.shown)


def tracker_with(*conditions: BaseCondition, limiters: list[BaseLimiter] | None = None) -> CountTracker:
    return CountTracker("tracker", list(conditions), target=10, limiters=limiters)


# Conditions.


def test_all_seventeen_classes_are_looked_at() -> None:
    from dictrack.conditions import keys

    assert {type(kind.make()).__name__ for kind in KINDS} == set(keys.__all__)
    assert len(keys.__all__) == 17


@EACH_KIND
def test_a_condition_is_shown_as_by_2_1_5(kind: Kind) -> None:
    assert repr(kind.make()) == kind.shown


@EACH_KIND
def test_a_condition_holds_for_what_matches(kind: Kind) -> None:
    assert [value for value in kind.match if kind.make().check({"field": value}) is not True] == []


@EACH_KIND
def test_a_condition_does_not_hold_for_what_differs(kind: Kind) -> None:
    assert [value for value in kind.differ if kind.make().check({"field": value}) is not False] == []


@EACH_KIND
def test_without_the_key_nothing_but_absence_holds(kind: Kind) -> None:
    for document in ({}, {"other": 10}, {"Field": 10}, {"fields": {"field": 10}}):
        assert kind.make().check(document) is kind.negative


@EACH_KIND
def test_equal_conditions_are_one_element_of_a_set(kind: Kind) -> None:
    one, other = kind.make(), kind.make()
    assert one is not other
    assert one == other
    assert not one != other
    assert len({one, other}) == 1


def test_conditions_are_equal_only_if_kind_key_operand_and_flags_are() -> None:
    # Each comparison has two equivalent forms.
    for at, one in enumerate(KINDS):
        for other in KINDS[at + 1 :]:
            assert (one.make() == other.make()) is (one.spelled == other.spelled), (one.shown, other.shown)
    assert KeyExists("a") != KeyExists("b")
    assert KeyValueEQ("a", 1) != KeyValueEQ("a", True)
    assert KeyValueEQ("a", 1) != KeyValueEQ("a", "1")
    assert KeyValueEQ("a", 1) == KeyValueEQ("a", 1.0)
    assert hash(KeyValueEQ("a", 1)) == hash(KeyValueEQ("a", 1.0))
    assert KeyExists("a") != "a"


@EACH_KIND
def test_a_condition_shows_what_it_was_made_of(kind: Kind) -> None:
    made: Any = kind.make()
    assert made.key == "field"
    (word, operand), *flags = kind.spelled.items()
    if word not in ("exists", "absent"):
        assert made.value == operand
    if word in ("contains", "not_contains"):
        assert made.case_sensitive is not bool(flags)
    if isinstance(made, KeyValueComparison):
        assert made.op is getattr(operator, word)


@EACH_KIND
def test_a_condition_goes_through_its_definition_and_back(kind: Kind) -> None:
    made = kind.make()
    assert made.to_dict() == {"key": "field", **kind.spelled}
    through_json = json.loads(json.dumps(tracker_with(made).to_dict()))
    assert through_json["conditions"] == [{"key": "field", **kind.spelled}]
    (back,) = CountTracker.from_dict(through_json).conditions
    assert back == made
    assert back.to_dict() == made.to_dict()
    assert [value for value in kind.match if not back.check({"field": value})] == []
    assert [value for value in kind.differ if back.check({"field": value})] == []


@EACH_KIND
def test_a_tracker_counts_what_its_condition_checks(kind: Kind) -> None:
    manager = dt.TrackingManager()
    manager.add_tracker("group", CountTracker("tracker", [kind.make()], target=1000))
    documents: list[dict[str, Any]] = [{"field": value} for value in kind.match + kind.differ] + [{}]
    counted = [bool(manager.track("group", document).dirtied) for document in documents]
    assert counted == [kind.make().check(document) for document in documents]


def test_keys_are_paths_into_maps_and_lists() -> None:
    document = {"user": {"tier": "gold", "a.b": 1}, "items": [{"id": 7}, {"id": 8}], "": {"": 0}, "a__dictor__b": 1}
    assert KeyValueEQ("user.tier", "gold").check(document)
    assert KeyValueEQ("items.0.id", 7).check(document)
    assert KeyValueEQ("items.-1.id", 8).check(document)
    assert KeyExists("user.a\\.b").check(document)
    assert KeyExists("a__dictor__b").check(document)
    assert KeyExists(".user..tier.").check(document)
    for missing in ("items.2", "items.-3", "items.+1", "items. 1", "items.x", "user.tier.g", "user.a.b", "USER.tier"):
        assert KeyNotExists(missing).check(document), missing


def test_no_text_stands_for_a_missing_value() -> None:
    assert KeyExists("field").check({"field": "_THIS_IS_DEFAULT_VALUE"})
    assert KeyValueEQ("field", "_THIS_IS_DEFAULT_VALUE").check({"field": "_THIS_IS_DEFAULT_VALUE"})


def test_case_is_folded_as_unicode_says() -> None:
    for operand, text in (("STRASSE", "Hauptstraße"), ("ΟΔΟΣ", "οδος"), ("οδοσ", "ΟΔΟΣ"), ("ſ", "S")):
        assert KeyValueContained("field", operand, case_sensitive=False).check({"field": text}), (operand, text)
        assert not KeyValueNotContained("field", operand, case_sensitive=False).check({"field": text})
        assert not KeyValueContained("field", operand).check({"field": text})


def test_order_is_between_texts_by_code_point() -> None:
    assert KeyValueLT("field", "a").check({"field": "Z"})
    assert KeyValueGT("field", "z").check({"field": "ä"})
    assert not KeyValueGE("field", "10").check({"field": 11})


def test_numbers_compare_by_their_full_value() -> None:
    assert KeyValueNE("field", 2**53 + 1).check({"field": 2.0**53})
    assert KeyValueGT("field", 2.0**53).check({"field": 2**53 + 1})
    assert not KeyValueEQ("field", 1).check({"field": float("nan")})
    assert KeyValueNE("field", 1).check({"field": float("nan")})
    assert not KeyValueLT("field", 1).check({"field": float("nan")})


def test_equality_is_deep_and_strict() -> None:
    assert KeyValueEQ("field", {"a": [1, {"b": None}]}).check({"field": {"a": [1.0, {"b": None}]}})
    assert not KeyValueEQ("field", {"a": [1]}).check({"field": {"a": [True]}})
    assert KeyValueInList("field", [[1, 2]]).check({"field": (1, 2)})


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (lambda: UNTYPED.KeyValueComparison("age", 10, op="eq"), ValueError, "op is 'eq'; expected one of operator.eq"),
        (lambda: KeyValueComparison("age", 10, op=operator.contains), ValueError, "expected one of operator.eq"),
        (
            lambda: UNTYPED.KeyValueComparison("age", 10, op=[]),
            ValueError,
            r"op is a list; expected one of operator.eq",
        ),
        (lambda: UNTYPED.KeyExists(5), TypeError, "key is an int; expected str"),
        (lambda: KeyExists(""), ValueError, 'key: a string ""; expected a dotted path'),
        (lambda: KeyExists("."), ValueError, 'key: a string "."; expected a dotted path'),
        (
            lambda: UNTYPED.KeyValueContained("name", "tim", case_sensitive="no"),
            TypeError,
            "case_sensitive is a str; expected bool",
        ),
        (lambda: KeyValueInList("age", "abc"), TypeError, "value is a str; expected a list or tuple"),
        (lambda: KeyValueNotInList("age", 5), TypeError, "value is an int; expected a list or tuple"),
        (lambda: KeyValueListIntersectList("tags", {"a"}), TypeError, "value is a set; expected a list or tuple"),
        (lambda: KeyValueListNotIntersectList("tags", []), ValueError, "an empty list; expected a non-empty list"),
        (lambda: KeyValueListHasItem("tags", object()), TypeError, "is an object, which JSON cannot represent"),
        (lambda: KeyValueEQ("age", float("nan")), ValueError, "NaN or infinite; expected finite numbers"),
        (lambda: KeyValueGT("age", True), ValueError, "a boolean true; expected a number or a string"),
        (lambda: KeyValueLT("age", [1]), ValueError, "a list; expected a number or a string"),
        (lambda: AllOf(), ValueError, "an empty list; expected a non-empty list of conditions"),
        (lambda: AnyOf(), ValueError, "an empty list; expected a non-empty list of conditions"),
        (lambda: UNTYPED.AnyOf(1), TypeError, "expected conditions; found an int"),
        (lambda: UNTYPED.Not("a"), TypeError, "expected conditions; found a str"),
        (lambda: UNTYPED.KeyExists("a") & 1, TypeError, "expected conditions; found an int"),
        (lambda: UNTYPED.KeyExists("a") | None, TypeError, "expected conditions; found a NoneType"),
    ],
)
def test_a_condition_that_cannot_be_is_refused_in_words(
    make: Callable[[], Any], error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        make()


def test_check_takes_documents_only() -> None:
    for value in ([1], "text", 5, None):
        with pytest.raises(TypeError, match="expected a dict or another mapping"):
            KeyExists("a").check(value)


# Compound conditions.

LOW, HIGH = KeyValueGT("age", 10), KeyValueLT("age", 20)


@pytest.mark.parametrize(
    ("condition", "spelled", "shown", "ages"),
    [
        (AllOf(LOW, HIGH), {"all": [LOW.to_dict(), HIGH.to_dict()]}, f"<AllOf ({LOW!r}, {HIGH!r})>", [15]),
        (AnyOf(HIGH, LOW), {"any": [HIGH.to_dict(), LOW.to_dict()]}, f"<AnyOf ({HIGH!r}, {LOW!r})>", [5, 15, 25]),
        (Not(LOW), {"not": LOW.to_dict()}, f"<Not ({LOW!r})>", [5, None]),
        (Not(AllOf(LOW, HIGH)), {"not": {"all": [LOW.to_dict(), HIGH.to_dict()]}}, None, [5, 25, None]),
        (AnyOf(Not(LOW), Not(HIGH)), {"any": [{"not": LOW.to_dict()}, {"not": HIGH.to_dict()}]}, None, [5, 25, None]),
    ],
)
def test_conditions_are_made_of_others(
    condition: BaseCondition, spelled: dict[str, Any], shown: str | None, ages: list[int | None]
) -> None:
    documents: dict[int | None, dict[str, Any]] = {5: {"age": 5}, 15: {"age": 15}, 25: {"age": 25}, None: {}}
    assert [age for age, document in documents.items() if condition.check(document)] == ages
    assert condition.to_dict() == spelled
    assert shown in (None, repr(condition))
    (back,) = CountTracker.from_dict(json.loads(json.dumps(tracker_with(condition).to_dict()))).conditions
    assert back == condition
    assert hash(back) == hash(condition)
    assert [age for age, document in documents.items() if back.check(document)] == ages


def test_operators_make_conditions_of_others() -> None:
    assert AllOf(LOW, HIGH) == LOW & HIGH
    assert AnyOf(LOW, HIGH) == LOW | HIGH
    assert Not(LOW) == ~LOW
    assert LOW & HIGH != HIGH & LOW
    assert LOW & HIGH != LOW | HIGH
    assert ~~LOW != LOW
    assert (LOW & HIGH | ~LOW).to_dict() == {
        "any": [{"all": [LOW.to_dict(), HIGH.to_dict()]}, {"not": LOW.to_dict()}],
    }
    assert AllOf(LOW, HIGH).conditions == (LOW, HIGH)


def test_not_is_plain_negation_and_a_negative_wants_the_key() -> None:
    assert Not(KeyValueEQ("age", 10)).check({})
    assert not KeyValueNE("age", 10).check({})
    assert Not(KeyExists("age")).check({})
    assert Not(KeyExists("age")) != KeyNotExists("age")


def test_conditions_nest_to_32_levels() -> None:
    nested: BaseCondition = LOW
    for _ in range(31):
        nested = Not(nested)
    assert nested.check({"age": 5}) is True
    with pytest.raises(DefinitionError, match="32"):
        Not(nested)


# Limiters.


class Tracker:
    """What a limiter is told about its tracker."""

    def __init__(self, dirtied: bool = True, completed: bool = False) -> None:
        self.dirtied = dirtied
        self.completed = completed


def test_a_count_limiter_is_limited_after_its_count() -> None:
    limiter = CountLimiter(3)
    assert [limiter.post_track({}, Tracker()) for _ in range(3)] == [True, True, False]
    assert limiter.limited is True
    assert (limiter.count, limiter.remaining) == (3, 0)
    assert limiter.pre_track({}, Tracker()) is False
    assert repr(limiter) == "<CountLimiter (count=3 remaining=0)>"


def test_a_count_limiter_is_open_again_after_a_reset() -> None:
    limiter = CountLimiter(3)
    for _ in range(3):
        limiter.post_track({}, Tracker())
    assert limiter.reset() is True
    assert (limiter.count, limiter.remaining, limiter.limited) == (3, 3, False)
    assert limiter.pre_track({}, Tracker()) is True


def test_a_count_limiter_takes_a_new_count_when_it_is_reset() -> None:
    limiter = CountLimiter(3)
    assert limiter.reset(reset_count=5) is True
    assert (limiter.count, limiter.remaining, limiter.limited) == (5, 5, False)
    assert limiter.reset(reset_count=0) is False
    assert (limiter.count, limiter.remaining, limiter.limited) == (0, 0, True)
    with pytest.raises(ValueError, match="reset_count is -1; expected 0 or more"):
        limiter.reset(reset_count=-1)
    for wrong in ("5", 1.5, True):
        with pytest.raises(TypeError, match=f"reset_count is a {type(wrong).__name__}; expected int"):
            limiter.reset(reset_count=wrong)
    assert (limiter.count, limiter.remaining) == (0, 0)


def test_a_count_limiter_is_not_limited_by_what_completes_or_before_its_count() -> None:
    completing = CountLimiter(1)
    assert completing.post_track({}, Tracker(completed=True)) is True
    assert completing.limited is False
    early = CountLimiter(2)
    assert early.post_track({}, Tracker()) is True
    assert (early.limited, early.remaining) == (False, 1)


def test_equal_count_limiters_are_one_element_of_a_set() -> None:
    assert CountLimiter(2) == CountLimiter(2)
    assert len({CountLimiter(2), CountLimiter(2)}) == 1
    assert CountLimiter(2) != CountLimiter(3)
    assert CountLimiter(2) != 2


def test_the_windows_of_2_1_5_close_and_a_reset_opens_them() -> None:
    made = [
        TimeLimiter(interval=seconds(1)),
        TimeLimiter(seconds=1),
        TimeLimiter(start_ts=1_000, end_ts=1_001),
        TimeLimiter(start_ts=1_000, interval=seconds(1)),
        TimeLimiter(start_ts=1_000, seconds=seconds(1)),
    ]
    for limiter in made:
        assert limiter.pre_track({}, Tracker(), now_ts=limiter.start) is True
        assert limiter.limited is False
        assert limiter.pre_track({}, Tracker(), now_ts=limiter.end) is True
        late = limiter.end + 1
        assert limiter.pre_track({}, Tracker(), now_ts=late) is False
        assert limiter.limited is True
        length = limiter.end - limiter.start
        assert limiter.reset(now_ts=late) is True
        assert limiter.limited is False
        assert (limiter.start, limiter.end) == (late, late + length)
        assert limiter.pre_track({}, Tracker(), now_ts=late) is True


def test_an_interval_begins_now() -> None:
    before = int(datetime.datetime.now().timestamp())
    limiter = TimeLimiter(interval=seconds(60))
    assert before <= limiter.start <= datetime.datetime.now().timestamp()
    assert limiter.pre_track({}, Tracker()) is True


def test_a_window_in_the_future_is_limited_until_it_opens() -> None:
    limiter = TimeLimiter(start_ts=4_000_000_000, end_ts=4_000_000_010)
    assert limiter.pre_track({}, Tracker()) is False
    assert limiter.limited is True
    assert limiter.pre_track({}, Tracker(), now_ts=4_000_000_005) is True
    assert limiter.limited is False


def test_a_window_takes_a_new_length_when_it_is_reset() -> None:
    limiter = TimeLimiter(start_ts=10, end_ts=20)
    assert limiter.reset(now_ts=100, reset_seconds=5) is True
    assert (limiter.start, limiter.end, limiter.interval) == (100, 105, seconds(5))
    assert limiter.reset(now_ts=200) is True
    assert (limiter.start, limiter.end) == (200, 205)


def test_equal_time_limiters_are_one_element_of_a_set() -> None:
    one, other = TimeLimiter(start_ts=10, end_ts=20), TimeLimiter(start_ts=10, interval=seconds(10))
    assert one == other
    assert len({one, other}) == 1
    assert repr(one) == repr(other) == "<TimeLimiter (start=10 end=20 interval=0:00:10)>"
    assert one != TimeLimiter(start_ts=10, end_ts=21)
    assert one != TimeLimiter(start_ts=9, end_ts=20)
    assert one != 10


def test_windows_take_dates_with_their_zone() -> None:
    start = datetime.datetime(2026, 5, 1, 2, tzinfo=MADRID)
    limiter = TimeLimiter(start_ts=start, interval=seconds(60))
    assert (limiter.start, limiter.end) == (1_777_593_600, 1_777_593_660)
    day = TimeLimiter(start_ts=datetime.date(2026, 5, 1), end_ts=datetime.date(2026, 5, 2))
    assert (day.start, day.end) == (1_777_593_600, 1_777_766_399.999999)


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (lambda: UNTYPED.CountLimiter("3"), TypeError, "count is a str; expected int"),
        (lambda: UNTYPED.CountLimiter(1.5), TypeError, "count is a float; expected int"),
        (lambda: CountLimiter(True), TypeError, "count is a bool; expected int"),
        (lambda: CountLimiter(0), ValueError, "count is 0; expected 1 or more"),
        (lambda: CountLimiter(-1), ValueError, "count is -1; expected 1 or more"),
        (lambda: TimeLimiter(start_ts="5", end_ts=9), ValueError, r'start: a string "5"; expected seconds since 1970'),
        (lambda: TimeLimiter(start_ts=5, end_ts="9"), ValueError, r'end: a string "9"; expected seconds since 1970'),
        (lambda: TimeLimiter(start_ts=[5]), TypeError, "start_ts is a list; expected seconds"),
        (lambda: TimeLimiter(end_ts=True), TypeError, "end_ts is a bool; expected seconds"),
        (lambda: UNTYPED.TimeLimiter(interval="9"), TypeError, "interval is a str; expected timedelta"),
        (lambda: UNTYPED.TimeLimiter(interval=9), TypeError, "interval is an int; expected timedelta"),
        (lambda: TimeLimiter(seconds="9"), TypeError, "seconds is a str; expected a number or timedelta"),
        (lambda: TimeLimiter(), ValueError, "expected start_ts, end_ts, interval or seconds"),
        (
            lambda: TimeLimiter(end_ts=9, interval=seconds(1)),
            ValueError,
            "use only one of end_ts, interval and seconds",
        ),
        (lambda: TimeLimiter(seconds=1, interval=seconds(1)), ValueError, "both interval and seconds are given"),
        (lambda: TimeLimiter(start_ts=5, end_ts=5), ValueError, "expected an end after the start"),
        (lambda: TimeLimiter(start_ts=7, end_ts=5), ValueError, "is before start"),
        (lambda: TimeLimiter(interval=seconds(0)), ValueError, "expected an end after the start"),
        (lambda: TimeLimiter(seconds=-1), ValueError, "expected a non-negative number of seconds"),
    ],
)
def test_a_limiter_that_cannot_be_is_refused_in_words(
    make: Callable[[], Any], error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        make()


@pytest.mark.parametrize(
    ("make", "spelled"),
    [
        (lambda: CountLimiter(3), {"count": 3}),
        (lambda: TimeLimiter(start_ts=10, end_ts=20), {"start": 10, "end": 20}),
        (lambda: TimeLimiter(start_ts=10, interval=seconds(1.5)), {"start": 10, "end": 11.5}),
        (lambda: TimeLimiter(seconds=60), {"seconds": 60}),
        (lambda: TimeLimiter(interval=seconds(60)), {"seconds": 60}),
        (lambda: TimeLimiter(seconds=seconds(0.25)), {"seconds": 0.25}),
        (
            lambda: TimeLimiter(start_ts=datetime.date(2026, 5, 1), end_ts=MOMENT),
            {"start": 1_777_593_600, "end": 1_777_593_601},
        ),
        (lambda: TimeLimiter(end_ts=20), {"end": 20}),
        (lambda: TimeLimiter(start_ts="1970-01-01T00:00:10Z"), {"start": 10}),
        (lambda: TimeLimiter(end_ts="1970-01-01T00:00:10Z"), {"end": 10.999999}),
        (lambda: TimeLimiter(end_ts="1970-01-01T00:00:10.0Z"), {"end": 10}),
        (lambda: TimeLimiter(end_ts=datetime.date(1970, 1, 1)), {"end": 86_399.999999}),
        (lambda: TimeLimiter(end_ts="1970-01-01"), {"end": 86_399.999999}),
        (lambda: TimeLimiter(end_ts=datetime.datetime(1970, 1, 1)), {"end": 0}),
        (lambda: TimeLimiter(start_ts="1970-01-01", seconds=60), {"start": 0, "end": 60}),
    ],
)
def test_a_limiter_goes_through_its_definition_and_back(
    make: Callable[[], BaseLimiter], spelled: dict[str, Any]
) -> None:
    limiter = make()
    assert json.loads(json.dumps(limiter.to_dict())) == spelled
    through_json = json.loads(json.dumps(tracker_with(limiters=[limiter]).to_dict()))
    assert through_json["limiters"] == [spelled]
    (back,) = CountTracker.from_dict(through_json).limiters
    assert type(back) is type(limiter)
    assert back.to_dict() == spelled


# Trackers.


def test_a_tracker_goes_through_its_definition_and_back() -> None:
    made = AccumulationTracker(
        "revenue",
        [kind.make() for kind in KINDS] + [LOW & HIGH, LOW | HIGH, ~LOW],
        target=[10, 20.5],
        key="cart.sum",
        limiters=[CountLimiter(5), TimeLimiter(start_ts=10, end_ts=20), TimeLimiter(seconds=60)],
        reset_policy=ResetPolicy.ALL,
        loop_forever=True,
        init_progress=1.5,
        expire_at=4_000_000_000,
    )
    back = AccumulationTracker.from_dict(json.loads(json.dumps(made.to_dict())))
    assert type(back) is AccumulationTracker
    assert back.to_dict() == made.to_dict()
    assert back == made
    assert back.conditions == made.conditions
    assert [limiter.to_dict() for limiter in back.limiters] == [{"count": 5}, {"start": 10, "end": 20}, {"seconds": 60}]
    assert (back.key, back.targets, back.loop_forever) == ("cart.sum", [10, 20.5], True)
    assert back.reset_policy == ResetPolicy.ALL
    assert (back.progress, back.expire_at) == (1.5, 4_000_000_000)


def test_from_dict_makes_trackers_of_the_class_of_their_kind() -> None:
    assert type(CountTracker.from_dict({"name": "a", "kind": "count", "target": 1})) is CountTracker
    assert type(CountTracker.from_dict({"name": "a", "kind": "sum", "target": 1})) is AccumulationTracker
    with pytest.raises(DefinitionError, match="burst: unknown field `burst`; expected one of name, kind, key"):
        CountTracker.from_dict({"name": "a", "kind": "count", "target": 1, "burst": 1})


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"name": 1}, TypeError, "name is an int; expected str"),
        ({"conditions": [1]}, TypeError, r"conditions\[0\] is an int; expected a BaseCondition"),
        ({"conditions": LOW}, TypeError, "conditions is a KeyValueGT; expected a list of BaseCondition"),
        ({"conditions": "text"}, TypeError, "conditions is a str; expected a list of BaseCondition"),
        ({"limiters": [LOW]}, TypeError, r"limiters\[0\] is a KeyValueGT; expected a BaseLimiter"),
        ({"target": "1"}, TypeError, "target is a str; expected a number"),
        ({"target": True}, TypeError, "target is a bool; expected a number"),
        ({"target": [1, None]}, TypeError, r"target\[1\] is a NoneType; expected a number"),
        ({"target": []}, ValueError, "target: an empty list; expected a number or a non-empty list"),
        ({"target": [20, 10], "loop_forever": True}, ValueError, "expected positive, ascending targets"),
        ({"group_id": 1}, TypeError, "group_id is an int; expected str"),
        ({"reset_policy": 4}, ValueError, "reset_policy is 4; expected a combination of ResetPolicy flags, 0 to 3"),
        ({"loop_forever": 1}, TypeError, "loop_forever is an int; expected bool"),
        ({"init_progress": "x"}, ValueError, 'init_progress: a string "x"; expected a number'),
    ],
)
def test_a_tracker_that_cannot_be_is_refused_in_words(
    options: dict[str, Any], error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        CountTracker(**{"name": "tracker", "conditions": [], "target": 1, **options})


def test_a_tracker_with_a_key_that_is_no_text_is_refused() -> None:
    with pytest.raises(TypeError, match="key is an int; expected str"):
        UNTYPED.AccumulationTracker("tracker", [], 1, key=5)


def test_the_lists_of_the_caller_are_never_changed() -> None:
    conditions, targets, limiters = [KeyExists("a")], [1, 2, 3], [CountLimiter(9)]
    tracker = CountTracker("tracker", conditions, target=targets, limiters=limiters)
    manager = dt.TrackingManager()
    manager.add_tracker("group", tracker)
    for _ in range(2):
        manager.track("group", {"a": 1})
    tracker.add_targets([4])
    assert manager.update_tracker("group", tracker)
    manager.track("group", {"a": 1})
    assert (tracker.current_stage, tracker.targets) == (4, [1, 2, 3, 4])
    assert (len(conditions), targets, len(limiters)) == (1, [1, 2, 3], 1)
