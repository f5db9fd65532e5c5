"""Names in a store are only looked up among what the program registered."""

from __future__ import annotations

import json
import pathlib
from typing import Any

from conftest import Run

ADD = """
    import sys
    import dictrack as dt

    class Known(dt.BaseCondition):
        registered_name = "shop.known"
        def __init__(self, word):
            self.word = word
        def check(self, data, *args, **kwargs):
            return data.get("word") == self.word

    class Tenfold(dt.BaseTracker):
        registered_name = "shop.tenfold"
        def amount(self, data):
            return 10

    class Twice(dt.BaseLimiter):
        registered_name = "shop.twice"
        def __init__(self):
            super().__init__()
            self.seen = 0
        def post_track(self, data, post_tracker, *args, **kwargs):
            self.seen += 1
            return self.seen < 2

    with dt.TrackingManager.open(sys.argv[1]) as manager:
        manager.add_trackers("g", [
            dt.CountTracker("known", [Known("yes")], target=9), Tenfold("tenfold", target=1000),
            dt.CountTracker("twice", target=9, limiters=[Twice()]), dt.CountTracker("plain", target=9),
        ])
        manager.track("g", {"word": "yes"})
"""
USE = """
    with dt.TrackingManager.open(sys.argv[1]) as manager:
        outcome = manager.track("g", {"word": "yes"})
        progress = {tracker.name: tracker.progress for tracker in manager.get_trackers("g")}
        print(json.dumps([progress, outcome.failed, [tracker.name for tracker in outcome.limited]]))
"""


def test_another_process_that_defines_the_classes_goes_on(tmp_path: pathlib.Path, run: Run) -> None:
    store = tmp_path / "shop.db"
    run(ADD, store)
    classes = ADD.split("with dt.")[0]
    progress, failed, limited = json.loads(run("    import json\n" + classes + USE, store))
    assert progress == {"known": 2, "tenfold": 20, "twice": 2, "plain": 2}
    assert (failed, limited) == ({}, ["twice"])


def test_a_process_that_lacks_a_class_lists_its_trackers_as_failed_by_name(tmp_path: pathlib.Path, run: Run) -> None:
    store = tmp_path / "shop.db"
    run(ADD, store)
    progress, failed, _ = json.loads(run("    import json, sys\n    import dictrack as dt\n" + USE, store))
    assert progress == {"known": 1, "tenfold": 10, "twice": 1, "plain": 2}
    assert failed.keys() == {"known", "tenfold", "twice"}
    for name, kind in [("known", "condition"), ("tenfold", "measure"), ("twice", "limiter")]:
        assert f"shop.{name}" in failed[name]
        assert kind in failed[name]


def test_nothing_that_a_definition_names_is_imported_or_called(tmp_path: pathlib.Path, run: Run) -> None:
    marker = tmp_path / "marker"
    module = tmp_path / "planted.py"
    module.write_text(f"open({str(marker)!r}, 'w').close()\n")

    def count(name: str, **fields: Any) -> dict[str, Any]:
        return {"name": name, "kind": "count", "target": 9, **fields}

    definitions = [
        count("one", conditions=[{"custom": "os.system", "params": {"command": f"touch {marker}"}}]),
        {"name": "two", "kind": "custom", "measure": "planted.Measure", "target": 9},
        count("three", limiters=[{"custom": "builtins.exec", "params": {"object": "1/0"}}]),
        count("four", conditions=[{"custom": "dictrack.manager.TrackingManager"}]),
        count("plain"),
    ]  # fmt: skip
    source = """
        import json, sys
        import dictrack as dt

        trackers = [dt.BaseTracker.from_dict(definition) for definition in json.loads(sys.argv[2])]
        manager = dt.TrackingManager.open(sys.argv[1])
        manager.ensure_trackers("g", trackers)
        outcome = manager.track("g", {})
        print(sorted(outcome.failed), [tracker.name for tracker in outcome.dirtied], "planted" in sys.modules)
    """
    for _ in range(2):
        printed = run(source, tmp_path / "store.db", json.dumps(definitions))
        assert printed == "['four', 'one', 'three', 'two'] ['plain'] False\n"
    assert not marker.exists()
