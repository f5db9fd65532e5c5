"""A cap on what a user spends in a month, and on tokens in a day.

Run it: ``python examples/python/spending_cap.py``
"""

import datetime
import decimal

import dictrack as dt

NOON = "2026-06-15T12:00:00Z"


def spent() -> dt.AccumulationTracker:
    """What one user spends. Without a key, a limiter adds up what the tracker does, which is ``amount``."""
    caps = [dt.SumLimiter(500, per="month"), dt.SumLimiter(10_000, key="usage.tokens", per="day")]
    return dt.AccumulationTracker("spent", limiters=caps)


def main(manager: dt.TrackingManager) -> list[str]:
    """Runs on any manager. Returns what it printed."""
    printed: list[str] = []

    def say(line: str) -> None:
        printed.append(line)
        print(line)

    manager.ensure_tracker("anna", spent(), now=NOON)

    def buy(amount: str, tokens: int) -> None:
        document = {"amount": decimal.Decimal(amount), "usage": {"tokens": tokens}}
        outcome = manager.track("anna", document, now=NOON)
        money, used = manager.peek("anna", now=NOON)[0].limiters
        left = f"{money.remaining} and {used.remaining} tokens left"
        if "spent" not in outcome.refusals:
            say(f"{amount}: counts, {left}")
            return
        # What does not fit is refused whole. ``until`` is None if it is more than a cap.
        refusal = outcome.refusals["spent"]
        until = refusal["until"] and datetime.datetime.fromtimestamp(refusal["until"], datetime.timezone.utc)
        when = f"until {until:%d %B}" if until else "always"
        say(f"{amount}: refused by limiter {refusal['limiter']} {when}, {left}")

    buy("450.50", 100)
    buy("60", 100)
    # A refund gives back.
    buy("-100", 0)
    buy("60", 100)
    buy("1", 9_900)
    buy("501", 0)
    return printed


if __name__ == "__main__":
    with dt.TrackingManager() as manager:
        main(manager)
