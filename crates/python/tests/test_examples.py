"""The example programs of this project, and the six original programs for dictrack 2.1.5, unchanged."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import pathlib
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import uvicorn

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


def test_daily_quest_starts_again_at_midnight_where_the_player_lives() -> None:
    import daily_quest

    clock = dt.TestClock(daily_quest.START)
    with dt.TrackingManager(clock=clock) as manager:
        printed = daily_quest.main(manager, clock)
    assert [line for line in printed if line.startswith("anna")] == [
        "anna: 1 of 2",
        "anna: 2 of 2",
        "anna: done, starts again on 02 June 00:00 CEST",
        "anna: 1 of 2",
        "anna: 2 on 01 June",
        "anna: 1 on 02 June",
    ]
    assert [line for line in printed if line.startswith("ben")] == [
        "ben: 1 of 2",
        "ben: 2 of 2",
        "ben: done, starts again on 02 June 00:00 EDT",
        "ben: resting",
        "ben: 2 on 01 June",
    ]


def test_login_streak_survives_a_missed_day_and_a_late_report() -> None:
    import login_streak

    with dt.TrackingManager() as manager:
        printed = login_streak.main(manager)
    assert printed == [
        "June 1: 1 in a row, freezes left: 1",
        "June 2: 2 in a row, freezes left: 1",
        "June 4: 3 in a row, freezes left: 0",
        "a reward for 3 days",
        "June 5: 4 in a row, freezes left: 0",
        "June 7, before the login: 0 in a row",
        "June 7: 1 in a row, freezes left: 0",
        "June 6: 6 in a row, freezes left: 0",
    ]


def test_spending_cap_refuses_what_does_not_fit() -> None:
    import spending_cap

    with dt.TrackingManager() as manager:
        printed = spending_cap.main(manager)
    assert printed == [
        "450.50: counts, 49.5 and 9900 tokens left",
        "60: refused by limiter 0 until 01 July, 49.5 and 9900 tokens left",
        "-100: counts, 149.5 and 9900 tokens left",
        "60: counts, 89.5 and 9800 tokens left",
        "1: refused by limiter 1 until 16 June, 89.5 and 9800 tokens left",
        "501: refused by limiter 0 always, 89.5 and 9800 tokens left",
    ]


def test_login_throttle_checks_five_passwords_in_any_ten_minutes() -> None:
    import login_throttle

    with dt.TrackingManager() as manager:
        printed = login_throttle.main(manager)
    wrong, refused = "wrong password", "too many attempts, try again in 60 s"
    answers = [line.split(": ")[1] for line in printed]
    assert answers[:8] == [wrong] * 5 + [refused, wrong, refused]
    assert answers[8:] == ["welcome"] + [wrong] * 5


def test_summer_campaign_counts_its_first_and_its_last_second() -> None:
    import summer_campaign

    with dt.TrackingManager() as manager:
        printed = summer_campaign.main(manager)
    assert printed == [
        "2026-05-31T23:59:59Z: 300 is refused until 01 June 00:00",
        "2026-06-01T00:00:00Z: 400 counts, 400 of 1000",
        "2026-06-01T12:00:00Z: 250 counts, 650 of 1000",
        "2026-06-01T18:00:00Z: 450 counts, 1100 of 5000",
        "2026-06-01T19:00:00Z: 500 is refused until 02 June 00:00",
        "2026-08-31T23:59:59Z: 300 counts, 1400 of 5000",
        "2026-09-01T00:00:00Z: 700 is refused, the campaign is over",
    ]


class Client:
    """A client of the API at a port."""

    def __init__(self, port: int, key: str = "key-of-anna") -> None:
        self.port = port
        self.key = key

    def get(self) -> http.client.HTTPResponse:
        """Makes a request. Of the response, only status and headers are of interest."""
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)) as connection:
            connection.request("GET", "/data", headers={"X-API-Key": self.key})
            response = connection.getresponse()
            response.read()
            return response


@contextlib.contextmanager
def served(app: Any) -> Iterator[int]:
    """Serves an app at a port. Requests wait in the socket until it has started."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join()


def test_api_quota_says_when_to_come_back(tmp_path: pathlib.Path) -> None:
    import api_quota

    # 20 seconds, and a part of one, into a minute of 2026-03-01.
    now = 1_772_366_420.25
    with served(api_quota.create_app(tmp_path / "quotas.db", lambda: now)) as port:
        anna, ben = Client(port), Client(port, "key-of-ben")
        responses = [anna.get() for _ in range(101)]
        assert [response.status for response in responses] == [200] * 100 + [429]
        assert responses[0].headers["RateLimit"] == '"minute";r=99;t=40, "month";r=9999;t=2635180'
        assert responses[99].headers["RateLimit"] == '"minute";r=0;t=40, "month";r=9900;t=2635180'
        assert responses[100].headers["Retry-After"] == "40" and "RateLimit" not in responses[100].headers
        assert ben.get().headers["RateLimit"].startswith('"minute";r=99;')
        assert Client(port, "stolen").get().status == 401
        # Not yet, and then as promised.
        now += 39.5
        assert anna.get().headers["Retry-After"] == "1"
        now += 0.25
        assert anna.get().headers["RateLimit"].startswith('"minute";r=99;t=60, "month";r=9899;')
    # Another start, on the same file.
    with served(api_quota.create_app(tmp_path / "quotas.db", lambda: now)) as port:
        assert Client(port).get().headers["RateLimit"].startswith('"minute";r=98;t=60, "month";r=9898;')


def test_api_quota_runs_as_its_first_lines_say(tmp_path: pathlib.Path) -> None:
    import api_quota

    stated = re.search("``uvicorn --app-dir examples/python (--factory .*)``", str(api_quota.__doc__))
    assert stated is not None
    with socket.create_server(("127.0.0.1", 0)) as listener:
        command = [sys.executable, "-m", "uvicorn", "--app-dir", ROOT / "examples/python", *stated[1].split()]
        file = listener.fileno()
        # Ends with the test, whatever happens to that.
        command = ["setpriv", "--pdeathsig", "KILL", *command, "--fd", str(file)]
        with subprocess.Popen(command, cwd=tmp_path, pass_fds=[file]) as program:
            try:
                response = Client(listener.getsockname()[1]).get()
            finally:
                program.terminate()
            program.wait(timeout=60)
    assert response.status == 200 and '"month";r=9999;' in response.headers["RateLimit"]
    assert (tmp_path / "quotas.db").exists()


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
