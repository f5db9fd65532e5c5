"""Windows of time: periods that limits renew in and trackers start again in, as Python programs give them."""

from __future__ import annotations

import datetime
import re
import zoneinfo
from typing import Any

from dictrack import _values
from dictrack._values import a_type, shown

__all__ = ["instead_of", "length", "start", "times", "zone_name"]

_MOST = datetime.timedelta(days=36_500)
_LENGTH = "a unit such as 'day', a text such as '15 minutes', or a timedelta"
# "100/minute", "100 per 2 hours" and the like, as other libraries write limits.
_HABIT = re.compile(
    r"\s*(\d{1,18})\s*(?:/|per)\s*(\d{0,9})\s*(second|sec|s|minute|min|m|hour|hr|h|day|d|week|w|month|year|y)s?\s*",
    re.IGNORECASE,
)
_UNITS = {"s": "second", "m": "minute", "h": "hour", "d": "day", "w": "week", "y": "year"}
_UNITS |= {"sec": "second", "min": "minute", "hr": "hour"}


def length(name: str, value: Any) -> str | None:
    """The length of a period, as definitions have it."""
    if value is None or isinstance(value, str):
        return _text(name, value)
    if not isinstance(value, datetime.timedelta):
        raise TypeError(f"{name} is {shown(value)}; expected {_LENGTH}")
    # A timedelta of pandas also has nanoseconds.
    if value.microseconds or getattr(value, "nanoseconds", 0) or not datetime.timedelta(0) < value <= _MOST:
        found = f"a timedelta of {value.total_seconds():.17g} seconds"
        raise ValueError(f"{name} is {found}; expected whole seconds, from 1 second to 36,500 days")
    seconds = value.days * 86_400 + value.seconds
    return f"{seconds} second{'' if seconds == 1 else 's'}"


def start(value: Any) -> str | None:
    """A boundary of a window, as definitions have it."""
    expected = "'add', a date, a datetime without a time zone, or a text such as '2026-01-07T04:00'"
    if value is None or isinstance(value, str):
        return _text("from_", value)
    if isinstance(value, datetime.datetime):
        if value.tzinfo is not None:
            raise ValueError(f"from_ is a datetime with a time zone; expected {expected}; pass the time zone as zone")
        return datetime.datetime.isoformat(value)
    if isinstance(value, datetime.date):
        return datetime.date.isoformat(value)
    raise TypeError(f"from_ is {shown(value)}; expected {expected}")


def zone_name(value: Any) -> str | None:
    """A time zone, as definitions have it."""
    if value is None or isinstance(value, str):
        return _text("zone", value)
    expected = "an IANA name such as 'Europe/Berlin', or a zoneinfo.ZoneInfo"
    if isinstance(value, zoneinfo.ZoneInfo):
        if value.key is None:
            raise ValueError(f"zone is a ZoneInfo without a key; expected {expected} with one")
        return _text("zone", value.key)
    hint = "; for UTC, pass 'UTC'" if value is datetime.timezone.utc else ""
    raise TypeError(f"zone is {a_type(value)}; expected {expected}{hint}")


def times(every: Any, from_: Any, zone: Any, keep: Any) -> dict[str, Any]:
    """The fields of a definition that say when a tracker starts again."""
    if keep is not None and (isinstance(keep, bool) or not isinstance(keep, int)):
        raise TypeError(f"keep is {a_type(keep)}; expected int")
    fields = {"every": length("every", every), "from": start(from_), "zone": zone_name(zone), "keep": keep}
    return {name: value for name, value in fields.items() if value is not None}


def _text(name: str, value: str | None) -> str | None:
    return None if value is None else _values.plain(value, strict=True, where=name)


def instead_of(value: Any, form: str = 'CountLimiter({count}, per="{per}")') -> str:
    """What to write instead of a limit as a text, such as "100/minute", for the end of an error; empty for other values."""
    found = _HABIT.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        return ""
    count, times, unit = int(found[1]), int(found[2] or 1), found[3].lower()
    unit = _UNITS.get(unit, unit)
    return f"; write {form.format(count=count, per=unit if times == 1 else f'{times} {unit}s')}"
