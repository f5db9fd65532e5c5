"""``track_table``: the rows of tables of pyarrow, polars, pandas and DuckDB count like the dicts that they stand for."""

from __future__ import annotations

import asyncio
import datetime
import decimal
import os
import pathlib
import signal
import threading
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import duckdb
import numpy
import pandas
import polars
import pyarrow
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dictrack as dt
import dictrack.aio

UTC = datetime.timezone.utc
BERLIN = "Europe/Berlin"


def present(value: Any) -> Any:
    """A value without the fields that are null."""
    if isinstance(value, dict):
        return {key: present(inner) for key, inner in value.items() if inner is not None}
    return [present(item) for item in value] if isinstance(value, list) else value


def facts(event: dt.TrackerEvent, row: int | None) -> dict[str, Any]:
    names = {1001: "added", 1002: "stage_completed", 1003: "all_completed", 1004: "reset", 1005: "limited"}
    return {
        "row": row,
        "event": names[event.code],
        "group": event.group_id,
        "tracker": event.name,
        "progress": event.tracker.progress_exact,
        "target": decimal.Decimal(event.target),
        "stage": event.stage,
        "times": event.times,
        "id": event.id,
    }


def listed(outcome: dt.TableOutcome) -> list[dict[str, Any]]:
    names = ("row", "event", "group", "tracker", "progress", "target", "stage", "times", "id")
    rows: list[dict[str, Any]] = pyarrow.table(outcome.events).select(names).to_pylist()
    return rows


def states(manager: dt.TrackingManager, groups: set[str]) -> dict[str, Any]:
    def state(tracker: Any) -> Any:
        return tracker.name, tracker.progress_exact, tracker.current_stage, tracker.limited, str(tracker.limiters)

    return {
        group: [[state(one) for one in manager.get_trackers(group)], [state(one) for one in manager.completed(group)]]
        for group in groups
    }


def counted_one_by_one(
    manager: dt.TrackingManager, rows: list[dict[str, Any]], trackers: list[Any]
) -> tuple[list[dict[str, Any]], dict[str, int]]:
    """What a loop over ``track`` does with the rows, and how many do what."""
    events, counts = (
        [],
        dict.fromkeys(("documents", "counted", "refused", "skipped", "late", "failed", "duplicates"), 0),
    )
    for number, row in enumerate(rows):
        added: list[Any] = []
        if manager.get_trackers(row["user"]) == [] and manager.completed(row["user"]) == []:
            added = manager.ensure_trackers(row["user"], trackers, now=row["at"]).events
        outcome = manager.track(row["user"], present(row), now=row["at"], event_id=row.get("id"))
        events += [facts(event, number) for event in [*added, *outcome.events]]
        counts["documents"] += 1
        counts["counted"] += bool(outcome.counted)
        counts["refused"] += bool(outcome.refused)
        counts["skipped"] += bool(outcome.skipped)
        counts["late"] += "late" in outcome.skipped.values()
        counts["failed"] += bool(outcome.failed)
        counts["duplicates"] += outcome.duplicate
    return events, counts


def compare(
    table: pyarrow.Table, make: Callable[[], list[Any]], rows: list[dict[str, Any]] | None = None
) -> dt.TableOutcome:
    """Asserts that a table does what a loop over its rows does."""
    rows = table.to_pylist() if rows is None else rows
    clock = dt.TestClock(0)
    with dt.TrackingManager(clock=clock) as whole, dt.TrackingManager(clock=clock) as loop:
        id = "id" if "id" in table.column_names else None
        outcome = whole.track_table(table, "user", "at", id, ensure=make())
        events, counts = counted_one_by_one(loop, rows, make())
        groups = {row["user"] for row in rows}
        assert states(whole, groups) == states(loop, groups)
        assert listed(outcome) == events
        assert {key: getattr(outcome, key) for key in counts} == counts
    return outcome


# Each type with a value, the value that a dict would have instead, and a path to a part of it with the value there.
NAIVE = datetime.datetime(2026, 3, 29, 1, 30, 0, 123456)
AWARE = NAIVE.replace(tzinfo=UTC)
NUMBER = decimal.Decimal("12345678901234.5678")
ID = uuid.UUID("12345678-1234-5678-1234-567812345678")
TYPES: list[tuple[str, pyarrow.Array, Any]] = [
    ("bool", pyarrow.array([True]), True),
    ("bool8", pyarrow.ExtensionArray.from_storage(pyarrow.bool8(), pyarrow.array([3], pyarrow.int8())), True),
    ("int8", pyarrow.array([-7], pyarrow.int8()), -7),
    ("int16", pyarrow.array([-300], pyarrow.int16()), -300),
    ("int32", pyarrow.array([-70_000], pyarrow.int32()), -70_000),
    ("int64", pyarrow.array([-(2**63)], pyarrow.int64()), -(2**63)),
    ("uint8", pyarrow.array([200], pyarrow.uint8()), 200),
    ("uint16", pyarrow.array([60_000], pyarrow.uint16()), 60_000),
    ("uint32", pyarrow.array([2**32 - 1], pyarrow.uint32()), 2**32 - 1),
    ("uint64", pyarrow.array([2**64 - 1], pyarrow.uint64()), 2**64 - 1),
    ("float16", pyarrow.array([numpy.float16(0.1)], pyarrow.float16()), 0.1),
    ("float32", pyarrow.array([0.1], pyarrow.float32()), 0.1),
    ("float64", pyarrow.array([0.1], pyarrow.float64()), 0.1),
    ("a large float64", pyarrow.array([1e300]), 1e300),
    ("decimal32", pyarrow.array([decimal.Decimal("1.25")], pyarrow.decimal32(5, 2)), decimal.Decimal("1.25")),
    ("decimal64", pyarrow.array([decimal.Decimal("1.25")], pyarrow.decimal64(12, 4)), decimal.Decimal("1.25")),
    ("decimal128", pyarrow.array([NUMBER], pyarrow.decimal128(38, 10)), NUMBER),
    ("a negative scale", pyarrow.array([decimal.Decimal(12300)], pyarrow.decimal128(5, -2)), 12300),
    (
        "a wide decimal128",
        pyarrow.array([decimal.Decimal("1e-30")], pyarrow.decimal128(38, 32)),
        decimal.Decimal("1e-30"),
    ),
    ("decimal256", pyarrow.array([decimal.Decimal(10**60)], pyarrow.decimal256(70, 5)), 10**60),
    ("string", pyarrow.array(["ß"]), "ß"),
    ("large_string", pyarrow.array(["a" * 40], pyarrow.large_string()), "a" * 40),
    ("string_view", pyarrow.array(["b" * 40], pyarrow.string_view()), "b" * 40),
    ("a short string_view", pyarrow.array(["b"], pyarrow.string_view()), "b"),
    ("uuid", pyarrow.ExtensionArray.from_storage(pyarrow.uuid(), pyarrow.array([ID.bytes], pyarrow.binary(16))), ID),
    ("date32", pyarrow.array([NAIVE.date()], pyarrow.date32()), NAIVE.date()),
    ("date64", pyarrow.array([NAIVE.date()], pyarrow.date64()), NAIVE.date()),
    (
        "timestamp s",
        pyarrow.array([NAIVE.replace(microsecond=0)], pyarrow.timestamp("s")),
        NAIVE.replace(microsecond=0),
    ),
    ("timestamp ms", pyarrow.array([123], pyarrow.timestamp("ms")), datetime.datetime(1970, 1, 1, 0, 0, 0, 123_000)),
    ("timestamp us", pyarrow.array([NAIVE], pyarrow.timestamp("us")), NAIVE),
    ("timestamp before 1970", pyarrow.array([-1], pyarrow.timestamp("ns")), -0.000001),
    ("timestamp with zone", pyarrow.array([AWARE], pyarrow.timestamp("us", BERLIN)), AWARE),
    ("duration s", pyarrow.array([90], pyarrow.duration("s")), datetime.timedelta(seconds=90)),
    ("duration ns", pyarrow.array([1_500], pyarrow.duration("ns")), datetime.timedelta(microseconds=1)),
    ("dictionary", pyarrow.array(["a"]).dictionary_encode(), "a"),
    ("small dictionary", pyarrow.DictionaryArray.from_arrays(pyarrow.array([0], pyarrow.uint8()), ["a"]), "a"),
    ("run ends", pyarrow.RunEndEncodedArray.from_arrays([1], ["a"]), "a"),
    ("list", pyarrow.array([[1, None, 2]]), [1, None, 2]),
    ("large_list", pyarrow.array([["a"]], pyarrow.large_list(pyarrow.string())), ["a"]),
    ("list_view", pyarrow.array([["a", "b"]], pyarrow.list_view(pyarrow.string())), ["a", "b"]),
    ("large_list_view", pyarrow.array([["a"]], pyarrow.large_list_view(pyarrow.string())), ["a"]),
    ("fixed_size_list", pyarrow.array([[1, 2]], pyarrow.list_(pyarrow.int8(), 2)), [1, 2]),
    ("struct", pyarrow.array([{"a": {"b": 1, "c": None}, "d": [{"e": None}]}]), {"a": {"b": 1}, "d": [{}]}),
    ("map", pyarrow.array([[("a", 1), ("b", None)]], pyarrow.map_(pyarrow.string(), pyarrow.int8())), {"a": 1}),
    (
        "dense union",
        pyarrow.UnionArray.from_dense(
            pyarrow.array([1], pyarrow.int8()),
            pyarrow.array([0], pyarrow.int32()),
            [pyarrow.array([5]), pyarrow.array(["x"])],
        ),
        "x",
    ),
    (
        "sparse union",
        pyarrow.UnionArray.from_sparse(pyarrow.array([0], pyarrow.int8()), [pyarrow.array([5]), pyarrow.array(["x"])]),
        5,
    ),
]
# Types whose values exist but equal nothing.
OPAQUE: list[tuple[str, pyarrow.Array]] = [
    ("binary", pyarrow.array([b"a"])),
    ("large_binary", pyarrow.array([b"a"], pyarrow.large_binary())),
    ("time32", pyarrow.array([datetime.time(1)], pyarrow.time32("s"))),
    ("time64", pyarrow.array([datetime.time(1)], pyarrow.time64("us"))),
    ("interval", pyarrow.array([(1, 2, 3)], pyarrow.month_day_nano_interval())),
    ("not a number", pyarrow.array([float("nan")])),
    (
        "invalid UTF-8",
        pyarrow.Array.from_buffers(
            pyarrow.string(), 1, [None, pyarrow.py_buffer(numpy.array([0, 1], "i4")), pyarrow.py_buffer(b"\xff")]
        ),
    ),
]


def one_row(array: pyarrow.Array) -> pyarrow.Table:
    return pyarrow.table({"user": ["u"], "value": array})


@pytest.mark.parametrize("array, twin", [pytest.param(array, twin, id=name) for name, array, twin in TYPES])
def test_a_cell_means_what_its_python_twin_means(array: pyarrow.Array, twin: Any) -> None:
    operand = twin
    if isinstance(twin, (datetime.date, datetime.timedelta, uuid.UUID)):
        # Definitions take only JSON.
        operand = dt._values.plain(twin)
    equal = dt.CountTracker("equal", [dt.KeyValueEQ("value", operand)], target=10)
    with dt.TrackingManager() as manager:
        assert manager.track_table(one_row(array), "user", ensure=[equal]).counted == 1
        assert manager.track("u", {"value": twin}).counted
        # A row of a slice is the same row.
        sliced = pyarrow.concat_tables([one_row(array)] * 3).combine_chunks().slice(1, 1)
        assert manager.track_table(sliced, "user").counted == 1
        assert manager.get_trackers("u")[0].progress == 3


@pytest.mark.parametrize("array", [pytest.param(array, id=name) for name, array in OPAQUE])
def test_a_cell_that_json_does_not_have_exists_but_equals_nothing(array: pyarrow.Array) -> None:
    exists = dt.CountTracker("exists", [dt.KeyExists("value")], target=10)
    equals = dt.CountTracker("equals", [dt.KeyValueInList("value", ["a", 1, 3600, None, "\ufffd"])], target=10)
    total = dt.AccumulationTracker("total", key="value", target=10)
    with dt.TrackingManager() as manager:
        outcome = manager.track_table(one_row(array), "user", ensure=[exists, equals, total])
        assert (outcome.counted, outcome.skipped) == (1, 1)
        assert [tracker.progress for tracker in manager.get_trackers("u")] == [1, 0, 0]


@pytest.mark.parametrize("array", [array for _, array, _ in TYPES] + [array for _, array in OPAQUE])
def test_a_column_that_no_tracker_reads_does_not_matter(array: pyarrow.Array) -> None:
    with dt.TrackingManager() as manager:
        outcome = manager.track_table(one_row(array), "user", ensure=[dt.CountTracker("all", target=10)])
        assert (outcome.documents, outcome.counted) == (1, 1)


def test_nulls_are_missing_fields_and_paths_lead_into_nested_columns() -> None:
    value = [{"a": [{"b": 1}, None], "c": None}, None, {"a": None, "c": 5}]
    conditions: list[dt.BaseCondition] = [
        dt.KeyExists("value"),
        dt.KeyExists("value.a"),
        dt.KeyExists("value.c"),
        dt.KeyNotExists("value.c"),
        dt.KeyValueEQ("value.a.0.b", 1),
        dt.KeyValueEQ("value.a.-2.b", 1),
        dt.KeyValueEQ("value.a.1", None),
        dt.KeyExists("value.a.1.b"),
        dt.KeyExists("value.a.b"),
        dt.KeyExists("value.c.d"),
        dt.AnyItem("value.a", dt.KeyValueEQ("b", 1)),
    ]
    make = lambda: [dt.CountTracker(str(at), [one], target=[1, 2, 9]) for at, one in enumerate(conditions)]  # noqa: E731
    outcome = compare(pyarrow.table({"user": ["u"] * 3, "at": [1, 2, 3], "value": value}), make)
    assert outcome.counted == 3


# Types that a random column may have, each with values.
COLUMNS: list[tuple[pyarrow.DataType, st.SearchStrategy[Any]]] = [
    (pyarrow.bool_(), st.booleans()),
    (pyarrow.int64(), st.integers(-3, 3)),
    (pyarrow.uint64(), st.sampled_from([0, 1, 2**64 - 1])),
    (pyarrow.float64(), st.sampled_from([0.1, 0.5, -0.25, 1.0, 1e-7, 1e22, 123456.789, 0.30000000000000004])),
    (
        pyarrow.decimal128(20, 3),
        st.sampled_from([decimal.Decimal("0.1"), decimal.Decimal("-2.125"), decimal.Decimal(1)]),
    ),
    (pyarrow.string(), st.sampled_from(["", "a", "b", "ß"])),
    (pyarrow.string_view(), st.sampled_from(["", "a", "c" * 30])),
    (pyarrow.dictionary(pyarrow.int16(), pyarrow.string()), st.sampled_from(["a", "b"])),
    (pyarrow.timestamp("us", "UTC"), st.sampled_from([AWARE, AWARE + datetime.timedelta(days=1)])),
    (pyarrow.date32(), st.sampled_from([NAIVE.date(), datetime.date(1969, 12, 31)])),
    (pyarrow.duration("us"), st.sampled_from([datetime.timedelta(seconds=1.5)])),
    (pyarrow.list_(pyarrow.int8()), st.lists(st.none() | st.integers(0, 2), max_size=3)),
    (
        pyarrow.struct({"a": pyarrow.int8(), "b": pyarrow.list_(pyarrow.struct({"a": pyarrow.string()}))}),
        st.fixed_dictionaries(
            {
                "a": st.none() | st.integers(0, 2),
                "b": st.none() | st.lists(st.fixed_dictionaries({"a": st.sampled_from([None, "a"])}), max_size=2),
            }
        ),
    ),
]


@st.composite
def tables(draw: st.DrawFn) -> tuple[pyarrow.Table, list[dict[str, Any]]]:
    """A table in some batches, and the definitions of trackers that read its columns."""
    length = draw(st.integers(1, 12))
    cells = lambda values: st.lists(values, min_size=length, max_size=length)  # noqa: E731
    columns: dict[str, Any] = {
        "user": draw(cells(st.sampled_from(["u", "v", "w"]))),
        "at": sorted(draw(cells(st.integers(0, 300)))),
    }
    if draw(st.booleans()):
        columns["id"] = draw(cells(st.sampled_from(["1", "2", "3", "4"])))
    wanted: list[dict[str, Any]] = []
    for at, (kind, values) in enumerate(draw(st.lists(st.sampled_from(COLUMNS), min_size=1, max_size=4))):
        name = f"c{at}"
        found = draw(cells(st.none() | values))
        columns[name] = pyarrow.array(found, kind)
        operand = dt._values.plain(draw(st.sampled_from(present(found))))
        limiters = draw(
            st.sampled_from([[], [{"count": 2}], [{"count": 1, "per": "minute"}], [{"sum": 3, "per": "minute"}]])
        )
        every = draw(st.sampled_from([{}, {"every": "minute"}]))
        target = draw(st.sampled_from([[1], [1, 2], [2, 3, 50]]))
        more = {"limiters": limiters, "target": target, **every}
        tests: list[dict[str, Any]] = [{"exists": True}, {"eq": operand}, {"has": 1}]
        if isinstance(operand, (int, float, str, dt._values.Exact)) and not isinstance(operand, bool):
            tests.append({"ge": operand})
        test = draw(st.sampled_from(tests))
        wanted.append({"name": f"n{at}", "kind": "count", "conditions": [{"key": name, **test}], **more})
        wanted.append({"name": f"s{at}", "kind": "sum", "key": draw(st.sampled_from([name, f"{name}.a"])), **more})
    table = pyarrow.table(columns)
    pieces = draw(st.integers(1, length))
    return pyarrow.Table.from_batches(table.to_batches(max_chunksize=pieces)), wanted


@settings(max_examples=150, deadline=None)
@given(tables())
def test_a_table_does_what_a_loop_over_its_rows_does(given: tuple[pyarrow.Table, list[dict[str, Any]]]) -> None:
    table, wanted = given
    compare(table, lambda: [dt._made(dt._Data(dt._dictrack.Definition(one))) for one in wanted])


ROWS: dict[str, list[Any]] = {
    "user": ["a", "b", "a", "a"],
    "at": [datetime.datetime(2026, 1, day, tzinfo=UTC) for day in (1, 2, 3, 4)],
    "event": ["login", "login", "buy", "login"],
    "amount": [None, 0.5, 12.34, 3.0],
}


def milestones() -> list[Any]:
    logins = dt.CountTracker("logins", [dt.KeyValueEQ("event", "login")], target=[1, 2, 10])
    return [logins, dt.AccumulationTracker("spent", key="amount", target=[10, 100])]


def libraries() -> list[Any]:
    table = pyarrow.table(ROWS)
    return [
        pytest.param(lambda: table, 4, id="pyarrow"),
        pytest.param(
            lambda: pyarrow.RecordBatchReader.from_batches(table.schema, table.to_batches()), None, id="reader"
        ),
        pytest.param(lambda: polars.DataFrame(ROWS), 4, id="polars"),
        pytest.param(
            lambda: polars.DataFrame(ROWS).with_columns(polars.col("event").cast(polars.Categorical)),
            4,
            id="categorical",
        ),
        pytest.param(lambda: pandas.DataFrame(ROWS), 4, id="pandas"),
        pytest.param(lambda: pandas.DataFrame(ROWS).astype({"event": "category"}), 4, id="pandas category"),
        pytest.param(lambda: duckdb.from_arrow(table).filter("true"), None, id="duckdb"),
    ]


@pytest.mark.parametrize("make, total", libraries())
def test_tables_of_every_library_count_the_same(make: Callable[[], Any], total: int | None) -> None:
    told: list[Any] = []
    with dt.TrackingManager() as manager:
        outcome = manager.track_table(
            make(), group="user", time="at", ensure=milestones(), progress=lambda *facts: told.append(facts)
        )
        assert (outcome.documents, outcome.counted, outcome.skipped) == (4, 4, 1)
        assert told[-1] == (4, total)
        progress = [(one.name, one.progress_exact) for one in manager.get_trackers("a")]
        assert progress == [("logins", 2), ("spent", decimal.Decimal("15.34"))]
        events = [(row["row"], row["event"], row["tracker"]) for row in listed(outcome) if row["event"] != "added"]
        assert events == [
            (0, "stage_completed", "logins"),
            (1, "stage_completed", "logins"),
            (2, "stage_completed", "spent"),
            (3, "stage_completed", "logins"),
        ]


def test_the_events_are_a_table_for_every_library() -> None:
    with dt.TrackingManager() as manager:
        events = manager.track_table(pyarrow.table(ROWS), "user", "at", ensure=milestones()).events
    assert len(events) == 8 and repr(events) == "<TableEvents (8 events)>"
    frame = polars.DataFrame(events)
    assert frame.filter(polars.col("event") == "stage_completed")["progress"].to_list()[0] == 1
    assert pyarrow.table(events).to_pandas()["occurred_at"][0] == pandas.Timestamp("2026-01-01", tz="UTC")
    table = pyarrow.table(events)
    assert duckdb.from_arrow(table).aggregate("count(*)").fetchall() == [(8,)]
    # A table of events can be read more than once.
    assert pyarrow.table(events).equals(table)


def test_a_row_without_a_group_a_time_or_an_id_is_named_and_the_rows_before_it_count() -> None:
    def raised(column: str, values: Any, **options: Any) -> dt.TableError:
        table = pyarrow.table({**ROWS, column: values})
        with dt.TrackingManager() as manager:
            with pytest.raises(dt.TableError) as found:
                manager.track_table(table, "user", "at", ensure=milestones(), **options)
            assert found.value.column == column
            counted = sum(one.progress for group in "ab" for one in manager.get_trackers(group) if one.name == "logins")
            outcome = found.value.outcome  # type: ignore[attr-defined]
            assert outcome.documents == found.value.row
            assert counted == sum(event == "login" for event in ROWS["event"][: found.value.row])
        return found.value

    assert str(raised("user", ["a", "b", None, "a"])) == (
        'row 2: "user" is null (a column of Utf8); expected the id of a group: a string or a number'
    )
    assert str(raised("user", [True] * 4)) == (
        'row 0: "user" is true (a column of Boolean); expected the id of a group: a string or a number'
    )
    moment = (
        "expected a time in the years -9999 to 9999: a timestamp, a date, seconds since 1970 UTC or an RFC 3339 string"
    )
    assert str(raised("at", [1, None, 3, 4])) == f'row 1: "at" is null (a column of Int64); {moment}'
    assert str(raised("at", ["2026-01-01", "2026-01-01T00:00:00Z", "x", ""])) == (
        f'row 2: "at" is "x" (a column of Utf8); {moment}'
    )
    assert str(raised("at", [1.5, 2, 3, 1e300])).endswith(f"(a column of Float64); {moment}")
    assert str(raised("id", ["1", "2", "3", None], id="id")) == (
        'row 3: "id" is null (a column of Utf8); expected the id of a document: a string or a number'
    )


@pytest.mark.parametrize(
    "at, micros",
    [(-377_705_116_800, True), (-377_705_116_801, False), (253_402_300_799, True), (253_402_300_800, False)],
)
def test_times_have_the_bounds_of_track(at: int, micros: bool) -> None:
    trackers = [dt.CountTracker("all", target=10)]
    for column in (pyarrow.array([at]), pyarrow.array([at], pyarrow.timestamp("s"))):
        with dt.TrackingManager() as manager:
            manager.ensure_trackers("u", trackers)
            calls = (
                lambda: manager.track_table(pyarrow.table({"user": ["u"], "at": column}), "user", "at"),
                lambda: manager.track("u", {}, now=at),
            )
            for call in calls:
                if micros:
                    call()
                else:
                    with pytest.raises(ValueError):
                        call()


def test_what_is_not_a_table_or_lacks_the_column_is_refused() -> None:
    manager = dt.TrackingManager()
    table = pyarrow.table(ROWS)
    calls: list[tuple[Callable[[], Any], type[Exception], str]] = [
        (
            lambda: manager.track_table([1], "user"),
            TypeError,
            "table is a list; expected a table that has the Arrow C stream",
        ),
        (lambda: manager.track_table(table["user"], "user"), ValueError, "table cannot be read"),
        (
            lambda: manager.track_table(table, "usr"),
            ValueError,
            'group is "usr", but table has no such column; its columns are',
        ),
        (
            lambda: manager.track_table(table, "user", "when"),
            ValueError,
            'time is "when", but table has no such column',
        ),
        (lambda: manager.track_table(table, "user", id="id"), ValueError, 'id is "id", but table has no such column'),
        (lambda: manager.track_table(table, ""), ValueError, 'group is ""; expected the name of a column'),
        (lambda: manager.track_table(table, 1), TypeError, "group is an int; expected the name of a column"),  # type: ignore[arg-type]
        (lambda: manager.track_table(table, "user", 1), TypeError, "time is an int; expected the name of a column"),  # type: ignore[arg-type]
        (lambda: manager.track_table(table, "user", ensure=[1]), TypeError, "trackers"),  # type: ignore[list-item]
        (lambda: manager.track_table(table, "user", threads=0), ValueError, "threads is 0; expected an int, 1 or more"),
        (lambda: manager.track_table(table, "user", progress=1), TypeError, "progress is an int"),  # type: ignore[arg-type]
    ]
    for call, error, message in calls:
        with pytest.raises(error, match=message):
            call()
    manager.close()
    with pytest.raises(dt.ClosedError):
        manager.track_table(table, "user")


def test_a_stream_is_used_only_once_and_may_fail() -> None:
    def batches() -> Iterator[pyarrow.RecordBatch]:
        yield pyarrow.record_batch({"user": ["u"]})
        raise OSError("the disk is gone")

    reader = pyarrow.RecordBatchReader.from_batches(pyarrow.schema({"user": pyarrow.string()}), batches())
    with dt.TrackingManager() as manager:
        with pytest.raises(ValueError, match="table cannot be read: .*the disk is gone") as raised:
            manager.track_table(reader, "user", ensure=[dt.CountTracker("all", target=10)])
        assert raised.value.outcome.counted == 1  # type: ignore[attr-defined]

        class Used:
            def __init__(self) -> None:
                self.capsule = pyarrow.table(ROWS).__arrow_c_stream__()

            def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
                return self.capsule

        used = Used()
        manager.track_table(used, "user")
        with pytest.raises(ValueError, match="table cannot be read: .*released"):
            manager.track_table(used, "user")


def test_a_document_too_far_ahead_of_the_clock_ends_the_table() -> None:
    with dt.TrackingManager(clock=dt.TestClock(100), ahead=60) as manager:
        table = pyarrow.table({"user": ["a", "b", "a", "a"], "at": [1, 2, 500, 3]})
        with pytest.raises(dt.AheadError, match="^row 2: .*ahead of the clock") as raised:
            manager.track_table(table, "user", "at", ensure=[dt.CountTracker("all", target=10)])
        assert raised.value.row == 2
        assert raised.value.outcome.documents == 2  # type: ignore[attr-defined]
        assert [manager.get_trackers(group)[0].progress for group in "ab"] == [1, 1]


def many(rows: int) -> pyarrow.Table:
    return pyarrow.table({"user": [at % 7 for at in range(rows)], "id": list(range(rows)), "amount": [0.25] * rows})


def test_ctrl_c_takes_effect_between_parts_and_what_was_counted_is_stated() -> None:
    rows = 600_000
    told: list[int] = []

    def progress(done: int, total: int | None) -> None:
        told.append(done)
        assert total == rows
        if len(told) == 2:
            os.kill(os.getpid(), signal.SIGINT)

    with dt.TrackingManager() as manager:
        trackers = [dt.CountTracker("all", target=10**9), dt.AccumulationTracker("total", key="amount", target=10**9)]
        with pytest.raises(KeyboardInterrupt) as raised:
            manager.track_table(many(rows), "user", ensure=trackers, progress=progress)
        outcome = raised.value.outcome  # type: ignore[attr-defined]
        assert told == [262_144, 524_288] and outcome.documents == outcome.counted == 524_288
        assert sum(manager.get_trackers(str(group))[0].progress for group in range(7)) == 524_288
        # The rest can be tracked as a slice.
        outcome = manager.track_table(many(rows).slice(outcome.documents), "user")
        assert outcome.counted == rows - 524_288
        assert sum(manager.get_trackers(str(group))[1].progress for group in range(7)) == rows / 4


def test_threads_count_what_one_counts() -> None:
    rows = 50_000
    groups = [f"u{at % 3_000}" for at in range(rows)]
    table = pyarrow.table({"user": groups, "at": list(range(rows)), "amount": [at % 7 for at in range(rows)]})
    found = []
    for threads in (1, 4):
        with dt.TrackingManager() as manager:
            ensure = [
                dt.AccumulationTracker("total", key="amount", target=[10, 20, 10**9]),
                dt.CountTracker("all", target=9),
            ]
            first = manager.track_table(table.slice(0, 9_000), "user", "at", ensure=ensure, threads=threads)
            second = manager.track_table(table.slice(9_000), "user", "at", threads=threads)
            found.append((listed(first), listed(second), second.counted, states(manager, set(groups[:300]))))
    assert found[0] == found[1]


def test_a_document_with_an_id_counts_once() -> None:
    table = many(1_000)
    with dt.TrackingManager() as manager:
        first = manager.track_table(table, "user", id="id", ensure=[dt.CountTracker("all", target=10**9)])
        again = manager.track_table(table, "user", id="id")
        assert (first.counted, first.duplicates, again.counted, again.duplicates) == (1_000, 0, 0, 1_000)
        assert not manager.track("0", {}, event_id="7").counted


@pytest.mark.parametrize("place", ["file", "redis", "mongodb"])
def test_stores_keep_what_a_table_counted(place: str, tmp_path: pathlib.Path, request: pytest.FixtureRequest) -> None:
    def opened() -> dt.TrackingManager:
        if place == "file":
            return dt.TrackingManager.open(tmp_path / "a.db", durability="fsync")
        url = request.getfixturevalue("mongodb_url")
        cache = request.getfixturevalue("redis_url") if place == "redis" else None
        return dt.TrackingManager.open(url, cache=cache, durability="fsync")

    heard: list[Any] = []
    with opened() as manager:
        manager.add_listener(
            dt.EVENT_TRACKER_STAGE_COMPLETED, lambda event: heard.append((event.group_id, event.progress))
        )
        ensure = [dt.CountTracker("all", target=[2, 10**9])]
        outcome = manager.track_table(many(1_000), "user", id="id", ensure=ensure)
        assert outcome.counted == 1_000
        # In the order of the rows, although groups are tracked one after another.
        assert heard == [(str(group), 2) for group in range(7)]
    with opened() as manager:
        assert sum(manager.get_trackers(str(group))[0].progress for group in range(7)) == 1_000
        assert manager.track_table(many(1_000), "user", id="id").duplicates == 1_000


def test_trackers_that_follow_a_manager_follow_its_tables() -> None:
    one = dt.CountTracker("one", target=2)
    with dt.TrackingManager() as manager:
        manager.ensure_trackers("a", [one])
        outcome = manager.track_table(pyarrow.table(ROWS), "user", "at")
        assert outcome.counted == 2
        assert one.status == "completed" and one.progress == 2


def test_custom_conditions_see_a_row_as_a_dict() -> None:
    seen: list[Any] = []

    @dt.condition(name="test_tables.seen")
    def watch(data: Any) -> bool:
        seen.append(data)
        return bool(data["event"] == "login")

    with dt.TrackingManager() as manager:
        outcome = manager.track_table(
            pyarrow.table(ROWS), "user", "at", ensure=[dt.CountTracker("all", [watch()], target=9)]
        )
        assert (outcome.documents, outcome.counted, outcome.failed) == (4, 3, 0)
    at = [int(moment.timestamp()) for moment in ROWS["at"]]
    assert seen[:2] == [
        {"user": "a", "at": at[0], "event": "login"},
        {"user": "a", "at": at[2], "event": "buy", "amount": 12.34},
    ]


def test_custom_code_runs_on_the_thread_of_the_call() -> None:
    threads: set[int] = set()

    @dt.condition(name="test_tables.thread")
    def watch(data: Any) -> bool:
        threads.add(threading.get_ident())
        return True

    table = pyarrow.table({"user": [f"u{at % 3_000}" for at in range(9_000)]})
    for added in ("before", "by the table"):
        with dt.TrackingManager() as manager:
            ensure = [dt.CountTracker("all", [watch()], target=9)]
            for group in range(3_000):
                manager.ensure_trackers(f"u{group}", ensure if added == "before" else [dt.CountTracker("n", target=9)])
            assert (
                manager.track_table(table, "user", ensure=ensure if added != "before" else None, threads=4).counted
                == 9_000
            )
            assert {tracker.progress for tracker in manager.get_trackers("u2999")} == {3}
    assert threads == {threading.get_ident()}


def test_of_columns_with_one_name_the_last_counts() -> None:
    table = pyarrow.Table.from_arrays([["u"], [1], [2]], names=["user", "n", "n"])
    with dt.TrackingManager() as manager:
        ensure = [dt.AccumulationTracker("n", key="n", target=9)]
        manager.track_table(table, "user", ensure=ensure)
        assert manager.get_trackers("u")[0].progress == 2


def test_asyncio_tracks_tables_as_well() -> None:
    async def main() -> None:
        told: list[int] = []
        async with await dictrack.aio.TrackingManager.open() as manager:
            ensure = [dt.CountTracker("all", target=10**9)]
            outcome = await manager.track_table(
                many(20_000), "user", ensure=ensure, progress=lambda rows, total: told.append(rows)
            )
            assert outcome.counted == 20_000 and told == [8_192, 16_384, 20_000]
            with pytest.raises(dt.TableError, match="row 1"):
                await manager.track_table(pyarrow.table({"user": ["a", None]}), "user")

    asyncio.run(main())
