"""Counts periods in a row."""

from __future__ import annotations

import datetime
import zoneinfo
from collections.abc import Iterable, Mapping
from typing import Any

from dictrack import _values
from dictrack._types import Moment, Number, Target
from dictrack._values import a_type
from dictrack.conditions.base import BaseCondition
from dictrack.limiters.base import BaseLimiter
from dictrack.trackers.base import ResetPolicy
from dictrack.trackers.numerics.numeric import NumericTracker

__all__ = ["StreakTracker"]


class StreakTracker(NumericTracker):
    """Counts periods in a row, such as days with a login.

    A period is met once enough documents counted in it. The progress is the number of met periods in a row, up to the current or
    the previous one; a document that makes its period met raises it. After a gap the streak starts again at 1, unless there are
    freezes for it: each covers one period that was missed. The last target fires ALL_COMPLETED, and the streak goes on.

    Parameters
    ----------
    name, conditions, target, group_id, limiters, reset_policy, expire_at, from_, zone, keep
        Those of ``BaseTracker``. Targets are numbers of periods, in ascending order.
    every : str or timedelta
        How long a period is: ``"day"``, ``"week"``, and so on.
    each : number
        How many documents make a period met; with ``key``, what their amounts add up to. Default 1.
    key : str, optional
        The dotted path of the amount; default: each document is 1.
    freezes : dict, optional
        ``start``: how many there are at first, default 0. ``per``: one more for each so many met periods, default none. ``max``:
        never more than this; default any number.

    Examples
    --------
    >>> streak = StreakTracker("login_streak", target=[3, 7, 30], every="day", freezes={"start": 1, "per": 7, "max": 2})
    >>> streak.target, streak.every
    (3, 'day')
    """

    _kind = "streak"

    def __init__(
        self,
        name: str,
        conditions: Iterable[BaseCondition] = (),
        target: Target = None,
        group_id: str | None = None,
        limiters: Iterable[BaseLimiter] | None = None,
        reset_policy: int = ResetPolicy.DEFAULT,
        *,
        every: str | datetime.timedelta,
        each: Number = 1,
        key: str | None = None,
        freezes: Mapping[str, int] | None = None,
        from_: str | datetime.date | None = None,
        zone: str | zoneinfo.ZoneInfo | None = None,
        keep: int | None = None,
        expire_at: Moment | None = None,
    ) -> None:
        if key is not None and not isinstance(key, str):
            raise TypeError(f"key is {a_type(key)}; expected str")
        number = _values.plain(each)
        if isinstance(number, bool) or not isinstance(number, (int, float, _values.Exact)):
            raise TypeError(f"each is {a_type(each)}; expected a number")
        if freezes is not None and not isinstance(freezes, Mapping):
            raise TypeError(f'freezes is {a_type(freezes)}; expected a dict such as {{"start": 1, "per": 7, "max": 2}}')
        measured: dict[str, Any] = {"each": number}
        if key is not None:
            measured["key"] = key
        if freezes is not None:
            measured["freezes"] = dict(freezes)
        super().__init__(
            name,
            conditions,
            target,
            group_id,
            limiters,
            reset_policy,
            expire_at=expire_at,
            every=every,
            from_=from_,
            zone=zone,
            keep=keep,
            _measured=measured,
        )

    @property
    def each(self) -> int | float:
        """How many documents, or which sum, make a period met."""
        return self._definition().to_dict().get("each", 1)  # type: ignore[no-any-return]

    @property
    def key(self) -> str | None:
        """The dotted path of the amount; ``None`` if each document is 1."""
        return self._current().measured.get("key")

    def _details(self) -> str:
        return f" freezes={self.freezes}"
