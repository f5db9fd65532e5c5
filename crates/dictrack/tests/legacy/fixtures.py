# -*- coding: utf-8 -*-
"""Wrote python2.7.pickle and python3.11.pickle, with dictrack 2.1.5 on either Python: fixtures.py FILE."""

import sys
from datetime import timedelta

from dictrack.conditions.keys import KeyExists, KeyValueContained, KeyValueEQ, KeyValueInList, KeyValueLT
from dictrack.limiters.count import CountLimiter
from dictrack.limiters.time import TimeLimiter
from dictrack.trackers.numerics.accumulation import AccumulationTracker

span = timedelta(minutes=1, microseconds=5)
tracker = AccumulationTracker(
    "tracker",
    [
        KeyValueEQ("one", 1),
        KeyValueLT("far", 2**40),
        KeyValueEQ(u"ключ", 10**30),
        KeyValueInList("list", [1, "b", u"ц", None, True, 2.5, -3, -70000, 300]),
        KeyValueContained("long", "q" * 300, case_sensitive=False),
        KeyExists("amount"),
    ],
    [10, 20.5, 2**40, 2**41, 2**42, 2**43, 2**44, 2**45, 2**46],
    "amount",
    group_id="group",
    limiters=[
        CountLimiter(5),
        TimeLimiter(start_ts=1600000000, interval=span),
        TimeLimiter(start_ts=1600000001, interval=span),
        TimeLimiter(start_ts=1, end_ts=4000000000),
    ],
)
data = {"one": 1, "far": 1, u"ключ": 10**30, "list": 300, "long": "q" * 300, "amount": 3.5}
tracker.track(data, now_ts=1600000010)
tracker.track(dict(data, amount=8), now_ts=1600000010)
with open(sys.argv[1], "wb") as out:
    out.write(tracker.serialize(tracker))
