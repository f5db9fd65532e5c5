"""Trackers whose progress is a number."""
