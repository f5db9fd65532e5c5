"""At most 5 attempts to log in to an account in any 10 minutes, until one succeeds.

A limit per 10 minutes would admit 5 at the end of one period and 5 more at the start of the next. ``within`` looks back
from each attempt. Run it: ``python examples/python/login_throttle.py``
"""

import math

import dictrack as dt

NOON = 1_780_315_200  # 2026-06-01T12:00:00Z


def attempts() -> dt.CountTracker:
    """The attempts to log in to one account."""
    return dt.CountTracker("login_attempts", limiters=[dt.CountLimiter(5, within="10 minutes")])


def log_in(manager: dt.TrackingManager, account: str, password: str, now: float) -> str:
    """Checks a password, unless there were too many attempts. Returns the answer.

    An attempt counts before its password is checked: of many attempts at the same time, only 5 get that far.
    """
    manager.ensure_tracker(account, attempts(), now=now)
    refusal = manager.track(account, {}, now=now).refusals.get("login_attempts")
    if refusal:
        return f"too many attempts, try again in {math.ceil(refusal['until'] - now)} s"
    if password != "correct horse battery staple":
        return "wrong password"
    manager.reset_tracker(account, "login_attempts", now=now)
    return "welcome"


def main(manager: dt.TrackingManager) -> list[str]:
    """Runs on any manager. Returns what it printed."""
    printed: list[str] = []

    def say(line: str) -> None:
        printed.append(line)
        print(line)

    for minute in (0, 1, 2, 8, 9, 9, 10, 10):
        say(f"minute {minute}: {log_in(manager, 'anna', 'swordfish', NOON + minute * 60)}")
    for password in ("correct horse battery staple", *["swordfish"] * 5):
        say(f"minute 11: {log_in(manager, 'anna', password, NOON + 11 * 60)}")
    return printed


if __name__ == "__main__":
    with dt.TrackingManager() as manager:
        main(manager)
