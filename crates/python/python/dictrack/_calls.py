"""The calls of a manager, shared by threads and event loops.

A call is a generator. It yields operations that may have to wait, and is sent their results.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from dictrack import _clock, _compat, _dictrack, _windows
from dictrack._arguments import (
    Moment,
    checked_attributes,
    checked_code,
    checked_group,
    checked_name,
    names_of,
    span_until,
    trackers_of,
)
from dictrack._dictrack import Manager, Outcomes, Pending, Table, TestClock, TrackerList
from dictrack._results import Added, Backfilled, Explanation, PeriodRecord, Place, TableOutcome, typed
from dictrack._templates import templates_of
from dictrack._values import a_type, shown
from dictrack.data_caches.base import BaseDataCache
from dictrack.data_caches.memory import MemoryDataCache
from dictrack.data_caches.redis import RedisDataCache
from dictrack.data_stores.base import BaseDataStore
from dictrack.data_stores.mongodb import MongoDBDataStore
from dictrack.data_stores.sqlite import SQLiteDataStore
from dictrack.trackers.base import BaseTracker, checked_policy, tracker_of

T = TypeVar("T")
Call = Generator["Pending[Any]", Any, T]


def opened(
    data_cache: BaseDataCache | None,
    data_store: BaseDataStore | None,
    durability: str | None,
    clock: TestClock | Callable[[], object] | None,
    zone: Any,
    ahead: Any,
    trackers: Any,
    limits: Mapping[str, Any],
) -> Call[Manager]:
    """Opens a manager."""
    options: dict[str, Any] = {}
    if durability is not None and not isinstance(durability, str):
        raise TypeError(f"durability is {a_type(durability)}; expected str")
    for name, given, cls in (("data_cache", data_cache, BaseDataCache), ("data_store", data_store, BaseDataStore)):
        if given is not None:
            if not isinstance(given, cls):
                hint = (
                    "; pass a path or URL to TrackingManager.open(...)" if isinstance(given, (str, os.PathLike)) else ""
                )
                raise TypeError(f"{name} is {a_type(given)}; expected a {cls.__name__}{hint}")
            options |= given._options()
    manager: Manager = yield _dictrack.open(
        **options,
        durability=durability,
        clock=_clock.checked(clock),
        zone=_windows.zone_name(zone),
        ahead=ahead,
        trackers=None if trackers is None else templates_of(trackers),
        **limits,
    )
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


def add_trackers(
    native: Manager, group_id: Any, trackers: Any, expire: Any, expire_at: Any, now: Moment
) -> Call[Added]:
    """Adds trackers. The objects then stay up to date."""
    group_id, trackers = checked_group(group_id), trackers_of(trackers)
    if expire is not None and expire_at is not None:
        raise ValueError("both expire and expire_at are given; use only one of them")
    if expire_at is not None:
        expire = span_until(expire_at, native.now() if now is None else now)
    found = yield native.add_trackers(group_id, [tracker._definition() for tracker in trackers], now, expire)
    yield from _follow(native, group_id, trackers)
    return Added(**found)


def ensure_trackers(native: Manager, group_id: Any, trackers: Any, update: bool, now: Moment) -> Call[Added]:
    """Makes sure that a group has trackers."""
    group_id, trackers = checked_group(group_id), trackers_of(trackers)
    definitions = [tracker._definition() for tracker in trackers]
    found = yield native.ensure_trackers(group_id, definitions, update, now)
    yield from _follow(native, group_id, trackers)
    return Added(**found)


#: How many groups are listed at a time.
PAGE = 1000


def groups(native: Manager, after: Any, limit: int) -> Call[list[str]]:
    """A page of group ids."""
    page: list[str] = yield native.groups(None if after is None else checked_group(after), limit)
    return page


def find(
    native: Manager,
    tracker: Any,
    at_least: Any,
    at_most: Any,
    status: Any,
    ascending: Any,
    limit: Any,
    after: Any,
    now: Moment,
) -> Call[list[Place]]:
    """The groups that are furthest with a tracker."""
    if isinstance(tracker, BaseTracker):
        tracker = tracker.name
    if status is not None and not isinstance(status, str):
        raise TypeError(f"status is {a_type(status)}; expected str")
    if isinstance(after, Place):
        after = after.position
    if after is not None and not isinstance(after, str):
        raise TypeError(f"after is {a_type(after)}; expected a Place, or its position")
    most = _compat.whole("limit", limit)
    found = yield native.find(checked_name(tracker), at_least, at_most, status, bool(ascending), most, after, now)
    return [Place(group, tracker_of(state, group), standing, position) for group, state, standing, position in found]


def set_trackers(native: Manager, trackers: Any) -> None:
    native.set_trackers(templates_of(trackers))


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


def peek(native: Manager, group_id: Any, names: Any, now: Moment) -> Call[list[BaseTracker]]:
    """What the active trackers allow."""
    group_id = checked_group(group_id)
    states = yield native.peek(group_id, names_of(names, "names"), now)
    return [tracker_of(state, group_id) for state in states]


def periods(native: Manager, group_id: Any, name: Any, now: Moment) -> Call[list[PeriodRecord]]:
    """What a tracker counted in its periods."""
    found = yield native.periods(checked_group(group_id), checked_name(name), now)
    return [PeriodRecord(**record) for record in found or ()]


def set_attributes(native: Manager, group_id: Any, attributes: Any, now: Moment) -> Call[bool]:
    """Merges attributes into those of a group."""
    changed: bool = yield native.set_attributes(checked_group(group_id), checked_attributes(attributes), now)
    return changed


def attributes(native: Manager, group_id: Any) -> Call[dict[str, Any]]:
    """The attributes of a group."""
    found: dict[str, Any] = yield native.attributes(checked_group(group_id))
    return found


def delete_group(native: Manager, group_id: Any) -> Call[bool]:
    """Deletes a group."""
    existed: bool = yield native.delete_group(checked_group(group_id))
    return existed


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
    return [Explanation(**typed(data, one)) for one in found]


_EVENTS = ("emit", "silent", "dry")
#: How many documents of a backfill are applied at a time, and how many of their exceptions are kept.
_DOCUMENTS = 10_000
_ERRORS = 100


def backfill(native: Manager, trackers: Any, documents: Any, events: Any) -> Call[Backfilled]:
    """Counts old documents for new trackers."""
    if events not in _EVENTS:
        raise ValueError(f"events is {shown(events)}; expected one of {', '.join(map(repr, _EVENTS))}")
    if isinstance(documents, (str, bytes, Mapping)) or not isinstance(documents, Iterable):
        raise TypeError(f"documents is {a_type(documents)}; expected an iterable of (group_id, data, now, event_id)")
    if not isinstance(trackers, TrackerList):
        trackers = native.tracker_list([tracker._definition() for tracker in trackers_of(trackers)])
    if events == "dry":
        native = yield native.dry()
    done: dict[str, int] = {}
    errors: dict[int, Exception] = {}
    left, position = iter(documents), 0
    while items := list(itertools.islice(left, _DOCUMENTS)):
        outcomes: Outcomes = yield native.track_many(items, None, trackers, events == "silent")
        for name, count in outcomes.counted().items():
            done[name] = done.get(name, 0) + count
        for at, error in outcomes.errors.items():
            if len(errors) < _ERRORS:
                errors[position + at] = error
        position += len(items)
    return Backfilled(**done, errors=errors)


def track_many(native: Manager, items: Any, ensure: Any) -> Call[Outcomes]:
    """Applies documents."""
    outcomes: Outcomes = yield native.track_many(items, ensure)
    return outcomes


class TrackedTable:
    """A table that is being tracked, some rows at a time, and what to tell the caller about it."""

    def __init__(
        self,
        native: Manager,
        table: Any,
        group: Any,
        time: Any,
        id: Any,
        ensure: Any,
        progress: Callable[[int, int | None], object] | None,
        threads: int | None,
        rows: int,
    ) -> None:
        if not isinstance(group, str):
            raise TypeError(f"group is {a_type(group)}; expected the name of a column")
        for name, column in (("time", time), ("id", id)):
            if column is not None and not isinstance(column, str):
                raise TypeError(f"{name} is {a_type(column)}; expected the name of a column, or None")
        if threads is not None and (isinstance(threads, bool) or not isinstance(threads, int) or threads < 1):
            raise ValueError(f"threads is {shown(threads)}; expected an int, 1 or more, or None for one for each core")
        if progress is not None and not callable(progress):
            raise TypeError(f"progress is {a_type(progress)}; expected a function that takes two ints")
        self.native: Table = native.read_table(table, (group, time, id), ensure, rows, threads)
        self._progress = progress
        self._total = _length(table)

    def progressed(self, rows: int) -> None:
        """Tells the caller how many rows were tracked."""
        if self._progress is not None:
            self._progress(rows, self._total)

    def outcome(self) -> TableOutcome:
        """What the rows tracked so far did."""
        return TableOutcome(**self.native.result())

    def failed(self, error: BaseException) -> None:
        """Adds what was tracked before to an exception."""
        error.outcome = self.outcome()  # type: ignore[attr-defined]


def _length(table: Any) -> int | None:
    """The number of rows, if that is known without reading them."""
    for name in ("num_rows", "height"):
        length = getattr(table, name, None)
        if isinstance(length, int):
            return length
    return len(table) if hasattr(table, "iloc") else None


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
