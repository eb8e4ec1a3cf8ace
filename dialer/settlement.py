"""What came out of each call, on its way into the database: batched, and kept while the database is down.

A change that arrives while others are being written is written with the next statement, so that under load a
commit is shared and in quiet times nobody waits.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

from attrs import define
from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger

from dialer.errors import DialerError
from dialer.pacing import backoff
from dialer.store.contacts import Change, ContactStore
from dialer.store.database import DatabaseDown, DatabaseError

BATCH = 200
"""Changes written by one statement: bounds its locks; at 300 calls per second a batch is far smaller."""

KEPT = 100_000
"""Changes kept while the database is down, some 50 MB. Past it the oldest is dropped: reconciling will
find its call gone."""

FIRST_RETRY = 0.1
LONGEST_RETRY = 2.0
"""Seconds between two tries while the database is down."""


class Dropped(DialerError):
    """The change was not written: too many waited for the database, or the dialer stopped."""


@define
class _Waiting:
    change: Change
    done: Deferred[str | None]


class Settlement(Service):
    """Writes changes until they are committed.

    `on_settled` is called after each commit with the changes that really changed something, before their Deferreds
    fire. `patience` is how long, in seconds, `settle_soon` waits; `random` gives the jitter between tries, in [0, 1).
    """

    log = Logger()
    name = "settlement"

    def __init__(
        self,
        clock: IReactorTime,
        store: ContactStore,
        *,
        patience: float,
        random: Callable[[], float],
        on_settled: Callable[[Sequence[Change]], None],
    ) -> None:
        self._clock = clock
        self._store = store
        self._patience = patience
        self._random = random
        self._on_settled = on_settled
        self._waiting: deque[_Waiting] = deque()
        self._writing: Deferred[None] | None = None
        self._pause: Deferred[None] | None = None
        self._stopping = False
        self.dropped = 0

    @property
    def waiting(self) -> int:
        """Changes that are not committed yet."""
        return len(self._waiting)

    def settle(self, change: Change) -> Deferred[str | None]:
        """Write this change; fires with the contact's new status, None when another change was first.

        Fails with Dropped only. It is tried until committed, so the Deferred may take as long as the database is down.
        """
        done: Deferred[str | None] = Deferred()
        self._waiting.append(_Waiting(change, done))
        if len(self._waiting) > KEPT:
            self._drop(self._waiting.popleft())
        if self._writing is None:
            if self._stopping:
                self._drop_all()
            else:
                # Before the writing begins: it may be over before it first waits.
                self._writing = Deferred()
                Deferred.fromCoroutine(self._write())
        return done

    async def stopService(self) -> None:
        """Try once more to write what waits, then give up; reconciling finds the rest after the next start."""
        self._stopping = True
        if self._pause is not None:
            self._pause.cancel()
        super().stopService()
        if self._writing is not None:
            await self._writing

    async def settle_soon(self, change: Change) -> str | None:
        """As `settle`, for somebody who waits for the answer: fails with DatabaseDown after `patience` seconds.

        The change is written all the same, when the database is back.
        """
        done = self.settle(change)
        soon: Deferred[str | None] = Deferred()
        late = self._clock.callLater(
            self._patience, soon.errback, DatabaseDown("the change is kept until the database is back")
        )

        def forward(result: object) -> None:
            if late.active():
                late.cancel()
                soon.callback(result)  # type: ignore[arg-type]

        done.addBoth(forward)
        return await soon

    def _drop_all(self) -> None:
        while self._waiting:
            self._drop(self._waiting.popleft())

    def _drop(self, waiting: _Waiting) -> None:
        self.dropped += 1
        change = waiting.change
        self.log.error("Result of contact {id} was not stored: {change}", id=change.contact_id, change=change)
        waiting.done.errback(Dropped())

    async def _write(self) -> None:
        failures = 0
        largest = BATCH
        try:
            while self._waiting:
                batch = self._next(largest)
                try:
                    changed = await self._store.apply([waiting.change for waiting in batch])
                except DatabaseError:
                    # The changes are facts: they stay first in line. Applying one twice is harmless.
                    self._waiting.extendleft(reversed(batch))
                    if self._stopping:
                        self._drop_all()
                        return
                    failures += 1
                    await self._rest(backoff(failures, first=FIRST_RETRY, longest=LONGEST_RETRY, random=self._random))
                except Exception:
                    self.log.failure("Could not store the results of {count} contacts", count=len(batch))
                    if len(batch) == 1:
                        self._drop(batch[0])
                    else:
                        # One of them cannot be stored; it must not take the others with it.
                        self._waiting.extendleft(reversed(batch))
                        largest = 1
                else:
                    failures = 0
                    if largest < BATCH:
                        largest *= 2
                    self._tell(batch, changed)
        finally:
            writing, self._writing = self._writing, None
            if writing is not None:
                writing.callback(None)

    def _next(self, largest: int) -> list[_Waiting]:
        """The first changes in line, at most one of each contact: a statement changes a row once."""
        batch: list[_Waiting] = []
        seen: set[str] = set()
        while self._waiting and len(batch) < largest and self._waiting[0].change.contact_id not in seen:
            batch.append(self._waiting.popleft())
            seen.add(batch[-1].change.contact_id)
        return batch

    def _tell(self, batch: Sequence[_Waiting], changed: dict[tuple[str, int], str]) -> None:
        statuses = [changed.pop((waiting.change.contact_id, waiting.change.taking), None) for waiting in batch]
        try:
            self._on_settled([w.change for w, status in zip(batch, statuses, strict=True) if status is not None])
        except Exception:
            self.log.failure("Telling of settled contacts failed")
        for waiting, status in zip(batch, statuses, strict=True):
            waiting.done.callback(status)

    async def _rest(self, seconds: float) -> None:
        self._pause = deferLater(self._clock, seconds)
        try:
            await self._pause
        except CancelledError:
            pass
        finally:
            self._pause = None
