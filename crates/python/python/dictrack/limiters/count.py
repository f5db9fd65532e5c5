"""Limits the number of documents."""

from __future__ import annotations

import time
from typing import Any

from dictrack._dictrack import Limiter
from dictrack._values import a_type
from dictrack.limiters.base import _Builtin

__all__ = ["CountLimiter"]


class CountLimiter(_Builtin):
    """Lets a limited number of documents count.

    Parameters
    ----------
    count : int
        How many; 1 or more.

    Raises
    ------
    TypeError
        If ``count`` is not an ``int``.
    ValueError
        If it is less than 1.
    """

    def __init__(self, count: int) -> None:
        super().__init__()
        if isinstance(count, bool) or not isinstance(count, int):
            raise TypeError(f"count is {a_type(count)}; expected int")
        if count <= 0:
            raise ValueError(f"count is {count}; expected 1 or more")
        self._definition = {"count": count}
        self._own = Limiter(self._definition, time.time())

    def _is_limited(self) -> bool:
        return self.remaining <= 0

    @property
    def count(self) -> int:
        """How many documents may count after a renewal."""
        count: int = self._state()["limit"]
        return count

    @property
    def remaining(self) -> int:
        """How many documents may still count."""
        remaining: int = self._state()["remaining"]
        return remaining

    def to_dict(self) -> dict[str, Any]:
        """The limiter as written in definitions."""
        return dict(self._definition)

    def pre_track(self, data: Any, pre_tracker: Any, *args: Any, **kwargs: Any) -> bool:
        """Whether a document may count."""
        return self.remaining > 0

    def post_track(self, data: Any, post_tracker: Any, *args: Any, **kwargs: Any) -> bool:
        """Records a document that counts. Returns whether more can."""
        self._check_own()
        is_open = self._own.record(kwargs.get("now_ts", time.time()))
        self.limited = not is_open and post_tracker.dirtied and not post_tracker.completed
        return not self.limited

    def reset(self, *args: Any, **kwargs: Any) -> bool:
        """Renews the limiter. Returns whether documents may count.

        Parameters
        ----------
        **kwargs
            ``reset_count``: a new number; 0 closes the limiter.
        """
        self._check_own()
        count = kwargs.get("reset_count")
        if count is not None:
            if isinstance(count, bool) or not isinstance(count, int):
                raise TypeError(f"reset_count is {a_type(count)}; expected int")
            if count < 0:
                raise ValueError(f"reset_count is {count}; expected 0 or more")
        self._own.renew(kwargs.get("now_ts", time.time()), count=count)
        self.limited = self.remaining <= 0
        return not self.limited

    def __eq__(self, other: object) -> bool:
        return isinstance(other, CountLimiter) and self.count == other.count

    def __hash__(self) -> int:
        return hash(self.count)

    def __repr__(self) -> str:
        return f"<CountLimiter (count={self.count} remaining={self.remaining})>"
