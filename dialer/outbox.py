"""Delivery of the outbox to one receiver, such as the voice connector: until accepted, in order for each contact.

*In*: a wake-up after each commit that wrote messages. *Out*: messages through their sender, results to the store.
One round at a time writes what is known and claims what is due; the deliveries in between run beside it, so what
finishes during a round is written with the next one, many with one statement under load and at once in quiet times.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from math import inf
from typing import Any, Protocol, TypeVar

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from dialer.bell import Bell
from dialer.connector import Delivery, DeliveryKind
from dialer.message import MessageKind, OutboxMessage
from dialer.pacing import backoff
from dialer.store.database import DatabaseError
from dialer.store.outbox import OutboxStore, Park, Retry
from dialer.window import Window

PARALLEL = 32
"""Deliveries under way at most: at 50 ms an answer 640 a second, far above what one dialer can end."""

POLL_INTERVAL = 1.0
"""Seconds between two looks without a wake-up: for retries that come due and for other dialers' messages. One look
is two index scans, and no retry waits less."""

MOST_SELDOM = 4
"""Times as seldom that one of many dialers looks, at most: nobody's retry waits for long when the others are busy."""

FIRST_WAIT = 1.0
LONGEST_WAIT = 300.0
"""Seconds between the tries of one message."""

FIRST_PAUSE = 0.1
LONGEST_PAUSE = 2.0
"""Seconds between two rounds while the database is down."""

FINISH_TIME = 1.5
"""Seconds that stopping leaves to the deliveries under way."""

STOP_TIME = 2.0
"""Seconds that stopping takes at most; results not written by then are found by the next claim, after CLAIM_TIME."""

_Result = TypeVar("_Result")


class Sender(Protocol):
    """Who knows how the receiver wants a message: `Connector` for the voice connector, `WebhookSender` for others."""

    async def deliver(self, message: OutboxMessage, *, send_within: float) -> Delivery:
        """Try once; after `send_within` seconds it is not sent any more."""


class Outbox(Service):
    """Delivers messages from start to stop. `receiver` is what the log calls who gets them.

    `random` gives the jitter of all waits, in [0, 1). Rounds begin `apart()` seconds apart at least, so that under load
    each is shared, and `notes_apart()` seconds when all that one has to do is to note which notifications were
    delivered: next to nobody waits for that, and what is not noted when the process dies is sent again under its
    Idempotency-Key. `dialers` says how many share the outbox: without a wake-up each looks so many times as seldom, as
    the others look for its retries too. `delivered`, `retried` and `parked` count since the start.
    """

    log = Logger()
    name = "outbox"

    def __init__(
        self,
        clock: IReactorTime,
        store: OutboxStore,
        sender: Sender,
        *,
        random: Callable[[], float],
        apart: Callable[[], float] = lambda: 0.0,
        notes_apart: Callable[[], float] = lambda: 0.0,
        dialers: Callable[[], int] = lambda: 1,
        receiver: str = "the voice connector",
    ) -> None:
        self._clock = clock
        self._store = store
        self._sender = sender
        self._receiver = receiver
        self._random = random
        self._apart = apart
        self._notes_apart = notes_apart
        self._dialers = dialers
        self._began = -inf
        self._bell = Bell(clock)
        self._stop = Bell(clock)
        self._window = Window(PARALLEL)
        self._under_way: dict[int, Deferred[None]] = {}
        self._accepted: list[int] = []
        self._retries: list[Retry] = []
        self._parks: list[Park] = []
        self._polled = -inf
        self._outages = 0
        self._resume = -inf
        self._more = True
        self._stopping = False
        self._running: Deferred[None] | None = None
        self.delivered = 0
        self.retried = 0
        self.parked = 0

    @property
    def under_way(self) -> int:
        """Deliveries that wait for the receiver's answer."""
        return len(self._under_way)

    def wake(self) -> None:
        """Messages were committed. Any number of calls before the next round count once."""
        self._more = True
        self._bell.ring()

    @property
    def room(self) -> int:
        """How many messages may be claimed for `deliver` now."""
        return 0 if self._running is None or self._stopping or self._outages else self._free

    def deliver(self, claimed: Sequence[OutboxMessage], more: bool = False) -> None:
        """These messages were just claimed for this process; with `more` others may be claimed."""
        now = self._clock.seconds()
        for message in claimed:
            if self._stopping:
                self._retries.append(Retry(message, 0.0, message.last_error or "the dialer stopped"))
            elif message.id not in self._under_way:
                self._begin(message, now)
        if more:
            self.wake()

    def startService(self) -> None:
        """Deliver until stopped; needs neither the database nor the VC to be there yet."""
        super().startService()
        self._stopping = False
        self._bell.ring()
        self._running = Deferred.fromCoroutine(self._run())

    def stopService(self) -> Deferred[None]:
        """Claim no more and write the results of what is under way; fires within STOP_TIME, never fails."""
        super().stopService()
        self._stopping = True
        self._bell.ring()
        self._stop.ring()
        stopped: Deferred[None] = Deferred()
        if self._running is None:
            stopped.callback(None)
            return stopped
        timer = self._clock.callLater(STOP_TIME, stopped.callback, None)

        def ended(_: object) -> None:
            if timer.active():
                timer.cancel()
                stopped.callback(None)

        self._running.addBoth(ended)
        self._running = None
        return stopped

    @property
    def _poll_interval(self) -> float:
        return POLL_INTERVAL * min(self._dialers(), MOST_SELDOM)

    @property
    def _slots(self) -> int:
        return max(0, self._window.size - len(self._under_way))

    @property
    def _free(self) -> int:
        """How many messages may be claimed now, by others than a look without a wake-up."""
        return 0 if self._window.trying else self._slots

    @property
    def _pressing(self) -> bool:
        """Whether somebody waits for the next round, or as much is to be noted as is kept in memory at most."""
        claimable = self._more and self._free > 0
        return claimable or bool(self._retries or self._parks) or len(self._accepted) >= PARALLEL

    async def _run(self) -> None:
        while not self._stopping:
            now = self._clock.seconds()
            if (pause := self._began + self._apart() - now) > 0:
                await self._stop.wait(pause)
            elif (wait := self._due() - now) > 0:
                await self._bell.wait(wait)
            else:
                await self._round()
        await self._finish()

    def _due(self) -> float:
        """When the next round is due, as far as is known."""
        if self._outages:
            return self._resume
        if self._pressing:
            return -inf
        note = self._began + self._notes_apart() if self._accepted else inf
        return min(note, self._polled + self._poll_interval)

    async def _round(self) -> None:
        self._began = self._clock.seconds()
        try:
            # What is committed, and what is accepted, from here on may be missed by this claim: it is claimed by the
            # next. What was delivered is noted before anything else is claimed, as others may wait for that.
            wanted, self._more = self._more, False
            await self._settle()
            await self._claim(wanted)
        except Exception as error:
            self._pause(error)
        else:
            if self._outages:
                self._outages = 0
                self.log.info("Deliveries to {receiver} go on", receiver=self._receiver)

    def _pause(self, error: Exception) -> None:
        self._outages += 1
        self._more = True
        wait = backoff(self._outages, first=FIRST_PAUSE, longest=LONGEST_PAUSE, random=self._random)
        self._resume = self._clock.seconds() + wait
        if not isinstance(error, DatabaseError):
            self.log.failure("Deliveries to {receiver} pause", receiver=self._receiver)
        elif self._outages == 1:
            self.log.error(
                "DATABASE CONNECTION ERROR, deliveries to {receiver} pause: {error}",
                receiver=self._receiver,
                error=error,
            )

    async def _settle(self) -> None:
        await _write(self._accepted, self._store.delivered)
        await _write(self._retries, self._store.retry)
        await _write(self._parks, self._store.park)

    async def _claim(self, wanted: bool) -> None:
        """Claim what is due if it is `wanted`, or if nobody has looked for long."""
        now = self._clock.seconds()
        polling = now >= self._polled + self._poll_interval
        free = self._slots if polling else self._free
        if not polling and not (free and wanted):
            self._more |= wanted
            return
        # A look for nothing still parks the END_CHATs that have become too old.
        claim = await self._store.claim(free)
        # As many as were asked for: there may be more.
        self._more |= len(claim.messages) >= free
        if polling:
            self._polled = now
        for message in claim.expired:
            self._say_parked(message, message.last_error or "")
        # What waited for one that was parked may be claimed now.
        self._more |= bool(claim.expired)
        self.deliver(claim.messages)

    def _begin(self, message: OutboxMessage, claimed: float) -> None:
        delivery = self._under_way[message.id] = Deferred.fromCoroutine(self._deliver(message, claimed))
        delivery.addErrback(lambda failure: self.log.failure("A delivery went astray", failure=failure))
        delivery.addBoth(lambda _: self._over(message))

    def _over(self, message: OutboxMessage) -> None:
        self._under_way.pop(message.id, None)
        if self._pressing or self._stopping or len(self._accepted) == 1:
            self._bell.ring()

    async def _deliver(self, message: OutboxMessage, claimed: float) -> None:
        left = inf if message.lifetime is None else message.lifetime - (self._clock.seconds() - claimed)
        try:
            delivery = await self._sender.deliver(message, send_within=left) if left > 0 else None
        except Exception as error:
            self.log.failure(
                "Delivering {kind} for contact {contact} of campaign {campaign}", kind=message.kind, **_about(message)
            )
            delivery = Delivery(DeliveryKind.TRY_AGAIN, f"{type(error).__name__}: {error}"[:200])
        self._note(message, delivery)

    def _note(self, message: OutboxMessage, delivery: Delivery | None) -> None:
        if delivery is None:
            # It became too old between the claim and the sending: due at once, and parked by the next claim.
            self._retries.append(Retry(message, 0.0, message.last_error or "too old to be sent"))
            return
        if delivery.kind is DeliveryKind.TRY_AGAIN:
            wait = backoff(message.attempts, first=FIRST_WAIT, longest=LONGEST_WAIT, random=self._random)
            self._retries.append(Retry(message, wait, delivery.reason))
            self._window.failed()
            self.retried += 1
            self.log.info(
                "{kind} for contact {contact} of campaign {campaign} not delivered, try {attempts}, "
                "again in {wait} s: {reason}",
                kind=message.kind,
                attempts=message.attempts,
                wait=round(wait, 1),
                reason=delivery.reason,
                **_about(message),
            )
            return
        # A message of the same contact may wait for this one, and others for a receiver that is back.
        self._more |= message.kind is not MessageKind.NOTIFICATION or self._window.size < PARALLEL
        self._window.worked()
        if delivery.kind is DeliveryKind.ACCEPTED:
            self._accepted.append(message.id)
            self.delivered += 1
        else:
            self._parks.append(Park(message, delivery.reason))
            self._say_parked(message, delivery.reason)

    def _say_parked(self, message: OutboxMessage, reason: str) -> None:
        self.parked += 1
        self.log.error(
            "{kind} for contact {contact} of campaign {campaign} parked, {receiver} does not have it: {reason}",
            kind=message.kind,
            receiver=self._receiver,
            reason=reason,
            **_about(message),
        )

    async def _finish(self) -> None:
        deadline = self._clock.seconds() + FINISH_TIME
        while self._under_way and self._clock.seconds() < deadline:
            await self._bell.wait(deadline - self._clock.seconds())
        for delivery in list(self._under_way.values()):
            delivery.cancel()
        try:
            await self._settle()
        except Exception as error:
            # Nothing is lost: the claims run out, and the VC knows a repeated message by its Idempotency-Key.
            self.log.warn("Results of deliveries were not written: {error}", error=error)


def _about(message: OutboxMessage) -> dict[str, Any]:
    """As `dialer.contact.about`."""
    return {"contact": message.contact_id, "campaign": message.campaign_id, "customer": message.customer_number}


async def _write(results: list[_Result], write: Callable[[Sequence[_Result]], Awaitable[None]]) -> None:
    """Write these results and forget them; those that come meanwhile stay for the next time."""
    if results:
        batch = list(results)
        await write(batch)
        del results[: len(batch)]
