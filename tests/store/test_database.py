"""The pool of connections against a real PostgreSQL."""

import pytest_twisted
from hamcrest import assert_that, equal_to


@pytest_twisted.ensureDeferred
async def test_rows_come_back_as_dicts(database):
    rows = await database.run("SELECT 1 AS one, %(word)s AS word", {"word": "a%b"})
    assert_that(rows, equal_to([{"one": 1, "word": "a%b"}]))


@pytest_twisted.ensureDeferred
async def test_a_statement_without_a_result_has_no_rows(database):
    assert_that(await database.run("CREATE TABLE t (i int)"), equal_to([]))
