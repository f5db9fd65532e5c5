"""Arguments of calls, checked."""

from __future__ import annotations

import datetime
import numbers
import zoneinfo
from collections.abc import Mapping
from typing import Any

from dictrack import _compat, _dictrack, _values, _windows
from dictrack._values import a_type, shown
from dictrack.events import EVENT_ALL
from dictrack.trackers.base import BaseTracker, all_of

Moment = Any


def _id(what: str, value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{what} is {a_type(value)}; expected str") from None
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{what} is {value!a:.80}, which is not valid Unicode: it has a lone surrogate") from None
    return value


def checked_group(group_id: Any) -> str:
    """The id of a group, checked."""
    return _id("group_id", group_id)


def check_ids(group_id: Any, event_id: Any) -> None:
    """Raises if the ids of a document are invalid."""
    checked_group(group_id)
    if event_id is not None:
        _id("event_id", event_id)


def checked_name(name: Any) -> str:
    """The name of a tracker, checked."""
    if not isinstance(name, str):
        raise TypeError(f"name is {a_type(name)}; expected str")
    return name


def names_of(name: Any, argument: str = "name") -> list[str] | None:
    """One name, several, or all."""
    if name is None:
        return None
    names = [name] if isinstance(name, str) else name
    if not isinstance(names, (list, tuple, set, frozenset)) or not all(isinstance(one, str) for one in names):
        raise TypeError(f"{argument} is {shown(name)}; expected a str, a list of them, or None for all")
    return list(names)


def checked_code(code: Any) -> int:
    """The code of an event, checked."""
    if isinstance(code, bool) or code not in EVENT_ALL:
        raise ValueError(f"code is {shown(code)}; expected one of {', '.join(map(str, EVENT_ALL))}")
    return int(code)


def moment_of(where: str, now: Moment, keywords: Any) -> Moment:
    """The time of a call: ``now``, or ``now_ts`` as in dictrack 2.1.5."""
    legacy = keywords.pop("now_ts", None)
    _compat.unexpected(where, keywords)
    return legacy if now is None else now


def trackers_of(trackers: Any) -> list[BaseTracker]:
    return all_of("trackers", trackers, BaseTracker, "tracker", "trackers")


def definitions_of(trackers: Any) -> list[_dictrack.Definition]:
    """The definitions of trackers that a group must have."""
    return [tracker._definition() for tracker in trackers_of(trackers)]


def checked_attributes(attributes: Any) -> dict[str, Any]:
    """The attributes of a group, as JSON. A zone may be an object."""
    if not isinstance(attributes, Mapping):
        raise TypeError(f"attributes is {a_type(attributes)}; expected a dict")
    made = dict(attributes)
    if isinstance(made.get("zone"), zoneinfo.ZoneInfo):
        made["zone"] = _windows.zone_name(made["zone"])
    plain: dict[str, Any] = _values.plain(made, strict=True, where="attributes")
    return plain


def span_until(moment: Any, now: Any) -> Any:
    """The seconds from ``now`` to a time."""
    moments = [_read(one) if isinstance(one, str) else one for one in (moment, now)]
    exact = _values.plain(moments)
    if not all(isinstance(one, (int, float, _values.Exact)) and not isinstance(one, bool) for one in exact):
        raise TypeError(
            f"expire_at is {shown(moment)}; expected seconds since 1970 UTC, a datetime, a date or an RFC 3339 string"
        )
    seconds = [_seconds(one) for one in moments]
    return max(seconds[0] - seconds[1], 0)


def _read(moment: str) -> Any:
    """The seconds since 1970 for a string, read as in definition files."""
    return _dictrack.Limiter({"start": moment}, 0).view(0)["start"]


def _seconds(moment: Any) -> Any:
    if isinstance(moment, datetime.datetime):
        aware = moment if moment.tzinfo else moment.replace(tzinfo=datetime.timezone.utc)
        return aware.timestamp()
    if isinstance(moment, datetime.date):
        return (moment.toordinal() - _values.EPOCH.toordinal()) * 86_400
    return moment if isinstance(moment, numbers.Real) else float(moment)


_LIMITS = ("completed_kept", "id_window", "ids_at_least", "ids_at_most")


def check_limits(limits: Mapping[str, Any]) -> None:
    """Raises if a limit of a manager is unknown or not a number."""
    _compat.unexpected("TrackingManager", {name: value for name, value in limits.items() if name not in _LIMITS})
    for name in ("completed_kept", "ids_at_least", "ids_at_most"):
        _compat.whole(name, limits.get(name))
