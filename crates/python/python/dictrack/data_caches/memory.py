"""Holds groups in the memory of this process."""

from __future__ import annotations

from typing import Any

from dictrack import _compat
from dictrack.data_caches.base import BaseDataCache

__all__ = ["MemoryDataCache"]


class MemoryDataCache(BaseDataCache):
    """Holds groups in the memory of this process.

    Parameters
    ----------
    scheduler_class, check_interval, stale_threshold
        From dictrack 2.1.5; they no longer have any effect.
    max_bytes : int, optional
        The memory limit in bytes, beyond which idle groups that the store has are dropped; default 1 GiB.
    """

    def __init__(
        self,
        scheduler_class: Any = None,
        check_interval: Any = None,
        stale_threshold: Any = None,
        *,
        max_bytes: int | None = None,
    ) -> None:
        _compat.ignored(
            "MemoryDataCache",
            _compat.given(
                scheduler_class=scheduler_class, check_interval=check_interval, stale_threshold=stale_threshold
            ),
        )
        self._max_bytes = _compat.whole("max_bytes", max_bytes)

    def _options(self) -> dict[str, Any]:
        return {"cache_bytes": self._max_bytes}
