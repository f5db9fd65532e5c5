"""Random cases: trackers, documents and resets, reproducible by seed."""

from __future__ import annotations

import copy
import random
from typing import Any

from differential import build

START = 1_000_000
# What a case is about, and how many of a hundred are. Most are about nothing in particular, and both versions agree.
FLAVOURS = {"plain": 62, "stages": 7, "limiters": 8, "values": 9, "conditions": 7, "group": 7}
EVENTS = ["login", "purchase", "view"]
TIERS = ["gold", "Silver", "bronze"]
MOMENTS = ["2026-05-01T08:00:00+00:00", "2026-05-01T08:00:00.000001+00:00", "2026-11-30T23:59:59+00:00"]
TAGS = ["red", "green", "blue", "login"]


class Maker:
    """Generates one case."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.flavour = self.random.choices(list(FLAVOURS), list(FLAVOURS.values()))[0]
        self.now = START

    def chance(self, probability: float) -> bool:
        return self.random.random() < probability

    def one(self, *values: Any) -> Any:
        return self.random.choice(values)

    def of(self, *flavours: str) -> bool:
        return self.flavour in flavours

    def steps(self) -> list[dict[str, Any]]:
        """The steps of the case."""
        steps = [self.add(f"tracker_{at}") for at in range(self.random.randint(1, 4))]
        specs = [step["spec"] for step in steps]
        if self.of("group"):
            steps += self.more_of_group(specs)
        for _ in range(self.random.randint(5, 11)):
            self.now += self.one(0, 1, 2, 5, 9)
            if self.chance(0.25 if self.of("group", "limiters") else 0.03):
                steps.append(self.reset(self.random.choice(specs)))
            elif self.of("group") and self.chance(0.2):
                steps += self.more_of_group(specs)
            steps.append({"do": "track", "data": self.document(), "now": self.now})
        return [*steps, {"do": "show", "now": self.now}]

    def add(self, name: str) -> dict[str, Any]:
        return {"do": "add", "spec": self.spec(name), "again": False, "now": self.now}

    def more_of_group(self, specs: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Adds of existing trackers, and resets of missing ones."""
        spec = copy.deepcopy(self.random.choice(specs))
        what = self.one("object", "equal", "different", "new", "unknown")
        if what == "object":
            return [{"do": "add", "spec": spec, "again": True, "now": self.now}]
        if what == "different":
            spec["target"] = [99_991]
        if what == "new":
            added = self.add(f"tracker_{len(specs)}")
            specs.append(added["spec"])
            return [added]
        if what == "unknown":
            return [{"do": "reset", "name": "nobody", "policy": None, "count": None, "seconds": None, "now": self.now}]
        return [{"do": "add", "spec": spec, "again": False, "now": self.now}]

    def reset(self, spec: dict[str, Any]) -> dict[str, Any]:
        kinds = [kind for kind, *_ in spec["limiters"]]
        # One count and one window, since 2.1.5 merges limiters that become equal later.
        count = kinds.count("count") == 1 and self.chance(0.4)
        seconds = len(kinds) - kinds.count("count") == 1 and self.chance(0.4)
        return {
            "do": "reset",
            "name": spec["name"],
            "policy": self.one(None, 0, 1, 2, 3, 3),
            "count": self.one(0, 0, 2, 4) if count else None,
            "seconds": self.one(3, 20) if seconds else None,
            "now": self.now,
        }

    # Definitions.

    def spec(self, name: str) -> dict[str, Any]:
        kind = self.one("count", "count", "sum")
        loops = self.chance(0.25 if self.of("stages") else 0.02)
        spec: dict[str, Any] = {
            "name": name,
            "kind": kind,
            "target": self.target(kind, loops),
            "conditions": [self.condition() for _ in range(self.one(0, 1, 1, 1, 2, 3))],
            "limiters": self.limiters(),
        }
        if self.of("conditions") and self.chance(0.5):
            spec["conditions"] += self.clashing()
        if kind == "sum":
            spec["key"] = "leap" if self.of("stages") and not loops else self.amount_key()
        if self.chance(0.5):
            spec["reset_policy"] = self.random.randint(0, 3)
        if loops:
            spec["loop_forever"] = True
        elif self.chance(0.15):
            spec["init_progress"] = self.one(1, 0.5, 2)
        return spec

    def target(self, kind: str, loops: bool) -> Any:
        scale = 1 if kind == "count" else 10
        if loops:
            return self.one([2 * scale], [2 * scale, 4 * scale])
        if self.of("stages"):
            return self.one([scale, 2 * scale, 4 * scale], [2 * scale, 3 * scale], [3 * scale, 2 * scale, scale])
        if self.chance(0.1):
            return [2 * scale, 5 * scale]
        return self.one(3 * scale, 4 * scale, 100 * scale, [5 * scale], 2.5 * scale)

    def amount_key(self) -> str:
        if self.of("values"):
            return str(self.one("amount", "amount", "cents", "cents", "wild", "cart.sum", "name"))
        return str(self.one("amount", "amount", "cart.sum", "prices.-1"))

    def limiters(self) -> list[list[Any]]:
        if not self.of("limiters", "stages", "group"):
            return [self.limiter()] if self.chance(0.05) else []
        if self.of("stages", "group") and self.chance(0.6):
            return []
        # Two windows of the same length could become equal; a duplicate is equal from the start.
        kinds = self.random.sample(["count", "window", "interval"], self.one(1, 1, 2, 3))
        limiters = [self.limiter(kind) for kind in kinds]
        if self.chance(0.15):
            limiters.append(list(limiters[0]))
        return limiters

    def limiter(self, kind: str | None = None) -> list[Any]:
        kind = kind or self.one("count", "window", "interval")
        if kind == "count":
            return ["count", self.one(1, 2, 3, 5)]
        if kind == "interval":
            return ["interval", self.one(9, 30)]
        start = self.now + self.one(-5, 0, 0, 4)
        window = ["window", start, start + self.one(11, 25, 40)]
        if self.of("limiters") and self.chance(0.15):
            window[1:] = reversed(window[1:])
        return window

    def condition(self) -> list[Any]:
        wild = self.of("values") and self.chance(0.7)
        return self.wild_condition() if wild else self.tame_condition()

    def tame_condition(self) -> list[Any]:
        """A condition on a value that has the type it expects."""
        order = self.one("KeyValueLT", "KeyValueLE", "KeyValueGT", "KeyValueGE")
        return list(
            self.one(
                ["KeyExists", self.one("event", "user.tier", "optional", "tags.2", "none")],
                ["KeyNotExists", self.one("missing", "optional", "user.name.first", "tags.9")],
                ["KeyValueEQ", "event", self.one(*EVENTS)],
                ["KeyValueEQ", "event", self.one(*EVENTS)],
                ["KeyValueEQ", "user.tier", self.one(*TIERS)],
                ["KeyValueEQ", "none", None],
                ["KeyValueNE", self.one("event", "optional"), self.one(*EVENTS)],
                ["KeyValueComparison", "level", self.one(0, 1, 3, 5), self.one("eq", "ne", "lt", "le", "gt", "ge")],
                [order, "level", self.one(0, 1, 2.5, 4)],
                [order, "ratio", self.one(0.25, 0.5, 1)],
                [order, "event", self.one("login", "m", "z")],
                ["KeyValueContained", "name", self.one("Tim", "a", "zz", ""), True],
                ["KeyValueContained", "name", self.one("tim", "ANNA"), False],
                ["KeyValueContained", "tags", self.one(*TAGS), True],
                ["KeyValueContained", "user", self.one("tier", "level"), True],
                ["KeyValueNotContained", "name", self.one("Tim", "o"), True],
                ["KeyValueInList", "event", self.random.sample(EVENTS, 2)],
                ["KeyValueInList", "level", [1, 3, 5]],
                ["KeyValueNotInList", "event", self.random.sample(EVENTS, 1)],
                ["KeyValueListHasItem", "tags", self.one(*TAGS)],
                ["KeyValueListNotHasItem", "tags", self.one(*TAGS)],
                ["KeyValueListIntersectList", "tags", self.random.sample(TAGS, 2)],
                ["KeyValueListNotIntersectList", "tags", self.random.sample(TAGS, 2)],
                ["KeyValueGE", "prices.0", self.one(1, 5)],
                ["KeyValueLT", "a\\.b", 3],
                [order, build.AT, self.one(*MOMENTS)],
                ["KeyValueEQ", build.AT, MOMENTS[0]],
            )
        )

    def wild_condition(self) -> list[Any]:
        """A condition that meets values of any type, and keys of any form."""
        key = self.one("wild", "wild", "tags", "user", "name", "flag", "level", "number")
        return list(
            self.one(
                [self.one("KeyValueEQ", "KeyValueNE"), key, self.one(0, 1, True, False, "1", "red", None)],
                [self.one("KeyValueLT", "KeyValueGE"), key, self.one(0, 1.5, "m")],
                ["KeyValueComparison", key, self.one(1, "1"), self.one("le", "gt")],
                [self.one("KeyValueContained", "KeyValueNotContained"), key, self.one("red", "e", "tier"), True],
                [self.one("KeyValueContained", "KeyValueNotContained"), key, self.one("RED", "e"), False],
                ["KeyValueContained", "name", self.one("STRASSE", "ΟΔΟΣ", "ſ"), False],
                [self.one("KeyValueInList", "KeyValueNotInList"), key, [1, "red", False]],
                [self.one("KeyValueListHasItem", "KeyValueListNotHasItem"), key, self.one("red", "e", "tier", 1)],
                [self.one("KeyValueListIntersectList", "KeyValueListNotIntersectList"), key, ["e", "tier", 1]],
                [self.one("KeyValueLT", "KeyValueGT"), build.PAIR, self.one([1, 2], [2, "a"])],
                [self.one("KeyExists", "KeyNotExists"), self.one("user..tier", "user.", "x.", "a__dictor__b", "wild")],
                ["KeyExists", self.one("tags.+1", "tags. 1", "tags.0_1")],
                [self.one("KeyExists", "KeyNotExists"), self.one("marked", "marked", "user.marked")],
                ["KeyExists", "a__dictor__b"],
                ["KeyValueEQ", self.one("tags.+0", "user.tier."), self.one("red", "gold")],
            )
        )

    def clashing(self) -> list[list[Any]]:
        """Conditions that 2.1.5 treats as equal, or whose order it reveals."""
        return list(
            self.one(
                [["KeyExists", "optional"]],
                [["KeyNotExists", "optional"]],
                [["KeyExists", "event"], ["KeyNotExists", "missing"]],
                [["KeyExists", "optional"], ["KeyNotExists", "optional"]],
                [["KeyValueContained", "name", "Tim", True], ["KeyValueContained", "name", "Tim", False]],
                [["KeyValueNotContained", "name", "Tim", True]],
                [["KeyValueContained", "name", "Tim", True]],
                [["KeyValueInList", "event", ["login"]]],
                [["KeyValueNotInList", "event", ["login"]]],
                [["KeyValueListHasItem", "tags", "red"]],
                [["KeyValueListNotHasItem", "tags", "red"]],
                [["KeyValueListIntersectList", "tags", ["red", "blue"]]],
                [["KeyValueListNotIntersectList", "tags", ["red", "blue"]]],
                [["KeyValueGT", "wild", 1], ["KeyValueEQ", "event", "login"], ["KeyValueLT", "level", 3]],
            )
        )

    # Documents.

    def document(self) -> dict[str, Any]:
        data: dict[str, Any] = {
            "event": self.one(*EVENTS),
            "level": self.random.randint(0, 5),
            "ratio": self.one(0.25, 0.5, 0.75, 2),
            "name": self.one("Tim", "TIMO", "Anna", "tim and Anna"),
            "none": None,
            "tags": self.random.sample(TAGS, self.one(1, 2, 3)),
            "user": {"tier": self.one(*TIERS), "name": "Tim"},
            "prices": [self.one(1, 2, 8)] * self.one(1, 2),
            "amount": self.one(1, 2, 5, 7.5, 0, -3 if not self.of("stages") else 3),
            "cart": {"sum": self.one(3, 0.25, 9)},
            "a.b": self.one(1, 4),
            build.AT: self.one(*MOMENTS),
        }
        if self.chance(0.5):
            data["optional"] = self.one(*EVENTS)
        if self.of("values"):
            self.add_wild(data)
        if self.of("stages"):
            # One of them passes several targets, but none completes a whole cycle of a loop.
            data["amount"], data["leap"] = self.one(3, 8, 9.5, 12, 19), self.one(3, 12, 45)
        if self.of("conditions"):
            data["wild"] = self.one(0, 2, 2, 3, "text")
        return data

    def add_wild(self, data: dict[str, Any]) -> None:
        """Values of any type, where other types are expected."""
        anything = [True, False, None, 0, 1, 1.0, 3, "red", "1", "m", ["red"], [1], [True, "e"], [[1]], {"red": 1}, {}]
        data["wild"] = self.random.choice(anything)
        data["flag"] = self.chance(0.5)
        data["number"] = self.one(1, 1.0, 2**53 + 1, 2.0**53, float("nan"))
        data["name"] = self.one("Straße", "strasse", "οδος", "ΟΔΟΣ", "red S", "Tim")
        if self.chance(0.1):
            data[self.one("tags", "user", "level")] = self.random.choice(anything)
        data["cents"] = self.one(0.1, 0.2, 0.7)
        amounts: list[Any] = [10**21, 1e300, -2e20, 0.1, 0.2, 0.7, 1, True, None, [], float("nan"), float("inf")]
        data["amount"] = self.one(*amounts, "2.5", " +3 ", "1e1", "1e30", "1_0", "inf", ".5", "05", "many")
        if self.chance(0.2):
            del data["amount"]
        data[build.PAIR] = self.one([1, 1], [1, 3], [3], ["x", 2], "text")
        data["a.b"] = 1
        if self.chance(0.5):
            data[self.one("", "x", "a__dictor__b")] = {"": 1}
        if self.chance(0.4) and isinstance(data["user"], dict):
            data["user"][""] = {"tier": "gold"}
        data["marked"] = self.one("_THIS_IS_DEFAULT_VALUE", "text")


def case(seed: int) -> tuple[str, list[dict[str, Any]]]:
    """The case for a seed: what it is about, and its steps."""
    maker = Maker(seed)
    return maker.flavour, maker.steps()
