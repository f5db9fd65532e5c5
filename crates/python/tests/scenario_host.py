"""Runs the steps of a scenario on a manager and compares the results; ``docs/scenarios.md`` describes the format."""

from __future__ import annotations

import asyncio
import decimal
import inspect
import json
import pathlib
from collections.abc import Awaitable, Callable
from typing import Any

import dictrack as dt

ROOT = pathlib.Path(__file__).resolve().parents[3]
CODES = {1001: "added", 1002: "stage_completed", 1003: "all_completed", 1004: "reset", 1005: "limited"}
FLAGS = {"progress": dt.ResetPolicy.PROGRESS, "limiter": dt.ResetPolicy.LIMITER}
# The parts of a result that are lists of names in any order.
UNORDERED = {"counted", "completed", "limited", "refused", "failed", "added", "existing", "removed", "updated"}


def files() -> list[pathlib.Path]:
    """All scenarios."""
    return sorted((ROOT / "scenarios").glob("*/*.json"))


def read(path: pathlib.Path) -> dict[str, Any]:
    """A scenario with exact numbers."""
    scenario: dict[str, Any] = json.loads(path.read_text("utf-8"), parse_float=decimal.Decimal)
    return scenario


def seen(tracker: dt.BaseTracker) -> dict[str, Any]:
    """A tracker in the form of scenarios."""
    state = tracker._dt.state
    assert state is not None
    shown: dict[str, Any] = {
        "name": tracker.name,
        "progress": tracker.progress_exact,
        "target": tracker.target,
        "stage": tracker.current_stage,
        "stages": len(tracker.targets),
        "limited": tracker.limited,
        "limiters": state.limiters,
        "cycle": tracker.cycle,
    }
    shown["status"] = tracker.status
    if tracker.period is not None:
        shown["period"] = tracker.period._asdict()
    if tracker.freezes is not None:
        shown["freezes"] = tracker.freezes
    if tracker.expire_at is not None:
        shown["expire_at"] = tracker.expire_at
    return shown


def event(event: dt.TrackerEvent) -> dict[str, Any]:
    """An event in the form of scenarios."""
    shown = {
        "event": CODES[event.code],
        "name": event.name,
        "progress": event.tracker.progress_exact,
        "target": event.target,
        "stage": event.stage,
        "times": event.times,
        "id": event.id,
        "group": event.group_id,
    }
    if event.period_start is not None:
        shown["period_start"] = event.period_start
    if isinstance(event, dt.LimitedTrackerEvent):
        shown["limiter"] = event.tracker.limiters.index(event.limiter)
    return shown


def same(wanted: Any, found: Any) -> bool:
    """Whether everything expected was found. Maps may have more, lists may not. Types are strict and numbers exact."""
    if isinstance(wanted, dict):
        return isinstance(found, dict) and all(key in found and same(wanted[key], found[key]) for key in wanted)
    if isinstance(wanted, list):
        return isinstance(found, list) and len(wanted) == len(found) and all(map(same, wanted, found))
    if isinstance(wanted, bool) or isinstance(found, bool) or isinstance(wanted, str) or wanted is None:
        return type(wanted) is type(found) and bool(wanted == found)
    if isinstance(found, float):
        found = decimal.Decimal(repr(found))
    return not isinstance(found, str) and bool(wanted == found)


def same_events(wanted: list[Any], found: list[Any], ordered: bool) -> bool:
    """Whether these are the events, each once."""
    if ordered:
        return same(wanted, found)
    left = list(found)
    for one in wanted:
        at = next((at for at, other in enumerate(left) if same(one, other)), None)
        if at is None:
            return False
        left.pop(at)
    return not left


class Host:
    """A manager, for threads or for asyncio, whose clock follows the steps."""

    def __init__(self, manager: Any, clock: dt.TestClock, run: Callable[[Any], Any]) -> None:
        self.manager = manager
        self.clock = clock
        self.run = run

    def step(self, group: str, step: dict[str, Any]) -> dict[str, Any]:
        """The result of a step."""
        if "now" in step:
            self.clock.set(step["now"])
        answer = getattr(self, f"do_{step['op']}")
        try:
            given: dict[str, Any] = answer(group, step)
            return given
        except (dt.DictrackError, TypeError) as error:
            # The scenarios have parts of messages in lower case.
            return {"error": str(error).lower()}

    def do_track(self, group: str, step: dict[str, Any]) -> dict[str, Any]:
        outcome = self.run(self.manager.track(group, step["data"], now=step["now"], event_id=step.get("id")))
        is_ok, dirtied, completed, limited = outcome
        assert is_ok is True
        return {
            "dirtied": {tracker.name: seen(tracker) for tracker in dirtied if not tracker.completed},
            "completed": [tracker.name for tracker in completed],
            "limited": [tracker.name for tracker in limited],
            "refused": [tracker.name for tracker in outcome.refused],
            "counted": [tracker.name for tracker in outcome.counted],
            "refusals": outcome.refusals,
            "skipped": outcome.skipped,
            "failed": list(outcome.failed),
            "duplicate": outcome.duplicate,
            "events": [event(one) for one in outcome.events],
        }

    def do_add(self, group: str, step: dict[str, Any]) -> dict[str, Any]:
        trackers = [dt.BaseTracker.from_dict(definition) for definition in step["trackers"]]
        added = self.run(self.manager.add_trackers(group, trackers, step.get("expire")))
        return {"added": added.added, "existing": added.existing, "events": [event(one) for one in added.events]}

    def do_ensure(self, group: str, step: dict[str, Any]) -> dict[str, Any]:
        trackers = [dt.BaseTracker.from_dict(definition) for definition in step["trackers"]]
        added = self.run(self.manager.ensure_trackers(group, trackers, update=step.get("update", False)))
        lists = {"added": added.added, "existing": added.existing, "completed": added.completed}
        lists |= {"updated": added.updated, "removed": added.removed}
        return {**lists, "events": [event(one) for one in added.events]}

    def do_update(self, group: str, step: dict[str, Any]) -> dict[str, Any]:
        tracker = dt.BaseTracker.from_dict(step["tracker"])
        return {"found": self.run(self.manager.update_tracker(group, tracker))}

    def do_set_progress(self, group: str, step: dict[str, Any]) -> dict[str, Any]:
        return {"found": self.run(self.manager.set_progress(group, step["name"], step["progress"]))}

    def do_add_targets(self, group: str, step: dict[str, Any]) -> dict[str, Any]:
        return {"found": self.run(self.manager.add_targets(group, step["name"], step["targets"]))}

    def do_remove(self, group: str, step: dict[str, Any]) -> dict[str, Any]:
        return {"removed": self.run(self.manager.remove_tracker(group, step["names"]))}

    def do_reset(self, group: str, step: dict[str, Any]) -> dict[str, Any]:
        events: list[dict[str, Any]] = []

        def heard(one: dt.TrackerEvent) -> None:
            events.append(event(one))

        self.manager.add_listener(dt.EVENT_TRACKER_RESET, heard)
        flags = step.get("policy")
        policy = None if flags is None else sum(FLAGS[flag] for flag in flags)
        found = self.run(
            self.manager.reset_tracker(
                group, step["name"], policy, reset_count=step.get("count"), reset_seconds=step.get("seconds")
            )
        )
        assert self.manager.remove_listener(dt.EVENT_TRACKER_RESET, heard)
        return {"found": found, "events": events}

    def do_get(self, group: str, step: dict[str, Any]) -> dict[str, Any]:
        trackers = self.run(self.manager.get_trackers(group, step.get("names")))
        return {"trackers": {tracker.name: seen(tracker) for tracker in trackers}}

    def do_explain(self, group: str, step: dict[str, Any]) -> dict[str, Any]:
        found = self.run(self.manager.explain(group, step["data"]))
        shown = [{key: value for key, value in vars(one).items() if value is not None} for one in found]
        for explained, one in zip(found, shown):
            # The value may be null.
            if explained.verdict == "no_match":
                one["seen"] = explained.seen
        return {"explain": {one["name"]: one for one in shown}}

    def do_peek(self, group: str, step: dict[str, Any]) -> dict[str, Any]:
        trackers = self.run(self.manager.peek(group, step.get("names")))
        return {"trackers": {tracker.name: seen(tracker) for tracker in trackers}}

    def do_periods(self, group: str, step: dict[str, Any]) -> dict[str, Any]:
        found = self.run(self.manager.periods(group, step["name"]))
        if not found and not self.run(self.manager.peek(group, step["name"])):
            return {"error": f"there is no tracker {step['name']}"}
        # What a streak has instead of a stage is not written.
        of_kind = ("stage", "cycle", "completed_at", "met")
        shown = [dict(vars(one)) for one in found]
        for one in shown:
            for field in of_kind[:3] if one["met"] is not None else of_kind[3:]:
                one.pop(field)
        return {"periods": shown}

    def do_set_attributes(self, group: str, step: dict[str, Any]) -> dict[str, Any]:
        self.run(self.manager.set_attributes(group, step["attributes"]))
        return {}

    def do_delete_group(self, group: str, step: dict[str, Any]) -> dict[str, Any]:
        self.run(self.manager.delete_group(group))
        return {}

    def do_set_trackers(self, group: str, step: dict[str, Any]) -> dict[str, Any]:
        self.manager.set_trackers({key: step[key] for key in ("trackers", "templates") if key in step})
        return {}

    def do_completed(self, group: str, step: dict[str, Any]) -> dict[str, Any]:
        return {"names": [tracker.name for tracker in self.run(self.manager.completed(group))]}


def differences(step: dict[str, Any], given: dict[str, Any], ordered: bool) -> list[str]:
    """How the result of a step differs from what is expected."""
    if "error" in given and "error" not in step:
        return [f"error: {given['error']}"]
    found = []
    for field in (
        "dirtied",
        "trackers",
        "explain",
        "events",
        "error",
        "names",
        "found",
        "duplicate",
        "skipped",
        "refusals",
        "periods",
        *sorted(UNORDERED),
    ):
        # Some steps have arguments with the names of results of other steps.
        gives = {"trackers": ("get", "peek"), "names": ("completed",)}.get(field, (step["op"],))
        if field not in step or step["op"] not in gives:
            continue
        wanted, got = step[field], given.get(field, [])
        if field in ("dirtied", "trackers", "explain", "skipped", "refusals"):
            right = wanted.keys() == got.keys() and same(wanted, got)
        elif field == "events":
            right = same_events(wanted, got, ordered)
        elif field == "error":
            right = "error" in given and wanted in got
        elif field in UNORDERED:
            right = sorted(wanted) == sorted(got)
        else:
            right = same(wanted, got)
        if not right:
            found.append(f"{field}: expected {wanted}, found {got}")
    return found


def replay(scenario: dict[str, Any], host: Host) -> list[str]:
    """Runs a scenario. Returns the differences."""
    group, ordered = scenario.get("group", "g"), scenario.get("ordered", False)
    found = []
    start = {"op": "add", "now": scenario["t0"], "trackers": scenario["definitions"]}
    for at, step in enumerate([start, *scenario["steps"]]):
        found += [f"step {at}: {difference}" for difference in differences(step, host.step(group, step), ordered)]
    if "final" in scenario:
        final = {"op": "get", "trackers": scenario["final"]}
        found += [f"final: {difference}" for difference in differences(final, host.step(group, final), ordered)]
    return found


def plainly(value: Any) -> Any:
    """The result of a call for threads."""
    return value


def on_loop(loop: asyncio.AbstractEventLoop) -> Callable[[Any], Any]:
    """Runs calls for asyncio."""

    def run(value: Awaitable[Any]) -> Any:
        assert inspect.isawaitable(value)
        return loop.run_until_complete(value)

    return run


__all__ = ["Host", "files", "on_loop", "plainly", "read", "replay"]
