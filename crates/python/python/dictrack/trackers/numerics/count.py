"""Counts documents."""

from __future__ import annotations

from dictrack.trackers.numerics.numeric import NumericTracker

__all__ = ["CountTracker"]


class CountTracker(NumericTracker):
    """Counts documents. The parameters are those of ``BaseTracker``.

    Examples
    --------
    >>> from dictrack.conditions.keys import KeyValueEQ
    >>> CountTracker("logins", [KeyValueEQ("event", "login")], target=[3, 10]).target
    3
    """

    _kind = "count"
