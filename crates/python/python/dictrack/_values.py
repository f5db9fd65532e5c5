"""Converts values to plain ones: JSON types and exact numbers."""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import numbers
import re
import uuid
import weakref
from collections.abc import Iterable, Mapping, Sequence, Set
from typing import Any

from dictrack._dictrack import Exact
from dictrack.utils.errors import UnsupportedValueError

__all__ = ["Exact", "a_type", "at", "plain", "shown"]

# The same limit as for JSON documents.
MAX_DEPTH = 64
# More values than a JSON document of 1 MiB can have.
MAX_VALUES = 2**20
# A larger int is passed on as its digits.
MAX_INT = 2**63 - 1
# A value that exists but equals nothing in any condition.
OPAQUE = float("nan")
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
MICROSECOND = datetime.timedelta(microseconds=1)


def a_type(value: Any) -> str:
    """The type of a value with its article, for errors: ``an int``, ``a str``."""
    name = type(value).__qualname__
    return f"{'an' if name[:1].lower() in tuple('aeiou') else 'a'} {name}"


def shown(value: Any) -> str:
    """A value for error messages: simple values as they are, others by type. Runs no code of the program."""
    if value is None or type(value) in (bool, int, float, str):
        # str() rejects a very long int.
        text = f"an int of {value.bit_length()} bits" if type(value) is int and abs(value) >= 10**40 else ascii(value)
        return text if len(text) <= 80 else f"{text[:80]}…"
    return a_type(value)


def _refuse(where: str, problem: str) -> UnsupportedValueError:
    error = UnsupportedValueError(f"{where} {problem}")
    error.place = where
    return error


def plain(value: Any, strict: bool = False, where: str = "value") -> Any:
    """The value, converted to exactly dict, list, str, int, float, bool, None and ``Exact``.

    Mappings and objects with fields (see ``fields_of``) become dicts; sequences and sets become lists. A ``datetime`` or ``date``
    becomes seconds since 1970 UTC (UTC if it has no time zone), a ``timedelta`` its seconds, a ``Decimal`` its exact value, a
    ``UUID`` its string form, a member of an ``Enum`` its value, a numpy scalar its value. Any other value, and a string that is
    not valid Unicode (lone surrogates), becomes a value that exists but equals nothing; a warning names its type once. Keys that
    are not Unicode strings are ignored. If ``strict``, such a value or key raises ``UnsupportedValueError`` with its place.
    """
    return _Plain(strict).made(value, where, 0)


class _Plain:
    """The conversion of one value."""

    def __init__(self, strict: bool) -> None:
        self.strict = strict
        self.left = MAX_VALUES

    def made(self, value: Any, where: str, depth: int) -> Any:
        self.left -= 1
        if self.left < 0:
            raise ValueError(f"the value contains more than {MAX_VALUES:,} values, which is the maximum")
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, str):
            return self.text(value, where)
        if isinstance(value, int):
            # Not int() and float(), which a subclass may override.
            return _whole(int.__int__(value))
        if isinstance(value, float):
            return float.__float__(value)
        if isinstance(value, decimal.Decimal):
            return _decimal(value)
        if isinstance(value, Exact):
            return value
        if depth == MAX_DEPTH:
            # A path of 64 steps would hide the message.
            raise ValueError(
                f"{where:.60} is nested deeper than {MAX_DEPTH} levels, which is the maximum; does it contain itself?"
            )
        if isinstance(value, Mapping):
            return self.mapping(value, where, depth + 1)
        if type(value) in (list, tuple):
            return self.items(value, where, depth + 1)
        if isinstance(value, datetime.date) and value != value:
            # The missing moment of pandas.
            return self.foreign(value, where, depth)
        if isinstance(value, datetime.datetime):
            aware = value if value.tzinfo else value.replace(tzinfo=datetime.timezone.utc)
            return _seconds(aware - EPOCH)
        if isinstance(value, datetime.date):
            return _seconds(datetime.timedelta(days=value.toordinal() - EPOCH.toordinal()))
        if isinstance(value, datetime.timedelta):
            return _seconds(value)
        if isinstance(value, uuid.UUID):
            return str(uuid.UUID(int=value.int))
        if isinstance(value, enum.Enum):
            return self.made(value.value, where, depth + 1)
        fields = fields_of(value)
        if fields is not None:
            return self.mapping(fields, where, depth + 1)
        if isinstance(value, (list, tuple, Set)) or (
            isinstance(value, Sequence) and not isinstance(value, (bytes, bytearray, memoryview))
        ):
            return self.items(value, where, depth + 1)
        return self.foreign(value, where, depth)

    def items(self, values: Iterable[Any], where: str, depth: int) -> list[Any]:
        return [self.made(item, f"{where}[{at}]", depth) for at, item in enumerate(values)]

    def mapping(self, value: Mapping[Any, Any], where: str, depth: int) -> dict[str, Any]:
        made = {}
        # Not list(), which would allocate as much as __len__ claims.
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
                raise _refuse(where, "is not valid Unicode: it has a lone surrogate") from None
            return OPAQUE
        return text

    def foreign(self, value: Any, where: str, depth: int) -> Any:
        """A value of a type that is not from the standard library."""
        cls = type(value)
        # Scalars and arrays of numpy and compatible libraries. Checked on the class, since the object may have any attribute.
        if hasattr(cls, "dtype") and hasattr(cls, "to_list"):
            # A Series: of pandas or polars.
            return self.made(value.to_list(), where, depth + 1)
        if hasattr(cls, "dtype") and hasattr(cls, "tolist"):
            kind = getattr(value.dtype, "kind", "")
            if kind == "f" and isinstance(value, numbers.Real):
                # The shortest decimal for its own precision: float32(0.1) is 0.1.
                return float(str(value))
            if kind in ("M", "m"):
                return self.moments(value, where, depth)
            inner = value.tolist()
            if type(inner) is not type(value):
                return self.made(inner, where, depth + 1)
        if isinstance(value, numbers.Integral):
            return _whole(int.__int__(int(value)))
        if self.strict:
            raise _refuse(where, f"is {a_type(value)}, which JSON cannot represent")
        _warn_of(value)
        return OPAQUE

    def moments(self, value: Any, where: str, depth: int) -> Any:
        """A numpy ``datetime64`` or ``timedelta64``, or an array of them."""
        if value.ndim:
            return [self.made(item, f"{where}[{at}]", depth + 1) for at, item in enumerate(value)]
        # For nanoseconds, and beyond the year 9999, tolist() returns a plain int.
        moment = value.astype(f"{value.dtype.kind}8[us]").tolist()
        return _seconds(moment * MICROSECOND) if isinstance(moment, int) else self.made(moment, where, depth)


def fields_of(value: Any) -> Mapping[Any, Any] | None:
    """The fields of a mapping, dataclass, attrs object, pydantic model, named tuple, row with keys or labelled Series, by name;
    ``None`` for any other value.

    Kinds are told by the class, since an object may have any attribute, and no library needs to be there.
    """
    if isinstance(value, Mapping):
        return value
    cls = type(value)
    if hasattr(cls, "model_dump") and hasattr(cls, "__pydantic_serializer__"):
        dumped = value.model_dump()
        return dumped if isinstance(dumped, Mapping) else None
    if hasattr(cls, "__dataclass_fields__"):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if hasattr(cls, "__attrs_attrs__"):
        return {field.name: getattr(value, field.name) for field in cls.__attrs_attrs__}
    if isinstance(value, tuple):
        names = getattr(cls, "_fields", None)
        return dict(zip(names, value)) if isinstance(names, tuple) else None
    if not hasattr(cls, "keys") or not hasattr(cls, "__getitem__"):
        return None
    if hasattr(cls, "dtype"):
        # A Series of pandas. Without names, it is a list.
        labels = list(value.keys())
        return dict(zip(labels, value.to_list())) if labels and all(isinstance(one, str) for one in labels) else None
    return {key: value[key] for key in value.keys()}


_warned: weakref.WeakSet[type] = weakref.WeakSet()


def _warn_of(value: Any) -> None:
    """Warns once about each type whose values equal nothing."""
    cls = type(value)
    if cls in _warned:
        return
    _warned.add(cls)
    from dictrack import _warnings

    name = f"{cls.__module__}.{cls.__qualname__}".removeprefix("builtins.")
    _warnings.warn(
        [
            f"a document has a value of type {name}, which JSON cannot represent: it exists, but equals nothing in conditions"
        ]
    )


def at(value: Any, path: str) -> Any:
    """The value at a dotted path of a document, as the program passed it; ``None`` if there is none."""
    for segment in re.split(r"(?<!\\)\.", path):
        name = segment.replace("\\.", ".")
        fields = fields_of(value)
        if fields is not None:
            value = fields.get(name)
        elif isinstance(value, Sequence) and not isinstance(value, str) and re.fullmatch("-?[0-9]{1,9}", name):
            index = int(name)
            value = value[index] if -len(value) <= index < len(value) else None
        elif name:
            return None
    return value


def _decimal(value: decimal.Decimal) -> Any:
    # Not the methods of a subclass. A signaling NaN cannot be converted to a float.
    if decimal.Decimal.is_finite(value):
        return Exact(decimal.Decimal.__str__(value))
    return OPAQUE if decimal.Decimal.is_nan(value) else decimal.Decimal.__float__(value)


def _whole(value: int) -> Any:
    if -MAX_INT <= value <= MAX_INT:
        return value
    # Not str(), which limits the length.
    return Exact(str(decimal.Decimal(value)))


def _seconds(span: datetime.timedelta) -> Exact:
    return Exact(f"{span // MICROSECOND}e-6")
