"""Counts up to 100 requests until the limit is renewed.

The limiter that was added stays up to date: its ``remaining`` goes down with each request that counts. The target is out
of reach, so the tracker never completes. Run it:
``python examples/python/rate_limiter.py``
"""

import dictrack as dt

CLIENT = "api_client_001"


def main(manager: dt.TrackingManager) -> list[str]:
    """Runs on any manager. Returns what it printed."""
    printed: list[str] = []

    def say(line: str) -> None:
        printed.append(line)
        print(line)

    limit = dt.CountLimiter(100)
    requests = dt.CountTracker(
        "api_rate_limit", [dt.KeyValueEQ("endpoint", "/api/v1/data")], target=1000, limiters=[limit]
    )
    manager.ensure_tracker(CLIENT, requests)
    for request in range(105):
        outcome = manager.track(CLIENT, {"endpoint": "/api/v1/data", "request_id": request})
        if outcome.refused:
            say(f"request {request} is refused, {limit.remaining} left")
            why = manager.explain(CLIENT, {"endpoint": "/api/v1/data"})[0]
            say(str(why))
            break
        say(f"request {request} counts, {limit.remaining} left")

    manager.reset_tracker(CLIENT, "api_rate_limit", dt.ResetPolicy.LIMITER)
    say(f"renewed: {limit.remaining} left, {requests.progress} requests so far")
    return printed


if __name__ == "__main__":
    with dt.TrackingManager() as manager:
        main(manager)
