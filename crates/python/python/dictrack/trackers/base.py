"""The base class of all trackers."""

from __future__ import annotations

import datetime
import decimal
import threading
import time
import weakref
import zoneinfo
from collections.abc import Callable, Iterable
from typing import Any

from dictrack import _custom, _values, _warnings, _windows
from dictrack._dictrack import Definition, Live, State
from dictrack._json import JSONReady
from dictrack._results import Period
from dictrack._types import Moment, Number, Target
from dictrack._values import a_type, shown
from dictrack.conditions.base import BaseCondition
from dictrack.conditions.read import condition_of
from dictrack.limiters.base import BaseLimiter, limiter_of
from dictrack.utils.errors import (
    DefinitionError,
    DictrackError,
    GroupIdAlreadySetError,
    GroupIdDuplicateSetError,
    TrackerAlreadyCompletedError,
    TrackerAlreadyRemovedError,
)

__all__ = ["BaseTracker", "ResetPolicy"]

_FLAGS = ("progress", "limiter")
_TIMES = ("every", "from", "zone", "keep")
_MEASURED = ("key", "measure", "params", "each", "freezes")


class ResetPolicy:
    """What starts over when a stage is completed or a tracker is reset. Combine with ``|``."""

    NONE = 0
    PROGRESS = 1
    LIMITER = 2
    ALL = PROGRESS | LIMITER
    DEFAULT = LIMITER


def checked_policy(value: Any) -> int:
    """The flags of a reset policy, checked."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= ResetPolicy.ALL:
        raise ValueError(
            f"reset_policy is {shown(value)}; expected a combination of ResetPolicy flags, 0 to {ResetPolicy.ALL}"
        )
    return int(value)


class _Fields:
    """The fields of a definition as objects."""

    def __init__(self, definition: dict[str, Any]) -> None:
        target = definition.get("target")
        self.name: str = definition["name"]
        self.targets: list[Any] = [] if target is None else list(target) if isinstance(target, list) else [target]
        # An empty list is a mistake.
        self.has_target = target is not None
        self.conditions = [condition_of(condition) for condition in definition.get("conditions", [])]
        self.limiters = [limiter_of(limiter) for limiter in definition.get("limiters", [])]
        flags = definition.get("reset_policy", ["limiter"])
        self.reset_policy = sum(1 << bit for bit, flag in enumerate(_FLAGS) if flag in flags)
        self.loop_forever: bool = definition.get("loop_forever", False)
        self.init_progress: Any = definition.get("init_progress", 0)
        self.expire_at: Any = definition.get("expire_at")
        # When it starts again.
        self.times: dict[str, Any] = {field: definition[field] for field in _TIMES if field in definition}
        # What only one kind has: the key of a sum, the measure of a custom tracker.
        self.measured: dict[str, Any] = {field: definition[field] for field in _MEASURED if field in definition}

    def to_dict(self, kind: str) -> dict[str, Any]:
        return {
            "name": self.name,
            "kind": kind,
            **self.measured,
            **({"target": self.targets} if self.has_target or self.targets else {}),
            "conditions": [condition.to_dict() for condition in self.conditions],
            "limiters": [limiter.to_dict() for limiter in self.limiters],
            "reset_policy": [flag for bit, flag in enumerate(_FLAGS) if self.reset_policy >> bit & 1],
            "loop_forever": self.loop_forever,
            "init_progress": self.init_progress,
            "expire_at": self.expire_at,
            **self.times,
        }


class _Data:
    """The data of a tracker object: its definition, in either form, and its state if it is in a group."""

    def __init__(self, definition: Definition | None = None, state: State | None = None) -> None:
        self.definition = definition
        self.fields: _Fields | None = None
        self.state = state
        self.live: Live | None = None
        self.group_id: str | None = None
        # What was set but not applied by update_tracker yet: a progress, and whether the definition was edited.
        self.progress: Any = None
        self.edited = False


class BaseTracker(JSONReady):
    """A tracker: its definition, and its state if it is in a group.

    An object that was added to a manager stays up to date with what that manager does to the tracker. Objects in outcomes
    and events, and those from ``get_trackers``, are snapshots. Setters change only the object; ``update_tracker`` applies
    the change.

    A subclass with ``amount(self, data)`` is a custom tracker. It registers itself, the attributes that it adds are stored
    with the definition, and ``amount`` returns by how much a document changes the progress (``None``: the document does
    not count).

    Parameters
    ----------
    name : str
        Unique in its group.
    conditions : iterable of BaseCondition
        All of them must hold for a document to count. Without conditions, every document counts.
    target : number, or list or tuple of them, optional
        How far to count. Several targets are stages, reached one after another. Without a target, the tracker only counts and
        limits, and never completes.
    group_id : str, optional
        The group; set when the tracker is added.
    limiters : iterable of BaseLimiter, optional
        All of them must admit a document.
    reset_policy : int
        What starts over at each stage.
    loop_forever : bool
        Whether to start again at the first target after the last.
    init_progress : number
        The progress to start with.
    expire_at : number, datetime, date or str, optional
        When the tracker expires.
    every : str or timedelta, optional
        Starts again in each period: ``"day"``, ``"week"``, ``"15 minutes"``, and so on, as ``per`` of ``CountLimiter``. After its
        last target, the tracker rests until the period ends. A document that comes later than the next period does not count.
    from_ : str, date or datetime, optional
        With ``every``: when a period begins, in ``zone``: ``"2026-01-07T04:00"`` for weeks that begin on Wednesdays at four.
        ``"add"``: when the tracker is added.
    zone : str or ZoneInfo, optional
        The time zone of the tracker and of its limiters; default: that of the group (``set_attributes``) or of the manager, else
        UTC.
    keep : int, optional
        With ``every``: for how many ended periods ``manager.periods`` says what was counted; default 1, up to 1,000.

    Raises
    ------
    TypeError
        If an argument has the wrong type.
    DefinitionError
        If the definition is invalid. This is a ``ValueError``.

    Warns
    -----
    DictrackWarning
        If each stage renews a count or a length of time, or targets are not in ascending order.
    """

    DEFAULT_GROUP_ID = "_THIS_IS_DEFAULT_GID"

    registered_name: str
    _kind = ""
    # For objects that were not created by __init__, such as those that amount() is called on.
    _dt: _Data = _Data()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if _custom.is_of_program(cls, "amount"):
            cls._kind = "custom"
            _custom.register("measure", _custom.name_of(cls), cls)
        elif "_push_progress" in cls.__dict__:
            raise TypeError(
                f"{cls.__qualname__} defines _push_progress, as for dictrack 2.1.5; define amount(self, data) instead, "
                "which returns by how much the document changes the progress"
            )

    def __init__(
        self,
        name: str,
        conditions: Iterable[BaseCondition] = (),
        target: Target = None,
        group_id: str | None = None,
        limiters: Iterable[BaseLimiter] | None = None,
        reset_policy: int = ResetPolicy.DEFAULT,
        loop_forever: bool = False,
        init_progress: Number = 0,
        *,
        expire_at: Moment | None = None,
        every: str | datetime.timedelta | None = None,
        from_: str | datetime.date | None = None,
        zone: str | zoneinfo.ZoneInfo | None = None,
        keep: int | None = None,
        _measured: dict[str, Any] | None = None,
    ) -> None:
        if not self._kind:
            raise TypeError(
                f"{type(self).__qualname__} does not define what a document adds; define amount(self, data), or use "
                "CountTracker or AccumulationTracker"
            )
        if not isinstance(name, str):
            raise TypeError(f"name is {a_type(name)}; expected str")
        if group_id is not None and not isinstance(group_id, str):
            raise TypeError(f"group_id is {a_type(group_id)}; expected str")
        if not isinstance(loop_forever, bool):
            raise TypeError(f"loop_forever is {a_type(loop_forever)}; expected bool")
        fields = _Fields({"name": name, "target": None if target is None else _targets(target)})
        fields.conditions = all_of("conditions", conditions, BaseCondition, "BaseCondition", "BaseCondition")
        fields.limiters = all_of(
            "limiters", () if limiters is None else limiters, BaseLimiter, "BaseLimiter", "BaseLimiter"
        )
        fields.reset_policy = checked_policy(reset_policy)
        fields.loop_forever = loop_forever
        fields.init_progress = init_progress
        fields.expire_at = expire_at
        fields.times = _windows.times(every, from_, zone, keep)
        fields.measured = _measured or {}
        self._dt = _Data()
        self._dt.fields = fields
        self._dt.group_id = group_id
        # Checked now rather than when it is added. A custom tracker is not complete yet.
        definition = fields.to_dict(self._kind)
        if self._kind == "custom" and not fields.measured:
            definition |= {"measure": "not yet"}
        _warnings.warn(Definition(definition).warnings())

    @classmethod
    def from_dict(cls, definition: dict[str, Any]) -> BaseTracker:
        """Creates a tracker from a definition, as an instance of the class for its kind.

        Raises
        ------
        DefinitionError
            If the definition is invalid.
        """
        made = Definition(_with_texts(definition))
        _warnings.warn(made.warnings())
        return _made(_Data(made))

    def to_dict(self, *, state: bool = False) -> dict[str, Any]:
        """The definition in the form of definition files, without fields that have their default value.

        Parameters
        ----------
        state : bool
            Return the state instead, with only the types of JSON: name, progress, target, stage, status, limiters, and so on.
            ``dict(tracker)`` is the same.

        Raises
        ------
        DictrackError
            If the state is wanted and the tracker is in no group.
        """
        return self._json() if state else self._definition().to_dict()

    def _json(self) -> dict[str, Any]:
        found = self._state()
        if found is None:
            raise DictrackError(f"tracker {self.name!r} has no state: it is in no group")
        return found.to_dict()

    def _definition(self) -> Definition:
        """The definition, read and checked again if it may have changed."""
        data = self._dt
        if data.fields is None and data.definition is not None:
            return data.definition
        fields = self._fields()
        definition = fields.to_dict(self._kind)
        if self._kind == "custom" and not fields.measured:
            definition["measure"] = _custom.name_of(type(self))
            params = _custom.attributes(self)
            if params:
                definition["params"] = params
        return Definition(definition)

    def _fields(self) -> _Fields:
        data = self._dt
        if data.fields is None:
            if data.definition is None:
                raise DictrackError(
                    "the tracker has no definition here: amount() only sees the attributes that its own class sets; also check "
                    "that __init__ calls super().__init__(...)"
                )
            data.fields = _Fields(data.definition.to_dict())
            if isinstance(_custom._registered["measure"].get(data.definition.measure or ""), type):
                data.fields.measured = {}
            self._show_limiters(data.fields)
        return data.fields

    def _show_limiters(self, fields: _Fields) -> None:
        """Makes each limiter show its state in this tracker, if it is in a group."""
        if self._dt.state is None:
            return
        for at, limiter in enumerate(fields.limiters):
            limiter._follow(_LimiterOf(self._dt, at))
        state = self._dt.state
        for limiter, found in zip(fields.limiters, state.limiters if state is not None else []):
            limiter._changed(found)

    def _follow(self, live: Live | None, group_id: str) -> None:
        """Keeps this object up to date with the tracker in a group."""
        self._dt.group_id = group_id
        self._dt.live = live
        self._dt.progress = None
        self._dt.edited = False
        if live is not None:
            self._dt.state = live.last()
            self._dt.definition = self._dt.state.definition
            self._show_limiters(self._fields())

    def _updated(self, definition: Definition) -> None:
        """Called when what was set has been applied."""
        data = self._dt
        data.definition, data.edited = definition, False
        if data.live is not None:
            data.progress = None

    def _take_over(self, definition: Definition, before: State | None) -> None:
        """Shows a definition that was changed elsewhere. Limiters that are in both definitions stay the same objects."""
        data = self._dt
        mine = list(zip(data.fields.limiters if data.fields is not None else [], _limiters_of(data.definition)))
        states = before.limiters if before is not None else []
        data.definition, data.fields = definition, None
        limiters = self._fields().limiters
        for at, new in enumerate(_limiters_of(definition)):
            same = next((had for had, (_, old) in enumerate(mine) if old == new), None)
            if same is not None:
                limiters[at], _ = mine[same]
                mine[same] = (mine[same][0], None)
        for (limiter, old), state in zip(mine, states):
            if old is not None:
                limiter._follow(_Dropped(old, state, _LimiterOf(data, 0).now))
        self._show_limiters(self._fields())

    def _limiters_changed(self) -> Any:
        """A callback for changes of limiters that are objects of the program; ``None`` if there are none."""
        if any(type(limiter).to_dict is BaseLimiter.to_dict for limiter in self._fields().limiters):
            return _LimitersChanged(self._dt)
        return None

    def _state(self) -> State | None:
        data = self._dt
        if data.live is not None:
            before, data.state = data.state, data.live.state()
            if not data.edited and data.state.definition != data.definition:
                self._take_over(data.state.definition, before)
        return data.state

    def _current(self) -> _Fields:
        """The fields of the current definition."""
        self._state()
        return self._fields()

    def _check_health(self) -> None:
        if self.removed:
            raise TrackerAlreadyRemovedError(f"tracker {self.name!r} was removed from group {self.group_id!r}")
        if self.completed:
            raise TrackerAlreadyCompletedError(f"tracker {self.name!r} of group {self.group_id!r} has completed")

    @property
    def name(self) -> str:
        """The name, unique in its group."""
        data = self._dt
        return data.definition.name if data.fields is None and data.definition is not None else self._fields().name

    @property
    def conditions(self) -> list[BaseCondition]:
        """The conditions. All of them must hold."""
        return list(self._current().conditions)

    @property
    def limiters(self) -> list[BaseLimiter]:
        """The limiters. All of them must admit a document."""
        return list(self._current().limiters)

    @property
    def group_id(self) -> str:
        """The group."""
        return self.DEFAULT_GROUP_ID if self._dt.group_id is None else self._dt.group_id

    @group_id.setter
    def group_id(self, value: str) -> None:
        if not isinstance(value, str):
            raise TypeError(f"group_id is {a_type(value)}; expected str")
        self._check_health()
        if self._dt.group_id == value:
            raise GroupIdDuplicateSetError(f"the tracker's group_id is already {value!r}")
        if self._dt.group_id is not None:
            raise GroupIdAlreadySetError(f"the tracker's group_id is {self._dt.group_id!r}; it cannot become {value!r}")
        self._dt.group_id = value

    @property
    def progress(self) -> int | float:
        """The progress: an ``int`` if it is whole, otherwise the nearest ``float``."""
        if self._dt.progress is not None:
            return self._dt.progress  # type: ignore[no-any-return]
        state = self._state()
        return state.progress if state is not None else self._fields().init_progress

    @progress.setter
    def progress(self, value: Any) -> None:
        self._check_health()
        self._dt.progress = _number("progress", value)

    @property
    def progress_exact(self) -> decimal.Decimal:
        """The exact progress, as a decimal with up to 18 fractional digits."""
        state = self._state()
        if self._dt.progress is None and state is not None:
            return state.progress_exact
        return decimal.Decimal(str(self.progress))

    @property
    def targets(self) -> list[int | float]:
        """All targets, in order."""
        data = self._dt
        self._state()
        return (
            data.definition.targets
            if data.fields is None and data.definition is not None
            else list(self._fields().targets)
        )

    @property
    def target(self) -> int | float | None:
        """The current target; for a completed tracker, the last one. ``None`` without targets."""
        state = self._state()
        if state is not None:
            return state.target
        targets = self.targets
        return targets[0] if targets else None

    @property
    def remaining(self) -> int | float | None:
        """What remains of the first limiter that counts, such as a ``CountLimiter``; ``None`` if none does."""
        state = self._state()
        if state is not None:
            return state.remaining
        return next((limiter.remaining for limiter in self.limiters if limiter.remaining is not None), None)

    @property
    def multi_target(self) -> list[int | float]:
        """The targets after the current one."""
        return self.targets[self.current_stage :]

    @property
    def current_stage(self) -> int:
        """The current stage, counted from 1."""
        state = self._state()
        return state.stage if state is not None else 1

    @property
    def cycle(self) -> int:
        """How many times a looping tracker has completed its targets; 0 in an outcome."""
        state = self._state()
        return state.cycle if state is not None else 0

    @property
    def status(self) -> str:
        """``active``, ``completed``, or ``resting``: it has reached its last target, and starts again when its period ends."""
        state = self._state()
        return state.status if state is not None else "active"

    @property
    def period(self) -> Period | None:
        """The period that it counts in, with ``every``; ``None`` before it is added."""
        state = self._state()
        return Period(*state.period) if state is not None and state.period is not None else None

    @property
    def resets_at(self) -> int | float | None:
        """When it starts again, in seconds since 1970 UTC: the end of its period."""
        period = self.period
        return period.end if period is not None else None

    @property
    def freezes(self) -> int | None:
        """For a ``StreakTracker``, how many freezes are left; ``None`` before it is added."""
        state = self._state()
        return state.freezes if state is not None else None

    @property
    def every(self) -> str | None:
        """How long a period is; ``None`` if it does not start again."""
        return self._current().times.get("every")

    @property
    def zone(self) -> str | None:
        """Its own time zone; ``None`` if it has that of its group or manager."""
        return self._current().times.get("zone")

    @property
    def completed(self) -> bool:
        """Whether it has reached its last target, and does not start again."""
        state = self._state()
        return state is not None and state.completed

    @property
    def completed_at(self) -> int | float | None:
        """When it completed, in seconds since 1970 UTC. Only for trackers from ``completed`` and those that were added."""
        state = self._state()
        return state.completed_at if state is not None else None

    @property
    def removed(self) -> bool:
        """Whether it was removed."""
        state = self._state()
        return state is not None and state.removed

    @property
    def dirtied(self) -> bool:
        """Whether the document that this object is the outcome of changed the tracker."""
        state = self._state()
        return state is not None and state.dirtied

    @property
    def limited(self) -> bool:
        """Whether it is marked as limited: a limiter refused a document or ran out, and no document has counted since."""
        state = self._state()
        return state is not None and state.limited

    @property
    def expire_at(self) -> int | float | None:
        """When it expires, in seconds since 1970 UTC."""
        state = self._state()
        if state is not None:
            return state.expire_at
        expire_at: int | float | None = self._definition().to_dict().get("expire_at")
        return expire_at

    @property
    def reset_policy(self) -> int:
        """What starts over at each stage: flags of ``ResetPolicy``."""
        return self._current().reset_policy

    @reset_policy.setter
    def reset_policy(self, value: int) -> None:
        self._check_health()
        self._dt.edited = True
        self._fields().reset_policy = checked_policy(value)

    @property
    def loop_forever(self) -> bool:
        """Whether to start again at the first target after the last."""
        return self._current().loop_forever

    @loop_forever.setter
    def loop_forever(self, value: bool) -> None:
        if not isinstance(value, bool):
            raise TypeError(f"loop_forever is {a_type(value)}; expected bool")
        self._check_health()
        self._dt.edited = True
        self._fields().loop_forever = value

    def add_targets(self, target: Any) -> None:
        """Adds one or more targets after the existing ones; ``update_tracker`` applies the change.

        A completed tracker that gains targets then becomes active again.

        Parameters
        ----------
        target : number, or list or tuple of them
        """
        if not self.completed:
            self._check_health()
        more = _targets(target)
        self._dt.edited = True
        self._fields().targets.extend(more)

    def amount(self, data: Any) -> Any:
        """By how much a document changes the progress. To be defined by a subclass."""
        raise NotImplementedError(f"{type(self).__qualname__} does not define amount(): the engine does the counting")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, BaseTracker):
            return NotImplemented
        mine, theirs = self._seen(), other._seen()
        return mine == theirs and self._definition() == other._definition()

    def _seen(self) -> tuple[Any, ...]:
        state = self._state()
        limiters = None if state is None else state.limiters
        exact = self.progress_exact
        return (self.group_id, exact, self.current_stage, self.completed, self.removed, self.limited, limiters)

    __hash__ = object.__hash__

    def __reduce__(self) -> Any:
        raise TypeError("trackers cannot be pickled; use to_dict() and from_dict() to pass on definitions")

    def _details(self) -> str:
        return ""

    def _mark(self) -> str:
        if self.removed:
            return "[REMOVED] "
        if self.completed:
            return "[COMPLETED] "
        if self.status == "resting":
            return "[RESTING] "
        return "[LIMITED] " if self.limited else ""

    def _repr_html_(self) -> str:
        from dictrack import _notebook

        return _notebook.of_tracker(self)

    def __repr__(self) -> str:
        every = f" every={self.every!r}" if self.every is not None else ""
        return (
            f"{self._mark()}<{type(self).__name__} (target={self.target} conditions={self.conditions} limiters={self.limiters} "
            f"group_id={self.group_id} name={self.name} progress={self.progress}{every}{self._details()})>"
        )


class _LimiterOf:
    """Finds the state of a limiter in that of its tracker."""

    def __init__(self, data: _Data, at: int) -> None:
        self.data = data
        self.at = at
        # The attributes of the limiter as they were last set by the engine.
        self.handed: Any = None

    def __call__(self) -> dict[str, Any]:
        data = self.data
        state = data.state
        if data.live is not None:
            now = data.live.state()
            if now.definition == data.definition:
                state = data.state = now
            elif self.definition() in _limiters_of(now.definition)[self.at : self.at + 1]:
                state = now
            # Otherwise another limiter has its position, and this one keeps its last state.
        if state is None:
            raise DictrackError("the limiter's tracker is not in a group")
        found: dict[str, Any] = state.limiters[self.at]
        return found

    def now(self) -> Any:
        """The time of the state: that of the manager's clock, or of the snapshot."""
        data = self.data
        now = data.live.now() if data.live is not None else None if data.state is None else data.state.as_of
        return time.time() if now is None else now

    def definition(self) -> Any:
        """The limiter in the definition of the tracker."""
        return _limiters_of(self.data.definition)[self.at]


class _Dropped:
    """The last state of a limiter that its tracker no longer has."""

    def __init__(self, definition: Any, state: dict[str, Any], now: Callable[[], Any]) -> None:
        self._definition = definition
        self._state = state
        self.now = now
        self.handed: Any = None

    def __call__(self) -> dict[str, Any]:
        return self._state

    def definition(self) -> Any:
        """The limiter in the former definition of the tracker."""
        return self._definition


def _limiters_of(definition: Definition | None) -> list[Any]:
    return list(definition.to_dict().get("limiters", [])) if definition is not None else []


class _LimitersChanged:
    """Passes the states of limiters to the objects that the program added, while it keeps them or their tracker."""

    def __init__(self, data: _Data) -> None:
        self.data = weakref.ref(data)
        self.lock = threading.Lock()

    def __call__(self, states: list[dict[str, Any]]) -> None:
        data = self.data()
        if data is None or data.live is None or data.fields is None:
            return
        with self.lock:
            # Looked up again, since threads may arrive here in a different order than they counted.
            state = data.live.state()
            new = _limiters_of(state.definition) if state.definition != data.definition else None
            for at, (limiter, found) in enumerate(zip(data.fields.limiters, state.limiters)):
                if new is None or _limiters_of(data.definition)[at : at + 1] == new[at : at + 1]:
                    limiter._changed(found)


def all_of(name: str, values: Any, cls: type[Any], one: str, more: str) -> list[Any]:
    """The values as a list, checked to be of a class. ``one`` and ``more`` are its names in errors."""
    if isinstance(values, (str, bytes)) or not isinstance(values, Iterable):
        instead = _windows.instead_of(values)
        raise TypeError(f"{name} is {shown(values) if instead else a_type(values)}; expected a list of {more}{instead}")
    found = list(values)
    for at, value in enumerate(found):
        if not isinstance(value, cls):
            instead = _windows.instead_of(value)
            found_type = shown(value) if instead else a_type(value)
            raise TypeError(f"{name}[{at}] is {found_type}; expected a {one}{instead}")
    return found


def _number(name: str, value: Any) -> Any:
    plain = _values.plain(value)
    if isinstance(plain, bool) or not isinstance(plain, (int, float, _values.Exact)):
        raise TypeError(f"{name} is {a_type(value)}; expected a number")
    return value


def _targets(target: Any) -> list[Any]:
    if isinstance(target, (list, tuple)):
        return [_number(f"target[{at}]", value) for at, value in enumerate(target)]
    return [_number("target", target)]


def _with_texts(definition: Any) -> Any:
    """The definition, with texts where the engine reads them: dates at the end of windows, which include that day, whereas a
    number is a moment; boundaries and lengths of periods; and time zones."""
    if not isinstance(definition, dict):
        return definition
    made = _with_text(definition)
    limiters = dict.get(made, "limiters")
    if isinstance(limiters, (list, tuple)):
        for at, limiter in enumerate(limiters):
            instead = _windows.instead_of(limiter, '{{"count": {count}, "per": "{per}"}}')
            if instead:
                raise DefinitionError(
                    f"limiters[{at}]: {shown(limiter)}; expected a map that defines a limiter{instead}"
                )
        made = {**made, "limiters": [_with_text(limiter) for limiter in limiters]}
    return made


def _with_text(part: Any) -> Any:
    """A tracker or a limiter with such texts."""
    if not isinstance(part, dict):
        return part
    texts: dict[str, Any] = {}
    end = dict.get(part, "end")
    if isinstance(end, datetime.date) and not isinstance(end, datetime.datetime):
        texts["end"] = datetime.date.isoformat(end)
    if isinstance(dict.get(part, "from"), datetime.date):
        texts["from"] = _windows.start(dict.get(part, "from"))
    if isinstance(dict.get(part, "zone"), zoneinfo.ZoneInfo):
        texts["zone"] = _windows.zone_name(dict.get(part, "zone"))
    for field in ("every", "per", "within"):
        if isinstance(dict.get(part, field), datetime.timedelta):
            texts[field] = _windows.length(field, dict.get(part, field))
    return {**part, **texts} if texts else part


def _made(data: _Data) -> BaseTracker:
    """A tracker of the class for its definition."""
    from dictrack.trackers.numerics.accumulation import AccumulationTracker
    from dictrack.trackers.numerics.count import CountTracker
    from dictrack.trackers.numerics.custom import CustomTracker
    from dictrack.trackers.numerics.streak import StreakTracker

    definition = data.definition
    if definition is None:
        raise DefinitionError("the tracker has no definition")
    made: BaseTracker
    if definition.kind == "custom":
        code = _custom._registered["measure"].get(definition.measure or "")
        made = (
            _custom._restored(code, definition.to_dict().get("params"))
            if isinstance(code, type)
            else CustomTracker.__new__(CustomTracker)
        )
    else:
        classes = {"count": CountTracker, "sum": AccumulationTracker, "streak": StreakTracker}
        cls: type[BaseTracker] = classes[definition.kind]
        made = cls.__new__(cls)
    made._dt = data
    return made


def tracker_of(state: State, group_id: str) -> BaseTracker:
    """A snapshot of a tracker."""
    data = _Data(state.definition, state)
    data.group_id = group_id
    return _made(data)
