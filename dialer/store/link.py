"""One connection to PostgreSQL: opened, asked one statement at a time, each bounded.

The server itself ends a statement after the timeout. One that does not even do that is given up with its connection:
libpq's cancel request is of no use here, as it blocks the whole process until the server answers.
"""

from __future__ import annotations

import select
from collections.abc import Callable, Mapping
from typing import Any

import psycopg2
import psycopg2.errors
from psycopg2.extensions import TRANSACTION_STATUS_IDLE, make_dsn, parse_dsn
from twisted.internet.defer import Deferred
from twisted.internet.defer import TimeoutError as DeferredTimeout
from twisted.internet.error import ConnectionDone
from twisted.python.failure import Failure
from txpostgres.txpostgres import Connection, Cursor

from dialer.store.deferred import shield
from dialer.store.errors import CommitUnknown, DatabaseDown, Unable
from dialer.store.queries import Prepared
from dialer.store.resolve import resolved

GRACE = 0.5
"""Seconds beyond the server's own limit for a statement after which a silent server is given up."""

KEEPALIVES: Mapping[str, str] = {"keepalives_idle": "10", "keepalives_interval": "5", "keepalives_count": "3"}
"""Seconds, seconds, times: a machine that is gone is noticed within half a minute."""

_LOST = (psycopg2.OperationalError, psycopg2.InterfaceError, ConnectionDone)

# Rolled back by a server that cannot serve now: cancelled by a timeout, a lock not had in time, resources exhausted (a
# full disk among them), a standby, an error of its operating system. The same may be asked again later.
_UNABLE = ("57014", "55P03", "53", "25006", "58")

# A prepared statement is not what we take it for: a column it tells of has another type now, somebody discarded all
# that this connection had, or a PREPARE was done though it seemed to fail. Nothing is left of what was asked.
_UNPREPARED = (
    psycopg2.errors.FeatureNotSupported,
    psycopg2.errors.InvalidSqlStatementName,
    psycopg2.errors.DuplicatePreparedStatement,
)


def guarded_dsn(conninfo: str, *, timeout: float, application_name: str) -> str:
    """`conninfo` with what bounds every wait on the server's side and in the kernel, UTC times, and plans by index.

    The server gives up a little before our caller does, so that what became of the statement is usually known.
    """
    given = parse_dsn(conninfo)
    milliseconds = round(timeout * 1000)
    settings = {
        "statement_timeout": milliseconds * 9 // 10,
        "lock_timeout": milliseconds * 3 // 4,
        "idle_in_transaction_session_timeout": milliseconds * 2,
        "timezone": "UTC",
        # The statements find their rows in large tables by indexes that were made for them. Left to what PostgreSQL
        # believes of a table that was filled or emptied since it last looked, some would read all of it, for seconds.
        "enable_seqscan": "off",
        "enable_bitmapscan": "off",
        # Compiling a statement of a few milliseconds takes longer than that.
        "jit": "off",
        # What is prepared is planned once, instead of five times and then perhaps each time.
        "plan_cache_mode": "force_generic_plan",
    }
    options = " ".join(f"-c {name}={value}" for name, value in settings.items())
    ours = {
        "options": f"{given.get('options', '')} {options}".strip(),
        "application_name": application_name,
        "client_encoding": "utf8",
    }
    return str(make_dsn(**({**KEEPALIVES, "tcp_user_timeout": milliseconds} | given | ours)))


def first_line(error: BaseException) -> str:
    """What an error says, on one line."""
    return " ".join(str(error).split()) or type(error).__name__


def _has_input(connection: Any) -> bool:
    waiting = select.poll()
    waiting.register(connection, select.POLLIN)
    return bool(waiting.poll(0))


class _Watched:
    """Is watched by the reactor for one thing at a time, to read or to write.

    The reactor may still have an event for a socket that libpq has closed by itself, when the next connection gets its
    number: that one is told to read while it waits to write. Were it watched for both then, and closed by libpq while
    it reads, the reactor would keep the number for ever, and could watch nobody who gets it after that.
    """

    reactor: Any

    def doRead(self) -> None:
        self.reactor.removeWriter(self)
        super().doRead()  # type: ignore[misc]

    def doWrite(self) -> None:
        self.reactor.removeReader(self)
        super().doWrite()  # type: ignore[misc]


class _Cursor(_Watched, Cursor):  # type: ignore[misc]
    """A txpostgres cursor that tells a statement cancelled by the server from one cancelled by its caller."""

    def _handleCancellation(self, failure: Failure) -> Failure:
        return failure


class _Socket(_Watched, Connection):  # type: ignore[misc]
    """A txpostgres connection whose loss while idle is reported instead of raised into the reactor."""

    cursorFactory = _Cursor

    def __init__(self, reactor: Any, lost: Callable[[BaseException], None]) -> None:
        super().__init__(reactor)
        self._lost = lost

    def doRead(self) -> None:
        try:
            super().doRead()
        except Exception as error:
            self._lost(error)

    def connectionLost(self, reason: Failure) -> None:
        super().connectionLost(reason)
        self._lost(reason.value or ConnectionDone())


class Link:
    """A connection in autocommit mode.

    `on_lost(link, reason)` is called once when an open link is closed by whatever cause but `close()`.
    """

    def __init__(self, reactor: Any, dsn: str, *, timeout: float, on_lost: Callable[[Link, str], None]) -> None:
        self._reactor = reactor
        self._dsn = dsn
        self._timeout = timeout
        self._on_lost = on_lost
        self._socket = _Socket(reactor, self._lost)
        self._open = False
        self._opening: Deferred[None] | None = None
        self._given_up: str | None = None
        self._watching: Any = None
        self._due = 0.0
        self._prepared: set[str] = set()
        self._disordered = False
        """Whether the server may know other prepared statements than these."""
        self.busy = False
        self.proven = False
        """Whether it has served a statement."""
        self.tag = ""
        """What the server called the last statement's effect, such as `COMMIT`."""

    @property
    def silent(self) -> bool:
        """Whether it was closed because the server did not answer."""
        return self._given_up is not None

    @property
    def alive(self) -> bool:
        """Whether statements can be sent, as far as we know."""
        return self._open

    async def open(self) -> None:
        """Connect, in at most `timeout` seconds. Fails with DatabaseDown."""
        steps = self._opening = Deferred.fromCoroutine(self._connect())
        steps.addTimeout(self._timeout, self._reactor)
        try:
            await steps
        except Exception as error:
            self.close()
            late = isinstance(error, DeferredTimeout)
            raise DatabaseDown(f"no answer in {self._timeout:g} s" if late else first_line(error)) from error
        finally:
            self._opening = None
        self._open = True

    async def _connect(self) -> None:
        dsn = await resolved(self._reactor, self._dsn)
        # A Deferred of txpostgres may not be cancelled itself.
        await shield(self._socket.connect(dsn))

    def fresh(self) -> bool:
        """Whether an idle link can be used: reads what has come in, such as the end of the connection."""
        connection = self._socket.pollable()
        try:
            # Twice: the server's goodbye, then the end.
            for _ in range(2):
                if self._open and _has_input(connection):
                    self._socket.doRead()
            if self._open and self._between:
                return True
            self._lost(psycopg2.InterfaceError("in an unexpected state"))
        except (*_LOST, ValueError) as error:
            self._lost(error)
        return False

    async def execute(self, query: str, params: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        """The rows of one statement, none when it has no result.

        Fails with DatabaseDown (nothing was changed), CommitUnknown (the link was lost after sending; it is closed) or
        the error of PostgreSQL. To be awaited without being cancelled.
        """
        if self._disordered and self._between:
            await self._before("DEALLOCATE ALL")
            self._prepared.clear()
            self._disordered = False
        if isinstance(query, Prepared) and not self._disordered:
            try:
                if query.name not in self._prepared:
                    await self._before(query.preparing)
                    self._prepared.add(query.name)
                return await self._send(query.asking, params)
            except _UNPREPARED:
                self._disordered = True
                if not self._between:
                    raise
        return await self._send(query, params)

    @property
    def _between(self) -> bool:
        """Whether no transaction is under way."""
        return bool(self._socket.pollable().info.transaction_status == TRANSACTION_STATUS_IDLE)

    async def _before(self, query: str) -> None:
        """What changes nothing that is stored, so that nothing is unknown when the link is lost in it."""
        try:
            await self._send(query)
        except CommitUnknown as error:
            raise DatabaseDown(str(error)) from error

    async def _send(self, query: str, params: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        try:
            cursor = self._socket.cursor()
        except _LOST as error:
            self._lost(error)
            raise DatabaseDown(first_line(error)) from error
        # libpq closes a dead socket by itself. The reactor must not watch its number then: it may soon be another's.
        self._reactor.removeReader(self._socket)
        done: Deferred[Any] = cursor.execute(query, params)
        if sent := not done.called:
            self._watch()
        elif not self._socket.pollable().closed:
            self._reactor.addReader(self._socket)
        self.busy = True
        try:
            await done
            self.tag = cursor.statusmessage or ""
            names = [column.name for column in cursor.description or ()]
            rows = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()] if names else []
            cursor.close()
        except Exception as error:
            raise self._meaning(error, sent) from error
        finally:
            self.busy = False
        self.proven = True
        return rows

    def close(self) -> None:
        """Close without a word to `on_lost`; a statement under way fails."""
        self._open = False
        if self._watching is not None:
            self._watching.cancel()
            self._watching = None
        if self._opening is not None:
            self._opening.cancel()
        if self._socket.pollable() is not None:
            self._socket.close()

    def _watch(self) -> None:
        """Give the server up when it does not answer; one timer serves many statements, as nearly all are answered."""
        self._due = self._reactor.seconds() + self._timeout + GRACE
        if self._watching is None:
            self._watching = self._reactor.callLater(self._timeout + GRACE, self._look)

    def _look(self) -> None:
        self._watching = None
        left = self._due - self._reactor.seconds()
        if self.busy and left > 0:
            self._watching = self._reactor.callLater(left, self._look)
        elif self.busy:
            self._give_up()

    def _give_up(self) -> None:
        self._given_up = f"no answer in {self._timeout + GRACE:g} s"
        self._lost(ConnectionDone(self._given_up))

    def _lost(self, error: BaseException) -> None:
        if self._open:
            self.close()
            self._on_lost(self, first_line(error) if self._given_up is None else self._given_up)

    def _meaning(self, error: Exception, sent: bool) -> Exception:
        if isinstance(error, psycopg2.Error):
            fatal = error.diag.severity_nonlocalized in ("FATAL", "PANIC")
            lost = fatal or (isinstance(error, _LOST) and (not self._open or self._socket.pollable().closed))
        else:
            lost = sent
        if lost:
            self._lost(error)
            text = first_line(error) if self._given_up is None else self._given_up
            return CommitUnknown(text) if sent else DatabaseDown(text)
        if isinstance(error, psycopg2.Error) and (error.pgcode or "").startswith(_UNABLE):
            return Unable(error.pgcode or "", first_line(error))
        return error
