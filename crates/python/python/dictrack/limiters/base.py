"""The base class of all limiters."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from dictrack import _custom, _values
from dictrack._dictrack import Definition, Limiter
from dictrack._json import JSONReady, ready
from dictrack.utils.errors import DictrackError

__all__ = ["BaseLimiter", "FunctionLimiter"]


class BaseLimiter(JSONReady):
    """A limiter of a tracker.

    A subclass with ``pre_track`` or ``post_track`` is a custom limiter. It registers itself, its attributes are stored with
    the tracker, and every call starts from the stored attributes. The object that was added stays up to date with them.
    Stores refer to it by its ``registered_name``, or by module and class if it has none.
    """

    registered_name: str
    limited: bool = False
    #: What remains when nothing is used; ``None`` if the limiter does not count. Like the next three, this is as of the
    #: manager's clock for a tracker that was added, and as of its own time for a snapshot.
    limit: int | float | None = None
    #: What remains, 0 or more; ``None`` if the limiter does not count.
    remaining: int | float | None = None
    #: From when on it admits a document, in seconds since 1970 UTC; ``None`` if only a reset opens it. A custom limiter whose
    #: ``pre_track`` refuses and knows that moment sets it here. It is the ``until`` of the refusal.
    retry_at: int | float | None = None
    #: When nothing of it is used again, in seconds since 1970 UTC; ``None`` if that is so now, or only after a reset.
    reset_at: int | float | None = None

    def __init__(self) -> None:
        self.limited = False

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if _custom.is_of_program(cls, "pre_track", "post_track"):
            _custom.register("limiter", _custom.name_of(cls), cls)
            if not _custom.is_of_program(cls, "to_dict"):
                cls.to_dict = BaseLimiter.to_dict  # type: ignore[method-assign]

    def pre_track(self, data: Any, pre_tracker: Any, *args: Any, **kwargs: Any) -> bool:
        """Whether a document that matches may count.

        Parameters
        ----------
        data : dict
            The document.
        pre_tracker
            Has ``dirtied`` and ``completed``. The result of a limiter must depend only on its own state and the time.
        **kwargs
            ``now_ts``: the time of the document, in seconds since 1970 UTC.
        """
        return True

    def post_track(self, data: Any, post_tracker: Any, *args: Any, **kwargs: Any) -> bool:
        """Records a document that counts. Returns false if no more can count before a reset.

        The parameters are those of ``pre_track``.
        """
        return True

    def reset(self, *args: Any, **kwargs: Any) -> Any:
        """Renews the limiter. Returns false if documents still cannot count. Without this method, a custom limiter starts over.

        Parameters
        ----------
        **kwargs
            ``now_ts``, and ``reset_count`` and ``reset_seconds`` if they were passed to ``reset_tracker``.
        """
        self.limited = False
        return True

    def _json(self) -> dict[str, Any]:
        names = ("limit", "remaining", "retry_at", "reset_at", "limited")
        return {name: ready(getattr(self, name)) for name in names}

    def to_dict(self, *, state: bool = False) -> dict[str, Any]:
        """The limiter as written in definitions.

        Parameters
        ----------
        state : bool
            Return the state instead, with only the types of JSON: ``limit``, ``remaining``, ``retry_at``, ``reset_at`` and
            ``limited``. ``dict(limiter)`` is the same.

        Raises
        ------
        TypeError
            If an attribute of a custom limiter is not JSON.
        """
        if state:
            return self._json()
        source = self.__dict__.get("_dt") if hasattr(self, "__dict__") else None
        if source is not None and _custom.attributes(self) == source.handed:
            # The attributes are the state in a tracker. Its definition has the initial ones.
            definition: dict[str, Any] = source.definition()
            return definition
        return _custom.reference(self)

    def _follow(self, source: Callable[[], dict[str, Any]]) -> None:
        """Shows the state from ``source`` from now on."""
        # The limiter keeps what updates its tracker alive. This is not a stored attribute.
        if hasattr(self, "__dict__"):
            self.__dict__["_dt"] = source

    def _changed(self, state: Any) -> None:
        """Applies a state that consists of the object's own attributes."""
        # A limiter that was not registered when it was added has no state yet.
        if isinstance(state, dict) and "attributes" in state and not hasattr(self, "to_json"):
            self.__dict__.update(state["attributes"])
            self.limited = not state["open"]
            if "_dt" in self.__dict__:
                self.__dict__["_dt"].handed = _custom.attributes(self)


class _Builtin(BaseLimiter):
    """A built-in limiter. On its own it has its own state; in a tracker it shows the state there."""

    _source: Any = None
    _own: Limiter
    _limited = False

    @property
    def limited(self) -> bool:
        """Whether it lets no document count. For a tracker that was added, this is as of the manager's clock; for a snapshot, as of
        its time; and for a limiter on its own, the last result of ``pre_track`` or ``post_track``."""
        return self._limited if self._source is None else self._is_limited()

    @limited.setter
    def limited(self, limited: bool) -> None:
        self._limited = limited

    @property
    def limit(self) -> int | float | None:  # type: ignore[override]
        """What remains when nothing is used; ``None`` if the limiter does not count."""
        return self._state().get("limit")

    @property
    def remaining(self) -> int | float | None:  # type: ignore[override]
        """What remains, 0 or more; ``None`` if the limiter does not count."""
        return self._state().get("remaining")

    @property
    def retry_at(self) -> int | float | None:  # type: ignore[override]
        """From when on it admits a document, in seconds since 1970 UTC: now, if it does; ``None`` if only a reset opens it."""
        return self._state().get("retry_at")

    @property
    def reset_at(self) -> int | float | None:  # type: ignore[override]
        """When nothing of it is used again, in seconds since 1970 UTC; ``None`` if that is so now, or only after a reset."""
        return self._state().get("reset_at")

    def _is_limited(self) -> bool:
        raise NotImplementedError

    def _now(self) -> Any:
        """The time to evaluate at."""
        return time.time() if self._source is None else self._source.now()

    def _state(self) -> dict[str, Any]:
        if self._source is None:
            return self._own.view(self._now())
        state: dict[str, Any] = self._source()
        return state

    def _follow(self, source: Callable[[], dict[str, Any]]) -> None:
        self._source = source

    def __reduce__(self) -> Any:
        # A copy, also one by pickle, is a new limiter of this definition.
        return limiter_of, (self.to_dict(),)

    def _check_own(self) -> None:
        if self._source is not None:
            raise DictrackError("the limiter belongs to a tracker; renew it with manager.reset_tracker(...)")


def spelled(definition: dict[str, Any]) -> dict[str, Any]:
    """The limiter as definitions have it: with dates and lengths as JSON numbers, and windows in their usual words."""
    whole = {"name": "limiter", "kind": "count", "target": 1, "limiters": [definition]}
    spelled: dict[str, Any] = Definition(_values.plain(whole, strict=True)).to_dict()["limiters"][0]
    return spelled


class FunctionLimiter(BaseLimiter):
    """A limiter that is a decorated function, or whose class is not registered in this process."""

    def __init__(self, name: str, params: dict[str, Any]) -> None:
        super().__init__()
        self._reference = _custom.Reference("limiter", name, params)

    def to_dict(self, *, state: bool = False) -> dict[str, Any]:
        """The limiter as written in definitions, or its state."""
        return self._json() if state else self._reference.to_dict()

    def _changed(self, state: Any) -> None:
        # The attributes of an unregistered class do not belong to this object.
        self.limited = isinstance(state, dict) and state.get("open") is False

    def __repr__(self) -> str:
        return repr(self._reference)


def limiter_of(definition: dict[str, Any]) -> BaseLimiter:
    """The limiter for a definition."""
    from dictrack.limiters.count import CountLimiter
    from dictrack.limiters.sum import SumLimiter
    from dictrack.limiters.time import TimeLimiter

    if "sum" in definition:
        return SumLimiter._of(definition)
    if "count" in definition:
        return CountLimiter._of(definition)
    if "custom" in definition:
        name, params = definition["custom"], definition.get("params")
        code = _custom._registered["limiter"].get(name)
        if isinstance(code, type):
            made: BaseLimiter = _custom._restored(code, params)
            return made
        return FunctionLimiter(name, params or {})
    return TimeLimiter._of(definition)
