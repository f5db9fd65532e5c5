"""Checks of arguments, including those of dictrack 2.1.5 that no longer have any effect."""

from __future__ import annotations

import warnings
from typing import Any

from dictrack._values import a_type

_warned: set[tuple[str, str]] = set()


def ignored(where: str, arguments: dict[str, Any]) -> None:
    """Warns about arguments without effect, once for each."""
    for name in arguments:
        if (where, name) not in _warned:
            _warned.add((where, name))
            warnings.warn(f"{where}: {name} no longer has any effect", DeprecationWarning, stacklevel=3)


def given(**arguments: Any) -> dict[str, Any]:
    """The arguments that are not ``None``."""
    return {name: value for name, value in arguments.items() if value is not None}


def whole(name: str, value: Any, least: int = 0) -> Any:
    """The value, checked to be ``None`` or a whole number that the engine supports."""
    if value is not None:
        if isinstance(value, bool) or not isinstance(value, int):
            raise TypeError(f"{name} is {a_type(value)}; expected int")
        if not least <= value < 2**63:
            raise ValueError(f"{name} is {value}; expected {least} or more, and less than 2**63")
    return value


def unexpected(where: str, arguments: dict[str, Any]) -> None:
    """Raises an error for unknown arguments."""
    if arguments:
        raise TypeError(f"{where} got an unexpected keyword argument {next(iter(arguments))!r}")
