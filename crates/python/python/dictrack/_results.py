"""What calls return."""

from __future__ import annotations

import dataclasses
import decimal
import enum
import numbers
import re
from typing import Any

from dictrack import _values
from dictrack._values import a_type
from dictrack.events import TrackerEvent


@dataclasses.dataclass(frozen=True)
class Added:
    """The result of adding trackers, by name.

    Attributes
    ----------
    added : list of str
        New trackers.
    existing : list of str
        Trackers that existed with an equal definition.
    completed : list of str
        Trackers that have completed and were left alone. Only from ``ensure_trackers``.
    updated, removed : list of str
        Trackers whose definition was replaced, and those that are not in the list. Only from
        ``ensure_trackers(update=True)``.
    events : list of TrackerEvent
        The ADDED events.
    """

    added: list[str]
    existing: list[str]
    completed: list[str]
    updated: list[str]
    removed: list[str]
    events: list[TrackerEvent]


@dataclasses.dataclass(frozen=True)
class Explanation:
    """What a document would do to one tracker, and why.

    Attributes
    ----------
    name : str
        The tracker.
    verdict : str
        ``counted``, ``no_match``, ``skipped``, ``limited``, ``expired`` or ``failed``.
    why : str
        The reason, for people.
    reason : str, optional
        If the document is skipped, why in one word: ``no_amount`` or ``out_of_range``.
    amount : int, float or Decimal, optional
        By how much the progress would change, if the document counts.
    key : str, optional
        The path used by the condition that does not hold.
    seen : Any
        The value there.
    other_key : str, optional
        The path of the value to compare with, if that is in the document as well.
    other_seen : Any
        The value there.
    limiter : int, optional
        The position of the limiter that refuses the document.
    until : int or float, optional
        When documents are admitted again, in seconds since 1970 UTC.
    """

    name: str
    verdict: str
    why: str
    amount: Any = None
    key: str | None = None
    seen: Any = None
    other_key: str | None = None
    other_seen: Any = None
    limiter: int | None = None
    until: float | None = None
    reason: str | None = None

    def __str__(self) -> str:
        return f"{self.name}: {self.verdict}: {self.why}"


# How the engine describes a value that equals nothing: NaN, and what JSON cannot represent.
_NAN = "the value is NaN"
_NO_AMOUNT = re.compile(r"the value at (?P<key>.*) is not finite", re.DOTALL)


def typed(data: Any, found: dict[str, Any]) -> dict[str, Any]:
    """Adds to an explanation the type of a value that JSON cannot represent."""
    amount = _NO_AMOUNT.fullmatch(found["why"]) if found["verdict"] == "skipped" else None
    is_nan = isinstance(found.get("seen"), float) and found["seen"] != found["seen"]
    key = amount["key"] if amount else found.get("key") if is_nan else None
    if key is None:
        return found
    try:
        value = _values.at(data, key)
    except Exception:
        # A mapping of the program's own class. The engine could read it before.
        return found
    if value is None or isinstance(value, (numbers.Real, decimal.Decimal)):
        return found
    kind = "a string with a lone surrogate" if isinstance(value, str) else a_type(value)
    hint = "; use its value" if isinstance(value, enum.Enum) else ""
    why = found["why"]
    if amount:
        return found | {"why": why.removesuffix("not finite") + f"{kind}, which is not a number{hint}"}
    return found | {"seen": value, "why": why.replace(f"{_NAN}, which", f"the value is {kind}, which") + hint}
