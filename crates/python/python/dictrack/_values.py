"""Making values plain: what JSON has, and exact numbers."""

from __future__ import annotations

import datetime
import decimal
import numbers
import uuid
from collections.abc import Mapping, Sequence, Set
from typing import Any

from dictrack._dictrack import Exact

__all__ = ["Exact", "NotPlain", "a_type", "plain"]

# As many levels as a JSON document may have.
MAX_DEPTH = 64
# An int beyond this is handed over as its digits.
MAX_INT = 2**63 - 1
# A value that no condition can compare with anything: it exists, and equals nothing.
OPAQUE = float("nan")
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
MICROSECOND = datetime.timedelta(microseconds=1)


def a_type(value: Any) -> str:
    """The type of a value with its article, for errors: ``an int``, ``a str``."""
    name = type(value).__qualname__
    return f"{'an' if name[:1].lower() in tuple('aeiou') else 'a'} {name}"


class NotPlain(TypeError):
    """A value that JSON cannot hold."""


def plain(value: Any, strict: bool = False) -> Any:
    """The value made of exactly dict, list, str, int, float, bool, None and ``Exact``.

    Mappings become dicts, sequences and sets lists; a ``datetime`` or ``date`` is its seconds since 1970 UTC (UTC where it
    has no zone), a ``timedelta`` its seconds, a ``Decimal`` its exact value, a ``UUID`` its text, a scalar of numpy what it
    holds. Any other value exists and equals nothing; so does a text that is not Unicode (lone surrogates), and keys that
    are no Unicode text are left out. If ``strict``, such a value or key is a ``TypeError`` that says where it is.
    """
    return _plain(value, strict, "value", 0)


def _plain(value: Any, strict: bool, where: str, depth: int) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _text(value, strict, where)
    if isinstance(value, int):
        # Not int() and float(), which a subclass may answer.
        return _whole(int.__int__(value))
    if isinstance(value, float):
        return float.__float__(value)
    if isinstance(value, decimal.Decimal):
        # A signaling NaN refuses to become a float.
        return Exact(str(value)) if value.is_finite() else OPAQUE if value.is_nan() else float(value)
    if isinstance(value, Exact):
        return value
    if depth == MAX_DEPTH:
        # 64 steps to it would hide what is said of it.
        raise ValueError(
            f"{where:.60} nests deeper than {MAX_DEPTH} levels; expected at most that, and nothing that contains itself"
        )
    if isinstance(value, Mapping):
        return _mapping(value, strict, where, depth + 1)
    if isinstance(value, (list, tuple, Set)) or (
        isinstance(value, Sequence) and not isinstance(value, (bytes, bytearray, memoryview))
    ):
        return [_plain(item, strict, f"{where}[{at}]", depth + 1) for at, item in enumerate(value)]
    if isinstance(value, datetime.datetime):
        aware = value if value.tzinfo else value.replace(tzinfo=datetime.timezone.utc)
        return _seconds(aware - EPOCH)
    if isinstance(value, datetime.date):
        return _seconds(datetime.timedelta(days=value.toordinal() - EPOCH.toordinal()))
    if isinstance(value, datetime.timedelta):
        return _seconds(value)
    if isinstance(value, uuid.UUID):
        return str(value)
    return _foreign(value, strict, where, depth)


def _foreign(value: Any, strict: bool, where: str, depth: int) -> Any:
    """What a library other than Python's own made."""
    # The scalars and arrays of numpy, and of what imitates it. Not asked of the object, which may have any attribute.
    if hasattr(type(value), "dtype") and hasattr(type(value), "tolist"):
        kind = getattr(value.dtype, "kind", "")
        if kind == "f" and isinstance(value, numbers.Real):
            # Its own shortest decimal: float32(0.1) is 0.1.
            return float(str(value))
        if kind in ("M", "m"):
            return _moments(value, strict, where, depth)
        inner = value.tolist()
        if type(inner) is not type(value):
            return _plain(inner, strict, where, depth + 1)
    if isinstance(value, numbers.Integral):
        return _whole(int(value))
    if strict:
        raise NotPlain(f"{where} is {a_type(value)}, which JSON cannot hold")
    return OPAQUE


def _moments(value: Any, strict: bool, where: str, depth: int) -> Any:
    """A ``datetime64`` or ``timedelta64`` of numpy, or an array of them."""
    if value.ndim:
        return [_plain(item, strict, f"{where}[{at}]", depth + 1) for at, item in enumerate(value)]
    # Of nanoseconds, and beyond the year 9999, tolist() makes a bare int.
    moment = value.astype(f"{value.dtype.kind}8[us]").tolist()
    return _seconds(moment * MICROSECOND) if isinstance(moment, int) else _plain(moment, strict, where, depth)


def _text(value: str, strict: bool, where: str) -> Any:
    text = str.__str__(value)
    try:
        text.encode()
    except UnicodeEncodeError:
        if strict:
            raise NotPlain(f"{where} is not Unicode text: it has a lone surrogate") from None
        return OPAQUE
    return text


def _whole(value: int) -> Any:
    if -MAX_INT <= value <= MAX_INT:
        return value
    # Not str(): its length is limited.
    return Exact(str(decimal.Decimal(value)))


def _seconds(span: datetime.timedelta) -> Exact:
    return Exact(f"{span // MICROSECOND}e-6")


def _mapping(value: Mapping[Any, Any], strict: bool, where: str, depth: int) -> dict[str, Any]:
    made = {}
    for key in list(value):
        if strict and not isinstance(key, str):
            raise NotPlain(f"a key of {where} is {a_type(key)}; expected str")
        text = _text(key, strict, f"a key of {where}") if isinstance(key, str) else OPAQUE
        if isinstance(text, str):
            made[text] = _plain(value[key], strict, f"{where}[{text!r}]", depth)
    return made
