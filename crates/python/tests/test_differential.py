"""Random definitions and documents, here and on Python's dictrack 2.1.5: they differ as MIGRATION.md says.

Each case runs on both, and is told beforehand by a model (`differential/model.py`) in which every difference is a rule
that can be on or off. With the rules off the model has to tell exactly what dictrack does, with them on exactly what
2.1.5 does. So a difference has no other reason than a rule, a rule excuses nothing but what it says, and what it does
not change is compared all the same. ``DICTRACK_TEST_CASES`` runs more cases, ``DICTRACK_TEST_SEED`` others.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import json
import os
import pathlib
import re
import shutil
import subprocess
import threading
from collections.abc import Collection, Iterator
from typing import Any

import pytest
from differential import build, generate
from differential.model import RULES, Group, exact

import dictrack as dt
from dictrack.events import EVENT_ALL, TrackerEvent

HERE = pathlib.Path(__file__).resolve().parent
REPOSITORY = HERE.parents[2]
CASES = int(os.environ.get("DICTRACK_TEST_CASES", "2100"))
SEED = int(os.environ.get("DICTRACK_TEST_SEED", "215"))
Step = dict[str, Any]


def reference_python() -> str:
    """The interpreter that has dictrack 2.1.5."""
    given = os.environ.get("DICTRACK_TEST_PYTHON_2_1_5") or str(REPOSITORY / ".servers/python-2.1.5/bin/python")
    found = shutil.which(given)
    assert found is not None, f"no {given}; `scripts/setup tests` makes it, or set DICTRACK_TEST_PYTHON_2_1_5"
    return found


class Reference:
    """Python's dictrack 2.1.5 in a separate process."""

    def __init__(self, *options: str) -> None:
        command = [reference_python(), str(HERE / "differential" / "reference.py"), *options]
        # The same string hashes each time. Hashes of operators are addresses, so the answers include the orders of sets.
        environment = {**os.environ, "PYTHONHASHSEED": "215"}
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment, cwd=HERE
        )

    def run(self, cases: list[list[Step]]) -> Iterator[list[Step]]:
        """Runs cases and yields their answers one after another."""
        assert self.process.stdin is not None and self.process.stdout is not None
        stdin, lines = self.process.stdin, "".join(json.dumps(steps) + "\n" for steps in cases)

        def write() -> None:
            # A process that has ended reads no more; its missing answer shows this.
            with contextlib.suppress(BrokenPipeError):
                stdin.write(lines)
                stdin.flush()

        # Concurrently with reading, since a pipe buffers little and both processes work at the same time.
        writer = threading.Thread(target=write, daemon=True)
        writer.start()
        for _ in cases:
            line = self.process.stdout.readline()
            assert line, f"the reference ended with {self.process.wait()}"
            yield json.loads(line)
        writer.join()

    def end(self) -> None:
        """Ends the process."""
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def reference() -> Iterator[Reference]:
    """Python's dictrack 2.1.5."""
    started = Reference()
    yield started
    started.end()


class Ours:
    """Runs cases on one in-memory manager, each in its own group."""

    def __init__(self) -> None:
        self.manager = dt.TrackingManager()
        self.group = ""
        self.cases = 0
        self.events: list[TrackerEvent] = []
        for code in EVENT_ALL:
            self.manager.add_listener(code, self.events.append)
        self.added: dict[str, Any] = {}

    def run(self, steps: list[Step]) -> list[Step]:
        """Runs a case."""
        self.cases += 1
        self.group = f"case {self.cases}"
        self.added.clear()
        return [self.step(step) for step in steps]

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
            self.manager.add_tracker(self.group, tracker, now=step["now"])

    def track(self, step: Step, done: Step) -> None:
        data = build.document(step["data"])
        before = repr(data)
        outcome = self.manager.track(self.group, data, now_ts=step["now"])
        # Listeners receive the events of the outcome, and the caller's document does not change.
        assert [event.id for event in outcome.events] == [event.id for event in self.events]
        assert (outcome.is_ok, outcome.failed, outcome.duplicate) == (True, {}, False)
        assert repr(data) == before
        _, dirtied, completed, limited = outcome
        done["dirtied"] = [_described(tracker) for tracker in dirtied]
        done["completed"] = [tracker.name for tracker in completed]
        done["limited"] = [tracker.name for tracker in limited]

    def reset(self, step: Step, done: Step) -> None:
        options = {"reset_" + name: step[name] for name in ("count", "seconds") if step[name] is not None}
        done["found"] = self.manager.reset_tracker(
            self.group, step["name"], reset_policy=step["policy"], now_ts=step["now"], **options
        )

    def show(self, step: Step, done: Step) -> None:
        trackers = self.manager.get_trackers(self.group, now=step["now"])
        done["trackers"] = [_described(tracker) for tracker in trackers]
        done["kept"] = [tracker.name for tracker in self.manager.completed(self.group)]


def _built(spec: Step) -> tuple[Any, str | None]:
    """The tracker for a specification. If its window is rejected because its bounds are swapped, swaps them back."""
    try:
        return build.tracker(spec), None
    except dt.DefinitionError as error:
        if not re.fullmatch(r"(limiters\[0\].)?end: end .* is before start .*", str(error)):
            assert re.fullmatch(r"conditions\[0\]\.[lg]t: a list; expected a number or a string", str(error)), str(
                error
            )
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
    """An answer with its numbers in the form of the model."""
    made = {key: value for key, value in answer.items() if key != "orders"}
    for listed in ("dirtied", "trackers"):
        if listed in made:
            made[listed] = [
                [name, exact(progress), exact(target), *others, {at: [*map(exact, one)] for at, one in states.items()}]
                for name, progress, target, *others, states in made[listed]
            ]
    made["events"] = [
        [code, name, exact(progress), exact(target), *others]
        for code, name, progress, target, *others in made["events"]
    ]
    return made


def _told(rules: Any, steps: list[Step], orders: list[Any]) -> tuple[list[Step], set[str]]:
    """The result of the model with some rules, and the rules that affect the case."""
    group = Group(rules)
    return [group.step(step, order) for step, order in zip(steps, orders)], group.rules.asked


@dataclasses.dataclass
class Compared:
    """The results of the cases."""

    ours: Ours = dataclasses.field(default_factory=Ours)
    documents: int = 0
    exact_documents: int = 0
    other_steps: int = 0
    exact_other_steps: int = 0
    documents_of: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    steps_of: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)

    def case(self, seed: int, steps: list[Step], answers: list[Step]) -> None:
        """Compares one case."""
        orders = [answer.get("orders", {}) for answer in answers]
        theirs = [_parsed(answer) for answer in answers]
        ours = [_parsed(answer) for answer in self.ours.run(steps)]
        law, _ = _told((), steps, orders)
        legacy, asked = _told(RULES, steps, orders)
        for at, step in enumerate(steps):
            place = f"case {seed}, step {at}: {step}\nsteps before: {steps[:at]}\norders: {orders[: at + 1]}\n"
            assert ours[at] == _expected(law[at], ours[at]), f"dictrack does something else than it should, {place}"
            assert theirs[at] == _expected(legacy[at], theirs[at]), f"2.1.5 differs by no rule, {place}"
        different = {at for at, both in enumerate(zip(ours, theirs)) if not _alike(*both)}
        reasons = _reasons(different, steps, orders, law, legacy, asked)
        for at, step in enumerate(steps):
            if step["do"] == "track":
                self.documents += 1
                self.exact_documents += at not in different
                self.documents_of.update(reasons.get(at, ()))
            else:
                self.other_steps += 1
                self.exact_other_steps += at not in different
            self.steps_of.update(reasons.get(at, ()))


def _expected(told: Step, found: Step) -> Step:
    """The part of the model's result to compare: only 2.1.5 names a wrong type, and only this version has refusals."""
    told = {key: value for key, value in told.items() if key in found or key not in ("refused", "found")}
    if told["raised"] == "wrong type" and found["raised"] in ("TypeError", "ValueError", "AttributeError"):
        told["raised"] = found["raised"]
    return told


def _alike(ours: Step, theirs: Step) -> bool:
    return {**ours, "refused": None} == {**theirs, "refused": ours.get("refused")}


def _reasons(
    different: set[int], steps: list[Step], orders: list[Any], law: list[Step], legacy: list[Step], asked: set[str]
) -> dict[int, set[str]]:
    """For each step that differs, the rules without which 2.1.5 would behave differently.

    Where it would not, since several say the same, those with which dictrack would, or else one of them.
    """
    reasons: dict[int, set[str]] = {at: set() for at in different}

    def look(rule: str, rules: Collection[str], base: list[Step]) -> None:
        told, _ = _told(rules, steps, orders)
        for at, why in reasons.items():
            if told[at] != base[at]:
                why.add(rule)

    if different:
        for rule in asked:
            look(rule, RULES.keys() - {rule}, legacy)
    if not all(reasons.values()):
        for rule in asked:
            look(rule, [rule], law)
    if not all(reasons.values()):
        # Of several rules with the same effect, the last one to be turned off.
        left = {at: reasons.pop(at) for at in list(reasons) if reasons[at]}
        on = list(RULES)
        while on and not all(reasons.values()):
            rule = on.pop()
            told, _ = _told(on, steps, orders)
            for at, why in reasons.items():
                if not why and told[at] != legacy[at]:
                    why.add(rule)
        reasons |= left
    assert all(reasons.values()), f"no rule has to do with steps {different} of {steps}"
    return reasons


@pytest.fixture(scope="module")
def migration() -> set[str]:
    """The subjects in the table of differences in MIGRATION.md."""
    text = (REPOSITORY / "MIGRATION.md").read_text().split("## Differences")[1]
    return {line.split("|")[1].strip() for line in text.splitlines() if line.startswith("| ")}


@pytest.mark.parametrize("rule", RULES)
def test_the_difference_is_told_in_migration_md(rule: str, migration: set[str]) -> None:
    assert RULES[rule].row in migration, f"MIGRATION.md has no row {RULES[rule].row!r}: {RULES[rule].text}"


def test_every_difference_to_2_1_5_has_its_rule(reference: Reference, capsys: pytest.CaptureFixture[str]) -> None:
    compared = Compared()
    seeds = [SEED * 1_000_000 + at for at in range(CASES)]
    cases = [generate.case(seed)[1] for seed in seeds]
    for seed, steps, answers in zip(seeds, cases, reference.run(cases), strict=True):
        compared.case(seed, steps, answers)
    with capsys.disabled():
        print(f"\n{CASES} cases, seed {SEED}")
        print(f"{compared.documents} documents, {compared.exact_documents} exactly the same")
        print(f"{compared.other_steps} other steps, {compared.exact_other_steps} exactly the same")
        for rule in RULES:
            print(f"  {rule}: {compared.documents_of[rule]} documents, {compared.steps_of[rule]} steps")
    assert CASES >= 2000
    assert compared.documents >= 5 * CASES
    assert compared.exact_documents >= 0.6 * compared.documents
    assert not RULES.keys() - compared.steps_of.keys(), "a rule that no case needs excuses nothing: remove it"


SIMPLE = [
    {
        "do": "add",
        "spec": {"name": "one", "kind": "count", "target": 5, "conditions": [["KeyExists", "event"]], "limiters": []},
        "again": False,
        "now": generate.START,
    },
    {"do": "track", "data": {"event": "login"}, "now": generate.START},
]


def test_what_no_rule_says_is_found(reference: Reference) -> None:
    compared, (answers,) = Compared(), reference.run([SIMPLE])
    compared.case(0, SIMPLE, answers)
    assert (compared.documents, compared.exact_documents, compared.other_steps) == (1, 1, 1)
    answers[1]["dirtied"][0][1] = "2"
    with pytest.raises(AssertionError, match="2.1.5 differs by no rule, case 0, step 1"):
        compared.case(0, SIMPLE, answers)


def test_what_dictrack_should_not_do_is_found(reference: Reference, monkeypatch: pytest.MonkeyPatch) -> None:
    (answers,), step = reference.run([SIMPLE]), Ours.step
    monkeypatch.setattr(Ours, "step", lambda self, one: {**step(self, one), "events": []})
    with pytest.raises(AssertionError, match="dictrack does something else than it should, case 0, step 0"):
        Compared().case(0, SIMPLE, answers)


def test_the_memory_cache_of_2_1_5_raises_on_the_first_match() -> None:
    unpatched = Reference("--unpatched")
    ((added, tracked),) = unpatched.run([SIMPLE])
    unpatched.end()
    assert added["raised"] is None
    assert tracked["raised"] == "AttributeError"


def test_the_same_seed_makes_the_same_case() -> None:
    cases = [generate.case(seed) for seed in range(200)]
    assert repr(cases) == repr([generate.case(seed) for seed in range(200)])
    assert len({repr(steps) for _, steps in cases}) == 200
    assert {flavour for flavour, _ in cases} == generate.FLAVOURS.keys()
