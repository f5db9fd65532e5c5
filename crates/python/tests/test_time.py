"""Limits that renew themselves, trackers that start again, streaks, attributes and peek."""

from __future__ import annotations

import asyncio
import copy
import datetime
import decimal
import importlib
import inspect
import math
import pathlib
import pickle
import zoneinfo
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import dictrack.aio

# Without types, which would forbid some of what is tested here.
dt: Any = importlib.import_module("dictrack")

DAY = 86_400
# Sunday, 2026-03-01, 12:00:30 UTC: 13:00:30 in Berlin, 21:00:30 in Tokyo.
NOON = 1_772_366_430
MINUTE = 1_772_366_400
MIDNIGHT = 1_772_323_200
BERLIN = zoneinfo.ZoneInfo("Europe/Berlin")
NEXT_IN_BERLIN = MIDNIGHT + DAY - 3_600


class Caller:
    """A manager for threads or for asyncio, called in the same way."""

    def __init__(self, manager: Any, run: Callable[[Any], Any]) -> None:
        self._manager = manager
        self._run = run

    def __getattr__(self, name: str) -> Any:
        def call(*arguments: Any, **keywords: Any) -> Any:
            return self._run(getattr(self._manager, name)(*arguments, **keywords))

        return call


Open = Callable[..., Caller]


@pytest.fixture(params=["threads", "asyncio"])
def opened(request: pytest.FixtureRequest) -> Iterator[Open]:
    """Opens managers, for threads and for asyncio."""
    loop = asyncio.new_event_loop()

    def run(value: Any) -> Any:
        return loop.run_until_complete(value) if inspect.isawaitable(value) else value

    callers: list[Caller] = []

    def open_one(place: Any = None, **options: Any) -> Caller:
        if request.param == "asyncio":
            manager = run(dictrack.aio.TrackingManager.open(place, **options))
        else:
            manager = dt.TrackingManager.open(place, **options) if place else dt.TrackingManager(**options)
        callers.append(Caller(manager, run))
        return callers[-1]

    yield open_one
    for caller in callers:
        caller.close()
    loop.close()


@pytest.fixture
def clock() -> Any:
    return dt.TestClock(NOON)


def counts(limiter: Any) -> tuple[Any, ...]:
    return limiter.limit, limiter.remaining, limiter.retry_at, limiter.reset_at


# Limits


def test_a_limit_renews_itself_when_the_next_period_begins(opened: Open, clock: Any) -> None:
    manager, limiter = opened(clock=clock), dt.CountLimiter(3, per="minute")
    tracker = dt.CountTracker("api", target=1000, limiters=[limiter])
    manager.ensure_tracker("u", tracker)
    assert counts(limiter) == (3, 3, NOON, None)
    outcomes = [manager.track("u", {}) for _ in range(4)]
    assert [len(outcome.counted) for outcome in outcomes] == [1, 1, 1, 0]
    assert outcomes[3].refusals == {"api": {"limiter": 0, "until": MINUTE + 60}}
    assert counts(limiter) == (3, 0, MINUTE + 60, MINUTE + 60)
    assert limiter.limited and tracker.limited
    clock.set(MINUTE + 60)
    assert counts(limiter) == (3, 3, MINUTE + 60, None)
    assert not limiter.limited and not tracker.limited
    # Snapshots stay as of their own time.
    assert counts(outcomes[1].dirtied[0].limiters[0]) == (3, 1, NOON, MINUTE + 60)
    assert counts(manager.get_trackers("u", now=NOON)[0].limiters[0])[1] == 0
    assert manager.track("u", {}).counted[0].progress == 4


def test_a_sliding_limit_counts_any_hour(opened: Open, clock: Any) -> None:
    manager, limiter = opened(clock=clock), dt.CountLimiter(2, within="1 hour")
    manager.ensure_tracker("u", dt.CountTracker("login", target=9, limiters=[limiter]))
    manager.track("u", {})
    clock.advance(600)
    manager.track("u", {})
    assert counts(limiter) == (2, 0, NOON + 3_600, NOON + 4_200)
    assert manager.track("u", {}).refusals["login"]["until"] == NOON + 3_600
    clock.set(NOON + 3_600)
    assert counts(limiter) == (2, 1, NOON + 3_600, NOON + 4_200)


def test_a_burst_admits_some_at_once_and_the_rest_evenly(opened: Open, clock: Any) -> None:
    manager, limiter = opened(clock=clock), dt.CountLimiter(60, per="minute", burst=2)
    manager.ensure_tracker("u", dt.CountTracker("api", target=99, limiters=[limiter]))
    assert (limiter.count, limiter.burst, limiter.limit) == (60, 2, 2)
    assert [len(manager.track("u", {}).counted) for _ in range(3)] == [1, 1, 0]
    assert counts(limiter) == (2, 0, NOON + 1, NOON + 2)
    clock.advance(1)
    assert [len(manager.track("u", {}).counted) for _ in range(2)] == [1, 0]


def test_a_sum_refuses_what_is_more_than_remains(opened: Open, clock: Any) -> None:
    manager = opened(clock=clock)
    tokens, own = dt.SumLimiter(500, key="tokens", per="day"), dt.SumLimiter(decimal.Decimal("7.5"))
    manager.ensure_trackers("u", [
        dt.CountTracker("calls", target=99, limiters=[tokens]),
        dt.AccumulationTracker("spent", target=99, limiters=[own]),
    ])  # fmt: skip
    assert manager.track("u", {"tokens": 400, "amount": 2.5}).refusals == {}
    assert (counts(tokens), counts(own)) == ((500, 100, NOON, MIDNIGHT + DAY), (7.5, 5, NOON, None))
    refusals = manager.track("u", {"tokens": 200, "amount": 5.5}).refusals
    assert {name: found["until"] for name, found in refusals.items()} == {"calls": MIDNIGHT + DAY, "spent": None}
    assert manager.track("u", {"amount": 1}).skipped == {"calls": "no_amount"}
    assert (tokens.remaining, own.remaining, type(own.remaining)) == (100, 4, int)


def test_another_number_keeps_what_was_used(opened: Open, clock: Any) -> None:
    manager = opened(clock=clock)
    tracker = dt.CountTracker("api", target=99, limiters=[dt.CountLimiter(3, per="day")])
    manager.ensure_tracker("u", tracker)
    manager.track("u", {})
    assert manager.update_tracker("u", dt.CountTracker("api", target=99, limiters=[dt.CountLimiter(5, per="day")]))
    assert (tracker.limiters[0].count, tracker.limiters[0].remaining) == (5, 4)


def test_limiters_without_a_window_say_the_same(opened: Open, clock: Any) -> None:
    manager = opened(clock=clock)
    count, interval = dt.CountLimiter(1), dt.TimeLimiter(seconds=60)
    bounds = dt.TimeLimiter(NOON + 10, NOON + 20)
    trackers = [dt.CountTracker(name, target=9, limiters=[one]) for name, one in zip("abc", (count, interval, bounds))]
    manager.ensure_trackers("u", trackers)
    manager.track("u", {})
    assert counts(count) == (1, 0, None, None)
    assert counts(interval)[:3] == (None, None, NOON)
    assert counts(bounds) == (None, None, NOON + 10, None)
    assert counts(dt.CountLimiter(4))[:2] == (4, 4)


def test_attributes_of_custom_limiters_may_have_any_name(opened: Open, clock: Any) -> None:
    class Budget(dt.BaseLimiter):
        def __init__(self, limit: int) -> None:
            super().__init__()
            self.limit = self.remaining = limit

        def pre_track(self, data: Any, tracker: Any, *args: Any, **kwargs: Any) -> bool:
            self.retry_at = kwargs["now_ts"] + 5
            return self.remaining >= data["cost"]

        def post_track(self, data: Any, tracker: Any, *args: Any, **kwargs: Any) -> bool:
            self.remaining -= data["cost"]
            return True

    class Nothing(dt.BaseLimiter):
        def pre_track(self, data: Any, tracker: Any, *args: Any, **kwargs: Any) -> bool:
            return True

    manager, budget, nothing = opened(clock=clock), Budget(10), Nothing()
    manager.ensure_tracker("u", dt.CountTracker("spent", target=9, limiters=[budget, nothing]))
    manager.track("u", {"cost": 4})
    assert (budget.limit, budget.remaining, budget.reset_at) == (10, 6, None)
    assert manager.track("u", {"cost": 7}).refusals == {"spent": {"limiter": 0, "until": NOON + 5}}
    assert counts(nothing) == (None, None, None, None)


def test_a_limiter_on_its_own_renews_itself() -> None:
    limiter = dt.CountLimiter(1, per="minute")

    class After:
        dirtied, completed = True, False

    assert limiter.pre_track({}, None, now_ts=NOON) and not limiter.post_track({}, After, now_ts=NOON)
    assert not limiter.pre_track({}, None, now_ts=NOON + 1)
    assert limiter.pre_track({}, None, now_ts=MINUTE + 60)
    assert limiter.reset(now_ts=NOON) and limiter.pre_track({}, None, now_ts=NOON)
    total = dt.SumLimiter(5, key="a")
    assert total.post_track({"a": 3}, After, now_ts=NOON)
    assert [total.pre_track({"a": amount}, None) for amount in (2, 3)] == [True, False]


SPELLED = [
    (lambda: dt.CountLimiter(100, per="minute"), {"count": 100, "per": "minute"}),
    (lambda: dt.CountLimiter(100, per="60 seconds"), {"count": 100, "per": "minute"}),
    (lambda: dt.CountLimiter(100, per="PT1M"), {"count": 100, "per": "minute"}),
    (lambda: dt.CountLimiter(count=100, per=datetime.timedelta(minutes=1)), {"count": 100, "per": "minute"}),
    (lambda: dt.CountLimiter(1, per=datetime.timedelta(days=1)), {"count": 1, "per": "24 hours"}),
    (lambda: dt.CountLimiter(1, per=datetime.timedelta(seconds=1)), {"count": 1, "per": "second"}),
    (lambda: dt.CountLimiter(1, within=datetime.timedelta(minutes=90)), {"count": 1, "within": "90 minutes"}),
    (lambda: dt.CountLimiter(100, per="hour", burst=20), {"count": 100, "per": "hour", "burst": 20}),
    (lambda: dt.CountLimiter(1, per="day", zone=BERLIN), {"count": 1, "per": "day", "zone": "Europe/Berlin"}),
    (lambda: dt.CountLimiter(1, per="day", zone="europe/berlin"), {"count": 1, "per": "day", "zone": "Europe/Berlin"}),
    (lambda: dt.CountLimiter(1, per="week", from_=datetime.date(2026, 1, 7)),
     {"count": 1, "per": "week", "from": "2026-01-07T00:00:00"}),
    (lambda: dt.CountLimiter(1, per="week", from_=datetime.datetime(2026, 1, 7, 4)),
     {"count": 1, "per": "week", "from": "2026-01-07T04:00:00"}),
    (lambda: dt.CountLimiter(1, per="week", from_="2026-01-07T04:00"),
     {"count": 1, "per": "week", "from": "2026-01-07T04:00:00"}),
    (lambda: dt.CountLimiter(1, per="month", from_="add"), {"count": 1, "per": "month", "from": "add"}),
    (lambda: dt.CountLimiter(7), {"count": 7}),
    (lambda: dt.SumLimiter(500, key="tokens", per="day"), {"sum": 500, "key": "tokens", "per": "day"}),
    (lambda: dt.SumLimiter(0.5), {"sum": 0.5}),
    (lambda: dt.SumLimiter(decimal.Decimal("0.1"), "a.b", "2 weeks"), {"sum": 0.1, "key": "a.b", "per": "2 weeks"}),
]  # fmt: skip


@pytest.mark.parametrize("made, definition", SPELLED, ids=[str(definition) for _, definition in SPELLED])
def test_limiters_are_values(made: Callable[[], Any], definition: dict[str, Any]) -> None:
    limiter = made()
    assert limiter.to_dict() == definition
    tracker = dt.BaseTracker.from_dict({"name": "t", "kind": "count", "target": 1, "limiters": [definition]})
    assert tracker.limiters == [limiter] and type(tracker.limiters[0]) is type(limiter)
    assert tracker.to_dict()["limiters"] == [definition]
    for copied in (copy.copy(limiter), copy.deepcopy(limiter), pickle.loads(pickle.dumps(limiter))):
        assert copied == limiter and hash(copied) == hash(limiter) and copied.to_dict() == definition
    assert limiter != dt.CountLimiter(99) and limiter != dt.SumLimiter(99) and limiter != 5


def test_limiters_differ_by_their_windows() -> None:
    limiters = [made() for made, _ in SPELLED]
    distinct = {str(sorted(definition.items(), key=str)) for _, definition in SPELLED}
    assert len({next(at for at, other in enumerate(limiters) if other == one) for one in limiters}) == len(distinct)


def test_limiters_show_what_they_are() -> None:
    assert repr(dt.CountLimiter(5)) == "<CountLimiter (count=5 remaining=5)>"
    assert repr(dt.CountLimiter(5, per="day", zone="UTC")) == (
        "<CountLimiter (count=5 per='day' zone='UTC' remaining=5)>"
    )
    assert repr(dt.SumLimiter(5, key="a")) == "<SumLimiter (sum=5 key='a' remaining=5)>"
    limiter = dt.CountLimiter(5, within="hour")
    assert (limiter.count, limiter.per, limiter.within, limiter.burst) == (5, None, "hour", None)
    total = dt.SumLimiter(5, key="a", per="day")
    assert (total.sum, total.key, total.per) == (5, "a", "day")


# Trackers


def test_a_tracker_rests_until_its_period_ends_and_starts_again(opened: Open, clock: Any) -> None:
    manager = opened(clock=clock)
    quest = dt.CountTracker("quest", target=[1, 2], every="day", keep=2)
    assert (quest.status, quest.period, quest.resets_at, quest.every, quest.zone) == ("active", None, None, "day", None)
    manager.ensure_tracker("u", quest)
    assert quest.period == (MIDNIGHT, MIDNIGHT + DAY) and quest.period.start == MIDNIGHT
    outcomes = [manager.track("u", {}) for _ in range(3)]
    done = outcomes[1]
    assert [one.name for one in done.completed] == [one.name for one in done.dirtied] == ["quest"]
    assert [(one.status, one.period, one.completed) for one in done.dirtied] == [("resting", quest.period, False)]
    assert [(event.code, event.period_start) for event in done.events] == [(dt.EVENT_TRACKER_ALL_COMPLETED, MIDNIGHT)]
    assert not done.events[0].tracker.completed
    assert outcomes[2].skipped == {"quest": "resting"} and not outcomes[2].dirtied
    (explained,) = manager.explain("u", {})
    assert (explained.verdict, explained.reason, explained.until) == ("skipped", "resting", MIDNIGHT + DAY)
    # The object goes on.
    assert (quest.status, quest.completed, quest.removed, quest.progress) == ("resting", False, False, 2)
    assert repr(quest).startswith("[RESTING] <CountTracker ") and "every='day'" in repr(quest)
    assert manager.completed("u") == [] and not manager.ensure_tracker("u", dt.CountTracker.from_dict(quest.to_dict()))
    clock.set(MIDNIGHT + DAY)
    assert (quest.status, quest.progress, quest.current_stage, quest.resets_at) == ("active", 0, 1, MIDNIGHT + 2 * DAY)
    assert manager.track("u", {}).dirtied[0].progress == quest.progress == 1


def test_periods_say_what_was_counted(opened: Open, clock: Any) -> None:
    manager = opened(clock=clock)
    manager.ensure_tracker("u", dt.CountTracker("quest", target=[1, 2], every="day", keep=1))
    for day, documents in enumerate([1, 2, 0, 1]):
        clock.set(NOON + day * DAY)
        for _ in range(documents):
            manager.track("u", {})
    first, second = manager.periods("u", "quest")
    assert (first.start, first.progress, first.stage, first.completed_at) == (MIDNIGHT + DAY, 2, 2, NOON + DAY)
    assert (second.start, second.end) == (MIDNIGHT + 3 * DAY, MIDNIGHT + 4 * DAY)
    assert (second.progress, second.cycle, second.completed_at, second.met) == (1, 0, None, None)
    assert pickle.loads(pickle.dumps(second)) == second
    assert [one.start for one in manager.periods("u", "quest", now=NOON + 9 * DAY)] == [MIDNIGHT + 3 * DAY]
    assert manager.periods("u", "other") == manager.periods("nobody", "quest") == []


def test_late_documents_do_not_count(opened: Open, clock: Any) -> None:
    manager = opened(clock=clock)
    quest = dt.CountTracker("quest", target=9, every="day")
    manager.ensure_tracker("u", quest)
    manager.track("u", {})
    assert manager.track("u", {}, now=NOON - DAY).dirtied[0].period == (MIDNIGHT - DAY, MIDNIGHT)
    assert manager.track("u", {}, now=NOON - 2 * DAY).skipped == {"quest": "late"}
    (explained,) = manager.explain("u", {}, now=NOON - 2 * DAY)
    assert (explained.reason, explained.ended, explained.until) == ("late", MIDNIGHT - DAY, None)
    assert quest.progress == 1


def test_a_progress_is_set_in_the_period_of_its_time(opened: Open, clock: Any) -> None:
    manager = opened(clock=clock)
    manager.ensure_tracker("u", dt.CountTracker("quest", target=9, every="day"))
    assert manager.set_progress("u", "quest", 3)
    assert manager.set_progress("u", "quest", 5, now=NOON - DAY)
    assert not manager.set_progress("u", "quest", 7, now=NOON - 2 * DAY)
    assert [manager.get_trackers("u", now=now)[0].progress for now in (NOON, NOON - DAY)] == [3, 5]
    assert manager.add_targets("u", "quest", [10], now=NOON) and manager.get_trackers("u")[0].targets == [9, 10]


@dt.measure(name="test_time.twice")
def twice(data: Any) -> Any:
    return 2


class Points(dt.NumericTracker):
    def __init__(self, name: str, per: int, **options: Any) -> None:
        super().__init__(name, **options)
        self.per = per

    def amount(self, data: Any) -> Any:
        return self.per


TRACKERS = {
    "count": lambda **options: dt.CountTracker("t", target=9, **options),
    "sum": lambda **options: dt.AccumulationTracker("t", target=9, key="n", **options),
    "measure": lambda **options: dt.CustomTracker("t", target=9, measure=twice(), **options),
    "subclass": lambda **options: Points("t", per=3, target=9, **options),
    "streak": lambda **options: dt.StreakTracker(
        "t", target=[3, 9], each=2, key="n", freezes={"start": 1, "max": 2}, **options
    ),
}


@pytest.mark.parametrize("kind", TRACKERS)
def test_every_kind_of_tracker_starts_again(kind: str, opened: Open, clock: Any) -> None:
    tracker = TRACKERS[kind](every="week", from_=datetime.date(2026, 1, 7), zone=BERLIN, keep=4)
    definition = tracker.to_dict()
    times = {"every": "week", "from": "2026-01-07T00:00:00", "zone": "Europe/Berlin", "keep": 4}
    assert {field: definition[field] for field in times} == times
    again = dt.BaseTracker.from_dict(definition)
    assert type(again) is type(tracker) and again.to_dict() == definition
    # Conditions and limiters are read, too.
    assert again.limiters == [] and again.to_dict() == definition and (again.every, again.zone) == ("week", BERLIN.key)
    manager = opened(clock=clock)
    manager.ensure_tracker("u", tracker)
    wednesday = 1_771_974_000
    assert manager.track("u", {"n": 2}).dirtied[0].progress == {"count": 1, "subclass": 3, "streak": 1}.get(kind, 2)
    assert datetime.datetime.fromtimestamp(tracker.period.start, BERLIN).strftime("%a %H:%M") == "Wed 00:00"
    assert tracker.period == (wednesday, wednesday + 7 * DAY)
    assert manager.get_trackers("u") == [tracker]
    clock.advance(7 * DAY)
    assert tracker.progress == (1 if kind == "streak" else 0)


def test_a_definition_may_have_the_types_of_python() -> None:
    definition = {
        "name": "t",
        "kind": "count",
        "target": 1,
        "every": datetime.timedelta(minutes=90),
        "from": datetime.datetime(2026, 1, 1, 0, 30),
        "zone": BERLIN,
        "limiters": [{"count": 1, "within": datetime.timedelta(hours=1)}, {"count": 1, "per": "day", "zone": BERLIN}],
    }
    made = dt.BaseTracker.from_dict(definition).to_dict()
    assert (made["every"], made["from"], made["zone"]) == ("90 minutes", "2026-01-01T00:30:00", "Europe/Berlin")
    assert made["limiters"] == [
        {"count": 1, "within": "hour"},
        {"count": 1, "per": "day", "zone": "Europe/Berlin"},
    ]


def test_files_have_windows(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "trackers.json"
    path.write_text(
        '[{"name": "s", "kind": "streak", "target": 3, "every": "day", "limiters": [{"sum": 5, "per": "day"}]}]'
    )
    (streak,) = dt.load_trackers(path)
    assert isinstance(streak, dt.StreakTracker) and streak.limiters == [dt.SumLimiter(5, per="day")]


def test_a_streak_counts_days_in_a_row_and_goes_on(opened: Open, clock: Any) -> None:
    manager = opened(clock=clock)
    streak = dt.StreakTracker(
        "streak",
        [dt.KeyValueEQ("event", "login")],
        target=[2, 3],
        every="day",
        freezes={"start": 1, "per": 7, "max": 2},
    )
    assert (streak.each, streak.key, streak.freezes) == (1, None, None)
    manager.ensure_tracker("u", streak)
    assert streak.freezes == 1
    found = []
    for day in (0, 1, 3, 4):
        clock.set(NOON + day * DAY)
        outcome = manager.track("u", {"event": "login"})
        shown = outcome.dirtied[0]
        found.append((shown.progress, shown.freezes, [event.code for event in outcome.events]))
    reached, all_reached = dt.EVENT_TRACKER_STAGE_COMPLETED, dt.EVENT_TRACKER_ALL_COMPLETED
    assert found == [(1, 1, []), (2, 1, [reached]), (3, 0, [all_reached]), (4, 0, [])]
    assert (streak.progress, streak.freezes, streak.completed, streak.status) == (4, 0, False, "active")
    assert "freezes=0" in repr(streak)
    assert [(one.progress, one.met, one.stage) for one in manager.periods("u", "streak")] == [(1, True, None)] * 3
    clock.advance(3 * DAY)
    assert (streak.progress, streak.current_stage) == (0, 1)


def test_a_streak_may_need_a_sum_in_each_period(opened: Open, clock: Any) -> None:
    manager = opened(clock=clock)
    streak = dt.StreakTracker("steps", target=2, every="day", each=2.5, key="km")
    assert (streak.each, streak.key) == (2.5, "km")
    manager.ensure_tracker("u", streak)
    assert [manager.track("u", {"km": km}).dirtied[0].progress for km in (1, 1, 0.5)] == [0, 0, 1]
    assert [(one.progress, one.met) for one in manager.periods("u", "steps")] == [(2.5, True)]


# Groups and managers


def test_peek_changes_nothing(opened: Open, clock: Any) -> None:
    manager = opened(clock=clock)
    limiter = dt.CountLimiter(1, per="minute")
    manager.ensure_trackers("u", [dt.CountTracker("a", target=9, limiters=[limiter]), dt.CountTracker("b", target=9)])
    manager.track("u", {})
    (seen,) = manager.peek("u", "a")
    assert counts(seen.limiters[0]) == (1, 0, MINUTE + 60, MINUTE + 60)
    later = manager.peek("u", ["a"], now=MINUTE + 60)[0].limiters[0]
    assert counts(later) == (1, 1, MINUTE + 60, None)
    assert [tracker.name for tracker in manager.peek("u")] == ["a", "b"]
    assert manager.peek("u", []) == manager.peek("u", "c") == manager.peek("nobody") == []
    manager.peek("u", now=NOON + 10 * DAY)
    assert limiter.remaining == 0 and manager.track("u", {}, now=NOON - 60).skipped == {}


def test_attributes_are_merged(opened: Open, clock: Any) -> None:
    manager = opened(clock=clock)
    assert manager.attributes("u") == {}
    assert manager.set_attributes("u", {"zone": BERLIN, "plan": "pro", "seats": 1.5, "tags": ["a"]})
    assert manager.attributes("u") == {"zone": "Europe/Berlin", "plan": "pro", "seats": 1.5, "tags": ["a"]}
    assert not manager.set_attributes("u", {"plan": "pro"}) and not manager.set_attributes("u", {})
    assert manager.set_attributes("u", {"plan": None, "seats": 2}, now=NOON)
    assert manager.attributes("u") == {"zone": "Europe/Berlin", "seats": 2, "tags": ["a"]}
    for wrong in ({"zone": "Mars/Base"}, {"zone": 5}, {str(at): 1 for at in range(65)}, {"a": "x" * 4_096}):
        with pytest.raises(dt.AttributesError) as caught:
            manager.set_attributes("u", wrong)
        assert isinstance(caught.value, ValueError) and caught.value.group_id == "u"
        assert caught.value.code == "attributes"
    assert manager.attributes("u") == {"zone": "Europe/Berlin", "seats": 2, "tags": ["a"]}


def test_the_nearest_zone_holds(opened: Open, clock: Any) -> None:
    manager = opened(clock=clock, zone="Pacific/Auckland")
    limiters = [dt.CountLimiter(9, per="day"), dt.CountLimiter(9, per="day", zone="America/New_York")]
    manager.ensure_trackers("u", [
        dt.CountTracker("own", target=9, every="day", zone="Asia/Tokyo", limiters=limiters),
        dt.CountTracker("group", target=9, every="day"),
    ])  # fmt: skip

    def ends(group: str) -> dict[str, Any]:
        return {one.name: one.resets_at for one in manager.peek(group)}

    tokyo, auckland = MIDNIGHT + DAY - 9 * 3_600, MIDNIGHT + DAY + 11 * 3_600
    assert ends("u") == {"own": tokyo, "group": auckland}
    assert manager.set_attributes("u", {"zone": "Europe/Berlin"})
    assert ends("u") == {"own": tokyo, "group": NEXT_IN_BERLIN}
    manager.track("u", {})
    assert [one.reset_at for one in limiters] == [tokyo, MIDNIGHT + DAY + 5 * 3_600]


def test_a_new_zone_takes_hold_when_the_period_ends(opened: Open, clock: Any) -> None:
    manager = opened(clock=clock, zone=BERLIN)
    quest = dt.CountTracker("quest", target=9, every="day")
    manager.ensure_tracker("u", quest)
    manager.track("u", {})
    manager.set_attributes("u", {"zone": zoneinfo.ZoneInfo("Asia/Tokyo")})
    assert quest.resets_at == NEXT_IN_BERLIN
    clock.set(NEXT_IN_BERLIN)
    # In Tokyo, the day that begins then has only 16 hours left; that would be a second day within one.
    assert quest.resets_at - NEXT_IN_BERLIN == 40 * 3_600


def test_a_deleted_group_has_nothing(opened: Open, clock: Any) -> None:
    manager = opened(clock=clock)
    tracker = dt.CountTracker("a", target=9, limiters=[dt.CountLimiter(5, per="day")])
    manager.ensure_tracker("u", tracker)
    manager.set_attributes("u", {"plan": "pro"})
    manager.track("u", {}, event_id="1")
    assert manager.delete_group("u") and not manager.delete_group("u")
    assert (manager.attributes("u"), manager.peek("u"), manager.periods("u", "a")) == ({}, [], [])
    assert tracker.removed and (tracker.progress, tracker.limiters[0].remaining) == (1, 4)
    assert manager.ensure_tracker("u", dt.CountTracker("a", target=9))
    assert not manager.track("u", {}, event_id="1").duplicate


@pytest.mark.parametrize("ahead", [60, 60.0, datetime.timedelta(minutes=1), decimal.Decimal(60)])
def test_documents_from_the_future_are_rejected(ahead: Any, opened: Open, clock: Any) -> None:
    manager = opened(clock=clock, ahead=ahead)
    manager.ensure_tracker("u", dt.CountTracker("a", target=9))
    manager.track("u", {}, now=NOON + 60)
    with pytest.raises(dt.AheadError, match="60 s ahead of the clock") as caught:
        manager.track("u", {}, now=NOON + 61)
    assert isinstance(caught.value, ValueError) and caught.value.code == "ahead"
    first, second = manager.track_many([("u", {}, NOON + 61), ("u", {})])
    assert isinstance(first, dt.AheadError) and second.dirtied[0].progress == 2


def test_any_distance_is_allowed_by_default(opened: Open, clock: Any) -> None:
    manager = opened(clock=clock)
    manager.ensure_tracker("u", dt.CountTracker("a", target=9))
    assert manager.track("u", {}, now=NOON + 9_999 * DAY).counted


def test_everything_is_stored(opened: Open, clock: Any, tmp_path: pathlib.Path) -> None:
    place = tmp_path / "store.db"
    limiters = [dt.CountLimiter(3, per="day"), dt.CountLimiter(3, within="hour"), dt.SumLimiter(9, key="n", per="day")]
    trackers = [
        dt.CountTracker("quest", target=1, every="day", limiters=limiters),
        dt.StreakTracker("streak", target=3, every="day", freezes={"start": 2}),
    ]
    first = opened(place, clock=clock)
    first.set_attributes("u", {"zone": "Asia/Tokyo"})
    first.ensure_trackers("u", trackers)
    first.track("u", {"n": 4})
    before = first.peek("u")
    first.close()
    second = opened(place, clock=clock)
    assert second.peek("u") == before and second.attributes("u") == {"zone": "Asia/Tokyo"}
    quest, streak = second.get_trackers("u")
    assert (quest.status, [one.remaining for one in quest.limiters]) == ("resting", [2, 2, 5])
    assert (streak.progress, streak.freezes, streak.period) == (1, 2, quest.period)
    assert second.ensure_trackers("u", trackers).existing == ["quest", "streak"]


# What is wrong

HABIT = 'write CountLimiter(100, per="minute")'
LENGTH = "expected a unit such as 'day', a text such as '15 minutes', or a timedelta"
SPAN = "expected whole seconds, from 1 second to 36,500 days"
ZONE = "expected an IANA name such as 'Europe/Berlin', or a zoneinfo.ZoneInfo"
FROM = "expected 'add', a date, a datetime without a time zone, or a text such as '2026-01-07T04:00'"
ANCHOR = 'expected "add", or a date or a date and time without an offset, such as "2026-01-07T04:00"'


def of_a_file() -> zoneinfo.ZoneInfo:
    with (pathlib.Path(zoneinfo.TZPATH[0]) / "Europe/Berlin").open("rb") as file:
        return zoneinfo.ZoneInfo.from_file(file)


def span(**parts: Any) -> datetime.timedelta:
    return datetime.timedelta(**parts)


WRONG: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (lambda: dt.CountLimiter("100/minute"), TypeError, f"count is '100/minute'; expected int; {HABIT}"),
    (lambda: dt.CountLimiter("100 per minute"), TypeError, HABIT),
    (lambda: dt.CountLimiter("100/min"), TypeError, HABIT),
    (lambda: dt.CountLimiter("100/1m"), TypeError, HABIT),
    (lambda: dt.CountLimiter("5 / 10 minutes"), TypeError, 'write CountLimiter(5, per="10 minutes")'),
    (lambda: dt.CountLimiter("5/HOUR"), TypeError, 'write CountLimiter(5, per="hour")'),
    (lambda: dt.CountLimiter("5"), TypeError, "count is a str; expected int"),
    (lambda: dt.CountLimiter(100, per="100/minute"), ValueError, f"expected a length of time; {HABIT}"),
    (lambda: dt.SumLimiter("500/day"), TypeError, 'expected a number; write SumLimiter(500, per="day")'),
    (lambda: dt.CountTracker("t", target=1, limiters=["100/minute"]), TypeError,
     f"limiters[0] is '100/minute'; expected a BaseLimiter; {HABIT}"),
    (lambda: dt.CountTracker("t", target=1, limiters="100/minute"), TypeError, f"a list of BaseLimiter; {HABIT}"),
    (lambda: dt.BaseTracker.from_dict({"name": "t", "kind": "count", "target": 1, "limiters": ["100/minute"]}),
     dt.DefinitionError, "limiters[0]: '100/minute'; expected a map that defines a limiter; "
     'write {"count": 100, "per": "minute"}'),
    (lambda: dt.CountLimiter(True, per="day"), TypeError, "count is a bool; expected int"),
    (lambda: dt.CountLimiter(0, per="day"), ValueError, "count is 0; expected 1 or more"),
    (lambda: dt.CountLimiter(1.0, per="day"), TypeError, "count is a float; expected int"),
    (lambda: dt.CountLimiter(2**70, per="day"), ValueError, "count: a number 1.18"),
    (lambda: dt.CountLimiter(1, per=60), TypeError, f"per is 60; {LENGTH}"),
    (lambda: dt.CountLimiter(1, per=math.nan), TypeError, f"per is nan; {LENGTH}"),
    (lambda: dt.CountLimiter(1, per=True), TypeError, f"per is True; {LENGTH}"),
    (lambda: dt.CountLimiter(1, per=span()), ValueError, f"per is a timedelta of 0 seconds; {SPAN}"),
    (lambda: dt.CountLimiter(1, per=span(days=-1)), ValueError, f"per is a timedelta of -86400 seconds; {SPAN}"),
    (lambda: dt.CountLimiter(1, within=span(seconds=1.5)), ValueError, f"within is a timedelta of 1.5 seconds; {SPAN}"),
    (lambda: dt.CountLimiter(1, per=span(microseconds=1)), ValueError, SPAN),
    (lambda: dt.CountLimiter(1, per=span(days=36_500, seconds=1)), ValueError, SPAN),
    (lambda: dt.CountLimiter(1, per=span.__class__), TypeError, "per is a type; expected a unit"),
    (lambda: dt.CountLimiter(1, per="fortnight"), dt.DefinitionError, 'per: a string "fortnight"; expected a unit'),
    (lambda: dt.CountLimiter(1, per=""), dt.DefinitionError, 'per: a string ""; expected a unit such as "day"'),
    (lambda: dt.CountLimiter(1, per="1.5 hours"), dt.DefinitionError, "per: a string"),
    (lambda: dt.CountLimiter(1, per="\ud800"), dt.UnsupportedValueError, "per is not valid Unicode"),
    (lambda: dt.CountLimiter(1, per="day", within="hour"), dt.DefinitionError, "field not allowed here"),
    (lambda: dt.CountLimiter(1, within="day"), dt.DefinitionError, "within: a string \"day\"; expected elapsed time"),
    (lambda: dt.CountLimiter(1_025, within="hour"), dt.DefinitionError, "expected a whole number from 1 to 1024"),
    (lambda: dt.CountLimiter(1, burst=3), dt.DefinitionError, "per: required field is missing"),
    (lambda: dt.CountLimiter(1, per="hour", burst=0), ValueError, "burst is 0; expected 1 or more"),
    (lambda: dt.CountLimiter(1, per="hour", burst="20"), TypeError, "burst is a str; expected int"),
    (lambda: dt.CountLimiter(1, per="day", burst=2), dt.DefinitionError, "expected elapsed time"),
    (lambda: dt.CountLimiter(1, per="hour", burst=2, zone="UTC"), dt.DefinitionError, "zone: field not allowed here"),
    (lambda: dt.CountLimiter(1, zone="UTC"), dt.DefinitionError, "zone"),
    (lambda: dt.CountLimiter(1, per="day", zone="Europe/Berlim"), dt.DefinitionError,
     'zone: unknown time zone "Europe/Berlim"; did you mean "Europe/Berlin"?'),
    (lambda: dt.CountLimiter(1, per="day", zone=5), TypeError, f"zone is an int; {ZONE}"),
    (lambda: dt.CountLimiter(1, per="day", zone=datetime.timezone.utc), TypeError,
     f"zone is a timezone; {ZONE}; for UTC, pass 'UTC'"),
    (lambda: dt.CountLimiter(1, per="day", zone=of_a_file()), ValueError, "zone is a ZoneInfo without a key; expected"),
    (lambda: dt.CountLimiter(1, per="day", from_=5), TypeError, f"from_ is 5; {FROM}"),
    (lambda: dt.CountLimiter(1, per="day", from_=datetime.datetime(2026, 1, 1, tzinfo=BERLIN)), ValueError,
     f"from_ is a datetime with a time zone; {FROM}; pass the time zone as zone"),
    (lambda: dt.CountLimiter(1, per="day", from_="2026-01-01T00:00Z"), dt.DefinitionError, f"; {ANCHOR}"),
    (lambda: dt.SumLimiter(True), TypeError, "sum is a bool; expected a number"),
    (lambda: dt.SumLimiter(None), TypeError, "sum is a NoneType; expected a number"),
    (lambda: dt.SumLimiter(0), dt.DefinitionError, "sum: 0 never admits an amount; expected a number above 0"),
    (lambda: dt.SumLimiter(math.nan), dt.DefinitionError, "sum: NaN; expected a number"),
    (lambda: dt.SumLimiter(math.inf), dt.DefinitionError, "sum: Infinity; expected a number"),
    (lambda: dt.SumLimiter(5, key=5), TypeError, "key is an int; expected str"),
    (lambda: dt.SumLimiter(5, key=""), dt.DefinitionError, "key: "),
    (lambda: dt.CountTracker("t", target=1, every=DAY), TypeError, f"every is 86400; {LENGTH}"),
    (lambda: dt.CountTracker("t", target=1, every=span(seconds=0.1)), ValueError, SPAN),
    (lambda: dt.CountTracker("t", target=1, every="dya"), dt.DefinitionError, 'every: a string "dya"; expected a unit'),
    (lambda: dt.CountTracker("t", target=1, every="day", from_="x"), dt.DefinitionError, f'from: a string "x"; {ANCHOR}'),
    (lambda: dt.CountTracker("t", target=1, every="day", keep=True), TypeError, "keep is a bool; expected int"),
    (lambda: dt.CountTracker("t", target=1, every="day", keep=1.5), TypeError, "keep is a float; expected int"),
    (lambda: dt.CountTracker("t", target=1, every="day", keep=-1), dt.DefinitionError, "expected a whole number from 0"),
    (lambda: dt.CountTracker("t", target=1, every="day", keep=1_001), dt.DefinitionError, "from 0 to 1000"),
    (lambda: dt.CountTracker("t", target=1, keep=2), dt.DefinitionError, "`from` and `keep` only with `every`"),
    (lambda: dt.StreakTracker("t", target=1), TypeError, "'every'"),
    (lambda: dt.StreakTracker("t", target=1, every=None), dt.DefinitionError, "every: required field is missing"),
    (lambda: dt.StreakTracker("t", target=[3, 2], every="day"), dt.DefinitionError, "expected positive, ascending"),
    (lambda: dt.StreakTracker("t", target=1, every="day", each="2"), TypeError, "each is a str; expected a number"),
    (lambda: dt.StreakTracker("t", target=1, every="day", each=0), dt.DefinitionError, "expected a number above 0"),
    (lambda: dt.StreakTracker("t", target=1, every="day", each=math.nan), dt.DefinitionError, "each: NaN"),
    (lambda: dt.StreakTracker("t", target=1, every="day", key=5), TypeError, "key is an int; expected str"),
    (lambda: dt.StreakTracker("t", target=1, every="day", freezes=2), TypeError, "freezes is an int; expected a dict"),
    (lambda: dt.StreakTracker("t", target=1, every="day", freezes={"star": 1}), dt.DefinitionError,
     "did you mean `start`?"),
    (lambda: dt.StreakTracker("t", target=1, every="day", freezes={"start": -1}), dt.DefinitionError, "freezes.start"),
    (lambda: dt.StreakTracker("t", target=1, every="day", freezes={"start": 3, "max": 2}), dt.DefinitionError, "freezes"),
    (lambda: dt.TrackingManager(zone=5), TypeError, f"zone is an int; {ZONE}"),
    (lambda: dt.TrackingManager(zone="Europe/Berlim"), dt.DefinitionError, 'did you mean "Europe/Berlin"?'),
    (lambda: dt.TrackingManager(zone="\ud800"), dt.UnsupportedValueError, "zone is not valid Unicode"),
    (lambda: dt.TrackingManager(zone=of_a_file()), ValueError, "zone is a ZoneInfo without a key"),
    (lambda: dt.TrackingManager(ahead=-1), ValueError, "ahead is -1; expected seconds, 0 or more, or a timedelta"),
    (lambda: dt.TrackingManager(ahead=span(seconds=-1)), ValueError, "ahead is -1; expected seconds, 0 or more"),
    (lambda: dt.TrackingManager(ahead=math.nan), ValueError, "ahead is NaN; expected seconds"),
    (lambda: dt.TrackingManager(ahead="1h"), TypeError, "ahead is a string; expected seconds"),
    (lambda: dt.TrackingManager(ahaed=1), TypeError, "unexpected keyword argument 'ahaed'"),
]  # fmt: skip


@pytest.mark.parametrize("at", range(len(WRONG)))
def test_what_is_wrong_is_rejected(at: int) -> None:
    call, error, message = WRONG[at]
    with pytest.raises(error) as caught:
        call()
    assert message in str(caught.value)


CALLS: list[tuple[Callable[[Any], Any], type[Exception], str]] = [
    (lambda m: m.peek(5), TypeError, "group_id is an int; expected str"),
    (lambda m: m.peek("u", 5), TypeError, "names is 5; expected a str, a list of them, or None for all"),
    (lambda m: m.peek("u", [5]), TypeError, "names is a list; expected a str"),
    (lambda m: m.peek("u", now="x"), ValueError, 'now is "x"; expected seconds since 1970 UTC'),
    (lambda m: m.periods("u", None), TypeError, "name is a NoneType; expected str"),
    (lambda m: m.periods("u", "t", now=True), TypeError, "now is a boolean; expected seconds since 1970 UTC"),
    (lambda m: m.attributes(b"u"), TypeError, "group_id is a bytes; expected str"),
    (lambda m: m.delete_group(None), TypeError, "group_id is a NoneType; expected str"),
    (lambda m: m.delete_group("\ud800"), ValueError, "lone surrogate"),
    (lambda m: m.set_attributes("u", [1]), TypeError, "attributes is a list; expected a dict"),
    (lambda m: m.set_attributes("u", None), TypeError, "attributes is a NoneType; expected a dict"),
    (lambda m: m.set_attributes("u", {1: 2}), dt.UnsupportedValueError, "attributes has a key that is an int"),
    (lambda m: m.set_attributes("u", {"a": object()}), dt.UnsupportedValueError, "attributes['a'] is an object"),
    (lambda m: m.set_attributes("u", {"a": "\ud800"}), dt.UnsupportedValueError, "lone surrogate"),
    (lambda m: m.set_attributes("u", {"zone": of_a_file()}), ValueError, "ZoneInfo without a key"),
    (lambda m: m.set_attributes("u", {"zone": datetime.timezone.utc}), TypeError, "attributes['zone'] is a timezone"),
    (lambda m: m.set_progress("u", "t", 1, now="x"), ValueError, 'now is "x"'),
    (lambda m: m.add_targets("u", "t", 1, now="x"), ValueError, 'now is "x"'),
]  # fmt: skip


@pytest.mark.parametrize("at", range(len(CALLS)))
def test_what_is_wrong_in_a_call_is_rejected(at: int, opened: Open, clock: Any) -> None:
    call, error, message = CALLS[at]
    manager = opened(clock=clock)
    with pytest.raises(error) as caught:
        call(manager)
    assert message in str(caught.value)
    assert manager.attributes("u") == {}


def test_the_calls_of_both_managers_are_the_same() -> None:
    for name in ("peek", "periods", "set_attributes", "attributes", "delete_group", "set_progress", "add_targets"):
        for_threads, for_asyncio = (
            inspect.signature(getattr(cls, name)) for cls in (dt.TrackingManager, dictrack.aio.TrackingManager)
        )
        assert for_threads == for_asyncio, name


def test_public_names() -> None:
    names = {"SumLimiter", "StreakTracker", "Period", "PeriodRecord", "AttributesError", "AheadError"}
    assert names <= set(dt.__all__) and all(hasattr(dt, name) for name in names)
