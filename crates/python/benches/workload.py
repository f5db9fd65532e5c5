"""Workload W(N): N trackers, half of them counting, half summing `bet`; `game` equals one of three and `bet` is at least one
of 41 thresholds. Both versions of dictrack run it, so it only uses what both have."""

from dictrack.conditions.keys import KeyValueEQ, KeyValueGE
from dictrack.trackers.numerics.accumulation import AccumulationTracker
from dictrack.trackers.numerics.count import CountTracker

FAR = 100_000_000_000


def threshold(at):
    return 100 + 10 * ((at // 3) % 41)


def trackers(n):
    made = []
    for at in range(n):
        conditions = [KeyValueEQ(key="game", value="abc"[at % 3]), KeyValueGE(key="bet", value=threshold(at))]
        if at % 2 == 0:
            made.append(CountTracker(name=f"t{at}", target=FAR, conditions=conditions))
        else:
            made.append(AccumulationTracker(name=f"t{at}", target=FAR, key="bet", conditions=conditions))
    return made


def documents(count):
    state, made = 7, []
    for _ in range(count):
        state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
        draw = state >> 33
        made.append({"game": "abc"[draw % 3], "bet": 100 + draw // 3 % 401})
    return made
