"""The base of the caches."""

from __future__ import annotations

from typing import Any

__all__ = ["BaseDataCache"]


class BaseDataCache:
    """Says where a manager holds groups. Nothing is connected before a manager is made with it."""

    def _options(self) -> dict[str, Any]:
        """What the manager is opened with."""
        raise TypeError(
            f"{type(self).__qualname__} is no cache that dictrack has; expected MemoryDataCache or RedisDataCache"
        )
