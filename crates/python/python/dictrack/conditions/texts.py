"""Conditions on the text at a key."""

from __future__ import annotations

from dictrack._values import a_type
from dictrack.conditions.keys import _KeyValue, _KeyValueOfCase

__all__ = ["KeyValueEndsWith", "KeyValueMatches", "KeyValueStartsWith"]


def _text(value: str) -> str:
    if not isinstance(value, str):
        raise TypeError(f"value is {a_type(value)}; expected str")
    return value


class KeyValueStartsWith(_KeyValueOfCase):
    """The text at the key starts with a text.

    Parameters
    ----------
    key : str
        A dotted path.
    value : str
        The beginning.
    case_sensitive : bool
        If false, texts are compared by full Unicode case folding.
    """

    _word = "starts_with"

    def __init__(self, key: str, value: str, case_sensitive: bool = True) -> None:
        super().__init__(key, _text(value), case_sensitive)


class KeyValueEndsWith(KeyValueStartsWith):
    """The text at the key ends with a text."""

    _word = "ends_with"


class KeyValueMatches(_KeyValue):
    """A regular expression matches anywhere in the text at the key.

    Its syntax is that of the Rust crate ``regex``: Unicode, without look-around and back-references. A search takes time
    linear in the text.

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
