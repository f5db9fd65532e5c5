"""Custom conditions, measures and limiters, by name.

Subclasses register themselves when they are defined, functions when they are decorated. Names from a store are looked up
only here: nothing is imported, and nothing but attributes is restored.
"""

from __future__ import annotations

import functools
import inspect
import json
import logging
import math
from collections.abc import Callable
from typing import Any

from dictrack._values import a_type

__all__ = ["Reference", "condition", "limiter", "measure"]

logger = logging.getLogger("dictrack.custom")

# Registered classes and functions, by kind and name.
_registered: dict[str, dict[str, Any]] = {"condition": {}, "measure": {}, "limiter": {}}


def register(kind: str, name: str, code: Any) -> None:
    """Registers a class or function, replacing any with the same name."""
    _registered[kind][name] = code


def name_of(cls: type) -> str:
    """The name under which a class is registered and stored: ``registered_name``, or module and class."""
    named = cls.__dict__.get("registered_name")
    return named if isinstance(named, str) else f"{cls.__module__}.{cls.__qualname__}"


def is_of_program(cls: type, *methods: str) -> bool:
    """Whether one of these methods of a class is defined by the program and not by dictrack."""
    mine = (base for base in cls.__mro__ if not base.__module__.startswith("dictrack."))
    return any(method in base.__dict__ for base in mine for method in methods)


def reference(thing: Any) -> dict[str, Any]:
    """An object of a registered class as written in definitions: its name, and its attributes as ``params``."""
    made: dict[str, Any] = {"custom": name_of(type(thing))}
    params = attributes(thing)
    if params:
        made["params"] = params
    return made


def attributes(thing: Any) -> dict[str, Any]:
    """The attributes of an object as JSON.

    Raises
    ------
    TypeError
        If an attribute is not JSON.
    """
    cls = type(thing).__qualname__
    if hasattr(thing, "to_json"):
        return _json(thing.to_json(), f"the result of {cls}.to_json()")  # type: ignore[no-any-return]
    if not hasattr(thing, "__dict__"):
        raise TypeError(f"{cls} has no __dict__ to store; define to_json() and the class method from_json(params)")
    own = {name: value for name, value in vars(thing).items() if name != "_dt"}
    return {name: _json(value, f"{cls}.{name}") for name, value in own.items()}


def _json(value: Any, where: str, depth: int = 0) -> Any:
    """The value, checked to be JSON."""
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    if depth < 32 and isinstance(value, (list, tuple)):
        return [_json(item, f"{where}[{at}]", depth + 1) for at, item in enumerate(value)]
    if depth < 32 and isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {key: _json(item, f"{where}[{key!r}]", depth + 1) for key, item in value.items()}
    found = repr(value) if isinstance(value, float) else a_type(value)
    raise TypeError(
        f"{where} is {found}, which JSON cannot represent, but it is stored with the tracker; use None, bool, int, float, str, "
        "list or dict, or define to_json() and the class method from_json(params)"
    )


def _restored(cls: Any, params: dict[str, Any] | None) -> Any:
    """An object with these attributes. Does not call ``__init__``."""
    from_json = getattr(cls, "from_json", None)
    if from_json is not None and hasattr(cls, "to_json"):
        return from_json(params or {})
    thing = cls.__new__(cls)
    thing.__dict__.update(params or {})
    return thing


@functools.lru_cache(maxsize=4096)
def _flat(params: str) -> dict[str, Any] | None:
    """The attributes, if all of them are immutable."""
    attributes = json.loads(params) or {}
    return None if any(isinstance(value, (list, dict)) for value in attributes.values()) else attributes


def _fresh(cls: Any, params: str) -> Any:
    """An object with its attributes as they are stored, without anything that earlier documents left on it."""
    flat = None if hasattr(cls, "to_json") else _flat(params)
    return _restored(cls, json.loads(params) if flat is None else flat)


class _Function:
    """A decorated function, called with the parameters in the definition."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function

    def __call__(self, data: Any, params: str) -> Any:
        return self.function(data, **(json.loads(params) or {}))


class Reference:
    """A condition, measure or limiter that is a function, with its parameters."""

    def __init__(self, kind: str, name: str, params: dict[str, Any]) -> None:
        self.kind = kind
        self.name = name
        self.params = {key: _json(value, f"{name}({key})") for key, value in params.items()}

    def to_dict(self) -> dict[str, Any]:
        """The reference as written in definitions."""
        made: dict[str, Any] = {"custom": self.name}
        if self.params:
            made["params"] = self.params
        return made

    def __repr__(self) -> str:
        params = "".join(f" {key}={value!r}" for key, value in self.params.items())
        return f"<{self.name}{params}>"


def decorated(kind: str, function: Any, name: str | None, make: Callable[..., Any]) -> Any:
    """Registers a function and returns a function that creates references to it."""
    if not callable(function):
        raise TypeError(f"@{kind} decorates a function; found {a_type(function)}")
    named = name or f"{function.__module__}.{function.__qualname__}"
    register(kind, named, _Function(function))

    @functools.wraps(function)
    def refer(**params: Any) -> Any:
        return make(named, params)

    return refer


# Called by the engine. `params` is the JSON of the parameters in the definition.


def knows(kind: str, name: str) -> bool:
    """Whether custom code is registered by this name."""
    return name in _registered[kind]


def check(name: str, params: str, data: Any) -> Any:
    """Evaluates a condition."""
    code = _registered["condition"][name]
    if isinstance(code, _Function):
        return code(data, params)
    return _fresh(code, params).check(data)


def amount(name: str, params: str, data: Any) -> Any:
    """Evaluates a measure."""
    code = _registered["measure"][name]
    if isinstance(code, _Function):
        return code(data, params)
    return _fresh(code, params).amount(data)


class Tracked:
    """What a limiter is told about its tracker.

    The result of a limiter must depend only on its own state and the time of the document, so that it is the same on every
    machine.
    """

    dirtied = True
    completed = False

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(
            f"a limiter cannot read the tracker's {name}; its result must depend only on its own attributes and now_ts"
        )


_TRACKED = Tracked()


@functools.lru_cache(maxsize=1024)
def _takes_keywords(function: Any) -> bool:
    parameters = inspect.signature(function).parameters.values()
    return any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters)


def _asked(limiter: Any, method: str, data: Any, now: Any) -> bool:
    function = getattr(type(limiter), method)
    keywords = {"now_ts": now} if _takes_keywords(function) else {}
    return bool(function(limiter, data, _TRACKED, **keywords))


def _limiter(name: str, state: dict[str, Any]) -> Any:
    return _restored(_registered["limiter"][name], state["attributes"])


def _state(limiter: Any, is_open: bool) -> dict[str, Any]:
    return {"open": is_open, "attributes": attributes(limiter)}


def renewed(name: str, params: str, state: dict[str, Any] | None, count: Any, seconds: Any, now: Any) -> dict[str, Any]:
    """The state of a limiter that is new or was reset."""
    from dictrack.limiters.base import BaseLimiter

    code = _registered["limiter"][name]
    new = {"open": True, "attributes": json.loads(params) or {}}
    if isinstance(code, _Function) or state is None or code.reset is BaseLimiter.reset:
        return new
    limiter = _limiter(name, state)
    keywords = {"now_ts": now, "reset_count": count, "reset_seconds": seconds}
    given = {key: value for key, value in keywords.items() if value is not None}
    answer = code.reset(limiter, **(given if _takes_keywords(code.reset) else {}))
    return _state(limiter, answer is not False)


def admits(name: str, params: str, state: dict[str, Any], now: Any, data: Any) -> tuple[bool, Any]:
    """Whether a limiter admits a document; if not, the first moment at which it would, where it knows."""
    code = _registered["limiter"][name]
    if isinstance(code, _Function):
        return bool(code(data, params)), None
    limiter = _limiter(name, state)
    admitted = bool(state["open"]) and _asked(limiter, "pre_track", data, now)
    return admitted, None if admitted else limiter.retry_at


def record(name: str, params: str, state: dict[str, Any], now: Any, data: Any) -> dict[str, Any]:
    """The state of a limiter after a document counted."""
    if isinstance(_registered["limiter"][name], _Function):
        return state
    limiter = _limiter(name, state)
    # In the state in which it admitted the document: pre_track may have recorded something.
    _asked(limiter, "pre_track", data, now)
    is_open = _asked(limiter, "post_track", data, now)
    return _state(limiter, is_open)


def raised(kind: str, name: str, error: BaseException) -> None:
    """Logs an exception in custom code."""
    logger.error("the %s %s failed: %r", kind, name, error, exc_info=error)


def condition(function: Any = None, *, name: str | None = None) -> Any:
    """Turns a function ``(data, **params) -> bool`` into a condition.

    Parameters
    ----------
    function : callable
        Returns whether a document counts. May be called more than once for the same document.
    name : str, optional
        Its name in definitions and stores; default: module and function.

    Returns
    -------
    callable
        Call it with the parameters of the function as keywords to get a condition.

    Examples
    --------
    >>> import dictrack as dt
    >>> @dt.condition
    ... def is_high(data, least=100):
    ...     return data["amount"] >= least
    >>> high = dt.CountTracker("high", [is_high(least=500)], target=10)
    >>> high.conditions[0].check({"amount": 700})
    True
    """
    from dictrack.conditions.base import FunctionCondition

    def decorate(function: Any) -> Any:
        return decorated("condition", function, name, FunctionCondition)

    return decorate if function is None else decorate(function)


def measure(function: Any = None, *, name: str | None = None) -> Any:
    """Turns a function ``(data, **params) -> number or None`` into a measure: what a document adds to a ``CustomTracker``.

    Parameters
    ----------
    function : callable
        Returns by how much a document changes the progress, or ``None`` if the document does not count.
    name : str, optional
        Its name in definitions and stores; default: module and function.
    """

    def make(named: str, params: dict[str, Any]) -> Reference:
        return Reference("measure", named, params)

    def decorate(function: Any) -> Any:
        return decorated("measure", function, name, make)

    return decorate if function is None else decorate(function)


def limiter(function: Any = None, *, name: str | None = None) -> Any:
    """Turns a function ``(data, **params) -> bool`` into a stateless limiter.

    Parameters
    ----------
    function : callable
        Returns whether a document that matches may count.
    name : str, optional
        Its name in definitions and stores; default: module and function.
    """
    from dictrack.limiters.base import FunctionLimiter

    def decorate(function: Any) -> Any:
        return decorated("limiter", function, name, FunctionLimiter)

    return decorate if function is None else decorate(function)
