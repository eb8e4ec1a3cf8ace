"""The database: a pool of connections that heals by itself, and what a statement's failure means.

Statements wait in line for a connection, run on the server one transaction each, and are never left half-way by a
caller that goes away. A caller is answered in time, whatever the database does: its statement may go on without it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from math import inf
from random import Random
from typing import Any, NoReturn, TypeVar

import psycopg2.errors
from attrs import frozen
from twisted.application.service import Service
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import deferLater
from twisted.logger import Logger

from dialer.pacing import backoff
from dialer.store.deferred import shield
from dialer.store.errors import FAILURES, CommitUnknown, DatabaseDown, DatabaseError, Unable, Unanswered, kind_of
from dialer.store.link import Link, guarded_dsn
from dialer.store.notices import Notices
from dialer.store.transaction import Run, Work, in_transaction
from dialer.trouble import Trouble, TroubleWatch

__all__ = ["FAILURES", "CommitUnknown", "Database", "DatabaseDown", "DatabaseError", "Run", "Unable", "Unanswered"]

T = TypeVar("T")

LONGEST_DELAY = 5.0
"""Seconds between two attempts to connect, at most."""

LONGEST_LINE = 1000
"""Statements that may wait for a connection; more are refused at once, since none of them would be served in time."""

PAUSE = 0.2
"""Seconds between two tries of what must not be given up."""

STOP_LIMIT = 3.0
"""Seconds that running statements get when the service stops: a dialer exits within 10."""

TRANSACTION_LIMIT = 4
"""Times the timeout of a statement that a whole transaction may take: it holds a connection, and locks."""

TRIES = 5
"""How often a statement is tried that PostgreSQL rolled back for the sake of another one."""

STOPPING = "the dialer does not use its database now"

_ROLLED_BACK = (psycopg2.errors.DeadlockDetected, psycopg2.errors.SerializationFailure)


@frozen
class Pool:
    """Connections: how many there may be, how many are open and idle, and how many statements wait for one."""

    size: int
    open: int
    idle: int
    waiting: int


def reconnect_delay(failures: int, random: Random) -> float:
    """Seconds before the next attempt to connect after so many that failed: none at first, growing, with jitter."""
    return backoff(failures, first=0.1, longest=LONGEST_DELAY, random=random.random) if failures else 0.0


class Database(Service):
    """PostgreSQL for the whole process.

    `timeout` (seconds) bounds all that a caller waits for, and each statement and each attempt to connect by itself.
    `size` is the most connections that are opened; they are opened when needed. `on_change` is called after `up` has
    changed, `on_failure` with the kind (FAILURES) of each statement or transaction that was not served.
    """

    log = Logger()

    def __init__(
        self,
        reactor: Any,
        conninfo: str,
        *,
        timeout: float,
        application_name: str,
        random: Random,
        size: int = 8,
        on_failure: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._reactor = reactor
        self._dsn = guarded_dsn(conninfo, timeout=timeout, application_name=application_name)
        self._timeout = timeout
        self._random = random
        self._size = size
        self._on_failure = on_failure
        self._links: set[Link] = set()
        self._idle: list[Link] = []
        self._unproven: set[Link] = set()
        self._line: deque[Deferred[Link]] = deque()
        self._under_way: set[Deferred[Any]] = set()
        self._all_done: Deferred[None] | None = None
        self._attempt: Link | None = None
        self._connecting: Deferred[None] | None = None
        self._retry: Any = None
        self._failures = 0
        self._up_waiters: list[Deferred[None]] = []
        self._pauses: set[Deferred[None]] = set()
        self._notices = Notices(reactor)
        self._watch = TroubleWatch(reactor)
        self.up = False
        """Whether a connection is open."""
        self._failed_at = -inf
        self.reason = "not connected yet"
        """Why it is not up; empty when it is."""
        self.on_change: Callable[[], None] = lambda: None

    @property
    def pool(self) -> Pool:
        """The connections as they are now."""
        return Pool(self._size, len(self._links), len(self._idle), len(self._line))

    # What callers ask.

    async def run(self, query: str, params: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        """One statement as one transaction; its rows, none when it has no result.

        Fails with DatabaseDown, CommitUnknown, or PostgreSQL's own error (psycopg2), within `timeout`. A caller that is
        cancelled, or out of time (Unanswered), while the statement runs does not stop it; one that waits for a
        connection leaves the line.
        """

        async def once(link: Link) -> list[dict[str, Any]]:
            return await link.execute(query, params)

        return await self._with_link(once)

    async def transaction(self, work: Work[T]) -> T:
        """Several statements as one transaction: `work(run)` with a `run` like the above, committed when it returns.

        Rolled back when `work` raises. It is called again when PostgreSQL rolled it back for a deadlock, so it may
        have no other effects. Fails as `run`: CommitUnknown only when the COMMIT itself was sent, or may yet be.
        """

        async def once(link: Link) -> T:
            return await in_transaction(self._reactor, link, work, limit=TRANSACTION_LIMIT * self._timeout)

        return await self._with_link(once)

    def in_time(self, answer: Deferred[T], statements: int = 1) -> Deferred[T]:
        """The same answer, failing with Unanswered when it takes longer than so many statements may: for who shares
        statements with others, and may have waited for theirs before."""
        seconds = statements * self._timeout

        def too_late(_result: object, timeout: float) -> NoReturn:
            raise Unanswered(f"no answer in {timeout:g} s")

        return answer.addTimeout(seconds, self._reactor, onTimeoutCancel=too_late)

    def when_up(self) -> Deferred[None]:
        """Fires when a connection is open; at once when one is."""
        if self.up:
            return succeed(None)
        waiter: Deferred[None] = Deferred(self._up_waiters.remove)
        self._up_waiters.append(waiter)
        return waiter

    def steady(self) -> float:
        """Seconds since it last failed to do what it was asked; infinite when it never did."""
        return float(self._reactor.seconds() - self._failed_at)

    @property
    def trouble(self) -> Trouble | None:
        """For how long it has not done what it was asked, and the last error; None while it does."""
        return self._watch.trouble

    def failed(self, reason: str) -> None:
        """Somebody else found that it does not work, as before the pool is started."""
        self._watch.failed(reason)

    async def pause(self) -> None:
        """Returns after a while, for who tries something again; cancelled when the service stops."""
        pause: Deferred[None] = deferLater(self._reactor, PAUSE)
        self._pauses.add(pause)
        try:
            await pause
        finally:
            self._pauses.discard(pause)

    async def ready(self) -> None:
        """Returns when a connection is open."""
        await self.when_up()

    # The service.

    def startService(self) -> None:
        super().startService()
        self._grow()

    def stopService(self) -> Deferred[None]:
        """Fires when running statements have ended, or were given STOP_LIMIT, and all connections are closed."""
        super().stopService()
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
        for waiter in list(self._line):
            waiter.errback(DatabaseDown(STOPPING))
        for pause in list(self._pauses):
            pause.cancel()
        if self._attempt is not None:
            self._attempt.close()
        if self._connecting is not None:
            await self._connecting
        if self._under_way:
            self._all_done = Deferred()
            timer = self._reactor.callLater(STOP_LIMIT, self._all_done.callback, None)
            await self._all_done
            if timer.active():
                timer.cancel()
        for link in list(self._links):
            link.close()
        self._links.clear()
        self._idle.clear()
        self._unproven.clear()
        self._all_done = None
        if self.up:
            self.up, self.reason = False, STOPPING
            self._tell()

    # Who gets which connection.

    async def _with_link(self, use: Callable[[Link], Awaitable[T]]) -> T:
        under_way = False

        async def tried() -> T:
            nonlocal under_way
            for tries_left in reversed(range(TRIES)):
                link = await self._acquire()
                under_way = True
                try:
                    return await self._shielded(link, use)
                except _ROLLED_BACK:
                    if not tries_left:
                        raise
                under_way = False
                await deferLater(self._reactor, self._random.uniform(0.01, 0.1))
            raise AssertionError("not reached")

        def too_late(_result: object, timeout: float) -> NoReturn:
            if under_way:
                raise Unanswered(f"no answer in {timeout:g} s")
            raise DatabaseDown(self.reason or f"no free connection in {timeout:g} s")

        # One timer for all that the caller waits for. What runs on a link is bounded by the link.
        answer = Deferred.fromCoroutine(tried())
        try:
            done = await answer.addTimeout(self._timeout, self._reactor, onTimeoutCancel=too_late)
        except psycopg2.Error as error:
            self._on_failure(kind_of(error))
            raise
        except DatabaseError as error:
            self._on_failure(kind_of(error))
            # One that somebody's lock, or its own length, kept from being done says nothing about the database.
            if not (isinstance(error, Unable) and error.cancelled):
                self._failed_at = self._reactor.seconds()
                if self.running:
                    self._watch.failed(str(error))
            raise
        self._watch.works()
        return done

    def _shielded(self, link: Link, use: Callable[[Link], Awaitable[T]]) -> Deferred[T]:
        """What `use` returns; it runs to its end, and the link is released then, even if the caller is cancelled."""

        async def whole() -> T:
            try:
                return await use(link)
            except Unable as error:
                self._notices.unable(error)
                raise
            finally:
                self._release(link)

        work = Deferred.fromCoroutine(whole())
        self._under_way.add(work)

        def over(_result: object) -> None:
            self._under_way.discard(work)
            if self._all_done is not None and not self._under_way and not self._all_done.called:
                self._all_done.callback(None)

        outer = shield(work)
        # After the caller has its answer: a stop that waited for it may go on then.
        work.addBoth(over)
        return outer

    def _acquire(self) -> Deferred[Link]:
        """A link of one's own; who is cancelled leaves the line."""
        if not self.running:
            return fail(DatabaseDown(STOPPING))
        while self._idle:
            link = self._idle.pop()
            if link.fresh():
                return succeed(link)
        if len(self._line) >= LONGEST_LINE:
            return fail(DatabaseDown(f"{LONGEST_LINE} statements wait for a connection already"))

        # However it ends, it no longer stands in the line; `_release` takes it out before it serves it.
        waiter: Deferred[Link] = Deferred()
        self._line.append(waiter)
        self._grow()

        def leave(result: Any) -> Any:
            if waiter in self._line:
                self._line.remove(waiter)
            return result

        return waiter.addErrback(leave)

    def _release(self, link: Link) -> None:
        if not link.alive:
            self._gone(link, "the connection was dropped")
            return
        if link.proven and link in self._unproven:
            self._unproven.discard(link)
            self._failures = 0
        if not self.running:
            return
        if self._line:
            if link.fresh():
                self._line.popleft().callback(link)
        else:
            self._idle.append(link)

    # How many connections there are.

    def _grow(self) -> None:
        """Open a connection when one is wanted and it is time to try."""
        wanted = bool(self._line) or not self._links
        if not (self.running and wanted and len(self._links) < self._size):
            return
        if self._connecting is not None or self._retry is not None:
            return
        delay = reconnect_delay(self._failures, self._random)
        if delay:
            self._retry = self._reactor.callLater(delay, self._start_connecting)
        else:
            self._start_connecting()

    def _start_connecting(self) -> None:
        self._retry = None
        attempt = self._attempt = Link(self._reactor, self._dsn, timeout=self._timeout, on_lost=self._gone)

        def over(_result: object) -> None:
            self._attempt = self._connecting = None
            self._grow()

        connecting = Deferred.fromCoroutine(self._connect(attempt))
        connecting.addErrback(lambda failure: self.log.failure("while connecting", failure))
        self._connecting = connecting
        connecting.addCallback(over)

    async def _connect(self, link: Link) -> None:
        try:
            await link.open()
        except DatabaseDown as error:
            self._failures += 1
            if not self._links and self.running:
                self._note_down(str(error))
            return
        if not self.running:
            link.close()
            return
        self._links.add(link)
        self._unproven.add(link)
        if not self.up:
            self.up, self.reason = True, ""
            self.log.info("the database is connected")
            self._tell()
        self._release(link)

    def _gone(self, link: Link, reason: str) -> None:
        if link not in self._links:
            return
        self._links.discard(link)
        if link in self._idle:
            self._idle.remove(link)
        if link in self._unproven:
            # A server that accepts connections only to drop them: not a reason to try at once again.
            self._unproven.discard(link)
            self._failures += 1
        if link.silent:
            # It would not answer on the others either.
            for other in self._idle:
                other.close()
                self._links.discard(other)
                self._unproven.discard(other)
            self._idle.clear()
        if self.running:
            if not self._links:
                self._note_down(reason)
            elif link.silent:
                self.log.error("A connection to the database was given up: {reason}", reason=reason)
            self._grow()

    def _note_down(self, reason: str) -> None:
        changed, self.up = self.up, False
        self._watch.failed(reason)
        if changed or reason != self.reason:
            self.log.error("DATABASE CONNECTION ERROR: {reason}", reason=reason)
        self.reason = reason
        if changed:
            self._tell()

    def _tell(self) -> None:
        try:
            self.on_change()
        except Exception:
            self.log.failure("a listener to the database's state failed")
        if self.up:
            waiters, self._up_waiters = self._up_waiters, []
            for waiter in waiters:
                waiter.callback(None)
