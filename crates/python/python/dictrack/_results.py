"""What calls return."""

from __future__ import annotations

import dataclasses
import decimal
import numbers
import re
from typing import TYPE_CHECKING, Any, NamedTuple

from dictrack import _values
from dictrack._dictrack import TableEvents
from dictrack._json import JSONReady, ready, ready_list
from dictrack._values import a_type
from dictrack.events import TrackerEvent

if TYPE_CHECKING:
    from dictrack.trackers.base import BaseTracker


class _Result(JSONReady):
    """A dataclass that a call returns. As JSON, it has no fields that do not apply."""

    def to_dict(self) -> dict[str, Any]:
        """The result as JSON. ``dict(...)`` of it is the same."""
        return self._json()

    def _json(self) -> dict[str, Any]:
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}  # type: ignore[arg-type]
        kept = {name: value for name, value in fields.items() if self._has(name, value)}
        return {name: ready_list(value) if isinstance(value, list) else ready(value) for name, value in kept.items()}

    def _has(self, name: str, value: Any) -> bool:
        """Whether the JSON has a field with this value."""
        return value is not None


@dataclasses.dataclass(frozen=True)
class Added(_Result):
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
class Place(_Result):
    """How far a group is with a tracker.

    Attributes
    ----------
    group_id : str
        The group.
    tracker : BaseTracker
        The tracker, as it was.
    status : str
        ``active``, ``limited``, ``resting`` or ``completed``.
    position : str
        The place in the order: pass it to ``find`` as ``after`` for the places that follow.
    """

    group_id: str
    tracker: BaseTracker
    status: str
    position: str

    @property
    def progress(self) -> Any:
        """The progress of the tracker."""
        return self.tracker.progress

    def _json(self) -> dict[str, Any]:
        return {**super()._json(), "tracker": self.tracker.to_dict(state=True)}


@dataclasses.dataclass(frozen=True)
class _Counts(_Result):
    """How many documents did what."""

    documents: int = 0
    counted: int = 0
    refused: int = 0
    skipped: int = 0
    late: int = 0
    failed: int = 0
    duplicates: int = 0


@dataclasses.dataclass(frozen=True)
class Metrics(_Counts):
    """What a manager has done since it was opened.

    Attributes
    ----------
    documents : int
        Documents that were applied.
    counted, refused, skipped, late, failed, duplicates : int
        Those that counted for one or more trackers, that a limiter refused, that were skipped, those of ``skipped`` whose period has
        ended for good, those for which custom code failed, and those whose id was known.
    events : int
        Events that they caused.
    commits, committed_groups : int
        Commits that the store has kept, and the changed groups in them.
    commit_seconds : float
        How long the store took for them in total.
    retries : int
        How often the store had to be tried again because it could not be reached.
    loads : int
        Groups that were read from the store.
    errors : dict
        How many calls failed, by the ``code`` of the error.
    """

    events: int = 0
    commits: int = 0
    committed_groups: int = 0
    commit_seconds: float = 0.0
    retries: int = 0
    loads: int = 0
    errors: dict[str, int] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Backfilled(_Counts):
    """What old documents did to new trackers: the counts of ``Metrics``, for these documents and trackers.

    Attributes
    ----------
    duplicates : int
        Documents that an earlier backfill had counted.
    completed : int
        How often a tracker completed.
    errors : dict
        The exceptions of the first 100 documents that could not be applied, by position.
    """

    completed: int = 0
    errors: dict[int, Exception] = dataclasses.field(default_factory=dict)

    def _json(self) -> dict[str, Any]:
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {**fields, "errors": {str(at): str(error) for at, error in self.errors.items()}}


@dataclasses.dataclass(frozen=True)
class TableOutcome:
    """What the rows of a table did.

    Attributes
    ----------
    documents : int
        Rows that were tracked.
    counted : int
        Those that counted for one or more trackers.
    refused : int
        Those that a limiter of one or more trackers refused.
    skipped : int
        Those that one or more trackers skipped: their conditions hold, but nothing was added.
    late : int
        Those of ``skipped`` whose period has ended for good.
    failed : int
        Those for which custom code of one or more trackers failed.
    duplicates : int
        Those whose id was applied before.
    events : TableEvents
        The events in the order of the rows: a table with the Arrow C stream interface, for ``pyarrow.table(events)`` or
        ``polars.from_arrow(events)``. Its columns are ``row`` (from 0), ``event``, ``group``, ``tracker``, ``progress``,
        ``target``, ``stage``, ``times``, ``limiter``, ``occurred_at``, ``period_start`` and ``id``. A progress or target of
        10**20 or more is null.
    """

    documents: int
    counted: int
    refused: int
    skipped: int
    late: int
    failed: int
    duplicates: int
    events: TableEvents


class Period(NamedTuple):
    """A period, in seconds since 1970 UTC: from ``start``, up to but not including ``end``."""

    start: int | float
    end: int | float


@dataclasses.dataclass(frozen=True)
class PeriodRecord(_Result):
    """What a tracker counted in one period.

    Attributes
    ----------
    start, end : int or float
        The period, from ``start`` up to but not including ``end``, in seconds since 1970 UTC.
    progress : int, float or Decimal
        The progress at its end, or so far. Of a ``StreakTracker``, what was counted in the period itself.
    stage : int, optional
        The stage, counted from 1.
    cycle : int, optional
        How many times a looping tracker has completed its targets.
    completed_at : int or float, optional
        When the last target was reached, in seconds since 1970 UTC.
    met : bool, optional
        Of a ``StreakTracker``, whether the period is met; it has no stage, cycle and ``completed_at``.
    """

    start: int | float
    end: int | float
    progress: Any
    stage: int | None = None
    cycle: int | None = None
    completed_at: int | float | None = None
    met: bool | None = None

    def _has(self, name: str, value: Any) -> bool:
        return name not in (("met",) if self.met is None else ("stage", "cycle", "completed_at"))


@dataclasses.dataclass(frozen=True)
class Explanation(_Result):
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
        If the document is skipped, why in one word: ``no_amount``, ``late``, ``resting`` or ``out_of_range``.
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
        When documents are admitted again, in seconds since 1970 UTC; for a resting tracker, when it starts again.
    ended : int or float, optional
        When the period of a document that is late ended.
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
    ended: float | None = None

    def __str__(self) -> str:
        return f"{self.name}: {self.verdict}: {self.why}"


# To the engine, what JSON cannot represent is NaN.
_NO_AMOUNT = re.compile(r"the value at (?P<key>.*) is not finite", re.DOTALL)


def typed(data: Any, found: dict[str, Any]) -> dict[str, Any]:
    """Adds to an explanation the type of a value that JSON cannot represent."""
    why = found["why"]
    amount = _NO_AMOUNT.fullmatch(why) if found["verdict"] == "skipped" else None
    if amount:
        of_amount = _kind(data, amount["key"])
        if of_amount is None:
            return found
        return found | {"why": why.removesuffix("not finite") + f"{of_amount[1]}, which is not a number"}
    for key, field, before, after in (
        ("key", "seen", "the value is ", ", which equals nothing"),
        ("key", "seen", "the values are ", " and "),
        ("other_key", "other_seen", " and ", ""),
    ):
        seen = found.get(field)
        nan = f"{before}NaN{after}"
        if not isinstance(seen, float) or seen == seen or nan not in why:
            continue
        of_value = _kind(data, found[key])
        if of_value is not None:
            value, kind = of_value
            at = why.rindex(nan)
            why = why[:at] + f"{before}{kind}{after}" + why[at + len(nan) :]
            found = found | {field: value}
    return found | {"why": why}


def _kind(data: Any, key: str) -> tuple[Any, str] | None:
    """The value at ``key``, and what it is; None if it is a number after all."""
    try:
        value = _values.at(data, key)
    except Exception:
        # A mapping of the program's own class. The engine could read it before.
        return None
    if value is None or isinstance(value, (numbers.Real, decimal.Decimal)):
        return None
    kind = "a string with a lone surrogate" if isinstance(value, str) else a_type(value)
    return value, kind
