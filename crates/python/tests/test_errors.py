"""Each error says what is wrong, where, and what was expected, so that the user knows what to do."""

from __future__ import annotations

import datetime
import importlib
import math
import os
import pathlib
import sqlite3
from collections.abc import Callable
from typing import Any

import pytest

# Without types, which would forbid what is tested here.
dt: Any = importlib.import_module("dictrack")


def tracker(name: Any = "t", **options: Any) -> Any:
    return dt.CountTracker(name, **{"target": 5, **options})


def first_error(outcomes: Any) -> None:
    raise next(iter(outcomes.errors.values()))


MOMENT = "expected seconds since 1970 UTC, a datetime, a date or an RFC 3339 string"
Calls = list[tuple[Callable[[Any], Any], type[Exception], str]]
CALLS: Calls = [
    (lambda m: m.track(5, {}), TypeError, "group_id is an int; expected str"),
    (lambda m: m.get_trackers(5), TypeError, "group_id is an int; expected str"),
    (lambda m: m.track("g\ud800", {}), ValueError, "group_id .*surrogate"),
    (lambda m: m.track("g", {}, event_id=5), TypeError, "event_id is an int; expected str"),
    (lambda m: m.track("g", {}, now="x"), ValueError, f'now is "x"; {MOMENT}'),
    (lambda m: m.track("g", {}, now=True), TypeError, f"now is a boolean; {MOMENT}"),
    (lambda m: m.track("g", {}, now=10**30), ValueError, f"now is 1e30; {MOMENT}"),
    (lambda m: m.track("g", {}, now=math.nan), ValueError, f"now is NaN; {MOMENT}"),
    (lambda m: m.track("g", {}, nwo=1), TypeError, "track got an unexpected keyword argument 'nwo'"),
    (lambda m: m.track_many(5), TypeError,
     r"items is an int; expected an iterable of \(group_id, data\[, now\[, event_id\]\]\)"),
    (lambda m: m.track_many([("g",)]), TypeError, r"items\[0\] is a tuple; expected \(group_id, data"),
    (lambda m: first_error(m.track_many([("h", {}), ("g", [])])), TypeError,
     r"data is a list; expected a dict or another mapping"),
    (lambda m: first_error(m.track_many([("g", {}, None, 5)])), TypeError, "event_id is an int; expected str"),
    (lambda m: first_error(m.track_many([(5, {})])), TypeError, "group_id is an int; expected str"),
    (lambda m: m.track("g", {}, ensure=5), TypeError, "trackers is an int; expected a list of trackers"),
    (lambda m: m.track("g", {}, ensure=[tracker("a"), tracker("a")]), dt.RepeatedNameError, "appears twice"),
    (lambda m: m.track("g", {}, ensure=[tracker(target=6)]), dt.ConflictingNameError, "a different definition"),
    (lambda m: m.tracker_list([5]), TypeError, r"trackers\[0\] is an int; expected a tracker"),
    (lambda m: m.add_tracker("g", "t"), TypeError, r"trackers\[0\] is a str; expected a tracker"),
    (lambda m: m.add_trackers("g", tracker()), TypeError, "trackers is a CountTracker; expected a list of trackers"),
    (lambda m: m.add_trackers("g", [tracker(), 5]), TypeError, r"trackers\[1\] is an int; expected a tracker"),
    (lambda m: m.add_tracker("g", tracker(target=6)), dt.ConflictingNameError,
     'group "g": conflicting name: an active tracker named "t" has a different definition'),
    (lambda m: m.add_trackers("g", [tracker("a"), tracker("a")]), dt.RepeatedNameError,
     'group "g": repeated name: "a" appears twice in one call'),
    (lambda m: m.add_tracker("g", tracker("a"), expire=-1), ValueError, "expire is -1; expected seconds, 0 or more"),
    (lambda m: m.add_tracker("g", tracker("a"), expire="x"), TypeError, "expire is a string; expected seconds"),
    (lambda m: m.add_tracker("g", tracker("a"), expire_at=[]), TypeError,
     "expire_at is a list; expected seconds since 1970"),
    (lambda m: m.add_tracker("g", tracker("a"), expire=1, expire_at=5), ValueError,
     "both expire and expire_at are given"),
    (lambda m: m.get_trackers("g", 5), TypeError, "name is 5; expected a str, a list of them, or None for all"),
    (lambda m: m.remove_tracker("g", [5]), TypeError,
     "name is a list; expected a str, a list of them, or None for all"),
    (lambda m: m.reset_tracker("g", 5), TypeError, "name is an int; expected str"),
    (lambda m: m.reset_tracker("g", "t", 7), ValueError,
     "reset_policy is 7; expected a combination of ResetPolicy flags, 0 to 3"),
    (lambda m: m.reset_tracker("g", "t", reset_count=-1), ValueError, "reset_count is -1; expected 0 or more"),
    (lambda m: m.reset_tracker("g", "t", reset_count=2**64), ValueError, "reset_count is .*; expected .* less than"),
    (lambda m: m.reset_tracker("g", "t", reset_count=1.5), TypeError, "reset_count is a float; expected int"),
    (lambda m: m.reset_tracker("g", "t", reset_seconds=-1), ValueError,
     "reset_seconds is -1; expected seconds, 0 or more"),
    (lambda m: m.add_listener(5, print), ValueError, "code is 5; expected one of 1001, 1002, 1003, 1004, 1005"),
    (lambda m: m.add_listener(1001, 5), TypeError, "cb is an int; expected a function that takes one event"),
    (lambda m: m.set_progress("g", "t", "x"), TypeError, "progress is a string; expected a number"),
    (lambda m: m.set_progress("g", "t", math.inf), ValueError, "progress is not finite; expected a number"),
    (lambda m: m.set_progress("g", "t", 10**30), ValueError, r"progress is out of range; expected \|x\| < 1.7e20"),
    (lambda m: m.set_progress("g", 5, 1), TypeError, "name is an int; expected str"),
    (lambda m: m.add_targets("g", "t", ["x"]), TypeError, "target is a string; expected a number"),
    (lambda m: m.add_targets("g", 5, 1), TypeError, "name is an int; expected str"),
    (lambda m: m.update_tracker("g", 5), TypeError, "tracker is an int; expected a tracker"),
    (lambda m: m.flush(), dt.UnconfirmedError, "flush permanently deletes everything in the cache and the store; it needs confirmation"),
    (lambda m: m.flush(1), dt.UnconfirmedError, "flush permanently deletes everything in the cache and the store; it needs confirmation"),
]  # fmt: skip
MADE: Calls = [
    (lambda _: tracker(target=[]), dt.DefinitionError, "target: an empty list; expected a number or a non-empty list"),
    (lambda _: tracker(target="5"), TypeError, "target is a str; expected a number"),
    (lambda _: tracker(target=[1, True]), TypeError, r"target\[1\] is a bool; expected a number"),
    (lambda _: tracker(target=[1, math.nan]), dt.DefinitionError, r"target\[1\]: NaN.*; expected a number"),
    (lambda _: dt.CountTracker("t", loop_forever=True), dt.DefinitionError,
     "target: required field is missing; expected positive, ascending targets because `loop_forever` is set"),
    (lambda _: tracker(""), dt.DefinitionError, 'name: a string ""; expected a non-empty string'),
    (lambda _: tracker(5), TypeError, "name is an int; expected str"),
    (lambda _: tracker("n" * 2000), dt.DefinitionError, "name: name is 2000 bytes long; expected up to 1024 bytes"),
    (lambda _: tracker(conditions=dt.KeyExists("k")), TypeError,
     "conditions is a KeyExists; expected a list of BaseCondition"),
    (lambda _: tracker(conditions=["k"]), TypeError, r"conditions\[0\] is a str; expected a BaseCondition"),
    (lambda _: tracker(limiters=[5]), TypeError, r"limiters\[0\] is an int; expected a BaseLimiter"),
    (lambda _: tracker(reset_policy=9), ValueError, "reset_policy is 9; expected a combination of ResetPolicy flags, 0 to 3"),
    (lambda _: tracker(loop_forever=1), TypeError, "loop_forever is an int; expected bool"),
    (lambda _: tracker(target=[5, 3], loop_forever=True), dt.DefinitionError,
     "target: .*; expected positive, ascending"),
    (lambda _: tracker(init_progress="x"), dt.DefinitionError, 'init_progress: a string "x"; expected a number'),
    (lambda _: tracker(expire_at="soon"), dt.DefinitionError,
     'expire_at: a string "soon"; expected seconds since 1970'),
    (lambda _: dt.AccumulationTracker("a", target=1, key=""), dt.DefinitionError,
     'key: a string ""; expected a dotted path'),
    (lambda _: dt.CustomTracker("a", target=1), TypeError,
     "measure is missing; expected the result of a function decorated with"),
    (lambda _: dt.BaseTracker("a", target=1), TypeError,
     "BaseTracker does not define what a document adds; define amount"),
    (lambda _: dt.BaseTracker.from_dict({"name": "a"}), dt.DefinitionError,
     'kind: required field is missing; expected "count"'),
    (lambda _: dt.BaseTracker.from_dict({"name": "a", "kind": "count", "target": 1, "tarket": 2}), dt.DefinitionError,
     "tarket: unknown field `tarket`; did you mean `target`\\?$"),
    (lambda _: dt.KeyExists(""), dt.DefinitionError, r'key: a string ""; expected a dotted path such as "user.tier"'),
    (lambda _: dt.KeyExists(5), TypeError, "key is an int; expected str"),
    (lambda _: dt.KeyValueInList("k", []), dt.DefinitionError, "in: an empty list; expected a non-empty list"),
    (lambda _: dt.KeyValueInList("k", "ab"), TypeError, "value is a str; expected a list or tuple"),
    (lambda _: dt.KeyValueComparison("k", 1, max), ValueError,
     "op is .*; expected one of operator.eq, ne, lt, le, gt, ge"),
    (lambda _: dt.AllOf(), dt.DefinitionError, "all: an empty list; expected a non-empty list of conditions"),
    (lambda _: dt.AnyOf(5), TypeError, "expected conditions; found an int"),
    (lambda _: dt.CountLimiter(0), ValueError, "count is 0; expected 1 or more"),
    (lambda _: dt.CountLimiter(1.5), TypeError, "count is a float; expected int"),
    (lambda _: dt.TimeLimiter(), ValueError, "expected start_ts, end_ts, interval or seconds"),
    (lambda _: dt.TimeLimiter(5, 4), ValueError, "expected an end"),
    (lambda _: dt.TimeLimiter(seconds=datetime.timedelta(0)), ValueError, "expected an end after the start"),
    (lambda _: dt.TestClock("x"), ValueError, f'now is "x"; {MOMENT}'),
    (lambda _: dt.SQLiteDataStore(5), TypeError, "path is 5; expected a str or path"),
    (lambda _: dt.MemoryDataCache(max_bytes=-1), ValueError, "max_bytes is -1; expected 0 or more"),
    (lambda _: dt.load_trackers("/none.json"), dt.DefinitionError, "/none.json: No such file or directory"),
]  # fmt: skip
OPENED: Calls = [
    (lambda _: dt.TrackingManager("redis://h"), TypeError, "data_cache is a str; expected a BaseDataCache"),
    (lambda _: dt.TrackingManager(data_store="a.db"), TypeError, "data_store is a str; expected a BaseDataStore"),
    (lambda _: dt.TrackingManager(dt.SQLiteDataStore("a")), TypeError,
     "data_cache is a SQLiteDataStore; expected a Base"),
    (lambda _: dt.TrackingManager(dt.data_caches.base.BaseDataCache()), TypeError, "expected MemoryDataCache or Redis"),
    (lambda _: dt.TrackingManager(durability="now"), ValueError,
     'invalid durability "now"; expected fsync, os or an interval'),
    (lambda _: dt.TrackingManager(durability=5), TypeError, "durability is an int; expected str"),
    (lambda _: dt.TrackingManager(clock=5), TypeError, "clock is an int; expected a TestClock, or a callable that returns"),
    (lambda _: dt.TrackingManager(completed=5), TypeError,
     "TrackingManager got an unexpected keyword argument 'completed'"),
    (lambda _: dt.TrackingManager(completed_kept=-5), ValueError, "completed_kept is -5; expected 0 or more"),
    (lambda _: dt.TrackingManager(id_window=-5), ValueError,
     "id_window is -5; expected seconds, 0 or more, or a timedelta"),
    (lambda _: dt.TrackingManager.open(5), TypeError, "place is an int; expected a path or URL"),
    (lambda _: dt.TrackingManager.open("redis://h"), ValueError,
     'redis://h: unknown scheme "redis"; expected a file, mongodb.*; Redis is a cache'),
    (lambda _: dt.TrackingManager.open("u:s3cret@h"), ValueError, "^looks like a URL with an unknown scheme"),
    (lambda _: dt.TrackingManager.open("a.db", "mongodb://h"), ValueError,
     'mongodb://h: unknown scheme "mongodb"; expected redis.*; MongoDB is a store'),
]  # fmt: skip
ALL = CALLS + MADE + OPENED


@pytest.mark.parametrize(("call", "error", "said"), ALL, ids=[f"{at} {said}" for at, (_, _, said) in enumerate(ALL)])
def test_what_is_wrong_is_refused_with_where_and_what_was_expected(
    call: Callable[[Any], Any], error: type[Exception], said: str
) -> None:
    manager = dt.TrackingManager()
    manager.add_tracker("g", tracker())
    with pytest.raises(error, match=said) as raised:
        call(manager)
    assert "\n" not in str(raised.value)
    # Nothing was changed.
    (found,) = manager.get_trackers("g")
    assert (found.name, found.progress, found.targets) == ("t", 0, [5])


CLOSED: dict[str, Callable[[Any], Any]] = {
    "track": lambda m: m.track("g", {}),
    "explain": lambda m: m.explain("g", {}),
    "add_tracker": lambda m: m.add_tracker("g", tracker("a")),
    "ensure_trackers": lambda m: m.ensure_trackers("g", [tracker("a")]),
    "get_trackers": lambda m: m.get_trackers("g"),
    "completed": lambda m: m.completed("g"),
    "update_tracker": lambda m: m.update_tracker("g", tracker()),
    "set_progress": lambda m: m.set_progress("g", "t", 1),
    "add_targets": lambda m: m.add_targets("g", "t", 9),
    "remove_tracker": lambda m: m.remove_tracker("g"),
    "reset_tracker": lambda m: m.reset_tracker("g", "t"),
    "add_listener": lambda m: m.add_listener(1001, print),
    "flush": lambda m: m.flush(confirm=True),
}


@pytest.mark.parametrize("store", ["memory", "sqlite"])
@pytest.mark.parametrize("name", CLOSED)
def test_a_closed_manager_says_so_at_every_call(name: str, store: str, tmp_path: pathlib.Path) -> None:
    manager = dt.TrackingManager() if store == "memory" else dt.TrackingManager.open(tmp_path / "closed.db")
    manager.add_tracker("g", tracker())
    manager.close()
    with pytest.raises(dt.ClosedError, match="^the manager is closed$"):
        CLOSED[name](manager)
    # Closing twice is not an error.
    manager.close()


def test_files_that_are_no_stores_are_left_as_they_are(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text, other, newer = tmp_path / "text.db", tmp_path / "other.db", tmp_path / "newer.db"
    text.write_text("a text" * 1000)
    with sqlite3.connect(other) as connection:
        connection.execute("CREATE TABLE of_another_program (a)")
    connection.close()
    with dt.TrackingManager.open(newer) as manager:
        manager.add_tracker("g", tracker())
    del manager
    with sqlite3.connect(newer) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    refused: list[tuple[str | os.PathLike[str], type[Exception], str]] = [
        (text, dt.CorruptError, "text.db: the file cannot be read: it is not an SQLite file; nothing was changed"),
        (other, dt.CorruptError, "other.db: .*it is an SQLite file of another program; nothing was changed"),
        (newer, dt.NewerVersionError, "newer.db.*99"),
        (tmp_path, dt.DataStoreOperationError, "it is a folder; expected a file"),
        (tmp_path / "fifo", dt.DataStoreOperationError, "it is a pipe; expected a file"),
        (":memory:", dt.DataStoreOperationError, "leave the store out to count in memory"),
        ("file:x.db", dt.DataStoreOperationError, "SQLite URIs are not supported"),
        ("", dt.DataStoreOperationError, "the name is empty"),
        (
            tmp_path / "none" / "a.db",
            dt.DataStoreOperationError,
            "SQLite could not open .*/none/a.db.*: folder .*/none does not exist",
        ),
    ]
    os.mkfifo(tmp_path / "fifo")
    monkeypatch.chdir(tmp_path)
    names = sorted(os.listdir())
    before = {path: path.read_bytes() for path in (text, other, newer)}
    for place, error, said in refused:
        with pytest.raises(error, match=said):
            dt.TrackingManager.open(place)
    assert sorted(os.listdir()) == names
    assert {path: path.read_bytes() for path in before} == before


def test_errors_keep_the_names_and_bases_of_dictrack_2_1_5_and_say_their_facts() -> None:
    manager = dt.TrackingManager()
    manager.add_tracker("g", tracker())
    with pytest.raises(KeyError) as raised:
        manager.add_tracker("g", tracker(target=6))
    assert isinstance(raised.value, dt.DictrackError)
    assert (raised.value.group_id, raised.value.name, raised.value.store) == ("g", "t", None)
    # A plain KeyError would show the message in quotes.
    assert str(raised.value).startswith("group ")
    for error in (dt.UnavailableError, dt.OwnedError, dt.CorruptError, dt.RedisOperationError):
        assert issubclass(error, (dt.DataStoreOperationError, OSError))


def test_each_kind_of_error_has_a_class_with_its_code() -> None:
    kinds = importlib.import_module("dictrack._dictrack").error_kinds()
    codes = {getattr(dt, name).code for _, name, _ in kinds}
    assert codes == {code for code, _, _ in kinds} and len(codes) == len(kinds)
    # No class inherits the code of another.
    classes = [getattr(dt, name) for name in dt.utils.errors.__all__ if name.endswith("Error")]
    assert len({error.code for error in classes}) == len(classes)


def test_an_exception_has_the_code_of_its_error_and_says_what_to_do() -> None:
    manager = dt.TrackingManager()
    manager.add_tracker("g", tracker())
    with pytest.raises(dt.ConflictingNameError) as raised:
        manager.add_tracker("g", tracker(target=6))
    assert (raised.value.code, raised.value.group_id, raised.value.name) == ("conflicting_name", "g", "t")
    assert raised.value.advice == "use another name, or update the tracker"
    with pytest.raises(dt.DefinitionError) as refused:
        tracker(target=[])
    assert refused.value.code == "definition"
    manager.close()
    with pytest.raises(dt.ClosedError) as closed:
        manager.track("g", {})
    assert closed.value.code == "closed"
    assert dt.ForkError.code == "fork"
