"""Trackers that groups have without being given them."""

from __future__ import annotations

import asyncio
import pathlib
import subprocess
import sys
import textwrap
from typing import Any

import pytest

import dictrack as dt
from dictrack import aio
from dictrack.conditions.keys import KeyValueEQ

POSTS = {"name": "posts", "kind": "count", "target": 3}


def posts(target: int = 3) -> dt.CountTracker:
    return dt.CountTracker("posts", [KeyValueEQ("event", "post")], target)


def names(manager: dt.TrackingManager, group: str) -> list[str]:
    return [tracker.name for tracker in manager.get_trackers(group)]


def test_each_group_has_the_trackers_of_the_manager(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "app.db"
    for expected in (1, 2):
        with dt.TrackingManager.open(path, trackers=[posts()]) as manager:
            outcome = manager.track("user_001", {"event": "post"})
            assert [tracker.progress for tracker in outcome.dirtied] == [expected]
            # The next start does not add it again.
            assert [event.code for event in outcome.events] == [dt.EVENT_TRACKER_ADDED][: expected == 1]
            assert names(manager, "another") == ["posts"]


def test_templates_are_for_groups_with_attributes() -> None:
    exports = dt.CountTracker("exports", target=9)
    pro = {
        "name": "pro",
        "for": [KeyValueEQ("plan", "pro"), {"key": "group", "starts_with": "user"}],
        "trackers": [exports],
    }
    manager = dt.TrackingManager(trackers={"trackers": [posts(), {"name": "all", "kind": "count"}], "templates": [pro]})
    assert names(manager, "user_001") == ["posts", "all"]
    for group in ("user_001", "team_001"):
        assert manager.set_attributes(group, {"plan": "pro"})
    assert names(manager, "user_001") == ["posts", "all", "exports"]
    assert names(manager, "team_001") == ["posts", "all"]
    outcomes = manager.track_many([("user_001", {}), ("user_002", {})])
    assert [[tracker.name for tracker in outcome.counted] for outcome in outcomes] == [["all", "exports"], ["all"]]
    manager.set_attributes("user_001", {"plan": None})
    assert names(manager, "user_001") == ["posts", "all"]
    with pytest.raises(dt.FromTemplateError) as caught:
        manager.remove_tracker("user_001", "posts")
    assert caught.value.code == "from_template" and caught.value.name == "posts"
    assert 'comes from the template "everyone"' in str(caught.value)


def test_trackers_are_replaced_while_the_manager_runs() -> None:
    manager = dt.TrackingManager(trackers=[posts()])
    manager.track("u", {"event": "post"})
    manager.set_trackers([posts(2)])
    assert [tracker.target for tracker in manager.get_trackers("u")] == [2]
    outcome = manager.track("u", {"event": "post"})
    assert [tracker.name for tracker in outcome.completed] == ["posts"]
    with pytest.raises(dt.DefinitionError, match=r"trackers\[1\]\.name: an earlier tracker"):
        manager.set_trackers([posts(), posts()])
    manager.set_trackers([])
    assert names(manager, "u") == [] and names(manager, "v") == []
    assert [tracker.name for tracker in manager.completed("u")] == ["posts"]


def test_they_are_read_from_a_file(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "quests.toml"
    file.write_text(
        textwrap.dedent(
            """
            [[trackers]]
            name = "posts"
            kind = "count"
            target = 3

            [[templates]]
            name = "pro"
            for = [{key = "plan", eq = "pro"}]
            trackers = [{name = "exports", kind = "count", target = [1, 2], limiters = [{seconds = 60}]}]
            """
        )
    )
    with pytest.warns(dt.DictrackWarning, match=r"quests\.toml:10:\d+: warning: tracker \"exports\""):
        manager = dt.TrackingManager(trackers=file)
    assert names(manager, "u") == ["posts"]
    file.write_text("[[templates]]\nname = 'pro'\nfor = []\ntrackers = [{name = 'a', kind = 'count', target = 'x'}]\n")
    with pytest.raises(dt.DefinitionError, match=r"quests\.toml:4:\d+: templates\[0\]\.trackers\[0\]\.target"):
        manager.set_trackers(str(file))
    assert names(manager, "v") == ["posts"]


def test_asyncio_has_the_same() -> None:
    async def run() -> None:
        async with await aio.TrackingManager.open(trackers=[posts()]) as manager:
            assert (await manager.track("u", {"event": "post"})).dirtied[0].progress == 1
            manager.set_trackers({"trackers": []})
            assert await manager.get_trackers("u") == []

    asyncio.run(run())


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        (5, TypeError, "trackers is an int; expected a list of trackers, a dict with"),
        (posts(), TypeError, "trackers is a CountTracker; expected a list of trackers"),
        ([5], dt.DefinitionError, r"trackers\[0\]: a number 5; expected a map that defines a tracker"),
        ({}, dt.DefinitionError, "neither `trackers` nor `templates`"),
        ({"tracker": []}, dt.DefinitionError, "unknown field `tracker`; did you mean `trackers`"),
        ({"trackers": {}}, dt.DefinitionError, "trackers: a map"),
        ({"templates": [5]}, dt.DefinitionError, r"templates\[0\]: a number 5; expected a map that defines a template"),
        ({"templates": [{"name": "t"}]}, dt.DefinitionError, r"templates\[0\]\.for: required field is missing"),
        ({"trackers": [{"name": {1}}]}, dt.DefinitionError, r"trackers\[0\]\.name"),
        ({"trackers": [{"name": object()}]}, TypeError, "trackers"),
        (
            {"trackers": [POSTS], "templates": [{"name": "t", "for": [], "trackers": [POSTS]}]},
            dt.DefinitionError,
            "posts",
        ),
        ("missing.toml", dt.DefinitionError, r"missing\.toml: No such file"),
    ],
)
def test_what_does_not_fit_is_refused(given: Any, error: type[Exception], message: str) -> None:
    for make in (lambda: dt.TrackingManager(trackers=given), lambda: dt.TrackingManager().set_trackers(given)):
        with pytest.raises(error, match=message):
            make()


def test_a_killed_program_adds_nothing_twice(tmp_path: pathlib.Path) -> None:
    program = textwrap.dedent(
        """
        import os, sys, dictrack
        manager = dictrack.TrackingManager.open(sys.argv[1], trackers=[{"name": "n", "kind": "count", "target": 1000}])
        for at in range(50):
            manager.track("u", {})
        os.kill(os.getpid(), 9)
        """
    )
    for _ in range(2):
        subprocess.run([sys.executable, "-c", program, str(tmp_path / "app.db")], check=False)
    with dt.TrackingManager.open(tmp_path / "app.db") as manager:
        [tracker] = manager.get_trackers("u")
        assert tracker.progress == 100
