"""Creates trackers from specifications and describes their states.

It runs under either package: both are called ``dictrack``, and definitions are written alike.
"""

from __future__ import annotations

import datetime
import operator
from collections.abc import Callable, Iterable
from typing import Any

from dictrack.conditions import keys
from dictrack.limiters.count import CountLimiter
from dictrack.limiters.time import TimeLimiter
from dictrack.trackers.numerics.accumulation import AccumulationTracker
from dictrack.trackers.numerics.count import CountTracker

# The key whose list is a tuple in the documents: only tuples can be operands of 2.1.5.
PAIR = "pair"
# The key whose string is a timestamp.
AT = "at"


def condition(spec: list[Any]) -> Any:
    """The condition for ``[class, key, *operands]``; lists to compare are tuples."""
    name, key, *operands = spec
    if operands and key == AT:
        operands[0] = moment(operands[0])
    if operands and "List" not in name and isinstance(operands[0], list):
        operands[0] = tuple(operands[0])
    if name == "KeyValueComparison":
        operands[1] = getattr(operator, operands[1])
    return getattr(keys, name)(key, *operands)


def limiter(spec: list[Any]) -> Any:
    """The limiter for ``["count", n]``, ``["window", start, end]`` or ``["interval", seconds]``."""
    kind, *numbers = spec
    if kind == "count":
        return CountLimiter(*numbers)
    if kind == "window":
        return TimeLimiter(start_ts=numbers[0], end_ts=numbers[1])
    return TimeLimiter(interval=datetime.timedelta(seconds=numbers[0]))


def tracker(spec: dict[str, Any]) -> Any:
    """The tracker for a specification; its target is the caller's own object."""
    options: dict[str, Any] = {
        name: spec[name] for name in ("reset_policy", "loop_forever", "init_progress") if name in spec
    }
    options["conditions"] = [condition(one) for one in spec["conditions"]]
    options["limiters"] = limiters = [limiter(one) for one in spec["limiters"]]
    for at, one in enumerate(limiters):
        one.position = at
    if spec["kind"] == "count":
        return CountTracker(name=spec["name"], target=spec["target"], **options)
    return AccumulationTracker(name=spec["name"], target=spec["target"], key=spec["key"], **options)


def moment(text: str) -> datetime.datetime:
    """A timestamp from JSON."""
    return datetime.datetime.fromisoformat(text)


def document(data: dict[str, Any]) -> dict[str, Any]:
    """A document from JSON."""
    made = dict(data)
    if isinstance(made.get(PAIR), list):
        made[PAIR] = tuple(made[PAIR])
    if AT in made:
        made[AT] = moment(made[AT])
    return made


def number(value: Any) -> str:
    """A number as its shortest decimal."""
    return repr(value) if isinstance(value, float) else str(value)


def limiter_states(limiters: Iterable[tuple[int, Any]]) -> dict[str, list[str]]:
    """What remains of each limiter, by position in the definition."""
    return {
        str(at): [number(one.count), number(one.remaining)]
        if isinstance(one, CountLimiter)
        else [number(one.start), number(one.end)]
        for at, one in limiters
    }


def described(tracker: Any, limiters: Iterable[tuple[int, Any]]) -> list[Any]:
    """A tracker: its name, progress, target, stage, whether it is marked as limited, and its limiters."""
    return [
        tracker.name,
        number(getattr(tracker, "progress_exact", tracker.progress)),
        number(tracker.target),
        tracker.current_stage,
        tracker.limited,
        limiter_states(limiters),
    ]


def event(event: Any, position: Callable[[Any], int]) -> list[Any]:
    """An event: its code, and the tracker's name, progress, target and stage, and the position of the limiter."""
    at = position(event) if hasattr(event, "limiter") else None
    shown = event.tracker
    return [event.code, event.name, number(shown.progress), number(shown.target), shown.current_stage, at]
