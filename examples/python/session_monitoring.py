"""Counts up to 50 calls in each minute of a session. The first minute starts with the session.

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

    limit = dt.CountLimiter(50, per="minute", from_="add")
    calls = dt.CountTracker("session_actions", [dt.KeyValueEQ("action", "api_call")], target=100, limiters=[limit])
    manager.ensure_tracker(SESSION, calls)
    for second in range(70):
        outcome = manager.track(SESSION, {"action": "api_call", "call_id": second})
        if outcome.refused:
            until = outcome.refusals["session_actions"]["until"] - START
            say(f"second {second}: refused until second {until}, {calls.progress} so far")
        clock.advance(1)
    say(f"{calls.progress} calls, {limit.remaining} left until second {(limit.reset_at or START) - START}")
    return printed


if __name__ == "__main__":
    test_clock = dt.TestClock(START)
    with dt.TrackingManager(clock=test_clock) as manager:
        main(manager, test_clock)
