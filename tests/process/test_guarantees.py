"""docs/guarantees.md names tests that are there, and no statement that changes anything is left out."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from hamcrest import assert_that, empty, equal_to, is_

TESTS = Path(__file__).parents[1]
NAMED = re.compile(r"`(test_\w+\.py)(?:\[(\w+)\]|::(test_\w+))`")
PAGE = (TESTS.parent / "docs" / "guarantees.md").read_text(encoding="utf-8")

QUERIES = TESTS.parent / "sql" / "queries"
CHANGES = re.compile(r"^\s*(INSERT INTO|UPDATE|DELETE FROM)\b|\bpg_terminate_backend\b", re.MULTILINE)
ENTRY = re.compile(r'^    "([a-z ]+)":', re.MULTILINE)
STOP = re.compile(r'\b(unsent|committed)\("(\w+)"\)')

COMMITTED_WITH = {"campaign_purge_active": "campaign_purge", "tally_sweep": "tally_fold"}
"""Statements of a transaction, the commit of which is looked at by another one of it."""


def points() -> Iterator[tuple[str, str, str]]:
    """The points in the tables of tests: each with where it stops and at which statement."""
    for file in Path(__file__).parent.glob("test_*.py"):
        _, *entries = ENTRY.split(file.read_text(encoding="utf-8"))
        for name, body in zip(entries[::2], entries[1::2], strict=True):
            # Up to the end of the table, if it is its last.
            for where, statement in STOP.findall(body.partition("\n}\n")[0]):
                yield f"{file.name}[{name.replace(' ', '_')}]", where, statement


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


def test_at_every_statement_that_changes_anything_somebody_dies_before_it_is_sent_and_when_it_is_committed() -> None:
    changing = {file.stem for file in QUERIES.glob("*.sql") if CHANGES.search(file.read_text(encoding="utf-8"))}
    wanted = {("unsent", name) for name in changing} | {
        ("committed", COMMITTED_WITH.get(name, name)) for name in changing
    }
    told = {(where, statement) for point, where, statement in points() if f"`{point}`" in PAGE}
    assert_that(sorted(wanted - told), equal_to([]))


def test_every_point_of_a_table_of_tests_is_on_the_page() -> None:
    assert_that([point for point, _, _ in points() if f"`{point}`" not in PAGE], is_(empty()))
