"""The manager for asyncio: the same calls, awaited.

>>> import asyncio
>>> import dictrack as dt
>>> import dictrack.aio
>>> async def main():
...     async with await dictrack.aio.TrackingManager.open() as manager:
...         await manager.ensure_tracker("user_001", dt.CountTracker("logins", target=3))
...         outcome = await manager.track("user_001", {"event": "login"})
...         return [tracker.progress for tracker in outcome.dirtied]
>>> asyncio.run(main())
[1]
"""

from __future__ import annotations

import asyncio
import datetime
import os
import zoneinfo
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from dictrack import _arguments, _calls
from dictrack._calls import Call
from dictrack._dictrack import Manager, Outcome, Outcomes, Pending, TestClock, TrackerList
from dictrack._open_managers import open_managers
from dictrack._results import Added, Backfilled, Explanation, Metrics, PeriodRecord, Place, TableOutcome
from dictrack._types import Document, Limits, Moment, Number, Options, TimeKeywords, Trackers
from dictrack.data_caches.base import BaseDataCache
from dictrack.data_stores.base import BaseDataStore
from dictrack.trackers.base import BaseTracker

__all__ = ["TrackingManager"]

if TYPE_CHECKING:
    from typing_extensions import Unpack

T = TypeVar("T")


async def _wait(pending: Pending[T]) -> T:
    """Continues a call whenever it can make progress; the loop is free in the meantime."""
    loop = asyncio.get_running_loop()
    while True:
        woken = asyncio.Event()

        def wake(woken: asyncio.Event = woken) -> None:
            loop.call_soon_threadsafe(woken.set)

        done, result = pending.poll(wake)
        if done:
            return result  # type: ignore[return-value]
        await woken.wait()


async def _run(call: Call[T]) -> T:
    """Runs a call to completion on this loop."""
    try:
        pending = next(call)
        while True:
            try:
                value = await _wait(pending)
            except BaseException as error:
                pending = call.throw(error)
            else:
                pending = call.send(value)
    except StopIteration as end:
        result: T = end.value
        return result


class TrackingManager:
    """A ``dictrack.TrackingManager`` whose calls are awaited. Create one with ``await TrackingManager.open(...)``.

    Calls, arguments and results are those of ``dictrack.TrackingManager``; see there. Listeners are plain functions and run
    on the thread of the event loop.
    """

    def __init__(self, *native: Any, **options: Unpack[Options]) -> None:
        if options or len(native) != 1 or not isinstance(native[0], Manager):
            raise TypeError("do not create this directly; use await dictrack.aio.TrackingManager.open(...)")
        self._native = native[0]
        self._listeners = _calls.Listeners()
        open_managers.add(self._native)

    @classmethod
    async def open(
        cls,
        place: str | os.PathLike[str] | None = None,
        cache: str | None = None,
        *,
        data_cache: BaseDataCache | None = None,
        data_store: BaseDataStore | None = None,
        durability: str | None = None,
        clock: TestClock | Callable[[], Moment] | None = None,
        zone: str | zoneinfo.ZoneInfo | None = None,
        ahead: float | datetime.timedelta | None = None,
        trackers: Trackers | None = None,
        **limits: Unpack[Limits],
    ) -> TrackingManager:
        """Opens a manager with ``place`` and ``cache``, like ``dictrack.TrackingManager.open``, or with a cache and a store, like
        its constructor."""
        _arguments.check_limits(limits)
        if place is not None:
            if data_store is not None:
                raise TypeError("both place and data_store are given; use only one of them")
            data_store = _calls.store_at(place)
        if cache is not None:
            if data_cache is not None:
                raise TypeError("both cache and data_cache are given; use only one of them")
            data_cache = _calls.cache_at(cache)
        return cls(await _run(_calls.opened(data_cache, data_store, durability, clock, zone, ahead, trackers, limits)))

    async def track(
        self,
        group_id: str,
        data: Document,
        *,
        now: Moment | None = None,
        event_id: str | None = None,
        ensure: TrackerList | Iterable[BaseTracker] | None = None,
        **kwargs: Unpack[TimeKeywords],
    ) -> Outcome:
        """Applies a document to a group."""
        if kwargs:
            now = _arguments.moment_of("track", now, kwargs)
        try:
            pending = self._native.begin_track(group_id, data, now, event_id, ensure)
        except (TypeError, UnicodeEncodeError):
            _arguments.check_ids(group_id, event_id)
            raise
        return await _wait(pending)

    async def track_many(
        self, items: Iterable[Any], *, ensure: TrackerList | Iterable[BaseTracker] | None = None
    ) -> Outcomes:
        """Applies many documents in order and commits them together."""
        return await _run(_calls.track_many(self._native, items, ensure))

    async def find(
        self,
        tracker: str | BaseTracker,
        *,
        at_least: Number | None = None,
        at_most: Number | None = None,
        status: str | None = None,
        ascending: bool = False,
        limit: int = 100,
        after: Place | str | None = None,
        now: Moment | None = None,
    ) -> list[Place]:
        """The groups that have a tracker or have completed it, by how far they are."""
        return await _run(_calls.find(self._native, tracker, at_least, at_most, status, ascending, limit, after, now))

    async def top(self, tracker: str | BaseTracker, count: int = 10, *, now: Moment | None = None) -> list[Place]:
        """The groups that are furthest with a tracker; see ``find``."""
        return await _run(_calls.find(self._native, tracker, None, None, None, False, count, None, now))

    async def groups(self, after: str | None = None) -> AsyncIterator[str]:
        """The ids of all groups in order, or of those after ``after``: ``async for group_id in manager.groups()``."""
        while page := await _run(_calls.groups(self._native, after, _calls.PAGE)):
            for group_id in page:
                yield group_id
            after = page[-1]

    def metrics(self) -> Metrics:
        """What this manager has done so far: counts of documents, events, commits and errors."""
        return Metrics(**self._native.metrics())

    def set_trackers(self, trackers: Trackers) -> None:
        """Replaces the trackers that groups have without being given them. Not awaited."""
        _calls.set_trackers(self._native, trackers)

    async def backfill(
        self,
        trackers: TrackerList | Iterable[BaseTracker],
        documents: Iterable[Any],
        *,
        events: Literal["emit", "silent", "dry"] = "emit",
    ) -> Backfilled:
        """Counts old documents for new trackers, and for no others."""
        return await _run(_calls.backfill(self._native, trackers, documents, events))

    def tracker_list(self, trackers: Iterable[BaseTracker]) -> TrackerList:
        """Prepares a list of trackers for ``ensure=``, once for all groups and calls."""
        return self._native.tracker_list(_arguments.definitions_of(trackers))

    async def track_table(
        self,
        table: Any,
        group: str,
        time: str | None = None,
        id: str | None = None,
        *,
        ensure: TrackerList | Iterable[BaseTracker] | None = None,
        progress: Callable[[int, int | None], object] | None = None,
        threads: int | None = None,
    ) -> TableOutcome:
        """Applies the rows of a table, each as a document. The table is read on another thread."""
        # Fewer rows at a time, since they are tracked on the thread of the event loop.
        tracked = _calls.TrackedTable(self._native, table, group, time, id, ensure, progress, threads, 8_192)
        try:
            while await asyncio.to_thread(tracked.native.read):
                tracked.progressed(await _wait(tracked.native.track()))
                await asyncio.sleep(0)
        except BaseException as error:
            tracked.failed(error)
            raise
        return tracked.outcome()

    async def explain(self, group_id: str, data: Document, *, now: Moment | None = None) -> list[Explanation]:
        """What a document would do to each tracker of a group, and why. Changes nothing."""
        return await _run(_calls.explain(self._native, group_id, data, now))

    async def add_tracker(
        self,
        group_id: str,
        tracker: BaseTracker,
        expire: int | float | datetime.timedelta | None = None,
        expire_at: Moment | None = None,
        *,
        now: Moment | None = None,
        **kwargs: Unpack[TimeKeywords],
    ) -> bool:
        """Adds a tracker. False if an equal one existed and nothing changed. A completed tracker of the same name starts over;
        every time your program starts, call ``ensure_tracker`` instead."""
        now = _arguments.moment_of("add_tracker", now, kwargs)
        return bool((await _run(_calls.add_trackers(self._native, group_id, [tracker], expire, expire_at, now))).added)

    async def add_trackers(
        self,
        group_id: str,
        trackers: Iterable[BaseTracker],
        expire: int | float | datetime.timedelta | None = None,
        expire_at: Moment | None = None,
        *,
        now: Moment | None = None,
        **kwargs: Unpack[TimeKeywords],
    ) -> Added:
        """Adds trackers: all or none. Completed trackers of the same names start over."""
        now = _arguments.moment_of("add_trackers", now, kwargs)
        return await _run(_calls.add_trackers(self._native, group_id, trackers, expire, expire_at, now))

    async def ensure_tracker(self, group_id: str, tracker: BaseTracker, *, now: Moment | None = None) -> bool:
        """Makes sure that a group has a tracker: adds it, unless it exists or has completed. True if it is new."""
        return bool((await _run(_calls.ensure_trackers(self._native, group_id, [tracker], False, now))).added)

    async def ensure_trackers(
        self, group_id: str, trackers: Iterable[BaseTracker], *, update: bool = False, now: Moment | None = None
    ) -> Added:
        """Makes sure that a group has these trackers. Completed ones are left alone, unless ``update`` is true and they gain
        targets."""
        return await _run(_calls.ensure_trackers(self._native, group_id, trackers, update, now))

    async def get_trackers(
        self, group_id: str, name: str | list[str] | None = None, *, now: Moment | None = None
    ) -> list[BaseTracker]:
        """The active trackers of a group, in the order in which they were added."""
        return await _run(_calls.get_trackers(self._native, group_id, name, now))

    async def peek(
        self, group_id: str, names: str | list[str] | None = None, *, now: Moment | None = None
    ) -> list[BaseTracker]:
        """What a group's trackers allow, before you act. Changes nothing."""
        return await _run(_calls.peek(self._native, group_id, names, now))

    async def periods(self, group_id: str, name: str, *, now: Moment | None = None) -> list[PeriodRecord]:
        """What a tracker with ``every`` counted in its latest periods, oldest first."""
        return await _run(_calls.periods(self._native, group_id, name, now))

    async def set_attributes(self, group_id: str, attributes: Mapping[str, Any], *, now: Moment | None = None) -> bool:
        """Merges attributes, ``zone`` among them, into those of a group. Returns whether that changed anything."""
        return await _run(_calls.set_attributes(self._native, group_id, attributes, now))

    async def attributes(self, group_id: str) -> dict[str, Any]:
        """The attributes of a group; empty if it has none."""
        return await _run(_calls.attributes(self._native, group_id))

    async def delete_group(self, group_id: str) -> bool:
        """Deletes a group, permanently. False if there was nothing."""
        return await _run(_calls.delete_group(self._native, group_id))

    async def completed(self, group_id: str) -> list[BaseTracker]:
        """The last 100 trackers that a group completed, in that order."""
        return await _run(_calls.completed(self._native, group_id))

    async def update_tracker(self, group_id: str, tracker: BaseTracker, *, now: Moment | None = None) -> bool:
        """Applies what was set on a tracker object. False if there is no active tracker of that name."""
        return await _run(_calls.update_tracker(self._native, group_id, tracker, now))

    async def set_progress(self, group_id: str, name: str, progress: Any, *, now: Moment | None = None) -> bool:
        """Sets the progress of an active tracker. Fires no events: targets that it reaches are completed by the next document
        that counts. False if there is no such tracker."""
        group_id, name = _arguments.checked_group(group_id), _arguments.checked_name(name)
        return await _wait(self._native.set_progress(group_id, name, progress, now))

    async def add_targets(self, group_id: str, name: str, targets: Any, *, now: Moment | None = None) -> bool:
        """Adds targets after those of a tracker. A completed one becomes active again. False if there is no such tracker."""
        more = list(targets) if isinstance(targets, (list, tuple)) else [targets]
        group_id, name = _arguments.checked_group(group_id), _arguments.checked_name(name)
        return await _wait(self._native.add_targets(group_id, name, more, now))

    async def remove_tracker(
        self, group_id: str, name: str | list[str] | None = None, *, now: Moment | None = None
    ) -> list[str]:
        """Removes active trackers. Returns the names of those that existed."""
        return await _wait(
            self._native.remove_trackers(_arguments.checked_group(group_id), _arguments.names_of(name), now)
        )

    async def reset_tracker(
        self,
        group_id: str,
        name: str,
        reset_policy: int | None = None,
        *,
        reset_count: int | None = None,
        reset_seconds: Any = None,
        now: Moment | None = None,
        **kwargs: Unpack[TimeKeywords],
    ) -> bool:
        """Resets an active tracker. False if there is no such tracker."""
        now = _arguments.moment_of("reset_tracker", now, kwargs)
        return await _run(
            _calls.reset_tracker(self._native, group_id, name, reset_policy, reset_count, reset_seconds, now)
        )

    def add_listener(self, code: int, cb: Callable[[Any], Any]) -> None:
        """Calls ``cb(event)`` for each event with this code; ``cb`` is a plain function."""
        if asyncio.iscoroutinefunction(cb):
            raise TypeError("cb is a coroutine function; expected a plain function, which may start a task")
        self._listeners.add(self._native, code, cb)

    def remove_listener(self, code: int, cb: Callable[[Any], Any]) -> bool:
        """Removes a listener. False if there is no such listener."""
        return self._listeners.remove(self._native, code, cb)

    def now(self) -> int | float:
        """The time by the manager's clock, in seconds since 1970 UTC."""
        return self._native.now()

    async def flush(self, confirm: bool = False) -> None:
        """Deletes everything in the cache and the store, permanently."""
        await _wait(self._native.flush(confirm is True))

    async def close(self) -> None:
        """Writes everything and closes the manager."""
        await _wait(self._native.close())
        open_managers.discard(self._native)

    async def __aenter__(self) -> TrackingManager:
        return self

    async def __aexit__(self, *_: Any) -> None:
        await self.close()

    def __reduce__(self) -> Any:
        raise TypeError("a manager cannot be pickled, since it has connections and threads; open one in each process")
