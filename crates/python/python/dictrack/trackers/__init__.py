"""Trackers: what to count, and how far."""

from dictrack.trackers.base import BaseTracker, ResetPolicy

__all__ = ["BaseTracker", "ResetPolicy"]
