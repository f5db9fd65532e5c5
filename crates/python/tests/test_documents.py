"""Documents with any content: none causes a crash, none is changed, and ``explain`` agrees with ``track``."""

from __future__ import annotations

import collections
import copy
import dataclasses
import datetime
import decimal
import enum
import sqlite3
import types
import unittest.mock
import uuid
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import attrs
import numpy
import pandas
import polars
import pydantic
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import dictrack as dt
from dictrack._values import a_type


class Colour(enum.Enum):
    RED = "red"


class Size(enum.IntEnum):
    SMALL = 1


class Level(str, enum.Enum):
    HIGH = "high"


class Word(str):
    def __str__(self) -> str:
        return "not its text"


class Whole(int):
    def __int__(self) -> int:
        raise AssertionError("no code of a document runs where that can be helped")

    __index__ = __int__


class Odd:
    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = object.__hash__


class Forward:
    def __init__(self, answer: Any) -> None:
        self.__dict__["answer"] = answer

    def __getattr__(self, name: str) -> Any:
        if self.answer is None:
            raise RuntimeError(f"no {name}")
        return self.answer


class Point(NamedTuple):
    x: int
    y: str


@dataclasses.dataclass
class Part:
    size: int
    tags: list[Any]


@attrs.define
class Bolt:
    part: Part


class Nut(pydantic.BaseModel):
    part: Part
    grade: float


def _row() -> sqlite3.Row:
    connection = sqlite3.connect(":memory:")
    connection.row_factory = sqlite3.Row
    row: sqlite3.Row = connection.execute("SELECT 5 AS id, 'x' AS name").fetchone()
    connection.close()
    return row


Bag = type("Bag", (dict,), {})
_time_zones = st.builds(lambda hours: datetime.timezone(datetime.timedelta(hours=hours)), st.integers(-23, 23))
_any_text = st.text(st.characters(), max_size=8)
_atoms: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([2**63 - 1, 2**63, -(2**63), 2**64]),
    st.integers(4298, 5000).map(lambda zeros: -(10**zeros) - 1),
    st.floats(),
    _any_text,
    st.sampled_from(["\ud800", "a\udfffb", *Colour, *Size, *Level, Word("a"), Whole(7), Odd(), object(), len, int, 1j]),
    st.builds(Forward, st.sampled_from([None, len])),
    st.builds(unittest.mock.MagicMock),
    st.datetimes(timezones=st.none() | _time_zones),
    st.dates(),
    st.times(),
    st.timedeltas(),
    st.decimals(),
    st.sampled_from([decimal.Decimal(text) for text in ("sNaN", "1e999999", "1e-999999", "-0", "0.1")]),
    st.fractions(),
    st.uuids(),
    st.binary(max_size=4),
    st.builds(bytearray, st.binary(max_size=4)),
    st.floats(width=32).map(numpy.float32),
    st.integers(-(2**63), 2**63 - 1).map(numpy.int64),
    st.lists(st.integers(0, 9), max_size=4).map(numpy.array),
    st.integers(-(2**63), 2**63 - 1).map(lambda moment: numpy.datetime64(moment, "ns")),
    st.sampled_from([numpy.bool_(True), numpy.str_("a"), numpy.zeros((2, 2, 2)), numpy.float64(1), numpy.array(3)]),
    st.sampled_from([numpy.datetime64("NaT"), numpy.datetime64(2**62, "us"), numpy.timedelta64(5, "Y")]),
    st.sampled_from([numpy.complex64(1), numpy.array([{"a": 1}], dtype=object), numpy.longdouble("0.1")]),
    st.sets(st.integers(0, 5) | st.text(max_size=1), max_size=3),
    st.frozensets(st.booleans(), max_size=2),
)
_keys: st.SearchStrategy[Any] = st.one_of(
    st.sampled_from(["a", "b", "", "a.b", "0", Word("b"), *Colour]), _any_text, st.integers(), st.none()
)


def _nested(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    lists = st.lists(inner, max_size=4)
    maps = st.dictionaries(_keys, inner, max_size=4)
    list_kinds: list[Callable[[Any], Any]] = [list, tuple, collections.deque, collections.UserList]
    map_kinds: list[Callable[[Any], Any]] = [
        dict, Bag, collections.OrderedDict, collections.UserDict, types.MappingProxyType
    ]  # fmt: skip
    return st.builds(lambda kind, items: kind(items), st.sampled_from(list_kinds), lists) | st.builds(
        lambda kind, items: kind(items), st.sampled_from(map_kinds), maps
    )


anything = st.recursive(_atoms, _nested, max_leaves=12)
documents = st.dictionaries(_keys, anything, max_size=5)

CONDITIONS = [
    dt.KeyExists("a"), dt.KeyNotExists("a.b"), dt.KeyValueEQ("a", 1), dt.KeyValueNE("a", "red"),
    dt.KeyValueLT("a", 2**64), dt.KeyValueGE("a", "a"), dt.KeyValueContained("a", "A", case_sensitive=False),
    dt.KeyValueNotContained("b", 1), dt.KeyValueInList("a", [1, "a", None]),
    dt.KeyValueNotInList("b", [True, [1], {"a": 1}]),
    dt.KeyValueListHasItem("a", 1), dt.KeyValueListNotHasItem("b", "a"), dt.KeyValueListIntersectList("a.0", [0, 1]),
    dt.KeyValueListNotIntersectList("b", [None]), ~dt.KeyValueGT("a.-1", 0), dt.KeyExists("a") & dt.KeyExists("b"),
]  # fmt: skip


def _trackers() -> list[dt.BaseTracker]:
    counts = [dt.CountTracker(f"{at}", [condition], target=100) for at, condition in enumerate(CONDITIONS)]
    sums = [dt.AccumulationTracker(f"sum {key}", target=[5, 10**20], key=key) for key in ("a", "b", "a.b", "a.0")]
    limited = dt.CountTracker("limited", [dt.KeyExists("a")], target=100, limiters=[dt.CountLimiter(1)])
    return [*counts, *sums, limited]


def _same(one: Any, other: Any) -> bool:
    """Whether two values are the same, even if they do not equal themselves."""
    if one is other:
        return True
    if type(one) is not type(other):
        return False
    if isinstance(one, Mapping):
        return len(one) == len(other) and all(map(_same, one, other)) and all(map(_same, one.values(), other.values()))
    if isinstance(one, (list, tuple, collections.deque, collections.UserList)):
        return len(one) == len(other) and all(map(_same, one, other))
    if isinstance(one, numpy.ndarray):
        return one.dtype == other.dtype and _same(one.tolist(), other.tolist())
    return isinstance(one, (set, frozenset, bytearray, int, float)) and bool(one == other)


def _copied(value: Any) -> Any:
    """A copy of the mutable parts."""
    if isinstance(value, Mapping):
        return type(value)({key: _copied(item) for key, item in value.items()})  # type: ignore[call-arg]
    if isinstance(value, (list, tuple, collections.deque, collections.UserList)):
        return type(value)(_copied(item) for item in value)
    return copy.copy(value) if isinstance(value, (numpy.ndarray, set, bytearray)) else value


@given(st.lists(documents, min_size=1, max_size=3))
@example([{"a": decimal.Decimal("sNaN"), "b": [decimal.Decimal("-sNaN")]}])
@example([{"a": 10**5000, 10**5000: 1, "\ud800": {"\ud800": "\ud800"}}])
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_any_document_is_explained_as_it_is_tracked_and_is_not_changed(given_documents: list[Any]) -> None:
    manager = dt.TrackingManager()
    manager.add_trackers("g", _trackers())
    for document in given_documents:
        content = _copied(document)
        before = {tracker.name: tracker.progress_exact for tracker in manager.get_trackers("g")}
        explained = {explanation.name: explanation for explanation in manager.explain("g", document)}
        outcome = manager.track("g", document)
        dirtied = {tracker.name: tracker for tracker in outcome.dirtied}
        refused = {tracker.name for tracker in outcome.refused}
        assert outcome.failed == {}
        assert explained.keys() == before.keys()
        for name, explanation in explained.items():
            assert explanation.verdict in ("counted", "no_match", "skipped", "limited"), explanation
            assert (explanation.verdict == "limited") == (name in refused), explanation
            assert (explanation.verdict == "counted") == (name in dirtied.keys() - refused), explanation
            assert (explanation.verdict == "skipped") == (name in outcome.skipped), explanation
            if explanation.verdict == "counted":
                with decimal.localcontext(decimal.Context(prec=60)):
                    added = dirtied[name].progress_exact - before[name]
                    assert added == decimal.Decimal(str(explanation.amount)), explanation
        assert _same(document, content), (document, content)


def test_values_of_other_types_are_read_as_what_they_stand_for() -> None:
    utc, seconds, id_ = datetime.timezone.utc, 1_767_268_800.5, uuid.UUID(int=5)
    moment = datetime.datetime(2026, 1, 1, 12, 0, 0, 500_000)
    for value, read in [
        (moment, seconds), (moment.replace(tzinfo=utc), seconds), (datetime.date(2026, 1, 1), 1_767_225_600),
        (moment.replace(tzinfo=datetime.timezone(datetime.timedelta(hours=1))), seconds - 3600),
        (datetime.timedelta(milliseconds=1500), 1.5), (decimal.Decimal("0.10"), 0.1), (id_, str(id_)),
        (numpy.float32(0.1), 0.1), (numpy.int8(1), 1), (numpy.bool_(True), True), (numpy.array([1, 2]), [1, 2]),
        (numpy.datetime64("2026-01-01T12:00:00.500000000"), seconds), (numpy.timedelta64(1500, "ms"), 1.5),
        (numpy.array(["2026-01-01"], "datetime64[ns]"), [1_767_225_600]), (numpy.datetime64("NaT"), None),
        (Size.SMALL, 1), (Level.HIGH, "high"), (Colour.RED, "red"), (Point(1, "a"), {"x": 1, "y": "a"}),
        (Part(1, [Colour.RED]), {"size": 1, "tags": ["red"]}), (Bolt(Part(2, [])), {"part": {"size": 2, "tags": []}}),
        (Nut(part=Part(3, []), grade=8.8), {"part": {"size": 3, "tags": []}, "grade": 8.8}),
        (pandas.Series([1, 2]), [1, 2]), (pandas.Series({"a": 1.5, "b": 2}), {"a": 1.5, "b": 2}),
        (pandas.Series(["x", "y"]), ["x", "y"]), (polars.Series([1, 2]), [1, 2]), (_row(), {"id": 5, "name": "x"}), (Word("a"), "a"), (Whole(7), 7), (frozenset([3]), [3]),
        (range(2), [0, 1]), (types.MappingProxyType({"a": 1}), {"a": 1}),
        (Bag(a=[(1,)]), {"a": [[1]]}), (10**30, decimal.Decimal(10**30)),
    ]:  # fmt: skip
        assert dt.KeyValueEQ("k", read).check({"k": value}), value
        assert dt.KeyValueEQ("k", value).check({"k": read}), value


_OPAQUE = [b"a", bytearray(b"a"), object(), Odd(), 1j, "a\ud800", len, Colour, Forward(None)]


@pytest.mark.parametrize("opaque", _OPAQUE, ids=map(str, range(len(_OPAQUE))))
def test_a_value_that_json_cannot_hold_exists_and_equals_nothing(opaque: Any) -> None:
    assert dt.KeyExists("k").check({"k": opaque})
    assert dt.KeyValueNE("k", None).check({"k": opaque})
    assert not dt.KeyValueInList("k", [None, 0, "", "a", "red"]).check({"k": opaque})
    with pytest.raises(TypeError, match="JSON cannot represent|lone surrogate"):
        dt.KeyValueEQ("k", opaque)


_LEVELS: list[Callable[[Any], Any]] = [
    lambda inner: {"x": inner}, lambda inner: Bag(x=inner), lambda inner: collections.UserDict(x=inner),
    lambda inner: [inner], lambda inner: (inner,), lambda inner: collections.deque([inner]),
]  # fmt: skip


@pytest.mark.parametrize("level", _LEVELS)
def test_64_levels_are_read_and_what_is_deeper_is_refused(level: Callable[[Any], Any]) -> None:
    manager = dt.TrackingManager()
    manager.add_tracker("g", dt.CountTracker("all", target=10**6))
    value: Any = 1
    # The document itself is a level.
    for _ in range(63):
        value = level(value)
        assert manager.track("g", {"value": value}).dirtied
    for extra in (1, 1, 100_000):
        for _ in range(extra):
            value = level(value)
        for call in (manager.track, manager.explain):
            with pytest.raises(ValueError, match="64 levels") as raised:
                call("g", {"value": value})
            assert len(str(raised.value)) < 200
    # Taken apart manually, since some container types overflow the stack when they are freed.
    while value != 1:
        value = next(iter(value.values() if isinstance(value, Mapping) else value))


def test_a_value_that_contains_itself_is_refused() -> None:
    manager = dt.TrackingManager()
    loop: dict[str, Any] = {"list": []}
    loop["list"].append(loop)
    bag = Bag()
    bag["self"] = bag
    array = numpy.array([None], dtype=object)
    array[0] = array
    for document in (loop, bag, {"array": array}):
        with pytest.raises(ValueError, match="contains? itself"):
            manager.track("g", document)
    assert loop["list"][0] is loop


class Raises(collections.UserDict[str, Any]):
    def __getitem__(self, key: str) -> Any:
        raise LookupError(f"no {key} today")


class Shrinks(collections.UserDict[str, Any]):
    def __getitem__(self, key: str) -> Any:
        value = self.data.pop(key)
        self.data.clear()
        return value


class Grows(collections.UserDict[str, Any]):
    def __iter__(self) -> Iterator[str]:
        for at, key in enumerate(list(self.data)):
            self.data[f"more {at}"] = at
            yield key


def test_what_a_mapping_raises_comes_out_as_it_is_and_nothing_counts() -> None:
    manager = dt.TrackingManager()
    tracker = dt.CountTracker("all", target=100)
    manager.add_tracker("g", tracker)
    for document in (Raises(a=1), {"in": [Raises(a=1)]}):
        with pytest.raises(LookupError, match="no a today"):
            manager.track("g", document)
    with pytest.raises(KeyError, match="b"):
        manager.track("g", Shrinks(a=0, b=1))
    assert tracker.progress == 0
    assert manager.track("g", Grows(a=1, b=2)).dirtied
    assert tracker.progress == 1


@pytest.mark.parametrize("data", [None, 1, "text", b"bytes", [{}], ({},), {1, 2}, object()])
def test_what_is_no_mapping_is_a_type_error_that_names_its_type(data: Any) -> None:
    manager = dt.TrackingManager()
    for call in (manager.track, manager.explain):
        with pytest.raises(TypeError, match=f"^data is {a_type(data)}; expected a dict or another mapping$"):
            call("g", data)


def test_objects_with_fields_are_documents() -> None:
    with dt.TrackingManager() as manager:
        tracker = dt.CountTracker("big", [dt.KeyValueGE("part.size", 2)])
        spent = dt.AccumulationTracker("grades", key="grade")
        manager.add_trackers("g", [tracker, spent])
        nut, bolt = Nut(part=Part(3, []), grade=8.8), Bolt(Part(2, []))
        outcomes = [manager.track("g", it) for it in (nut, bolt, Bolt(Part(1, [])))]
        outcomes += manager.track_many([("g", nut), ("g", pandas.Series({"grade": 0.2, "part": Part(5, [])}))])  # type: ignore[arg-type]
        assert [len(outcome.counted) for outcome in outcomes] == [2, 1, 0, 2, 2]
        assert tracker.progress == 4 and spent.progress == 17.8
        (explained, _) = manager.explain("g", Bolt(Part(1, [])))
        assert explained.seen == 1 and "the value is 1" in explained.why
        seen: list[Any] = []

        @dt.condition(name="sees")
        def sees(data: Any) -> bool:
            seen.append(data)
            return True

        manager.add_tracker("h", dt.CountTracker("sees", [sees()]))
        assert manager.track("h", nut).counted and seen == [nut] and seen[0] is nut


class Strange:
    pass


def test_a_type_that_equals_nothing_is_named_once() -> None:
    class Stranger:
        pass

    with dt.TrackingManager() as manager:
        manager.add_tracker("g", dt.CountTracker("t", [dt.KeyValueEQ("a.0", 1)]))
        with pytest.warns(dt.DictrackWarning) as warned:
            for _ in range(3):
                manager.track("g", {"a": [Strange(), Stranger()]})
                manager.track_many([("g", {"b": {"c": Strange()}})])
        assert [str(one.message) for one in warned] == [
            f"a document has a value of type {name}, which JSON cannot represent: it exists, but equals nothing in conditions"
            for name in (
                f"{__name__}.Strange",
                f"{__name__}.test_a_type_that_equals_nothing_is_named_once.<locals>.Stranger",
            )
        ]
        assert all(one.filename == __file__ for one in warned)
        (explained,) = manager.explain("g", {"a": [Strange()]})
        assert explained.why == "a.0 eq 1 does not hold: the value is a Strange, which equals nothing"
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            manager.track("g", {"a": [Strange(), float("nan"), "\ud800"]})
