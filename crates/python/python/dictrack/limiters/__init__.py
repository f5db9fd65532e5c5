"""Limiters: how often, and for how long, a tracker may count."""

from dictrack.limiters.base import BaseLimiter

__all__ = ["BaseLimiter"]
