"""What is counted, and how far."""

from dictrack.trackers.base import BaseTracker, ResetPolicy

__all__ = ["BaseTracker", "ResetPolicy"]
