"""Notebooks: HTML with bars, and results as data frames."""

from __future__ import annotations

import datetime
import pathlib
import re
from html.parser import HTMLParser
from typing import Any

import pandas as pd
import polars as pl
import pytest

import dictrack as dt

UTC = datetime.timezone.utc


class Parsed(HTMLParser):
    """The texts of HTML, and the tags in it; fails where a tag is not closed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.tags: list[str] = []
        self.open: list[str] = []
        self.feed(html)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append(tag)
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def widths(html: str) -> list[str]:
    """How far each stage is filled."""
    return re.findall(r"width:(\d+%)", html)


def test_a_tracker_has_a_bar_for_each_stage() -> None:
    with dt.TrackingManager() as manager:
        manager.ensure_tracker("u", dt.CountTracker("posts", target=[2, 4, 14]))
        for filled in (["50%", "0%", "0%"], ["100%", "0%", "0%"], ["100%", "50%", "0%"], ["100%", "100%", "0%"]):
            manager.track("u", {})
            html = manager.get_trackers("u")[0]._repr_html_()
            assert widths(html) == filled
        assert {"posts", "4/14", "3 of 3", "active"} <= set(Parsed(html).texts)
        manager.ensure_tracker("u", dt.CountTracker("many", target=list(range(1, 101))))
        assert len(widths(manager.get_trackers("u", "many")[0]._repr_html_())) == 1
        manager.ensure_tracker("u", dt.CountTracker("counts"))
        assert widths(manager.get_trackers("u", "counts")[0]._repr_html_()) == []
    assert widths(dt.CountTracker("new", target=3)._repr_html_()) == ["0%"]


def test_progress_that_starts_again_at_each_stage_fills_its_own_bar() -> None:
    with dt.TrackingManager() as manager:
        manager.ensure_tracker("u", dt.CountTracker("n", target=[4, 4], reset_policy=dt.ResetPolicy.PROGRESS))
        for _ in range(5):
            manager.track("u", {})
        assert widths(manager.get_trackers("u")[0]._repr_html_()) == ["100%", "25%"]


def test_an_outcome_says_what_each_tracker_did() -> None:
    with dt.TrackingManager() as manager:
        trackers = [
            dt.CountTracker("once", target=1),
            dt.CountTracker("quota", limiters=[dt.CountLimiter(1)]),
            dt.AccumulationTracker("spent", key="amount", target=10),
            dt.CountTracker("other", [dt.KeyValueEQ("event", "x")], target=1),
        ]
        manager.ensure_trackers("u", trackers)
        assert "No tracker" not in manager.track("u", {}, event_id="1")._repr_html_()
        assert "repeated" in manager.track("u", {}, event_id="1")._repr_html_()
        outcome = manager.track("u", {"amount": 4})
        parsed = Parsed(outcome._repr_html_())
        assert {"quota", "refused", "spent", "counted", "4/10"} <= set(parsed.texts)
        assert "once" not in parsed.texts and "other" not in parsed.texts
        assert "quota" in outcome.refused._repr_html_()
    with dt.TrackingManager() as manager:
        assert manager.track("u", {})._repr_html_() == "<p>No tracker counted the document.</p>"


def test_a_manager_shows_its_first_groups_and_never_fails(tmp_path: pathlib.Path) -> None:
    manager = dt.TrackingManager.open(tmp_path / "n.db")
    for number in range(7):
        manager.ensure_tracker(f"user_{number}", dt.CountTracker("n", target=3))
    parsed = Parsed(manager._repr_html_())
    assert [text for text in parsed.texts if text.startswith("user_")] == [f"user_{number}" for number in range(5)]
    assert any("more groups" in text for text in parsed.texts)
    manager.close()
    assert "closed" in manager._repr_html_()


def test_names_stay_text() -> None:
    hostile = "<script>alert(1)</script>\"'&\u202e\x07"
    with dt.TrackingManager() as manager:
        manager.ensure_tracker(hostile, dt.CountTracker(hostile, target=2))
        outcome = manager.track(hostile, {})
        for html in (outcome._repr_html_(), manager._repr_html_(), manager.get_trackers(hostile)[0]._repr_html_()):
            parsed = Parsed(html)
            assert "script" not in parsed.tags
            assert "<script>alert(1)</script>\"'&\\u{202e}\\u{7}" in parsed.texts


def frames(results: Any) -> list[list[dict[str, Any]]]:
    """The rows of the data frames of both libraries, with None for what is missing."""
    in_pandas = dt.to_frame(results, "pandas")
    assert isinstance(in_pandas, pd.DataFrame)
    in_polars = dt.to_frame(results, "polars")
    assert isinstance(in_polars, pl.DataFrame)
    assert list(in_pandas.columns) == in_polars.columns
    rows = [
        {name: None if pd.isna(value) else value for name, value in row.items()} for row in in_pandas.to_dict("records")
    ]
    return [rows, in_polars.to_dicts()]


def test_trackers_and_places_make_the_same_columns(tmp_path: pathlib.Path) -> None:
    clock = dt.TestClock(1_700_000_000)
    with dt.TrackingManager.open(tmp_path / "f.db", clock=clock) as manager:
        for group, count in (("a", 1), ("b", 3)):
            manager.ensure_tracker(group, dt.CountTracker("n", target=[2, 3]))
            for _ in range(count):
                manager.track(group, {})
        expected = [
            {
                "group": "a",
                "tracker": "n",
                "progress": 1,
                "target": 2,
                "stage": 1,
                "stages": 2,
                "cycle": 0,
                "status": "active",
            },
            {
                "group": "b",
                "tracker": "n",
                "progress": 3,
                "target": 3,
                "stage": 2,
                "stages": 2,
                "cycle": 0,
                "status": "completed",
            },
        ]
        moments = [None, datetime.datetime.fromtimestamp(1_700_000_000, UTC)]
        expected = [{**row, "completed_at": moment} for row, moment in zip(expected, moments, strict=True)]
        for frame in (manager.to_frame(library="polars"), manager.to_frame(["a", "b"], library="polars")):
            assert frame.to_dicts() == expected
        places = manager.find("n", ascending=True)
        for rows in frames(places):
            assert [(row["group"], row["progress"], row["status"]) for row in rows] == [
                ("a", 1, "active"),
                ("b", 3, "completed"),
            ]


def test_events_and_periods_have_times_in_utc() -> None:
    clock = dt.TestClock(86_400 * 20_000)
    day = datetime.datetime.fromtimestamp(86_400 * 20_000, UTC)
    with dt.TrackingManager(clock=clock) as manager:
        manager.ensure_tracker("u", dt.CountTracker("n", target=[1, 2], every="day"))
        events = [event for _ in range(2) for event in manager.track("u", {}).events]
        for rows in frames(events):
            assert [row["event"] for row in rows] == ["stage_completed", "all_completed"]
            assert {(row["group"], row["tracker"], row["occurred_at"], row["period_start"]) for row in rows} == {
                ("u", "n", day, day)
            }
        for rows in frames(manager.periods("u", "n")):
            assert [(row["start"], row["end"], row["progress"]) for row in rows] == [
                (day, day + datetime.timedelta(days=1), 2)
            ]
            assert rows[0]["completed_at"] == day


def test_numbers_of_any_size_fit() -> None:
    with dt.TrackingManager() as manager:
        manager.ensure_tracker("u", dt.AccumulationTracker("n", key="x", target=10**20))
        manager.ensure_tracker("v", dt.AccumulationTracker("n", key="x", target=0.5))
        manager.track("u", {"x": 10**19})
        for rows in frames([*manager.get_trackers("u"), *manager.get_trackers("v")]):
            assert [(row["progress"], row["target"]) for row in rows] == [(1e19, 1e20), (0, 0.5)]


def test_what_has_no_columns_is_an_error() -> None:
    assert len(dt.to_frame([])) == 0
    tracker = dt.CountTracker("n", target=1)
    with pytest.raises(TypeError, match="int has no columns; expected trackers"):
        dt.to_frame([1])
    with pytest.raises(TypeError, match="several kinds"):
        dt.to_frame([tracker, dt.PeriodRecord(0, 1, 0)])
    with pytest.raises(ValueError, match="unknown library 'arrow'"):
        dt.to_frame([tracker], "arrow")  # type: ignore[arg-type]


def test_the_library_that_the_program_uses_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    tracker = dt.CountTracker("n", target=1)
    monkeypatch.delitem(sys.modules, "pandas")
    assert isinstance(dt.to_frame([tracker]), pl.DataFrame)
    monkeypatch.setitem(sys.modules, "pandas", None)
    monkeypatch.setitem(sys.modules, "polars", None)
    with pytest.raises(ImportError, match="install pandas or polars"):
        dt.to_frame([tracker])
