"""Limits a sum."""

from __future__ import annotations

import datetime
import decimal
import time
import zoneinfo
from typing import Any

from dictrack import _values, _windows
from dictrack._dictrack import Limiter
from dictrack._values import a_type, shown
from dictrack.limiters.base import _Builtin, spelled

__all__ = ["SumLimiter"]


class SumLimiter(_Builtin):
    """Lets documents count up to a sum of their amounts, such as 500 tokens a day.

    A document whose amount is more than what remains does not count at all. A negative amount gives back.

    Parameters
    ----------
    sum : number
        How much; above 0.
    key : str, optional
        The dotted path of the amount; default: what the tracker itself adds. A document without a number there does not count.
    per : str or timedelta, optional
        How long a period is, as for ``CountLimiter``. Without it, a stage or ``reset_tracker`` renews the limit.
    from_, zone : optional
        When periods begin, as for ``CountLimiter``.

    Raises
    ------
    TypeError
        If an argument has the wrong type.
    ValueError
        If ``sum`` is not above 0, or the arguments do not go together.
    """

    def __init__(
        self,
        sum: int | float | decimal.Decimal,
        key: str | None = None,
        per: str | datetime.timedelta | None = None,
        *,
        from_: str | datetime.date | None = None,
        zone: str | zoneinfo.ZoneInfo | None = None,
    ) -> None:
        super().__init__()
        number = _values.plain(sum)
        if isinstance(number, bool) or not isinstance(number, (int, float, _values.Exact)):
            instead = _windows.instead_of(sum, 'SumLimiter({count}, per="{per}")')
            raise TypeError(f"sum is {shown(sum) if instead else a_type(sum)}; expected a number{instead}")
        if key is not None and not isinstance(key, str):
            raise TypeError(f"key is {a_type(key)}; expected str")
        definition = {
            "sum": number,
            "key": key,
            "per": _windows.length("per", per),
            "from": _windows.start(from_),
            "zone": _windows.zone_name(zone),
        }
        given = {name: value for name, value in definition.items() if value is not None}
        self._own = Limiter(given, time.time())
        self._definition: dict[str, Any] = spelled(given)

    @classmethod
    def _of(cls, definition: dict[str, Any]) -> SumLimiter:
        limiter = cls.__new__(cls)
        limiter._own = Limiter(definition, time.time())
        limiter._definition = definition
        return limiter

    def _is_limited(self) -> bool:
        return self.remaining <= 0

    @property
    def sum(self) -> int | float:
        """How much documents may add up to."""
        return self._definition["sum"]  # type: ignore[no-any-return]

    @property
    def key(self) -> str | None:
        """The dotted path of the amount; ``None`` if it is what the tracker adds."""
        return self._definition.get("key")

    @property
    def per(self) -> str | None:
        """How long a period is; ``None`` if the limit does not renew itself."""
        return self._definition.get("per")

    @property
    def limit(self) -> int | float:  # type: ignore[override]
        """What remains when nothing is used: ``sum``."""
        return self._state()["limit"]  # type: ignore[no-any-return]

    @property
    def remaining(self) -> int | float:  # type: ignore[override]
        """How much is left."""
        return self._state()["remaining"]  # type: ignore[no-any-return]

    def to_dict(self, *, state: bool = False) -> dict[str, Any]:
        """The limiter as written in definitions, or its state."""
        return self._json() if state else dict(self._definition)

    def pre_track(self, data: Any, pre_tracker: Any, *args: Any, **kwargs: Any) -> bool:
        """Whether a document may count. Without a ``key``, its amount is taken to be 1."""
        if self._source is not None:
            return self.remaining > 0
        return self._own.admits(kwargs.get("now_ts", time.time()), data)

    def post_track(self, data: Any, post_tracker: Any, *args: Any, **kwargs: Any) -> bool:
        """Records a document that counts. Returns whether more can."""
        self._check_own()
        is_open = self._own.record(kwargs.get("now_ts", time.time()), data)
        self.limited = not is_open and post_tracker.dirtied and not post_tracker.completed
        return not self.limited

    def reset(self, *args: Any, **kwargs: Any) -> bool:
        """Renews the limiter. Returns whether documents may count."""
        self._check_own()
        self._own.renew(kwargs.get("now_ts", time.time()))
        self.limited = False
        return True

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SumLimiter) and self._definition == other._definition

    def __hash__(self) -> int:
        return hash(self.sum)

    def __repr__(self) -> str:
        details = " ".join(f"{name}={value!r}" for name, value in self._definition.items())
        return f"<SumLimiter ({details} remaining={self.remaining})>"
