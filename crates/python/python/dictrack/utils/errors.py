"""The exceptions of dictrack: one class for each thing that a caller can do about it."""

from __future__ import annotations

from typing import Any

__all__ = [
    "ClosedError",
    "ConflictingNameError",
    "CorruptError",
    "CustomCodeError",
    "DataStoreOperationError",
    "DefinitionError",
    "DictrackError",
    "DictrackWarning",
    "ForkError",
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
    "TakenOverError",
    "TrackerAlreadyCompletedError",
    "TrackerAlreadyRemovedError",
    "TrackerLookupError",
    "UnavailableError",
    "UnconfirmedError",
    "UnsupportedValueError",
]


class DictrackError(Exception):
    """What every error of dictrack is.

    The facts of an error are attributes: ``group_id``, ``name``, ``backend``, ``store``, ``host``, ``pid``, ``place``,
    where they apply; else they are ``None``.
    """

    group_id: str | None = None
    name: str | None = None
    backend: str | None = None
    store: str | None = None
    host: str | None = None
    pid: str | None = None
    place: str | None = None

    # Of a KeyError the text would be in quotes.
    __str__ = Exception.__str__


class DictrackWarning(UserWarning):
    """A definition is valid, and says something that often surprises its author."""


class DefinitionError(DictrackError, ValueError):
    """A definition is refused; the text names the field and what was expected there."""


class UnsupportedValueError(DictrackError, TypeError):
    """A definition or a call has a value that JSON cannot hold; ``place`` says where, the text also what it is."""


class ConflictingNameError(DictrackError, KeyError):
    """An active tracker of that name has another definition; nothing was changed."""


class RepeatedNameError(DictrackError, ValueError):
    """One call names a tracker twice; nothing was changed."""


class GroupIdAlreadySetError(DictrackError, ValueError):
    """The tracker object belongs to another group."""


class GroupIdDuplicateSetError(DictrackError, ValueError):
    """The tracker object has this group already."""


class TrackerLookupError(DictrackError, KeyError):
    """There is no such tracker in the group."""


class GroupIdLookupError(DictrackError, KeyError):
    """There is no such group."""


class NameLookupError(DictrackError, KeyError):
    """There is no tracker of that name."""


class TrackerAlreadyRemovedError(DictrackError, ValueError):
    """The tracker was removed and cannot be changed."""


class TrackerAlreadyCompletedError(DictrackError, ValueError):
    """The tracker has completed and cannot be changed."""


class CustomCodeError(DictrackError):
    """A condition, measure or limiter of the program failed, or is not known."""


class ReentrantError(DictrackError):
    """A custom condition, measure or limiter called the manager, which is busy with its group."""


class UnconfirmedError(DictrackError):
    """``flush`` was not confirmed; nothing was emptied."""


class ClosedError(DictrackError):
    """The manager was closed."""


class ForkError(DictrackError):
    """The manager was made before a fork: make one in each process."""


class DataStoreOperationError(DictrackError, OSError):
    """A cache or a store failed."""


class RedisOperationError(DataStoreOperationError):
    """Redis failed."""


class UnavailableError(DataStoreOperationError):
    """A cache or a store cannot be reached.

    What was acknowledged is written when it is back. Whether this call took effect is not known: a document with an id
    can be sent again.
    """


class StoppedError(DataStoreOperationError):
    """The store failed earlier. What was acknowledged is kept; nothing is acknowledged any more: reopen it."""


class LostError(DataStoreOperationError):
    """The cache lost the group before the store had this change; it did not count: call again."""


class TakenOverError(DataStoreOperationError):
    """Another process took the store over; this one writes nothing more."""


class OwnedError(DataStoreOperationError):
    """Another manager owns the store: one writer a store, unless they share a Redis cache."""


class NewerVersionError(DataStoreOperationError):
    """A newer dictrack wrote the store."""


class OlderVersionError(DataStoreOperationError):
    """An older dictrack wrote the store; the next program that opens it to write migrates it."""


class CorruptError(DataStoreOperationError):
    """Something in the store is not what dictrack writes; it is left as it is."""


def error_of(name: str, message: str, facts: dict[str, Any]) -> DictrackError:
    """The exception of the class ``name``."""
    error: DictrackError = globals()[name](message)
    for fact, value in facts.items():
        setattr(error, fact, value)
    return error
