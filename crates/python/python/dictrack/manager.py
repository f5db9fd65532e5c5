"""The manager: submit documents to it, and it returns what each of them changed."""

from __future__ import annotations

import datetime
import os
import zoneinfo
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from dictrack import _arguments, _calls, _notebook
from dictrack._calls import Call
from dictrack._dictrack import Outcomes, TestClock, TrackerList, Tracking
from dictrack._frames import Library, to_frame
from dictrack._open_managers import open_managers
from dictrack._results import Added, Backfilled, Explanation, Metrics, Period, PeriodRecord, Place, TableOutcome
from dictrack._types import Document, Limits, Moment, Number, Options, TimeKeywords, Trackers
from dictrack.data_caches.base import BaseDataCache
from dictrack.data_stores.base import BaseDataStore
from dictrack.trackers.base import BaseTracker

__all__ = [
    "Added",
    "Backfilled",
    "Explanation",
    "Metrics",
    "Period",
    "PeriodRecord",
    "Place",
    "TableOutcome",
    "TrackingManager",
]

if TYPE_CHECKING:
    from typing_extensions import Unpack

T = TypeVar("T")


def _run(call: Call[T]) -> T:
    """Runs a call to completion on this thread."""
    try:
        pending = next(call)
        while True:
            try:
                value = pending.wait()
            except BaseException as error:
                pending = call.throw(error)
            else:
                pending = call.send(value)
    except StopIteration as end:
        result: T = end.value
        return result


class TrackingManager(Tracking):
    """Tracks documents for groups: finds the group, counts, stores the result, and calls the listeners.

    Safe to use from several threads; other threads run while a call waits. Without arguments, groups are kept in memory only;
    ``TrackingManager.open("dictrack.db")`` stores them in a file. ``close``, the end of a ``with`` block and interpreter
    exit write everything to the store.

    Parameters
    ----------
    data_cache : BaseDataCache, optional
        Holds the groups in use: ``MemoryDataCache()``, the default, or ``RedisDataCache(...)``.
    data_store : BaseDataStore, optional
        Keeps all groups: ``SQLiteDataStore(...)`` or ``MongoDBDataStore(...)``. By default, nothing is stored.
    durability : str, optional
        When a call returns: ``fsync`` (when the change is on disk), ``os`` (when the operating system has it; the default
        for SQLite), or ``interval(100ms)`` (immediately, and the store gets it within that time; the default for MongoDB
        and Redis).
    clock : TestClock or callable, optional
        Use this clock instead of the system clock. A callable, such as ``time.time``, returns seconds since 1970 UTC or a
        datetime with a time zone; if it fails later, the error is logged and the time stays what it was.
    zone : str or ZoneInfo, optional
        The time zone of windows for which neither the limiter, the tracker nor the group has one: an IANA name such as
        ``"Europe/Berlin"``. Default UTC.
    ahead : number or timedelta, optional
        How far, in seconds, a document may be ahead of the clock; one that is further ahead raises ``AheadError``. A document from
        the far future makes all that follow late. Default: any distance.
    trackers : list, dict or path, optional
        Trackers that groups have without being given them; see ``set_trackers``.
    completed_kept : int, optional
        How many completed trackers of a group stay readable; default 100.
    id_window : number or timedelta, optional
        For how many seconds the id of a document is remembered; default one day.
    ids_at_least, ids_at_most : int, optional
        How many of the latest ids of a group are remembered regardless of age, default 1,024, and how many in total,
        default 2**20.

    Raises
    ------
    DataStoreOperationError
        If the cache or the store cannot be used; the subclass tells why.
    """

    def __init__(
        self,
        data_cache: BaseDataCache | None = None,
        data_store: BaseDataStore | None = None,
        *,
        durability: str | None = None,
        clock: TestClock | Callable[[], Moment] | None = None,
        zone: str | zoneinfo.ZoneInfo | None = None,
        ahead: float | datetime.timedelta | None = None,
        trackers: Trackers | None = None,
        **limits: Unpack[Limits],
    ) -> None:
        _arguments.check_limits(limits)
        self.data_cache = data_cache
        self.data_store = data_store
        self._native = _run(_calls.opened(data_cache, data_store, durability, clock, zone, ahead, trackers, limits))
        self._listeners = _calls.Listeners()
        open_managers.add(self._native)

    @classmethod
    def open(
        cls, place: str | os.PathLike[str], cache: str | None = None, **options: Unpack[Options]
    ) -> TrackingManager:
        """Opens the store at a path or URL, behind the Redis cache at ``cache`` if given.

        Parameters
        ----------
        place : str or path-like
            A SQLite file, which is created if necessary, or ``mongodb://host/database``.
        cache : str, optional
            ``redis://host``.
        **options
            Passed to ``TrackingManager``.
        """
        return cls(_calls.cache_at(cache), _calls.store_at(place), **options)

    def track_many(
        self, items: Iterable[Any], *, ensure: TrackerList | Iterable[BaseTracker] | None = None
    ) -> Outcomes:
        """Applies many documents in order and commits them together. Takes less than half the time of a loop of ``track``.

        Parameters
        ----------
        items : iterable of tuples
            ``(group_id, data)``, ``(group_id, data, now)`` or ``(group_id, data, now, event_id)``.
        ensure : TrackerList, optional
            The trackers that each of the groups must have, as for ``track``.

        Returns
        -------
        Outcomes
            A sequence: for each document, its outcome or the exception that ``track`` would have raised. ``errors`` has the
            exceptions by position, ``events`` all events in order.
        """
        return _run(_calls.track_many(self._native, items, ensure))

    def find(
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
        """The groups that have a tracker or have completed it, by how far they are, as of the last commit and of now.

        Looks at every group: a million take about two seconds in memory, and longer from a store. A group that only
        ``set_trackers`` will give the tracker has no place yet.

        Parameters
        ----------
        tracker : str or BaseTracker
            The tracker or its name.
        at_least, at_most : number, optional
            Only groups with this progress.
        status : str, optional
            Only groups in which the tracker is ``active`` (which includes ``limited``), ``limited``, ``resting`` or ``completed``.
        ascending : bool, optional
            The least far come first. Groups that are equally far are in the order of their ids.
        limit : int, optional
            How many places are returned at most.
        after : Place or str, optional
            Only places after this one, or after the one with this ``position``: the next page.
        """
        return _run(_calls.find(self._native, tracker, at_least, at_most, status, ascending, limit, after, now))

    def top(self, tracker: str | BaseTracker, count: int = 10, *, now: Moment | None = None) -> list[Place]:
        """The groups that are furthest with a tracker; see ``find``."""
        return _run(_calls.find(self._native, tracker, None, None, None, False, count, None, now))

    def groups(self, after: str | None = None) -> Iterator[str]:
        """The ids of all groups in order, or of those after ``after``, as of the last commit. Reads a thousand at a time."""
        while page := _run(_calls.groups(self._native, after, _calls.PAGE)):
            yield from page
            after = page[-1]

    def metrics(self) -> Metrics:
        """What this manager has done so far: counts of documents, events, commits and errors."""
        return Metrics(**self._native.metrics())

    def to_frame(self, groups: Iterable[str] | None = None, library: Library | None = None) -> Any:
        """Trackers as a data frame of pandas or polars, a row for each, with group, progress, target, stage and status.

        Parameters
        ----------
        groups : iterable of str, optional
            Whose trackers: active and completed ones. By default those of all groups, as of the last commit.
        library : str, optional
            ``pandas`` or ``polars``; see ``to_frame``.
        """
        names = self.groups() if groups is None else groups
        trackers = (tracker for name in names for tracker in [*self.get_trackers(name), *self.completed(name)])
        return to_frame(trackers, library)

    def set_trackers(self, trackers: Trackers) -> None:
        """Replaces the trackers that groups have without being given them.

        Each group gets them with the next call that names it, in the same change; calls that only look at a group show it as it
        will be. A tracker whose definition changes keeps its state, as with ``update_tracker``. One that is gone is removed,
        unless it has completed; one that has completed is not added again. Trackers that a group was given by other calls stay,
        except that one of the same name is taken over. ``update_tracker``, ``add_targets`` and ``remove_tracker`` refuse these
        trackers, since they would come back.

        Nothing of this is stored: every process that uses the store or the cache must be given the same trackers.

        Parameters
        ----------
        trackers : list, dict or path
            Trackers for all groups, or a dict with ``trackers`` for all and ``templates`` for some, or a definition file with
            either. A template is a dict with ``name``, ``for`` and ``trackers``. ``for`` is a list of conditions; they read the
            attributes of the group, and its id at the key ``group``.

        Raises
        ------
        DefinitionError
            If two templates, or two trackers, have the same name. Nothing is replaced then.
        """
        _calls.set_trackers(self._native, trackers)

    def backfill(
        self,
        trackers: TrackerList | Iterable[BaseTracker],
        documents: Iterable[Any],
        *,
        events: Literal["emit", "silent", "dry"] = "emit",
    ) -> Backfilled:
        """Counts old documents for new trackers, and for no others. Groups that lack them get them.

        A document counts whether or not it was tracked before. The ids of documents are known for each of these trackers by
        itself, so a second backfill, or one that was interrupted, does not count a document again. Afterwards, live documents go on.

        Parameters
        ----------
        trackers : TrackerList or list of trackers
            The new trackers.
        documents : iterable of tuples
            ``(group_id, data)``, ``(group_id, data, now)`` or ``(group_id, data, now, event_id)``, oldest first. Read ten thousand
            at a time.
        events : str, optional
            ``"emit"``: events are stored and listeners hear of them. ``"silent"``: nobody hears of targets that were reached long
            ago. ``"dry"``: nothing changes, which needs memory for every group.
        """
        return _run(_calls.backfill(self._native, trackers, documents, events))

    def tracker_list(self, trackers: Iterable[BaseTracker]) -> TrackerList:
        """Prepares a list of trackers for ``ensure=``, once for all groups and calls.

        Parameters
        ----------
        trackers : iterable of BaseTracker
            The trackers. Later changes to the objects do not change the list.

        Raises
        ------
        RepeatedNameError
            If a name appears twice.
        """
        return self._native.tracker_list(_arguments.definitions_of(trackers))

    def track_table(
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
        """Applies the rows of a table, each as a document.

        The rows are read where they are, without a Python object for each cell. They are tracked some at a time, and those of
        a group together, in their order. Between two parts, ``progress`` is called and Ctrl-C takes effect.

        Parameters
        ----------
        table : object with ``__arrow_c_stream__``
            A table, data frame or reader of pyarrow, polars, pandas 2.2 or newer (with pyarrow), or DuckDB. Nulls are missing
            fields.
        group : str
            The column that contains the group: strings or numbers. A dotted path names a field of a struct.
        time : str, optional
            The column that contains the time of the document: timestamps, dates, seconds since 1970 UTC or RFC 3339 strings.
            Default: the manager's clock.
        id : str, optional
            The column that contains the id of the document, which then counts only once in its group.
        ensure : TrackerList, optional
            The trackers that each of the groups must have, as for ``track``; added before the first row of a group.
        progress : function, optional
            Called as ``progress(rows, total)`` with the number of rows tracked so far and the number of all rows, or ``None`` if
            the table does not know it.
        threads : int, optional
            How many threads track groups; they need no GIL. Default: one for each core that the process may use. One if the
            program has custom conditions, limiters or trackers.

        Returns
        -------
        TableOutcome
            How many rows counted, and the events as a table.

        Raises
        ------
        TableError
            If the group, time or id in a row is missing or has another type. ``row`` and ``column`` tell where. The rows before
            it counted.
        DictrackError
            The errors of ``track``. If the cache or the store failed, an unknown part of the latest rows may have counted; with
            ``id``, track the table again.

            Every exception has an attribute ``outcome``: what the rows tracked before did.
        """
        tracked = _calls.TrackedTable(self._native, table, group, time, id, ensure, progress, threads, 262_144)
        try:
            while tracked.native.read():
                tracked.progressed(tracked.native.track().wait())
        except BaseException as error:
            tracked.failed(error)
            raise
        return tracked.outcome()

    def explain(self, group_id: str, data: Document, *, now: Moment | None = None) -> list[Explanation]:
        """What a document would do to each tracker of a group, and why. Changes nothing.

        Parameters
        ----------
        group_id, data, now
            As for ``track``.
        """
        return _run(_calls.explain(self._native, group_id, data, now))

    def add_tracker(
        self,
        group_id: str,
        tracker: BaseTracker,
        expire: int | float | datetime.timedelta | None = None,
        expire_at: Moment | None = None,
        *,
        now: Moment | None = None,
        **kwargs: Unpack[TimeKeywords],
    ) -> bool:
        """Adds a tracker. If a tracker of this name has completed, it starts over, and its rewards are given again. Every time
        your program starts, call ``ensure_tracker`` instead.

        From then on, the object stays up to date with what this manager does to the tracker.

        Parameters
        ----------
        group_id : str
            The group.
        tracker : BaseTracker
            The tracker.
        expire : number or timedelta, optional
            After how many seconds the tracker expires.
        expire_at : number, datetime, date or str, optional
            When the tracker expires.
        now : number, datetime or str, optional
            The time of the call. Default: the manager's clock.

        Returns
        -------
        bool
            False if an equal tracker existed and nothing changed.

        Raises
        ------
        ConflictingNameError
            If an active tracker of that name has a different definition. Nothing is changed.
        """
        now = _arguments.moment_of("add_tracker", now, kwargs)
        return bool(_run(_calls.add_trackers(self._native, group_id, [tracker], expire, expire_at, now)).added)

    def add_trackers(
        self,
        group_id: str,
        trackers: Iterable[BaseTracker],
        expire: int | float | datetime.timedelta | None = None,
        expire_at: Moment | None = None,
        *,
        now: Moment | None = None,
        **kwargs: Unpack[TimeKeywords],
    ) -> Added:
        """Adds trackers: all or none. Completed trackers of the same names start over. Every time your program starts, call
        ``ensure_trackers`` instead. The parameters are those of ``add_tracker``.

        Raises
        ------
        ConflictingNameError
            If an active tracker of one of the names has a different definition.
        RepeatedNameError
            If a name appears twice.
        """
        now = _arguments.moment_of("add_trackers", now, kwargs)
        return _run(_calls.add_trackers(self._native, group_id, trackers, expire, expire_at, now))

    def ensure_tracker(self, group_id: str, tracker: BaseTracker, *, now: Moment | None = None) -> bool:
        """Makes sure that a group has a tracker: adds it, unless it exists or has completed. Call this every time your program
        starts.

        If the tracker is active, the object then stays up to date with what this manager does to it.

        Parameters
        ----------
        group_id : str
            The group.
        tracker : BaseTracker
            The tracker.
        now : number, datetime or str, optional
            The time of the call. Default: the manager's clock.

        Returns
        -------
        bool
            True if the tracker is new.

        Raises
        ------
        ConflictingNameError
            If an active tracker of that name has a different definition. Nothing is changed.
        """
        return bool(_run(_calls.ensure_trackers(self._native, group_id, [tracker], False, now)).added)

    def ensure_trackers(
        self, group_id: str, trackers: Iterable[BaseTracker], *, update: bool = False, now: Moment | None = None
    ) -> Added:
        """Makes sure that a group has these trackers. Completed ones are left alone.

        Parameters
        ----------
        group_id : str
            The group.
        trackers : iterable of BaseTracker
            The trackers.
        update : bool
            If true, applies definitions that differ and removes active trackers that are not in the list, instead of
            raising an error. A completed tracker that gains targets becomes active again, as with ``update_tracker``.
        """
        return _run(_calls.ensure_trackers(self._native, group_id, trackers, update, now))

    def get_trackers(
        self, group_id: str, name: str | list[str] | None = None, *, now: Moment | None = None
    ) -> list[BaseTracker]:
        """The active trackers of a group, in the order in which they were added.

        Parameters
        ----------
        group_id : str
            The group.
        name : str or list of str, optional
            Which ones; default all.

        Returns
        -------
        list of BaseTracker
            Snapshots of the trackers; empty if there are none.
        """
        return _run(_calls.get_trackers(self._native, group_id, name, now))

    def peek(
        self, group_id: str, names: str | list[str] | None = None, *, now: Moment | None = None
    ) -> list[BaseTracker]:
        """What a group's trackers allow, before you act: ``limiter.remaining``, ``limiter.retry_at``, ``tracker.status``,
        ``tracker.resets_at``, and so on. Changes nothing.

        Parameters
        ----------
        group_id : str
            The group.
        names : str or list of str, optional
            Which trackers; default all.
        now : number, datetime or str, optional
            The time for which to look. Default: the manager's clock.

        Returns
        -------
        list of BaseTracker
            Snapshots of the active trackers, in the order in which they were added.
        """
        return _run(_calls.peek(self._native, group_id, names, now))

    def periods(self, group_id: str, name: str, *, now: Moment | None = None) -> list[PeriodRecord]:
        """What a tracker with ``every`` counted in its latest periods, oldest first. Periods in which nothing counted are left
        out.

        Parameters
        ----------
        group_id, name : str
            Which tracker. The list is empty if it does not exist or has no ``every``.
        now : number, datetime or str, optional
            The time for which to look. Default: the manager's clock.
        """
        return _run(_calls.periods(self._native, group_id, name, now))

    def set_attributes(self, group_id: str, attributes: Mapping[str, Any], *, now: Moment | None = None) -> bool:
        """Merges attributes into those of a group, key by key.

        ``zone``, an IANA name or a ``ZoneInfo``, is the time zone of the group's limits and trackers. A new zone takes hold when
        their current periods end, so that nobody gains a day by moving; before anything was counted, at once.

        Parameters
        ----------
        group_id : str
            The group.
        attributes : dict
            JSON values. ``None`` removes a key. A group has up to 64 attributes, of 4 KiB in total.
        now : number, datetime or str, optional
            The time of the call. Default: the manager's clock.

        Returns
        -------
        bool
            Whether that changed anything.

        Raises
        ------
        AttributesError
            If there would be too many, or ``zone`` is not a time zone. Nothing is changed.
        """
        return _run(_calls.set_attributes(self._native, group_id, attributes, now))

    def attributes(self, group_id: str) -> dict[str, Any]:
        """The attributes of a group; empty if it has none."""
        return _run(_calls.attributes(self._native, group_id))

    def delete_group(self, group_id: str) -> bool:
        """Deletes a group: its trackers, history, document ids and attributes, permanently. False if there was nothing."""
        return _run(_calls.delete_group(self._native, group_id))

    def completed(self, group_id: str) -> list[BaseTracker]:
        """The last 100 trackers that a group completed, in that order and in their final state."""
        return _run(_calls.completed(self._native, group_id))

    def update_tracker(self, group_id: str, tracker: BaseTracker, *, now: Moment | None = None) -> bool:
        """Applies what was set on a tracker object. Its definition replaces that of the active tracker of its name, which keeps
        its state, except for a progress that was set. A limiter that differs only in its ``count`` keeps what was used.

        A completed tracker that gains targets becomes active again, with its progress, at the first of the new targets.

        Returns
        -------
        bool
            False if there is no active tracker of that name.
        """
        return _run(_calls.update_tracker(self._native, group_id, tracker, now))

    def set_progress(self, group_id: str, name: str, progress: Any, *, now: Moment | None = None) -> bool:
        """Sets the progress of an active tracker. Fires no events: targets that it reaches are completed by the next document
        that counts. With ``every``, this is the progress in the period of ``now``. False if there is no such tracker."""
        return self._native.set_progress(
            _arguments.checked_group(group_id), _arguments.checked_name(name), progress, now
        ).wait()

    def add_targets(self, group_id: str, name: str, targets: Any, *, now: Moment | None = None) -> bool:
        """Adds targets after those of a tracker. A completed one becomes active again. False if there is no such tracker."""
        more = list(targets) if isinstance(targets, (list, tuple)) else [targets]
        return self._native.add_targets(
            _arguments.checked_group(group_id), _arguments.checked_name(name), more, now
        ).wait()

    def remove_tracker(
        self, group_id: str, name: str | list[str] | None = None, *, now: Moment | None = None
    ) -> list[str]:
        """Removes active trackers.

        Parameters
        ----------
        group_id : str
            The group.
        name : str or list of str, optional
            Which ones; default all.

        Returns
        -------
        list of str
            The names of those that existed.
        """
        return self._native.remove_trackers(_arguments.checked_group(group_id), _arguments.names_of(name), now).wait()

    def reset_tracker(
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
        """Resets an active tracker and fires RESET.

        Parameters
        ----------
        group_id, name : str
            Which tracker.
        reset_policy : int, optional
            Flags of ``ResetPolicy``: ``PROGRESS`` sets the progress to 0 and returns to the first stage, ``LIMITER`` renews
            the limiters. Default: the tracker's own policy.
        reset_count : int, optional
            A new number of documents for ``CountLimiter``; 0 closes it.
        reset_seconds : number or timedelta, optional
            A new length for ``TimeLimiter``.
        now : number, datetime or str, optional
            The time of the call. ``now_ts`` is the same.

        Returns
        -------
        bool
            False if there is no active tracker of that name.
        """
        now = _arguments.moment_of("reset_tracker", now, kwargs)
        return _run(_calls.reset_tracker(self._native, group_id, name, reset_policy, reset_count, reset_seconds, now))

    def add_listener(self, code: int, cb: Callable[[Any], Any]) -> None:
        """Calls ``cb(event)`` for each event with this code, once its change has the chosen durability.

        Events are delivered in commit order, one at a time per group, and at least once; a repeated event has the same
        ``id``. Events left by an earlier run are delivered 100 ms after the first listener is added. A listener may call the
        manager. If a listener raises, the exception is logged and the others still run.

        Parameters
        ----------
        code : int
            One of ``dictrack.events.EVENT_ALL``.
        cb : callable
            Called with a ``TrackerEvent``.
        """
        self._listeners.add(self._native, code, cb)

    def remove_listener(self, code: int, cb: Callable[[Any], Any]) -> bool:
        """Removes a listener. False if there is no such listener."""
        return self._listeners.remove(self._native, code, cb)

    def now(self) -> int | float:
        """The time by the manager's clock, in seconds since 1970 UTC."""
        return self._native.now()

    def flush(self, confirm: bool = False) -> None:
        """Deletes everything in the cache and the store, permanently.

        Raises
        ------
        UnconfirmedError
            If ``confirm`` is not true. Nothing is deleted.
        """
        self._native.flush(confirm is True).wait()

    def close(self) -> None:
        """Writes everything and closes the manager. Later calls raise ``ClosedError``. Takes up to 5 seconds.

        Raises
        ------
        DataStoreOperationError
            If not everything could be written.
        """
        self._native.close().wait()
        open_managers.discard(self._native)

    def __enter__(self) -> TrackingManager:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def __reduce__(self) -> Any:
        raise TypeError(
            "a manager cannot be pickled, since it has connections and threads; open one in each process, and share groups "
            "through RedisDataCache"
        )

    def _repr_html_(self) -> str:
        return _notebook.of_manager(self)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} (data_cache={self.data_cache} data_store={self.data_store})>"
