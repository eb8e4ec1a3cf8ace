"""Placing a call: a switch with the gateway up, the right moment, the write-ahead, and the command."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger

from dialer.ahead import Ahead
from dialer.call import CallWriter, DownPolicy, Placed
from dialer.calls import Calls
from dialer.contact import AgentReply, Contact, Status, about
from dialer.errors import DialerError
from dialer.esl.errors import BadCommand, SwitchDown
from dialer.esl.fleet import Fleet, Route, RouteKind
from dialer.esl.gateways import FRESH, GatewayStatus
from dialer.esl.switch import Switch
from dialer.gateway_troubles import GatewayTroubles
from dialer.limits import SwitchLimits
from dialer.meter import Meter, Turn
from dialer.originate import CannotBeCarried
from dialer.settlement import Settlement
from dialer.store.contacts import Change, ContactStore
from dialer.takings import Takings
from dialer.throttle import Permit, Throttle, ThrottleClosed

READY_WITHIN = 5.0
"""Seconds that an agent reply waits for an EFSwitch that is just being compared with what is stored."""

LOOK_AGAIN = 0.2
"""Seconds between two looks for that."""

LONGEST_WAIT = 5.0
"""Seconds between the taking of a contact and its command, at most: half of the age from which on a call that EFSwitch
does not have may be taken for gone. One whose commit or whose turn took longer goes back to its queue."""

LEAD = 0.03
"""Seconds that a contact is taken before its turn to be sent, at most: several times what a commit takes, so that the
database holds up nobody's turn, and little against what `dial_time` means to anybody. Of several dialers each has fewer
to take, and takes them longer before."""

LONGEST_LEAD = 0.09
"""Seconds that it is taken before its turn at most, however many dialers there are: whoever is taken when the dialer
dies is not called any more, and ends as UNKNOWN."""


class NotReady(DialerError):
    """EFSwitch is just being compared with what is stored; nothing was done, try again."""


class Placing:
    """Takes contacts and sends their commands.

    `policy` says what happens to a contact while no EFSwitch can be reached. `may_send` is asked right before a
    command is written, with the time at which its contact was taken: a dialer that was stopped for long may have lost
    what it took. `dialers` says how many share the database.
    """

    log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        store: ContactStore,
        takings: Takings,
        settlement: Settlement,
        fleet: Fleet,
        calls: Calls,
        throttle: Throttle,
        limits: SwitchLimits,
        writer: CallWriter,
        *,
        policy: DownPolicy,
        may_send: Callable[[float], bool],
        meter: Meter,
        dialers: Callable[[], int],
    ) -> None:
        self._clock = clock
        self._store = store
        self._takings = takings
        self._settlement = settlement
        self._fleet = fleet
        self._calls = calls
        self._throttle = throttle
        self._limits = limits
        self._writer = writer
        self._policy = policy
        self._may_send = may_send
        self._meter = meter
        self._dialers = dialers
        self._ahead = Ahead(lambda: max(1, int(throttle.rate * self._lead)))
        self._latest: Deferred[None] = succeed(None)
        """Fires when the contact that was taken last has had its turn, and all before it."""
        self._unsent: Counter[str] = Counter()
        """How many contacts are taken for each switch whose turn has not come."""
        self._stopping = False
        self.gateways = GatewayTroubles(clock)
        """The gateways that contacts lately found down, or unknown."""

    @property
    def _lead(self) -> float:
        return min(LEAD * self._dialers(), LONGEST_LEAD)

    def stop(self) -> None:
        """Place no more: from now on whoever waits for a turn gets ThrottleClosed, and what is down is not EFSwitch."""
        self._stopping = True
        self._limits.close()
        self._throttle.close()

    async def place_ivr(self, contact: Contact) -> Placed:
        """Take an IVR contact and send its command; fires when that is under way, in the order of the calls of this.

        What comes of it shows in the contact. Fails with ThrottleClosed; then nothing was done.
        """
        switch = await self._go_ahead(contact)
        if isinstance(switch, Placed):
            return switch
        try:
            arguments = self._writer.ivr(contact, switch)
        except BaseException as error:
            self._ahead.release()
            if isinstance(error, CannotBeCarried):
                return await self._unspeakable(contact, error)
            raise
        self._calls.background.detach(self._take_and_send(contact, switch, arguments), contact)
        return Placed.SENT

    async def _go_ahead(self, contact: Contact) -> Switch | Placed:
        """A switch with the contact's gateway up, when the contact is to be taken, or what became of the contact.

        Few are taken ahead of their turn, so the wait is before it: the gateway is asked for first, and again when the
        answer has grown old meanwhile.
        """
        began: float | None = None
        while True:
            route = await self._route(contact, wait=False)
            if route.switch is None:
                return await self._unroutable(contact, route)
            asked_at = self._clock.seconds()
            began = asked_at if began is None else began
            await self._limits.turn(route.switch)
            await self._ahead.acquire()
            try:
                await self._throttle.soon(self._lead)
                got_at = self._clock.seconds()
                again = None if got_at - asked_at <= FRESH else await self._fleet.route(contact.gateway_id, self._load)
            except BaseException:
                self._ahead.release()
                raise
            if again is None or again.switch is route.switch:
                self._meter.waited(Turn.CALL, got_at - began)
                return route.switch
            self._ahead.release()

    async def _take_and_send(self, contact: Contact, switch: Switch, arguments: str) -> None:
        before, self._latest = self._latest, Deferred()
        gone = self._latest
        self._unsent[switch.name] += 1
        self._calls.coming.add(contact.id)
        try:
            sending = await self._take_and_write(contact, switch, arguments, before)
        finally:
            self._unsent[switch.name] -= 1
            self._calls.coming.discard(contact.id)
            self._ahead.release()
            # Also when it never waited for its turn: the next must not overtake those that still do.
            before.addBoth(lambda _: gone.callback(None))
        if sending is not None:
            await sending

    async def _take_and_write(
        self, contact: Contact, switch: Switch, arguments: str, before: Deferred[None]
    ) -> Deferred[Placed] | None:
        """Take it, and write its command after `before`, the turn of the one before it; what fires with the outcome."""
        taken_at = self._clock.seconds()
        dialed = await self._takings.run(contact, self._store.take_for_call(contact, switch.name))
        if dialed is None:
            return None
        self.log.info(
            "CAMPAIGN TYPE: {type}, contact {contact} of campaign {campaign}",
            type=dialed.campaign_type,
            **about(dialed),
        )
        await before
        try:
            permit = await self._throttle.acquire()
        except ThrottleClosed:
            await self._settle(dialed, Status.PENDING, reason="the dialer stopped before it was sent")
            return None
        if self._clock.seconds() - taken_at > LONGEST_WAIT:
            permit.unused()
            self.log.warn(
                "Contact {contact} of campaign {campaign} was not sent: its turn did not come in time", **about(dialed)
            )
            await self._settle(dialed, Status.PENDING, reason="its turn did not come in time")
            return None
        permit.used()
        # The command is written before this first waits.
        return Deferred.fromCoroutine(self._send(dialed, switch, arguments, taken_at))

    async def place_agent(self, contact: Contact, reply: AgentReply) -> Placed:
        """Call the customer of a contact whose agent is reserved; fires once EFSwitch took or refused the command.

        Fails with ReplyLost when EFSwitch may have it; with DatabaseError, NotReady or ThrottleClosed when it was not
        taken.
        """
        ready = await self._get_ready(contact, reply.agent)
        if isinstance(ready, Placed):
            return ready
        switch, permit = ready
        with permit:
            try:
                arguments = self._writer.agent(contact, reply, switch)
            except CannotBeCarried as error:
                return await self._unspeakable(contact, error, agent=reply.agent)
            self.log.info("DIALING AGENT-BASED CONTACT WITH ID {contact} of campaign {campaign}", **about(contact))
            taken_at = self._clock.seconds()
            dialed = await self._store.dial_agent(contact, reply.agent, switch.name)
            if dialed is None:
                return Placed.TAKEN_ALREADY
            permit.used()
            sent = await self._calls.background.run(self._send(dialed, switch, arguments, taken_at))
            if sent is Placed.SENT:
                self.log.info(
                    "AGENT-BASED CONTACT WITH ID {contact} SENT TO EFSWITCH, campaign {campaign}", **about(contact)
                )
            return sent

    async def _get_ready(self, contact: Contact, agent: str) -> tuple[Switch, Permit] | Placed:
        """A switch with the contact's gateway up and the right to send to it now, or what became of the contact.

        Ahead of the queue. The gateway is asked for first, since a permit that is held back slows everybody down; and
        again when the answer has grown old by waiting.
        """
        began: float | None = None
        while True:
            route = await self._route(contact, wait=True)
            if route.switch is None:
                return await self._unroutable(contact, route, agent=agent)
            asked_at = self._clock.seconds()
            began = asked_at if began is None else began
            await self._limits.turn(route.switch, first=True)
            permit = await self._throttle.acquire(first=True)
            got_at = self._clock.seconds()
            again = None if got_at - asked_at <= FRESH else await self._fleet.route(contact.gateway_id, self._load)
            if again is None or again.switch is route.switch:
                self._meter.waited(Turn.CALL, got_at - began)
                return route.switch, permit
            permit.unused()

    async def _route(self, contact: Contact, *, wait: bool) -> Route:
        deadline = self._clock.seconds() + (READY_WITHIN if wait else 0)
        while True:
            route = await self._fleet.route(contact.gateway_id, self._load)
            if route.switch is None and self._stopping:
                raise ThrottleClosed
            if route.switch is not None:
                self.gateways.found(contact.gateway_id)
            if route.kind is not RouteKind.NOT_READY or self._clock.seconds() >= deadline:
                return route
            await deferLater(self._clock, LOOK_AGAIN)

    def _load(self, switch: Switch) -> tuple[bool, int]:
        """A switch that is slowed down comes after those that are not."""
        return self._limits.is_slowed(switch), self._calls.load(switch) + self._unsent[switch.name]

    async def _unroutable(self, contact: Contact, route: Route, agent: str | None = None) -> Placed:
        """Settle a contact for which there is no switch with its gateway up. `agent` is the one reserved for it."""
        if route.kind is RouteKind.INVALID_GATEWAY:
            self.gateways.met(contact.gateway_id, GatewayStatus.INVALID, contact.campaign_id)
            self.log.warn(
                "INVALID GATEWAY {gateway} of contact {contact} of campaign {campaign}",
                gateway=contact.gateway_id,
                **about(contact),
            )
            await self._settle(contact, Status.FAILED, "Invalid Gateway", agent=agent)
            return Placed.FAILED
        if route.kind is RouteKind.GATEWAY_DOWN:
            self.gateways.met(contact.gateway_id, GatewayStatus.DOWN, contact.campaign_id)
            self.log.warn(
                "GATEWAY DOWN {gateway} of contact {contact} of campaign {campaign}",
                gateway=contact.gateway_id,
                **about(contact),
            )
            await self._settle(contact, Status.PENDING, reason=f"gateway {contact.gateway_id} down", agent=agent)
            return Placed.HELD
        if route.kind is RouteKind.NOT_READY:
            if agent is not None:
                raise NotReady
            return Placed.NOT_NOW
        if route.kind is RouteKind.NOT_USED:
            await self._settle(contact, Status.PENDING, reason="no EFSwitch that is used", agent=agent)
            return Placed.HELD
        self.log.error("NO EFSWITCH CONNECTION for contact {contact} of campaign {campaign}", **about(contact))
        await self._efswitch_down(contact, agent=agent)
        return Placed.NO_SWITCH

    async def _efswitch_down(self, contact: Contact, agent: str | None = None) -> None:
        if self._policy is DownPolicy.FAIL and not self._stopping:
            await self._settle(contact, Status.FAILED, "EFSwitch Down", agent=agent)
        else:
            await self._settle(contact, Status.PENDING, reason="no EFSwitch reached", agent=agent)

    async def _unspeakable(self, contact: Contact, error: DialerError, agent: str | None = None) -> Placed:
        """Only a row that came from another product's table gets here: what is posted was checked."""
        self.log.error(
            "Contact {contact} of campaign {campaign} cannot be called: {error}", error=error, **about(contact)
        )
        await self._settle(contact, Status.FAILED, "Invalid Contact", agent=agent)
        return Placed.FAILED

    async def _settle(
        self,
        contact: Contact,
        to: Status,
        result: str | None = None,
        *,
        agent: str | None = None,
        reason: str | None = None,
    ) -> None:
        await self._settlement.settle_soon(
            Change.of(contact, to, result, end_chat=bool(agent), agent=agent or None, reason=reason)
        )

    async def _send(self, dialed: Contact, switch: Switch, arguments: str, taken_at: float) -> Placed:
        """Send the command of a contact that was taken; undo the taking when it was certainly never sent."""
        if not self._may_send(taken_at):
            self.log.error(
                "Contact {contact} of campaign {campaign} was not sent: this dialer lost its lease meanwhile",
                **about(dialed),
            )
            await self._settle(dialed, Status.PENDING, reason="the dialer lost its lease", agent=dialed.agent)
            return Placed.HELD
        try:
            await self._calls.send(dialed, switch, arguments)
        except (SwitchDown, BadCommand) as error:
            try:
                return await self._undo(dialed, error)
            finally:
                self._calls.undone(dialed)
        return Placed.SENT

    async def _undo(self, dialed: Contact, error: SwitchDown | BadCommand) -> Placed:
        if isinstance(error, BadCommand):
            return await self._unspeakable(dialed, error, agent=dialed.agent)
        self.log.error("NO EFSWITCH CONNECTION for contact {contact} of campaign {campaign}", **about(dialed))
        await self._efswitch_down(dialed, agent=dialed.agent)
        return Placed.NO_SWITCH
