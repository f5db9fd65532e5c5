"""Threads share one manager: every document counts once, nothing deadlocks, and a waiting thread lets others run."""

from __future__ import annotations

import json
import pathlib

import pytest
from conftest import Run

STORES = ["memory", "sqlite"]

# Eight threads track, in one group or one each, while others read live trackers; listeners call the manager.
STORM = """
    import json, sys, threading
    import dictrack as dt

    store, shared, each = sys.argv[1], sys.argv[2] == "shared", int(sys.argv[3])
    THREADS = 8

    class Fits(dt.BaseCondition):
        def __init__(self, most):
            self.most = most
        def check(self, data, *args, **kwargs):
            return data["n"] < self.most

    class AtMost(dt.BaseLimiter):
        def __init__(self, most):
            super().__init__()
            self.most, self.seen = most, 0
        def post_track(self, data, post_tracker, *args, **kwargs):
            self.seen += 1
            return self.seen < self.most

    manager = dt.TrackingManager() if store == "memory" else dt.TrackingManager.open(store)
    groups = ["g"] * THREADS if shared else [f"g{at}" for at in range(THREADS)]
    per_group = each * (THREADS if shared else 1)
    live, limiters = {}, {}
    for group in sorted(set(groups)):
        limiters[group] = AtMost(per_group // 4)
        live[group] = [
            dt.CountTracker("all", target=list(range(50, per_group * 2, 50))),
            dt.CountTracker("even", [Fits(each // 2)], target=10**9),
            dt.AccumulationTracker("sum", target=10**9, key="n"),
            dt.CountTracker("limited", target=10**9, limiters=[dt.CountLimiter(per_group // 2)]),
            dt.CountTracker("custom", target=10**9, limiters=[limiters[group]]),
            dt.CountTracker("heard", [dt.KeyExists("from listener")], target=10**9),
        ]
        manager.add_trackers(group, live[group])

    heard, errors, lock = [], [], threading.Lock()

    def listener(event):
        with lock:
            heard.append((event.group_id, event.stage))
        # A call in a listener commits at once; `n` is too high to disturb the others.
        manager.track(event.group_id, {"from listener": 1, "n": 10**6}, event_id=event.id)
        live[event.group_id][0].progress

    manager.add_listener(dt.EVENT_TRACKER_STAGE_COMPLETED, listener)
    dirtied, begun, over = [0] * THREADS, threading.Barrier(THREADS + 1), threading.Event()

    def guarded(function):
        def body(*args):
            try:
                function(*args)
            except BaseException as error:
                errors.append(repr(error))
        return body

    @guarded
    def track(at):
        begun.wait()
        for n in range(each):
            if n % 5 == 0:
                outcomes = manager.track_many([(groups[at], {"n": n}, None, f"{at}-{n}")])
            else:
                outcomes = [manager.track(groups[at], {"n": n}, event_id=f"{at}-{n}")]
            # The same id again does not count.
            again = manager.track(groups[at], {"n": n}, event_id=f"{at}-{n}") if n % 7 == 0 else None
            assert again is None or again.duplicate
            dirtied[at] += sum("sum" in [tracker.name for tracker in outcome.dirtied] for outcome in outcomes)

    @guarded
    def read():
        seen = 0
        while not over.is_set():
            for trackers in live.values():
                progress = trackers[2].progress
                for tracker in trackers:
                    repr(tracker)
            if shared:
                assert progress >= seen, (progress, seen)
                seen = progress
            manager.explain(groups[0], {"n": 1})
            manager.get_trackers(groups[-1])

    threads = [threading.Thread(target=track, args=(at,)) for at in range(THREADS)]
    readers = [threading.Thread(target=read) for _ in range(2)]
    for thread in threads + readers:
        thread.start()
    begun.wait()
    for thread in threads:
        thread.join()
    over.set()
    for thread in readers:
        thread.join()
    totals = {}
    for group in sorted(set(groups)):
        for tracker in manager.get_trackers(group):
            totals.setdefault(tracker.name, []).append(tracker.progress)
        found = [tracker.progress for tracker in manager.get_trackers(group)]
        assert [tracker.progress for tracker in live[group]] == found
        assert limiters[group].seen == per_group // 4
    stages = {group: [stage for known, stage in heard if known == group] for group in live}
    manager.close()
    print(json.dumps({"totals": totals, "errors": errors, "dirtied": sum(dirtied), "stages": stages}))
"""


@pytest.mark.parametrize("groups", ["shared", "own"])
@pytest.mark.parametrize("store", STORES)
def test_eight_threads_count_every_document_once(store: str, groups: str, tmp_path: pathlib.Path, run: Run) -> None:
    each = 200
    place = "memory" if store == "memory" else str(tmp_path / "storm.db")
    found = json.loads(run(STORM, place, groups, str(each), timeout=90))
    assert found["errors"] == []
    lists, documents = (1, each * 8) if groups == "shared" else (8, each)
    heard = len(next(iter(found["stages"].values())))
    # The documents of the listeners also count in `all`, and have their own listeners.
    assert heard == (documents + heard) // 50
    for stages in found["stages"].values():
        assert stages == list(range(1, heard + 1))
    assert found["totals"]["all"] == [documents + heard] * lists
    assert found["totals"]["heard"] == [heard] * lists
    assert found["totals"]["even"] == [documents // 2] * lists
    assert found["totals"]["sum"] == [sum(range(each)) * (documents // each) + heard * 10**6] * lists
    assert found["totals"]["limited"] == [documents // 2] * lists
    assert found["totals"]["custom"] == [documents // 4] * lists
    assert found["dirtied"] == each * 8


def test_waiting_for_a_commit_lets_other_threads_run(tmp_path: pathlib.Path, run: Run) -> None:
    # Another process holds the lock on the file. The commit waits for this thread to make that process release it.
    source = """
        import subprocess, sys, threading
        import dictrack as dt

        LOCK = '''
        import sqlite3, sys
        other = sqlite3.connect(sys.argv[1], isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        print("locked", flush=True)
        sys.stdin.readline()
        '''
        manager = dt.TrackingManager.open(sys.argv[1], durability="fsync")
        tracker = dt.CountTracker("all", target=9)
        manager.add_tracker("g", tracker)
        lines = [line.strip() for line in LOCK.strip().splitlines()]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        other = subprocess.Popen([sys.executable, "-c", "\\n".join(lines), sys.argv[1]], **pipes)
        assert other.stdout.readline() == "locked\\n"
        waiting = threading.Thread(target=manager.track, args=("g", {}))
        waiting.start()
        waiting.join(0.3)
        assert waiting.is_alive(), "the commit did not wait"
        other.communicate("go on\\n")
        waiting.join(20)
        print(waiting.is_alive(), tracker.progress)
    """
    assert run(source, tmp_path / "fsync.db") == "False 1\n"


@pytest.mark.parametrize("call", ["track", "track_many", "explain", "begin"])
def test_a_condition_that_waits_lets_other_threads_run(call: str, run: Run) -> None:
    source = """
        import sys, threading
        import dictrack as dt

        asked, answer = threading.Event(), threading.Event()

        @dt.condition
        def waits(data):
            asked.set()
            return answer.wait(20)

        manager = dt.TrackingManager()
        other = dt.CountTracker("other", target=99)
        manager.add_tracker("g", dt.CountTracker("waits", [waits()], target=99))
        manager.add_tracker("h", other)
        calls = {
            "track": lambda: manager.track("g", {}),
            "track_many": lambda: manager.track_many([("g", {})]),
            "explain": lambda: manager.explain("g", {}),
            "begin": lambda: manager._native.begin_track("g", {}).wait(),
        }
        thread = threading.Thread(target=calls[sys.argv[1]])
        thread.start()
        assert asked.wait(20)
        # Other groups, and everything else, are available.
        for _ in range(100):
            manager.track("h", {})
        assert thread.is_alive()
        answer.set()
        thread.join(20)
        print(thread.is_alive(), other.progress, [tracker.progress for tracker in manager.get_trackers("g")])
    """
    counted = 0 if call == "explain" else 1
    # The other one has completed in the meantime: its 99th document was the last.
    assert run(source, call) == f"False 99 [{counted}]\n"


@pytest.mark.parametrize("store", STORES)
@pytest.mark.parametrize("where", ["listener", "condition"])
def test_ctrl_c_while_python_code_runs_within_a_call_ends_the_program(
    where: str, store: str, tmp_path: pathlib.Path, run: Run
) -> None:
    source = """
        import os, signal, sys, time
        signal.signal(signal.SIGINT, signal.default_int_handler)
        import dictrack as dt

        where, place = sys.argv[1:]
        manager = dt.TrackingManager() if place == "memory" else dt.TrackingManager.open(place)
        armed = [True]

        def interrupted():
            if armed:
                armed.clear()
                os.kill(os.getpid(), signal.SIGINT)
                # The interpreter raises it here, in time.sleep at the latest.
                time.sleep(20)

        @dt.condition(name="tests.interrupted")
        def condition(data):
            if where == "condition":
                interrupted()
            return True

        if where == "listener":
            manager.add_listener(dt.EVENT_TRACKER_STAGE_COMPLETED, lambda event: interrupted())
        tracker = dt.CountTracker("all", [condition()], target=[1, 99])
        manager.add_tracker("g", tracker)
        began = time.monotonic()
        try:
            manager.track("g", {})
            # Raised here at the latest.
            for _ in range(1000):
                pass
            print("not interrupted")
        except KeyboardInterrupt:
            print("interrupted", time.monotonic() - began < 5)
        manager.track("g", {})
        print(tracker.progress)
        manager.close()
    """
    place = "memory" if store == "memory" else str(tmp_path / "interrupted.db")
    # A document whose condition was interrupted did not count; one that a listener received did.
    progress = {"condition": 1, "listener": 2}[where]
    assert run(source, where, place) == f"interrupted True\n{progress}\n"


def test_ctrl_c_that_nobody_catches_ends_the_program_and_keeps_what_was_counted(
    tmp_path: pathlib.Path, run: Run
) -> None:
    source = """
        import os, signal, sys
        signal.signal(signal.SIGINT, signal.default_int_handler)
        import dictrack as dt

        manager = dt.TrackingManager.open(sys.argv[1], durability="interval(2s)")
        manager.add_tracker("g", dt.CountTracker("all", target=[1, 99]))
        manager.add_listener(dt.EVENT_TRACKER_STAGE_COMPLETED, lambda event: os.kill(os.getpid(), signal.SIGINT))
        for _ in range(100_000):
            manager.track("g", {})
    """
    store = tmp_path / "ended.db"
    run(source, store, code=-2)
    look = """
        import sys
        import dictrack as dt

        with dt.TrackingManager.open(sys.argv[1]) as manager:
            print(manager.get_trackers("g")[0].progress > 0)
    """
    assert run(look, store) == "True\n"
