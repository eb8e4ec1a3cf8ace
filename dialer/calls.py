"""The life of one call: from the write-ahead, over the command to EFSwitch and its events, to the result.

Each call is in here from before its command is sent until its result is committed. Its end is settled once, by
whichever comes first: the hangup event, the refusal of the command, or reconciling that finds it gone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Coroutine, Iterator
from enum import Enum
from typing import Any

from attrs import define, frozen
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from dialer.contact import AgentReply, Contact, Status
from dialer.ends import SeenEnds
from dialer.esl.errors import CommandRefused, ReplyLost, SwitchDown
from dialer.esl.fleet import Fleet, Route, RouteKind
from dialer.esl.switch import Switch
from dialer.esl.wire import Event
from dialer.limits import SwitchLimits
from dialer.originate import CannotBeCarried
from dialer.outcome import CallEnd, Refusal, RefusalKind, end_of_call, needs_end_chat, refusal
from dialer.settlement import Dropped, Settlement
from dialer.store.contacts import Change, ContactStore, HeldContact
from dialer.store.database import DatabaseError
from dialer.throttle import Permit, Throttle

REFUSAL_GRACE = 1.0
"""Seconds after a refusal in which a channel event may still show that there was a channel (SPEC: 1 s; FACTS: a failed
call's background job comes before its hangup event in 58 of 200)."""


GATEWAY_ANSWER_GOOD = 1.0
"""Seconds for which a gateway's state may be relied on (SPEC 5)."""


class Placed(Enum):
    """What became of a contact whose turn it was."""

    SENT = "its command was written to EFSwitch"
    TAKEN_ALREADY = "it was no longer eligible"
    HELD = "it stays in its queue for a while"
    FAILED = "it cannot be called"
    NO_SWITCH = "no EFSwitch could be reached"


class DownPolicy(Enum):
    """What becomes of a contact whose command cannot be sent because EFSwitch is down."""

    FAIL = "fail"
    HOLD = "hold"


@frozen
class CallWriter:
    """Builds the arguments of the originate command for one switch; may raise CannotBeCarried."""

    ivr: Callable[[Contact, Switch], str]
    agent: Callable[[Contact, AgentReply, Switch], str]


@define
class Call:
    """A contact that is `dialed`, as far as this process knows about it. Times are seconds of the reactor's clock."""

    contact: Contact
    sent_at: float
    answered: bool = False
    bridged: bool = False
    missing_since: float | None = None
    asked_at: float = -math.inf
    """When EFSwitch last told whether it has this call."""
    over: bool = False
    """Its result is on its way into the database: nothing more can happen to it."""

    @property
    def switch(self) -> str | None:
        """The name of the EFSwitch that has it; None in a row taken over from a product that did not say."""
        return self.contact.switch

    @property
    def job_id(self) -> str:
        """Names this taking of the contact in EFSwitch's background jobs, for whoever reads them later."""
        return f"{self.contact.id}.{self.contact.taking}"


class Calls:
    """All calls of this process.

    `policy` says what happens to a contact while no EFSwitch can be reached.
    """

    log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        store: ContactStore,
        settlement: Settlement,
        fleet: Fleet,
        throttle: Throttle,
        limits: SwitchLimits,
        writer: CallWriter,
        *,
        policy: DownPolicy,
    ) -> None:
        self._clock = clock
        self._store = store
        self._settlement = settlement
        self._fleet = fleet
        self._throttle = throttle
        self._limits = limits
        self._writer = writer
        self._policy = policy
        self._calls: dict[str, Call] = {}
        self._foreign_jobs: dict[str, str] = {}
        self._ends = SeenEnds(clock)
        self._under_way: set[Deferred[object]] = set()
        self._grace: set[IDelayedCall] = set()
        self._stopping = False

    def __iter__(self) -> Iterator[Call]:
        """The calls whose result is not on its way yet."""
        return iter([call for call in self._calls.values() if not call.over])

    def load(self, switch: Switch) -> int:
        """How many calls this process has on a switch."""
        return sum(call.switch == switch.name for call in self._calls.values())

    # -- placing ---------------------------------------------------------------------------------------------------

    async def place_ivr(self, contact: Contact) -> Placed:
        """Take an IVR contact and send its command. Fires when it is written; its outcome comes by events.

        Fails with DatabaseError when it could not be taken; then nothing was sent.
        """
        ready = await self._get_ready(contact)
        if isinstance(ready, Placed):
            return ready
        switch, permit = ready
        with permit:
            try:
                arguments = self._writer.ivr(contact, switch)
            except CannotBeCarried as error:
                return await self._unspeakable(contact, error)
            dialed = await self._store.take_for_call(contact, switch.name)
            if dialed is None:
                return Placed.TAKEN_ALREADY
            self.log.info("CAMPAIGN TYPE: {type}, contact {id}", type=dialed.campaign_type, id=dialed.id)
            permit.used()
            self._track(self._send(dialed, switch, arguments))
            return Placed.SENT

    async def place_agent(self, contact: Contact, reply: AgentReply) -> Placed:
        """Call the customer of a contact whose agent is reserved; fires once EFSwitch took or refused the command.

        Fails with ReplyLost when EFSwitch may have it, with DatabaseError when it could not be taken.
        """
        ready = await self._get_ready(contact, agent=reply.agent)
        if isinstance(ready, Placed):
            return ready
        switch, permit = ready
        with permit:
            try:
                arguments = self._writer.agent(contact, reply, switch)
            except CannotBeCarried as error:
                return await self._unspeakable(contact, error, agent=reply.agent)
            self.log.info("DIALING AGENT-BASED CONTACT WITH ID {id}", id=contact.id)
            dialed = await self._store.dial_agent(contact, reply.agent, switch.name)
            if dialed is None:
                return Placed.TAKEN_ALREADY
            permit.used()
            sent = await self._send(dialed, switch, arguments)
            if sent is Placed.SENT:
                self.log.info("AGENT-BASED CONTACT WITH ID {id} SENT TO EFSWITCH", id=contact.id)
            return sent

    async def _get_ready(self, contact: Contact, agent: str | None = None) -> tuple[Switch, Permit] | Placed:
        """A switch with the contact's gateway up and the right to send to it now, or what became of the contact.

        The gateway is asked first, since a permit that is held back slows everybody down; and again when the answer
        has grown old by waiting.
        """
        while True:
            asked_at = self._clock.seconds()
            route = await self._fleet.route(contact.gateway_id, self.load)
            if route.switch is None:
                return await self._unroutable(contact, route, agent=agent)
            await self._limits.turn(route.switch)
            permit = await self._throttle.acquire(first=agent is not None)
            if self._clock.seconds() - asked_at <= GATEWAY_ANSWER_GOOD:
                return route.switch, permit
            again = await self._fleet.route(contact.gateway_id, self.load)
            if again.switch is route.switch:
                return route.switch, permit
            permit.unused()

    async def _unroutable(self, contact: Contact, route: Route, agent: str | None = None) -> Placed:
        """Settle a contact for which there is no switch with its gateway up. `agent` is the one reserved for it."""
        if route.kind is RouteKind.INVALID_GATEWAY:
            self._log_invalid_gateway(contact)
            await self._settle(contact, Status.FAILED, "Invalid Gateway", agent=agent)
            return Placed.FAILED
        if route.kind is RouteKind.GATEWAY_DOWN:
            self._log_gateway_down(contact)
            await self._settle(contact, Status.PENDING, agent=agent)
            return Placed.HELD
        self.log.error("NO EFSWITCH CONNECTION for contact {id}", id=contact.id)
        await self._efswitch_down(contact, agent=agent)
        return Placed.NO_SWITCH

    def _log_invalid_gateway(self, contact: Contact) -> None:
        self.log.warn("INVALID GATEWAY {gateway} of contact {id}", gateway=contact.gateway_id, id=contact.id)

    def _log_gateway_down(self, contact: Contact) -> None:
        self.log.warn("GATEWAY DOWN {gateway} of contact {id}", gateway=contact.gateway_id, id=contact.id)

    async def _efswitch_down(self, contact: Contact, agent: str | None = None) -> None:
        if self._policy is DownPolicy.FAIL:
            await self._settle(contact, Status.FAILED, "EFSwitch Down", agent=agent)
        else:
            await self._settle(contact, Status.PENDING, agent=agent)

    async def _unspeakable(self, contact: Contact, error: CannotBeCarried, agent: str | None = None) -> Placed:
        """Only a row that came from another product's table gets here: what is posted was checked."""
        self.log.error("Contact {id} cannot be called: {error}", id=contact.id, error=error)
        await self._settle(contact, Status.FAILED, "Invalid Contact", agent=agent)
        return Placed.FAILED

    async def _settle(self, contact: Contact, to: Status, result: str | None = None, agent: str | None = None) -> None:
        change = Change(
            contact.id, contact.taking, contact.status, to, result, end_chat=bool(agent), agent=agent or None
        )
        await self._settlement.settle_soon(change)

    async def _send(self, contact: Contact, switch: Switch, arguments: str) -> Placed:
        call = self._calls[contact.id] = Call(contact, self._clock.seconds())
        try:
            job = await switch.originate(arguments, call.job_id)
        except SwitchDown:
            # Never written: the taking may be undone.
            call.over = True
            try:
                await self._efswitch_down(contact, agent=contact.agent)
            finally:
                self._forget(call)
            return Placed.NO_SWITCH
        except ReplyLost:
            self.log.warn("Connection to {switch} lost before it answered for {id}", switch=switch.name, id=contact.id)
            raise
        except CommandRefused as error:
            self._refused(switch, call, refusal(f"-ERR {error.reply}") or Refusal(RefusalKind.OTHER, "REFUSED"))
            return Placed.SENT
        if job != call.job_id:
            # A switch that gives its jobs ids of its own: remember whose it is.
            self._foreign_jobs[job] = call.job_id
        self.log.info("CALLED THE CUSTOMER of contact {id} through {switch}", id=contact.id, switch=switch.name)
        return Placed.SENT

    # -- events ----------------------------------------------------------------------------------------------------

    def handle_event(self, switch: Switch, event: Event) -> None:
        """What EFSwitch tells of a call; events that repeat or are not ours change nothing."""
        name = event.name
        if name == "CHANNEL_HANGUP_COMPLETE":
            self._hung_up(event)
        elif name == "BACKGROUND_JOB":
            self._job_done(switch, event)
        elif name == "CHANNEL_ANSWER":
            if call := self._calls.get(event.get("Unique-ID") or ""):
                call.answered = True
        elif name == "CHANNEL_BRIDGE" and (call := self._calls.get(event.get("Unique-ID") or "")):
            self._bridged(call)

    def _bridged(self, call: Call) -> None:
        if call.bridged or call.over:
            return
        call.bridged = True
        if call.contact.is_agent:
            self._track(self._store_bridge(call))

    async def _store_bridge(self, call: Call) -> None:
        """Only what reconciling after a crash knows better for it; the hangup event tells the same."""
        try:
            await self._store.mark_bridged(call.contact)
        except DatabaseError as error:
            self.log.warn("Bridge of contact {id} was not stored: {error}", id=call.contact.id, error=error)

    def _hung_up(self, event: Event) -> None:
        call_id = event.get("Unique-ID")
        if not call_id:
            return
        end = end_of_call(event)
        call = self._calls.get(call_id)
        if call is None:
            # Perhaps of a dialer that died, whose contacts we shall take over.
            self._ends.add(call_id, end)
        elif not call.over:
            self._end(call, end)

    def _end(self, call: Call, end: CallEnd) -> None:
        self._close(call, Status.ENDED, end.cause, end_chat=needs_end_chat(call.contact.is_agent, end))

    def gone(self, call: Call) -> None:
        """EFSwitch no longer has this call and nobody saw its end."""
        if not call.over:
            talked = call.bridged or call.contact.bridged
            self._close(call, Status.ENDED, "UNKNOWN", end_chat=call.contact.is_agent and not talked)

    def _job_done(self, switch: Switch, event: Event) -> None:
        job = event.get("Job-UUID") or ""
        contact_id, _, taking = self._foreign_jobs.pop(job, job).rpartition(".")
        call = self._calls.get(contact_id)
        if call is None or call.over or str(call.contact.taking) != taking:
            return
        refused = refusal(event.body)
        if refused is None:
            self._limits.accepted(switch)
        else:
            self._refused(switch, call, refused)

    def _refused(self, switch: Switch, call: Call, refused: Refusal) -> None:
        if refused.kind is RefusalKind.UNKNOWN_COMMAND:
            switch.disable(f"it does not know the originate command: {refused.result}")
            self._close(call, Status.PENDING, end_chat=call.contact.is_agent)
            return

        if self._stopping:
            # Nobody would be left to ask EFSwitch; the next start does.
            return

        def look() -> None:
            self._grace.discard(delayed)
            self._track(self._after_grace(switch, call, refused))

        delayed = self._clock.callLater(REFUSAL_GRACE, look)
        self._grace.add(delayed)

    async def _after_grace(self, switch: Switch, call: Call, refused: Refusal) -> None:
        """A refusal stands when there never was a channel; otherwise the hangup event or reconciling tells."""
        if call.over or call.answered or call.bridged:
            return
        try:
            exists = await switch.exists(call.contact.id)
        except (SwitchDown, CommandRefused):
            return
        if exists or call.over or call.answered or call.bridged:
            return
        is_agent = call.contact.is_agent
        if refused.kind is RefusalKind.INVALID_GATEWAY:
            self._log_invalid_gateway(call.contact)
            self._close(call, Status.FAILED, "Invalid Gateway", end_chat=is_agent)
        elif refused.kind is RefusalKind.GATEWAY_DOWN:
            self._log_gateway_down(call.contact)
            self._close(call, Status.PENDING, end_chat=is_agent)
        elif refused.kind is RefusalKind.OVER_LIMITS:
            self._limits.refused(switch)
            self._close(call, Status.PENDING, end_chat=is_agent)
        else:
            self._close(call, Status.ENDED, refused.result, end_chat=is_agent)

    def _close(self, call: Call, to: Status, result: str | None = None, *, end_chat: bool) -> None:
        call.over = True
        contact = call.contact
        self.log.info("Contact {id} {to} {result}", id=contact.id, to=to, result=result or "")
        settled = self._settlement.settle(
            Change(contact.id, contact.taking, Status.DIALED, to, result, end_chat=end_chat)
        )
        settled.addErrback(lambda failure: failure.trap(Dropped))
        settled.addBoth(lambda _: self._forget(call))

    def _forget(self, call: Call) -> None:
        if self._calls.get(call.contact.id) is call:
            del self._calls[call.contact.id]

    # -- recovery --------------------------------------------------------------------------------------------------

    def adopt(self, held: HeldContact) -> None:
        """A `dialed` contact of ours that this process did not send: after a start, or taken over from another."""
        contact = held.contact
        if contact.status is not Status.DIALED or contact.id in self._calls:
            return
        now = self._clock.seconds()
        sent_at = now - max(0.0, held.dialed_ago or 0.0)
        call = self._calls[contact.id] = Call(contact, sent_at, bridged=contact.bridged)
        if end := self._ends.pop(contact.id, since=sent_at):
            self._end(call, end)

    def release(self, call: Call) -> None:
        """Forget a call that another dialer has taken over."""
        self._forget(call)

    # -- shutdown --------------------------------------------------------------------------------------------------

    def _track(self, work: Coroutine[Deferred[Any], Any, object]) -> None:
        under_way: Deferred[object] = Deferred.fromCoroutine(work)
        self._under_way.add(under_way)
        # What a lost reply or a database outage leaves open, reconciling and the settlement close.
        under_way.addErrback(lambda failure: failure.trap(ReplyLost, Dropped, DatabaseError))
        under_way.addErrback(lambda failure: self.log.failure("A call went astray", failure=failure))
        under_way.addCallback(lambda _: self._under_way.discard(under_way))

    async def drain(self) -> None:
        """Fires when no command is waiting for its reply and no refusal is being looked into."""
        self._stopping = True
        for delayed in list(self._grace):
            delayed.cancel()
        self._grace.clear()
        while self._under_way:
            await DeferredList(list(self._under_way), consumeErrors=True)
