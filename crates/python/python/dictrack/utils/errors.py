"""The exceptions of dictrack, one class for each way in which a caller can react."""

from __future__ import annotations

from typing import Any

from dictrack import _dictrack

__all__ = [
    "AheadError",
    "AttributesError",
    "ClosedError",
    "ConflictingNameError",
    "CorruptError",
    "CustomCodeError",
    "DataStoreOperationError",
    "DefinitionError",
    "DictrackError",
    "DictrackWarning",
    "ForkError",
    "FromTemplateError",
    "GenerationsExhaustedError",
    "GroupIdAlreadySetError",
    "GroupIdDuplicateSetError",
    "GroupIdLookupError",
    "LostError",
    "NameLookupError",
    "NewerVersionError",
    "OlderVersionError",
    "OwnedError",
    "RedisOperationError",
    "ReentrantError",
    "RepeatedNameError",
    "StoppedError",
    "TableError",
    "TakenOverError",
    "TrackerAlreadyCompletedError",
    "TrackerAlreadyRemovedError",
    "TrackerLookupError",
    "UnavailableError",
    "UnconfirmedError",
    "UnfinishedError",
    "UnsupportedValueError",
]


class DictrackError(Exception):
    """The base class of all errors of dictrack.

    ``code`` is a short text that never changes, such as ``conflicting_name``, and ``advice`` says what a caller can do. The
    details of an error are attributes, too: ``group_id``, ``name``, ``backend``, ``store``, ``host``, ``pid``, ``place``, ``row``
    and ``column``. Those that do not apply are ``None``.
    """

    code: str = "error"
    advice: str | None = None

    group_id: str | None = None
    name: str | None = None
    backend: str | None = None
    store: str | None = None
    host: str | None = None
    pid: str | None = None
    place: str | None = None
    row: int | None = None
    column: str | None = None

    # KeyError would put the message in quotes.
    __str__ = Exception.__str__

    def to_dict(self) -> dict[str, Any]:
        """The error as JSON: ``code``, ``message`` and, where they apply, ``advice`` and the ``group``."""
        made = {"code": self.code, "message": str(self), "advice": self.advice, "group": self.group_id}
        return {name: value for name, value in made.items() if value is not None}


class DictrackWarning(UserWarning):
    """A definition is valid but often not what its author meant, or documents have values of a type that equals nothing."""


class DefinitionError(DictrackError, ValueError):
    """A definition is invalid. The message names the field and what was expected."""


class UnsupportedValueError(DictrackError, TypeError):
    """A definition or a call has a value that JSON cannot represent. ``place`` tells where; the message adds the type."""

    code = "unsupported_value"


class TableError(DictrackError, ValueError):
    """A row of a table has no usable group, time or id. ``row`` and ``column`` tell where; the rows before it counted."""

    code = "table"


class ConflictingNameError(DictrackError, KeyError):
    """An active tracker of that name has a different definition. Nothing was changed."""


class FromTemplateError(DictrackError, ValueError):
    """A tracker comes from a template, so that only the template can change it."""


class RepeatedNameError(DictrackError, ValueError):
    """One call names a tracker twice. Nothing was changed."""


class GenerationsExhaustedError(DictrackError):
    """The group has had 2**32 - 1 adds of trackers."""


class GroupIdAlreadySetError(DictrackError, ValueError):
    """The tracker object belongs to another group."""

    code = "group_id_already_set"


class GroupIdDuplicateSetError(DictrackError, ValueError):
    """The tracker object already belongs to this group."""

    code = "group_id_duplicate_set"


class TrackerLookupError(DictrackError, KeyError):
    """There is no such tracker in the group."""

    code = "tracker_lookup"


class GroupIdLookupError(DictrackError, KeyError):
    """There is no such group."""

    code = "group_id_lookup"


class NameLookupError(DictrackError, KeyError):
    """There is no tracker of that name."""

    code = "name_lookup"


class TrackerAlreadyRemovedError(DictrackError, ValueError):
    """The tracker was removed and cannot be changed."""

    code = "tracker_already_removed"


class TrackerAlreadyCompletedError(DictrackError, ValueError):
    """The tracker has completed and cannot be changed."""

    code = "tracker_already_completed"


class CustomCodeError(DictrackError):
    """A custom condition, measure or limiter failed, or is not registered."""


class AttributesError(DictrackError, ValueError):
    """The attributes of a group are invalid. Nothing has changed."""


class AheadError(DictrackError, ValueError):
    """A document is further ahead of the clock than the manager allows. It did not count."""


class ReentrantError(DictrackError):
    """A custom condition, measure or limiter called the manager while the manager was using its group."""


class UnconfirmedError(DictrackError):
    """``flush`` was not confirmed. Nothing was deleted."""


class ClosedError(DictrackError):
    """The manager was closed."""


class ForkError(DictrackError):
    """The manager was opened before a fork. Open one in each process."""

    code = "fork"


class DataStoreOperationError(DictrackError, OSError):
    """A cache or a store failed."""


class RedisOperationError(DataStoreOperationError):
    """Redis failed."""


class UnavailableError(DataStoreOperationError):
    """A cache or a store is unreachable.

    What was acknowledged is written when it is back. It is unknown whether this call took effect; if the document has an id,
    send it again.
    """


class StoppedError(DataStoreOperationError):
    """The store failed earlier. What was acknowledged is kept, but nothing more is acknowledged. Reopen the store."""


class LostError(DataStoreOperationError):
    """The cache lost the group before the store had this change. It did not count; call again."""


class TakenOverError(DataStoreOperationError):
    """Another process has taken over the store. This one no longer writes to it."""


class OwnedError(DataStoreOperationError):
    """Another manager owns the store. A store has one writer, unless several share a Redis cache."""


class NewerVersionError(DataStoreOperationError):
    """The store was written by a newer version of dictrack."""


class OlderVersionError(DataStoreOperationError):
    """The store was written by an older version of dictrack. The next program that opens it for writing migrates it."""


class UnfinishedError(DataStoreOperationError):
    """Creating or changing the store was interrupted. The next program that opens it for writing repairs it."""


class CorruptError(DataStoreOperationError):
    """The store contains something that dictrack did not write. It is left as it is."""


# The engine's table of errors says which class is of which kind.
for _code, _class, _advice in _dictrack.error_kinds():
    globals()[_class].code = _code
    globals()[_class].advice = _advice


def error_of(name: str, message: str, facts: dict[str, Any]) -> DictrackError:
    """The exception of the class ``name``."""
    error: DictrackError = globals()[name](message)
    for fact, value in facts.items():
        setattr(error, fact, value)
    return error
