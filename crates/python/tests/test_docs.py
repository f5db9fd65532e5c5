"""The code in the documentation runs and prints what is shown."""

from __future__ import annotations

import ast
import asyncio
import doctest
import importlib
import inspect
import pathlib
import re
import sys
import textwrap
from typing import Any

import pytest

import dictrack as dt

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "examples/python"))
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def run(code: str, names: dict[str, Any]) -> None:
    """Runs code that may await, as in a notebook."""
    compiled = compile(code, "documentation", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    found = eval(compiled, names)
    if inspect.iscoroutine(found):
        asyncio.run(found)


@pytest.mark.parametrize("page, blocks", [("README.md", 2), ("docs/python.md", 14)])
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


RECIPES = re.split("^## ", (ROOT / "docs/recipes.md").read_text("utf-8"), flags=re.MULTILINE)[1:]


def blocks_of(recipe: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", recipe, re.MULTILINE | re.DOTALL)


def makes_a_tracker(function: Any) -> bool:
    if not inspect.isfunction(function):
        return False
    shape = inspect.signature(function)
    result = shape.return_annotation
    return not shape.parameters and inspect.isclass(result) and issubclass(result, dt.BaseTracker)


@pytest.mark.parametrize("recipe", RECIPES, ids=[recipe.splitlines()[0] for recipe in RECIPES])
def test_a_recipe_shows_its_programs(recipe: str, tmp_path: pathlib.Path) -> None:
    programs = [ROOT / "docs" / path for path in re.findall(r"\]\(([^)]*)\)", recipe)]
    assert {program.suffix for program in programs} == {".py", ".rs"}
    for suffix, language in ((".py", "python"), (".rs", "rust")):
        sources = "\n".join(program.read_text("utf-8") for program in programs if program.suffix == suffix)
        for block in blocks_of(recipe, language):
            assert textwrap.indent(block, "    ") in sources
    # The definition is that of the first program, which is in Python.
    (shown,) = blocks_of(recipe, "toml")
    (tmp_path / "shown.toml").write_text(shown, "utf-8")
    program = importlib.import_module(programs[0].stem)
    trackers = [value for value in vars(program).values() if isinstance(value, dt.BaseTracker)]
    trackers += [make() for make in vars(program).values() if makes_a_tracker(make)]
    assert [tracker.to_dict() for tracker in dt.load_trackers(tmp_path / "shown.toml")] == [
        tracker.to_dict() for tracker in trackers
    ]


async def _wait(closed: Any) -> None:
    await closed


@pytest.mark.parametrize("name", ["dictrack", "dictrack.aio", "dictrack._custom", "dictrack.trackers.numerics.count"])
def test_docstrings(name: str) -> None:
    result = doctest.testmod(importlib.import_module(name))
    assert result.attempted > 0 and result.failed == 0
