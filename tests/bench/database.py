"""What PostgreSQL did during a run, from its own counters."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from typing import Any

import psycopg2

_COUNTERS = """
SELECT xact_commit AS commits, xact_rollback AS rollbacks, tup_returned, tup_fetched, tup_inserted, tup_updated,
       blks_hit, blks_read, deadlocks,
       (SELECT wal_bytes FROM pg_stat_wal)::bigint AS wal_bytes,
       (SELECT wal_records FROM pg_stat_wal) AS wal_records,
       (SELECT wal_fpi FROM pg_stat_wal) AS wal_full_pages,
       (SELECT wal_write FROM pg_stat_wal) AS wal_writes,
       (SELECT wal_sync FROM pg_stat_wal) AS wal_syncs
FROM pg_stat_database WHERE datname = current_database()
"""


def counters(conninfo: str) -> dict[str, int]:
    """The counters of a database since it was made. Sessions report theirs a second late at the most when busy."""
    return {name: int(value) for name, value in ask(conninfo, _COUNTERS)[0].items()}


def difference(before: Mapping[str, int], after: Mapping[str, int]) -> dict[str, int]:
    """What was added between two readings."""
    return {name: after[name] - value for name, value in before.items()}


def ask(conninfo: str, query: str, params: Any = None) -> list[dict[str, Any]]:
    """Run one statement past the dialer; its rows, none when it has no result."""
    with closing(psycopg2.connect(conninfo)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(query, params)
            names = [column.name for column in cursor.description or ()]
            return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()] if names else []
