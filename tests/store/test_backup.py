"""A backup can be restored, and nobody is called again from an old one when the manual is followed."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import psycopg2
import pytest
from hamcrest import assert_that, contains_inanyorder, empty, equal_to, has_length, is_, not_
from psycopg2.extensions import make_dsn

from dialer.postgres_programs import binaries
from tests.conftest import TEMPLATE

MANUAL = Path(__file__).parents[2] / "docs" / "operations.md"
CONTACTS = """
INSERT INTO contacts (id, customer_number, campaign_type, gateway_id, campaign_id, status, start_time, dial_time)
VALUES ('waiting', '+1', 'IVR', 'gw', 'k', 'pending', NULL, NULL),
       ('tomorrow', '+2', 'IVR', 'gw', 'k', 'pending', now() + interval '1 day', NULL),
       ('called', '+3', 'IVR', 'gw', 'k', 'pending', NULL, NULL),
       ('talking', '+4', 'IVR', 'gw', 'k', 'dialed', NULL, now()),
       ('reserving', '+5', 'AGENT', 'gw', 'k', 'agent_pending', NULL, NULL),
       ('done', '+6', 'IVR', 'gw', 'k', 'ended', NULL, now())
"""
CALLED = """
INSERT INTO called
VALUES ('called', 'USER_BUSY'), ('talking', 'NO_ANSWER'), ('done', 'NO_ANSWER'), ('of nobody', 'NO_ANSWER')
"""
COUNTED = "SELECT status, sum(contacts)::integer FROM tally_now GROUP BY 1 HAVING sum(contacts) <> 0"
THERE = "SELECT status, count(*)::integer FROM contacts GROUP BY 1"


def query(conninfo: str, *statements: str) -> list[tuple[object, ...]]:
    """Run statements in one session; the rows of the last one, if it has any."""
    with closing(psycopg2.connect(conninfo)) as connection, connection, connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
        return cursor.fetchall() if cursor.description else []


def program(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def restored(postgres: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The conninfo of a database that came back from a backup."""
    dump = str(tmp_path_factory.mktemp("backup") / "dialer.dump")
    source, target = f"backed_up_{uuid4().hex}", f"restored_{uuid4().hex}"
    with closing(psycopg2.connect(postgres)) as connection:
        connection.autocommit = True
        run = connection.cursor().execute
        run(f"CREATE DATABASE {source} TEMPLATE {TEMPLATE}")
        run(f"CREATE DATABASE {target} TEMPLATE template0")
        try:
            query(make_dsn(postgres, dbname=source), CONTACTS)
            into = make_dsn(postgres, dbname=target)
            program(
                str(binaries() / "pg_dump"), "--format", "custom", "--file", dump, make_dsn(postgres, dbname=source)
            )
            program(str(binaries() / "pg_restore"), "--no-owner", "--exit-on-error", "--dbname", into, dump)
            yield into
        finally:
            for name in (source, target):
                run(f"DROP DATABASE {name} WITH (FORCE)")


def test_a_restored_backup_has_every_contact_in_its_state_and_counts_them_rightly(restored: str) -> None:
    assert_that(query(restored, THERE), contains_inanyorder(*query(restored, COUNTED)))
    assert_that(dict(query(restored, THERE)), is_({"pending": 3, "dialed": 1, "agent_pending": 1, "ended": 1}))


def test_what_the_manual_does_with_a_restored_backup_leaves_nobody_to_be_called(restored: str) -> None:
    assert_that(query(restored, "SELECT id FROM eligible"), not_(empty()))
    blocks = re.findall(r"```sql\n(.*?)```", MANUAL.read_text(encoding="utf-8"), re.DOTALL)
    assert_that(blocks, has_length(2))
    stop, end_the_called = blocks
    query(restored, stop)
    assert_that(query(restored, "SELECT id FROM eligible"), is_(empty()))
    created, _, ended = end_the_called.partition("-- \\copy called FROM 'called.csv' WITH CSV")
    assert_that(ended, not_(empty()))
    query(restored, created, CALLED, ended)
    found = dict(query(restored, "SELECT id, concat_ws(' ', status, on_return, call_result) FROM contacts"))
    assert_that(
        found,
        equal_to(
            {
                "waiting": "stopped",
                "tomorrow": "stopped",
                "called": "ended USER_BUSY",
                "talking": "ended NO_ANSWER",
                "reserving": "agent_pending stop",
                "done": "ended",
            }
        ),
    )
    assert_that(query(restored, THERE), contains_inanyorder(*query(restored, COUNTED)))
