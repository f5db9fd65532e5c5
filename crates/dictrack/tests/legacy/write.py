"""Writes with the real dictrack 2.1.5 what `dictrack import --from-dictrack` has to read.

    write.py REDIS_PORT MONGODB_PORT write      trackers of every kind, in every state
    write.py REDIS_PORT MONGODB_PORT track      tracks further documents, and prints what became of the trackers
    write.py REDIS_PORT MONGODB_PORT refused    what cannot be taken over, among what can
    write.py REDIS_PORT MONGODB_PORT named      under other keys and names than the usual ones
    write.py REDIS_PORT MONGODB_PORT many N     N groups like those of an application

All of it goes through 2.1.5's own TrackingManager, cache and store.
"""

import json
import sys
from datetime import timedelta

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
from dictrack.data_caches.memory import MemoryDataCache
from dictrack.data_caches.redis import RedisDataCache
from dictrack.data_stores.mongodb import MongoDBDataStore
from dictrack.limiters.base import BaseLimiter
from dictrack.limiters.count import CountLimiter
from dictrack.limiters.time import TimeLimiter
from dictrack.manager import TrackingManager
from dictrack.trackers import ResetPolicy
from dictrack.trackers.numerics.accumulation import AccumulationTracker
from dictrack.trackers.numerics.count import CountTracker
from dictrack.utils.utils import str_to_operator

# The window that every test run lies in.
PAST, LATER = 1600000000, 4000000000


class VipOnly(KeyExists):
    """A condition of an application's own."""


class WeekendLimiter(BaseLimiter):
    """A limiter of an application's own."""


class RevenueTracker(AccumulationTracker):
    """A tracker of an application's own."""


class Servers:
    def __init__(self, redis_port, mongodb_port, cache_names={}, store_names={}):
        self.store_names = dict(store_names, host="127.0.0.1", port=mongodb_port)
        self.store = self.new_store()
        self.cache = RedisDataCache(host="127.0.0.1", port=redis_port, **cache_names)
        self.manager = TrackingManager(self.cache, self.store)

    def new_store(self):
        return MongoDBDataStore(**self.store_names)

    def go_idle(self):
        """Has the cache write back every group, as it does when one was idle for six hours."""
        self.cache.stale_threshold = 0
        self.cache._get_client().delete(self.cache._get_check_flag_key())
        self.cache._check_stale()
        self.cache.stale_threshold = 60 * 60 * 6


def operator(name):
    return str_to_operator("<built-in function {}>".format(name))


def every_condition():
    keyed = {
        "exists": KeyExists("a"),
        "absent": KeyNotExists("nothing"),
        "eq": KeyValueEQ("a", 5),
        "eq_text": KeyValueEQ("text", "Größe"),
        "eq_true": KeyValueEQ("flag", True),
        "eq_none": KeyValueEQ("none", None),
        "eq_large": KeyValueEQ("large", 10**30),
        "ne": KeyValueNE("a", 6),
        "lt": KeyValueLT("a", 5.5),
        "le": KeyValueLE("a", 5),
        "gt": KeyValueGT("text", "A"),
        "ge": KeyValueGE("a", -(2**40)),
        "contained": KeyValueContained("text", "röß"),
        "contained_any_case": KeyValueContained("text", "GRÖ", case_sensitive=False),
        "not_contained": KeyValueNotContained("text", "x"),
        "in_list": KeyValueInList("a", [1, 5, "b", None, 2.5]),
        "in_tuple": KeyValueInList("a", (5, True)),
        "not_in_list": KeyValueNotInList("a", ["5"]),
        "has": KeyValueListHasItem("list", "x"),
        "has_number": KeyValueListHasItem("list", 7),
        "not_has": KeyValueListNotHasItem("list", "y"),
        "intersects": KeyValueListIntersectList("list", ["y", "x"]),
        "not_intersects": KeyValueListNotIntersectList("list", ("y",)),
        "deep_path": KeyValueEQ(r"deep.list.1.dotted\.key", 1),
        "spelt_dot": KeyExists("deep.list.1.dotted__dictor__key"),
    }
    for name in ["eq", "ne", "lt", "le", "gt", "ge"]:
        keyed["comparison_" + name] = KeyValueComparison("a", 5, operator(name))
    trackers = [CountTracker(name, [condition], 10) for name, condition in keyed.items()]
    several = [KeyValueEQ("a", 5), KeyExists("text"), KeyValueNE("a", 6), KeyNotExists("nothing")]
    trackers.append(CountTracker("several", several, 10))
    # One list in two conditions, which the pickle writes once.
    shared = [1, 5]
    trackers.append(CountTracker("shared", [KeyValueInList("a", shared), KeyValueInList("b", shared)], 10))
    return trackers


DOCUMENT = {
    "a": 5,
    "b": 1,
    "text": "Größe",
    "flag": True,
    "none": None,
    "large": 10**30,
    "list": ["x", 7],
    "deep": {"list": [0, {"dotted.key": 1}]},
    "amount": 2.5,
    "order": {"net": 0.1},
}


def always():
    return [KeyExists("a")]


def never():
    # Not KeyNotExists("a"): it equals KeyExists("a"), and then 2.1.5 takes the answer of one for that of the other.
    return [KeyExists("never")]


def write(servers):
    manager = servers.manager

    # Written back when it was idle: only in MongoDB, with what was counted.
    manager.add_trackers(
        "idle", [CountTracker("counted", always(), [2, 5, 9]), CountTracker("waiting", never(), [3, 4])]
    )
    for _ in range(3):
        manager.track("idle", DOCUMENT)
    servers.go_idle()

    # Misses spend in the memory of a process, down below nothing.
    memory = MemoryDataCache(stale_threshold=0)
    TrackingManager(memory, servers.new_store())
    spent = CountTracker("spent_on_misses", always(), 10, group_id="memory", limiters=[CountLimiter(2)])
    memory.cache("memory", spent)
    for _ in range(5):
        memory.track("memory", {"b": 1})
    memory._check_stale()

    # Added and never tracked: only in MongoDB.
    cold = [
        CountTracker("plain", always(), 10, init_progress=4),
        AccumulationTracker("sum", always(), (10, 20.5, 2**40), "amount", init_progress=-1.25),
    ]
    manager.add_trackers("cold", cold)
    manager.add_tracker("cold", CountTracker("expires", always(), 3), expire_at=LATER)
    manager.add_tracker("cold", CountTracker("expires_in_an_hour", always(), 3), expire=3600)
    manager.add_tracker("cold", CountTracker("expired", always(), 3), expire_at=PAST)

    # The others are tracked: their counts are in Redis, their first states in MongoDB.
    manager.add_trackers("conditions", every_condition())
    manager.track("conditions", DOCUMENT)

    sums = [
        AccumulationTracker("float", always(), 1000, "amount"),
        AccumulationTracker("path", always(), 1000, r"order.net"),
        CountTracker("started", always(), [10, 50], init_progress=7),
        CountTracker("negative", always(), 10, init_progress=-3),
        AccumulationTracker("large", always(), 10**18, "amount", init_progress=10**15),
    ]
    manager.add_trackers("sums", sums)
    for _ in range(3):
        manager.track("sums", DOCUMENT)
    manager.add_tracker("sums", CountTracker("later", always(), 3), expire_at=LATER)

    none, progress, all_ = ResetPolicy.NONE, ResetPolicy.PROGRESS, ResetPolicy.ALL
    stages = [
        CountTracker("first", always(), [10, 20, 30]),
        CountTracker("second", always(), [2, 20, 30]),
        CountTracker("last", always(), [1, 2, 30], reset_policy=none),
        CountTracker("anew", always(), [2, 20], reset_policy=progress),
        CountTracker("anew_all", always(), [2, 20], reset_policy=all_),
        CountTracker("completed", always(), [1, 2]),
        CountTracker("loops_once", always(), 3, loop_forever=True),
        CountTracker("loops_anew", always(), 3, loop_forever=True, reset_policy=progress),
        CountTracker("loops_list", always(), [2, 30], loop_forever=True),
        CountTracker("extended", always(), [2, 20]),
        CountTracker("changed_policy", always(), 20),
        # A document of 2.5 passes two targets; 2.1.5 notices one.
        AccumulationTracker("behind", always(), [1, 2, 100], "amount"),
    ]
    manager.add_trackers("stages", stages)
    for _ in range(4):
        manager.track("stages", DOCUMENT)
    extended = manager.get_trackers("stages", "extended")[0]
    extended.add_targets([40, 80])
    manager.update_tracker("stages", extended)
    changed = manager.get_trackers("stages", "changed_policy")[0]
    changed.reset_policy = all_
    changed.loop_forever = True
    manager.update_tracker("stages", changed)

    window = {"start_ts": PAST, "end_ts": LATER}
    length = timedelta(seconds=LATER - PAST, microseconds=500000)
    limits = [
        CountTracker("some_left", always(), 100, limiters=[CountLimiter(5)]),
        CountTracker("used_up", always(), 100, limiters=[CountLimiter(2)]),
        CountTracker("renewed", always(), 100, limiters=[CountLimiter(2)]),
        CountTracker("raised", always(), 100, limiters=[CountLimiter(2)]),
        CountTracker("closed", always(), 100, limiters=[CountLimiter(2)]),
        CountTracker("open", always(), 100, limiters=[TimeLimiter(**window)]),
        CountTracker("over", always(), 100, limiters=[TimeLimiter(start_ts=PAST, end_ts=PAST + 10)]),
        CountTracker("not_yet", always(), 100, limiters=[TimeLimiter(start_ts=LATER, end_ts=LATER + 10)]),
        CountTracker("swapped", always(), 100, limiters=[TimeLimiter(start_ts=LATER, end_ts=PAST)]),
        CountTracker("within", always(), 100, limiters=[TimeLimiter(start_ts=PAST, interval=length)]),
        CountTracker("within_over", always(), 100, limiters=[TimeLimiter(PAST, interval=timedelta(minutes=1))]),
        CountTracker("moved", always(), 100, limiters=[TimeLimiter(start_ts=PAST, end_ts=PAST + 10)]),
        CountTracker("moved_to", always(), 100, limiters=[TimeLimiter(start_ts=PAST, end_ts=PAST + 10)]),
        CountTracker("untouched", never(), 100, limiters=[CountLimiter(5), TimeLimiter(**window)]),
        AccumulationTracker(
            "several",
            always(),
            100,
            "amount",
            limiters=[
                TimeLimiter(start_ts=PAST, interval=length),
                CountLimiter(50),
                CountLimiter(40),
                TimeLimiter(**window),
            ],
        ),
    ]
    manager.add_trackers("limits", limits)
    for _ in range(3):
        manager.track("limits", DOCUMENT)
    manager.reset_tracker("limits", "renewed")
    manager.reset_tracker("limits", "raised", reset_count=7)
    manager.reset_tracker("limits", "closed", reset_count=0)
    manager.reset_tracker("limits", "moved", now_ts=PAST + 1000)
    manager.reset_tracker("limits", "moved_to", reset_seconds=LATER)

    # Ids that a careless scan would miss or mix up.
    for group in ["ümlaut", "a:b", "a", "*", "with space", "dictrack.data_cache:x", 'quote"\n\t', "x" * 300]:
        manager.add_tracker(group, CountTracker("n", always(), 10))
        manager.track(group, DOCUMENT)

    # Expiry is only in MongoDB, also of what is in Redis.
    manager.add_tracker("expiring", CountTracker("later", always(), 10), expire_at=LATER)
    manager.track("expiring", DOCUMENT)

    # One tracker could not be removed from MongoDB: 2.1.5 does not see it as long as the group is in Redis.
    manager.add_tracker("left_over", CountTracker("there", always(), 10))
    manager.track("left_over", DOCUMENT)
    servers.store.store("left_over", CountTracker("gone", always(), 10, group_id="left_over"))

    # A group with more trackers than a step of a scan.
    manager.add_trackers("large", [CountTracker("t%04d" % at, always(), 10) for at in range(700)])
    manager.track("large", DOCUMENT)

    # What depends on the clock: where the window was moved to, and when the hour is over.
    moved = list(manager.get_trackers("limits", "moved_to")[0].limiters)[0]
    hour = servers.store._data_collection.find_one({"name": "expires_in_an_hour"})["expire_ts"]
    print(json.dumps({"moved_to": moved.start, "in_an_hour": hour}))


def track(servers):
    """What 2.1.5 makes of documents that come after those of `write`."""
    manager = servers.manager
    calls = [("conditions", DOCUMENT), ("conditions", {"a": 6, "text": "x"}), ("idle", DOCUMENT)]
    calls += [("sums", {"a": 1, "amount": amount, "order": {"net": 0.25}}) for amount in [0.5, 10, -4]]
    calls += [("stages", dict(DOCUMENT, amount=0.25))] * 30
    calls += [("limits", DOCUMENT)] * 6
    calls += [("memory", DOCUMENT)] * 3
    for group, document in calls:
        _, dirtied, completed, limited = manager.track(group, document)
        names = [sorted(tracker.name for tracker in trackers) for trackers in (dirtied, completed, limited)]
        progress = {tracker.name: str(tracker.progress) for tracker in manager.get_trackers(group)}
        line = {"group": group, "document": document, "progress": progress}
        print(json.dumps(dict(line, dirtied=names[0], completed=names[1], limited=names[2])))


def refused(servers):
    manager = servers.manager
    trackers = [
        CountTracker("good", always(), 10),
        CountTracker("custom_condition", [VipOnly("a")], 10),
        CountTracker("custom_limiter", always(), 10, limiters=[WeekendLimiter()]),
        RevenueTracker("custom_tracker", always(), 10, "amount"),
        CountTracker("tuple", [KeyValueEQ("a", (1, 2))], 10),
        CountTracker("bytes", [KeyValueEQ("a", b"x")], 10),
        CountTracker("day", [KeyValueEQ("a", timedelta(days=1))], 10),
        CountTracker("nothing_in", [KeyValueInList("a", [])], 10),
        CountTracker("order_of_none", [KeyValueLT("a", None)], 10),
        CountTracker("empty_key", [KeyExists("a..b")], 10),
        CountTracker("number_key", [KeyExists(1)], 10),
        CountTracker("not_a_number", always(), float("nan")),
        CountTracker("endless", always(), float("inf")),
        CountTracker("far", always(), 10**21),
        CountTracker("text_target", always(), [1, "2"]),
        CountTracker("backwards", always(), 10, limiters=[TimeLimiter(interval=timedelta(seconds=-5))]),
        CountTracker("falling_loop", always(), [10, 5], loop_forever=True),
        CountTracker("", always(), 10),
    ]
    manager.add_trackers("mixed", trackers)
    manager.add_tracker("good", CountTracker("good", always(), 10))
    # A looping list of which two targets were passed, and written back so.
    manager.add_tracker("idle_loop", CountTracker("loop", always(), [1, 2, 30, 40], loop_forever=True))
    for _ in range(3):
        manager.track("idle_loop", DOCUMENT)
    servers.go_idle()
    # In Redis as well.
    manager.add_trackers("hot", [CountTracker("good", always(), 10), CountTracker("vip", [VipOnly("a")], 10)])
    manager.track("hot", DOCUMENT)


def many(servers, count):
    for at in range(count):
        group = "user_%07d" % at
        trackers = [
            CountTracker("logins", [KeyValueEQ("event", "login")], [10, 50, 100]),
            AccumulationTracker("spent", [KeyValueEQ("event", "buy"), KeyExists("amount")], [100, 1000], "amount"),
            CountTracker("quota", [KeyExists("event")], 10**6, limiters=[CountLimiter(100)]),
        ]
        servers.manager.add_trackers(group, trackers)
        if at % 2:
            servers.manager.track(group, {"event": "buy", "amount": 12.5})


def named(redis_port, mongodb_port):
    # A key that is a pattern of Redis, in one of its databases.
    cache = {"data_key": "sh[o]p*:?", "last_cached_key": "shop.last", "check_flag_key": "shop.check", "db": 3}
    servers = Servers(redis_port, mongodb_port, cache, {"database": "shop", "collection": "quests"})
    servers.manager.add_tracker("hot", CountTracker("n", always(), 10), expire_at=LATER)
    servers.manager.track("hot", DOCUMENT)
    servers.manager.add_tracker("cold", CountTracker("n", always(), 10))
    # What the pattern would match, were it taken for one.
    servers.cache._get_client().set("shop:x:y", 1)


def main():
    redis_port, mongodb_port, mode = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    if mode == "named":
        return named(redis_port, mongodb_port)
    servers = Servers(redis_port, mongodb_port)
    modes = {"write": write, "track": track, "refused": refused}
    if mode == "many":
        many(servers, int(sys.argv[4]))
    else:
        modes[mode](servers)


if __name__ == "__main__":
    main()
