"""The base class of trackers whose progress is a number."""

from __future__ import annotations

from dictrack.trackers.base import BaseTracker

__all__ = ["NumericTracker"]


class NumericTracker(BaseTracker):
    """A tracker whose progress is a number.

    A subclass with ``amount`` is a custom tracker; see ``BaseTracker``.
    """
