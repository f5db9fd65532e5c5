"""Conditions on the items of a list."""

from __future__ import annotations

from typing import Any

from dictrack._values import a_type
from dictrack.conditions.base import BaseCondition
from dictrack.conditions.keys import ITEM, KeyExists

__all__ = ["ITEM", "AllItems", "AnyItem"]


class AnyItem(KeyExists):
    """The list at a key has an item that satisfies all of one or more conditions.

    In these conditions, paths start at the item, and ``ITEM`` is the item itself:
    ``AnyItem("tags", KeyValueEQ(ITEM, "gift"))``.

    Parameters
    ----------
    key : str
        A dotted path.
    *conditions : BaseCondition
        The conditions.
    """

    _word = "any_item"

    def __init__(self, key: str, *conditions: BaseCondition) -> None:
        for condition in conditions:
            if not isinstance(condition, BaseCondition):
                raise TypeError(f"expected conditions; found {a_type(condition)}")
        self._conditions = conditions
        super().__init__(key)

    @property
    def conditions(self) -> tuple[BaseCondition, ...]:
        """The conditions that an item must satisfy."""
        return self._conditions

    def _operand(self) -> Any:
        return [condition.to_dict() for condition in self._conditions]

    def __repr__(self) -> str:
        return f"<{type(self).__name__} (key={self.key} {', '.join(map(repr, self._conditions))})>"


class AllItems(AnyItem):
    """The list at a key is not empty, and each item satisfies all of one or more conditions."""

    _word = "all_items"
