"""Adds what a function returns for each document."""

from __future__ import annotations

import datetime
import zoneinfo
from collections.abc import Iterable

from dictrack import _custom
from dictrack._types import Moment, Number, Target
from dictrack.conditions.base import BaseCondition
from dictrack.limiters.base import BaseLimiter
from dictrack.trackers.base import ResetPolicy
from dictrack.trackers.numerics.numeric import NumericTracker

__all__ = ["CustomTracker"]


class CustomTracker(NumericTracker):
    """Adds what a measure returns for each document.

    Parameters
    ----------
    measure : Reference or str
        The result of calling a function decorated with ``@dictrack.measure`` with its parameters, or its registered
        name.

    Notes
    -----
    The other parameters are those of ``BaseTracker``.
    """

    _kind = "custom"

    def __init__(
        self,
        name: str,
        conditions: Iterable[BaseCondition] = (),
        target: Target = None,
        measure: _custom.Reference | str | None = None,
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
        if isinstance(measure, str):
            measure = _custom.Reference("measure", measure, {})
        if not isinstance(measure, _custom.Reference) or measure.kind != "measure":
            raise TypeError(
                "measure is missing; expected the result of a function decorated with @measure, or a registered name"
            )
        measured = {"measure": measure.name} | ({"params": measure.params} if measure.params else {})
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
            _measured=measured,
        )

    @property
    def measure(self) -> str:
        """The registered name of the measure."""
        measure: str = self._current().measured["measure"]
        return measure

    def _details(self) -> str:
        return f" measure={self.measure}"
