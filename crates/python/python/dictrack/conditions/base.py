"""The base class of all conditions, and conditions that combine others."""

from __future__ import annotations

from abc import ABCMeta, abstractmethod
from typing import Any

from dictrack import _custom, _values
from dictrack._dictrack import Condition, Definition
from dictrack._values import a_type

__all__ = ["AllOf", "AnyOf", "BaseCondition", "FunctionCondition", "Not"]


class BaseCondition(metaclass=ABCMeta):
    """A condition on a document.

    A subclass with ``check`` is a custom condition. It registers itself, its attributes are stored with the definition, and
    ``check`` is called with the document. Stores refer to it by its ``registered_name``, or by module and class if it has
    none. Conditions are values: they are equal if their kinds, keys, operands and flags are.
    """

    registered_name: str

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if _custom.is_of_program(cls, "check"):
            _custom.register("condition", _custom.name_of(cls), cls)
            if not _custom.is_of_program(cls, "to_dict"):
                cls.to_dict = BaseCondition.to_dict  # type: ignore[method-assign]

    @abstractmethod
    def check(self, data: Any, *args: Any, **kwargs: Any) -> bool:
        """Whether a document counts. May be called more than once for the same document.

        Parameters
        ----------
        data : dict
            The document as passed to ``track``.
        """

    def to_dict(self) -> dict[str, Any]:
        """The condition as written in definitions.

        Raises
        ------
        TypeError
            If an attribute of a custom condition is not JSON.
        """
        return _custom.reference(self)

    def _native(self) -> Condition:
        return Condition(_values.plain(self.to_dict(), strict=True, where=type(self).__name__))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, BaseCondition):
            return NotImplemented
        return self._native() == other._native()

    def __hash__(self) -> int:
        return hash(self._native())

    def __and__(self, other: BaseCondition) -> AllOf:
        return AllOf(self, other)

    def __or__(self, other: BaseCondition) -> AnyOf:
        return AnyOf(self, other)

    def __invert__(self) -> Not:
        return Not(self)


class _Builtin(BaseCondition):
    """A built-in condition of the engine."""

    _checked: Condition | None = None

    @property
    def _about_item(self) -> bool:
        """Whether it is or contains a condition on a list item itself, which is only valid inside ``any_item`` or ``all_items``."""
        return False

    def _native(self) -> Condition:
        if self._checked is None:
            self._checked = Condition(_values.plain(self._whole(), strict=True, where=type(self).__name__))
        return self._checked

    def _whole(self) -> dict[str, Any]:
        """The condition in a form that is valid on its own."""
        spelled = self._spell()
        return {"key": "item", "any_item": [spelled]} if self._about_item else spelled

    @abstractmethod
    def _spell(self) -> dict[str, Any]:
        """The condition as it was given. Operands may have Python types."""

    def to_dict(self) -> dict[str, Any]:
        """The condition as written in definitions."""
        whole = {"name": "condition", "kind": "count", "target": 1, "conditions": [self._whole()]}
        spelled: dict[str, Any] = Definition(whole).to_dict()["conditions"][0]
        return spelled["any_item"][0] if self._about_item else spelled

    def check(self, data: Any, *args: Any, **kwargs: Any) -> bool:
        """Whether a document satisfies the condition.

        Parameters
        ----------
        data : dict
            The document.

        Raises
        ------
        TypeError
            If it is not a mapping.
        """
        return self._native().check({"item": [data]} if self._about_item else data)


class _Compound(_Builtin):
    _word: str

    def __init__(self, *conditions: BaseCondition) -> None:
        for condition in conditions:
            if not isinstance(condition, BaseCondition):
                raise TypeError(f"expected conditions; found {a_type(condition)}")
        self._conditions = conditions
        self._native()

    @property
    def conditions(self) -> tuple[BaseCondition, ...]:
        """The conditions that it combines."""
        return self._conditions

    @property
    def _about_item(self) -> bool:
        return any(isinstance(part, _Builtin) and part._about_item for part in self._conditions)

    def _spell(self) -> dict[str, Any]:
        return {self._word: [condition.to_dict() for condition in self._conditions]}

    def __repr__(self) -> str:
        return f"<{type(self).__name__} ({', '.join(map(repr, self._conditions))})>"


class AllOf(_Compound):
    """All of one or more conditions hold. Same as ``a & b``."""

    _word = "all"


class AnyOf(_Compound):
    """At least one of one or more conditions holds. Same as ``a | b``."""

    _word = "any"


class Not(_Compound):
    """A condition does not hold, for example because its key is missing. Same as ``~a``."""

    def __init__(self, condition: BaseCondition) -> None:
        super().__init__(condition)

    def _spell(self) -> dict[str, Any]:
        return {"not": self._conditions[0].to_dict()}


class FunctionCondition(_Builtin):
    """A condition that is a decorated function, or whose class is not registered in this process."""

    def __init__(self, name: str, params: dict[str, Any]) -> None:
        self._reference = _custom.Reference("condition", name, params)

    def _spell(self) -> dict[str, Any]:
        return self._reference.to_dict()

    def __repr__(self) -> str:
        return repr(self._reference)
