"""Results as data frames of pandas or polars."""

from __future__ import annotations

import datetime
import decimal
import importlib
import sys
from collections.abc import Callable, Iterable
from typing import Any, Literal

from dictrack._results import PeriodRecord, Place
from dictrack.events import TrackerEvent
from dictrack.trackers.base import BaseTracker

Library = Literal["pandas", "polars"]

_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)


def _moment(seconds: float | None) -> datetime.datetime | None:
    """Seconds since 1970 as a datetime in UTC; ``None`` outside the years that one can have."""
    try:
        return None if seconds is None else _EPOCH + datetime.timedelta(seconds=float(seconds))
    except OverflowError:
        return None


def _number(value: Any) -> Any:
    """A number that fits the columns of data frames."""
    if isinstance(value, decimal.Decimal) or (isinstance(value, int) and abs(value) >= 2**63):
        return float(value)
    return value


def _of_tracker(tracker: BaseTracker) -> dict[str, Any]:
    limited = tracker.limited and tracker.status == "active"
    return {
        "group": tracker.group_id,
        "tracker": tracker.name,
        "progress": _number(tracker.progress),
        "target": _number(tracker.target),
        "stage": tracker.current_stage,
        "stages": len(tracker.targets),
        "cycle": tracker.cycle,
        "status": "limited" if limited else tracker.status,
        "completed_at": _moment(tracker.completed_at),
    }


def _of_place(place: Place) -> dict[str, Any]:
    return {**_of_tracker(place.tracker), "group": place.group_id, "status": place.status}


def _of_event(event: TrackerEvent) -> dict[str, Any]:
    return {
        "id": event.id,
        "event": event.to_dict().get("event", event.code),
        "group": event.group_id,
        "tracker": event.name,
        "progress": _number(event.progress),
        "target": _number(event.target),
        "stage": event.stage,
        "times": event.times,
        "occurred_at": _moment(event.event_ts),
        "period_start": _moment(event.period_start),
    }


def _of_period(period: PeriodRecord) -> dict[str, Any]:
    return {
        "start": _moment(period.start),
        "end": _moment(period.end),
        "progress": _number(period.progress),
        "stage": period.stage,
        "cycle": period.cycle,
        "met": period.met,
        "completed_at": _moment(period.completed_at),
    }


_ROWS: list[tuple[type[Any], Callable[[Any], dict[str, Any]]]] = [
    (Place, _of_place),
    (BaseTracker, _of_tracker),
    (TrackerEvent, _of_event),
    (PeriodRecord, _of_period),
]
_EXPECTED = "expected trackers, places of find() or top(), events, or periods"


def _row_of(kind: type[Any]) -> Callable[[Any], dict[str, Any]]:
    for cls, row in _ROWS:
        if issubclass(kind, cls):
            return row
    raise TypeError(f"{kind.__name__} has no columns; {_EXPECTED}")


def _library(name: Library | None) -> Any:
    """The library of that name; without one, the one that the program uses, or that is installed."""
    if name not in (None, "pandas", "polars"):
        raise ValueError(f"unknown library {name!r}; expected 'pandas' or 'polars'")
    names = [name] if name is not None else sorted(["pandas", "polars"], key=lambda name: name not in sys.modules)
    for candidate in names:
        try:
            return importlib.import_module(candidate)
        except ImportError:
            continue
    raise ImportError(f"{' and '.join(names)} cannot be imported; install pandas or polars")


def to_frame(results: Iterable[Any], library: Library | None = None) -> Any:
    """Results as a data frame, a row for each.

    Parameters
    ----------
    results : iterable
        All of one kind: trackers, places that ``find`` and ``top`` return, events, or the periods of a tracker.
    library : str, optional
        ``pandas`` or ``polars``. By default the one that the program has imported, or else the one that is installed.

    Returns
    -------
    pandas.DataFrame or polars.DataFrame
        Times are in UTC. Without results, it has no columns.
    """
    module = _library(library)
    results = list(results)
    kinds = {_row_of(type(result)) for result in results}
    if len(kinds) > 1:
        raise TypeError(f"results of several kinds; {_EXPECTED}, all of one kind")
    rows = [row(result) for row in kinds for result in results]
    columns = {name: [row[name] for row in rows] for name in (rows[0] if rows else ())}
    if module.__name__ == "polars":
        return module.DataFrame(columns, strict=False)
    return module.DataFrame(columns)
