"""Outcomes unpack as four values, and their lists are sequences."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

import dictrack as dt


@pytest.fixture
def outcome() -> dt.Outcome:
    """The outcome of a document that two trackers count, one of which it completes."""
    manager = dt.TrackingManager()
    manager.add_trackers("g", [dt.CountTracker("one", target=1), dt.CountTracker("two", target=2)])
    return manager.track("g", {})


def test_an_outcome_unpacks_as_four(outcome: dt.Outcome) -> None:
    is_ok, dirtied, completed, limited = outcome
    assert is_ok is True and len(outcome) == 4 and outcome[0] is True
    assert [tracker.name for tracker in dirtied] == ["one", "two"]
    assert [tracker.name for tracker in completed] == ["one"]
    assert not limited and limited == [] and outcome[-1] == []
    assert repr(outcome) == "<Outcome (dirtied=[one, two] completed=[one] limited=[])>"


def test_its_lists_are_sequences(outcome: dt.Outcome) -> None:
    dirtied = outcome.dirtied
    one, two = dirtied
    assert isinstance(dirtied, Sequence) and len(dirtied) == 2 and bool(dirtied)
    assert dirtied[0] is one and dirtied[-1] is two and dirtied[:1] == [one]
    assert two in dirtied and dirtied.index(two) == 1 and dirtied.count(one) == 1
    assert dirtied + outcome.completed == [one, two, one] and [two] + dirtied == [two, one, two]  # noqa: RUF005
    assert dirtied == [one, two] and dirtied == outcome.dirtied and dirtied != [two, one]
    assert repr(dirtied) == repr([one, two])
    with pytest.raises(IndexError):
        outcome.limited[0]
    with pytest.raises(TypeError):
        dirtied + 5
