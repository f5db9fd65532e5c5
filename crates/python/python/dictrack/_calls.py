"""The calls of a manager, shared by threads and event loops.

A call is a generator. It yields operations that may have to wait, and is sent their results.
"""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import numbers
import os
import re
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from dictrack import _compat, _dictrack, _values
from dictrack._dictrack import Manager, Outcome, Pending, TestClock
from dictrack._values import a_type, shown
from dictrack.data_caches.base import BaseDataCache
from dictrack.data_caches.memory import MemoryDataCache
from dictrack.data_caches.redis import RedisDataCache
from dictrack.data_stores.base import BaseDataStore
from dictrack.data_stores.mongodb import MongoDBDataStore
from dictrack.data_stores.sqlite import SQLiteDataStore
from dictrack.events import EVENT_ALL, TrackerEvent
from dictrack.trackers.base import BaseTracker, all_of, checked_policy, tracker_of

T = TypeVar("T")
Call = Generator["Pending[Any]", Any, T]
Moment = Any


@dataclasses.dataclass(frozen=True)
class Added:
    """The result of adding trackers, by name.

    Attributes
    ----------
    added : list of str
        New trackers.
    existing : list of str
        Trackers that existed with an equal definition.
    completed : list of str
        Trackers that have completed and were left alone. Only from ``ensure_trackers``.
    updated, removed : list of str
        Trackers whose definition was replaced, and those that are not in the list. Only from
        ``ensure_trackers(update=True)``.
    events : list of TrackerEvent
        The ADDED events.
    """

    added: list[str]
    existing: list[str]
    completed: list[str]
    updated: list[str]
    removed: list[str]
    events: list[TrackerEvent]


@dataclasses.dataclass(frozen=True)
class Explanation:
    """What a document would do to one tracker, and why.

    Attributes
    ----------
    name : str
        The tracker.
    verdict : str
        ``counted``, ``no_match``, ``skipped``, ``limited``, ``expired`` or ``failed``.
    why : str
        The reason, for people.
    amount : int, float or Decimal, optional
        By how much the progress would change, if the document counts.
    key : str, optional
        The path used by the condition that does not hold.
    seen : Any
        The value there.
    other_key : str, optional
        The path of the value to compare with, if that is in the document as well.
    other_seen : Any
        The value there.
    limiter : int, optional
        The position of the limiter that refuses the document.
    until : int or float, optional
        When documents are admitted again, in seconds since 1970 UTC.
    """

    name: str
    verdict: str
    why: str
    amount: Any = None
    key: str | None = None
    seen: Any = None
    other_key: str | None = None
    other_seen: Any = None
    limiter: int | None = None
    until: float | None = None

    def __str__(self) -> str:
        return f"{self.name}: {self.verdict}: {self.why}"


def opened(
    data_cache: BaseDataCache | None,
    data_store: BaseDataStore | None,
    durability: str | None,
    clock: TestClock | None,
    limits: Mapping[str, Any],
) -> Call[Manager]:
    """Opens a manager."""
    options: dict[str, Any] = {}
    if durability is not None and not isinstance(durability, str):
        raise TypeError(f"durability is {a_type(durability)}; expected str")
    if clock is not None and not isinstance(clock, TestClock):
        raise TypeError(f"clock is {a_type(clock)}; expected a TestClock")
    for name, given, cls in (("data_cache", data_cache, BaseDataCache), ("data_store", data_store, BaseDataStore)):
        if given is not None:
            if not isinstance(given, cls):
                hint = (
                    "; pass a path or URL to TrackingManager.open(...)" if isinstance(given, (str, os.PathLike)) else ""
                )
                raise TypeError(f"{name} is {a_type(given)}; expected a {cls.__name__}{hint}")
            options |= given._options()
    manager: Manager = yield _dictrack.open(**options, durability=durability, clock=clock, **limits)
    return manager


def store_at(place: str | os.PathLike[str]) -> BaseDataStore:
    """The store at a path or URL."""
    if not isinstance(place, (str, os.PathLike)):
        raise TypeError(f"place is {a_type(place)}; expected a path or URL")
    text = os.fspath(place)
    if not isinstance(text, str):
        raise TypeError(f"place is {a_type(text)}; expected a path or URL")
    return SQLiteDataStore(text) if _dictrack.names_a_file(text) else MongoDBDataStore(url=text)


def cache_at(url: str | None) -> BaseDataCache:
    """The cache at a URL, or a memory cache if there is none."""
    if url is not None and not isinstance(url, str):
        raise TypeError(f"cache is {a_type(url)}; expected a URL, redis://…")
    if url is None:
        return MemoryDataCache()
    _dictrack.check_cache(url)
    return RedisDataCache(url=url)


def _id(what: str, value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{what} is {a_type(value)}; expected str") from None
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{what} is {value!a:.80}, which is not valid Unicode: it has a lone surrogate") from None
    return value


def checked_group(group_id: Any) -> str:
    """The id of a group, checked."""
    return _id("group_id", group_id)


def check_ids(group_id: Any, event_id: Any) -> None:
    """Raises if the ids of a document are invalid."""
    checked_group(group_id)
    if event_id is not None:
        _id("event_id", event_id)


def checked_name(name: Any) -> str:
    """The name of a tracker, checked."""
    if not isinstance(name, str):
        raise TypeError(f"name is {a_type(name)}; expected str")
    return name


def names_of(name: Any) -> list[str] | None:
    """One name, several, or all."""
    if name is None:
        return None
    names = [name] if isinstance(name, str) else name
    if not isinstance(names, (list, tuple, set, frozenset)) or not all(isinstance(one, str) for one in names):
        raise TypeError(f"name is {shown(name)}; expected a str, a list of them, or None for all")
    return list(names)


def checked_code(code: Any) -> int:
    """The code of an event, checked."""
    if isinstance(code, bool) or code not in EVENT_ALL:
        raise ValueError(f"code is {shown(code)}; expected one of {', '.join(map(str, EVENT_ALL))}")
    return int(code)


def moment_of(where: str, now: Moment, keywords: dict[str, Any]) -> Moment:
    """The time of a call: ``now``, or ``now_ts`` as in dictrack 2.1.5."""
    legacy = keywords.pop("now_ts", None)
    _compat.unexpected(where, keywords)
    return legacy if now is None else now


def _trackers(trackers: Any) -> list[BaseTracker]:
    return all_of("trackers", trackers, BaseTracker, "tracker", "trackers")


def _span(moment: Any, now: Any) -> Any:
    """The seconds from ``now`` to a time."""
    moments = [_read(one) if isinstance(one, str) else one for one in (moment, now)]
    exact = _values.plain(moments)
    if not all(isinstance(one, (int, float, _values.Exact)) and not isinstance(one, bool) for one in exact):
        raise TypeError(
            f"expire_at is {shown(moment)}; expected seconds since 1970 UTC, a datetime, a date or an RFC 3339 string"
        )
    seconds = [_seconds(one) for one in moments]
    return max(seconds[0] - seconds[1], 0)


def _read(moment: str) -> Any:
    """The seconds since 1970 for a string, read as in definition files."""
    return _dictrack.Limiter({"start": moment}, 0).view(0)["start"]


def _seconds(moment: Any) -> Any:
    if isinstance(moment, datetime.datetime):
        aware = moment if moment.tzinfo else moment.replace(tzinfo=datetime.timezone.utc)
        return aware.timestamp()
    if isinstance(moment, datetime.date):
        return (moment.toordinal() - _values.EPOCH.toordinal()) * 86_400
    return moment if isinstance(moment, numbers.Real) else float(moment)


def add_trackers(
    native: Manager, group_id: Any, trackers: Any, expire: Any, expire_at: Any, now: Moment
) -> Call[Added]:
    """Adds trackers. The objects then stay up to date."""
    group_id, trackers = checked_group(group_id), _trackers(trackers)
    if expire is not None and expire_at is not None:
        raise ValueError("both expire and expire_at are given; use only one of them")
    if expire_at is not None:
        expire = _span(expire_at, native.now() if now is None else now)
    found = yield native.add_trackers(group_id, [tracker._definition() for tracker in trackers], now, expire)
    yield from _follow(native, group_id, trackers)
    return Added(**found)


def ensure_trackers(native: Manager, group_id: Any, trackers: Any, update: bool, now: Moment) -> Call[Added]:
    """Makes sure that a group has trackers."""
    group_id, trackers = checked_group(group_id), _trackers(trackers)
    definitions = [tracker._definition() for tracker in trackers]
    found = yield native.ensure_trackers(group_id, definitions, update, now)
    yield from _follow(native, group_id, trackers)
    return Added(**found)


def _follow(native: Manager, group_id: str, trackers: Sequence[BaseTracker]) -> Call[None]:
    names = [(tracker.name, tracker._limiters_changed()) for tracker in trackers]
    for tracker, live in zip(trackers, (yield native.follow(group_id, names))):
        if live is not None:
            tracker._follow(live, group_id)


def get_trackers(native: Manager, group_id: Any, name: Any, now: Moment) -> Call[list[BaseTracker]]:
    """The active trackers."""
    group_id = checked_group(group_id)
    states = yield native.get_trackers(group_id, names_of(name), now)
    return [tracker_of(state, group_id) for state in states]


def completed(native: Manager, group_id: Any) -> Call[list[BaseTracker]]:
    """The completed trackers."""
    group_id = checked_group(group_id)
    return [tracker_of(state, group_id) for state in (yield native.completed(group_id))]


def update_tracker(native: Manager, group_id: Any, tracker: Any, now: Moment) -> Call[bool]:
    """Applies what was set on a tracker object."""
    group_id = checked_group(group_id)
    if not isinstance(tracker, BaseTracker):
        raise TypeError(f"tracker is {a_type(tracker)}; expected a tracker")
    definition = tracker._definition()
    was_completed = tracker._dt.state is not None and tracker._dt.state.completed
    found: bool = yield native.update_tracker(group_id, definition, tracker._dt.progress, now)
    if found:
        tracker._updated(definition)
        if was_completed:
            yield from _follow(native, group_id, [tracker])
    return found


def reset_tracker(
    native: Manager, group_id: Any, name: Any, reset_policy: Any, count: Any, seconds: Any, now: Moment
) -> Call[bool]:
    """Resets a tracker."""
    group_id = checked_group(group_id)
    name = checked_name(name)
    _compat.whole("reset_count", count)
    policy = None if reset_policy is None else checked_policy(reset_policy)
    found: bool = yield native.reset_tracker(group_id, name, policy, count, seconds, now)
    return found


def explain(native: Manager, group_id: Any, data: Any, now: Moment) -> Call[list[Explanation]]:
    """What a document would do."""
    found = yield native.explain(checked_group(group_id), data, now)
    return [Explanation(**_typed(data, one)) for one in found]


# How the engine describes a value that equals nothing: NaN, and what JSON cannot represent.
_NAN = "the value is NaN"
_NO_AMOUNT = re.compile(r"the value at (?P<key>.*) is not finite", re.DOTALL)


def _typed(data: Any, found: dict[str, Any]) -> dict[str, Any]:
    """Adds to an explanation the type of a value that JSON cannot represent."""
    amount = _NO_AMOUNT.fullmatch(found["why"]) if found["verdict"] == "skipped" else None
    is_nan = isinstance(found.get("seen"), float) and found["seen"] != found["seen"]
    key = amount["key"] if amount else found.get("key") if is_nan else None
    if key is None:
        return found
    try:
        value = _values.at(data, key)
    except Exception:
        # A mapping of the program's own class. The engine could read it before.
        return found
    if value is None or isinstance(value, (numbers.Real, decimal.Decimal)):
        return found
    kind = "a string with a lone surrogate" if isinstance(value, str) else a_type(value)
    hint = "; use its value" if isinstance(value, enum.Enum) else ""
    why = found["why"]
    if amount:
        return found | {"why": why.removesuffix("not finite") + f"{kind}, which is not a number{hint}"}
    return found | {"seen": value, "why": why.replace(f"{_NAN}, which", f"the value is {kind}, which") + hint}


def track_many(native: Manager, items: Any) -> Call[list[Outcome | Exception]]:
    """Applies documents."""
    if not isinstance(items, Iterable):
        raise TypeError(f"items is {a_type(items)}; expected an iterable of (group_id, data[, now[, event_id]])")
    read = []
    for at, item in enumerate(items):
        if not isinstance(item, (list, tuple)) or not 2 <= len(item) <= 4:
            raise TypeError(f"items[{at}] is {shown(item)}; expected (group_id, data[, now[, event_id]])")
        group_id, data, now, event_id = [*item, None, None][:4]
        read.append((checked_group(group_id), data, now, event_id))
    outcomes: list[Outcome | Exception] = yield native.track_many(read)
    return outcomes


class Listeners:
    """The listeners of a manager by code and function, so that they can be removed."""

    def __init__(self) -> None:
        self._numbers: dict[tuple[int, int], list[tuple[Callable[[Any], Any], int]]] = {}

    def add(self, native: Manager, code: Any, cb: Callable[[Any], Any]) -> None:
        code = checked_code(code)
        if not callable(cb):
            raise TypeError(f"cb is {a_type(cb)}; expected a function that takes one event")
        self._numbers.setdefault((code, hash(cb)), []).append((cb, native.add_listener(code, cb)))

    def remove(self, native: Manager, code: Any, cb: Callable[[Any], Any]) -> bool:
        listed = self._numbers.get((checked_code(code), hash(cb)), [])
        at = next((at for at, (known, _) in enumerate(listed) if known == cb), None)
        return at is not None and native.remove_listener(listed.pop(at)[1])
