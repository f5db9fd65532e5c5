"""Making values plain: what JSON has, and exact numbers."""

from __future__ import annotations

import datetime
import decimal
import enum
import numbers
import re
import uuid
from collections.abc import Mapping, Sequence, Set
from typing import Any

from dictrack._dictrack import Exact
from dictrack.utils.errors import UnsupportedValueError

__all__ = ["Exact", "a_type", "at", "plain", "shown"]

# As many levels as a JSON document may have.
MAX_DEPTH = 64
# More values than a JSON document of 1 MiB can have.
MAX_VALUES = 2**20
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


def shown(value: Any) -> str:
    """A value for errors: simple ones themselves, of others the type. It runs no code of the program."""
    if value is None or type(value) in (bool, int, float, str):
        # Of a very long int str() is refused.
        text = f"an int of {value.bit_length()} bits" if type(value) is int and abs(value) >= 10**40 else ascii(value)
        return text if len(text) <= 80 else f"{text[:80]}…"
    return a_type(value)


def _refuse(where: str, problem: str) -> UnsupportedValueError:
    error = UnsupportedValueError(f"{where} {problem}")
    error.place = where
    return error


def plain(value: Any, strict: bool = False, where: str = "value") -> Any:
    """The value made of exactly dict, list, str, int, float, bool, None and ``Exact``.

    Mappings become dicts, sequences and sets lists; a ``datetime`` or ``date`` is its seconds since 1970 UTC (UTC where it
    has no zone), a ``timedelta`` its seconds, a ``Decimal`` its exact value, a ``UUID`` its text, a scalar of numpy what it
    holds. Any other value exists and equals nothing; so does a text that is not Unicode (lone surrogates), and keys that
    are no Unicode text are left out. If ``strict``, such a value or key is an ``UnsupportedValueError`` that says where it
    is.
    """
    return _Plain(strict).made(value, where, 0)


class _Plain:
    """One value being made plain."""

    def __init__(self, strict: bool) -> None:
        self.strict = strict
        self.left = MAX_VALUES

    def made(self, value: Any, where: str, depth: int) -> Any:
        self.left -= 1
        if self.left < 0:
            raise ValueError(f"the value has more than {MAX_VALUES:,} values in it; expected at most that")
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, str):
            return self.text(value, where)
        if isinstance(value, int):
            # Not int() and float(), which a subclass may answer.
            return _whole(int.__int__(value))
        if isinstance(value, float):
            return float.__float__(value)
        if isinstance(value, decimal.Decimal):
            return _decimal(value)
        if isinstance(value, Exact):
            return value
        if depth == MAX_DEPTH:
            # 64 steps to it would hide what is said of it.
            raise ValueError(
                f"{where:.60} nests deeper than {MAX_DEPTH} levels; expected at most that, and nothing that contains itself"
            )
        if isinstance(value, Mapping):
            return self.mapping(value, where, depth + 1)
        if isinstance(value, (list, tuple, Set)) or (
            isinstance(value, Sequence) and not isinstance(value, (bytes, bytearray, memoryview))
        ):
            return [self.made(item, f"{where}[{at}]", depth + 1) for at, item in enumerate(value)]
        if isinstance(value, datetime.datetime):
            aware = value if value.tzinfo else value.replace(tzinfo=datetime.timezone.utc)
            return _seconds(aware - EPOCH)
        if isinstance(value, datetime.date):
            return _seconds(datetime.timedelta(days=value.toordinal() - EPOCH.toordinal()))
        if isinstance(value, datetime.timedelta):
            return _seconds(value)
        if isinstance(value, uuid.UUID):
            return str(uuid.UUID(int=value.int))
        return self.foreign(value, where, depth)

    def mapping(self, value: Mapping[Any, Any], where: str, depth: int) -> dict[str, Any]:
        made = {}
        # Not list(), which would make room for as many as __len__ says.
        keys = []
        for key in value:
            keys.append(key)
            if len(keys) > self.left:
                break
        for key in keys:
            if self.strict and not isinstance(key, str):
                raise _refuse(where, f"has a key that is {a_type(key)}; expected str")
            text = self.text(key, f"a key of {where}") if isinstance(key, str) else OPAQUE
            if isinstance(text, str):
                made[text] = self.made(value[key], f"{where}[{shown(text)}]", depth)
        return made

    def text(self, value: str, where: str) -> Any:
        text = str.__str__(value)
        try:
            text.encode()
        except UnicodeEncodeError:
            if self.strict:
                raise _refuse(where, "is not Unicode text: it has a lone surrogate") from None
            return OPAQUE
        return text

    def foreign(self, value: Any, where: str, depth: int) -> Any:
        """What a library other than Python's own made."""
        # The scalars and arrays of numpy, and of what imitates it. Not asked of the object, which may have any attribute.
        if hasattr(type(value), "dtype") and hasattr(type(value), "tolist"):
            kind = getattr(value.dtype, "kind", "")
            if kind == "f" and isinstance(value, numbers.Real):
                # Its own shortest decimal: float32(0.1) is 0.1.
                return float(str(value))
            if kind in ("M", "m"):
                return self.moments(value, where, depth)
            inner = value.tolist()
            if type(inner) is not type(value):
                return self.made(inner, where, depth + 1)
        if isinstance(value, numbers.Integral):
            return _whole(int.__int__(int(value)))
        if self.strict:
            hint = (
                f"; give its value ({type(value).__name__}.{value.name}.value)" if isinstance(value, enum.Enum) else ""
            )
            raise _refuse(where, f"is {a_type(value)}, which JSON cannot hold{hint}")
        return OPAQUE

    def moments(self, value: Any, where: str, depth: int) -> Any:
        """A ``datetime64`` or ``timedelta64`` of numpy, or an array of them."""
        if value.ndim:
            return [self.made(item, f"{where}[{at}]", depth + 1) for at, item in enumerate(value)]
        # Of nanoseconds, and beyond the year 9999, tolist() makes a bare int.
        moment = value.astype(f"{value.dtype.kind}8[us]").tolist()
        return _seconds(moment * MICROSECOND) if isinstance(moment, int) else self.made(moment, where, depth)


def at(value: Any, path: str) -> Any:
    """What is at a dotted path of a document, as the program gave it; ``None`` where nothing is."""
    for segment in re.split(r"(?<!\\)\.", path):
        name = segment.replace("\\.", ".")
        if isinstance(value, Mapping):
            value = value.get(name)
        elif isinstance(value, Sequence) and not isinstance(value, str) and re.fullmatch("-?[0-9]{1,9}", name):
            index = int(name)
            value = value[index] if -len(value) <= index < len(value) else None
        elif name:
            return None
    return value


def _decimal(value: decimal.Decimal) -> Any:
    # Not what a subclass answers. A signaling NaN refuses to become a float.
    if decimal.Decimal.is_finite(value):
        return Exact(decimal.Decimal.__str__(value))
    return OPAQUE if decimal.Decimal.is_nan(value) else decimal.Decimal.__float__(value)


def _whole(value: int) -> Any:
    if -MAX_INT <= value <= MAX_INT:
        return value
    # Not str(): its length is limited.
    return Exact(str(decimal.Decimal(value)))


def _seconds(span: datetime.timedelta) -> Exact:
    return Exact(f"{span // MICROSECOND}e-6")
