"""The base class of the caches."""

from __future__ import annotations

from typing import Any

__all__ = ["BaseDataCache"]


class BaseDataCache:
    """Tells a manager where to hold groups. Does not connect until a manager is opened with it."""

    def _options(self) -> dict[str, Any]:
        """The options for opening the manager."""
        raise TypeError(
            f"{type(self).__qualname__} is not a cache of dictrack; expected MemoryDataCache or RedisDataCache"
        )
