"""Conditions on the text at a key."""

from __future__ import annotations

from typing import Any

from dictrack._values import a_type
from dictrack.conditions.keys import _KeyValue

__all__ = ["KeyValueEndsWith", "KeyValueMatches", "KeyValueStartsWith"]


class _KeyText(_KeyValue):
    """A condition whose operand is a text."""

    def __init__(self, key: str, value: str) -> None:
        if not isinstance(value, str):
            raise TypeError(f"value is {a_type(value)}; expected str")
        super().__init__(key, value)


class KeyValueStartsWith(_KeyText):
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
        if not isinstance(case_sensitive, bool):
            raise TypeError(f"case_sensitive is {a_type(case_sensitive)}; expected bool")
        self._case_sensitive = case_sensitive
        super().__init__(key, value)

    @property
    def case_sensitive(self) -> bool:
        """Whether case matters."""
        return self._case_sensitive

    def _spell(self) -> dict[str, Any]:
        made = super()._spell()
        if not self._case_sensitive:
            made["ignore_case"] = True
        return made

    def __repr__(self) -> str:
        return f"<{type(self).__name__} (key={self.key} value={self.value} case_sensitive={self._case_sensitive})>"


class KeyValueEndsWith(KeyValueStartsWith):
    """The text at the key ends with a text."""

    _word = "ends_with"


class KeyValueMatches(_KeyText):
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
