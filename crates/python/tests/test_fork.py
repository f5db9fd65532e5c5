"""Forks, pickles and interpreter exit: no process uses anything of another one, and nothing is lost."""

from __future__ import annotations

import copy
import pathlib
import pickle

import pytest
from conftest import Run

import dictrack as dt

# For programs that fork: `in_child(function)` runs a function in a child and returns its result.
FORKS = """
    import json, os, pickle, sys, threading, warnings
    import dictrack as dt

    # Python warns about forks with threads, which are intended here.
    warnings.simplefilter("ignore", DeprecationWarning)

    def in_child(function):
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            code = 1
            try:
                os.close(reading)
                try:
                    answer = function()
                except BaseException as error:
                    answer = f"{type(error).__name__}: {error}"
                with os.fdopen(writing, "w") as pipe:
                    json.dump(answer, pipe)
                code = 0
            finally:
                # Like multiprocessing, which ends its children without running atexit.
                os._exit(code)
        os.close(writing)
        with os.fdopen(reading) as pipe:
            answer = json.load(pipe)
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == 0
        return answer

    def counted(manager, group, times=1):
        manager.ensure_trackers(group, [dt.CountTracker("all", target=99)])
        for _ in range(times):
            manager.track(group, {})
        return manager.get_trackers(group)[0].progress
"""
STORES = ["memory", "sqlite", "redis"]


@pytest.fixture(params=STORES)
def place(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> str:
    """The backends that `opened` uses in the programs."""
    if request.param == "redis":
        # Not the groups at `redis_url`.
        return f"{request.getfixturevalue('redis_url')}-parent"
    return "memory" if request.param == "memory" else str(tmp_path / "parent.db")


OPENED = (
    FORKS
    + """
    def opened(place):
        if place == "memory":
            return dt.TrackingManager()
        if place.startswith("redis"):
            return dt.TrackingManager(dt.RedisDataCache(url=place))
        return dt.TrackingManager.open(place)
"""
)


def test_a_child_is_refused_by_the_parents_manager_with_a_clear_error(place: str, run: Run) -> None:
    source = (
        OPENED
        + """
    manager = opened(sys.argv[1])
    counted(manager, "g", 3)
    calls = {
        "track": lambda: manager.track("g", {}), "track_many": lambda: manager.track_many([("g", {})]),
        "explain": lambda: manager.explain("g", {}), "get_trackers": lambda: manager.get_trackers("g"),
        "add_tracker": lambda: manager.add_tracker("g", dt.CountTracker("b", target=1)),
        "listen": lambda: manager.add_listener(1001, print), "flush": lambda: manager.flush(confirm=True),
        "close": manager.close, "completed": lambda: manager.completed("g"),
        "remove": lambda: manager.remove_tracker("g"),
        "reset": lambda: manager.reset_tracker("g", "all"), "set": lambda: manager.set_progress("g", "all", 0),
        "with": lambda: manager.__enter__().__exit__(),
    }
    for name, call in calls.items():
        error = in_child(call)
        expected = "ForkError: this manager was opened before a fork, and its threads are in the parent; open"
        assert str(error).startswith(expected), (name, error)
    print(counted(manager, "g", 3))
    """
    )
    assert run(source, place) == "6\n"


def test_live_trackers_show_their_last_state_in_a_child(place: str, run: Run) -> None:
    source = (
        OPENED
        + """
    manager = opened(sys.argv[1])
    tracker = dt.CountTracker("all", target=9, limiters=[dt.CountLimiter(5)])
    manager.add_tracker("g", tracker)
    manager.track("g", {})
    seen = lambda: [tracker.progress, tracker.target, tracker.limiters[0].remaining, tracker.removed, tracker.completed]
    assert seen() == [1, 9, 4, False, False], seen()
    assert in_child(seen) == seen()
    assert in_child(lambda: repr(tracker)) == repr(tracker)
    manager.track("g", {})
    print(seen())
    """
    )
    assert run(source, place) == "[2, 9, 3, False, False]\n"


def test_a_child_makes_a_manager_of_its_own_and_the_parent_goes_on(
    place: str, tmp_path: pathlib.Path, redis_url: str, run: Run
) -> None:
    # The parent has used Redis, so it has a network thread that the child does not have.
    source = (
        OPENED
        + """
    place, other, redis = sys.argv[1:]
    manager, beside = opened(place), opened(redis)
    assert (counted(manager, "g", 2), counted(beside, "g", 2)) == (2, 2)

    def child():
        counts = [counted(opened("memory"), "g", 5)]
        with opened(other) as mine:
            counts.append(counted(mine, "g", 5))
        # Redis is shared with the parent.
        shared = opened(redis)
        counts.append(counted(shared, "g", 5))
        shared.close()
        return counts

    print(in_child(child), in_child(child), counted(manager, "g", 1), counted(beside, "g", 1))
    # A child of a child, and one that starts while another thread is in a call.
    stop = threading.Event()
    def busily():
        while not stop.is_set():
            manager.track("busy", {})
            beside.track("busy", {})
    busy = threading.Thread(target=busily)
    busy.start()
    grandchildren = [in_child(lambda: in_child(lambda: counted(opened("memory"), "g", 5))) for _ in range(5)]
    shared = [in_child(lambda: counted(opened(redis), "g", 1)) for _ in range(3)]
    stop.set()
    busy.join()
    print(grandchildren, shared)
    """
    )
    printed = run(source, place, tmp_path / "child.db", redis_url)
    assert printed == "[5, 5, 7] [5, 10, 12] 3 13\n[5, 5, 5, 5, 5] [14, 15, 16]\n"


@pytest.mark.parametrize("end", ["_exit", "exit"])
def test_the_end_of_a_child_does_not_disturb_the_parents_file(end: str, tmp_path: pathlib.Path, run: Run) -> None:
    source = (
        OPENED
        + """
    manager = opened(sys.argv[1])
    counted(manager, "g", 2)
    child = os.fork()
    if child == 0:
        # With sys.exit, atexit and the garbage collector run here as well.
        (os._exit if sys.argv[2] == "_exit" else sys.exit)(0)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    print(in_child(lambda: dt.TrackingManager.open(sys.argv[1])))
    print(counted(manager, "g", 2))
    """
    )
    store = tmp_path / "parent.db"
    printed = run(source, store, end).splitlines()
    # The parent still owns its file.
    assert printed[0].startswith("OwnedError: ")
    assert printed[1] == "4"
    with dt.TrackingManager.open(store) as manager:
        assert manager.get_trackers("g")[0].progress == 4


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_processes_of_multiprocessing_share_groups_through_redis(method: str, redis_url: str, run: Run) -> None:
    source = """
    import multiprocessing, sys, warnings
    import dictrack as dt

    warnings.simplefilter("ignore", DeprecationWarning)

    def work(url, times):
        with dt.TrackingManager(dt.RedisDataCache(url=url)) as manager:
            manager.ensure_trackers("g", [dt.CountTracker("all", target=99)])
            return sum(len(manager.track("g", {}).dirtied) for _ in range(times))

    if __name__ == "__main__":
        url, method = sys.argv[1:]
        manager = dt.TrackingManager(dt.RedisDataCache(url=url))
        tracker = dt.CountTracker("all", target=99)
        manager.add_tracker("g", tracker)
        manager.track("g", {})
        with multiprocessing.get_context(method).Pool(2) as pool:
            counted = pool.starmap(work, [(url, 5)] * 4)
        print(counted, tracker.progress)
    """
    assert run(source, redis_url, method) == "[5, 5, 5, 5] 21\n"


def test_managers_and_trackers_are_not_pickled_or_copied() -> None:
    manager = dt.TrackingManager()
    tracker = dt.CountTracker("all", target=9)
    manager.add_tracker("g", tracker)
    (dirtied,) = manager.track("g", {}).dirtied
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        with pytest.raises(TypeError, match="manager cannot be pickled.*open one in each process"):
            pickle.dumps(manager, protocol)
        for one in (tracker, dirtied):
            with pytest.raises(TypeError, match=r"cannot be pickled; use to_dict\(\) and from_dict\(\)"):
                pickle.dumps(one, protocol)
    with pytest.raises(TypeError, match="manager cannot be pickled"):
        copy.deepcopy(manager)
    carried = dt.BaseTracker.from_dict(pickle.loads(pickle.dumps(tracker.to_dict())))
    assert carried.to_dict() == tracker.to_dict()
    outcome = manager.track("g", {})
    with pytest.raises(TypeError, match="Outcome"):
        pickle.dumps(outcome)


LOOK = """
    import sys
    import dictrack as dt

    with dt.TrackingManager.open(sys.argv[1]) as manager:
        print(manager.get_trackers("g")[0].progress)
"""
ENDS = {
    "at the end of the program": "",
    "by sys.exit": "sys.exit(0)",
    "without the manager": "del manager",
    "within a thread that is waited for": "threading.Thread(target=track).start()",
}


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS.keys())
def test_the_end_of_the_interpreter_keeps_everything_without_close(end: str, tmp_path: pathlib.Path, run: Run) -> None:
    source = f"""
    import sys, threading
    import dictrack as dt

    manager = dt.TrackingManager.open(sys.argv[1], durability="interval(2s)")
    manager.add_tracker("g", dt.CountTracker("all", target=10**6))
    for _ in range(500):
        manager.track("g", {{}})

    def track():
        for _ in range(999):
            manager.track("h", {{}})

    {end}
    """
    store = tmp_path / "end.db"
    run(source, store)
    assert run(LOOK, store) == "500\n"


def test_a_daemon_thread_that_tracks_on_does_not_disturb_the_end(tmp_path: pathlib.Path, run: Run) -> None:
    source = """
    import sys, threading
    import dictrack as dt

    manager = dt.TrackingManager.open(sys.argv[1], durability="interval(2s)")
    tracker = dt.CountTracker("all", target=10**9)
    manager.add_tracker("g", tracker)
    begun = threading.Event()

    def forever():
        while True:
            manager.track("g", {})
            begun.set()

    for _ in range(3):
        threading.Thread(target=forever, daemon=True).start()
    begun.wait()
    print(tracker.progress)
    """
    for at in range(3):
        store = tmp_path / f"daemon{at}.db"
        at_least = int(run(source, store))
        assert int(run(LOOK, store)) >= at_least > 0
