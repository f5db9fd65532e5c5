"""The scenarios, for threads and for asyncio, in memory, on SQLite, and on Redis with MongoDB."""

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
    assert {path.parent.name for path in SCENARIOS} == {"golden", "law", "time"}


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_threads(path: pathlib.Path) -> None:
    scenario = read(path)
    clock = dt.TestClock(scenario["t0"])
    with dt.TrackingManager(clock=clock, zone=scenario.get("zone")) as manager:
        assert replay(scenario, Host(manager, clock, plainly)) == []


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_asyncio_on_sqlite(path: pathlib.Path, tmp_path: pathlib.Path) -> None:
    scenario = read(path)
    clock = dt.TestClock(scenario["t0"])
    loop = asyncio.new_event_loop()
    try:
        opened = dictrack.aio.TrackingManager.open(
            tmp_path / "store.db", clock=clock, zone=scenario.get("zone"), durability="interval(100ms)"
        )
        manager = loop.run_until_complete(opened)
        assert replay(scenario, Host(manager, clock, on_loop(loop))) == []
        loop.run_until_complete(manager.close())
    finally:
        loop.close()


@pytest.mark.parametrize("path", [path for path in SCENARIOS if path.parent.name == "time"], ids=lambda path: path.stem)
def test_time_on_redis_and_mongodb(path: pathlib.Path, redis_url: str, mongodb_url: str) -> None:
    scenario = read(path)
    clock = dt.TestClock(scenario["t0"])
    cache, store = dt.RedisDataCache(url=redis_url), dt.MongoDBDataStore(url=mongodb_url)
    with dt.TrackingManager(cache, store, clock=clock, zone=scenario.get("zone")) as manager:
        assert replay(scenario, Host(manager, clock, plainly)) == []
