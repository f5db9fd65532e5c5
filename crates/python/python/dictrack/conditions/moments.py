"""Conditions on the timestamp at a key."""

from __future__ import annotations

from dictrack.conditions.keys import _KeyValue

__all__ = ["KeyValueBefore", "KeyValueSince"]


class KeyValueBefore(_KeyValue):
    """The timestamp at the key is before another one.

    In documents, a timestamp is a number of seconds since 1970, an RFC 3339 string, a plain date or a ``datetime``.

    Parameters
    ----------
    key : str
        A dotted path.
    value : float, str, datetime or date
        The other timestamp.

    Raises
    ------
    DefinitionError
        If ``value`` is not a timestamp.
    """

    _word = "before"


class KeyValueSince(KeyValueBefore):
    """The timestamp at the key is equal to another one, or later."""

    _word = "since"
