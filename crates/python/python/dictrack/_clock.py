"""Clocks that are callables of the program."""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable
from typing import Any

from dictrack._dictrack import TestClock
from dictrack._values import a_type

__all__ = ["checked"]


def _system() -> float:
    # Looked up at each call, since libraries that change the time for tests replace it.
    return time.time()


def checked(clock: Any) -> TestClock | Callable[[], Any] | None:
    """The clock of a manager, checked."""
    if clock is None or isinstance(clock, TestClock):
        return clock
    if not callable(clock):
        raise TypeError(f"clock is {a_type(clock)}; expected a TestClock, or a callable that returns the time")
    if clock is time.time:
        return _system
    now = clock()
    if isinstance(now, datetime.datetime) and now.tzinfo is None:
        raise ValueError(
            "clock() returned a datetime without a time zone; expected seconds since 1970 UTC, or a datetime with one"
        )
    return clock  # type: ignore[no-any-return]
