"""A campaign with dates: what customers buy this summer, at most three purchases a day.

Each purchase counts at the time at which it took place, not at that of the call. Run it:
``python examples/python/summer_campaign.py``
"""

import datetime

import dictrack as dt

PURCHASES = [
    ("2026-05-31T23:59:59Z", 300),
    ("2026-06-01T00:00:00Z", 400),
    ("2026-06-01T12:00:00Z", 250),
    ("2026-06-01T18:00:00Z", 450),
    ("2026-06-01T19:00:00Z", 500),
    ("2026-08-31T23:59:59Z", 300),
    ("2026-09-01T00:00:00Z", 700),
]


def revenue() -> dt.AccumulationTracker:
    """The revenue from one customer. The dates are days in UTC, both included; all stages share the limits."""
    return dt.AccumulationTracker(
        "summer_revenue",
        [dt.KeyValueEQ("event", "purchase")],
        target=[1000, 5000],
        limiters=[dt.TimeLimiter("2026-06-01", "2026-08-31"), dt.CountLimiter(3, per="day")],
    )


def main(manager: dt.TrackingManager) -> list[str]:
    """Runs on any manager. Returns what it printed."""
    printed: list[str] = []

    def say(line: str) -> None:
        printed.append(line)
        print(line)

    manager.ensure_tracker("anna", revenue(), now="2026-05-01")
    for moment, amount in PURCHASES:
        outcome = manager.track("anna", {"event": "purchase", "amount": amount}, now=moment)
        refusal = outcome.refusals.get("summer_revenue")
        if refusal is None:
            say(f"{moment}: {amount} counts, {outcome.counted[0].progress} of {outcome.counted[0].target}")
        elif refusal["until"] is None:
            say(f"{moment}: {amount} is refused, the campaign is over")
        else:
            until = datetime.datetime.fromtimestamp(refusal["until"], datetime.timezone.utc)
            say(f"{moment}: {amount} is refused until {until:%d %B %H:%M}")
    return printed


if __name__ == "__main__":
    with dt.TrackingManager() as manager:
        main(manager)
