"""Conditions on the string at a key."""

from __future__ import annotations

from dictrack._values import a_type
from dictrack.conditions.keys import _KeyValue, _KeyValueOfCase

__all__ = ["KeyValueEndsWith", "KeyValueMatches", "KeyValueStartsWith"]


def _text(value: str) -> str:
    if not isinstance(value, str):
        raise TypeError(f"value is {a_type(value)}; expected str")
    return value


class KeyValueStartsWith(_KeyValueOfCase):
    """The string at the key starts with another string.

    Parameters
    ----------
    key : str
        A dotted path.
    value : str
        The prefix.
    case_sensitive : bool
        If false, strings are compared with full Unicode case folding.
    """

    _word = "starts_with"

    def __init__(self, key: str, value: str, case_sensitive: bool = True) -> None:
        super().__init__(key, _text(value), case_sensitive)


class KeyValueEndsWith(KeyValueStartsWith):
    """The string at the key ends with another string."""

    _word = "ends_with"


class KeyValueMatches(_KeyValue):
    """A regular expression matches anywhere in the string at the key.

    It uses the syntax of the Rust crate ``regex``: Unicode, without look-around or back-references. A search takes time
    linear in the length of the string.

    Parameters
    ----------
    key : str
        A dotted path.
    value : str
        The regular expression; ``^`` and ``$`` anchor it, ``(?i)`` ignores case.

    Raises
    ------
    DefinitionError
        If ``value`` is not a regular expression or compiles to more than 1 MiB.
    """

    _word = "matches"

    def __init__(self, key: str, value: str) -> None:
        super().__init__(key, _text(value))
