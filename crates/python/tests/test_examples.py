"""The example programs of this project, and the six original programs for dictrack 2.1.5, unchanged."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
from typing import Any

import pytest

import dictrack as dt

ROOT = pathlib.Path(__file__).resolve().parents[3]
HERE = pathlib.Path(__file__).resolve().parent
SEED = pathlib.Path(os.environ.get("DICTRACK_TEST_PROGRAMS", ROOT.parent / "shared/seed"))
sys.path.insert(0, str(ROOT / "examples/python"))
# The examples cause no warnings.
pytestmark = pytest.mark.filterwarnings("error::dictrack.utils.errors.DictrackWarning")


def test_user_activity_reaches_its_milestone_with_the_tenth_document() -> None:
    import user_activity

    with dt.TrackingManager() as manager:
        printed = user_activity.main(manager)
    assert printed[:4] == ["login: 1/10", "purchase: 2/10", "comment: 3/10", "share: 4/10"]
    assert printed[-2:] == ["🎯 user_001 reached 10/10", "share: 10/50"]
    assert not [line for line in printed if line.startswith("logout")]


def test_rate_limiter_refuses_the_hundred_and_first_request() -> None:
    import rate_limiter

    clock = dt.TestClock(rate_limiter.START)
    with dt.TrackingManager(clock=clock) as manager:
        printed = rate_limiter.main(manager, clock)
    assert printed[0] == "request 0 counts, 99 left" and printed[99] == "request 99 counts, 0 left"
    assert printed[100] == "request 100 is refused for 40 seconds, 0 left"
    assert printed[101].startswith("api_rate_limit: limited: refused by the count of 100 per minute, which is used up")
    assert printed[102] == "40 seconds later: 100 left, 100 requests so far"


def test_order_processing_counts_no_order_twice(tmp_path: pathlib.Path) -> None:
    import order_processing

    store = tmp_path / "orders.db"
    sums = ["order_count: 3/10", "order_amount: 545.5/1000"]
    with dt.TrackingManager.open(store) as manager:
        printed = order_processing.main(manager)
        assert printed[0] == "ORD001 counts" and printed[1] == "ORD002 does not count" and printed[5:] == sums
    with dt.TrackingManager.open(store) as manager:
        printed = order_processing.main(manager)
        assert printed == [f"ORD00{at} known" for at in range(1, 6)] + sums


def test_order_processing_does_not_start_completed_trackers_over(tmp_path: pathlib.Path) -> None:
    import order_processing

    with dt.TrackingManager.open(tmp_path / "orders.db") as manager:
        order_processing.main(manager)
        order = {"status": "completed", "amount": 200, "payment_method": "paypal"}
        for _ in range(500):
            manager.track("orders", order)
        assert [tracker.name for tracker in manager.completed("orders")] == ["order_amount", "order_count"]
    with dt.TrackingManager.open(tmp_path / "orders.db") as manager:
        assert order_processing.main(manager) == [f"ORD00{at} known" for at in range(1, 6)]
        assert len(manager.completed("orders")) == 2 and manager.get_trackers("orders") == []


def test_campaign_analytics_sums_what_was_bought() -> None:
    import campaign_analytics

    with dt.TrackingManager() as manager:
        printed = campaign_analytics.main(manager)
    assert printed[-3:] == ["clicks: 5/1000", "conversions: 2/100", "revenue: 250/5000"]
    assert printed[1] == "click: clicks, conversions" and printed[3] == "purchase: revenue"


def test_session_monitoring_refuses_until_the_next_minute_of_the_session() -> None:
    import session_monitoring

    clock = dt.TestClock(session_monitoring.START)
    with dt.TrackingManager(clock=clock) as manager:
        printed = session_monitoring.main(manager, clock)
    refused = [f"second {second}: refused until second 60, 50 so far" for second in range(50, 60)]
    assert printed == [*refused, "60 calls, 40 left until second 120"]


def test_custom_condition_asks_the_program() -> None:
    import custom_condition

    with dt.TrackingManager() as manager:
        printed = custom_condition.main(manager)
    assert [line[:6] for line in printed if line.endswith(" counts")] == ["ORD002", "ORD003", "ORD006"]
    assert printed[-1] == "orders: 3/10, points: 53"


@pytest.fixture(scope="module")
def printed() -> dict[str, Any]:
    """The output of the six programs."""
    command = [sys.executable, str(HERE / "isolated.py"), str(SEED)]
    if os.geteuid() != 0 or subprocess.run(["unshare", "--net", "true"], capture_output=True).returncode == 0:
        command = ["unshare", "--user", "--map-root-user", "--net", *command]
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": str(SEED)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment)
    assert done.returncode == 0, done.stderr
    results: dict[str, Any] = json.loads(done.stdout)
    for name, result in results.items():
        assert result["code"] == 0 and result["err"] == "", (name, result)
    return results


# Only run if DICTRACK_TEST_PROGRAMS says where the programs are.
has_seed = pytest.mark.skipif(not SEED.is_dir(), reason=f"the six programs are not in {SEED}")


@has_seed
def test_program_1_counts_three_documents_and_tells_of_the_tenth(printed: dict[str, Any]) -> None:
    lines = printed["example_1"]["out"].splitlines()
    kinds = ["login", "purchase", "comment"]
    expected = [[f"Tracked: {kind} for user_001", f"  Progress: {at}/10"] for at, kind in enumerate(kinds, 1)]
    assert lines == [line for pair in expected for line in pair]
    heard = printed["on_to_ten"]["out"].splitlines()
    assert len(heard) == 1 and heard[0].endswith("Milestone reached! User user_001 completed stage: 10/10")


@has_seed
def test_program_2_allows_99_requests_and_blocks_one(printed: dict[str, Any]) -> None:
    lines = printed["example_2"]["out"].splitlines()
    allowed = [line for line in lines if "allowed" in line]
    assert [line.split("Remaining: ")[1] for line in allowed] == [str(left) for left in range(99, 0, -1)]
    blocked = [at for at, line in enumerate(lines) if "blocked" in line]
    assert len(blocked) == 1 and "Request 99 blocked!" in lines[blocked[0]]
    assert lines[blocked[0] + 1].strip() == "Limiter remaining: 0"
    assert lines[-1] == "Resetting rate limiter..."


@has_seed
def test_program_3_sums_exactly(printed: dict[str, Any]) -> None:
    lines = [line.strip() for line in printed["example_3"]["out"].splitlines()]
    assert [line for line in lines if line.startswith("Orders:")][-1] == "Orders: 3/10"
    revenue = [line for line in lines if line.startswith("Revenue:")]
    assert revenue == [f"Revenue: ${sum}/$1000" for sum in ("150", "150", "225.5", "545.5", "545.5")]


@has_seed
def test_program_4_has_its_final_statistics(printed: dict[str, Any]) -> None:
    lines = [line.strip() for line in printed["example_4"]["out"].splitlines()]
    assert lines[-3:] == ["campaign_clicks: 5/1000", "campaign_conversions: 2/100", "campaign_revenue: 250/5000"]


@has_seed
def test_program_5_blocks_once_and_counts_69(printed: dict[str, Any]) -> None:
    lines = printed["example_5"]["out"].splitlines()
    blocked = [line for line in lines if "blocked" in line]
    assert len(blocked) == 1 and blocked[0].startswith("Second 60:")
    before = lines[: lines.index(blocked[0])]
    assert sum("allowed" in line for line in before) == 60
    assert "--- Resetting time limiter at 60 seconds ---" in lines
    assert lines[-1] == "Total API calls made: 69"


@has_seed
def test_program_6_tracks_three_orders(printed: dict[str, Any]) -> None:
    lines = printed["example_6"]["out"].splitlines()
    tracked = [line.split(": ")[1][:6] for line in lines if "Tracked:" in line]
    assert tracked == ["ORD002", "ORD003", "ORD006"]
    assert [line.split(": ")[1][:6] for line in lines if "Rejected:" in line] == ["ORD001", "ORD004", "ORD005"]
    assert lines[-1] == "High-value orders tracked: 3/10"
