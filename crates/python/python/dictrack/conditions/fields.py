"""Conditions that compare two values of one document."""

from __future__ import annotations

from typing import Any

from dictrack._values import a_type
from dictrack.conditions.keys import KeyExists

__all__ = ["KeyEQKey", "KeyGEKey", "KeyGTKey", "KeyLEKey", "KeyLTKey", "KeyNEKey"]


class KeyEQKey(KeyExists):
    """The values at two keys are equal, deeply.

    Parameters
    ----------
    key : str
        A dotted path.
    other : str
        The dotted path of the value to compare with. Both values must exist.
    """

    _word = "eq_key"

    def __init__(self, key: str, other: str) -> None:
        if not isinstance(other, str):
            raise TypeError(f"other is {a_type(other)}; expected str")
        self._other = other
        super().__init__(key)

    @property
    def other(self) -> str:
        """The path of the value to compare with."""
        return self._other

    def _operand(self) -> Any:
        return self._other

    def __repr__(self) -> str:
        return f"<{type(self).__name__} (key={self.key} other={self.other})>"


class KeyNEKey(KeyEQKey):
    """The values at two keys both exist and differ."""

    _word = "ne_key"


class KeyLTKey(KeyEQKey):
    """The value at a key is less than the one at another key; both are numbers or both are strings."""

    _word = "lt_key"


class KeyLEKey(KeyEQKey):
    """The value at a key is less than or equal to the one at another key."""

    _word = "le_key"


class KeyGTKey(KeyEQKey):
    """The value at a key is greater than the one at another key."""

    _word = "gt_key"


class KeyGEKey(KeyEQKey):
    """The value at a key is greater than or equal to the one at another key."""

    _word = "ge_key"
