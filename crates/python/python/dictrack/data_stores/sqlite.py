"""Keeps groups in a SQLite file."""

from __future__ import annotations

import os
from typing import Any

from dictrack._values import shown
from dictrack.data_stores.base import BaseDataStore

__all__ = ["SQLiteDataStore"]


class SQLiteDataStore(BaseDataStore):
    """Keeps groups in a SQLite file, which is created if necessary. One process writes the file; others can read it.

    Parameters
    ----------
    path : str or path-like
        The file.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = os.fspath(path) if isinstance(path, (str, os.PathLike)) else path
        if not isinstance(self._path, str):
            raise TypeError(f"path is {shown(self._path)}; expected a str or path")

    def _options(self) -> dict[str, Any]:
        return {"sqlite": self._path}

    def __repr__(self) -> str:
        return f"<SQLiteDataStore {self._path}>"
