"""Tracks documents with ids and prints, as JSON, what it counted and which events it received.

    python tracking_program.py STORE DURABILITY FIRST LAST [stay]

With ``stay`` it does not end after the last document, but waits to be killed."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Iterable
from typing import Any

import dictrack as dt

CODES = (dt.EVENT_TRACKER_STAGE_COMPLETED, dt.EVENT_TRACKER_ALL_COMPLETED, dt.EVENT_TRACKER_LIMITED)
GROUPS = [f"user_{number}" for number in range(7)]


def trackers() -> list[dt.BaseTracker]:
    """Stages, a loop, a limit, one that completes."""
    purchase = [dt.KeyValueGT("amount", 5)]
    return [
        dt.CountTracker("documents", target=10**9),
        dt.CountTracker("stages", target=[3, 10, 40, 10**9]),
        dt.AccumulationTracker("points", target=[25, 60], loop_forever=True, reset_policy=dt.ResetPolicy.NONE),
        dt.CountTracker("limited", purchase, target=10**9, limiters=[dt.CountLimiter(20)]),
        dt.CountTracker("welcome", purchase, target=[2, 5]),
    ]


def described(event: dt.TrackerEvent) -> dict[str, Any]:
    """Everything that a listener sees of an event."""
    names = ("id", "code", "group_id", "name", "stage", "target", "progress", "times", "occurred_at")
    return {name: getattr(event, name) for name in names}


def track(manager: dt.TrackingManager, numbers: Iterable[int], say: Callable[[dict[str, Any]], None]) -> None:
    """Tracks the documents of these numbers."""
    for code in CODES:
        manager.add_listener(code, lambda event: say({"event": described(event)}))
    for number in numbers:
        group = GROUPS[number * number % len(GROUPS)]
        manager.ensure_trackers(group, trackers(), now=number)
        document = {"amount": number % 13}
        if not manager.track(group, document, now=number, event_id=f"document {number}").duplicate:
            say({"counted": number})


def state(manager: dt.TrackingManager) -> list[Any]:
    """The progress of each group."""
    return [
        (group, tracker.name, tracker.progress, tracker.current_stage, tracker.limited, tracker.completed)
        for group in GROUPS
        for tracker in [*manager.get_trackers(group), *manager.completed(group)]
    ]


def main() -> None:
    store, durability, first, last = sys.argv[1:5]

    def say(what: dict[str, Any]) -> None:
        os.write(1, json.dumps(what).encode() + b"\n")

    with dt.TrackingManager.open(store, durability=durability) as manager:
        track(manager, range(int(first), int(last)), say)
        if "stay" in sys.argv:
            signal.pause()


if __name__ == "__main__":
    main()
