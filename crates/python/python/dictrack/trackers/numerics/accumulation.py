"""Sums a number in each document."""

from __future__ import annotations

import datetime
import zoneinfo
from collections.abc import Iterable

from dictrack._types import Moment, Number, Target
from dictrack._values import a_type
from dictrack.conditions.base import BaseCondition
from dictrack.limiters.base import BaseLimiter
from dictrack.trackers.base import ResetPolicy
from dictrack.trackers.numerics.numeric import NumericTracker

__all__ = ["AccumulationTracker"]


class AccumulationTracker(NumericTracker):
    """Sums the number at a key. A document without one does not count; ``explain`` says why.

    Parameters
    ----------
    key : str
        The dotted path of the number; default ``amount``.

    Notes
    -----
    The other parameters are those of ``BaseTracker``.
    """

    _kind = "sum"

    def __init__(
        self,
        name: str,
        conditions: Iterable[BaseCondition] = (),
        target: Target = None,
        key: str = "amount",
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
    ) -> None:
        if not isinstance(key, str):
            raise TypeError(f"key is {a_type(key)}; expected str")
        super().__init__(
            name,
            conditions,
            target,
            group_id,
            limiters,
            reset_policy,
            loop_forever,
            init_progress,
            expire_at=expire_at,
            every=every,
            from_=from_,
            zone=zone,
            keep=keep,
            _measured={"key": key},
        )

    @property
    def key(self) -> str:
        """The dotted path of the number."""
        key: str = self._current().measured["key"]
        return key

    def _details(self) -> str:
        return f" key={self.key}"
