"""How contacts ended over the last hour, minute by minute, without counting any minute often."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime, timedelta

from attrs import frozen
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from dialer.store.outcomes import Counts, OutcomeStore, Span

MINUTES = 60
"""How far it goes back."""

OPEN = 2
"""Minutes that are counted again each time, the one that it is among them. What ended in an earlier one is committed:
a transaction does not take a minute."""

AT_ONCE = 10
"""Minutes that one statement counts: some 100,000 contacts of the busiest dialers, well within DB_CONN_TIMEOUT."""

EVERY = 3.0
"""Seconds for which a count may be told again."""


@frozen
class Minute:
    """What ended in the minute that began then."""

    began: datetime
    counts: Counts


class Outcomes:
    """Counts when it is asked, of all dialers on the database. A minute that is over is counted once and kept."""

    def __init__(self, clock: IReactorTime, store: OutcomeStore) -> None:
        self._clock = clock
        self._store = store
        self._over: dict[datetime, Counts] = {}
        self._latest: Sequence[Minute] = ()
        self._at = -math.inf
        self._counting: list[Deferred[None]] | None = None

    async def last_hour(self) -> Sequence[Minute]:
        """The last MINUTES, oldest first, the one that it is last. Fails with DatabaseDown."""
        while self._counting is not None:
            turn: Deferred[None] = Deferred()
            self._counting.append(turn)
            await turn
        if self._clock.seconds() - self._at < EVERY:
            return self._latest
        self._counting = []
        try:
            self._latest = await self._count()
            self._at = self._clock.seconds()
        finally:
            waiting, self._counting = self._counting, None
            for turn in waiting:
                turn.callback(None)
        return self._latest

    async def _count(self) -> Sequence[Minute]:
        span = await self._store.count(oldest=OPEN - 1, latest=0)
        now = span.minute
        opened = self._minutes(span, range(OPEN))
        missing = [ago for ago in range(OPEN, MINUTES) if now - timedelta(minutes=ago) not in self._over]
        while missing:
            part = range(missing[0], min(missing[0] + AT_ONCE, missing[-1] + 1))
            counted = await self._store.count(oldest=part[-1], latest=part[0])
            self._over |= self._minutes(counted, part)
            missing = [ago for ago in missing if ago > part[-1]]
        oldest = now - timedelta(minutes=MINUTES - 1)
        # Those that follow the span, as it may have gone on to the next minute meanwhile, are counted next time.
        self._over = {minute: counts for minute, counts in self._over.items() if oldest <= minute}
        known = self._over | opened
        minutes = [now - timedelta(minutes=ago) for ago in reversed(range(MINUTES))]
        return [Minute(minute, known.get(minute, {})) for minute in minutes]

    @staticmethod
    def _minutes(span: Span, agos: range) -> dict[datetime, Counts]:
        return {span.minute - timedelta(minutes=ago): span.counts.get(ago, {}) for ago in agos}
