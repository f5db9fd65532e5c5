"""Conditions on the value at a key.

A key is a dotted path, such as ``payment.method``. In a list, a segment is an index: ``items.0`` or ``items.-1``. Write
``\\.`` for a dot that is part of a name.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from dictrack._values import a_type, shown
from dictrack.conditions.base import BaseCondition, _Builtin

__all__ = [
    "KeyExists",
    "KeyNotExists",
    "KeyValueComparison",
    "KeyValueContained",
    "KeyValueEQ",
    "KeyValueGE",
    "KeyValueGT",
    "KeyValueInList",
    "KeyValueLE",
    "KeyValueLT",
    "KeyValueListHasItem",
    "KeyValueListIntersectList",
    "KeyValueListNotHasItem",
    "KeyValueListNotIntersectList",
    "KeyValueNE",
    "KeyValueNotContained",
    "KeyValueNotInList",
]


class _Item(str):
    """The type of ``ITEM``."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "ITEM"


ITEM = _Item()
"""Within ``AnyItem`` and ``AllItems``, the key of the item itself."""


class KeyExists(_Builtin):
    """There is a value at the key, which may be ``None``.

    Parameters
    ----------
    key : str
        A dotted path.

    Raises
    ------
    TypeError
        If ``key`` is not a string.
    DefinitionError
        If it has no segments.
    """

    _word = "exists"

    def __init__(self, key: str) -> None:
        if not isinstance(key, str):
            raise TypeError(f"key is {a_type(key)}; expected str")
        self._key = key
        self._prepare()

    def _prepare(self) -> None:
        """Checks the condition once it is complete."""
        if type(self).to_dict is not BaseCondition.to_dict:
            self._native()

    @property
    def key(self) -> str:
        """The dotted path."""
        return self._key

    def _operand(self) -> Any:
        return True

    @property
    def _about_item(self) -> bool:
        return self._key is ITEM

    def _place(self) -> dict[str, Any]:
        return {} if self._about_item else {"key": self._key}

    def _spell(self) -> dict[str, Any]:
        return {**self._place(), self._word: self._operand()}

    def __repr__(self) -> str:
        return f"<{type(self).__name__} (key={self.key})>"


class KeyNotExists(KeyExists):
    """There is no value at the key."""

    _word = "absent"


class _KeyValue(KeyExists):
    """A condition with an operand."""

    def __init__(self, key: str, value: Any) -> None:
        self._value = value
        super().__init__(key)

    @property
    def value(self) -> Any:
        """The operand, which the value at the key is compared with."""
        return self._value

    def _operand(self) -> Any:
        return self._value

    def __repr__(self) -> str:
        return f"<{type(self).__name__} (key={self.key} value={self.value})>"


_WORDS: dict[Callable[[Any, Any], Any], str] = {
    operator.eq: "eq",
    operator.ne: "ne",
    operator.lt: "lt",
    operator.le: "le",
    operator.gt: "gt",
    operator.ge: "ge",
}


class KeyValueComparison(_KeyValue):
    """The value at the key compares as requested with a value.

    Order is defined between two numbers or two strings. Types are strict: ``True`` is not 1, ``"1"`` is not 1.

    Parameters
    ----------
    key : str
        A dotted path.
    value : Any
        A value that JSON can represent. Dates are converted to seconds since 1970 UTC.
    op : callable
        One of ``operator.eq``, ``ne``, ``lt``, ``le``, ``gt``, ``ge``.

    Raises
    ------
    ValueError
        If ``op`` is not one of these.
    """

    def __init__(self, key: str, value: Any, op: Callable[[Any, Any], Any] = operator.eq) -> None:
        if not any(op is known for known in _WORDS):
            raise ValueError(f"op is {shown(op)}; expected one of operator.eq, ne, lt, le, gt, ge")
        self._op = op
        super().__init__(key, value)

    @property
    def op(self) -> Callable[[Any, Any], Any]:
        """The operator."""
        return self._op

    def _spell(self) -> dict[str, Any]:
        return {**self._place(), _WORDS[self._op]: self._value}

    def __repr__(self) -> str:
        return f"<{type(self).__name__} (key={self.key} operator={self.op.__name__} value={self.value})>"


class KeyValueEQ(KeyValueComparison):
    """The value at the key equals a value, deeply."""

    def __init__(self, key: str, value: Any) -> None:
        super().__init__(key, value, operator.eq)


class KeyValueNE(KeyValueComparison):
    """The key exists and its value differs."""

    def __init__(self, key: str, value: Any) -> None:
        super().__init__(key, value, operator.ne)


class KeyValueLT(KeyValueComparison):
    """The value at the key is less."""

    def __init__(self, key: str, value: Any) -> None:
        super().__init__(key, value, operator.lt)


class KeyValueLE(KeyValueComparison):
    """The value at the key is less or equal."""

    def __init__(self, key: str, value: Any) -> None:
        super().__init__(key, value, operator.le)


class KeyValueGT(KeyValueComparison):
    """The value at the key is greater."""

    def __init__(self, key: str, value: Any) -> None:
        super().__init__(key, value, operator.gt)


class KeyValueGE(KeyValueComparison):
    """The value at the key is greater or equal."""

    def __init__(self, key: str, value: Any) -> None:
        super().__init__(key, value, operator.ge)


class _KeyValueOfCase(_KeyValue):
    """A condition that may ignore letter case."""

    def __init__(self, key: str, value: Any, case_sensitive: bool = True) -> None:
        if not isinstance(case_sensitive, bool):
            raise TypeError(f"case_sensitive is {a_type(case_sensitive)}; expected bool")
        self._case_sensitive = case_sensitive
        super().__init__(key, value)

    @property
    def case_sensitive(self) -> bool:
        """Whether case matters."""
        return self._case_sensitive

    def _spell(self) -> dict[str, Any]:
        made = super()._spell()
        if not self._case_sensitive:
            made["ignore_case"] = True
        return made

    def __repr__(self) -> str:
        return f"<{type(self).__name__} (key={self.key} value={self.value} case_sensitive={self._case_sensitive})>"


class KeyValueContained(_KeyValueOfCase):
    """The value at the key contains a value: as a substring, a list item or a map key.

    Parameters
    ----------
    key : str
        A dotted path.
    value : Any
        The value to look for.
    case_sensitive : bool
        If false, strings are compared with full Unicode case folding.
    """

    _word = "contains"


class KeyValueNotContained(KeyValueContained):
    """The key exists and its value does not contain a value."""

    _word = "not_contains"


class _KeyValues(_KeyValue):
    """A condition whose operand is a list."""

    def __init__(self, key: str, value: list[Any] | tuple[Any, ...]) -> None:
        if not isinstance(value, (list, tuple)):
            raise TypeError(f"value is {a_type(value)}; expected a list or tuple")
        super().__init__(key, value)

    def _operand(self) -> Any:
        return list(self._value)


class KeyValueInList(_KeyValues):
    """The value at the key equals one of the given values."""

    _word = "in"


class KeyValueNotInList(_KeyValues):
    """The key exists and its value equals none of the given values."""

    _word = "not_in"


class KeyValueListHasItem(_KeyValue):
    """The list at the key has an item."""

    _word = "has"


class KeyValueListNotHasItem(_KeyValue):
    """The key exists and its value is not a list with the item."""

    _word = "not_has"


class KeyValueListIntersectList(_KeyValues):
    """The list at the key has at least one of the given items."""

    _word = "intersects"


class KeyValueListNotIntersectList(_KeyValues):
    """The key exists and its value is not a list with any of the given items."""

    _word = "not_intersects"
