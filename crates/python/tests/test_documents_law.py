"""Conditions and sums compared with a second implementation of the rules in plain Python."""

from __future__ import annotations

import decimal
import math
import operator
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import dictrack as dt

# Few values, so that many of them are equal.
_atoms: st.SearchStrategy[Any] = st.sampled_from(
    [None, True, False, 0, 1, 1.0, -1, 0.1, 0.5, 2**53, 2**53 + 1, float(2**53), 10**22, 1e22, 2**70]
    + ["", "a", "A", "ab", "AB", "ß", "SS", "ss", "ſ", "ς", "Σ", "1", "true", "\uffff", "\U00010000", "İ"]
) | st.sampled_from([4298, 5000]).map(lambda zeros: 10**zeros)


def _nested(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "A", "ß", "1"]), inner, max_size=2)


_operands = st.recursive(_atoms, _nested, max_leaves=4)
_values = st.recursive(_atoms | st.sampled_from([math.nan, math.inf, -math.inf]), _nested, max_leaves=4)
MISSING: Any = object()


def is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def exact(value: Any) -> Any:
    """The exact value; for a float, the shortest decimal that reads back."""
    return Fraction(repr(value)) if isinstance(value, float) and math.isfinite(value) else value


def equals(one: Any, other: Any, fold: Callable[[str], str] = str) -> bool:
    if isinstance(one, str) and isinstance(other, str):
        return fold(one) == fold(other)
    if is_number(one) and is_number(other):
        return bool(exact(one) == exact(other))
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(equals, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(equals(one[key], other[key]) for key in one)
    return one is other and (one is None or isinstance(one, bool))


def ordered(value: Any, operand: Any, op: Callable[[Any, Any], bool]) -> bool:
    if is_number(value) and is_number(operand):
        return op(exact(value), exact(operand))
    return isinstance(value, str) and isinstance(operand, str) and op(value, operand)


def contains(value: Any, operand: Any, fold: Callable[[str], str]) -> bool:
    if isinstance(value, str):
        return isinstance(operand, str) and fold(operand) in fold(value)
    return isinstance(value, (list, dict)) and any(equals(item, operand, fold) for item in value)


def has(value: Any, operand: Any) -> bool:
    return isinstance(value, list) and any(equals(item, operand) for item in value)


def law(word: str, operand: Any, value: Any, fold: Callable[[str], str] = str) -> bool:
    """Whether a condition holds for a value that exists."""
    if word == "ne" or word.startswith("not_"):
        return not law("eq" if word == "ne" else word.removeprefix("not_"), operand, value, fold)
    if word in ("lt", "le", "gt", "ge"):
        return ordered(value, operand, getattr(operator, word))
    if word == "contains":
        return contains(value, operand, fold)
    if word == "has":
        return has(value, operand)
    if word == "intersects":
        return any(has(value, one) for one in operand)
    return any(equals(value, one) for one in (operand if word == "in" else [operand]))


_ONE: dict[str, Callable[..., dt.BaseCondition]] = {
    "eq": dt.KeyValueEQ, "ne": dt.KeyValueNE, "lt": dt.KeyValueLT, "le": dt.KeyValueLE, "gt": dt.KeyValueGT,
    "ge": dt.KeyValueGE, "contains": dt.KeyValueContained, "not_contains": dt.KeyValueNotContained,
    "has": dt.KeyValueListHasItem, "not_has": dt.KeyValueListNotHasItem,
}  # fmt: skip
_SOME: dict[str, Callable[..., dt.BaseCondition]] = {
    "in": dt.KeyValueInList, "not_in": dt.KeyValueNotInList, "intersects": dt.KeyValueListIntersectList,
    "not_intersects": dt.KeyValueListNotIntersectList,
}  # fmt: skip
_ORDER = ("lt", "le", "gt", "ge")


def _of(operand: Any) -> dict[str, Callable[..., dt.BaseCondition]]:
    """Conditions with an operand."""
    has_order = is_number(operand) or isinstance(operand, str)
    return {word: cls for word, cls in _ONE.items() if has_order or word not in _ORDER}


@given(_values | st.just(MISSING), st.lists(_operands, min_size=1, max_size=3))
@example(1, [True])
@example("1", [1])
@example(float(2**53), [2**53 + 1])
@example(math.nan, [0])
@settings(max_examples=250, deadline=None)
def test_conditions_hold_as_the_law_says(value: Any, operands: list[Any]) -> None:
    document = {} if value is MISSING else {"k": value}
    asked = [(cls("k", operands[0]), law(word, operands[0], value)) for word, cls in _of(operands[0]).items()]
    asked += [(cls("k", operands), law(word, operands, value)) for word, cls in _SOME.items()]
    for word in ("contains", "not_contains"):
        folded = law(word, operands[0], value, str.casefold)
        asked.append((_ONE[word]("k", operands[0], case_sensitive=False), folded))
    asked = [(condition, holds and value is not MISSING) for condition, holds in asked]
    for condition, holds in asked:
        assert condition.check(document) == holds, condition
        assert (~condition).check(document) != holds, condition
    manager = dt.TrackingManager()
    manager.add_trackers(
        "g", [dt.CountTracker(f"{at}", [condition], target=9) for at, (condition, _) in enumerate(asked)]
    )
    holding = [f"{at}" for at, (_, holds) in enumerate(asked) if holds]
    assert [tracker.name for tracker in manager.track("g", document).dirtied] == holding


@given(_operands, _operands)
@settings(max_examples=100, deadline=None)
def test_conditions_are_equal_only_where_kind_key_operand_and_flags_are(value: Any, operand: Any) -> None:
    conditions = [cls(key, operand) for cls in _of(operand).values() for key in ("k", "l")]
    conditions += [_ONE["contains"]("k", operand, case_sensitive=False), _SOME["in"]("k", [operand])]
    assert len(set(conditions)) == len(conditions)
    one, other = dt.KeyValueEQ("k", value), dt.KeyValueEQ("k", operand)
    assert (one == other) == equals(value, operand)
    assert hash(one) == hash(other) or one != other


_PATHS = [
    ("a.b", {"a": {"b": None}}, True), ("a..b.", {"a": {"b": 1}}, True), ("a.b", {"a.b": 1}, False),
    (r"a\.b", {"a.b": 1}, True), ("a.0", {"a": [1]}, True), ("a.-1", {"a": [1]}, True), ("a.1", {"a": [1]}, False),
    ("a.-2", {"a": [1]}, False), ("a.0", {"a": {"0": 1}}, True), ("a.b", {"a": 1}, False),
    ("a.0", {"a": "text"}, False), ("A", {"a": 1}, False), ("a.+0", {"a": [1]}, False),
    ("a.0.b", {"a": ({"b": 1},)}, True),
]  # fmt: skip


@pytest.mark.parametrize(("path", "document", "exists"), _PATHS)
def test_paths_lead_to_values(path: str, document: dict[str, Any], exists: bool) -> None:
    assert dt.KeyExists(path).check(document) == exists
    assert dt.KeyNotExists(path).check(document) != exists


UNIT = decimal.Decimal(1).scaleb(-18)
_amounts: st.SearchStrategy[Any] = st.one_of(
    st.integers(-(10**9), 10**9),
    st.floats(-1e9, 1e9),
    st.decimals(-(10**9), 10**9, places=20),
    st.sampled_from(["1", " +2.5 ", "-1e-3", "0.1", "1e2"]),
)


@given(st.lists(_amounts, max_size=20))
@example([0.1, 0.2])
@example([150.00, 75.50, 320.00])
@example([decimal.Decimal("0.5e-18"), decimal.Decimal("1.5e-18"), decimal.Decimal("2.5e-18")])
@settings(max_examples=200, deadline=None)
def test_sums_are_exact_and_each_amount_is_rounded_half_to_even_once(amounts: list[Any]) -> None:
    manager = dt.TrackingManager()
    tracker = dt.AccumulationTracker("sum", target=10**12)
    manager.add_tracker("g", tracker)
    for amount in amounts:
        manager.track("g", {"amount": amount})
    with decimal.localcontext(decimal.Context(prec=60)):
        read = [
            decimal.Decimal(repr(amount) if isinstance(amount, float) else str(amount).strip()) for amount in amounts
        ]
        total = sum((amount.quantize(UNIT, decimal.ROUND_HALF_EVEN) for amount in read), decimal.Decimal(0))
        assert tracker.progress_exact == total
    assert isinstance(tracker.progress_exact, decimal.Decimal)
    is_whole = total == int(total)
    assert type(tracker.progress) is (int if is_whole else float)
    assert tracker.progress == (int(total) if is_whole else float(total))


def test_a_tenth_and_two_tenths_are_three_tenths() -> None:
    manager = dt.TrackingManager()
    tracker = dt.AccumulationTracker("sum", target=0.3)
    manager.add_tracker("g", tracker)
    assert not manager.track("g", {"amount": 0.1}).completed
    (done,) = manager.track("g", {"amount": 0.2}).completed
    assert (done.progress, done.progress_exact) == (0.3, decimal.Decimal("0.3"))


_NO_AMOUNTS: list[tuple[Any, str]] = [
    (None, "null"), (True, "boolean"), (math.nan, "not finite"), (-math.inf, "not finite"), ("1_000", "not a number"),
    ("inf", "not a number"), ("0x1", "not a number"), ("", "not a number"), ([1], "list"), ({}, "map"),
    (10**5000, "out of range"), (1.8e20, "out of range"), (-(10**21), "out of range"),
    (decimal.Decimal("sNaN"), "finite"),
]  # fmt: skip


@pytest.mark.parametrize(("amount", "why"), _NO_AMOUNTS, ids=map(str, range(len(_NO_AMOUNTS))))
def test_what_is_no_amount_does_not_count_and_explain_says_why(amount: Any, why: str) -> None:
    manager = dt.TrackingManager()
    manager.add_tracker("g", dt.AccumulationTracker("sum", target=10, limiters=[dt.CountLimiter(1)]))
    for document in ({"amount": amount}, {"other": 1}):
        (explanation,) = manager.explain("g", document)
        assert explanation.verdict == "skipped"
        outcome = manager.track("g", document)
        assert (list(outcome.dirtied), list(outcome.limited), outcome.skipped) == ([], [], {"sum": "no_amount"})
    (explanation,) = manager.explain("g", {"amount": amount})
    assert why in explanation.why


@pytest.mark.parametrize("operand", [None, True, [1], {"a": 1}])
def test_an_order_between_other_things_than_numbers_and_texts_is_refused(operand: Any) -> None:
    for word in _ORDER:
        with pytest.raises(dt.DefinitionError, match=rf"^conditions\[0\]\.{word}: .*; expected a number or a string$"):
            _ONE[word]("k", operand)


@pytest.mark.parametrize("operand", [math.nan, math.inf, [1, [math.nan]], {"a": -math.inf}])
def test_operands_that_are_not_finite_are_refused_with_their_place(operand: Any) -> None:
    with pytest.raises(dt.DefinitionError, match=r"^conditions\[0\]\.eq.*: NaN or infinite; expected finite numbers$"):
        dt.KeyValueEQ("k", operand)
