"""The code in the documentation runs and prints what is shown."""

from __future__ import annotations

import ast
import asyncio
import doctest
import importlib
import inspect
import pathlib
import re
from typing import Any

import pytest

import dictrack as dt

ROOT = pathlib.Path(__file__).resolve().parents[3]
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def run(code: str, names: dict[str, Any]) -> None:
    """Runs code that may await, as in a notebook."""
    compiled = compile(code, "documentation", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    found = eval(compiled, names)
    if inspect.iscoroutine(found):
        asyncio.run(found)


@pytest.mark.parametrize("page, blocks", [("README.md", 1), ("docs/python.md", 6)])
def test_pages(page: str, blocks: int, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = BLOCK.findall((ROOT / page).read_text("utf-8"))
    assert len(found) == blocks
    names: dict[str, Any] = {"__name__": "documentation"}
    for block in found:
        run(block, names)
        manager = names.pop("manager", None)
        if hasattr(manager, "flush"):
            closed = manager.close()
            if inspect.isawaitable(closed):
                asyncio.run(_wait(closed))


@pytest.mark.parametrize("page", ["README.md", "docs/python.md"])
def test_a_first_program_that_starts_again_and_again_awards_nothing_twice(
    page: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    first = BLOCK.findall((ROOT / page).read_text("utf-8"))[0]
    for _ in range(103):
        names: dict[str, Any] = {"__name__": "documentation"}
        run(first, names)
        names["manager"].close()
    assert capsys.readouterr().out.count("user_001 reached") == 2
    with dt.TrackingManager.open("dictrack.db") as manager:
        assert [tracker.progress for tracker in manager.completed("user_001")] == [100]
        assert manager.get_trackers("user_001") == []


async def _wait(closed: Any) -> None:
    await closed


@pytest.mark.parametrize("name", ["dictrack", "dictrack.aio", "dictrack._custom", "dictrack.trackers.numerics.count"])
def test_docstrings(name: str) -> None:
    result = doctest.testmod(importlib.import_module(name))
    assert result.attempted > 0 and result.failed == 0
