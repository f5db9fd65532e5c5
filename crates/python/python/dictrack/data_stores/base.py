"""The base of the stores."""

from __future__ import annotations

from typing import Any

__all__ = ["BaseDataStore"]


class BaseDataStore:
    """Says where a manager keeps groups. Nothing is connected before a manager is made with it."""

    def _options(self) -> dict[str, Any]:
        """What the manager is opened with."""
        raise TypeError(
            f"{type(self).__qualname__} is no store that dictrack has; expected SQLiteDataStore or MongoDBDataStore"
        )
