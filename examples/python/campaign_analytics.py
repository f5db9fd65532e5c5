"""Counts clicks, conversions and revenue of a campaign. The trackers come from definitions that other programs share.

Run it: ``python examples/python/campaign_analytics.py``
"""

from typing import Any

import dictrack as dt

CAMPAIGN = "campaign_summer"
DEFINITIONS: list[dict[str, Any]] = [
    {
        "name": "clicks",
        "kind": "count",
        "target": [1000, 5000, 10000],
        "conditions": [{"key": "event", "eq": "click"}],
    },
    {
        "name": "conversions",
        "kind": "count",
        "target": [100, 500, 1000],
        "conditions": [{"key": "event", "eq": "click"}, {"key": "converted", "eq": True}],
    },
    {
        "name": "revenue",
        "kind": "sum",
        "key": "amount",
        "target": [5000, 25000, 50000],
        "conditions": [{"key": "event", "eq": "purchase"}, {"key": "amount", "gt": 0}],
    },
]
EVENTS: list[dict[str, Any]] = [
    {"event": "click", "converted": False, "amount": 0},
    {"event": "click", "converted": True, "amount": 0},
    {"event": "click", "converted": False, "amount": 0},
    {"event": "purchase", "converted": True, "amount": 50.00},
    {"event": "click", "converted": False, "amount": 0},
    {"event": "purchase", "converted": True, "amount": 125.00},
    {"event": "click", "converted": True, "amount": 0},
    {"event": "purchase", "converted": True, "amount": 75.00},
]


def main(manager: dt.TrackingManager) -> list[str]:
    """Runs on any manager. Returns what it printed."""
    printed: list[str] = []

    def say(line: str) -> None:
        printed.append(line)
        print(line)

    manager.ensure_trackers(CAMPAIGN, [dt.BaseTracker.from_dict(definition) for definition in DEFINITIONS])
    for event, outcome in zip(EVENTS, manager.track_many((CAMPAIGN, event) for event in EVENTS)):
        if isinstance(outcome, Exception):
            raise outcome
        say(f"{event['event']}: {', '.join(tracker.name for tracker in outcome.dirtied)}")
    for tracker in manager.get_trackers(CAMPAIGN):
        say(f"{tracker.name}: {tracker.progress}/{tracker.target}")
    return printed


if __name__ == "__main__":
    with dt.TrackingManager() as manager:
        main(manager)
