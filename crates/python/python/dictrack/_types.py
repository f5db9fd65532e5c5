"""The types of arguments."""

from __future__ import annotations

import datetime
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, SupportsFloat, TypeAlias, TypedDict

if TYPE_CHECKING:
    from dictrack.conditions.base import BaseCondition
    from dictrack.trackers.base import BaseTracker

__all__ = ["Document", "Moment", "Number", "Target", "Template", "Templates", "Trackers"]

#: An int, a float, a Decimal, or a scalar of numpy.
Number: TypeAlias = SupportsFloat
Target: TypeAlias = Number | Sequence[Number] | None
#: A time: seconds since 1970 UTC, a datetime, a date, or RFC 3339 text.
Moment: TypeAlias = Number | datetime.date | str


class HasDataclassFields(Protocol):
    """A dataclass."""

    __dataclass_fields__: ClassVar[dict[str, Any]]


class HasAttrsFields(Protocol):
    """A class of attrs."""

    __attrs_attrs__: ClassVar[Any]


class HasModelDump(Protocol):
    """A model of pydantic."""

    def model_dump(self) -> dict[str, Any]:
        """The model as a dict."""


class HasNamedFields(Protocol):
    """A named tuple."""

    @property
    def _fields(self) -> tuple[str, ...]: ...
    def _asdict(self) -> dict[str, Any]: ...


class HasKeys(Protocol):
    """A row or a Series."""

    def keys(self) -> Iterable[Any]:
        """The names of the fields."""

    def __getitem__(self, name: Any, /) -> Any: ...


#: What can be tracked.
Document: TypeAlias = Mapping[str, Any] | HasDataclassFields | HasAttrsFields | HasModelDump | HasNamedFields | HasKeys


#: Trackers for the groups that satisfy conditions. These read the attributes of the group, and its id at the key ``group``.
Template = TypedDict(
    "Template",
    {
        "name": str,
        "for": Iterable["BaseCondition | Mapping[str, Any]"],
        "trackers": Iterable["BaseTracker | Mapping[str, Any]"],
    },
)


class Templates(TypedDict, total=False):
    """Trackers for all groups, and for some."""

    trackers: Iterable[BaseTracker | Mapping[str, Any]]
    templates: Iterable[Template]


#: The trackers that groups have without being given them: for all groups, for all and for some, or a file with them.
Trackers: TypeAlias = "Iterable[BaseTracker | Mapping[str, Any]] | Templates | str | os.PathLike[str]"


class TimeKeywords(TypedDict, total=False):
    """The time of a call, as in dictrack 2.1.5."""

    now_ts: Moment


class Limits(TypedDict, total=False):
    """The limits of a manager."""

    completed_kept: int
    id_window: int | float | datetime.timedelta
    ids_at_least: int
    ids_at_most: int


class Options(Limits, total=False):
    """The options of a manager."""

    durability: str | None
    clock: Any
    zone: Any
    ahead: int | float | datetime.timedelta | None
    trackers: Trackers | None
