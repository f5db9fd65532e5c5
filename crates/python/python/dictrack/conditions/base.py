"""The base of all conditions, and conditions made of others."""

from __future__ import annotations

from abc import ABCMeta, abstractmethod
from typing import Any

from dictrack import _custom, _values
from dictrack._dictrack import Condition, Definition
from dictrack._values import a_type

__all__ = ["AllOf", "AnyOf", "BaseCondition", "FunctionCondition", "Not"]


class BaseCondition(metaclass=ABCMeta):
    """A condition on a document.

    A subclass with ``check`` is a condition of the program: it registers itself, its attributes are stored with the
    definition, and ``check`` is asked with the document. ``registered_name`` names it in stores; module and class if it has
    none. Conditions are values: they are equal if kind, key, operand and flags are.
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
        """Whether a document counts. It may be asked more than once for one document.

        Parameters
        ----------
        data : dict
            The document as it was given to ``track``.
        """

    def to_dict(self) -> dict[str, Any]:
        """The condition as definitions spell it.

        Raises
        ------
        TypeError
            If an attribute of a condition of the program is not JSON.
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
    """A condition that the engine knows."""

    _checked: Condition | None = None

    @property
    def _about_item(self) -> bool:
        """Whether it is, or has, a condition about the item of a list itself, which only makes sense within that list."""
        return False

    def _native(self) -> Condition:
        if self._checked is None:
            self._checked = Condition(_values.plain(self._whole(), strict=True, where=type(self).__name__))
        return self._checked

    def _whole(self) -> dict[str, Any]:
        """The condition as it can be alone."""
        spelled = self._spell()
        return {"key": "item", "any_item": [spelled]} if self._about_item else spelled

    @abstractmethod
    def _spell(self) -> dict[str, Any]:
        """The condition as it was given: operands may be of Python's own types."""

    def to_dict(self) -> dict[str, Any]:
        """The condition as definitions spell it."""
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
            If it is no mapping.
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
        """The conditions it is made of."""
        return self._conditions

    @property
    def _about_item(self) -> bool:
        return any(isinstance(part, _Builtin) and part._about_item for part in self._conditions)

    def _spell(self) -> dict[str, Any]:
        return {self._word: [condition.to_dict() for condition in self._conditions]}

    def __repr__(self) -> str:
        return f"<{type(self).__name__} ({', '.join(map(repr, self._conditions))})>"


class AllOf(_Compound):
    """Every one of some conditions, at least one, holds. ``a & b`` is the same."""

    _word = "all"


class AnyOf(_Compound):
    """One of some conditions, at least one, holds. ``a | b`` is the same."""

    _word = "any"


class Not(_Compound):
    """A condition does not hold, also because its key is missing. ``~a`` is the same."""

    def __init__(self, condition: BaseCondition) -> None:
        super().__init__(condition)

    def _spell(self) -> dict[str, Any]:
        return {"not": self._conditions[0].to_dict()}


class FunctionCondition(_Builtin):
    """A condition that is a decorated function, or one that this process does not know by its class."""

    def __init__(self, name: str, params: dict[str, Any]) -> None:
        self._reference = _custom.Reference("condition", name, params)

    def _spell(self) -> dict[str, Any]:
        return self._reference.to_dict()

    def __repr__(self) -> str:
        return repr(self._reference)
