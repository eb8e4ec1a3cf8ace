"""What came out of each call, on its way into the database: batched, and kept while the database is down.

A change that arrives while others are being written is written with the next statement, so that under load a
commit is shared and in quiet times nobody waits. One that cannot be written just now, as another session has locked its
contact or its statement is cancelled, is set aside for a while and does not hold up the others.
"""

from __future__ import annotations

import math
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
from dialer.store.contacts import LOCKED, Change, ContactStore
from dialer.store.database import CommitUnknown, DatabaseDown, DatabaseError, Unable

BATCH = 200
"""Changes written by one statement: bounds its locks; at 300 calls per second a batch is far smaller."""

KEPT = 100_000
"""Changes kept while they cannot be written, some 50 MB. Past it the oldest is dropped: reconciling will find its call
gone."""

FIRST_RETRY = 0.1
LONGEST_RETRY = 2.0
"""Seconds between two tries while the database is down, and of what was set aside."""


class Dropped(DialerError):
    """The change was not written: too many waited for the database, or the dialer stopped."""


class Kept(DatabaseDown):
    """The change could not be written in time; it is kept until it can."""


@define
class _Waiting:
    change: Change
    done: Deferred[str | None]
    alone: bool = False
    """Whether it gets a statement of its own, as one that it shared with others failed."""


class Settlement(Service):
    """Writes changes until they are committed.

    `on_settled` is called after each commit with the changes that really changed something, before their Deferreds
    fire. `patience` is how long, in seconds, `settle_soon` waits; `random` gives the jitter between tries, in [0, 1).
    Statements begin `apart()` seconds apart at least, so that under load each is shared. At most `kept` changes wait;
    `dropped` counts those that were given up.
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
        kept: int = KEPT,
        apart: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self._clock = clock
        self._store = store
        self._patience = patience
        self._random = random
        self._on_settled = on_settled
        self._kept = kept
        self._apart = apart
        self._began = -math.inf
        self._waiting: deque[_Waiting] = deque()
        self._aside: deque[_Waiting] = deque()
        self._aside_until = 0.0
        self._futile = 0
        self._under_way = 0
        self._trouble = False
        self._unsure = False
        self._most = 0
        self._writing: Deferred[None] | None = None
        self._pause: Deferred[None] | None = None
        self._may_be_woken = False
        self._stopping = False
        self.dropped = 0

    @property
    def waiting(self) -> int:
        """Changes that are not committed yet."""
        return len(self._waiting) + len(self._aside) + self._under_way

    def settle(self, change: Change) -> Deferred[str | None]:
        """Write this change; fires with the contact's new status, None when another change was first.

        Fails with Dropped only. It is tried until committed, so the Deferred may take as long as the database is down.
        """
        done: Deferred[str | None] = Deferred()
        self._waiting.append(_Waiting(change, done))
        self._keep_within_bounds()
        if self._writing is None:
            if self._stopping:
                self._drop_all()
            else:
                # Before the writing begins: it may be over before it first waits.
                self._writing = Deferred()
                Deferred.fromCoroutine(self._write())
        elif self._may_be_woken and self._pause is not None:
            self._pause.cancel()
        return done

    async def stopService(self) -> None:
        """Try once more to write what waits, then give up; reconciling finds the rest after the next start."""
        self._stopping = True
        self._aside_until = 0.0
        if self._pause is not None:
            self._pause.cancel()
        super().stopService()
        if self._writing is not None:
            await self._writing

    async def settle_soon(self, change: Change) -> str | None:
        """As `settle`, for somebody who waits for the answer: fails with Kept after `patience` seconds.

        The change is written all the same, when the database is back.
        """
        done = self.settle(change)
        soon: Deferred[str | None] = Deferred()
        late = self._clock.callLater(
            self._patience, soon.errback, Kept("the change is kept until the database takes it")
        )

        def forward(result: object) -> None:
            if late.active():
                late.cancel()
                soon.callback(result)  # type: ignore[arg-type]

        done.addBoth(forward)
        return await soon

    def _keep_within_bounds(self) -> None:
        while len(self._waiting) + len(self._aside) > self._kept:
            self._drop((self._aside or self._waiting).popleft())
        if self._trouble:
            self._most = max(self._most, self.waiting)

    def _drop_all(self) -> None:
        for line in (self._aside, self._waiting):
            while line:
                self._drop(line.popleft())

    def _drop(self, waiting: _Waiting) -> None:
        self.dropped += 1
        change = waiting.change
        self.log.error(
            "Result of contact {contact} of campaign {campaign} was not stored: {change}",
            contact=change.contact_id,
            campaign=change.campaign_id,
            change=change,
        )
        waiting.done.errback(Dropped())

    async def _write(self) -> None:
        failures = 0
        try:
            while self._waiting or self._aside:
                now = self._clock.seconds()
                if self._aside and now >= self._aside_until:
                    self._waiting.extend(self._aside)
                    self._aside.clear()
                if (pause := self._not_before() - now) > 0:
                    await self._rest(pause, may_be_woken=not self._waiting)
                    continue
                self._began = now
                batch = self._next()
                self._under_way = len(batch)
                try:
                    changed = await self._store.apply([waiting.change for waiting in batch])
                except DatabaseError as error:
                    self._under_way = 0
                    self._unsure |= isinstance(error, CommitUnknown)
                    if self._stopping:
                        self._put_back(batch)
                        self._drop_all()
                        return
                    if isinstance(error, Unable) and error.cancelled:
                        # One of them may be what it stumbled over.
                        self._separate(batch, str(error))
                        continue
                    # The changes are facts: they stay first in line. Applying one twice is harmless.
                    self._put_back(batch)
                    self._say_kept(str(error))
                    failures += 1
                    await self._rest(self._backoff(failures))
                except Exception:
                    self._under_way = 0
                    self.log.failure("Could not store the results of {count} contacts", count=len(batch))
                    if len(batch) == 1:
                        self._drop(batch[0])
                    else:
                        # One of them cannot be stored; it must not take the others with it.
                        self._put_back(batch, alone=True)
                else:
                    self._under_way = 0
                    failures = 0
                    self._written(batch, changed)
        finally:
            writing, self._writing = self._writing, None
            if writing is not None:
                writing.callback(None)

    def _not_before(self) -> float:
        """When the next statement may begin."""
        if self._stopping:
            return -math.inf
        begun = self._began + self._apart()
        return begun if self._waiting else max(begun, self._aside_until)

    def _next(self) -> list[_Waiting]:
        """The first changes in line, at most one of each contact: a statement changes a row once."""
        batch = [self._waiting.popleft()]
        seen = {batch[0].change.contact_id}
        while self._waiting and len(batch) < BATCH and not batch[0].alone:
            following = self._waiting[0]
            if following.alone or following.change.contact_id in seen:
                break
            batch.append(self._waiting.popleft())
            seen.add(following.change.contact_id)
        return batch

    def _put_back(self, batch: Sequence[_Waiting], *, alone: bool = False) -> None:
        for waiting in reversed(batch):
            waiting.alone |= alone
            self._waiting.appendleft(waiting)
        self._keep_within_bounds()

    def _separate(self, batch: Sequence[_Waiting], reason: str) -> None:
        if len(batch) > 1:
            self._put_back(batch, alone=True)
        else:
            batch[0].alone = True
            self._set_aside(batch, reason)

    def _set_aside(self, batch: Sequence[_Waiting], reason: str) -> None:
        if self._stopping:
            for waiting in batch:
                self._drop(waiting)
            return
        self._aside.extend(batch)
        self._futile += 1
        self._aside_until = self._clock.seconds() + self._backoff(self._futile)
        change = batch[0].change
        self._say_kept(f"contact {change.contact_id} of campaign {change.campaign_id}: {reason}")

    def _written(self, batch: Sequence[_Waiting], changed: dict[tuple[str, int], str]) -> None:
        statuses = {(w.change.contact_id, w.change.taking): w for w in batch}
        locked = [waiting for which, waiting in statuses.items() if changed.get(which) == LOCKED]
        if locked:
            self._set_aside(locked, "another session has locked it")
        elif not self._aside:
            self._futile = 0
            self._say_all_written()
        self._tell([waiting for waiting in batch if waiting not in locked], changed)

    def _say_kept(self, reason: str) -> None:
        """Once for each trouble, not for each result."""
        self._most = max(self._most, self.waiting)
        if not self._trouble:
            self._trouble = True
            self.log.error(
                "Results of calls are kept in memory, the database does not take them: {reason}", reason=reason
            )

    def _say_all_written(self) -> None:
        if self._trouble:
            self.log.info("The database takes results of calls again, up to {count} were kept", count=self._most)
            self._trouble, self._most = False, 0

    def _tell(self, batch: Sequence[_Waiting], made: dict[tuple[str, int], str]) -> None:
        statuses = [made.pop((waiting.change.contact_id, waiting.change.taking), None) for waiting in batch]
        try:
            # What a commit of unknown outcome has changed, the next one finds changed: it counts as if by this one.
            told, self._unsure = self._unsure, False
            changed = [w for w, status in zip(batch, statuses, strict=True) if told or status is not None]
            self._on_settled([waiting.change for waiting in changed])
        except Exception:
            self.log.failure("Telling of settled contacts failed")
        for waiting, status in zip(batch, statuses, strict=True):
            waiting.done.callback(status)

    def _backoff(self, failures: int) -> float:
        return backoff(failures, first=FIRST_RETRY, longest=LONGEST_RETRY, random=self._random)

    async def _rest(self, seconds: float, *, may_be_woken: bool = False) -> None:
        self._pause = deferLater(self._clock, seconds)
        self._may_be_woken = may_be_woken
        try:
            await self._pause
        except CancelledError:
            pass
        finally:
            self._pause = None
