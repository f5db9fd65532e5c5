"""A tracking process is killed again and again: every document counts once, and every event is delivered, always the same.

``DICTRACK_KILLS`` sets how often, for each durability."""

from __future__ import annotations

import json
import os
import pathlib
import random
import subprocess
import sys
from typing import Any

import pytest
import tracking_program

import dictrack as dt

KILLS = int(os.environ.get("DICTRACK_KILLS", "50"))


class Heard:
    """The output of all processes."""

    def __init__(self) -> None:
        self.counted: set[int] = set()
        self.events: dict[str, Any] = {}

    def take(self, what: dict[str, Any]) -> bool:
        """Whether it was a document that counted."""
        if "event" in what:
            event = what["event"]
            assert self.events.setdefault(event["id"], event) == event, "an id with two contents"
            return False
        assert what["counted"] not in self.counted, "counted twice"
        self.counted.add(what["counted"])
        return True


def complete(line: bytes) -> bool:
    """A process that is killed may leave a part of a line."""
    return line.endswith(b"\n")


@pytest.mark.parametrize("durability", ["fsync", "os"])
def test_a_process_that_is_killed_counts_every_document_once(durability: str, tmp_path: pathlib.Path) -> None:
    chance = random.Random(durability)
    store = tmp_path / "killed.db"
    heard = Heard()

    def started(last: int, *more: str) -> subprocess.Popen[bytes]:
        # Documents that may have counted without a reply are sent again.
        first = max(heard.counted, default=0)
        arguments = [store, durability, max(0, first - 20), last, *more]
        program = [sys.executable, tracking_program.__file__, *(str(argument) for argument in arguments)]
        return subprocess.Popen(program, stdout=subprocess.PIPE)

    last = 0
    for _ in range(KILLS):
        wanted = chance.randint(1, 12)
        # Some documents may have counted without a reply and are not new: there must be enough others to wait for.
        last = max(heard.counted, default=-1) + 1 + wanted + chance.randint(50, 300)
        with started(last, "stay") as process:
            assert process.stdout is not None
            new = 0
            while new < wanted:
                new += heard.take(json.loads(process.stdout.readline()))
            process.kill()
            for line in filter(complete, process.stdout):
                new += heard.take(json.loads(line))
            assert process.wait() == -9
            assert new >= wanted, "killed before new work was kept"

    last += 50
    with started(last) as process:
        assert process.stdout is not None
        for line in process.stdout:
            heard.take(json.loads(line))
    assert process.returncode == 0

    right = Heard()
    with dt.TrackingManager() as manager:
        tracking_program.track(manager, range(last), lambda what: right.take(json.loads(json.dumps(what))) and None)
        expected = tracking_program.state(manager)
    with dt.TrackingManager.open(store) as manager:
        assert tracking_program.state(manager) == expected
    assert heard.events == right.events
    assert len(right.events) > 100
