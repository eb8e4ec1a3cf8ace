"""docs/guarantees.md names tests that are there."""

from __future__ import annotations

import re
from pathlib import Path

from hamcrest import assert_that, empty, is_

TESTS = Path(__file__).parents[1]
NAMED = re.compile(r"`(test_\w+\.py)(?:\[(\w+)\]|::(test_\w+))`")
PAGE = (TESTS.parent / "docs" / "guarantees.md").read_text(encoding="utf-8")


def is_there(file: str, point: str | None, name: str | None) -> bool:
    """Whether a file of this name has such a test, or such a point in one of its tables."""
    text = f"def {name}(" if name else f'"{(point or "").replace("_", " ")}":'
    return any(text in found.read_text(encoding="utf-8") for found in TESTS.rglob(file))


def test_every_test_that_the_page_names_is_there() -> None:
    # `[point]` stands for any of them.
    named = [each for each in NAMED.findall(PAGE) if each[1] != "point"]
    assert_that(len(named), is_(PAGE.count("`test_") - PAGE.count("[point]`")), "names that are understood")
    assert_that([each for each in named if not is_there(*each)], is_(empty()))


def test_every_row_names_a_test() -> None:
    rows = [line for line in PAGE.splitlines() if line.startswith("| ") and "| tests |" not in line]
    steps = [row for row in rows if row.count("|") > 3]
    assert_that([row for row in steps if not NAMED.search(row)], is_(empty()))
