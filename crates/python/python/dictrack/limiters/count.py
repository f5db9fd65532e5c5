"""Limits the number of documents."""

from __future__ import annotations

import datetime
import time
import zoneinfo
from typing import Any

from dictrack import _windows
from dictrack._dictrack import Limiter
from dictrack._values import a_type, shown
from dictrack.limiters.base import _Builtin, spelled

__all__ = ["CountLimiter"]


class CountLimiter(_Builtin):
    """Lets a limited number of documents count.

    - ``CountLimiter(100)``: 100, until a stage or ``reset_tracker`` renews it.
    - ``CountLimiter(100, per="minute")``: 100 in each minute. The limit renews itself when the next minute begins.
    - ``CountLimiter(10, within="1 hour")``: 10 in any stretch of 60 minutes, exactly.
    - ``CountLimiter(100, per="minute", burst=20)``: 100 a minute at an even rate, and up to 20 at once.

    Parameters
    ----------
    count : int
        How many; 1 or more. With ``within``, up to 1,024.
    per : str or timedelta, optional
        How long a period is: ``"second"``, ``"minute"``, ``"hour"``, ``"day"``, ``"week"``, ``"month"``, ``"quarter"`` or
        ``"year"``, or a number of them, such as ``"15 minutes"``; 1 second to 100 years. ``"day"`` and longer follow the
        calendar in ``zone``; ``"24 hours"`` and a ``timedelta``, which must have whole seconds, are always as long.
    within : str or timedelta, optional
        How long the stretch of time is, up to hours: ``"1 hour"``, ``"24 hours"``.
    burst : int, optional
        With ``per``: how many documents may count at once.
    from_ : str, date or datetime, optional
        With ``per``: when a period begins, in ``zone``: ``"2026-01-07T04:00"`` for weeks that begin on Wednesdays at four.
        ``"add"``: when the tracker is added.
    zone : str or ZoneInfo, optional
        With ``per``: the time zone; default: that of the tracker, the group or the manager, else UTC.

    Raises
    ------
    TypeError
        If an argument has the wrong type.
    ValueError
        If ``count`` is less than 1, or the arguments do not go together.
    """

    def __init__(
        self,
        count: int,
        *,
        per: str | datetime.timedelta | None = None,
        within: str | datetime.timedelta | None = None,
        burst: int | None = None,
        from_: str | datetime.date | None = None,
        zone: str | zoneinfo.ZoneInfo | None = None,
    ) -> None:
        super().__init__()
        for name, value in (("count", count), ("burst", burst)):
            if name == "burst" and value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, int):
                instead = _windows.instead_of(value)
                found = shown(value) if instead else a_type(value)
                raise TypeError(f"{name} is {found}; expected int{instead}")
            if value <= 0:
                raise ValueError(f"{name} is {value}; expected 1 or more")
        definition = {
            "count": count,
            "per": _instead("per", _windows.length("per", per)),
            "within": _instead("within", _windows.length("within", within)),
            "burst": burst,
            "from": _windows.start(from_),
            "zone": _windows.zone_name(zone),
        }
        given = {name: value for name, value in definition.items() if value is not None}
        self._own = Limiter(given, time.time())
        self._definition: dict[str, Any] = spelled(given)

    @classmethod
    def _of(cls, definition: dict[str, Any]) -> CountLimiter:
        limiter = cls.__new__(cls)
        limiter._own = Limiter(definition, time.time())
        limiter._definition = definition
        return limiter

    def _is_limited(self) -> bool:
        return self.remaining <= 0

    @property
    def count(self) -> int:
        """How many documents may count after a renewal, or in a period."""
        count: int = self._definition["count"] if self._renews_itself() else self._state()["limit"]
        return count

    @property
    def per(self) -> str | None:
        """How long a period is; ``None`` if the limit does not renew itself."""
        return self._definition.get("per")

    @property
    def within(self) -> str | None:
        """How long the stretch of time is in which only ``count`` documents may count."""
        return self._definition.get("within")

    @property
    def burst(self) -> int | None:
        """How many documents may count at once, if they count at an even rate."""
        return self._definition.get("burst")

    @property
    def limit(self) -> int:  # type: ignore[override]
        """What remains when nothing is used: ``count``, or ``burst``."""
        limit: int = self._state()["limit"]
        return limit

    @property
    def remaining(self) -> int:  # type: ignore[override]
        """How many documents may still count."""
        remaining: int = self._state()["remaining"]
        return remaining

    def _renews_itself(self) -> bool:
        return len(self._definition) > 1

    def to_dict(self, *, state: bool = False) -> dict[str, Any]:
        """The limiter as written in definitions, or its state."""
        return self._json() if state else dict(self._definition)

    def pre_track(self, data: Any, pre_tracker: Any, *args: Any, **kwargs: Any) -> bool:
        """Whether a document may count."""
        if self._source is None and self._renews_itself():
            return self._own.admits(kwargs.get("now_ts", time.time()))
        return self.remaining > 0

    def post_track(self, data: Any, post_tracker: Any, *args: Any, **kwargs: Any) -> bool:
        """Records a document that counts. Returns whether more can."""
        self._check_own()
        is_open = self._own.record(kwargs.get("now_ts", time.time()))
        self.limited = not is_open and post_tracker.dirtied and not post_tracker.completed
        return not self.limited

    def reset(self, *args: Any, **kwargs: Any) -> bool:
        """Renews the limiter. Returns whether documents may count.

        Parameters
        ----------
        **kwargs
            ``reset_count``: a new number; 0 closes the limiter. A limit that renews itself keeps its number.
        """
        self._check_own()
        count = kwargs.get("reset_count")
        if count is not None:
            if isinstance(count, bool) or not isinstance(count, int):
                raise TypeError(f"reset_count is {a_type(count)}; expected int")
            if count < 0:
                raise ValueError(f"reset_count is {count}; expected 0 or more")
        self._own.renew(kwargs.get("now_ts", time.time()), count=count)
        self.limited = self.remaining <= 0
        return not self.limited

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, CountLimiter) or self.count != other.count:
            return False
        mine, theirs = ({**limiter._definition, "count": 0} for limiter in (self, other))
        return mine == theirs

    def __hash__(self) -> int:
        return hash(self.count)

    def __repr__(self) -> str:
        details = "".join(f" {name}={value!r}" for name, value in self._definition.items() if name != "count")
        return f"<CountLimiter (count={self.count}{details} remaining={self.remaining})>"


def _instead(name: str, length: str | None) -> str | None:
    instead = _windows.instead_of(length)
    if instead:
        raise ValueError(f"{name} is {shown(length)}; expected a length of time{instead}")
    return length
