"""Type checkers accept right programs and find mistakes, and Python raises for the same ones."""

from __future__ import annotations

import json
import pathlib
import re
import runpy
import shutil
import subprocess
import sys

import pytest

import dictrack as dt

TYPED = pathlib.Path(__file__).parent / "typed"
RIGHT, WRONG = TYPED / "right.py", TYPED / "wrong.py"
LINES = WRONG.read_text().splitlines()
MISTAKES = {at for at, line in enumerate(LINES, 1) if line.endswith("# error")}


def _mypy(path: pathlib.Path, cache: pathlib.Path) -> set[int]:
    """The lines in which mypy finds errors."""
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(cache), "--config-file", "", str(path)]
    run = subprocess.run(command, capture_output=True, text=True, cwd=cache)
    assert run.returncode in (0, 1), run.stdout + run.stderr
    found = re.findall(rf"^\S*{path.name}:(\d+): error: ", run.stdout, re.MULTILINE)
    assert len(found) == run.stdout.count(": error: "), run.stdout
    return set(map(int, found))


def _pyright(path: pathlib.Path, folder: pathlib.Path) -> set[int]:
    """The lines in which pyright finds errors."""
    shutil.copy(path, folder)
    config = folder / "pyrightconfig.json"
    options = {"typeCheckingMode": "strict", "reportUnusedExpression": False, "include": [path.name]}
    config.write_text(json.dumps(options))
    command = [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable, "-p", str(config)]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode in (0, 1), run.stdout + run.stderr
    found = json.loads(run.stdout)
    assert found["summary"]["filesAnalyzed"] == 1, run.stdout
    errors = [error for error in found["generalDiagnostics"] if error["severity"] == "error"]
    # Strict mode also reports what other libraries do not say.
    errors = [error for error in errors if not error.get("rule", "").startswith("reportUnknown")]
    return {error["range"]["start"]["line"] + 1 for error in errors}


@pytest.mark.parametrize("check", [_mypy, _pyright])
def test_right_uses_have_no_errors(check, tmp_path: pathlib.Path) -> None:  # type: ignore[no-untyped-def]
    assert check(RIGHT, tmp_path) == set()


@pytest.mark.parametrize("check", [_mypy, _pyright])
def test_each_mistake_is_found(check, tmp_path: pathlib.Path) -> None:  # type: ignore[no-untyped-def]
    assert len(MISTAKES) > 40
    assert check(WRONG, tmp_path) == MISTAKES


def test_right_uses_run() -> None:
    seen = runpy.run_path(str(RIGHT))
    # The first document, and each of the others of another kind, of the same manager.
    assert seen["logins"].progress == 9
    assert seen["remaining"] == 99 and seen["target"] is None


@pytest.mark.parametrize("line", [LINES[at - 1] for at in sorted(MISTAKES)])
def test_each_mistake_raises(line: str) -> None:
    with dt.TrackingManager() as manager:
        tracker = dt.CountTracker("a", target=1)
        manager.add_tracker("u", dt.CountTracker("b", target=1))
        with pytest.raises((TypeError, ValueError, AttributeError)) as raised:
            exec(line, {"dt": dt, "manager": manager, "tracker": tracker})
        said = str(raised.value)
        assert said and "NoneType' object" not in said and "panic" not in said.lower()
