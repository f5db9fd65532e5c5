"""Creates conditions from definitions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dictrack import _custom
from dictrack.conditions.base import AllOf, AnyOf, BaseCondition, FunctionCondition, Not
from dictrack.conditions.fields import KeyEQKey, KeyGEKey, KeyGTKey, KeyLEKey, KeyLTKey, KeyNEKey
from dictrack.conditions.items import ITEM, AllItems, AnyItem
from dictrack.conditions.keys import (
    KeyExists,
    KeyNotExists,
    KeyValueContained,
    KeyValueEQ,
    KeyValueGE,
    KeyValueGT,
    KeyValueInList,
    KeyValueLE,
    KeyValueListHasItem,
    KeyValueListIntersectList,
    KeyValueListNotHasItem,
    KeyValueListNotIntersectList,
    KeyValueLT,
    KeyValueNE,
    KeyValueNotContained,
    KeyValueNotInList,
)
from dictrack.conditions.moments import KeyValueBefore, KeyValueSince
from dictrack.conditions.texts import KeyValueEndsWith, KeyValueMatches, KeyValueStartsWith

__all__ = ["condition_of"]

# Conditions with a key and an operand.
_WITH_OPERAND: dict[str, Callable[[str, Any], BaseCondition]] = {
    "eq": KeyValueEQ,
    "ne": KeyValueNE,
    "lt": KeyValueLT,
    "le": KeyValueLE,
    "gt": KeyValueGT,
    "ge": KeyValueGE,
    "in": KeyValueInList,
    "not_in": KeyValueNotInList,
    "has": KeyValueListHasItem,
    "not_has": KeyValueListNotHasItem,
    "intersects": KeyValueListIntersectList,
    "not_intersects": KeyValueListNotIntersectList,
    "matches": KeyValueMatches,
    "before": KeyValueBefore,
    "since": KeyValueSince,
    "eq_key": KeyEQKey,
    "ne_key": KeyNEKey,
    "lt_key": KeyLTKey,
    "le_key": KeyLEKey,
    "gt_key": KeyGTKey,
    "ge_key": KeyGEKey,
}
# Conditions that can ignore letter case.
_OF_TEXTS: dict[str, Callable[[str, Any, bool], BaseCondition]] = {
    "contains": KeyValueContained,
    "not_contains": KeyValueNotContained,
    "starts_with": KeyValueStartsWith,
    "ends_with": KeyValueEndsWith,
}
_WITH_CONDITIONS: dict[str, Callable[..., BaseCondition]] = {"any_item": AnyItem, "all_items": AllItems}


def condition_of(definition: dict[str, Any]) -> BaseCondition:
    """The condition for a definition."""
    if "all" in definition:
        return AllOf(*map(condition_of, definition["all"]))
    if "any" in definition:
        return AnyOf(*map(condition_of, definition["any"]))
    if "not" in definition:
        return Not(condition_of(definition["not"]))
    if "custom" in definition:
        name, params = definition["custom"], definition.get("params")
        code = _custom._registered["condition"].get(name)
        if isinstance(code, type):
            made: BaseCondition = _custom._restored(code, params)
            return made
        return FunctionCondition(name, params or {})
    key = definition.get("key", ITEM)
    for word, operand in definition.items():
        if word == "exists":
            return KeyExists(key)
        if word == "absent":
            return KeyNotExists(key)
        if word in _OF_TEXTS:
            return _OF_TEXTS[word](key, operand, not definition.get("ignore_case", False))
        if word in _WITH_OPERAND:
            return _WITH_OPERAND[word](key, operand)
        if word in _WITH_CONDITIONS:
            return _WITH_CONDITIONS[word](key, *map(condition_of, operand))
    raise ValueError(f"no condition has the fields {', '.join(definition)}")
