"""The conditions, measures and limiters of the program, by name.

Subclasses register themselves when they are made, functions when they are decorated. What a store names is looked up
here and nowhere else: nothing is imported, and nothing but attributes is restored.
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

# What is registered: kind, name, and the class or function.
_registered: dict[str, dict[str, Any]] = {"condition": {}, "measure": {}, "limiter": {}}


def register(kind: str, name: str, code: Any) -> None:
    """Registers a class or function; one of the same name is replaced."""
    _registered[kind][name] = code


def name_of(cls: type) -> str:
    """The name under which a class is registered and stored: ``registered_name``, or module and class."""
    named = cls.__dict__.get("registered_name")
    return named if isinstance(named, str) else f"{cls.__module__}.{cls.__qualname__}"


def is_of_program(cls: type, *methods: str) -> bool:
    """Whether the program, and not dictrack, says one of these methods of a class."""
    mine = (base for base in cls.__mro__ if not base.__module__.startswith("dictrack."))
    return any(method in base.__dict__ for base in mine for method in methods)


def reference(thing: Any) -> dict[str, Any]:
    """How definitions name an object of a registered class: its name, and its attributes as ``params``."""
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
        return _json(thing.to_json(), f"what {cls}.to_json() gives")  # type: ignore[no-any-return]
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
        f"{where} is {found}, which JSON cannot hold; it is stored with the tracker: keep None, bool, int, float, str, list "
        "or dict there, or define to_json() and the class method from_json(params)"
    )


def _restored(cls: Any, params: dict[str, Any] | None) -> Any:
    """An object with these attributes; ``__init__`` is not called."""
    from_json = getattr(cls, "from_json", None)
    if from_json is not None and hasattr(cls, "to_json"):
        return from_json(params or {})
    thing = cls.__new__(cls)
    thing.__dict__.update(params or {})
    return thing


@functools.lru_cache(maxsize=4096)
def _flat(params: str) -> dict[str, Any] | None:
    """The attributes, where nothing in them can be changed."""
    attributes = json.loads(params) or {}
    return None if any(isinstance(value, (list, dict)) for value in attributes.values()) else attributes


def _fresh(cls: Any, params: str) -> Any:
    """An object with its attributes as they are stored: what earlier documents left on one is gone."""
    flat = None if hasattr(cls, "to_json") else _flat(params)
    return _restored(cls, json.loads(params) if flat is None else flat)


class _Function:
    """A function that was decorated, asked with the parameters that its definition has."""

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
        """How definitions name it."""
        made: dict[str, Any] = {"custom": self.name}
        if self.params:
            made["params"] = self.params
        return made

    def __repr__(self) -> str:
        params = "".join(f" {key}={value!r}" for key, value in self.params.items())
        return f"<{self.name}{params}>"


def decorated(kind: str, function: Any, name: str | None, make: Callable[..., Any]) -> Any:
    """Registers a function and gives what makes references to it."""
    if not callable(function):
        raise TypeError(f"@{kind} decorates a function; found {a_type(function)}")
    named = name or f"{function.__module__}.{function.__qualname__}"
    register(kind, named, _Function(function))

    @functools.wraps(function)
    def refer(**params: Any) -> Any:
        return make(named, params)

    return refer


# What the engine calls. `params` is the text of the definition's parameters.


def knows(kind: str, name: str) -> bool:
    """Whether custom code is registered by this name."""
    return name in _registered[kind]


def check(name: str, params: str, data: Any) -> Any:
    """Asks a condition."""
    code = _registered["condition"][name]
    if isinstance(code, _Function):
        return code(data, params)
    return _fresh(code, params).check(data)


def amount(name: str, params: str, data: Any) -> Any:
    """Asks a measure."""
    code = _registered["measure"][name]
    if isinstance(code, _Function):
        return code(data, params)
    return _fresh(code, params).amount(data)


class Tracked:
    """What a limiter hears of the tracker that it is asked for.

    Its answer depends on its own state and the moment of the document alone, so that it is the same on every machine.
    """

    dirtied = True
    completed = False

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(
            f"a limiter is not told the tracker's {name}: its answer depends on its own attributes and now_ts only"
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
    """The state of a limiter that is as new, or that was reset."""
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


def admits(name: str, params: str, state: dict[str, Any], now: Any, data: Any) -> bool:
    """Whether a limiter admits a document."""
    code = _registered["limiter"][name]
    if isinstance(code, _Function):
        return bool(code(data, params))
    return bool(state["open"]) and _asked(_limiter(name, state), "pre_track", data, now)


def record(name: str, params: str, state: dict[str, Any], now: Any, data: Any) -> dict[str, Any]:
    """The state of a limiter after a document counted."""
    if isinstance(_registered["limiter"][name], _Function):
        return state
    limiter = _limiter(name, state)
    # As it was when it admitted the document: pre_track may have taken note of something.
    _asked(limiter, "pre_track", data, now)
    is_open = _asked(limiter, "post_track", data, now)
    return _state(limiter, is_open)


def raised(kind: str, name: str, error: BaseException) -> None:
    """Logs what custom code raised."""
    logger.error("the %s %s failed: %r", kind, name, error, exc_info=error)


def condition(function: Any = None, *, name: str | None = None) -> Any:
    """Makes a function ``(data, **params) -> bool`` a condition.

    Parameters
    ----------
    function : callable
        Says whether a document counts. It may be asked more than once for one document.
    name : str, optional
        The name under which definitions and stores know it; module and function if not given.

    Returns
    -------
    callable
        Called with the function's parameters by name, it gives a condition.

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
    """Makes a function ``(data, **params) -> number or None`` a measure: what a document adds to a ``CustomTracker``.

    Parameters
    ----------
    function : callable
        Says by how much a document changes the progress; ``None`` where it has no amount: then it does not count.
    name : str, optional
        The name under which definitions and stores know it; module and function if not given.
    """

    def make(named: str, params: dict[str, Any]) -> Reference:
        return Reference("measure", named, params)

    def decorate(function: Any) -> Any:
        return decorated("measure", function, name, make)

    return decorate if function is None else decorate(function)


def limiter(function: Any = None, *, name: str | None = None) -> Any:
    """Makes a function ``(data, **params) -> bool`` a limiter without a state: whether a document may count now.

    Parameters
    ----------
    function : callable
        Says whether a document that matches may count.
    name : str, optional
        The name under which definitions and stores know it; module and function if not given.
    """
    from dictrack.limiters.base import FunctionLimiter

    def decorate(function: Any) -> Any:
        return decorated("limiter", function, name, FunctionLimiter)

    return decorate if function is None else decorate(function)
