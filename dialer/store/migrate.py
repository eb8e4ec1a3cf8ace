"""Brings the schema up to date: the plain SQL files of `sql/migrations`, applied by yoyo-migrations.

All that is missing is applied in one transaction, together with yoyo's note that it was: whatever dies on the way
leaves the schema as it was. The transaction holds an advisory lock, so of several dialers that start at once one does
the work while the others wait, and the lock of a killed one is gone with its connection. yoyo's own lock is a row that
would stay.
"""

from __future__ import annotations

import glob
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from random import Random
from typing import Any

import psycopg2
import psycopg2.errors
from psycopg2.extensions import make_dsn
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger
from yoyo import internalmigrations, read_migrations
from yoyo.backends.core.postgresql import PostgresqlBackend
from yoyo.connections import parse_uri

from dialer.store.database import reconnect_delay
from dialer.store.errors import DatabaseError
from dialer.store.link import first_line
from dialer.store.queries import migrations_folder

LOCK = 0x6469616C6572
"""The key of the advisory lock: "dialer" in ASCII, shared by all versions."""

LOCK_LIMIT = 60
"""Seconds to wait for another dialer's migration, or for a table that is in use, before it is tried again."""

CONNECT_LIMIT = 5
"""Seconds for one attempt to connect."""

log = Logger()


class MigrationFailed(DatabaseError):
    """The database schema cannot be brought up to date."""


class _Backend(PostgresqlBackend):  # type: ignore[misc]
    """yoyo's PostgreSQL backend on a connection of ours: no URI to parse, and no lock but the advisory one."""

    def __init__(self, connection: Any) -> None:
        self._given = connection
        super().__init__(parse_uri("postgresql:///"), "_yoyo_migration")

    def connect(self, _uri: object) -> Any:
        return self._given

    @contextmanager
    def lock(self, _timeout: float = 0) -> Iterator[None]:
        yield


async def migrate(reactor: Any, conninfo: str, *, folder: Path | None = None, random: Random | None = None) -> None:
    """Apply the migrations in `folder` (ours by default) that the database lacks.

    Waits, with growing pauses, while PostgreSQL is not reachable; may be cancelled then. Fails with MigrationFailed.
    """
    folder = folder or migrations_folder()
    random = random or Random()  # noqa: S311
    failures = 0
    while True:
        try:
            await deferToThreadPool(reactor, reactor.getThreadPool(), _apply, conninfo, folder)
        except _NotNow as error:
            if not failures:
                log.error("DATABASE CONNECTION ERROR: {reason}", reason=str(error))
            failures += 1
            await deferLater(reactor, reconnect_delay(failures, random))
        else:
            return


class _NotNow(Exception):
    """It may succeed later."""


def _apply(conninfo: str, folder: Path) -> None:
    with closing(_connect(conninfo)) as connection:
        backend = _Backend(connection)
        step = "the lock of the migrations"
        try:
            with backend.transaction():
                backend.execute(f"SET LOCAL lock_timeout = '{LOCK_LIMIT}s'")
                backend.execute("SET LOCAL statement_timeout = 0")
                backend.execute(f"SELECT pg_advisory_xact_lock({LOCK})")
                if internalmigrations.needs_upgrading(backend):
                    internalmigrations.upgrade(backend)
                backend._internal_schema_updated = True
                for migration in backend.to_apply(read_migrations(glob.escape(str(folder)))):
                    step = migration.id
                    log.info("bringing the schema up to date: {migration}", migration=migration.id)
                    migration.process_steps(backend, "apply")
                    backend.mark_one(migration, log=False)
        except psycopg2.errors.LockNotAvailable as error:
            raise _NotNow(f"{step} waits for another dialer: {first_line(error)}") from error
        except (psycopg2.OperationalError, psycopg2.InterfaceError) as error:
            if connection.closed:
                raise _NotNow(first_line(error)) from error
            raise MigrationFailed(f"migration {step} failed: {first_line(error)}") from error
        except Exception as error:
            raise MigrationFailed(f"migration {step} failed: {first_line(error)}") from error


def _connect(conninfo: str) -> Any:
    try:
        connection = psycopg2.connect(make_dsn(conninfo, connect_timeout=CONNECT_LIMIT))
    except psycopg2.OperationalError as error:
        raise _NotNow(first_line(error)) from error
    connection.autocommit = True
    return connection
