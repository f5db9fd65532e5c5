"""Counts calls for 60 seconds after the tracker was added or its limiter renewed.

It uses a test clock, so that a minute takes no time. Run it:
``python examples/python/session_monitoring.py``
"""

import dictrack as dt

SESSION = "user_session_001"
START = 1_700_000_000


def main(manager: dt.TrackingManager, clock: dt.TestClock) -> list[str]:
    """Runs on a manager with this clock. Returns what it printed."""
    printed: list[str] = []

    def say(line: str) -> None:
        printed.append(line)
        print(line)

    window = dt.TimeLimiter(seconds=60)
    calls = dt.CountTracker("session_actions", [dt.KeyValueEQ("action", "api_call")], target=100, limiters=[window])
    manager.ensure_tracker(SESSION, calls)
    for second in range(70):
        outcome = manager.track(SESSION, {"action": "api_call", "call_id": second})
        if outcome.refused:
            say(f"second {second}: refused, {calls.progress} so far")
            manager.reset_tracker(SESSION, "session_actions", dt.ResetPolicy.LIMITER)
            say(f"renewed until second {int(window.end) - START}")
        clock.advance(1)
    say(f"{calls.progress} calls")
    return printed


if __name__ == "__main__":
    test_clock = dt.TestClock(START)
    with dt.TrackingManager(clock=test_clock) as manager:
        main(manager, test_clock)
