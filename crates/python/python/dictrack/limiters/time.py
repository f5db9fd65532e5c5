"""Limits counting to a time window."""

from __future__ import annotations

import datetime
import decimal
import numbers
import time
from typing import Any

from dictrack._dictrack import Limiter
from dictrack._values import a_type
from dictrack.limiters.base import _Builtin, spelled

__all__ = ["TimeLimiter"]


def _moment(name: str, value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, (numbers.Real, datetime.date, str)):
        raise TypeError(
            f"{name} is {a_type(value)}; expected seconds since 1970 UTC, a datetime, a date, or a string such as "
            "'2026-12-31T23:59:59Z' or '2026-12-31'"
        )
    if isinstance(value, datetime.date) and not isinstance(value, datetime.datetime):
        # Read like a string in a file: as an end, it includes the whole day.
        return value.isoformat()
    return value


class TimeLimiter(_Builtin):
    """Lets documents count within a time window, both ends included.

    The time of a document is the ``now`` passed to ``track``, or the manager's clock.

    Parameters
    ----------
    start_ts : int, float, datetime, date or str, optional
        When the window opens. By default, it has no start.
    end_ts : int, float, datetime, date or str, optional
        When it closes. Without this and without a length, the window has no end. A date, or the string ``"2026-12-31"``,
        includes that whole day. A string without fractional seconds (``"2026-12-31T23:59:59Z"``) includes that whole second.
        A number or a ``datetime`` is that exact time.
    interval : timedelta, optional
        How long it is. Without ``start_ts``, it starts when the tracker is added or the limiter is renewed.
    seconds : int, float or timedelta, optional
        The same in seconds.

    Raises
    ------
    TypeError
        If an argument has the wrong type.
    ValueError
        If there is neither a bound nor a length, if there are both an end and a length, or if the window does not end after
        it starts.
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
                raise ValueError("both interval and seconds are given; use only one of them")
        length = seconds if seconds is not None else interval
        start = None if start_ts is None else _moment("start_ts", start_ts)
        end = None if end_ts is None else _moment("end_ts", end_ts)
        if end is not None and length is not None:
            raise ValueError("both end_ts and a length are given; use only one of end_ts, interval and seconds")
        if start is None and end is None and length is None:
            raise ValueError("expected start_ts, end_ts, interval or seconds")
        if length is None:
            bounds = {"start": start, "end": end}
            definition = {key: moment for key, moment in bounds.items() if moment is not None}
        elif start is not None:
            definition = {"start": start, "end": _sum(start, length)}
        else:
            definition = {"seconds": length}
        self._set(definition)
        self._definition = spelled(definition)
        if self.start is not None and self.end is not None and not self.start < self.end:
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
        return not self._is_open(self._now())

    def _is_open(self, now: Any) -> bool:
        state = self._state()
        start, end = state.get("start"), state.get("end")
        return (start is None or start <= now) and (end is None or now <= end)

    @property
    def start(self) -> Any:
        """When the window opens, in seconds since 1970 UTC; ``None`` if it has no start."""
        return self._state().get("start")

    @property
    def end(self) -> Any:
        """When the window closes, in seconds since 1970 UTC; ``None`` if it has no end."""
        return self._state().get("end")

    @property
    def interval(self) -> datetime.timedelta | None:
        """How long the window is; ``None`` if it has no start or no end."""
        state = self._state()
        if "start" not in state or "end" not in state:
            return None
        # Exact: seconds as a float do not have microsecond precision in the year 9999.
        length = decimal.Decimal(str(state["end"])) - decimal.Decimal(str(state["start"]))
        return datetime.timedelta(microseconds=int(length * 1_000_000))

    def to_dict(self, *, state: bool = False) -> dict[str, Any]:
        """The limiter as written in definitions, or its state."""
        return self._json() if state else dict(self._definition)

    def pre_track(self, data: Any, pre_tracker: Any, *args: Any, **kwargs: Any) -> bool:
        """Whether a document may count at ``now_ts``, by default now."""
        if self._source is not None:
            return self._is_open(kwargs.get("now_ts", self._now()))
        admitted = self._own.admits(kwargs.get("now_ts", int(time.time())))
        self.limited = not admitted
        return admitted

    def reset(self, *args: Any, **kwargs: Any) -> bool:
        """Opens the window at ``now_ts``, by default now, for its previous length or for ``reset_seconds``."""
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


def _sum(start: Any, length: Any) -> Any:
    if isinstance(start, str):
        start = Limiter({"start": start}, 0).view(0)["start"]
    if isinstance(start, datetime.datetime):
        return start + (length if isinstance(length, datetime.timedelta) else datetime.timedelta(seconds=length))
    return start + (length.total_seconds() if isinstance(length, datetime.timedelta) else length)
