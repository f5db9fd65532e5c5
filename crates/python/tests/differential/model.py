"""A second, short implementation of what a case does, with each difference of 2.1.5 as a rule that is on or off.

With all rules off this tells what dictrack does, with all on what Python's dictrack 2.1.5 does. Both have to do exactly
that, so that a difference between them can have no other reason than a rule, at a document that the rule is about.
"""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import fractions
import math
import operator
import re
from collections.abc import Callable, Iterable
from typing import Any

from differential import build

ADDED, STAGE, ALL, RESET, LIMITED = 1001, 1002, 1003, 1004, 1005
PROGRESS, LIMITER = 1, 2
MOST_STAGES = 20
LARGEST = 170_141_183_460_469_231_731


@dataclasses.dataclass(frozen=True)
class Rule:
    """A difference: the row of MIGRATION.md that describes it, and what 2.1.5 does."""

    row: str
    text: str


RULES = {
    # Stages.
    "one_stage": Rule("stages", "a document completes one stage, however many targets it passes"),
    "reset_at_stage": Rule("stages", "a stage change fires RESET"),
    "loop_on_last": Rule("`loop_forever`", "the last target follows itself, and progress is kept"),
    "spends_renewed": Rule(
        "a document that completes a stage", "what completes a stage spends one of the renewed limit"
    ),
    "windows_move": Rule("fixed windows at a stage", "the window begins anew at the moment of the stage"),
    "reset_keeps_stage": Rule("resetting progress", "the stage is left where it is"),
    # Limiters.
    "limiters_first": Rule("limiters", "asked before conditions: documents that do not match limit and spend"),
    "never_reopens": Rule("windows", "what was limited stays so until a reset"),
    "all_fire": Rule("several limiters", "each that refuses fires"),
    "equal_limiters": Rule("several limiters", "equal ones are one"),
    "reset_stops": Rule("resetting limiters", "stops at the first that stays closed"),
    "closed_silently": Rule("resetting limiters", "a limiter closed by `reset_count=0` never fires"),
    "swapped_window": Rule("`start` after `end`", "swapped"),
    # Values.
    "wrong_types_raise": Rule("wrong types", "raise and stop the group"),
    "true_is_one": Rule("`True`", "is 1"),
    "nan_completes": Rule("NaN and infinity", "NaN and infinity are added; NaN completes"),
    "out_of_range": Rule("range of numbers", "none: amounts of any size count"),
    "text_amounts": Rule("amounts in strings", "whatever `float` reads"),
    "has_in_texts": Rule("`has`, `intersects`", "look into texts and maps"),
    "order_of_lists": Rule("order tests", "work on lists"),
    "lower_case": Rule("case folding", "`lower()`"),
    "empty_segments": Rule("empty path segments", "address empty keys"),
    "dictor_marker": Rule("the string `__dictor__` and one marker string", "`__dictor__` is a dot"),
    "missing_marker": Rule("the string `__dictor__` and one marker string", "one text counts as missing"),
    "index_grammar": Rule("indexes in paths", "whatever `int` reads"),
    "missing_amount": Rule(
        "a document without an amount for a sum", "the tracker is dirtied, and completes if it is past its target"
    ),
    "float_sums": Rule("sums", "binary floats"),
    # Conditions.
    "equal_conditions": Rule(
        "equality of conditions", "conditions of one key and operand are one, and share their result"
    ),
    "random_order": Rule("order of conditions and limiters", "that of sets"),
    # The group.
    "names_overwritten": Rule("adding an existing name", "overwrites, or raises where the group is cached"),
    "object_again": Rule("adding an object again", "raises"),
    "completed_deleted": Rule("completed trackers", "deleted"),
    "target_consumed": Rule("the list passed as `target`", "loses its first target"),
    "fires_twice": Rule("events after a reset", "each is told twice"),
    "reset_unknown": Rule("resetting an unknown name", "raises where the group is cached"),
}

MISSING: Any = object()
MARKER = "_THIS_IS_DEFAULT_VALUE"
OPERATORS = {"EQ": "eq", "NE": "ne", "LT": "lt", "LE": "le", "GT": "gt", "GE": "ge"}
JSON_NUMBER = re.compile(r" *(-|\+?)(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)? *")


# Notes an event.
Tell = Callable[[list[Any]], None]


class Raised(Exception):
    """A wrong type."""


class Rules:
    """The rules that are on, and those that were checked, which are the ones that affect a case."""

    def __init__(self, on: Iterable[str]) -> None:
        self.enabled = frozenset(on)
        self.asked: set[str] = set()

    def on(self, rule: str) -> bool:
        """Whether a rule is on. Only called where it matters."""
        self.asked.add(rule)
        return rule in self.enabled


def exact(value: Any) -> Any:
    """A number without rounding errors, as its shortest decimal; anything else by name."""
    if isinstance(value, (int, fractions.Fraction)):
        return value
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, str):
        return value if value.strip("-") in ("nan", "inf") else fractions.Fraction(value)
    return fractions.Fraction(build.number(value))


class Limiter:
    """A limiter from a specification, with its state."""

    def __init__(self, spec: list[Any], at: int, now: int) -> None:
        self.kind, *numbers = spec
        self.at = at
        self.spec = spec
        self.count = self.remaining = 0
        self.start: float = 0
        self.end: float = 0
        if self.kind == "count":
            self.count = self.remaining = numbers[0]
        elif self.kind == "window":
            self.start, self.end = sorted(numbers)
        else:
            self.start, self.end = now, now + numbers[0]

    def admits(self, now: int) -> bool:
        """Whether a document may count."""
        return self.remaining > 0 if self.kind == "count" else self.start <= now <= self.end

    def renew(self, now: int, count: int | None, seconds: int | None) -> None:
        """Starts over."""
        if self.kind == "count":
            self.count = self.remaining = self.count if count is None else count
        else:
            self.start, self.end = now, now + (self.end - self.start if seconds is None else seconds)

    def state(self) -> list[Any]:
        """What remains of it."""
        return [self.count, self.remaining] if self.kind == "count" else [self.start, self.end]


class Tracker:
    """A tracker from a specification, with its state."""

    def __init__(self, spec: dict[str, Any], now: int, rules: Rules) -> None:
        self.rules = rules
        self.spec = spec
        self.name: str = spec["name"]
        self.targets = [self.number(target) for target in _listed(spec["target"])]
        self.at = 0
        self.progress = self.number(spec.get("init_progress", 0))
        self.policy: int = spec.get("reset_policy", LIMITER)
        self.loops: bool = spec.get("loop_forever", False)
        self.conditions = list(enumerate(spec["conditions"]))
        kept = {_identity(one): at for at, one in reversed(self.conditions)}
        if len(kept) < len(self.conditions) and rules.on("equal_conditions"):
            self.conditions = [(at, one) for at, one in self.conditions if at in kept.values()]
        self.limiters = [Limiter(one, at, now) for at, one in enumerate(spec["limiters"])]
        different = {str(one): at for at, one in reversed(list(enumerate(spec["limiters"])))}
        if len(different) < len(self.limiters) and rules.on("equal_limiters"):
            self.limiters = [one for one in self.limiters if one.at in different.values()]
        self.limited = False
        self.dirtied = False
        self.completed = False
        # How many times a listener receives each event: there are no listeners until the group is cached.
        self.told = 0

    @property
    def target(self) -> Any:
        """The current target."""
        return self.targets[self.at]

    def number(self, value: Any) -> Any:
        """A number in the form used for counting."""
        if isinstance(value, str):
            value = float(value) if "float_sums" in self.rules.enabled else decimal.Decimal(value.strip())
        if isinstance(value, float) and not value.is_integer():
            self.rules.on("float_sums")
        return value if "float_sums" in self.rules.enabled or exact(value) in ("nan", "inf", "-inf") else exact(value)

    def described(self) -> list[Any]:
        """In the form of `build.described`."""
        limiters = {str(one.at): [exact(number) for number in one.state()] for one in self.limiters}
        return [self.name, exact(self.progress), exact(self.target), self.at + 1, self.limited, limiters]

    def event(self, code: int, limiter: Limiter | None = None) -> list[Any]:
        """An event about the current state of the tracker."""
        at = None if limiter is None else limiter.at
        return [code, self.name, exact(self.progress), exact(self.target), self.at + 1, at]

    def set_orders(self, orders: list[list[int]]) -> None:
        """Applies the orders of the sets in 2.1.5."""
        if self.rules.enabled == RULES.keys():
            kept = [[at for at, _ in self.conditions], [one.at for one in self.limiters]]
            assert [*map(sorted, orders)] == [*map(sorted, kept)], f"2.1.5 kept {orders} of {kept}"
        conditions, limiters = ({at: place for place, at in enumerate(order)} for order in orders)
        # Those that 2.1.5 dropped come last, if they are kept with one rule less.
        ordered = sorted(self.conditions, key=lambda one: conditions.get(one[0], len(conditions)))
        if ordered != self.conditions and self.rules.on("random_order"):
            self.conditions = ordered
        others = sorted(self.limiters, key=lambda one: limiters.get(one.at, len(limiters)))
        if others != self.limiters and self.rules.on("random_order"):
            self.limiters = others

    # One document.

    def track(self, document: dict[str, Any], now: int, shared: dict[Any, bool], tell: Tell) -> bool:
        """Applies a document. Returns whether the tracker is listed as limited."""
        first = bool(self.limiters) and self.rules.on("limiters_first")
        # Counts are not checked in this case: the mark tells what a count refuses.
        if first and self.refuses(now, tell, [one for one in self.limiters if self.limited or one.kind != "count"]):
            return True
        matches, amount = self.matches(document, shared), None
        if matches:
            try:
                amount = self.amount(document)
            except Raised:
                # Marked before the amount is read, so that the next document lists it.
                self.dirtied = True
                raise
            matches = amount is not None or self.rules.on("missing_amount")
        if not first:
            if not matches:
                return False
            if self.refuses(now, tell, self.limiters):
                return True
        if matches:
            self.dirtied = True
        late = bool(self.limiters) and self.reaches(amount) and self.rules.on("spends_renewed")
        if not late:
            self.spend()
        if matches:
            if amount is not None:
                self.progress += amount
                self.limited = False
            self.stages(now, tell)
        if late:
            self.spend()
        closed = [one for one in self.limiters if one.kind == "count" and one.remaining <= 0]
        if closed and self.dirtied and not self.completed:
            self.limited = True
            self.fire_limited(closed, tell)
        return self.limited

    def refuses(self, now: int, tell: Tell, asked: list[Limiter]) -> bool:
        """Whether a limiter refuses."""
        refusing = [one for one in asked if not one.admits(now)]
        if self.limited:
            return bool(refusing) or self.rules.on("never_reopens")
        if refusing:
            self.limited = self.dirtied = True
            self.fire_limited(refusing, tell)
        return bool(refusing)

    def fire_limited(self, refusing: list[Limiter], tell: Tell) -> None:
        """Fires LIMITED."""
        for limiter in refusing if len(refusing) > 1 and self.rules.on("all_fire") else refusing[:1]:
            tell(self.event(LIMITED, limiter))

    def spend(self) -> None:
        """Records a document."""
        for limiter in self.limiters:
            limiter.remaining -= limiter.kind == "count"

    def reaches(self, amount: Any) -> bool:
        """Whether an amount reaches the current target."""
        return not self.progress + (0 if amount is None else amount) < self.target

    def stages(self, now: int, tell: Tell) -> None:
        """Passes the targets that were reached."""
        passed = 0
        while not self.progress < self.target:
            if passed and self.rules.on("one_stage"):
                return
            passed += 1
            if passed > MOST_STAGES:
                # Neither does this, since a loop on the last target or with NaN would be endless.
                return
            is_last = self.at == len(self.targets) - 1
            reached = self.event(STAGE)
            if is_last and not self.loops:
                self.completed = True
                return tell(self.event(ALL))
            above = self.progress - self.target
            if not is_last:
                self.at += 1
            elif not self.rules.on("loop_on_last"):
                self.at = 0
                self.progress = above
            if self.policy & PROGRESS:
                self.progress = self.number(0)
            if self.policy & LIMITER:
                self.renew(now, lambda one: one.kind != "window" or self.rules.on("windows_move"))
            if self.rules.on("reset_at_stage"):
                tell(self.event(RESET))
            tell(reached)

    # Limiters.

    def renew(
        self, now: int, is_renewed: Callable[[Limiter], bool], count: int | None = None, seconds: int | None = None
    ) -> None:
        """Renews the limiters."""
        self.limited = False
        for at, limiter in enumerate(self.limiters):
            if not is_renewed(limiter):
                continue
            limiter.renew(now, count, seconds)
            if limiter.kind == "count" and limiter.count == 0:
                if self.rules.on("closed_silently"):
                    self.limited = True
                if at < len(self.limiters) - 1 and self.rules.on("reset_stops"):
                    return

    def reset(self, step: dict[str, Any], tell: Tell) -> None:
        """Resets it."""
        self.dirtied = False
        policy = self.policy if step["policy"] is None else step["policy"]
        if policy & PROGRESS:
            self.progress = self.number(0)
            if self.at and not self.rules.on("reset_keeps_stage"):
                self.at = 0
        if policy & LIMITER:
            self.renew(step["now"], lambda _: True, step["count"], step["seconds"])
        tell(self.event(RESET))

    # Conditions.

    def matches(self, document: dict[str, Any], shared: dict[Any, bool]) -> bool:
        """Whether all conditions hold."""
        for at, condition in self.conditions:
            identity = _identity(condition)
            # The result of an equal condition of another tracker; only failures matter.
            if shared.get(identity) is False and self.rules.on("equal_conditions"):
                return False
            holds = shared[identity] = self.holds(condition, document)
            if not holds:
                return False
        return True

    def holds(self, condition: list[Any], document: dict[str, Any]) -> bool:
        """Whether a condition holds."""
        name, key, *operands = condition
        value = self.look_up(key, document)
        if name == "KeyExists":
            return value is not MISSING
        if name == "KeyNotExists":
            return value is MISSING
        if value is MISSING:
            return False
        if key == build.AT:
            operands[0] = build.moment(operands[0])
        if name == "KeyValueComparison" or name[-2:] in OPERATORS:
            return self.compares(OPERATORS[name[-2:]] if len(operands) == 1 else operands[1], value, operands[0])
        kind = name.replace("Not", "")
        ask: dict[str, Callable[..., bool]] = {
            "KeyValueContained": self.contains,
            "KeyValueInList": lambda value, members: any(self.same(value, member) for member in members),
            "KeyValueListHasItem": self.has,
            "KeyValueListIntersectList": self.intersects,
        }
        return ask[kind](value, *operands) is (kind == name)

    def wrong_type(self) -> bool:
        """The result of an operation on other types."""
        if self.rules.on("wrong_types_raise"):
            raise Raised
        return False

    def same(self, one: Any, other: Any) -> bool:
        """Equality."""
        strict = bool(_strict(one) == _strict(other))
        if strict == (one == other):
            return strict
        return not strict if self.rules.on("true_is_one") else strict

    def compares(self, op: str, value: Any, operand: Any) -> bool:
        """The six comparisons."""
        if op in ("eq", "ne"):
            return self.same(value, operand) is (op == "eq")
        both = (value, operand)
        if any(all(isinstance(one, kind) for one in both) for kind in (str, datetime.datetime)):
            return bool(getattr(operator, op)(value, operand))
        if all(isinstance(one, (int, float)) for one in both):
            if any(isinstance(one, bool) for one in both) and not self.rules.on("true_is_one"):
                return False
            return bool(getattr(operator, op)(value, operand))
        if isinstance(value, tuple) and isinstance(operand, list):
            if not self.rules.on("order_of_lists"):
                return False
            try:
                return bool(getattr(operator, op)(value, tuple(operand)))
            except TypeError:
                return self.wrong_type()
        return self.wrong_type()

    def contains(self, value: Any, operand: str, case_sensitive: bool = True) -> bool:
        """A string in a string, a list or a map."""
        if not isinstance(value, (str, list, tuple, dict)):
            return self.wrong_type()
        if case_sensitive:
            return operand in value
        if isinstance(value, str):
            lower, folded = operand.lower() in value.lower(), operand.casefold() in value.casefold()
            return lower if lower != folded and self.rules.on("lower_case") else folded
        self.wrong_type()
        return operand.casefold() in [item.casefold() for item in value if isinstance(item, str)]

    def has(self, value: Any, operand: Any) -> bool:
        """An item of a list."""
        if isinstance(value, (list, tuple)):
            return any(self.same(item, operand) for item in value)
        if isinstance(value, dict) or (isinstance(value, str) and isinstance(operand, str)):
            return operand in value and self.rules.on("has_in_texts")
        return self.wrong_type()

    def intersects(self, value: Any, operand: list[Any]) -> bool:
        """A common item of two lists."""
        if isinstance(value, (list, tuple)):
            if any(isinstance(item, (list, dict)) for item in value):
                self.wrong_type()
            return any(self.same(item, other) for item in value for other in operand)
        if isinstance(value, (str, dict)):
            return bool(set(value) & set(operand)) and self.rules.on("has_in_texts")
        return self.wrong_type()

    # Values.

    def look_up(self, path: str, document: Any) -> Any:
        """The value at a path, or `MISSING`."""
        segments = [segment.replace("\0", ".") for segment in path.replace("\\.", "\0").split(".")]
        if "__dictor__" in path and self.rules.on("dictor_marker"):
            segments = [segment.replace("__dictor__", ".") for segment in segments]
        if "" in segments and not self.rules.on("empty_segments"):
            segments = [segment for segment in segments if segment]
        value = document
        for segment in segments:
            if isinstance(value, dict) and segment in value:
                value = value[segment]
            elif isinstance(value, (list, tuple)) and (at := self.index(segment)) is not None:
                if not -len(value) <= at < len(value):
                    return MISSING
                value = value[at]
            else:
                return MISSING
        return MISSING if isinstance(value, str) and value == MARKER and self.rules.on("missing_marker") else value

    def index(self, segment: str) -> int | None:
        """The index in a segment."""
        try:
            index = int(segment)
        except ValueError:
            return None
        return index if re.fullmatch("-?[0-9]+", segment) or self.rules.on("index_grammar") else None

    def amount(self, document: dict[str, Any]) -> Any:
        """By how much a document raises progress; `None` if it has no amount."""
        amount = self.read_amount(document)
        if amount is not None and abs(amount) > LARGEST and not self.rules.on("out_of_range"):
            return None
        return amount

    def read_amount(self, document: dict[str, Any]) -> Any:
        """A number in a document, of any size."""
        if self.spec["kind"] == "count":
            return self.number(1)
        value = self.look_up(self.spec["key"], document)
        if value is MISSING or value is None:
            return None
        if isinstance(value, bool):
            return self.number(int(value)) if self.rules.on("true_is_one") else None
        if isinstance(value, str):
            if JSON_NUMBER.fullmatch(value):
                return self.number(value)
            try:
                read = float(value)
            except ValueError:
                return self.no_amount()
            return self.number(read) if self.rules.on("text_amounts") else None
        if isinstance(value, float) and not math.isfinite(value):
            return value if self.rules.on("nan_completes") else None
        return self.number(value) if isinstance(value, (int, float)) else self.no_amount()

    def no_amount(self) -> None:
        """Not a number."""
        self.wrong_type()


class Group:
    """What one case does."""

    def __init__(self, enabled: Iterable[str]) -> None:
        self.rules = Rules(enabled)
        self.trackers: dict[str, Tracker] = {}
        # Those that completed, in that order.
        self.kept: list[str] = []
        # Some calls of 2.1.5 depend on whether the group is in its cache.
        self.cached = False

    def step(self, step: dict[str, Any], orders: dict[str, Any]) -> dict[str, Any]:
        """Does one step and returns the result in the form of the reference's answers."""
        done: dict[str, Any] = {"raised": None, "events": []}
        getattr(self, step["do"])(step, done, orders)
        return done

    def add(self, step: dict[str, Any], done: dict[str, Any], _: dict[str, Any]) -> None:
        """Adds a tracker."""
        spec = step["spec"]
        done["targets"] = spec["target"]
        known = self.trackers.get(spec["name"])
        if step["again"] and self.rules.on("object_again"):
            done["raised"] = "GroupIdDuplicateSetError"
            return
        done["refused"] = self.is_refused(spec)
        if done["refused"] == "for good":
            return
        if isinstance(spec["target"], list) and self.rules.on("target_consumed"):
            done["targets"] = spec["target"][1:]
        if known is not None:
            if self.rules.on("names_overwritten"):
                if self.cached:
                    done["raised"] = "ConflictingNameError"
                    return
            else:
                if known.spec != spec:
                    done["raised"] = "ConflictingNameError"
                return
        tracker = self.trackers[spec["name"]] = Tracker(spec, step["now"], self.rules)
        tracker.told = int(self.cached)
        done["events"].append(tracker.event(ADDED))

    def is_refused(self, spec: dict[str, Any]) -> str | None:
        """Whether a definition is refused for good, or until its window is turned round."""
        orders_lists = any(
            name in ("KeyValueLT", "KeyValueLE", "KeyValueGT", "KeyValueGE") and isinstance(operands[0], list)
            for name, _, *operands in spec["conditions"]
        )
        if orders_lists and not self.rules.on("order_of_lists"):
            return "for good"
        swapped = any(kind == "window" and numbers[0] > numbers[1] for kind, *numbers in spec["limiters"])
        return "swapped" if swapped and not self.rules.on("swapped_window") else None

    def track(self, step: dict[str, Any], done: dict[str, Any], orders: dict[str, Any]) -> None:
        """Applies a document."""
        if not self.cached:
            self.cached = bool(self.trackers)
            for tracker in self.trackers.values():
                tracker.told = 1
        done |= {"dirtied": [], "completed": [], "limited": []}
        document, shared = build.document(step["data"]), dict[Any, bool]()
        for tracker in list(self.trackers.values()):
            if tracker.name in orders:
                tracker.set_orders(orders[tracker.name])
            try:
                limited = tracker.track(document, step["now"], shared, self.teller(tracker, done))
            except Raised:
                done |= {"raised": "wrong type", "dirtied": [], "completed": [], "limited": []}
                return
            if limited:
                done["limited"].append(tracker.name)
            if tracker.dirtied:
                done["dirtied"].append(tracker.described())
                tracker.dirtied = False
            if tracker.completed:
                done["completed"].append(tracker.name)
                self.kept.append(tracker.name)
                del self.trackers[tracker.name]
        self.cached = bool(self.trackers)

    def teller(self, tracker: Tracker, done: dict[str, Any]) -> Tell:
        """What notes the events of a tracker."""

        def tell(event: list[Any]) -> None:
            twice = tracker.told > 1 and self.rules.on("fires_twice")
            done["events"] += [event] * (2 if twice else 1)

        return tell

    def reset(self, step: dict[str, Any], done: dict[str, Any], orders: dict[str, Any]) -> None:
        """Resets a tracker."""
        tracker = self.trackers.get(step["name"])
        if tracker is not None and tracker.name in orders:
            tracker.set_orders(orders[tracker.name])
        done["found"] = tracker is not None
        if tracker is not None:
            tracker.reset(step, done["events"].append)
            tracker.told = 2 if self.cached else 0
        elif self.cached and self.rules.on("reset_unknown"):
            done |= {"raised": "KeyError", "found": None}

    def show(self, step: dict[str, Any], done: dict[str, Any], _: dict[str, Any]) -> None:
        """Describes the active trackers."""
        done["trackers"] = [tracker.described() for tracker in self.trackers.values()]
        done["kept"] = [] if self.kept and self.rules.on("completed_deleted") else self.kept


def _listed(target: Any) -> list[Any]:
    return list(target) if isinstance(target, list) else [target]


def _identity(condition: list[Any]) -> tuple[Any, ...]:
    """What 2.1.5 compares of conditions: not the class, and not whether case matters."""
    name, key, *operands = condition
    if not operands:
        return "exists", key
    operand = tuple(operands[0]) if isinstance(operands[0], list) else operands[0]
    if name == "KeyValueComparison" or name[-2:] in OPERATORS:
        return OPERATORS[name[-2:]] if len(operands) == 1 else operands[1], key, operand
    return "list" if isinstance(operands[0], list) else "item", key, operand


def _strict(value: Any) -> Any:
    """A value that equals another one only if that is of the same kind."""
    if isinstance(value, bool):
        return ("truth", value)
    if isinstance(value, (list, tuple)):
        return [_strict(item) for item in value]
    if isinstance(value, dict):
        return {key: _strict(item) for key, item in value.items()}
    return value
