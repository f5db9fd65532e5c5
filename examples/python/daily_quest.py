"""A quest that starts again every day, at midnight where the player lives.

It uses a test clock, so that a day takes no time. Run it:
``python examples/python/daily_quest.py``
"""

import datetime
import zoneinfo

import dictrack as dt

START = "2026-06-01T20:00:00Z"
ZONES = {"anna": "Europe/Berlin", "ben": "America/New_York"}


def quest() -> dt.CountTracker:
    """The quest of one player. Its last seven days are remembered."""
    return dt.CountTracker("win_two_matches", [dt.KeyValueEQ("event", "win")], target=2, every="day", keep=7)


def local(player: str, moment: float) -> datetime.datetime:
    """A moment as clocks show it where the player lives."""
    return datetime.datetime.fromtimestamp(moment, zoneinfo.ZoneInfo(ZONES[player]))


def main(manager: dt.TrackingManager, clock: dt.TestClock) -> list[str]:
    """Runs on a manager with this clock. Returns what it printed."""
    printed: list[str] = []

    def say(line: str) -> None:
        printed.append(line)
        print(line)

    manager.set_trackers([quest()])
    for player, zone in ZONES.items():
        manager.set_attributes(player, {"zone": zone})

    # Each wins at 20:00, 21:00 and 22:00 UTC. The last of these is midnight in Berlin.
    for _ in range(3):
        for player in ZONES:
            outcome = manager.track(player, {"event": "win"})
            if outcome.skipped:
                say(f"{player}: {outcome.skipped['win_two_matches']}")
            for today in outcome.counted:
                say(f"{player}: {today.progress} of {today.target}")
            for today in outcome.completed:
                assert today.resets_at is not None
                say(f"{player}: done, starts again on {local(player, today.resets_at):%d %B %H:%M %Z}")
        clock.advance(3600)

    for player in ZONES:
        for day in manager.periods(player, "win_two_matches"):
            say(f"{player}: {day.progress} on {local(player, day.start):%d %B}")
    return printed


if __name__ == "__main__":
    test_clock = dt.TestClock(START)
    with dt.TrackingManager(clock=test_clock) as manager:
        main(manager, test_clock)
