"""Tests of your own: a pytest plugin with a clock that the test moves.

pytest loads it by itself where dictrack is installed.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from dictrack._dictrack import TestClock
from dictrack.manager import TrackingManager

__all__ = ["dictrack_clock", "dictrack_manager"]


@pytest.fixture
def dictrack_clock() -> TestClock:
    """A clock at 2026-01-01 00:00 UTC that only moves when the test says so: ``dictrack_clock.advance(60)``."""
    return TestClock("2026-01-01T00:00:00Z")


@pytest.fixture
def dictrack_manager(dictrack_clock: TestClock) -> Iterator[TrackingManager]:
    """A manager in memory, by ``dictrack_clock``."""
    with TrackingManager(clock=dictrack_clock) as manager:
        yield manager
