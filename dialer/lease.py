"""The sign of life that lets other dialers know whose contacts may be taken over."""

from __future__ import annotations

from collections.abc import Callable
from uuid import uuid4

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall, deferLater
from twisted.logger import Logger

from dialer.errors import DialerError
from dialer.store.database import Database, DatabaseError
from dialer.store.queries import sql
from dialer.trouble import Trouble

RENEWALS = 3
"""Renewals in each lease time: two may fail before the lease runs out."""


class NameInUse(DialerError):
    """Another process with this DIALER_ID is at work on this database."""


class Lease(Service):
    """The lease of one process on its name (DIALER_ID), renewed while it lives. Times in seconds.

    `database` must be a pool of one connection used for nothing else: the name is guarded by an advisory lock of that
    session, so that a process that was killed frees its name at once, and one that lives cannot lose it to a twin.
    """

    log = Logger()
    name = "lease"

    def __init__(
        self,
        clock: IReactorTime,
        database: Database,
        *,
        owner: str,
        lease_time: float,
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        self._clock = clock
        self._database = database
        self._lease_time = lease_time
        self._on_change = on_change
        self._renewed: float | None = None
        self._since = 0.0
        self._lost_at: float | None = None
        self._said = True
        self._released = False
        self.owner = owner
        self.instance = str(uuid4())
        self.share = 0, 1
        """Which this is of how many dialers with a lease, by their names, when it was last renewed."""
        self._loop = LoopingCall(self._renew)
        self._loop.clock = clock

    def dialers(self) -> int:
        """How many dialers had a lease when it was last renewed, this one among them."""
        return self.share[1]

    @property
    def held(self) -> bool:
        """Whether this process may take contacts, by its own clock; the database judges by its own each time."""
        return self._renewed is not None and self._clock.seconds() - self._renewed < self._lease_time

    @property
    def trouble(self) -> Trouble | None:
        """For how long it has not been held, and why not; None while it is held, or was never had."""
        if self.held or self._released:
            return None
        now = self._clock.seconds()
        if self._renewed is not None:
            return Trouble(now - self._renewed - self._lease_time, "it could not be renewed in time")
        if self._lost_at is not None:
            return Trouble(now - self._lost_at, "another session has the name")
        return None

    def held_since(self, moment: float) -> bool:
        """Whether it is held and has been since then (seconds of the clock), without a gap in which another dialer may
        have taken over what was taken before: after a stop of the process it is renewed at once."""
        return self.held and self._since <= moment

    async def claim(self) -> None:
        """Take the name, waiting for the database and, for one lease time, for a twin that is just leaving.

        Fails with NameInUse.
        """
        asked_since: float | None = None
        while True:
            try:
                if await self._ask():
                    break
                broken = await self._break()
                if asked_since is None:
                    asked_since = self._clock.seconds()
                    self.log.warn("DIALER_ID {owner} is in use on this database; waiting for it", owner=self.owner)
                # The lease of one that hangs may run out with the waiting: then its name is free now.
                if not broken and self._clock.seconds() - asked_since > self._lease_time:
                    raise NameInUse(
                        f"DIALER_ID {self.owner!r} is in use by another process on this database; give each its own"
                    )
            except DatabaseError:
                pass
            await deferLater(self._clock, 1.0)
        self._loop.start(self._lease_time / RENEWALS, now=False)

    async def _break(self) -> bool:
        """End the session of a namesake that shows no sign of life any more; whether there was one."""
        broken = await self._database.run(sql("lease_break"), {"owner": self.owner})
        if broken:
            self.log.warn("Ended the database session of a {owner} whose lease has run out", owner=self.owner)
        return bool(broken)

    async def _ask(self) -> bool:
        began = self._clock.seconds()
        asked = {"owner": self.owner, "instance": self.instance, "lease_time": self._lease_time}
        claimed = await self._database.run(sql("lease_claim"), asked)
        if claimed and not self._released:
            self.share = claimed[0]["before"], claimed[0]["before"] + 1 + claimed[0]["after"]
            if not self.held:
                self._since = self._clock.seconds()
            # From before it was asked: the database's lease can only run out later than ours.
            self._renewed = began
        return bool(claimed)

    def _renew(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self._renew_once())

    async def _renew_once(self) -> None:
        try:
            if not await self._ask():
                if self._renewed is not None:
                    self._lost_at = min(self._clock.seconds(), self._renewed + self._lease_time)
                self._renewed = None
                # Its name may be held by its own former session, which the network has cut off.
                await self._break()
        except DatabaseError:
            pass
        except Exception:
            self.log.failure("Could not renew the lease of {owner}", owner=self.owner)
        if self.held != self._said and not self._released:
            self._said = self.held
            if self.held:
                self.log.info("Lease of {owner} renewed", owner=self.owner)
            else:
                self.log.error("Lease of {owner} lost: nothing is taken until it is renewed", owner=self.owner)
            self._on_change()

    async def release(self) -> None:
        """Let others take over at once what this process still holds."""
        self._released = True
        self._renewed = None
        if not self._loop.running:
            return
        self._loop.stop()
        try:
            await self._database.run(sql("lease_release"), {"owner": self.owner, "instance": self.instance})
        except DatabaseError as error:
            self.log.warn("Lease of {owner} not released, it will run out: {error}", owner=self.owner, error=error)
