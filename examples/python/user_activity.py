"""Milestones for each user, with listeners.

Every user has the same tracker in a group of their own; a document counts where its ``event_type`` is one of those
listed. Run it: ``python examples/python/user_activity.py``
"""

import dictrack as dt

COUNTED = ["login", "purchase", "comment", "share"]


def main(manager: dt.TrackingManager) -> list[str]:
    """Runs on any manager. Returns what it printed."""
    printed: list[str] = []

    def say(line: str) -> None:
        printed.append(line)
        print(line)

    def on_stage(event: dt.TrackerEvent) -> None:
        say(f"🎯 {event.group_id} reached {event.progress}/{event.target}")

    def on_end(event: dt.TrackerEvent) -> None:
        say(f"🎉 {event.group_id} reached the last milestone, {event.target}")

    manager.add_listener(dt.EVENT_TRACKER_STAGE_COMPLETED, on_stage)
    manager.add_listener(dt.EVENT_TRACKER_ALL_COMPLETED, on_end)
    milestones = dt.CountTracker(
        "activity_milestone", [dt.KeyValueInList("event_type", COUNTED)], target=[10, 50, 100, 500, 1000]
    )
    manager.set_trackers([milestones])  # for every user

    for at, event_type in enumerate([*COUNTED, "logout", *COUNTED, "login", "share"]):
        outcome = manager.track("user_001", {"event_type": event_type, "timestamp": 1_699_000_000 + 100 * at})
        for tracker in outcome.dirtied:
            say(f"{event_type}: {tracker.progress}/{tracker.target}")
    return printed


if __name__ == "__main__":
    with dt.TrackingManager() as manager:
        main(manager)
