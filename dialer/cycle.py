"""When to dial: every so often, and sooner when a slot is freed or a contact comes in."""

from __future__ import annotations

import math
from collections.abc import Sequence

from attrs import define
from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from dialer.agents import Agents
from dialer.call import DownPolicy, Placed
from dialer.contact import CampaignType, Contact
from dialer.esl.fleet import Fleet
from dialer.lease import Lease
from dialer.meter import Meter
from dialer.placing import Placing
from dialer.selection import is_own, own_first
from dialer.settlement import Kept
from dialer.store.contacts import EXPIRE_AT_ONCE, ContactStore
from dialer.store.database import DatabaseError
from dialer.store.queue import QueueStore, Wanted
from dialer.takings import Takings
from dialer.throttle import ThrottleClosed

DOWN_KEPT = 1000
"""Gateways found down that are remembered until the next timed cycle."""

APART = 0.03
"""Seconds between the beginnings of two early cycles: of many freed slots each costs a part of a choice, not one of its
own, and none of them stays free for longer than that."""

SKIPPED_KEPT = 1000
"""Contacts that could not be had that are remembered until the next timed cycle."""

LOOK_AGAIN = 0.5
"""Seconds until a cycle that met another dialer at the head of its list looks again."""


@define
class _Due:
    """What was asked for while a cycle ran; any number of early requests are one."""

    timed: bool = False
    early: bool = False


class Cycle(Service):
    """The dial cycle of this process.

    `interval` (seconds) is CONTACT_RETRIEVAL_DELAY, `capacity` MAX_CONCURRENT_CALLS. Only one cycle runs at a time; a
    timed one that becomes due ends the list of the one before, since it chooses again from what is there by then.
    """

    log = Logger()
    name = "cycle"

    def __init__(
        self,
        clock: IReactorTime,
        store: ContactStore,
        queue: QueueStore,
        fleet: Fleet,
        takings: Takings,
        placing: Placing,
        agents: Agents,
        lease: Lease,
        *,
        interval: float,
        capacity: int,
        policy: DownPolicy,
        meter: Meter,
    ) -> None:
        self._clock = clock
        self._store = store
        self._queue = queue
        self._fleet = fleet
        self._takings = takings
        self._placing = placing
        self._agents = agents
        self._lease = lease
        self._interval = interval
        self._capacity = capacity
        self._policy = policy
        self._meter = meter
        self._due = _Due()
        self._early = -math.inf
        self._burned = 0
        self._down: set[str] = set()
        self._skipped: set[str] = set()
        self._later: IDelayedCall | None = None
        self._later_due = math.inf
        self._attempted = False
        self._running: Deferred[None] | None = None
        self._loop = LoopingCall(self._timed)
        self._loop.clock = clock

    def startService(self) -> None:
        """Begin with a timed cycle."""
        super().startService()
        self._fleet.first_attempts().addCallback(lambda _: self._first_attempts_ended())
        self._loop.start(self._interval)

    def _first_attempts_ended(self) -> None:
        self._attempted = True
        self.wake()

    async def stopService(self) -> None:
        """Dial no new call; fires when the contact whose turn it was has been dealt with."""
        super().stopService()
        if self._loop.running:
            self._loop.stop()
        if self._later is not None:
            self._later.cancel()
            self._later = None
        if self._running is not None:
            await self._running

    def wake(self) -> None:
        """A slot is free or a contact came in: look again soon."""
        self._due.early = True
        self._run()

    def _timed(self) -> None:
        self._due.timed = True
        self._run()

    def _run(self) -> None:
        if self._running is None and self.running:
            self._running = Deferred()
            Deferred.fromCoroutine(self._work()).addErrback(
                lambda failure: self.log.failure("The dial cycle went astray", failure=failure)
            )

    async def _work(self) -> None:
        try:
            while self.running and (self._due.timed or self._due.early):
                early = not self._due.timed
                if early and (pause := self._early + APART - self._clock.seconds()) > 0:
                    self._look_again_in(pause)
                    break
                self._due = _Due()
                if early:
                    self._early = self._clock.seconds()
                try:
                    await self._cycle(early)
                except DatabaseError as error:
                    # The next cycle tries again, as the seed says; the pool has logged the outage.
                    self.log.debug("Dial cycle put off: {error}", error=error)
                except (CancelledError, ThrottleClosed):
                    break
                except Exception:
                    self.log.failure("Dial cycle failed")
        finally:
            running, self._running = self._running, None
            if running is not None:
                running.callback(None)

    async def _cycle(self, early: bool) -> None:
        if not early:
            self._burned = 0
            self._down.clear()
            self._skipped.clear()
            await self._expire()
        types = self._dialable()
        if not types:
            return
        avoid, skip = frozenset(self._down), frozenset(self._skipped)
        slots = self._capacity - self._burned
        wanted = Wanted(slots, self._capacity, types, avoid=avoid, early=early, skip=skip, share=self._lease.share)
        began = self._clock.seconds()
        chosen = await self._queue.choose(wanted)
        if chosen:
            # To find that no slot is free takes next to nothing.
            self._meter.chose(self._clock.seconds() - began)
        if await self._dial(chosen):
            self._due.early = True

    async def _expire(self) -> None:
        expired = EXPIRE_AT_ONCE
        while expired == EXPIRE_AT_ONCE:
            kinds = await self._store.expire()
            for kind in kinds:
                self._meter.settled(kind, "Expired")
            expired = len(kinds)

    async def _dial(self, contacts: Sequence[Contact]) -> bool:
        """Place them, one after the other; whether a slot was left over that the next in line may have at once.

        The next ones are chosen by what is stored then, so it waits until all these have been taken.
        """
        try:
            return await self._place_all(contacts)
        finally:
            if missed := await self._takings.settled():
                # Another dialer was faster: its contacts are gone before long, and ours can fill the slots. Or somebody
                # has locked them: until the next timed cycle they hold up nobody behind them.
                self._skip(*missed)
                self._look_again_in(LOOK_AGAIN)

    def _skip(self, *contact_ids: str) -> None:
        if len(self._skipped) + len(contact_ids) <= SKIPPED_KEPT:
            self._skipped.update(contact_ids)

    async def _place_all(self, contacts: Sequence[Contact]) -> bool:
        again = False
        which, of = self._lease.share
        # One of these that another dialer took, to fill its slots, says nothing about the others.
        own = {contact.id for contact in contacts if of > 1 and is_own(contact.id, which, of)}
        for contact in own_first(contacts, which, of):
            if not self.running or self._due.timed or self._takings.trouble is not None:
                break
            if not own.issuperset(self._takings.missed):
                # Another dialer has come as far as this: what is next for it is no longer next for us.
                break
            if contact.campaign_type not in self._dialable():
                # The switch was lost meanwhile: an agent would be reserved in vain, or the calls are being compared.
                continue
            try:
                outcome = await self._place(contact)
            except Kept:
                # What became of it cannot be written now, as somebody has locked it; it is kept. The others go on.
                self._skip(contact.id)
                continue
            if outcome is Placed.NOT_NOW:
                break
            # Its slot is left over, and it is not eligible again at once: the next in line may have it. One that
            # another dialer took says nothing about slots, and asking again for it at once could go on for ever.
            again |= outcome in (Placed.HELD, Placed.FAILED, Placed.NO_SWITCH)
            if outcome is Placed.HELD and len(self._down) < DOWN_KEPT:
                # The others of this gateway would fare no better: the next timed cycle tries one of them again.
                self._down.add(contact.gateway_id)
            if outcome is Placed.NO_SWITCH:
                # An outage must not burn the list: these slots are free again at the next timed cycle.
                self._burned += 1
                if self._policy is DownPolicy.HOLD:
                    break
        return again

    def _dialable(self) -> list[CampaignType]:
        """Which kinds of contact may be taken now."""
        if not self._lease.held or not self._attempted:
            return []
        if self._fleet.reachable:
            return [CampaignType.IVR, CampaignType.AGENT]
        # One that is connected is being compared with its live calls, or does not know our commands: it is not down.
        if self._policy is DownPolicy.HOLD or any(switch.connected for switch in self._fleet.switches):
            return []
        return [CampaignType.IVR]

    def _look_again_in(self, seconds: float) -> None:
        """Wake in so many seconds, or before that if it was to be woken before."""
        due = self._clock.seconds() + seconds
        if not self.running or (self._later is not None and self._later_due <= due):
            return
        if self._later is not None:
            self._later.cancel()
        self._later, self._later_due = self._clock.callLater(seconds, self._again), due

    def _again(self) -> None:
        self._later = None
        self.wake()

    async def _place(self, contact: Contact) -> Placed:
        if contact.is_agent:
            return await self._agents.request(contact)
        return await self._placing.place_ivr(contact)
