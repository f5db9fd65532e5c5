"""dictrack counts matching events for each user: for milestones, quests, quotas, campaign goals and usage limits.

Declare once what counts (conditions), how far (targets) and how often (limiters), then submit documents. Each call returns
what that document changed. Counting is exact and atomic with storage, and a document with an id counts once.

>>> import dictrack as dt
>>> manager = dt.TrackingManager()
>>> logins = dt.CountTracker("logins", [dt.KeyValueEQ("event", "login")], target=[3, 10])
>>> manager.ensure_tracker("user_001", logins)
True
>>> outcome = manager.track("user_001", {"event": "login"})
>>> [f"{tracker.name}: {tracker.progress}/{tracker.target}" for tracker in outcome.dirtied]
['logins: 1/3']
>>> logins.progress
1
"""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from typing import Any

from dictrack import _dictrack, _notebook, _warnings
from dictrack._custom import condition, limiter, measure
from dictrack._dictrack import Outcome, Outcomes, TableEvents, TestClock, TrackerList, Trackers, __version__
from dictrack._frames import to_frame
from dictrack.conditions.base import AllOf, AnyOf, BaseCondition, Not
from dictrack.conditions.fields import KeyEQKey, KeyGEKey, KeyGTKey, KeyLEKey, KeyLTKey, KeyNEKey
from dictrack.conditions.items import ITEM, AllItems, AnyItem
from dictrack.conditions.keys import (
    KeyExists,
    KeyNotExists,
    KeyValueComparison,
    KeyValueContained,
    KeyValueEQ,
    KeyValueGE,
    KeyValueGT,
    KeyValueInList,
    KeyValueLE,
    KeyValueListHasItem,
    KeyValueListIntersectList,
    KeyValueListNotHasItem,
    KeyValueListNotIntersectList,
    KeyValueLT,
    KeyValueNE,
    KeyValueNotContained,
    KeyValueNotInList,
)
from dictrack.conditions.moments import KeyValueBefore, KeyValueSince
from dictrack.conditions.texts import KeyValueEndsWith, KeyValueMatches, KeyValueStartsWith
from dictrack.data_caches.memory import MemoryDataCache
from dictrack.data_caches.redis import RedisDataCache
from dictrack.data_stores.mongodb import MongoDBDataStore
from dictrack.data_stores.sqlite import SQLiteDataStore
from dictrack.events import (
    EVENT_ALL,
    EVENT_TRACKER_ADDED,
    EVENT_TRACKER_ALL_COMPLETED,
    EVENT_TRACKER_LIMITED,
    EVENT_TRACKER_RESET,
    EVENT_TRACKER_STAGE_COMPLETED,
    LimitedTrackerEvent,
    TrackerEvent,
)
from dictrack.limiters.base import BaseLimiter
from dictrack.limiters.count import CountLimiter
from dictrack.limiters.sum import SumLimiter
from dictrack.limiters.time import TimeLimiter
from dictrack.manager import (
    Added,
    Backfilled,
    Explanation,
    Metrics,
    Period,
    PeriodRecord,
    Place,
    TableOutcome,
    TrackingManager,
)
from dictrack.trackers.base import BaseTracker, ResetPolicy, _Data, _made
from dictrack.trackers.numerics.accumulation import AccumulationTracker
from dictrack.trackers.numerics.count import CountTracker
from dictrack.trackers.numerics.custom import CustomTracker
from dictrack.trackers.numerics.numeric import NumericTracker
from dictrack.trackers.numerics.streak import StreakTracker
from dictrack.utils.errors import *  # noqa: F403
from dictrack.utils.errors import __all__ as _errors

__all__ = [
    "AccumulationTracker", "Added", "AllItems", "AllOf", "AnyItem", "AnyOf", "Backfilled", "BaseCondition", "BaseLimiter",
    "BaseTracker", "CountLimiter", "CountTracker", "CustomTracker", "EVENT_ALL", "EVENT_TRACKER_ADDED",
    "EVENT_TRACKER_ALL_COMPLETED", "EVENT_TRACKER_LIMITED", "EVENT_TRACKER_RESET", "EVENT_TRACKER_STAGE_COMPLETED",
    "Explanation", "ITEM", "KeyEQKey", "KeyExists", "KeyGEKey", "KeyGTKey", "KeyLEKey", "KeyLTKey", "KeyNEKey",
    "KeyNotExists", "KeyValueBefore", "KeyValueComparison", "KeyValueContained", "KeyValueEQ", "KeyValueEndsWith",
    "KeyValueGE", "KeyValueGT", "KeyValueInList", "KeyValueLE", "KeyValueLT", "KeyValueListHasItem",
    "KeyValueListIntersectList", "KeyValueListNotHasItem", "KeyValueListNotIntersectList", "KeyValueMatches",
    "KeyValueNE", "KeyValueNotContained", "KeyValueNotInList", "KeyValueSince", "KeyValueStartsWith",
    "LimitedTrackerEvent", "MemoryDataCache", "Metrics", "MongoDBDataStore", "Not", "NumericTracker", "Outcome", "Outcomes",
    "Period", "PeriodRecord", "Place", "RedisDataCache", "ResetPolicy", "SQLiteDataStore", "StreakTracker", "SumLimiter",
    "TableEvents", "TableOutcome", "TestClock", "TimeLimiter", "TrackerEvent", "TrackerList", "Trackers", "TrackingManager",
    "__version__", "condition", "limiter", "load_trackers", "measure", "to_frame", *_errors,
]  # fmt: skip

# Silent unless the program configures logging.
logging.getLogger("dictrack").addHandler(logging.NullHandler())
Sequence.register(Trackers)
Sequence.register(Outcomes)
_notebook.install()
os.register_at_fork(after_in_child=_dictrack.after_fork_in_child)


def load_trackers(path: str | os.PathLike[str]) -> list[BaseTracker]:
    """Reads the trackers in a TOML, YAML or JSON file.

    Parameters
    ----------
    path : str or path-like
        The file. Its extension determines the format.

    Raises
    ------
    DefinitionError
        If a definition is invalid. Gives file, line and what was expected.

    Warns
    -----
    DictrackWarning
        If a definition is valid but often not what was meant. Gives file and line.
    """
    definitions, warnings = _dictrack.read_file(os.fspath(path))
    _warnings.warn(warnings)
    return [_made(_Data(definition)) for definition in definitions]


def __getattr__(name: str) -> Any:
    if name == "aio":
        import importlib

        return importlib.import_module("dictrack.aio")
    raise AttributeError(f"module 'dictrack' has no attribute {name!r}")
