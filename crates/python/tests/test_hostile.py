"""Hostile documents, arguments and operands: a clear error or a count, never a crash, never a partial change."""

from __future__ import annotations

import asyncio
import collections
import datetime
import decimal
import enum
import inspect
import traceback
import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

import dictrack as dt
import dictrack.aio


class Boom(Exception):
    """What hostile objects raise."""


def _boom(*_: Any, **__: Any) -> Any:
    raise Boom


class Raising:
    __eq__ = __hash__ = __iter__ = __str__ = __repr__ = __len__ = __bool__ = __int__ = __float__ = __index__ = _boom  # type: ignore[assignment]
    __getitem__ = __contains__ = __format__ = _boom


class Text(str):
    __str__ = __repr__ = __eq__ = __hash__ = encode = split = __len__ = _boom  # type: ignore[assignment]


class Whole(int):
    __int__ = __index__ = __str__ = __repr__ = __eq__ = __lt__ = __le__ = __bool__ = __abs__ = _boom  # type: ignore[assignment]
    __hash__ = int.__hash__


class Broken(float):
    __float__ = __str__ = __repr__ = __eq__ = __lt__ = _boom  # type: ignore[assignment]
    __hash__ = float.__hash__


class Exactly(decimal.Decimal):
    __str__ = __repr__ = __float__ = is_finite = is_nan = _boom  # type: ignore[assignment]


class Id(uuid.UUID):
    def __str__(self) -> str:
        return "\ud800"


class Dict(dict):  # type: ignore[type-arg]
    __len__ = keys = values = items = get = __contains__ = _boom  # type: ignore[assignment]


class RaisingMapping(Mapping[Any, Any]):
    def __init__(self, at: str) -> None:
        self.at = at

    def __iter__(self) -> Iterator[Any]:
        if self.at == "iter":
            raise Boom
        return iter(["n", "x"])

    def __getitem__(self, key: Any) -> Any:
        if self.at == "item" and key == "x":
            raise Boom
        return 1

    def __len__(self) -> int:
        return 2**62 if self.at == "len" else _boom()  # type: ignore[no-any-return]


class Endless(Mapping[str, int]):
    def __iter__(self) -> Iterator[str]:
        at = 0
        while True:
            at += 1
            yield f"k{at}"

    def __getitem__(self, key: str) -> int:
        return 1

    def __len__(self) -> int:
        return 0


class Shrinking(dict):  # type: ignore[type-arg]
    def __iter__(self) -> Iterator[Any]:
        for key in list(dict.__iter__(self)):
            self.pop("x", None)
            yield key


class Color(enum.Enum):
    RED = "red"


class Word(str, enum.Enum):
    RED = "red"


class Number(enum.IntEnum):
    TWO = 2


def _nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


def _cyclic() -> dict[str, Any]:
    value: dict[str, Any] = {"n": 1}
    value["self"] = value
    return value


def _laughs(kind: type = list) -> Any:
    value: Any = kind([1])
    for _ in range(50):
        value = kind([value, value])
    return value


class Items(list):  # type: ignore[type-arg]
    """A subclass of list."""


COUNTED: dict[str, Callable[[], Any]] = {
    "text": lambda: {"n": 1, "x": Text("a")},
    "whole": lambda: {"n": Whole(1), "x": Whole(5)},
    "float": lambda: {"n": Broken(1.0), "x": Broken("nan")},
    "decimal": lambda: {"n": Exactly("1"), "x": Exactly("NaN")},
    "signaling": lambda: {"n": 1, "x": decimal.Decimal("sNaN")},
    "uuid": lambda: {"n": 1, "x": Id(int=1)},
    "dict": lambda: Dict(n=1, x=2),
    "huge": lambda: {"n": 1, "x": 10**100_000},
    "nan": lambda: {"n": 1, "x": float("nan"), "y": float("inf")},
    "bytes": lambda: {"n": 1, "x": b"\xff", "y": bytearray(b"x"), "z": memoryview(b"x")},
    "generator": lambda: {"n": 1, "x": (_ for _ in range(3))},
    "surrogate": lambda: {"n": 1, "x": "\ud800", "\udfff": 1, "\x00": "\x00"},
    "long key": lambda: {"n": 1, "k" * 2**20: "v" * 2**20},
    "keys": lambda: {"n": 1, 5: 1, None: 2, (1, 2): 3, b"x": 4, 1.5: 5, True: 6},
    "raising": lambda: {"n": 1, "x": object.__new__(Raising)},
    "deep": lambda: {"n": 1, "x": _nested(62)},
    "mapping": lambda: RaisingMapping("len"),
    "user dict": lambda: collections.UserDict(n=1),
    "chain": lambda: collections.ChainMap({"n": 1}, {"x": 2}),
    "enum": lambda: {"n": 1, "x": Color.RED, "y": Word.RED, "z": Number.TWO},
    "types": lambda: {"n": 1, "x": int, "y": len, "z": datetime, "w": ...},
    "moments": lambda: {"n": 1, "x": datetime.datetime.max, "y": datetime.timedelta.min, "z": datetime.time()},
}
REFUSED: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "deep": (lambda: {"n": 1, "x": _nested(64)}, ValueError, "nested deeper than 64 levels"),
    "cyclic": (_cyclic, ValueError, "nested deeper than 64 levels"),
    "very deep": (lambda: {"n": 1, "x": _nested(100_000)}, ValueError, "nested deeper than 64 levels"),
    "laughs": (lambda: {"n": 1, "x": _laughs()}, ValueError, "contains more than 1048576 values"),
    "foreign laughs": (lambda: {"n": 1, "x": _laughs(Items)}, ValueError, "contains more than 1,048,576 values"),
    "endless": (Endless, ValueError, "contains more than 1,048,576 values"),
    "iter": (lambda: RaisingMapping("iter"), Boom, ""),
    "item": (lambda: RaisingMapping("item"), Boom, ""),
    "shrinking": (lambda: Shrinking(n=1, x=2), KeyError, "x"),
    "raising": (lambda: object.__new__(Raising), TypeError, "data is a Raising; expected a dict or another mapping"),
    "list": (lambda: [1], TypeError, "data is a list; expected a dict or another mapping"),
    "none": (lambda: None, TypeError, "data is a NoneType; expected a dict or another mapping"),
    "bytes": (lambda: b"{}", TypeError, "data is a bytes"),
    "generator": (lambda: (_ for _ in ()), TypeError, "data is a generator"),
}


@pytest.fixture
def manager() -> Iterator[dt.TrackingManager]:
    with dt.TrackingManager() as manager:
        counter = dt.CountTracker("count", [dt.KeyExists("n")], target=1000)
        total = dt.AccumulationTracker("total", [], key="n", target=1000)
        other = dt.CountTracker("other", [dt.KeyValueEQ("x", "a"), dt.KeyValueInList("y", [1, "b"])], target=1000)
        manager.add_trackers("g", [counter, total, other])
        yield manager


def _progress(manager: dt.TrackingManager) -> dict[str, Any]:
    return {tracker.name: tracker.progress for tracker in manager.get_trackers("g")}


@pytest.mark.parametrize("name", COUNTED)
def test_a_hostile_value_beside_others_does_not_stop_a_document(name: str, manager: dt.TrackingManager) -> None:
    outcome = manager.track("g", COUNTED[name]())
    assert {tracker.name for tracker in outcome.dirtied} == {"count", "total"}
    assert _progress(manager) == {"count": 1, "total": 1, "other": 0}
    assert len(manager.explain("g", COUNTED[name]())) == 3
    many = manager.track_many([("g", COUNTED[name]())])
    assert isinstance(many[0], dt.Outcome)


def _raised(outcomes: dt.Outcomes) -> None:
    """Raises the only exception, which is that of the second of three documents."""
    first, error, last = outcomes
    assert isinstance(first, dt.Outcome) and isinstance(last, dt.Outcome)
    assert outcomes.errors == {1: error} and isinstance(error, Exception)
    raise error


@pytest.mark.parametrize("name", REFUSED)
def test_a_hostile_document_is_refused_whole(name: str, manager: dt.TrackingManager) -> None:
    make, error, words = REFUSED[name]
    for call in (
        lambda: manager.track("g", make(), event_id="once"),
        lambda: _raised(manager.track_many([("h", {"n": 1}), ("g", make()), ("h", {"n": 1})])),
        lambda: manager.explain("g", make()),
        lambda: dt.KeyExists("n").check(make()),
    ):
        with pytest.raises(error) as raised:
            call()
        assert words in str(raised.value) and len(str(raised.value)) < 400
    assert _progress(manager) == {"count": 0, "total": 0, "other": 0}
    assert manager.track("g", {"n": 1}, event_id="once").dirtied


def test_a_document_that_calls_the_manager_counts_each_of_them_once(manager: dt.TrackingManager) -> None:
    class Calling(Mapping[str, Any]):
        def __iter__(self) -> Iterator[str]:
            manager.track("g", {"n": 1})
            return iter(["n"])

        def __getitem__(self, key: str) -> Any:
            return 1

        def __len__(self) -> int:
            return 1

    manager.track("g", Calling())
    assert _progress(manager)["count"] == 2


def test_a_document_that_closes_the_manager_is_refused(manager: dt.TrackingManager) -> None:
    class Closing(Mapping[str, Any]):
        def __iter__(self) -> Iterator[str]:
            manager.close()
            return iter(["n"])

        def __getitem__(self, key: str) -> Any:
            return 1

        def __len__(self) -> int:
            return 1

    with pytest.raises(dt.ClosedError, match="^the manager is closed$"):
        manager.track("g", Closing())
    for call in (lambda: manager.track("g", {}), lambda: manager.get_trackers("g"), lambda: manager.explain("g", {})):
        with pytest.raises(dt.ClosedError, match="^the manager is closed$"):
            call()
    manager.close()


class Tone:
    """Something that JSON does not have."""

    RED: Any = None


Tone.RED = Tone()


def test_values_that_json_cannot_hold_are_explained_by_their_type() -> None:
    with dt.TrackingManager() as manager:
        manager.add_tracker("g", dt.CountTracker("c", [dt.KeyValueEQ("a.0.color", "red")], target=5))
        manager.add_tracker("g", dt.AccumulationTracker("s", key="a.0.color", target=5))
        condition, amount = manager.explain("g", {"a": [{"color": Tone.RED}]})
        assert condition.seen is Tone.RED
        assert condition.why.endswith("the value is a Tone, which equals nothing")
        assert amount.why == "the value at a.0.color is a Tone, which is not a number"
        condition, amount = manager.explain("g", {"a": [{"color": float("nan")}]})
        assert condition.why.endswith("the value is NaN, which equals nothing")
        assert amount.why == "the value at a.0.color is not finite"
        assert "a bytes, which" in manager.explain("g", {"a": [{"color": b"red"}]})[0].why
        assert "a string with a lone surrogate" in manager.explain("g", {"a": [{"color": "\ud800"}]})[0].why
        manager.add_tracker("h", dt.CountTracker("f", [dt.KeyEQKey("a", "b")], target=5))
        (condition,) = manager.explain("h", {"a": Tone.RED, "b": "red"})
        assert condition.why.endswith('the values are a Tone and "red"') and condition.seen is Tone.RED
        (condition,) = manager.explain("h", {"a": "NaN and", "b": Tone.RED})
        assert condition.why.endswith('the values are "NaN and" and a Tone')
        assert condition.other_seen is Tone.RED
        (condition,) = manager.explain("h", {"a": "\ud800", "b": b"red"})
        assert condition.why.endswith("the values are a string with a lone surrogate and a bytes")
        (condition,) = manager.explain("h", {"a": float("nan"), "b": {"c": [Tone.RED, None]}})
        assert condition.why.endswith('the values are NaN and {"c":[NaN,null]}')
        # A member of an enum counts as its value.
        assert manager.explain("g", {"a": [{"color": Color.RED}]})[0].verdict == "counted"
        assert manager.explain("g", {"a": [{"color": Word.RED}]})[0].verdict == "counted"
        assert manager.explain("g", {"a": [{"color": Number.TWO}]})[1].amount == 2


def test_a_value_that_json_cannot_hold_is_refused_with_its_place_and_type() -> None:
    cases: list[tuple[Callable[[], Any], str, str]] = [
        (
            lambda: dt.KeyValueEQ("a", Tone.RED),
            "KeyValueEQ['eq']",
            "is a Tone, which JSON cannot represent",
        ),
        (
            lambda: dt.KeyValueInList("a", [1, {2: 3}]),
            "KeyValueInList['in'][1]",
            "has a key that is an int; expected str",
        ),
        (
            lambda: dt.KeyValueEQ("a", {"b": "\ud800"}),
            "KeyValueEQ['eq']['b']",
            "is not valid Unicode: it has a lone surrogate",
        ),
        (
            lambda: dt.KeyValueContained("a", object()),
            "KeyValueContained['contains']",
            "is an object, which JSON cannot represent",
        ),
        (
            lambda: dt.CountTracker("n", target=object()),
            "value['target'][0]",
            "is an object, which JSON cannot represent",
        ),
        (
            lambda: dt.CountTracker("n", target=5, init_progress=object()),
            "value['init_progress']",
            "is an object, which",
        ),
    ]
    for call, place, words in cases:
        with pytest.raises(TypeError) as raised:
            call()
        assert words in str(raised.value), str(raised.value)
        if place:
            assert isinstance(raised.value, dt.UnsupportedValueError)
            assert raised.value.place == place
            assert str(raised.value).startswith(place)


CONDITIONS: dict[type[dt.BaseCondition], tuple[Any, ...]] = {
    dt.KeyExists: ("a",),
    dt.KeyNotExists: ("a",),
    dt.KeyValueComparison: ("a", 1),
    dt.KeyValueEQ: ("a", 1),
    dt.KeyValueNE: ("a", 1),
    dt.KeyValueLT: ("a", 1),
    dt.KeyValueLE: ("a", 1),
    dt.KeyValueGT: ("a", 1),
    dt.KeyValueGE: ("a", 1),
    dt.KeyValueContained: ("a", 1, True),
    dt.KeyValueNotContained: ("a", 1, True),
    dt.KeyValueInList: ("a", [1]),
    dt.KeyValueNotInList: ("a", [1]),
    dt.KeyValueListHasItem: ("a", 1),
    dt.KeyValueListNotHasItem: ("a", 1),
    dt.KeyValueListIntersectList: ("a", [1]),
    dt.KeyValueListNotIntersectList: ("a", [1]),
}


def test_no_class_swallows_an_argument() -> None:
    for cls, good in CONDITIONS.items():
        cls(*good)  # type: ignore[call-arg]
        more = good if cls is not dt.KeyValueComparison else (*good, __import__("operator").eq)
        for positional, keywords in ((more + (False,), {}), (good, {"case_insensitive": True}), (good, {"c": 1})):
            with pytest.raises(TypeError, match="argument"):
                cls(*positional, **keywords)
        if "case_sensitive" not in inspect.signature(cls).parameters:
            with pytest.raises(TypeError, match="unexpected keyword argument 'case_sensitive'"):
                cls(*good, case_sensitive=False)
    condition = dt.KeyExists("a")
    for make in (
        lambda: dt.Not(condition, condition),  # type: ignore[call-arg]
        lambda: dt.AllOf(condition, key=1),  # type: ignore[call-arg]
        lambda: dt.AnyOf(condition, key=1),  # type: ignore[call-arg]
        lambda: dt.CountLimiter(1, 2, 3, 4, 5, 6, 7, 8, 9),  # type: ignore[call-arg]
        lambda: dt.CountLimiter(1, conut=2),  # type: ignore[call-arg]
        lambda: dt.TimeLimiter(seconds=5, second=5),  # type: ignore[call-arg]
        lambda: dt.CountTracker("n", target=1, conditons=[]),  # type: ignore[call-arg]
        lambda: dt.AccumulationTracker("n", target=1, kay="x"),  # type: ignore[call-arg]
        lambda: dt.CustomTracker("n", target=1, measure="x", c=1),  # type: ignore[call-arg]
        lambda: dt.MemoryDataCache(max_byte=1),  # type: ignore[call-arg]
        lambda: dt.SQLiteDataStore("x.db", True),  # type: ignore[call-arg]
        lambda: dt.TrackingManager(durabilty="os"),
    ):
        with pytest.raises(TypeError, match="argument"):
            make()


def test_a_manager_for_asyncio_is_opened() -> None:
    words = r"^do not create this directly; use await dictrack\.aio\.TrackingManager\.open\(\.\.\.\)$"
    for arguments in ((), ("x.db",), (None,), ("x.db", "redis://h")):
        with pytest.raises(TypeError, match=words):
            dictrack.aio.TrackingManager(*arguments)
    with pytest.raises(TypeError, match=words):
        dictrack.aio.TrackingManager(data_store="x.db")
    for given in ("x.db", "mongodb://u:s3cret@h"):
        with pytest.raises(TypeError, match=r"^data_cache is a str; .*TrackingManager\.open\(\.\.\.\)$"):
            dt.TrackingManager(given)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match=r"^data_store is a str; .*TrackingManager\.open\(\.\.\.\)$"):
            dt.TrackingManager(None, given)  # type: ignore[arg-type]


VALUES: list[Any] = [
    None, True, -1, 2**70, 10**5000, float("nan"), float("inf"), 1e300, "", "\ud800", "a\x00b", "x" * 2**20, b"x", [], [None],
    {}, {1: 2}, (1,), {"a"}, object(), object.__new__(Raising), Text("t"), Whole(3), Color.RED, decimal.Decimal("1e999999"),
    datetime.datetime.max, datetime.datetime.min.replace(tzinfo=datetime.timezone(datetime.timedelta(hours=14))),
    datetime.timedelta.max, datetime.timedelta.min, lambda: None, int, range(3), (_ for _ in ()), _cyclic(),
]  # fmt: skip


def _calls(manager: dt.TrackingManager, value: Any) -> dict[str, Callable[[], Any]]:
    tracker = dt.CountTracker("t", target=5)
    return {
        "group": lambda: manager.track(value, {}),
        "now": lambda: manager.track("g", {}, now=value),
        "event_id": lambda: manager.track("g", {}, event_id=value),
        "now_ts": lambda: manager.track("g", {}, now_ts=value),
        "items": lambda: manager.track_many(value),
        "item": lambda: manager.track_many([value]),
        "item group": lambda: manager.track_many([(value, {})]),
        "item now": lambda: manager.track_many([("g", {}, value)]),
        "item id": lambda: manager.track_many([("g", {}, 1, value)]),
        "explain": lambda: manager.explain("g", {}, now=value),
        "add": lambda: manager.add_tracker("g", value),
        "add to": lambda: manager.add_tracker(value, tracker),
        "add all": lambda: manager.add_trackers("g", value),
        "expire": lambda: manager.add_tracker("g", dt.CountTracker("e", target=5), expire=value),
        "expire_at": lambda: manager.add_tracker("g", dt.CountTracker("f", target=5), expire_at=value),
        "ensure": lambda: manager.ensure_trackers("g", value),
        "ensure now": lambda: manager.ensure_trackers("g", [tracker], now=value),
        "update": lambda: manager.update_tracker("g", value),
        "get": lambda: manager.get_trackers("g", value),
        "get of": lambda: manager.get_trackers(value),
        "completed": lambda: manager.completed(value),
        "set_progress": lambda: manager.set_progress("g", "count", value),
        "set name": lambda: manager.set_progress("g", value, 1),
        "add_targets": lambda: manager.add_targets("g", "count", value),
        "remove": lambda: manager.remove_tracker("nobody", value),
        "remove now": lambda: manager.remove_tracker("nobody", "x", now=value),
        "reset": lambda: manager.reset_tracker("g", value),
        "policy": lambda: manager.reset_tracker("g", "count", value),
        "reset_count": lambda: manager.reset_tracker("g", "count", reset_count=value),
        "reset_seconds": lambda: manager.reset_tracker("g", "count", reset_seconds=value),
        "listener": lambda: manager.add_listener(value, print),
        "callback": lambda: manager.add_listener(dt.EVENT_TRACKER_RESET, value),
        "remove_listener": lambda: manager.remove_listener(value, print),
        "flush": lambda: manager.flush(value) if value is not True else None,
        "tracker name": lambda: dt.CountTracker(value, target=5),
        "target": lambda: dt.CountTracker("n", target=value),
        "conditions": lambda: dt.CountTracker("n", value, target=1),
        "limiters": lambda: dt.CountTracker("n", target=1, limiters=value),
        "reset_policy": lambda: dt.CountTracker("n", target=1, reset_policy=value),
        "loop": lambda: dt.CountTracker("n", target=1, loop_forever=value),
        "init": lambda: dt.CountTracker("n", target=1, init_progress=value),
        "at": lambda: dt.CountTracker("n", target=1, expire_at=value),
        "key": lambda: dt.AccumulationTracker("n", target=1, key=value),
        "measure": lambda: dt.CustomTracker("n", target=1, measure=value),
        "from_dict": lambda: dt.BaseTracker.from_dict(value),
        "exists": lambda: dt.KeyExists(value),
        "eq": lambda: dt.KeyValueEQ("a", value),
        "op": lambda: dt.KeyValueComparison("a", 1, value),
        "in": lambda: dt.KeyValueInList("a", value),
        "case": lambda: dt.KeyValueContained("a", "b", value),
        "not": lambda: dt.Not(value),
        "count": lambda: dt.CountLimiter(value),
        "seconds": lambda: dt.TimeLimiter(seconds=value),
        "start": lambda: dt.TimeLimiter(start=value, end=5),
        "clock": lambda: dt.TestClock(value),
        "advance": lambda: dt.TestClock(0).advance(value),
        "set": lambda: dt.TestClock(0).set(value),
        "data_cache": lambda: dt.TrackingManager(value) if value is not None else None,
        "data_store": lambda: dt.TrackingManager(None, value) if value is not None else None,
        "durability": lambda: dt.TrackingManager(durability=value),
        "manager clock": lambda: dt.TrackingManager(clock=value),
        "completed_kept": lambda: dt.TrackingManager(completed_kept=value),
        "id_window": lambda: dt.TrackingManager(id_window=value),
        "ids_at_most": lambda: dt.TrackingManager(ids_at_most=value),
        "max_bytes": lambda: dt.MemoryDataCache(max_bytes=value),
        "redis url": lambda: dt.RedisDataCache(url=value),
        "prefix": lambda: dt.RedisDataCache(prefix=value),
        "mongodb url": lambda: dt.MongoDBDataStore(url=value),
        "cache": lambda: (
            dt.TrackingManager.open("mongodb://h", value) if not isinstance(value, str) and value is not None else None
        ),
        "load": lambda: dt.load_trackers(value) if not isinstance(value, int) else None,
    }


# Names of internals that must not be shown.
INTERNAL = (
    "_dictrack",
    "PyString",
    "PyAny",
    "NotPlain",
    "_Plain",
    "panicked",
    "cannot be converted",
    "cannot be cast",
    "weak reference",
)


def test_every_argument_of_another_type_is_an_error_in_words(manager: dt.TrackingManager, subtests: Any = None) -> None:
    kept = (TypeError, ValueError, LookupError, OSError, OverflowError, dt.DictrackError, Boom)
    bad: list[str] = []
    for value in VALUES:
        for name, call in _calls(manager, value).items():
            where = f"{name}: {type(value).__name__}"
            try:
                call()
            except kept as error:
                said = str(error)
                if any(word in said or word in type(error).__module__ for word in INTERNAL):
                    bad.append(f"{where}: {type(error).__qualname__}: {said:.200}")
                if len(said) > 1_000:
                    bad.append(f"{where}: {len(said)} letters")
            except BaseException as error:
                bad.append(f"{where}: {type(error).__module__}.{type(error).__qualname__}: {error}")
    assert not bad, "\n".join(bad)
    assert manager.track("g", {"n": 1}).dirtied


def test_asyncio_gives_the_same_errors() -> None:
    async def main() -> None:
        async with await dictrack.aio.TrackingManager.open() as manager:
            await manager.add_tracker("g", dt.CountTracker("count", [dt.KeyExists("n")], target=1000))
            for name, (make, error, words) in REFUSED.items():
                with pytest.raises(error) as raised:
                    await manager.track("g", make())
                assert words in str(raised.value), name
            for make in COUNTED.values():
                await manager.track("g", make())
            assert (await manager.get_trackers("g"))[0].progress == len(COUNTED)
        with pytest.raises(dt.ClosedError, match="^the manager is closed$"):
            await manager.track("g", {"n": 1})

    asyncio.run(main())


URLS = [
    "redis://host?password=s3cret", "redis://:s3cret", "redis://u:s3cret@h:port", "redis://u:s3/cret@h", "redis:u:s3cret@h",
    "mongodb:/u:s3cret@h", "mongodb//u:s3cret@h", "mongodb://u:s3?cret@h", "mongodb://u:%s3cret@h", "u:s3cret@h", "s3cret://h",
    "mongodb://u:p@h/?authMechanismProperties=s3cret", "http://u:s3cret@h", "mongodb://u:s3#cret@h", "redis://u:s3cret@é h",
    "h:6379,password=s3cret", "mongodb://u:%€s3cret@h", "redis://u@h?password_file=s3cret", "mongodb://u@h/x?password_file=s3cret",
]  # fmt: skip


@pytest.mark.parametrize("url", URLS)
def test_no_error_repr_or_traceback_has_a_password(url: str) -> None:
    for make in (
        lambda: dt.TrackingManager(dt.RedisDataCache(url=url)),
        lambda: dt.TrackingManager(None, dt.MongoDBDataStore(url=url)),
        lambda: dt.TrackingManager.open(url),
        lambda: dt.TrackingManager(durability=url),
        lambda: dt.TrackingManager.open("mongodb://127.0.0.1:1/x?serverSelectionTimeoutMS=1", url),
        lambda: asyncio.run(dictrack.aio.TrackingManager.open(url)),
    ):
        with pytest.raises((ValueError, OSError)) as raised:
            make()
        lines = traceback.format_exception(raised.type, raised.value, raised.tb)
        source = {line for frame in traceback.extract_tb(raised.tb) for line in [frame.line]}
        said = "".join(lines) + repr(raised.value)
        assert "s3" not in said and "cret" not in said, (said, source)
    for made in (dt.RedisDataCache(url=url), dt.MongoDBDataStore(url=url)):
        assert "s3" not in repr(made) and "cret" not in repr(made)
