"""Keeps the tally of contacts short and true, so that counting and choosing cost the same with any number of them."""

from __future__ import annotations

import math
from collections.abc import Callable

from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from dialer.store.database import DatabaseError
from dialer.store.tally import TallyStore

EVERY = 1.0
"""Seconds between two looks; each is an index scan while there is nothing to do."""

LEAST = 500
"""Changes that are worth folding: so many are read with each selection, in less than a millisecond."""

MEND_AGAIN = 60.0
"""Seconds until the tally is held against the contacts again when the database did not let that end."""

LEARN_EVERY = 15.0
"""Seconds between two looks at whether PostgreSQL still knows its tables: choosing by what was true of an empty table
takes ten times as long. When it looks at them, the plans that connections keep are made anew."""


class Tally(Service):
    """Folds the changes while it runs; every dialer may, one at a time does. At the start it looks for mistakes.

    `dialers` says how many share the database: each looks so many times as seldom.
    """

    log = Logger()
    name = "tally"

    def __init__(self, clock: IReactorTime, store: TallyStore, *, dialers: Callable[[], int] = lambda: 1) -> None:
        self._clock = clock
        self._store = store
        self._learn_at = -math.inf
        self._mend_at = -math.inf
        self._at_work: Deferred[None] | None = None
        self._dialers = dialers
        self._fold_at = -math.inf
        self._loop = LoopingCall(self._look)
        self._loop.clock = clock

    def startService(self) -> None:
        """Begin."""
        super().startService()
        self._loop.start(EVERY)

    async def stopService(self) -> None:
        """Fires when what is under way has ended."""
        super().stopService()
        if self._loop.running:
            self._loop.stop()
        if self._at_work is not None:
            await self._at_work

    def _look(self) -> Deferred[None]:
        at_work = self._at_work = Deferred.fromCoroutine(self._keep())

        def ended(_: object) -> None:
            self._at_work = None

        return at_work.addBoth(ended)

    async def _mend(self) -> None:
        self._mend_at = self._clock.seconds() + MEND_AGAIN
        try:
            wrong = await self._store.mend()
        except DatabaseError as error:
            self.log.warn("The tally was not held against the contacts yet: {error}", error=error)
        else:
            self._mend_at = math.inf
            if wrong:
                self.log.error("The tally of contacts was wrong for {wrong} kinds; put right", wrong=wrong)

    async def _keep(self) -> None:
        try:
            if self._clock.seconds() >= self._mend_at:
                await self._mend()
            if self._clock.seconds() >= self._fold_at:
                self._fold_at = self._clock.seconds() + (self._dialers() - 0.5) * EVERY
                await self._store.fold(LEAST)
            if self._clock.seconds() >= self._learn_at:
                self._learn_at = self._clock.seconds() + LEARN_EVERY
                await self._store.learn()
        except CancelledError:
            self.log.debug("The tally is folded later: the dialer stops")
        except DatabaseError as error:
            self.log.debug("The tally is folded later: {error}", error=error)
        except Exception:
            self.log.failure("The tally could not be kept")
