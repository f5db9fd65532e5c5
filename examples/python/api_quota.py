"""An API quota as a FastAPI app: each client may make 100 requests a minute and 10,000 a month.

Run it: ``uvicorn --app-dir examples/python --factory api_quota:create_app``, then
``curl -i -H 'X-API-Key: key-of-anna' http://127.0.0.1:8000/data``
"""

import contextlib
import math
import os
import time
from collections.abc import AsyncIterator, Callable
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Header, HTTPException, Request, Response

import dictrack as dt
import dictrack.aio

CLIENTS = {"key-of-anna": "anna", "key-of-ben": "ben"}
# The same for all clients, each of whom gets a count of their own. Without a target, only the limits matter.
LIMITS = [dt.CountLimiter(100, per="minute"), dt.CountLimiter(10_000, per="month")]
QUOTA = dt.CountTracker("api_quota", limiters=LIMITS)


async def count(request: Request, response: Response, x_api_key: Annotated[str, Header()]) -> None:
    """Counts a request. If the quota is used up, answers 429 and says after how many seconds to try again."""
    client = CLIENTS.get(x_api_key)
    if client is None:
        raise HTTPException(401, "unknown API key")
    manager: dictrack.aio.TrackingManager = request.state.manager
    now: float = request.state.now()
    outcome = await manager.track(client, {"path": request.url.path}, now=now)
    if outcome.refusals:
        wait = outcome.refusals["api_quota"]["until"] - now
        raise HTTPException(429, "too many requests", headers={"Retry-After": str(math.ceil(wait))})
    # As in the IETF's draft "RateLimit header fields for HTTP": what remains, and for how many seconds.
    fields = []
    for name, limiter in zip(("minute", "month"), outcome.counted[0].limiters):
        seconds = math.ceil((limiter.reset_at or now) - now)
        fields.append(f'"{name}";r={limiter.remaining};t={seconds}')
    response.headers["RateLimit"] = ", ".join(fields)


def create_app(store: str | os.PathLike[str] = "quotas.db", now: Callable[[], float] = time.time) -> FastAPI:
    """The app. Several processes would share Redis instead of the file."""

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[dict[str, Any]]:
        async with await dictrack.aio.TrackingManager.open(store, trackers=[QUOTA]) as manager:
            yield {"manager": manager, "now": now}

    app = FastAPI(lifespan=lifespan)

    @app.get("/data", dependencies=[Depends(count)])
    async def data() -> dict[str, int]:
        return {"answer": 42}

    return app
