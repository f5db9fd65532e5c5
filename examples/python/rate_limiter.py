"""Counts up to 100 requests a minute. The limit renews itself.

The limiter that was added stays up to date: its ``remaining`` goes down with each request that counts. The target is out
of reach, so the tracker never completes. A test clock makes a minute take no time. Run it:
``python examples/python/rate_limiter.py``
"""

import dictrack as dt

CLIENT = "api_client_001"
# 20 seconds into a minute.
START = 1_772_366_420


def main(manager: dt.TrackingManager, clock: dt.TestClock) -> list[str]:
    """Runs on a manager with this clock. Returns what it printed."""
    printed: list[str] = []

    def say(line: str) -> None:
        printed.append(line)
        print(line)

    limit = dt.CountLimiter(100, per="minute")
    requests = dt.CountTracker("api_rate_limit", [dt.KeyValueEQ("endpoint", "/api/v1/data")], limiters=[limit])
    manager.ensure_tracker(CLIENT, requests)
    for request in range(105):
        outcome = manager.track(CLIENT, {"endpoint": "/api/v1/data", "request_id": request})
        if outcome.refused:
            until = outcome.refusals["api_rate_limit"]["until"]
            say(f"request {request} is refused for {until - START} seconds, {limit.remaining} left")
            why = manager.explain(CLIENT, {"endpoint": "/api/v1/data"})[0]
            say(str(why))
            break
        say(f"request {request} counts, {limit.remaining} left")

    clock.advance(40)
    say(f"40 seconds later: {limit.remaining} left, {requests.progress} requests so far")
    return printed


if __name__ == "__main__":
    test_clock = dt.TestClock(START)
    with dt.TrackingManager(clock=test_clock) as manager:
        main(manager, test_clock)
