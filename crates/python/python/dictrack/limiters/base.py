"""The base of all limiters."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from dictrack import _custom
from dictrack._dictrack import Limiter
from dictrack.utils.errors import DictrackError

__all__ = ["BaseLimiter", "FunctionLimiter"]


class BaseLimiter:
    """A limiter of a tracker.

    A subclass with ``pre_track`` or ``post_track`` is a limiter of the program: it registers itself, its attributes are
    stored with the tracker, and every call starts from the stored ones. The object that was added follows them.
    ``registered_name`` names it in stores; module and class if it has none.
    """

    registered_name: str
    limited: bool = False

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
            Says ``dirtied`` and ``completed``; a limiter's answer depends on its own state and the moment alone.
        **kwargs
            ``now_ts``: the moment of the document, in seconds since 1970 UTC.
        """
        return True

    def post_track(self, data: Any, post_tracker: Any, *args: Any, **kwargs: Any) -> bool:
        """Takes note of a document that counts; false if none can count any more before a reset.

        The parameters are those of ``pre_track``.
        """
        return True

    def reset(self, *args: Any, **kwargs: Any) -> Any:
        """Renews the limiter; false if none can count all the same. A subclass without it is as new.

        Parameters
        ----------
        **kwargs
            ``now_ts``, and what ``reset_tracker`` was given of ``reset_count`` and ``reset_seconds``.
        """
        self.limited = False
        return True

    def to_dict(self) -> dict[str, Any]:
        """The limiter as definitions spell it.

        Raises
        ------
        TypeError
            If an attribute of a limiter of the program is not JSON.
        """
        source = self.__dict__.get("_dt") if hasattr(self, "__dict__") else None
        if source is not None and _custom.attributes(self) == source.handed:
            # The attributes are the state of a tracker: its definition says with which ones the limiter is as new.
            definition: dict[str, Any] = source.definition()
            return definition
        return _custom.reference(self)

    def _follow(self, source: Callable[[], dict[str, Any]]) -> None:
        """Shows from now on the state that ``source`` gives."""
        # Whoever has the limiter has what follows its tracker, too. Not an attribute that is stored.
        if hasattr(self, "__dict__"):
            self.__dict__["_dt"] = source

    def _changed(self, state: Any) -> None:
        """Takes over a state that is the object's own attributes."""
        # A limiter that was not known when it was added has no state yet.
        if isinstance(state, dict) and "attributes" in state and not hasattr(self, "to_json"):
            self.__dict__.update(state["attributes"])
            self.limited = not state["open"]
            if "_dt" in self.__dict__:
                self.__dict__["_dt"].handed = _custom.attributes(self)


class _Builtin(BaseLimiter):
    """A limiter that the engine knows. On its own it has a state of its own; of a tracker it shows that one's."""

    _source: Any = None
    _own: Limiter
    _limited = False

    @property
    def limited(self) -> bool:
        """Whether it lets no document count: now, by the clock of the manager that has its tracker; of a tracker in an outcome,
        an event or a list, at the moment of that. On its own, what its ``pre_track`` or ``post_track`` found last."""
        return self._limited if self._source is None else self._is_limited()

    @limited.setter
    def limited(self, limited: bool) -> None:
        self._limited = limited

    def _is_limited(self) -> bool:
        raise NotImplementedError

    def _now(self) -> Any:
        """The moment that is asked about."""
        return time.time() if self._source is None else self._source.now()

    def _state(self) -> dict[str, Any]:
        if self._source is None:
            return self._own.state()
        state: dict[str, Any] = self._source()
        return state

    def _follow(self, source: Callable[[], dict[str, Any]]) -> None:
        self._source = source

    def _check_own(self) -> None:
        if self._source is not None:
            raise DictrackError("the limiter belongs to a tracker: renew it with manager.reset_tracker(...)")


class FunctionLimiter(BaseLimiter):
    """A limiter that is a decorated function, or one that this process does not know by its class."""

    def __init__(self, name: str, params: dict[str, Any]) -> None:
        super().__init__()
        self._reference = _custom.Reference("limiter", name, params)

    def to_dict(self) -> dict[str, Any]:
        """The limiter as definitions spell it."""
        return self._reference.to_dict()

    def _changed(self, state: Any) -> None:
        # What a class keeps that is not known here is nothing of this object's.
        self.limited = isinstance(state, dict) and state.get("open") is False

    def __repr__(self) -> str:
        return repr(self._reference)


def limiter_of(definition: dict[str, Any]) -> BaseLimiter:
    """The limiter that a definition spells."""
    from dictrack.limiters.count import CountLimiter
    from dictrack.limiters.time import TimeLimiter

    if "count" in definition:
        return CountLimiter(definition["count"])
    if "custom" in definition:
        name, params = definition["custom"], definition.get("params")
        code = _custom._registered["limiter"].get(name)
        if isinstance(code, type):
            made: BaseLimiter = _custom._restored(code, params)
            return made
        return FunctionLimiter(name, params or {})
    return TimeLimiter._of(definition)
