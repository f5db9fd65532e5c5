"""What the manager returns is JSON for the program, for web frameworks and for pydantic."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import pathlib
import subprocess
import sys
from typing import Any

import django.conf
import fastapi
import pydantic
import pytest
from fastapi.encoders import jsonable_encoder

import dictrack as dt
from dictrack._json import ready

django.conf.settings.configure()

START = 1_700_000_000


def is_json(value: Any) -> bool:
    """Whether a value consists only of what Python's json knows, without NaN."""
    if isinstance(value, dict):
        return type(value) is dict and all(type(key) is str and is_json(item) for key, item in value.items())
    if isinstance(value, list):
        return type(value) is list and all(map(is_json, value))
    return value is None or (type(value) in (str, int, float, bool) and value == value and abs(hash(value)) < 2**64)


class Once(dt.BaseLimiter):
    registered_name = "once"

    def __init__(self) -> None:
        super().__init__()
        self.used = 0

    def pre_track(self, data: Any, pre_tracker: Any, *args: Any, **kwargs: Any) -> bool:
        return self.used < 1

    def post_track(self, data: Any, post_tracker: Any, *args: Any, **kwargs: Any) -> bool:
        self.used += 1
        return False


@dataclasses.dataclass
class Seen:
    manager: dt.TrackingManager
    trackers: list[dt.BaseTracker]
    added: dt.Added
    outcomes: list[dt.Outcome]


@pytest.fixture
def seen() -> Seen:
    manager = dt.TrackingManager(clock=dt.TestClock(START))
    trackers: list[dt.BaseTracker] = [
        dt.AccumulationTracker("sum", target=[1, 2.5, 100], key="n", limiters=[dt.CountLimiter(100)]),
        dt.CountTracker("done", target=2),
        dt.CountTracker("limits", limiters=[dt.CountLimiter(1, per="minute"), Once()]),
        dt.StreakTracker("streak", target=[1, 5], every="day", freezes={"start": 1}),
        dt.AccumulationTracker("loop", key="n", target=[1, 2], loop_forever=True, expire_at=9_000_000_000),
        dt.CountTracker("gold", [dt.KeyValueEQ("tier", "gold")], target=2),
        dt.CustomTracker("failing", measure="unknown", target=1),
    ]
    added = manager.add_trackers("g", trackers)
    outcomes = [
        manager.track("g", {"n": n}, event_id=id) for n, id in [(0.5, "a"), (3.25, "b"), (3.25, "b"), (-7, "c")]
    ]
    return Seen(manager, trackers, added, outcomes)


def test_an_outcome_as_json_has_what_its_attributes_have(seen: Seen) -> None:
    for outcome in seen.outcomes:
        made = outcome.to_dict()
        assert is_json(made) and dict(outcome) == made and outcome["events"] == made["events"]  # type: ignore[call-overload, arg-type]
        for name in ("counted", "dirtied", "completed", "limited", "refused"):
            assert made[name] == [tracker.name for tracker in getattr(outcome, name)], name
        for name in ("failed", "skipped", "refusals", "duplicate"):
            assert made[name] == getattr(outcome, name), name
        assert made["events"] == [event.to_dict() for event in outcome.events] == list(map(dict, outcome.events))
        views = {view["name"]: view for view in made["trackers"]}
        assert {"sum", "done", "limits"} & set(views) == set(views) & {"sum", "done", "limits"}
        for tracker in outcome.dirtied:
            assert views[tracker.name] == tracker.to_dict(state=True) == dict(tracker)  # type: ignore[call-overload]
        assert set(made) == {
            *("trackers", "counted", "dirtied", "completed", "limited", "refused", "refusals", "skipped", "failed"),
            *("events", "duplicate"),
        }
        assert json.loads(json.dumps(made)) == made
    assert seen.outcomes[2].to_dict()["duplicate"] is True
    assert seen.outcomes[1].to_dict()["refusals"]["limits"] == {"limiter": 0, "until": START + 40}
    assert "failing" in seen.outcomes[0].to_dict()["failed"]


def test_a_tracker_shows_its_state_as_its_attributes_do(seen: Seen) -> None:
    manager = seen.manager
    for tracker in [*manager.get_trackers("g"), *manager.peek("g"), *manager.completed("g"), *seen.trackers]:
        made = tracker.to_dict(state=True)
        assert is_json(made) and dict(tracker) == made  # type: ignore[call-overload]
        assert (
            made["name"] == tracker.name and made["progress"] == tracker.progress and made["target"] == tracker.target
        )
        assert made["stage"] == tracker.current_stage and made["stages"] == len(tracker.targets)
        assert made["status"] == tracker.status and made["limited"] == tracker.limited
        assert made.get("freezes") == tracker.freezes and made.get("expire_at") == tracker.expire_at
        assert made.get("period") == (None if tracker.period is None else tracker.period._asdict())
        assert ("cycle" in made) == tracker.loop_forever and made.get("cycle", 0) == tracker.cycle
        assert ("completed_at" in made) == tracker.completed and len(made["limiters"]) == len(tracker.limiters)
        for view, limiter in zip(made["limiters"], tracker.limiters):
            own = limiter.to_dict(state=True)
            assert is_json(own) and dict(limiter) == own and own["limited"] == limiter.limited  # type: ignore[call-overload]
            if not isinstance(limiter, Once):
                assert {**view, "limited": limiter.limited} == own
        # The definition is what it was.
        assert dt.BaseTracker.from_dict(tracker.to_dict()).to_dict() == tracker.to_dict()
    with pytest.raises(dt.DictrackError, match="^tracker 'new' has no state: it is in no group$"):
        dt.CountTracker("new", target=1).to_dict(state=True)


def test_other_results_are_json(seen: Seen) -> None:
    manager = seen.manager
    made = seen.added.to_dict()
    assert is_json(made) and dict(seen.added) == made and len(made["events"]) == len(made["added"]) == 7  # type: ignore[call-overload]
    explained = [one.to_dict() for one in manager.explain("g", {"n": object(), "tier": None})]
    assert is_json(explained) and {one["verdict"] for one in explained} >= {"no_match", "limited", "failed"}
    (record,) = manager.periods("g", "streak")
    assert record.to_dict() == {
        "start": START - START % 86400,
        "end": START - START % 86400 + 86400,
        "progress": 3,
        "met": True,
    }
    outcomes = manager.track_many([("g", {"n": 1}), ("g", 5)])
    listed = outcomes.to_list()
    assert is_json(listed) and listed[0] == outcomes[0].to_dict()  # type: ignore[union-attr]
    assert listed[1] == {"code": "error", "message": "data is an int; expected a dict or another mapping"}
    assert seen.outcomes[0].dirtied.to_list() == [tracker.to_dict(state=True) for tracker in seen.outcomes[0].dirtied]
    with pytest.raises(dt.ConflictingNameError) as raised:
        manager.add_tracker("g", dt.CountTracker("sum", target=1))
    error = raised.value.to_dict()
    assert is_json(error) and error["code"] == "conflicting_name" and error["group"] == "g" and "advice" in error
    assert error["message"] == str(raised.value)


def test_numbers_that_json_does_not_have_do_not_reach_it() -> None:
    with dt.TrackingManager() as manager:
        tracker = dt.AccumulationTracker("exact", key="n", target=10**20)
        manager.add_tracker("g", tracker)
        manager.track("g", {"n": 10**19})
        manager.track("g", {"n": dt._values.decimal.Decimal("0.123456789012345678")})  # type: ignore[attr-defined]
        made = tracker.to_dict(state=True)
        assert made["progress"] == float(tracker.progress_exact) and is_json(made)
        (found,) = manager.explain("g", {"n": float("nan")})
        assert is_json(found.to_dict()) and is_json(ready([float("inf"), {"a": object()}]))


def test_fastapi_encodes_what_the_manager_returns(seen: Seen) -> None:
    manager = seen.manager
    results: list[Any] = [
        seen.outcomes[1], seen.outcomes[1].events, seen.added, manager.get_trackers("g"), manager.completed("g"),
        manager.explain("g", {"n": 1}), manager.periods("g", "streak"), {"it": seen.outcomes[1]}, list(seen.outcomes[1].dirtied),
    ]  # fmt: skip
    for result in results:
        encoded = jsonable_encoder(result)
        assert is_json(encoded) and json.dumps(encoded)
    assert jsonable_encoder(seen.outcomes[1]) == seen.outcomes[1].to_dict()
    assert jsonable_encoder(manager.get_trackers("g")) == [it.to_dict(state=True) for it in manager.get_trackers("g")]


def _get(app: fastapi.FastAPI, path: str) -> Any:
    """What an application answers."""
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http", "method": "GET", "path": path, "raw_path": path.encode(), "query_string": b"", "headers": [],
        "http_version": "1.1", "scheme": "http", "server": ("localhost", 80), "client": ("localhost", 1), "root_path": "",
    }  # fmt: skip
    asyncio.run(app(scope, receive, send))
    assert sent[0]["status"] == 200, sent
    return json.loads(b"".join(message.get("body", b"") for message in sent[1:]))


def test_a_fastapi_service_returns_what_the_manager_returns(seen: Seen) -> None:
    app = fastapi.FastAPI()
    outcome, manager = seen.outcomes[1], seen.manager
    outcomes = manager.track_many([("g", {"n": 1})])

    def plain() -> Any:
        return outcome

    def typed() -> dt.Outcome:
        return outcome

    def listed() -> list[dt.BaseTracker]:
        return manager.get_trackers("g")

    def many() -> dt.Outcomes:
        return outcomes

    def added() -> dt.Added:
        return seen.added

    for endpoint in (plain, typed, listed, many, added):
        # `from __future__ import annotations` hides types of a function from FastAPI if they are names of this function.
        endpoint.__annotations__ = {"return": {"plain": Any, "typed": dt.Outcome, "listed": list[dt.BaseTracker],
                                               "many": dt.Outcomes, "added": dt.Added}[endpoint.__name__]}  # fmt: skip
        app.get(f"/{endpoint.__name__}")(endpoint)
    assert _get(app, "/plain") == _get(app, "/typed") == outcome.to_dict()
    assert _get(app, "/listed") == [tracker.to_dict(state=True) for tracker in manager.get_trackers("g")]
    assert _get(app, "/many") == outcomes.to_list()
    assert _get(app, "/added")["added"] == seen.added.added
    schema = _get(app, "/openapi.json")
    assert (
        schema["paths"]["/typed"]["get"]["responses"]["200"]["content"]["application/json"]["schema"]["type"]
        == "object"
    )
    assert (
        schema["paths"]["/many"]["get"]["responses"]["200"]["content"]["application/json"]["schema"]["type"] == "array"
    )


class Answer(pydantic.BaseModel):
    outcome: dt.Outcome
    trackers: list[dt.BaseTracker]
    events: list[dt.TrackerEvent] = []
    touched: dt.Trackers | None = None


def test_a_pydantic_model_has_outcomes_and_trackers_as_fields(seen: Seen) -> None:
    outcome = seen.outcomes[1]
    answer = Answer(outcome=outcome, trackers=seen.trackers, events=outcome.events, touched=outcome.dirtied)
    assert answer.outcome is outcome
    expected = {
        "outcome": outcome.to_dict(), "trackers": [tracker.to_dict(state=True) for tracker in seen.trackers],
        "events": [event.to_dict() for event in outcome.events], "touched": outcome.dirtied.to_list(),
    }  # fmt: skip
    assert answer.model_dump(mode="json") == expected == json.loads(answer.model_dump_json())
    assert Answer.model_json_schema()["properties"]["outcome"]["type"] == "object"
    with pytest.raises(pydantic.ValidationError, match="instance of Outcome"):
        Answer(outcome=5, trackers=[])  # type: ignore[arg-type]


def test_django_rest_renders_what_the_manager_returns(seen: Seen) -> None:
    # It reads the settings when it is imported.
    from rest_framework.renderers import JSONRenderer

    manager, render = seen.manager, JSONRenderer().render

    def rendered(value: Any) -> Any:
        return json.loads(render(value))

    outcome = seen.outcomes[1]
    assert rendered(outcome) == outcome.to_dict() and rendered({"it": [outcome]}) == {"it": [outcome.to_dict()]}
    assert rendered(manager.get_trackers("g")) == [tracker.to_dict(state=True) for tracker in manager.get_trackers("g")]
    assert rendered(outcome.dirtied) == outcome.dirtied.to_list() and rendered(seen.outcomes[2].dirtied) == []
    assert rendered(seen.added) == seen.added.to_dict() and rendered(outcome.events) == [
        dict(it) for it in outcome.events
    ]  # type: ignore[call-overload]
    assert rendered(manager.explain("g", {})) == [one.to_dict() for one in manager.explain("g", {})]
    assert rendered(manager.periods("g", "streak")) == [one.to_dict() for one in manager.periods("g", "streak")]
    many = manager.track_many([("g", {"n": 1})])
    assert rendered(many) == many.to_list()


def test_nothing_of_this_is_imported_with_dictrack() -> None:
    others = ("pydantic", "fastapi", "django", "attrs", "attr", "numpy", "pandas", "pytest")
    code = f"import sys, dictrack, dictrack.aio; print([name for name in {others} if name in sys.modules])"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
    )


ROOT = pathlib.Path(__file__).resolve().parents[3]


def test_the_documentation_names_the_fields_of_an_outcome(seen: Seen) -> None:
    text = (ROOT / "docs/json.md").read_text("utf-8")
    for name in seen.outcomes[0].to_dict():
        assert f"`{name}`" in text, name
