"""The agent's side of an AGENT contact: asking the VC for one, and acting on its reply."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from attrs import evolve
from twisted.internet.defer import DeferredLock
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from dialer.background import Background
from dialer.call import Placed
from dialer.connector import AgentRequest, AgentRequestKind, Connector
from dialer.contact import AgentReply, Contact, Status, about
from dialer.errors import DialerError
from dialer.esl.errors import ReplyLost
from dialer.happenings import Seen
from dialer.journal import Journal
from dialer.meter import Meter, Turn
from dialer.placing import Placing
from dialer.recent import AgentAnswers, Answered
from dialer.settlement import Dropped, Settlement
from dialer.store.contacts import Change, ContactStore
from dialer.store.database import DatabaseDown, DatabaseError
from dialer.takings import Takings
from dialer.throttle import Permit, Throttle


class UnknownContact(DialerError):
    """There is no contact with this id."""


class NotWaiting(DialerError):
    """The contact does not wait for this reply."""


class Stopping(DialerError):
    """The dialer is stopping."""


class EFSwitchDown(DialerError):
    """EFSwitch is down: the command could not be sent, or its answer was lost."""


class Agents:
    """Agent requests and replies of this process.

    `efswitch_ip` is what the VC is told as `eslHost` for a contact without a tenant. `may_ask` is asked right before a
    request, with the time at which its contact was taken: a dialer that was stopped for long may have lost what it
    took. `now` gives the time of day.
    """

    log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        store: ContactStore,
        takings: Takings,
        settlement: Settlement,
        connector: Connector,
        placing: Placing,
        throttle: Throttle,
        journal: Journal,
        *,
        efswitch_ip: str,
        may_ask: Callable[[float], bool],
        meter: Meter,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._clock = clock
        self._store = store
        self._takings = takings
        self._settlement = settlement
        self._connector = connector
        self._placing = placing
        self._throttle = throttle
        self._journal = journal
        self._efswitch_ip = efswitch_ip
        self._may_ask = may_ask
        self._meter = meter
        self._now = now
        # What cannot be given back now is given back when the database is there again.
        self._requests = Background(DatabaseError)
        self._given_up: set[str] = set()
        self._replies: dict[str, DeferredLock] = {}
        self._stopping = False
        self.answers = AgentAnswers(clock)
        """What came of the last agent requests."""

    # -- asking ----------------------------------------------------------------------------------------------------

    async def request(self, contact: Contact) -> Placed:
        """Take an AGENT contact and ask the VC for an agent; fires when that is under way, in the order of the calls of
        this.

        What comes of it shows in the contact. Fails with ThrottleClosed; then nothing was done.
        """
        began = self._clock.seconds()
        permit = await self._throttle.acquire()
        self._meter.waited(Turn.AGENT_REQUEST, self._clock.seconds() - began)
        self._requests.detach(self._take_and_ask(contact, permit), contact)
        return Placed.SENT

    async def _take_and_ask(self, contact: Contact, permit: Permit) -> None:
        with permit:
            taken_at = self._clock.seconds()
            taken = await self._takings.run(contact, self._store.take_for_agent(contact))
            if taken is None:
                return
            permit.used()
        self.log.info(
            "CAMPAIGN TYPE: {type}, contact {contact} of campaign {campaign}",
            type=taken.campaign_type,
            **about(taken),
        )
        await self._ask(taken, taken_at)

    async def _ask(self, contact: Contact, taken_at: float) -> None:
        if not self._may_ask(taken_at):
            self.log.error(
                "No agent requested for contact {contact} of campaign {campaign}: this dialer lost its lease meanwhile",
                **about(contact),
            )
            await self._back_to_queue(contact, "the dialer lost its lease")
            return
        answer: AgentRequest = await self._connector.request_agent(contact, esl_host_default=self._efswitch_ip)
        self._meter.asked_for_agent(answer.kind.name.lower())
        if answer.kind is AgentRequestKind.ACCEPTED:
            self.log.info("AGENT REQUESTED FOR CALL ID {contact} of campaign {campaign}", **about(contact))
            self.answers.note(contact.campaign_id, Answered.TAKEN)
            self._journal.note(contact, Seen.AGENT_REQUESTED)
        elif answer.kind is AgentRequestKind.UNANSWERED:
            # The VC may have it: the reply, or AGENT_REPLY_TIMEOUT, decides.
            reason = answer.reason
            self.log.warn(
                "No answer to the agent request for contact {contact} of campaign {campaign}: {reason}",
                reason=reason,
                **about(contact),
            )
            self._journal.note(contact, Seen.AGENT_REQUESTED, f"no answer: {reason}")
        else:
            self.log.error(
                "UNABLE TO REQUEST AGENT FROM VOICE CONNECTOR FOR CALL ID {contact} of campaign {campaign}: {reason}",
                reason=answer.reason,
                **about(contact),
            )
            self.answers.note(contact.campaign_id, Answered.REFUSED, answer.reason)
            await self._back_to_queue(contact, f"agent request not accepted: {answer.reason}")

    async def give_up(self, timeout: float) -> int:
        """Return the contacts that have waited for a reply for more than `timeout` seconds; how many."""
        overdue = [each for each in await self._store.overdue_replies(timeout) if each.id not in self._given_up]
        for contact in overdue:
            self.log.warn(
                "No agent reply for contact {contact} of campaign {campaign} in {timeout} s",
                timeout=timeout,
                **about(contact),
            )
            # Not waited for: one that somebody has locked must not keep the slots of the others.
            self._given_up.add(contact.id)
            self.answers.note(contact.campaign_id, Answered.NO_REPLY)
            returned = self._settlement.settle(_return(contact, f"no agent reply in {timeout:g} s"))
            returned.addErrback(lambda failure: failure.trap(Dropped) and None)
            returned.addCallback(self._gave_up, contact.id)
        return len(overdue)

    def _gave_up(self, _: str | None, contact_id: str) -> None:
        self._given_up.discard(contact_id)

    async def _back_to_queue(self, contact: Contact, reason: str, agent: str | None = None) -> str | None:
        return await self._settlement.settle_soon(_return(contact, reason, agent))

    # -- the reply -------------------------------------------------------------------------------------------------

    async def reply(self, reply: AgentReply) -> Contact:
        """Act on the VC's reply, once; fires with the contact's new state.

        Fails with UnknownContact, NotWaiting, EFSwitchDown, Stopping or a DatabaseError.
        """
        # One reply at a time for each contact: a repeated one waits, and then finds what the first one did.
        lock = self._replies.setdefault(reply.contact_id, DeferredLock())
        await lock.acquire()
        try:
            if self._stopping:
                raise Stopping
            return await self._act(reply)
        finally:
            lock.release()
            if not lock.locked and self._replies.get(reply.contact_id) is lock:
                del self._replies[reply.contact_id]

    async def _act(self, reply: AgentReply) -> Contact:
        contact = await self._find(reply)
        if contact.status is not Status.AGENT_PENDING:
            return await self._too_late(contact, reply)
        self._meter.agent_replied(reserved=bool(reply.agent))
        if not reply.agent:
            self.log.info("No agent available for contact {contact} of campaign {campaign}", **about(contact))
            self.answers.note(contact.campaign_id, Answered.NO_AGENT)
            await self._back_to_queue(contact, "no agent available", agent="")
            return await self._after(contact)
        self.log.info(
            "RECEIVED RESERVED AGENT INFO FOR CALL ID {contact} of campaign {campaign}: agent {agent}",
            agent=reply.agent,
            **about(contact),
        )
        self.answers.note(contact.campaign_id, Answered.AGENT)
        if contact.end_time is not None and contact.end_time < self._now():
            return await self._expired(contact, reply)
        try:
            placed = await self._placing.place_agent(contact, reply)
        except ReplyLost as error:
            raise EFSwitchDown(f"the connection to EFSwitch was lost before it answered: {error}") from error
        if placed is Placed.NO_SWITCH:
            raise EFSwitchDown("EFSwitch is down, the customer was not called")
        if placed is Placed.TAKEN_ALREADY:
            return await self._lost_the_race(reply)
        return await self._after(contact)

    async def _find(self, reply: AgentReply) -> Contact:
        contact = await self._store.get(reply.contact_id)
        if contact is None:
            raise UnknownContact(f"there is no contact {reply.contact_id}")
        return contact

    async def _after(self, contact: Contact) -> Contact:
        """As stored now; `removed` when its campaign was purged meanwhile."""
        return await self._store.get(contact.id) or evolve(contact, status=Status.REMOVED)

    async def _expired(self, contact: Contact, reply: AgentReply) -> Contact:
        await self._settlement.settle_soon(
            Change.of(contact, Status.FAILED, "Expired", end_chat=True, agent=reply.agent)
        )
        return await self._after(contact)

    async def _lost_the_race(self, reply: AgentReply) -> Contact:
        """The row was not as it was read: somebody acted on the reply, it just expired, or it was not committed."""
        found = await self._find(reply)
        if found.status is not Status.AGENT_PENDING:
            return await self._too_late(found, reply)
        if found.end_time is not None and found.end_time <= self._now():
            return await self._expired(found, reply)
        raise DatabaseDown("the contact could not be claimed just now, as without a lease")

    async def _too_late(self, contact: Contact, reply: AgentReply) -> Contact:
        if contact.agent is not None and contact.agent == reply.agent:
            return contact
        if contact.status is not Status.DIALED and reply.agent:
            await self._store.release_agent(contact.id, reply.agent)
        raise NotWaiting(f"contact {contact.id} is {contact.status} and does not wait for this reply")

    # -- shutdown --------------------------------------------------------------------------------------------------

    async def drain(self) -> None:
        """Refuse further replies; fires when those being acted on and the requests under way have ended."""
        self._stopping = True
        for lock in list(self._replies.values()):
            await lock.run(lambda: None)
        await self._requests.drain()


def _return(contact: Contact, reason: str, agent: str | None = None) -> Change:
    """The change that puts a contact back into its queue that waited for an agent."""
    return Change.of(contact, Status.PENDING, agent=agent, reason=reason)
