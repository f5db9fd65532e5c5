"""What type checkers must accept. `test_typing.py` runs them on this file, and Python itself."""

from __future__ import annotations

import asyncio
import collections
import dataclasses
import datetime
import decimal
import sqlite3
import time
from typing import NamedTuple

import attrs
import pandas  # type: ignore[import-untyped]
import pydantic

import dictrack as dt
import dictrack.aio


@dataclasses.dataclass
class Login:
    event: str


@attrs.define
class Visit:
    event: str


class Order(pydantic.BaseModel):
    event: str


class Row(NamedTuple):
    event: str


manager = dt.TrackingManager(clock=time.time, ahead=datetime.timedelta(days=365 * 100), completed_kept=5)
logins = dt.CountTracker("logins", [dt.KeyValueEQ("event", "login")], target=[3, decimal.Decimal("10")])
only_limits = dt.CountTracker("calls", limiters=[dt.CountLimiter(100, per="minute")])
only_counts = dt.AccumulationTracker("spent", key="amount")
streak = dt.StreakTracker("streak", target=(3, 7), every="day", each=2)
dt.KeyValueContained("event", "LOGIN", case_sensitive=False)
manager.ensure_trackers("u", [logins, only_limits, only_counts, streak])

is_ok, dirtied, completed, limited = manager.track(
    "u", {"event": "login"}, now=datetime.datetime.now(datetime.timezone.utc)
)
ok: bool = is_ok
names: list[str] = [tracker.name for tracker in dirtied]
names += [tracker.name for tracker in completed] + [tracker.name for tracker in limited]
remaining: int | float | None = only_limits.remaining
target: int | float | None = only_limits.target
now: int | float = manager.now()
clock_now: int | float = dt.TestClock("2026-01-01").now()

connection = sqlite3.connect(":memory:")
connection.row_factory = sqlite3.Row
for document in (
    Login("login"),
    Visit("login"),
    Order(event="login"),
    Row("login"),
    collections.ChainMap({"event": "login"}),
):
    manager.track("u", document)
row: sqlite3.Row = connection.execute("SELECT 'login' AS event").fetchone()
manager.track("u", row)
manager.track("u", pandas.Series({"event": "login"}))
manager.track("u", {}, now_ts=time.time())
manager.add_tracker("v", only_limits, expire=60, now_ts=0)

outcome = manager.track("u", {})
as_dict: dict[str, object] = outcome.to_dict()
for item in manager.track_many([("u", {"event": "login"}), ("u", {}, 1_700_000_000, "id")]):
    if isinstance(item, dt.Outcome):
        names += [event.name for event in item.events]
state: dict[str, object] = logins.to_dict(state=True)
definition: dict[str, object] = logins.to_dict()


async def program() -> None:
    async with await dictrack.aio.TrackingManager.open(clock=time.time) as other:
        _, dirtied, _, _ = await other.track("u", Login("login"))
        assert len(dirtied) == 0


asyncio.run(program())
