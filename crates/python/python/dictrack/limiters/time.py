"""A window of time."""

from __future__ import annotations

import datetime
import numbers
import time
from typing import Any

from dictrack import _values
from dictrack._dictrack import Definition, Limiter
from dictrack._values import a_type
from dictrack.limiters.base import _Builtin

__all__ = ["TimeLimiter"]


def _moment(name: str, value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, (numbers.Real, datetime.date)):
        raise TypeError(f"{name} is {a_type(value)}; expected seconds since 1970 UTC or a datetime")
    return value


class TimeLimiter(_Builtin):
    """Lets documents count within a window of time, both ends included.

    The moment of a document is the ``now`` that ``track`` was given, else the manager's clock.

    Parameters
    ----------
    start_ts : int, float or datetime, optional
        When the window opens; now, if only ``end_ts`` is given.
    end_ts : int, float or datetime, optional
        When it closes.
    interval : timedelta, optional
        How long it is; without ``start_ts`` from the moment that the tracker is added or renewed.
    seconds : int, float or timedelta, optional
        The same in seconds.

    Raises
    ------
    TypeError
        If one of them is of another type.
    ValueError
        If no end is given or more than one, or the window does not end after it starts.
    """

    def __init__(
        self,
        start_ts: Any = None,
        end_ts: Any = None,
        interval: datetime.timedelta | None = None,
        *,
        seconds: Any = None,
    ) -> None:
        super().__init__()
        if interval is not None and not isinstance(interval, datetime.timedelta):
            raise TypeError(f"interval is {a_type(interval)}; expected timedelta")
        if seconds is not None:
            if isinstance(seconds, bool) or not isinstance(seconds, (numbers.Real, datetime.timedelta)):
                raise TypeError(f"seconds is {a_type(seconds)}; expected a number or timedelta")
            if interval is not None:
                raise ValueError("interval and seconds are both given; expected one of them")
        length = seconds if seconds is not None else interval
        if start_ts is not None:
            _moment("start_ts", start_ts)
        if end_ts is not None:
            _moment("end_ts", end_ts)
        if (end_ts is None) == (length is None):
            raise ValueError("expected exactly one of end_ts, interval and seconds")
        if end_ts is not None:
            start = int(time.time()) if start_ts is None else start_ts
            definition = {"start": start, "end": end_ts}
        elif start_ts is not None:
            definition = {"start": start_ts, "end": _sum(start_ts, length)}
        else:
            definition = {"seconds": length}
        self._set(definition)
        self._definition = _spelled(definition)
        if not self.start < self.end:
            raise ValueError(
                f"the window starts at {self.start} and ends at {self.end}; expected an end after the start"
            )

    def _set(self, definition: dict[str, Any]) -> None:
        self._definition = definition
        self._own = Limiter(definition, int(time.time()))

    @classmethod
    def _of(cls, definition: dict[str, Any]) -> TimeLimiter:
        limiter = cls.__new__(cls)
        limiter.limited = False
        limiter._set({key: definition[key] for key in ("start", "end", "seconds") if key in definition})
        return limiter

    def _is_limited(self) -> bool:
        return not self.start <= time.time() <= self.end

    @property
    def start(self) -> Any:
        """When the window opens, in seconds since 1970 UTC."""
        return self._state()["start"]

    @property
    def end(self) -> Any:
        """When the window closes, in seconds since 1970 UTC."""
        return self._state()["end"]

    @property
    def interval(self) -> datetime.timedelta:
        """How long the window is."""
        state = self._state()
        return datetime.timedelta(seconds=state["end"] - state["start"])

    def to_dict(self) -> dict[str, Any]:
        """The limiter as definitions spell it."""
        return dict(self._definition)

    def pre_track(self, data: Any, pre_tracker: Any, *args: Any, **kwargs: Any) -> bool:
        """Whether a document may count at ``now_ts``, now if not given."""
        now = kwargs.get("now_ts", int(time.time()))
        admitted = self.start <= now <= self.end if self._source is not None else self._own.admits(now)
        if self._source is None:
            self.limited = not admitted
        return bool(admitted)

    def reset(self, *args: Any, **kwargs: Any) -> bool:
        """Opens the window at ``now_ts``, now if not given, for as long as it was, or for ``reset_seconds``."""
        self._check_own()
        now = kwargs.get("now_ts", int(time.time()))
        self._own.renew(now, seconds=kwargs.get("reset_seconds"))
        return self.pre_track(None, None, now_ts=now)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TimeLimiter) and (self.start, self.end) == (other.start, other.end)

    def __hash__(self) -> int:
        return hash((self.start, self.end))

    def __repr__(self) -> str:
        return f"<TimeLimiter (start={self.start} end={self.end} interval={self.interval})>"


def _spelled(definition: dict[str, Any]) -> dict[str, Any]:
    """The limiter in numbers, as JSON has them: dates and lengths are Python's own."""
    whole = {"name": "limiter", "kind": "count", "target": 1, "limiters": [definition]}
    spelled: dict[str, Any] = Definition(_values.plain(whole, strict=True)).to_dict()["limiters"][0]
    return spelled


def _sum(start: Any, length: Any) -> Any:
    if isinstance(start, datetime.datetime):
        return start + (length if isinstance(length, datetime.timedelta) else datetime.timedelta(seconds=length))
    if isinstance(start, datetime.date):
        begin = datetime.datetime(start.year, start.month, start.day, tzinfo=_values.EPOCH.tzinfo)
        return _sum(begin, length)
    return start + (length.total_seconds() if isinstance(length, datetime.timedelta) else length)
