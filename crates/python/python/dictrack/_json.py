"""JSON for what the manager returns, in the form that ``docs/json.md`` describes.

Web frameworks and serializers do not know these classes. They try ``dict(...)`` on what they do not know, so the classes have
``keys`` and ``[name]``; pydantic asks them for a schema.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, KeysView
from typing import Any

from dictrack import _dictrack
from dictrack.utils.errors import DictrackError

__all__ = ["JSONReady", "ready", "ready_list"]


class _Serializer:
    """The serializer of a class for pydantic, made when pydantic looks for it."""

    def __get__(self, _: object, cls: Any) -> Any:
        return pydantic_serializer(cls)


class JSONReady:
    """Something that has a form as JSON."""

    __slots__ = ()

    __pydantic_serializer__ = _Serializer()
    # With ``__getitem__`` alone, Python would try to iterate over positions.
    __iter__ = None

    def _json(self) -> dict[str, Any]:
        """The JSON: only dict, list, str, int, float, bool and None."""
        raise NotImplementedError

    def keys(self) -> KeysView[str]:
        """The names of the fields as JSON, so that ``dict(...)`` of this object is its JSON."""
        return self._json().keys()

    def __getitem__(self, name: str, /) -> Any:
        return self._json()[name]

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: Any, _handler: Any) -> Any:
        return pydantic_schema(cls)

    @classmethod
    def __get_pydantic_json_schema__(cls, _schema: Any, _handler: Any) -> Any:
        return pydantic_json_schema(cls)


def pydantic_schema(cls: type[Any]) -> Any:
    """The pydantic schema of a class: its instances are valid, and are serialized as their JSON."""
    # Only pydantic calls this, so it is there.
    from pydantic_core import core_schema

    serialization = core_schema.plain_serializer_function_ser_schema(ready, when_used="json")
    return core_schema.is_instance_schema(cls, serialization=serialization)


@functools.cache
def pydantic_serializer(cls: type[Any]) -> Any:
    """What pydantic serializes instances of a class with where it knows no type, as in ``dict[str, Any]``."""
    try:
        from pydantic_core import SchemaSerializer
    except ImportError:
        raise AttributeError("__pydantic_serializer__") from None
    return SchemaSerializer(pydantic_schema(cls))


def pydantic_json_schema(cls: type[Any]) -> dict[str, Any]:
    """The JSON schema of a class, for the documentation of an API."""
    if hasattr(cls, "to_list"):
        return {"type": "array", "items": {"type": "object"}, "title": cls.__name__}
    return {"type": "object", "title": cls.__name__}


def ready(value: Any) -> Any:
    """The value as JSON: with only dict, list, str, int, float, bool and None in it."""
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, JSONReady):
        return value._json()
    if isinstance(value, DictrackError):
        return value.to_dict()
    if isinstance(value, Exception):
        return {"code": "error", "message": str(value)}
    for name in ("to_dict", "to_list"):
        # The native classes. On the class, since a document may contain objects that have any attribute.
        if type(value).__module__ == "dictrack._dictrack" and hasattr(type(value), name):
            return getattr(value, name)()
    return _dictrack.as_json(value)


def ready_list(values: Iterable[Any]) -> list[Any]:
    """Each of the values as JSON."""
    return [ready(value) for value in values]
