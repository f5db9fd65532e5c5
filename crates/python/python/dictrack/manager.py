"""The manager: hand it documents, and it says what each of them did."""

from __future__ import annotations

import atexit
import logging
import os
import threading
import weakref
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from dictrack import _calls, _compat
from dictrack._calls import Added, Call, Explanation
from dictrack._dictrack import Manager, Outcome, TestClock
from dictrack.data_caches.base import BaseDataCache
from dictrack.data_stores.base import BaseDataStore
from dictrack.trackers.base import BaseTracker

__all__ = ["Added", "Explanation", "TrackingManager"]

T = TypeVar("T")
logger = logging.getLogger("dictrack.manager")


def _run(call: Call[T]) -> T:
    """Runs a call to its end on this thread."""
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


class TrackingManager:
    """Tracks documents for groups: finds the group, counts, keeps the result, tells the listeners.

    Safe to use from several threads; within a call others run. Without arguments groups are in memory and nothing is kept;
    ``TrackingManager.open("dictrack.db")`` keeps them in a file. ``close``, the end of a ``with`` block and the end of the
    interpreter write everything.

    Parameters
    ----------
    data_cache : BaseDataCache, optional
        Where groups are held: ``MemoryDataCache()`` if not given, or ``RedisDataCache(...)``.
    data_store : BaseDataStore, optional
        Where groups are kept: ``SQLiteDataStore(...)`` or ``MongoDBDataStore(...)``; nowhere if not given.
    durability : str, optional
        When a call returns: ``fsync`` (the disk has it), ``os`` (the operating system has it; the default of SQLite), or
        ``interval(100ms)`` (at once, and the store follows within that time; the default of MongoDB and Redis).
    clock : TestClock, optional
        Takes the time from it instead of the system.
    completed_kept : int, optional
        How many completed trackers of a group stay readable; 100.
    id_window : number or timedelta, optional
        For how many seconds the id of a document is remembered at least; a day.
    ids_at_least, ids_at_most : int, optional
        The newest ids of a group, remembered whatever their age, 1,024, and the most, 2**20.

    Raises
    ------
    DataStoreOperationError
        If cache or store cannot be used; subclasses say why.
    """

    def __init__(
        self,
        data_cache: BaseDataCache | None = None,
        data_store: BaseDataStore | None = None,
        *,
        durability: str | None = None,
        clock: TestClock | None = None,
        **limits: Any,
    ) -> None:
        _check_limits(limits)
        self.data_cache = data_cache
        self.data_store = data_store
        self._native = _run(_calls.opened(data_cache, data_store, durability, clock, limits))
        self._listeners = _calls.Listeners()
        _open.add(self._native)

    @classmethod
    def open(cls, place: str | os.PathLike[str], cache: str | None = None, **options: Any) -> TrackingManager:
        """Opens the store at a path or URL, behind the Redis cache at ``cache`` if given.

        Parameters
        ----------
        place : str or path-like
            A SQLite file, which is made if there is none, or ``mongodb://host/database``.
        cache : str, optional
            ``redis://host``.
        **options
            As of ``TrackingManager``.
        """
        return cls(_calls.cache_at(cache), _calls.store_at(place), **options)

    def track(
        self, group_id: str, data: Any, *, now: Any = None, event_id: str | None = None, **kwargs: Any
    ) -> Outcome:
        """Applies a document to a group.

        Parameters
        ----------
        group_id : str
            The group.
        data : dict or mapping
            The document.
        now : number, datetime or str, optional
            Its moment: seconds since 1970 UTC, a datetime (UTC where it has no zone) or RFC 3339; the manager's clock if
            not given. ``now_ts`` is the same.
        event_id : str, optional
            The id of the document: it is applied once in its group.

        Returns
        -------
        Outcome
            What it did. It unpacks as ``is_ok, dirtied, completed, limited``; ``is_ok`` is always true, failures raise.

        Raises
        ------
        TypeError
            If ``data`` is no mapping.
        ValueError
            If it nests deeper than 64 levels.
        UnavailableError
            If cache or store cannot be reached: whether the document counted is not known; with an id it can be sent
            again.
        LostError
            If the cache lost the change: the document did not count, send it again.
        ReentrantError
            If a condition, measure or limiter of the program called this.
        """
        if kwargs:
            now = _calls.moment_of("track", now, kwargs)
        try:
            return self._native.track(group_id, data, now, event_id)
        except (TypeError, UnicodeEncodeError):
            _calls.check_ids(group_id, event_id)
            raise

    def track_many(self, items: Iterable[Any]) -> list[Outcome | Exception]:
        """Applies many documents in order and commits them together.

        Parameters
        ----------
        items : iterable of tuples
            ``(group_id, data)``, ``(group_id, data, now)`` or ``(group_id, data, now, event_id)``.

        Returns
        -------
        list
            For each document its outcome, or the exception that ``track`` would have raised.
        """
        return _run(_calls.track_many(self._native, items))

    def explain(self, group_id: str, data: Any, *, now: Any = None) -> list[Explanation]:
        """What a document would do to each tracker of a group, and why. Nothing is changed.

        Parameters
        ----------
        group_id, data, now
            As of ``track``.
        """
        return _run(_calls.explain(self._native, group_id, data, now))

    def add_tracker(
        self,
        group_id: str,
        tracker: BaseTracker,
        expire: Any = None,
        expire_at: Any = None,
        *,
        now: Any = None,
        **kwargs: Any,
    ) -> bool:
        """Adds a tracker; a name that has completed is added again, starts from nothing, and what it awards is awarded again.
        At every start of a program, call ``ensure_tracker``.

        The object follows what this manager does to the tracker from then on.

        Parameters
        ----------
        group_id : str
            The group.
        tracker : BaseTracker
            The tracker.
        expire : number or timedelta, optional
            After how many seconds it is gone.
        expire_at : number, datetime, date or str, optional
            From when on it is gone.
        now : number, datetime or str, optional
            The moment of the call; the manager's clock if not given.

        Returns
        -------
        bool
            False if an equal one was there and nothing changed.

        Raises
        ------
        ConflictingNameError
            If an active tracker of that name has another definition; nothing was changed.
        """
        now = _calls.moment_of("add_tracker", now, kwargs)
        return bool(_run(_calls.add_trackers(self._native, group_id, [tracker], expire, expire_at, now)).added)

    def add_trackers(
        self,
        group_id: str,
        trackers: Iterable[BaseTracker],
        expire: Any = None,
        expire_at: Any = None,
        *,
        now: Any = None,
        **kwargs: Any,
    ) -> Added:
        """Adds trackers: all or none. Names that have completed are added again and start from nothing; at every start of a
        program, call ``ensure_trackers``. The parameters are those of ``add_tracker``.

        Raises
        ------
        ConflictingNameError
            If an active tracker of one of the names has another definition.
        RepeatedNameError
            If a name stands twice.
        """
        now = _calls.moment_of("add_trackers", now, kwargs)
        return _run(_calls.add_trackers(self._native, group_id, trackers, expire, expire_at, now))

    def ensure_tracker(self, group_id: str, tracker: BaseTracker, *, now: Any = None) -> bool:
        """Sees to it that a group has a tracker: adds it, unless it is there or has completed. This is the call for every
        start of a program.

        The object follows what this manager does to the tracker from then on, if it is active.

        Parameters
        ----------
        group_id : str
            The group.
        tracker : BaseTracker
            The tracker.
        now : number, datetime or str, optional
            The moment of the call; the manager's clock if not given.

        Returns
        -------
        bool
            True if it is new.

        Raises
        ------
        ConflictingNameError
            If an active tracker of that name has another definition; nothing was changed.
        """
        return bool(_run(_calls.ensure_trackers(self._native, group_id, [tracker], False, now)).added)

    def ensure_trackers(
        self, group_id: str, trackers: Iterable[BaseTracker], *, update: bool = False, now: Any = None
    ) -> Added:
        """Sees to it that a group has these trackers; those that have completed are left alone.

        Parameters
        ----------
        group_id : str
            The group.
        trackers : iterable of BaseTracker
            The trackers.
        update : bool
            Adopts definitions that differ, and removes active trackers that the list lacks, instead of refusing. A completed
            tracker that gains targets is active again, as after ``update_tracker``.
        """
        return _run(_calls.ensure_trackers(self._native, group_id, trackers, update, now))

    def get_trackers(self, group_id: str, name: str | list[str] | None = None, *, now: Any = None) -> list[BaseTracker]:
        """The active trackers of a group, in the order added.

        Parameters
        ----------
        group_id : str
            The group.
        name : str or list of str, optional
            Which; all if not given.

        Returns
        -------
        list of BaseTracker
            As they are now; empty where there are none.
        """
        return _run(_calls.get_trackers(self._native, group_id, name, now))

    def completed(self, group_id: str) -> list[BaseTracker]:
        """The trackers that a group completed, in that order, in their final state; the last 100."""
        return _run(_calls.completed(self._native, group_id))

    def update_tracker(self, group_id: str, tracker: BaseTracker, *, now: Any = None) -> bool:
        """Makes what was set on a tracker take effect: its definition replaces that of the active tracker of its name, which
        keeps its state, but for a progress that was set. A limiter that differs in its ``count`` only keeps what was used.

        A completed tracker that gains targets is active again at its progress, on the first of the new targets.

        Returns
        -------
        bool
            False if there is no active tracker of that name.
        """
        return _run(_calls.update_tracker(self._native, group_id, tracker, now))

    def set_progress(self, group_id: str, name: str, progress: Any) -> bool:
        """Sets the progress of an active tracker and fires nothing: targets that it reaches are met by the next document that
        counts. False if there is no such tracker."""
        return self._native.set_progress(_calls.checked_group(group_id), _calls.checked_name(name), progress).wait()

    def add_targets(self, group_id: str, name: str, targets: Any) -> bool:
        """Puts targets behind those of a tracker; a completed one is active again. False if there is none of that name."""
        more = list(targets) if isinstance(targets, (list, tuple)) else [targets]
        return self._native.add_targets(_calls.checked_group(group_id), _calls.checked_name(name), more).wait()

    def remove_tracker(self, group_id: str, name: str | list[str] | None = None, *, now: Any = None) -> list[str]:
        """Removes active trackers.

        Parameters
        ----------
        group_id : str
            The group.
        name : str or list of str, optional
            Which; all if not given.

        Returns
        -------
        list of str
            The names of those that were there.
        """
        return self._native.remove_trackers(_calls.checked_group(group_id), _calls.names_of(name), now).wait()

    def reset_tracker(
        self,
        group_id: str,
        name: str,
        reset_policy: int | None = None,
        *,
        reset_count: int | None = None,
        reset_seconds: Any = None,
        now: Any = None,
        **kwargs: Any,
    ) -> bool:
        """Resets an active tracker and fires RESET.

        Parameters
        ----------
        group_id, name : str
            Which tracker.
        reset_policy : int, optional
            Flags of ``ResetPolicy``: ``PROGRESS`` puts the progress to 0 and the stage to the first, ``LIMITER`` renews the
            limiters; the tracker's own policy if not given.
        reset_count : int, optional
            A new number of documents for ``CountLimiter``; 0 closes it.
        reset_seconds : number or timedelta, optional
            A new length for ``TimeLimiter``.
        now : number, datetime or str, optional
            The moment of the call; ``now_ts`` is the same.

        Returns
        -------
        bool
            False if there is no active tracker of that name.
        """
        now = _calls.moment_of("reset_tracker", now, kwargs)
        return _run(_calls.reset_tracker(self._native, group_id, name, reset_policy, reset_count, reset_seconds, now))

    def add_listener(self, code: int, cb: Callable[[Any], Any]) -> None:
        """Calls ``cb(event)`` for each event with this code, once its change has the chosen durability.

        In commit order, one at a time for each group, at least once: a repeat has the same ``id``. Events that an earlier run
        left go out 100 ms after the first listener was added. A listener may call the manager. One that raises is logged
        and stops nobody.

        Parameters
        ----------
        code : int
            One of ``dictrack.events.EVENT_ALL``.
        cb : callable
            Called with a ``TrackerEvent``.
        """
        self._listeners.add(self._native, code, cb)

    def remove_listener(self, code: int, cb: Callable[[Any], Any]) -> bool:
        """Removes a listener; false if it is not there."""
        return self._listeners.remove(self._native, code, cb)

    def flush(self, confirm: bool = False) -> None:
        """Empties cache and store for good.

        Raises
        ------
        UnconfirmedError
            If ``confirm`` is not true; nothing was emptied.
        """
        self._native.flush(confirm is True).wait()

    def close(self) -> None:
        """Writes everything and ends the manager; further calls raise ``ClosedError``. Takes at most 5 seconds.

        Raises
        ------
        DataStoreOperationError
            If not everything could be written.
        """
        self._native.close().wait()
        _open.discard(self._native)

    def __enter__(self) -> TrackingManager:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def __reduce__(self) -> Any:
        raise TypeError(
            "a manager cannot be pickled: it holds connections and threads; make one in each process, and share groups "
            "through RedisDataCache"
        )

    def __repr__(self) -> str:
        return f"<{type(self).__name__} (data_cache={self.data_cache} data_store={self.data_store})>"


_LIMITS = ("completed_kept", "id_window", "ids_at_least", "ids_at_most")


def _check_limits(limits: dict[str, Any]) -> None:
    _compat.unexpected("TrackingManager", {name: value for name, value in limits.items() if name not in _LIMITS})
    for name in ("completed_kept", "ids_at_least", "ids_at_most"):
        _compat.whole(name, limits.get(name))


class _Open:
    """The managers that are open, to close them when the interpreter ends."""

    def __init__(self) -> None:
        self._managers: weakref.WeakSet[Manager] = weakref.WeakSet()
        self._lock = threading.Lock()
        atexit.register(self.close_all)
        os.register_at_fork(after_in_child=self._forget)

    def add(self, manager: Manager) -> None:
        with self._lock:
            self._managers.add(manager)

    def discard(self, manager: Manager) -> None:
        with self._lock:
            self._managers.discard(manager)

    def _forget(self) -> None:
        # They are the parent's.
        self._managers = weakref.WeakSet()
        self._lock = threading.Lock()

    def close_all(self) -> None:
        for manager in list(self._managers):
            try:
                manager.close().wait()
            except Exception:
                logger.exception("a manager did not write everything when the interpreter ended")


_open = _Open()
