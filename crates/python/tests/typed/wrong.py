"""Mistakes. Type checkers must find an error in each line with `# error`, and none in any other; Python raises for the same lines,
except for those with `# error, not at run time`."""

import dictrack as dt

manager = dt.TrackingManager()
tracker = dt.CountTracker("a", target=1)

dt.KeyValueEQ("event", "post", case_sensitive=False)  # error
dt.KeyExists("a", "b", c=1)  # error
dt.KeyExists("a", "b")  # error
dt.KeyExists(1)  # error
dt.KeyValueInList("a", "abc")  # error
dt.KeyValueContained("a", "b", case_sensitive=1)  # error
dt.AnyItem("a", "b")  # error
dt.AllOf({"key": "a", "eq": 1})  # error
manager.track("u", [1])  # error
manager.track("u", "text")  # error
manager.track("u", 1)  # error
manager.track("u", None)  # error
manager.track("u", {("a", 1)})  # error
manager.track("u")  # error
manager.track(1, {})  # error
manager.track("u", {}, event_id=1)  # error
manager.track("u", {}, nwo=1)  # error
manager.track("u", {}, now=[1])  # error
manager.track("u", {}, ensure=1)  # error
manager.explain("u", [1])  # error
dt.CountTracker("a", target="10")  # error
dt.CountTracker("a", target={"b": 10})  # error
dt.CountTracker("a", conditions="b")  # error
dt.CountTracker("a", [1])  # error
dt.CountTracker("a", targets=1)  # error
dt.CountTracker("a", key="b")  # error
dt.CountTracker("a", limiters=[1])  # error
dt.AccumulationTracker("a", key=1)  # error
dt.StreakTracker("a", target=3)  # error
dt.CountLimiter("100")  # error
dt.CountLimiter(100, "minute")  # error
dt.TrackingManager(clock=5)  # error
dt.TrackingManager(completed_kep=5)  # error
manager.add_tracker("u", "a")  # error
manager.add_tracker("u", tracker, expires=5)  # error
manager.ensure_trackers("u", [1])  # error
manager.get_trackers("u", 1)  # error
manager.reset_tracker("u", "a", count=5)  # error
is_ok, dirtied, completed = manager.track("u", {})  # error
manager.track("u", {}).dirtied[0].progres  # error
manager.track("u", {}).completd  # error
manager.track("u", {})[1].progress  # error
