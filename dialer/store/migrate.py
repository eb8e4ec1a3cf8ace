"""Brings the schema up to date: the plain SQL files of `sql/migrations`, applied by yoyo-migrations.

All that is missing is applied in one transaction, together with yoyo's note that it was: whatever dies on the way
leaves the schema as it was. The transaction holds an advisory lock, so of several dialers that start at once one does
the work while the others wait, and the lock of a killed one is gone with its connection. yoyo's own lock is a row that
would stay.
"""

from __future__ import annotations

import glob
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from random import Random
from typing import Any

import psycopg2
import psycopg2.errors
from psycopg2.extensions import make_dsn
from twisted.internet.task import deferLater
from twisted.logger import Logger
from yoyo import internalmigrations, read_migrations
from yoyo.backends.core.postgresql import PostgresqlBackend
from yoyo.connections import parse_uri

from dialer.store.database import reconnect_delay
from dialer.store.deferred import in_daemon_thread
from dialer.store.errors import DatabaseError
from dialer.store.link import KEEPALIVES, first_line
from dialer.store.queries import migrations_folder

LOCK = 0x6469616C6572
"""The key of the advisory lock: "dialer" in ASCII, shared by all versions."""

LOCK_LIMIT = 5
"""Seconds to wait for a table that is in use before all is tried again: others wait behind such a wait."""

CONNECT_LIMIT = 5
"""Seconds for one attempt to connect."""

CHECKS_CLIENTS = 140000
"""The version of PostgreSQL that can notice the end of a client while it works for it."""

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


async def migrate(
    reactor: Any,
    conninfo: str,
    *,
    folder: Path | None = None,
    random: Random | None = None,
    on_failure: Callable[[str], None] = lambda _: None,
) -> None:
    """Apply the migrations in `folder` (ours by default) that the database lacks.

    Waits, with growing pauses, while PostgreSQL is not reachable or another dialer migrates. May be cancelled: what
    was not committed then is rolled back. `on_failure` is told why it waits. Fails with MigrationFailed.
    """
    folder = folder or migrations_folder()
    random = random or Random()  # noqa: S311
    failures = 0
    told = ""
    while True:
        run = _Run(conninfo, folder)
        try:
            return await in_daemon_thread(reactor, run, cancel=run.interrupt)
        except _NotNow as error:
            if told != (told := str(error)):
                log.error(error.phrase, reason=told)
            failures += 1
            on_failure(told)
        await deferLater(reactor, reconnect_delay(failures, random))


class _NotNow(Exception):
    """The database is not reachable."""

    phrase = "DATABASE CONNECTION ERROR: {reason}"


class _InUse(_NotNow):
    """Another session has what the migrations need."""

    phrase = "The database schema cannot be brought up to date yet: {reason}"


class _Run:
    """One attempt, in a thread."""

    def __init__(self, conninfo: str, folder: Path) -> None:
        self._dsn = make_dsn(conninfo, connect_timeout=CONNECT_LIMIT, **KEEPALIVES)
        self._folder = folder
        self._connection: Any = None
        self._interrupted = False

    def interrupt(self) -> None:
        """From another thread: let the attempt end soon, by ending its connection under it."""
        self._interrupted = True
        if self._connection is not None and not self._connection.closed:
            with socket.socket(fileno=os.dup(self._connection.fileno())) as end:
                end.shutdown(socket.SHUT_RDWR)

    def __call__(self) -> None:
        try:
            connection = self._connection = psycopg2.connect(self._dsn)
        except psycopg2.OperationalError as error:
            raise _NotNow(first_line(error)) from error
        with closing(connection):
            connection.autocommit = True
            if not self._interrupted:
                self._apply(_Backend(connection))

    def _apply(self, backend: _Backend) -> None:
        at = "bookkeeping"
        try:
            with backend.transaction():
                backend.execute(f"SET LOCAL lock_timeout = '{LOCK_LIMIT}s'")
                backend.execute("SET LOCAL statement_timeout = 0")
                if backend.connection.server_version >= CHECKS_CLIENTS:
                    # So that a killed dialer's lock is gone before its statement would have ended.
                    backend.execute("SET LOCAL client_connection_check_interval = '1s'")
                if not backend.execute(f"SELECT pg_try_advisory_xact_lock({LOCK})").fetchone()[0]:
                    raise _InUse("another dialer does it")
                if internalmigrations.needs_upgrading(backend):
                    internalmigrations.upgrade(backend)
                backend._internal_schema_updated = True
                for migration in backend.to_apply(read_migrations(glob.escape(str(self._folder)))):
                    at = migration.id
                    migration.load()
                    if not migration.use_transactions:
                        raise MigrationFailed("it must be transactional: one that dies half-way must leave nothing")
                    log.info("bringing the schema up to date: {migration}", migration=at)
                    migration.process_steps(backend, "apply")
                    backend.mark_one(migration, log=False)
        except _NotNow:
            raise
        except Exception as error:
            if backend.connection.closed:
                raise _NotNow(first_line(_origin(error))) from error
            if isinstance(error, psycopg2.errors.LockNotAvailable):
                raise _InUse(f"migration {at}: {first_line(error)}") from error
            raise MigrationFailed(f"migration {at}: {first_line(error)}") from error


def _origin(error: BaseException) -> BaseException:
    """What ended the connection, behind yoyo's attempts to roll back on it."""
    while isinstance(error.__context__, psycopg2.Error):
        error = error.__context__
    return error
