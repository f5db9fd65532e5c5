"""A streak of days with a login, which survives a missed day.

Each login says when it took place, since phones report some of them late. Run it:
``python examples/python/login_streak.py``
"""

import dictrack as dt


def streak() -> dt.StreakTracker:
    """The streak of one user: one freeze at the start, one more for each 7 days, never more than two."""
    return dt.StreakTracker(
        "login_streak",
        [dt.KeyValueEQ("event", "login")],
        target=[3, 7, 30],
        every="day",
        freezes={"start": 1, "per": 7, "max": 2},
    )


def main(manager: dt.TrackingManager) -> list[str]:
    """Runs on any manager. Returns what it printed."""
    printed: list[str] = []

    def say(line: str) -> None:
        printed.append(line)
        print(line)

    def morning(day: int) -> str:
        return f"2026-06-{day:02}T08:00:00Z"

    def log_in(day: int) -> None:
        outcome = manager.track("anna", {"event": "login"}, now=morning(day))
        now = outcome.counted[0]
        say(f"June {day}: {now.progress} in a row, freezes left: {now.freezes}")
        for event in outcome.events:
            say(f"a reward for {event.target} days")

    manager.ensure_tracker("anna", streak(), now=morning(1))
    # June 3 is missed, which takes the freeze.
    for day in (1, 2, 4, 5):
        log_in(day)
    # No login on June 6, and no freeze is left.
    say(f"June 7, before the login: {manager.peek('anna', now=morning(7))[0].progress} in a row")
    log_in(7)
    # There was one on June 6, which is reported only now.
    log_in(6)
    return printed


if __name__ == "__main__":
    with dt.TrackingManager() as manager:
        main(manager)
