"""Memory: nothing grows with the number of documents, and unreferenced objects are freed."""

from __future__ import annotations

import gc
import pathlib
import weakref
from collections.abc import Callable
from typing import Any

import pytest
from conftest import Run, wait_until

import dictrack as dt

# `flat(times, body)` calls `body(n)` this many times, after a tenth as warm-up, and prints by how many bytes memory grew.
MEASURED = """
    import collections, datetime, decimal, gc, os, sys, uuid
    import numpy
    import dictrack as dt

    def resident():
        gc.collect()
        with open("/proc/self/statm") as statm:
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def flat(times, body):
        for n in range(max(times // 10, 100)):
            body(n)
        before = resident()
        for n in range(times):
            body(n)
        print(resident() - before)

    class Bag(dict):
        pass

    class Fails(dt.BaseCondition):
        def check(self, data, *args, **kwargs):
            return data["no such key"]

    class Notes(dt.BaseLimiter):
        def __init__(self):
            super().__init__()
            self.last = {}
        def post_track(self, data, post_tracker, *args, **kwargs):
            self.last = {"n": data.get("n")}
            return True

    PLAIN = [
        {"event": "login", "amount": 0.1}, {"event": "purchase", "amount": 12.5, "items": [{"id": 1}, {"id": 2}]},
        {"event": "login", "user": {"name": "Ada", "tags": ["a", "b"]}, "amount": "7"},
        {}, {"amount": None}, {"event": 5},
    ]
    UNUSUAL = [
        Bag(event="login"), {"at": datetime.datetime.now(), "day": datetime.date.today()},
        {"amount": decimal.Decimal("1.1")},
        {"amount": numpy.float64(2), "array": numpy.arange(5)}, {"amount": 10**400, "big": 10**5000},
        {"id": uuid.uuid4()},
        {"set": {1, 2}, "bytes": b"x", "object": object()}, {"\\ud800": "\\udfff"},
        collections.UserDict(amount=float("nan")),
        {None: 1, 5: 2}, {"deque": collections.deque([1, (2,), Bag(a=1)])},
    ]
    DEEP = {}
    DEEP["self"] = DEEP

    is_login = dt.KeyValueEQ("event", "login")

    def trackers():
        return [
            dt.CountTracker("logins", [is_login], target=[10, 10**9], limiters=[dt.CountLimiter(10**9)]),
            dt.AccumulationTracker("sum", target=[5, 7], loop_forever=True),
            dt.CountTracker("short", [dt.KeyExists("event")], target=10**9, limiters=[dt.CountLimiter(3)]),
        ]
"""
WORK = {
    "a million documents": """
        manager = dt.TrackingManager()
        manager.add_trackers("g", trackers())
        flat(900_000, lambda n: manager.track("g", PLAIN[n % 6]))
    """,
    "documents of unusual types": """
        manager = dt.TrackingManager()
        manager.add_trackers("g", trackers())
        flat(25_000, lambda n: manager.track("g", UNUSUAL[n % 11]))
    """,
    "custom code that fails, and that does not": """
        manager = dt.TrackingManager()
        limiter = Notes()
        custom = dt.CountTracker("custom", target=10**9, limiters=[limiter])
        manager.add_trackers("g", [dt.CountTracker("fails", [Fails()], target=9), custom])
        def body(n):
            assert manager.track("g", {"n": n}).failed.keys() == {"fails"}
            assert limiter.last == {"n": n}
        flat(12_000, body)
    """,
    "documents and calls that are refused": """
        manager = dt.TrackingManager()
        manager.add_trackers("g", trackers())
        def body(n):
            for call, error in [
                (lambda: manager.track("g", DEEP), ValueError), (lambda: manager.track("g", None), TypeError),
                (lambda: manager.track("g", {}, now="never"), ValueError),
                (lambda: manager.add_tracker("g", dt.CountTracker("logins", target=1)), dt.ConflictingNameError),
                (lambda: dt.KeyValueEQ("", 1), dt.DefinitionError), (manager.flush, dt.UnconfirmedError),
            ]:
                try:
                    call()
                except error:
                    continue
                raise AssertionError(call)
        flat(5_000, body)
    """,
    "ids, of which the old ones are forgotten": """
        clock = dt.TestClock(0)
        manager = dt.TrackingManager(clock=clock, id_window=10, ids_at_least=100)
        manager.add_trackers("g", trackers())
        def body(n):
            clock.advance(1)
            document = {"event": "login"}
            manager.track("g", document, event_id=f"{id(manager)}-{n}")
        flat(100_000, body)
    """,
    "outcomes, events and listeners": """
        manager = dt.TrackingManager()
        heard = []
        for code in dt.EVENT_ALL:
            manager.add_listener(code, lambda event: heard.append(repr(event)))
        manager.add_trackers("g", trackers())
        def body(n):
            outcome = manager.track("g", {"event": "login", "amount": 20 + n % 3})
            is_ok, dirtied, completed, limited = outcome
            assert [repr(tracker) for tracker in dirtied] and outcome.events and heard
            heard.clear()
            assert manager.track_many([("g", {"amount": 1})] * 3)
        flat(5_000, body)
    """,
    "trackers that come and go": """
        manager = dt.TrackingManager()
        def body(n):
            condition, limiter = dt.KeyExists("a") | dt.KeyExists("b"), dt.CountLimiter(5)
            tracker = dt.CountTracker("t", [condition], target=[1, 3], limiters=[limiter])
            manager.add_tracker("g", tracker)
            manager.track("g", {"a": 1})
            tracker.progress = 2
            manager.update_tracker("g", tracker)
            manager.reset_tracker("g", "t", dt.ResetPolicy.LIMITER)
            assert len(manager.get_trackers("g")) == len(manager.explain("g", {"a": 1})) == 1
            if n % 2:
                assert manager.track("g", {"a": 1}).completed and tracker.completed
            else:
                assert manager.remove_tracker("g", "t") and tracker.removed
            assert n % 100 or len(manager.completed("g")) <= 100
        flat(3_000, body)
    """,
    "managers that come and go": """
        def body(n):
            place = f"{sys.argv[1]}/{n % 8}.db"
            manager = dt.TrackingManager() if n % 4 else dt.TrackingManager.open(place)
            manager.add_listener(1002, lambda event: manager)
            manager.ensure_trackers("g", trackers())
            assert manager.track("g", PLAIN[0]).dirtied
            manager.close()
        flat(400, body)
    """,
}


@pytest.mark.parametrize("work", WORK.values(), ids=WORK.keys())
def test_memory_is_flat(work: str, tmp_path: pathlib.Path, run: Run) -> None:
    grown = int(run(MEASURED + work.replace("\n    ", "\n"), tmp_path, timeout=120))
    # With a million documents, a leak of 8 bytes would take 7 MB.
    assert grown < 2 << 20


def _freed(make: Callable[[], list[Any]]) -> None:
    """The objects that ``make`` returns weak references to are freed once they are unreferenced."""
    references = make()
    gc.collect()
    alive = [reference() for reference in references if reference() is not None]
    assert alive == []


def test_documents_outcomes_events_and_their_trackers_are_freed() -> None:
    class Bag(dict[str, Any]):
        pass

    manager = dt.TrackingManager()
    heard: list[Any] = []

    def listener(event: Any) -> None:
        heard.extend(map(weakref.ref, (event, event.tracker)))

    manager.add_listener(dt.EVENT_TRACKER_STAGE_COMPLETED, listener)
    manager.add_tracker("g", dt.CountTracker("t", target=[1, 9], limiters=[dt.CountLimiter(5)]))

    def make() -> list[Any]:
        document = Bag(a=1)
        outcome = manager.track("g", document)
        found = manager.get_trackers("g")
        made = [document, *outcome.dirtied, *outcome.events, *found, *found[0].limiters]
        assert len(made) == 5
        return [*map(weakref.ref, made), *heard]

    _freed(make)
    assert len(heard) == 2


def test_live_trackers_and_limiters_are_freed_when_the_caller_drops_them() -> None:
    class Notes(dt.BaseLimiter):
        def __init__(self) -> None:
            super().__init__()
            self.seen = 0

        def post_track(self, data: Any, post_tracker: Any, *args: Any, **kwargs: Any) -> bool:
            self.seen += 1
            return True

    manager = dt.TrackingManager()

    def make() -> list[Any]:
        limiters = [Notes(), dt.CountLimiter(9)]
        conditions = [dt.KeyExists("a")]
        tracker = dt.CountTracker("t", conditions, target=9, limiters=limiters)
        manager.add_tracker("g", tracker)
        manager.track("g", {"a": 1})
        assert (tracker.progress, limiters[0].seen) == (1, 1)  # type: ignore[attr-defined]
        return [weakref.ref(one) for one in (tracker, *limiters, *conditions)]

    _freed(make)
    # The tracker itself is in the group, and its limiters continue.
    manager.track("g", {"a": 1})
    (found,) = manager.get_trackers("g")
    assert (found.progress, found.limiters[0].seen) == (2, 2)  # type: ignore[attr-defined]


@pytest.mark.parametrize("is_closed", [True, False])
@pytest.mark.parametrize("store", ["memory", "sqlite"])
def test_managers_are_freed_with_their_listeners(store: str, is_closed: bool, tmp_path: pathlib.Path) -> None:
    place = tmp_path / "freed.db"
    kept = dt.CountTracker("t", target=9)

    def make() -> list[Any]:
        manager = dt.TrackingManager() if store == "memory" else dt.TrackingManager.open(place)

        class Listener:
            def __call__(self, event: Any) -> None:
                assert event

        listener = Listener()
        manager.add_listener(dt.EVENT_TRACKER_ADDED, listener)
        manager.add_tracker("g", kept)
        manager.track("g", {})
        if is_closed:
            manager.close()
        return [weakref.ref(manager), weakref.ref(manager._native), weakref.ref(listener)]

    _freed(make)
    # A live object does not keep the manager alive, and shows the last state.
    assert kept.progress in (0, 1)
    if store == "sqlite":
        with dt.TrackingManager.open(place) as manager:
            assert manager.get_trackers("g")[0].progress == 1


def test_a_closed_manager_that_its_listener_refers_to_is_freed() -> None:
    def make() -> list[Any]:
        manager = dt.TrackingManager()
        heard: list[int] = []

        def listener(event: Any) -> None:
            heard.append(manager.track("g", {"heard": event.code}).is_ok)

        manager.add_listener(dt.EVENT_TRACKER_ADDED, listener)
        manager.add_tracker("g", dt.CountTracker("t", target=9))
        assert heard == [True]
        manager.close()
        return [weakref.ref(manager), weakref.ref(listener)]

    _freed(make)


def test_managers_end_their_threads() -> None:
    def threads() -> int:
        return len(list(pathlib.Path("/proc/self/task").iterdir()))

    before = threads()
    for _ in range(20):
        manager = dt.TrackingManager()
        manager.add_tracker("g", dt.CountTracker("t", target=9))
        manager.track("g", {})
        manager.close()
        del manager
    wait_until(lambda: threads() <= before, "threads of managers that are closed end")
