"""Conditions on the moment at a key."""

from __future__ import annotations

from dictrack.conditions.keys import _KeyValue

__all__ = ["KeyValueBefore", "KeyValueSince"]


class KeyValueBefore(_KeyValue):
    """The moment at the key is before another one.

    In documents a moment is a number of seconds since 1970, an RFC 3339 text, a plain date or a ``datetime``.

    Parameters
    ----------
    key : str
        A dotted path.
    value : float, str, datetime or date
        The other moment.

    Raises
    ------
    DefinitionError
        If ``value`` is not a moment.
    """

    _word = "before"


class KeyValueSince(KeyValueBefore):
    """The moment at the key is another one, or a later one."""

    _word = "since"
