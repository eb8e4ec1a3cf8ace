"""The life of one call: from the write-ahead, over the command to EFSwitch and its events, to the result.

Each call is in here from before its command is sent until its result is committed. Its end is settled once, by
whichever comes first: the hangup event, the refusal of the command, or reconciling that finds it gone.
"""

from __future__ import annotations

from collections.abc import Iterator

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger

from dialer.background import Background
from dialer.call import Call
from dialer.contact import Contact, Status, about
from dialer.ends import SeenEnds
from dialer.esl.errors import BadCommand, CommandRefused, ReplyLost, SwitchDown, WireError
from dialer.esl.switch import Switch
from dialer.esl.wire import Event
from dialer.happenings import Seen
from dialer.journal import Journal
from dialer.limits import SwitchLimits
from dialer.meter import Meter, Reconciled
from dialer.outcome import CallEnd, Refusal, RefusalKind, end_of_call, needs_end_chat, refusal
from dialer.recent import RecentCalls
from dialer.repeats import Repeats
from dialer.settlement import Dropped, Settlement
from dialer.store.contacts import Change, ContactStore, HeldContact
from dialer.store.database import DatabaseError

REFUSAL_GRACE = 1.0
"""Seconds after a refusal in which a channel event may still show that there was a channel (SPEC: 1 s; FACTS: a failed
call's background job comes before its hangup event in 58 of 200)."""

LONGEST_ID = 40
"""Characters of `contacts.id`: ids of a table that was taken over may hold any."""


class Calls:
    """All calls of this process."""

    log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        store: ContactStore,
        settlement: Settlement,
        limits: SwitchLimits,
        journal: Journal,
        meter: Meter,
    ) -> None:
        self._clock = clock
        self._store = store
        self._settlement = settlement
        self._limits = limits
        self._journal = journal
        self._meter = meter
        self._calls: dict[str, Call] = {}
        self.coming: set[str] = set()
        """The ids of contacts that are taken and whose command is still to be sent: they are no calls yet."""
        self._foreign_jobs: dict[str, str] = {}
        self._ends = SeenEnds(clock)
        self._repeats = Repeats(meter)
        # What a lost reply or a database outage leaves open, reconciling and the settlement close.
        self.background = Background(ReplyLost, Dropped, DatabaseError)
        """The commands whose replies are awaited, and the refusals that are being looked into."""
        self._stopped = False
        self.recent = RecentCalls(clock)
        """The calls that EFSwitch took lately."""

    def __iter__(self) -> Iterator[Call]:
        """The calls whose result is not on its way yet."""
        return iter([call for call in self._calls.values() if not call.over])

    def load(self, switch: Switch) -> int:
        """How many calls this process has on a switch."""
        return sum(call.switch == switch.name for call in self._calls.values())

    def _begin(self, call: Call) -> Call:
        self._calls[call.contact.id] = call
        self._repeats.begun(call.contact.id)
        return call

    # -- sending ---------------------------------------------------------------------------------------------------

    async def send(self, contact: Contact, switch: Switch, arguments: str) -> None:
        """Send the originate command of a contact that is `dialed`; fires once EFSwitch took or refused it.

        The command is written before this first waits. Fails with SwitchDown or BadCommand when it was never sent,
        and with ReplyLost when EFSwitch may have it.
        """
        call = self._begin(Call(contact, self._clock.seconds()))
        try:
            job = await self._originate(call, switch, arguments)
        except ReplyLost:
            self.log.warn(
                "Connection to {switch} lost before it answered for contact {contact} of campaign {campaign}",
                switch=switch.name,
                **about(contact),
            )
            self._journal.note(contact, Seen.REPLY_LOST, switch.name)
            raise
        except CommandRefused as error:
            self._refused(switch, call, refusal(f"-ERR {error.reply}") or Refusal(RefusalKind.OTHER, "REFUSED"))
            return
        if job != call.job_id:
            call.foreign_job = job
            self._foreign_jobs[job] = call.job_id
        self.log.info(
            "CALLED THE CUSTOMER of contact {contact} of campaign {campaign} through {switch}",
            switch=switch.name,
            **about(contact),
        )
        self._journal.note(contact, Seen.SENT, switch.name)
        self.recent.placed(contact.campaign_id)

    async def _originate(self, call: Call, switch: Switch, arguments: str) -> str:
        """As the switch does it. What was written is an attempt, whatever becomes of it."""
        sent = True
        try:
            return await switch.originate(arguments, call.job_id)
        except (SwitchDown, BadCommand):
            # It stays here until its taking is undone, so that nobody else sees a call in it: see `undone`.
            call.over = True
            sent = False
            raise
        finally:
            if sent:
                self._meter.sent(call.contact.campaign_type, switch.name)

    def undone(self, contact: Contact) -> None:
        """The taking of a contact whose command was never sent has been undone."""
        if (call := self._calls.get(contact.id)) is not None and call.contact.taking == contact.taking:
            self._forget(call)

    # -- events ----------------------------------------------------------------------------------------------------

    def handle_event(self, switch: Switch, event: Event) -> None:
        """What EFSwitch tells of a call; events that repeat or are not ours change nothing."""
        try:
            self._handle(switch, event)
        except WireError:
            raise
        except Exception:
            if (call := self._calls.get(event.about)) is None:
                raise
            self.log.failure(
                "{event} of contact {contact} of campaign {campaign} went astray",
                event=event.name,
                **about(call.contact),
            )

    def _handle(self, switch: Switch, event: Event) -> None:
        name = event.name
        if name == "BACKGROUND_JOB":
            self._job_done(switch, event)
            return
        call_id = event.about
        self._repeats.heard(call_id, name)
        if name == "CHANNEL_HANGUP_COMPLETE":
            self._hung_up(call_id, event)
        elif (call := self._calls.get(call_id)) is None:
            return
        elif name == "CHANNEL_ANSWER":
            self._answered(call)
        elif name == "CHANNEL_BRIDGE":
            self._bridged(call)

    def _answered(self, call: Call) -> None:
        if not (call.answered or call.over):
            call.answered_at = self._clock.seconds()
            self._journal.note(call.contact, Seen.ANSWERED)
            if self._store.has_webhooks:
                self.background.detach(self._tell_answer(call.contact, call.answered_at), call.contact)
        call.answered = True

    async def _tell_answer(self, contact: Contact, answered_at: float) -> None:
        """Once: what is missed here is told with the end of the call, which knows of the answer too."""
        try:
            await self._store.mark_answered(contact, answered_at)
        except DatabaseError as error:
            self.log.warn(
                "Answer of contact {contact} of campaign {campaign} was not stored: {error}",
                error=error,
                **about(contact),
            )

    def _bridged(self, call: Call) -> None:
        if call.bridged or call.over:
            return
        call.bridged = True
        self._journal.note(call.contact, Seen.BRIDGED)
        if call.contact.is_agent:
            self.background.detach(self._store_bridge(call), call.contact)

    async def _store_bridge(self, call: Call) -> None:
        """Only what reconciling after a crash knows better for it; the hangup event tells the same."""
        try:
            await self._store.mark_bridged(call.contact)
        except DatabaseError as error:
            self.log.warn(
                "Bridge of contact {contact} of campaign {campaign} was not stored: {error}",
                error=error,
                **about(call.contact),
            )

    def _hung_up(self, call_id: str, event: Event) -> None:
        # What could be no contact's is nobody's end, and PostgreSQL is not to be asked for it with a NUL in it.
        if not 0 < len(call_id) <= LONGEST_ID or "\0" in call_id:
            return
        call = self._calls.get(call_id)
        if call is None:
            # Perhaps of a dialer that died, whose contacts we shall take over.
            self._ends.add(call_id, event)
        elif not call.over:
            self._end(call, end_of_call(event))

    def _end(self, call: Call, end: CallEnd) -> None:
        if end.rang is not None:
            self._meter.rang(call.contact.campaign_type, end.rang, answered=end.answered)
        if end.talked is not None:
            self._meter.talked(call.contact.campaign_type, end.talked)
        if end.answered and call.answered_at is None:
            # Seen by nobody, or by a dialer that died before it could tell.
            call.answered_at = max(call.sent_at, self._clock.seconds() - (end.talked or 0.0))
        self._close(call, Status.ENDED, end.cause, end_chat=needs_end_chat(call.contact.is_agent, end))

    def gone(self, call: Call) -> None:
        """EFSwitch no longer has this call, and nobody saw its end; it may have refused the command."""
        if call.over:
            return
        if call.refused is not None and not (call.answered or call.bridged):
            self._settle_refusal(call, call.refused)
            return
        talked = call.bridged or call.contact.bridged
        self._close(call, Status.ENDED, "UNKNOWN", end_chat=call.contact.is_agent and not talked)

    def _job_done(self, switch: Switch, event: Event) -> None:
        job = event.about
        contact_id, _, taking = self._foreign_jobs.pop(job, job).rpartition(".")
        self._repeats.heard(contact_id, event.name)
        call = self._calls.get(contact_id)
        if call is None or call.over or str(call.contact.taking) != taking:
            return
        refused = refusal(event.body)
        if refused is None:
            self._limits.accepted(switch)
        else:
            self._refused(switch, call, refused)

    def _refused(self, switch: Switch, call: Call, refused: Refusal) -> None:
        call.refused = refused
        self._journal.note(call.contact, Seen.REFUSED, refused.result)
        if refused.kind is RefusalKind.UNKNOWN_COMMAND:
            switch.disable(f"it does not know the originate command: {refused.result}")
            self._settle_refusal(call, refused)
        elif not self._stopped:
            self.background.detach(self._after_grace(switch, call, refused), call.contact)

    async def _after_grace(self, switch: Switch, call: Call, refused: Refusal) -> None:
        """A refusal stands when there never was a channel; otherwise the hangup event or reconciling tells."""
        await deferLater(self._clock, REFUSAL_GRACE)
        if call.over or call.answered or call.bridged:
            return
        try:
            exists = await switch.exists(call.contact.id)
        except (SwitchDown, CommandRefused):
            return
        if exists or call.over or call.answered or call.bridged:
            return
        if refused.kind is RefusalKind.OVER_LIMITS:
            self._limits.refused(switch)
        self._settle_refusal(call, refused)

    def _settle_refusal(self, call: Call, refused: Refusal) -> None:
        contact = call.contact
        if refused.kind is RefusalKind.INVALID_GATEWAY:
            self.log.warn(
                "INVALID GATEWAY {gateway} of contact {contact} of campaign {campaign}",
                gateway=contact.gateway_id,
                **about(contact),
            )
            self._close(call, Status.FAILED, "Invalid Gateway", end_chat=contact.is_agent)
        elif refused.kind is RefusalKind.GATEWAY_DOWN:
            self.log.warn(
                "GATEWAY DOWN {gateway} of contact {contact} of campaign {campaign}",
                gateway=contact.gateway_id,
                **about(contact),
            )
            self._close(call, Status.PENDING, reason=refused.result, end_chat=contact.is_agent)
        elif refused.kind in (RefusalKind.OVER_LIMITS, RefusalKind.UNKNOWN_COMMAND):
            self._close(call, Status.PENDING, reason=refused.result, end_chat=contact.is_agent)
        else:
            self._close(call, Status.ENDED, refused.result, end_chat=contact.is_agent)

    def _close(
        self, call: Call, to: Status, result: str | None = None, *, end_chat: bool, reason: str | None = None
    ) -> None:
        call.over = True
        contact = call.contact
        self.log.info(
            "Contact {contact} of campaign {campaign} {to} {result}", to=to, result=result or "", **about(contact)
        )
        settled = self._settlement.settle(
            Change.of(contact, to, result, end_chat=end_chat, reason=reason, answered_at=call.answered_at)
        )
        settled.addErrback(lambda failure: failure.trap(Dropped))
        settled.addBoth(lambda _: self._forget(call))

    def _forget(self, call: Call) -> None:
        if self._calls.get(call.contact.id) is call:
            del self._calls[call.contact.id]
        if call.foreign_job is not None:
            self._foreign_jobs.pop(call.foreign_job, None)

    # -- recovery --------------------------------------------------------------------------------------------------

    def adopt(self, held: HeldContact, asked_at: float) -> None:
        """A `dialed` contact of ours that this process did not send: after a start, or taken over from another.

        `asked_at` is when the database was asked for it. Its answer may have taken a while, in which the call may end:
        the call counts as young from the answer on, but an end is its own from the question on.
        """
        contact = held.contact
        if contact.status is not Status.DIALED or contact.id in self._calls or contact.id in self.coming:
            return
        if self._store.never_sent(contact):
            return
        ago = max(0.0, held.dialed_ago or 0.0)
        call = self._begin(Call(contact, self._clock.seconds() - ago, bridged=contact.bridged))
        self._meter.reconciled(Reconciled.ADOPTED)
        if end := self._ends.pop(contact.id, since=asked_at - ago):
            self._end(call, end)

    def release(self, call: Call) -> None:
        """Forget a call that another dialer has taken over."""
        self._forget(call)

    async def tell_foreign_ends(self) -> None:
        """Write the ends that were seen a while ago and that nobody has written: their dialer is gone.

        The end of a call is a fact: whoever sees it writes it. Fails with DatabaseError; then the next call asks again.
        """
        ends = self._ends.ripe()
        if not ends:
            return
        asked_at = self._clock.seconds()
        found = await self._store.still_dialed(list(ends))
        for held in found:
            contact = held.contact
            dialed_at = asked_at - (held.dialed_ago or 0.0)
            if contact.id not in self._calls and (end := self._ends.pop(contact.id, since=dialed_at)):
                self._meter.reconciled(Reconciled.TOLD)
                self._end(self._begin(Call(contact, dialed_at)), end)
        self._ends.looked_up(ends)

    # -- shutdown --------------------------------------------------------------------------------------------------

    async def drain(self) -> None:
        """Fires when no command awaits its reply and no refusal is being looked into; cancelled, it ends them."""
        try:
            await self.background.drain()
        finally:
            # Nobody would be left to look into a further refusal; the next start does.
            self._stopped = True
