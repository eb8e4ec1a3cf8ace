"""SECURITY.md names tests and settings that are there, and each row of what is defended names a test."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from hamcrest import assert_that, empty, equal_to, greater_than, has_length, is_

from dialer.environment import describe

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
NAMED = re.compile(r"`(tests/[\w/]+\.py)(?:::(test_\w+))?`")


def section(title: str) -> str:
    """The text below a heading."""
    return PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def rows(title: str) -> list[str]:
    """The rows of the table below a heading."""
    lines = [line for line in section(title).splitlines() if line.startswith("| ")]
    return lines[1:]


def is_there(file: str, name: str | None) -> bool:
    """Whether there is such a file of tests, with such a test."""
    path = ROOT / file
    if not path.exists():
        return False
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    return name in found if name else any(each.startswith("test_") for each in found)


def test_each_defence_names_a_test() -> None:
    defences = rows("What is defended")
    assert_that(defences, has_length(greater_than(15)))
    assert_that([row for row in defences if not NAMED.search(row)], is_(empty()))


def test_each_test_that_is_named_is_there() -> None:
    named = NAMED.findall(PAGE)
    assert_that(PAGE.count("`tests/"), equal_to(len(named)))
    assert_that([each for each in named if not is_there(*each)], is_(empty()))


def test_the_settings_that_are_named_are_settings() -> None:
    first_cells = [row.split("|")[1] for row in rows("When somebody else can reach it")]
    named = {name for cell in first_cells for name in re.findall("`([A-Z_]+)`", cell)}
    assert_that(named, has_length(greater_than(5)))
    assert_that(named - {name for name, _, _ in describe()}, is_(empty()))
