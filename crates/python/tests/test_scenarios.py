"""The scenarios, for threads and for asyncio, in memory and on SQLite."""

from __future__ import annotations

import asyncio
import pathlib

import pytest
from scenario_host import Host, files, on_loop, plainly, read, replay

import dictrack as dt
import dictrack.aio

SCENARIOS = files()


def test_all_scenarios_are_there() -> None:
    assert len(SCENARIOS) > 190


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_threads(path: pathlib.Path) -> None:
    scenario = read(path)
    clock = dt.TestClock(scenario["t0"])
    with dt.TrackingManager(clock=clock) as manager:
        assert replay(scenario, Host(manager, clock, plainly)) == []


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_asyncio_on_sqlite(path: pathlib.Path, tmp_path: pathlib.Path) -> None:
    scenario = read(path)
    clock = dt.TestClock(scenario["t0"])
    loop = asyncio.new_event_loop()
    try:
        opened = dictrack.aio.TrackingManager.open(tmp_path / "store.db", clock=clock, durability="interval(100ms)")
        manager = loop.run_until_complete(opened)
        assert replay(scenario, Host(manager, clock, on_loop(loop))) == []
        loop.run_until_complete(manager.close())
    finally:
        loop.close()
