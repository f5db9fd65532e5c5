"""The events that listeners receive."""

from __future__ import annotations

import logging
import typing
from collections.abc import Callable
from typing import Any

from dictrack._json import JSONReady

if typing.TYPE_CHECKING:
    from dictrack._dictrack import Event
    from dictrack.limiters.base import BaseLimiter
    from dictrack.trackers.base import BaseTracker

__all__ = [
    "EVENT_ALL",
    "EVENT_TRACKER_ADDED",
    "EVENT_TRACKER_ALL_COMPLETED",
    "EVENT_TRACKER_LIMITED",
    "EVENT_TRACKER_RESET",
    "EVENT_TRACKER_STAGE_COMPLETED",
    "BaseEvent",
    "LimitedTrackerEvent",
    "TrackerEvent",
]

logger = logging.getLogger("dictrack.events")

#: A tracker was added.
EVENT_TRACKER_ADDED = 1001
#: A tracker reached a target that is not its last.
EVENT_TRACKER_STAGE_COMPLETED = 1002
#: A tracker reached its last target.
EVENT_TRACKER_ALL_COMPLETED = 1003
#: ``reset_tracker`` was called.
EVENT_TRACKER_RESET = 1004
#: A limiter refused a document or ran out.
EVENT_TRACKER_LIMITED = 1005
EVENT_ALL = [
    EVENT_TRACKER_ADDED,
    EVENT_TRACKER_STAGE_COMPLETED,
    EVENT_TRACKER_ALL_COMPLETED,
    EVENT_TRACKER_RESET,
    EVENT_TRACKER_LIMITED,
]


class BaseEvent(JSONReady):
    """Something that happened.

    Attributes
    ----------
    code : int
        One of the codes of this module.
    occurred_at : int or float
        The ``now`` of the document or call, in seconds since 1970 UTC.
    """

    def __init__(self, code: int, occurred_at: float = 0) -> None:
        self.code = code
        self.occurred_at = occurred_at

    @property
    def event_ts(self) -> float:
        """The same as ``occurred_at``."""
        return self.occurred_at

    def to_dict(self) -> dict[str, Any]:
        """The event as JSON. ``dict(event)`` is the same."""
        return self._json()

    def _json(self) -> dict[str, Any]:
        return {"code": self.code, "occurred_at": self.occurred_at}

    def __deepcopy__(self, memo: Any) -> Any:
        # Nothing changes an event.
        return self

    def __repr__(self) -> str:
        return f"<{type(self).__name__} (code={self.code})>"


class TrackerEvent(BaseEvent):
    """Something that happened to a tracker.

    Attributes
    ----------
    group_id, name : str
        Which tracker.
    tracker : BaseTracker
        The tracker as it was then.
    stage : int
        The stage that was just reached, counted from 1; for other codes, the current stage.
    target, progress : int or float
        The target of that stage, ``None`` if the tracker has no targets, and the progress.
    times : int
        How many events this one represents: more than 1 if one document completed several cycles of a loop.
    period_start : int or float, optional
        Of a tracker with ``every``, the start of the period of the document or call, in seconds since 1970 UTC.
    id : str
        The same for every delivery of this event, since events are delivered at least once.
    """

    def __init__(self, code: int, group_id: str, name: str, tracker: BaseTracker, occurred_at: float = 0) -> None:
        super().__init__(code, occurred_at)
        self.group_id = group_id
        self.name = name
        self.tracker = tracker
        self.stage = tracker.current_stage
        self.target = tracker.target
        self.progress = tracker.progress
        self.times = 1
        self.period_start: int | float | None = None
        self.id = ""
        self._native: Event | None = None

    def _json(self) -> dict[str, Any]:
        if self._native is not None:
            return self._native.to_dict()
        return super()._json() | {"group": self.group_id, "tracker": self.name}

    def __repr__(self) -> str:
        return f"<{type(self).__name__} (code={self.code} group_id={self.group_id} name={self.name} tracker={self.tracker})>"


class LimitedTrackerEvent(TrackerEvent):
    """A limiter refused a document or ran out.

    Attributes
    ----------
    limiter : BaseLimiter
        The limiter; if several did, the first in the definition.
    """

    def __init__(
        self,
        code: int,
        group_id: str,
        name: str,
        tracker: BaseTracker,
        limiter: BaseLimiter,
        occurred_at: float = 0,
    ) -> None:
        super().__init__(code, group_id, name, tracker, occurred_at)
        self.limiter = limiter

    def __repr__(self) -> str:
        return f"{super().__repr__()[:-2]} limiter={self.limiter})>"


def event_of(event: Event) -> TrackerEvent:
    """The event as passed to listeners."""
    from dictrack.trackers.base import tracker_of

    tracker = tracker_of(event.state, event.group_id)
    made: TrackerEvent
    if event.limiter is not None:
        limiter = tracker.limiters[event.limiter]
        made = LimitedTrackerEvent(event.code, event.group_id, event.name, tracker, limiter, event.occurred_at)
    else:
        made = TrackerEvent(event.code, event.group_id, event.name, tracker, event.occurred_at)
    made.times = event.times
    made.period_start = event.period_start
    made.id = event.id
    made._native = event
    return made


def tell(listener: Callable[[Any], Any], event: TrackerEvent) -> None:
    """Calls a listener. If it raises, the exception is logged and the others still run."""
    try:
        listener(event)
    except Exception:
        logger.exception("a listener of %s in group %s failed: %r", event.name, event.group_id, listener)
