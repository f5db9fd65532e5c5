"""The base class of the stores."""

from __future__ import annotations

from typing import Any

__all__ = ["BaseDataStore"]


class BaseDataStore:
    """Tells a manager where to keep groups. Does not connect until a manager is opened with it."""

    def _options(self) -> dict[str, Any]:
        """The options for opening the manager."""
        raise TypeError(
            f"{type(self).__qualname__} is not a store of dictrack; expected SQLiteDataStore or MongoDBDataStore"
        )
