"""What is seen of calls, on its way into their history: gathered, written together, never waited for.

It is for people to read. What the dialer goes by is written with the change of state itself, so a line of this may be
lost with the process, or with a database that is away for long; it is never written twice.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from dialer.contact import Contact
from dialer.happenings import Note, Seen
from dialer.store.database import CommitUnknown, DatabaseError
from dialer.store.history import HistoryStore

GATHERED = 0.25
"""Seconds for which lines are gathered: four statements a second at most, whatever is dialed. Of several dialers each
gathers for longer, so that it stays at four in all."""

LONGEST_GATHERED = 1.0
"""Seconds for which lines are gathered at most, however many dialers there are."""

AGAIN = 2.0
"""Seconds until the next try while the database is down."""

BATCH = 1000
"""Lines that one statement writes: a second of 300 calls."""

KEPT = 20_000
"""Lines kept while the database is down, some 10 MB: a minute of 100 calls per second. Past it the oldest is lost."""


class Journal(Service):
    """Notes what is seen of contacts, and writes it soon. `lost` counts the lines that never will be written.

    `dialers` says how many share the database.
    """

    log = Logger()
    name = "journal"

    def __init__(self, clock: IReactorTime, store: HistoryStore, *, dialers: Callable[[], int] = lambda: 1) -> None:
        self._clock = clock
        self._store = store
        self._dialers = dialers
        self._lines: deque[tuple[float, Contact, Seen, str | None]] = deque()
        self._timer: IDelayedCall | None = None
        self._writing: Deferred[None] | None = None
        self.lost = 0

    @property
    def _gathered(self) -> float:
        return min(GATHERED * self._dialers(), LONGEST_GATHERED)

    def note(self, contact: Contact, event: Seen, detail: str | None = None) -> None:
        """Something was seen of a contact just now."""
        self._lines.append((self._clock.seconds(), contact, event, detail))
        if len(self._lines) > KEPT:
            self._lines.popleft()
            self.lost += 1
        self._schedule(self._gathered)

    async def stopService(self) -> None:
        """Write what there is, once."""
        super().stopService()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._writing is not None:
            await self._writing
        await self._write()

    def _schedule(self, seconds: float) -> None:
        if self.running and self._timer is None and self._writing is None:
            self._timer = self._clock.callLater(seconds, self._begin)

    def _begin(self) -> None:
        self._timer = None
        writing = self._writing = Deferred()

        def ended(down: bool | None) -> None:
            self._writing = None
            if self._lines:
                self._schedule(AGAIN if down else self._gathered)
            writing.callback(None)

        work = Deferred.fromCoroutine(self._write())
        work.addErrback(lambda failure: self.log.failure("Lines of histories were not written", failure=failure))
        work.addCallback(ended)

    async def _write(self) -> bool:
        """Write the lines in batches; whether the database was down."""
        while self._lines:
            batch = [self._lines.popleft() for _ in range(min(BATCH, len(self._lines)))]
            now = self._clock.seconds()
            try:
                await self._store.add([Note(c.id, c.taking, event, now - at, text) for at, c, event, text in batch])
            except CommitUnknown:
                # Perhaps written: a line too few is better than one too many.
                self.lost += len(batch)
                return True
            except DatabaseError:
                room = KEPT - len(self._lines)
                self._lines.extendleft(reversed(batch[-room:] if room else ()))
                self.lost += max(0, len(batch) - room)
                return True
            except Exception:
                self.lost += len(batch)
                raise
        return False
