"""Random definitions and documents, here and on Python's dictrack 2.1.5: they differ where MIGRATION.md says so, and how.

Each case runs on both, and is told beforehand by a model (`differential/model.py`) in which every difference is a rule that
can be on or off. With the rules off the model has to tell exactly what dictrack does, with them on exactly what 2.1.5 does.
So a difference has no other reason than a rule, a rule excuses nothing but what it says, and what it does not change is
compared all the same. ``DICTRACK_TEST_CASES`` runs more cases, ``DICTRACK_TEST_SEED`` others.
"""

from __future__ import annotations

import collections
import concurrent.futures
import dataclasses
import json
import os
import pathlib
import re
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
from differential import build, generate
from differential.model import RULES, Group, exact

import dictrack as dt
from dictrack.events import EVENT_ALL, TrackerEvent

HERE = pathlib.Path(__file__).resolve().parent
REPOSITORY = HERE.parents[2]
CASES = int(os.environ.get("DICTRACK_TEST_CASES", "2400"))
SEED = int(os.environ.get("DICTRACK_TEST_SEED", "215"))
Step = dict[str, Any]


def reference_python() -> str:
    """The interpreter that has dictrack 2.1.5."""
    given = os.environ.get("DICTRACK_TEST_PYTHON_2_1_5") or str(REPOSITORY / ".servers/python-2.1.5/bin/python")
    found = shutil.which(given)
    assert found is not None, f"no {given}; `scripts/setup tests` makes it, or set DICTRACK_TEST_PYTHON_2_1_5"
    return found


class Reference:
    """Python's dictrack 2.1.5 in a process of its own."""

    def __init__(self, *options: str) -> None:
        command = [reference_python(), str(HERE / "differential" / "reference.py"), *options]
        # Its sets are in the same order each time.
        environment = {**os.environ, "PYTHONHASHSEED": "215"}
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment, cwd=HERE
        )

    def run(self, steps: list[Step]) -> list[Step]:
        """Runs a case."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(json.dumps(steps) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        assert line, f"the reference ended with {self.process.wait()}"
        answers: list[Step] = json.loads(line)
        return answers

    def end(self) -> None:
        """Ends the process."""
        self.process.communicate(timeout=30)


@pytest.fixture
def reference() -> Iterator[Reference]:
    """Python's dictrack 2.1.5."""
    started = Reference()
    yield started
    started.end()


class Ours:
    """A case on a manager in memory."""

    def __init__(self, steps: list[Step]) -> None:
        self.manager = dt.TrackingManager()
        self.events: list[TrackerEvent] = []
        for code in EVENT_ALL:
            self.manager.add_listener(code, self.events.append)
        self.added: dict[str, Any] = {}
        self.answers = [self.step(step) for step in steps]
        self.manager.close()

    def step(self, step: Step) -> Step:
        done: Step = {"raised": None}
        try:
            getattr(self, step["do"])(step, done)
        except (dt.DictrackError, TypeError, ValueError) as error:
            done["raised"] = type(error).__name__
        done["events"] = [_event(event) for event in self.events]
        self.events.clear()
        return done

    def add(self, step: Step, done: Step) -> None:
        spec = step["spec"]
        if step["again"]:
            tracker = self.added.get(spec["name"])
        else:
            tracker, done["refused"] = _built(spec)
        done["targets"] = spec["target"]
        if tracker is not None:
            self.added.setdefault(spec["name"], tracker)
            self.manager.add_tracker("group", tracker, now=step["now"])

    def track(self, step: Step, done: Step) -> None:
        data = build.document(step["data"])
        before = json.dumps(data)
        outcome = self.manager.track("group", data, now_ts=step["now"])
        assert [event.id for event in outcome.events] == [event.id for event in self.events], "listeners hear the outcome"
        assert outcome.failed == {} and json.dumps(data) == before
        _, dirtied, completed, limited = outcome
        done["dirtied"] = [_described(tracker) for tracker in dirtied]
        done["completed"] = [tracker.name for tracker in completed]
        done["limited"] = [tracker.name for tracker in limited]

    def reset(self, step: Step, done: Step) -> None:
        options = {"reset_" + name: step[name] for name in ("count", "seconds") if step[name] is not None}
        done["found"] = self.manager.reset_tracker(
            "group", step["name"], reset_policy=step["policy"], now_ts=step["now"], **options
        )

    def show(self, step: Step, done: Step) -> None:
        done["trackers"] = [_described(tracker) for tracker in self.manager.get_trackers("group", now=step["now"])]


def _built(spec: Step) -> tuple[Any, str | None]:
    """The tracker of a specification; where its window is refused for being turned round, with that turned back."""
    try:
        return build.tracker(spec), None
    except dt.DefinitionError as error:
        if not re.fullmatch(r"limiters\[0\].end: .* is before the start .*", str(error)):
            assert re.fullmatch(r"conditions\[0\]\.[lg]t: a list; expected a number or a text", str(error)), str(error)
            return None, "for good"
    turned = [[kind, *sorted(numbers)] for kind, *numbers in spec["limiters"]]
    return build.tracker({**spec, "limiters": turned}), "swapped"


def _described(tracker: Any) -> list[Any]:
    return build.described(tracker, list(enumerate(tracker.limiters)))


def _event(event: TrackerEvent) -> list[Any]:
    shown = event.tracker
    assert (event.progress, event.target, event.stage) == (shown.progress, shown.target, shown.current_stage)
    assert event.times == 1
    return build.event(event, lambda event: next(at for at, one in enumerate(shown.limiters) if one is event.limiter))


def _parsed(answer: Step) -> Step:
    """An answer with its numbers as the model has them."""
    made = {key: value for key, value in answer.items() if key != "orders"}
    for listed in ("dirtied", "trackers"):
        if listed in made:
            made[listed] = [
                [name, exact(progress), exact(target), stage, limited, {at: [*map(exact, one)] for at, one in states.items()}]
                for name, progress, target, stage, limited, states in made[listed]
            ]
    made["events"] = [
        [code, name, exact(progress), exact(target), stage, at] for code, name, progress, target, stage, at in made["events"]
    ]
    return made


def _told(rules: Any, steps: list[Step], orders: list[Any]) -> tuple[list[Step], set[str]]:
    """What the model tells with some rules, and the rules that have to do with the case."""
    group = Group(rules)
    return [group.step(step, order) for step, order in zip(steps, orders)], group.rules.asked


@dataclasses.dataclass
class Compared:
    """What the cases showed."""

    documents: int = 0
    exact_documents: int = 0
    other_steps: int = 0
    exact_other_steps: int = 0
    documents_of: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    steps_of: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    several: int = 0

    def case(self, seed: int, steps: list[Step], answers: list[Step]) -> None:
        """Compares one case."""
        orders = [answer.get("orders", {}) for answer in answers]
        theirs = [_parsed(answer) for answer in answers]
        ours = [_parsed(answer) for answer in Ours(steps).answers]
        law, _ = _told((), steps, orders)
        legacy, asked = _told(RULES, steps, orders)
        for at, step in enumerate(steps):
            place = f"case {seed}, step {at}: {step}\nsteps before: {steps[:at]}\n"
            assert ours[at] == _expected(law[at], ours[at]), f"dictrack does something else than it should, {place}"
            assert theirs[at] == _expected(legacy[at], theirs[at]), f"2.1.5 differs by no rule, {place}"
        alike = [_alike(one, other) for one, other in zip(ours, theirs)]
        reasons = _reasons(steps, orders, law, legacy, asked) if not all(alike) else [set[str]() for _ in steps]
        for step, same, why in zip(steps, alike, reasons):
            is_document = step["do"] == "track"
            self.documents += is_document
            self.other_steps += not is_document
            self.exact_documents += is_document and same
            self.exact_other_steps += not is_document and same
            if not same:
                self.several += not why
                self.steps_of.update(why)
                if is_document:
                    self.documents_of.update(why)


def _expected(told: Step, found: Step) -> Step:
    """What the model tells, of what was found: only 2.1.5 says which wrong type it met, only here is a refusal."""
    told = {key: value for key, value in told.items() if key in found or key not in ("refused", "found")}
    if told["raised"] == "wrong type" and found["raised"] in ("TypeError", "ValueError", "AttributeError"):
        told["raised"] = found["raised"]
    return told


def _alike(ours: Step, theirs: Step) -> bool:
    return {**ours, "refused": None} == {**theirs, "refused": ours.get("refused")}


def _reasons(
    steps: list[Step], orders: list[Any], law: list[Step], legacy: list[Step], asked: set[str]
) -> list[set[str]]:
    """For each step the rules without which 2.1.5, or with which dictrack, would do something else there."""
    reasons: list[set[str]] = [set() for _ in steps]
    for rule in asked:
        without, _ = _told(RULES.keys() - {rule}, steps, orders)
        only, _ = _told((rule,), steps, orders)
        for at, why in enumerate(reasons):
            if without[at] != legacy[at] or only[at] != law[at]:
                why.add(rule)
    return reasons


def test_every_difference_to_2_1_5_has_its_rule(reference: Reference, capsys: pytest.CaptureFixture[str]) -> None:
    compared = Compared()
    seeds = [SEED * 1_000_000 + at for at in range(CASES)]
    cases = [generate.case(seed)[1] for seed in seeds]
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        for seed, steps, answers in zip(seeds, cases, pool.map(reference.run, cases)):
            compared.case(seed, steps, answers)
    with capsys.disabled():
        print(f"\n{CASES} cases, seed {SEED}: {compared.documents} documents, {compared.exact_documents} exactly the same")
        print(f"{compared.other_steps} other steps, {compared.exact_other_steps} exactly the same")
        for rule in RULES:
            print(f"  {rule}: {compared.documents_of[rule]} documents, {compared.steps_of[rule]} steps")
        print(f"  several rules at once: {compared.several}")
    assert CASES >= 2000
    assert compared.exact_documents >= 0.6 * compared.documents
    assert not RULES.keys() - compared.steps_of.keys(), "a rule that no case needs excuses nothing: remove it"
