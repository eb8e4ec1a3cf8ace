"""The contacts in PostgreSQL: every question about them and every change of their state, each one transaction.

A change names the status and the taking that it starts from, so the second of two racing changes changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from attrs import field, frozen
from twisted.internet.interfaces import IReactorTime

from dialer.contact import Contact, NewContact, Status
from dialer.errors import DialerError
from dialer.gather import Gather
from dialer.message import END_CHAT_LIFETIME, MessageKind, OutboxMessage, WebhookTargets
from dialer.store.claims import Claim, Claims
from dialer.store.database import CommitUnknown, Database, DatabaseDown, DatabaseError, Run
from dialer.store.outbox import CLAIM_TIME
from dialer.store.queries import sql
from dialer.store.rows import contact_of, posted_json
from dialer.store.share import Asked

SINGLES_AT_ONCE = 16
"""Contacts posted one by one that one statement stores: they are answered in one turn of the reactor."""

ADD_AT_ONCE = 250
"""Posted contacts that one statement stores, in a list of any length: calls are served between two of them."""

EXPIRE_AT_ONCE = 500
"""Rows that one expiry statement may change: bounds its locks and its time."""

TAKE_AT_ONCE = 100
"""Rows that one statement takes, likewise."""

TAKE_OVER_AT_ONCE = 1000
"""Rows that one take-over statement may change, likewise."""


LOCKED = "locked"
"""In place of a status: another session has locked the contact's row, and nothing was changed."""


class ContactClash(DialerError):
    """The id exists with other content."""

    def __init__(self, index: int, contact_id: str) -> None:
        super().__init__(f"contact {contact_id} exists with other content")
        self.index = index
        self.contact_id = contact_id


@frozen
class Added:
    """How many posted contacts were stored, and how many had been stored before with the same content."""

    accepted: int
    duplicates: int


@frozen
class Change:
    """One change of a contact's state on its way into the database.

    `status` and `taking` are what it starts from. `to` is ENDED or FAILED, with the call result in `result`, or
    PENDING for a contact that goes back to its queue, with the reason for its history. `agent` is the agent of the
    reply that is acted on, if any. `answered_at` is when the customer answered, in seconds of the dialer's clock.
    `campaign_id` and `campaign_type` are those of the contact.
    """

    contact_id: str
    taking: int
    status: Status
    to: Status
    result: str | None = None
    end_chat: bool = False
    agent: str | None = None
    answered_at: float | None = field(default=None, eq=False)
    # For people and their figures: they make no other change of it.
    reason: str | None = field(default=None, eq=False)
    campaign_id: str | None = field(default=None, eq=False)
    campaign_type: str | None = field(default=None, eq=False)

    @classmethod
    def of(cls, contact: Contact, to: Status, result: str | None = None, **more: Any) -> Change:
        """A change of this contact, from the status and the taking that it has here."""
        ids = {"campaign_id": contact.campaign_id, "campaign_type": contact.campaign_type}
        return cls(contact.id, contact.taking, contact.status, to, result, **(ids | more))


@frozen
class _Take:
    """One contact that is to be taken."""

    contact: Contact
    status: Status
    switch: str | None


@frozen
class HeldContact:
    """An active contact and the seconds since it was sent to EFSwitch (None: not sent)."""

    contact: Contact
    dialed_ago: float | None


class ContactStore:
    """Typed access to `contacts` for one dialer process.

    `owner` and `instance` name the process in its lease; `hold` is how long, in seconds, a contact that went back to
    pending is not eligible. `posting` is asked in place of `database` for who posts contacts and looks at them. `room`
    says how many of the messages for the VC that a change brings may be claimed for this process at once; `on_messages`
    gets those that were, and whether there are others. `webhooks` says who else is told, if anybody; `on_webhooks` is
    called when that may be waiting. All methods fail with DatabaseDown when nothing reached the server and with
    CommitUnknown when a change may or may not have been made.
    """

    def __init__(
        self,
        clock: IReactorTime,
        database: Database,
        *,
        owner: str,
        instance: str,
        hold: float,
        posting: Asked | None = None,
        room: Callable[[], int] = lambda: 0,
        on_messages: Callable[[Sequence[OutboxMessage], bool], None] = lambda *_: None,
        webhooks: WebhookTargets | None = None,
        on_webhooks: Callable[[], None] = lambda: None,
    ) -> None:
        self._clock = clock
        self._database = database
        self._posting = posting or database
        self._me: dict[str, Any] = {"owner": owner, "instance": instance}
        if webhooks is not None:
            self._me |= {"result_webhook": webhooks.result, "webhook_hosts": list(webhooks.hosts)}
        self.has_webhooks = webhooks is not None
        """Whether anybody is told of answers as they come."""
        self._on_webhooks = on_webhooks
        self._hold = hold
        self._room = room
        self._on_messages = on_messages
        self._adds = Gather(clock, self._add_singles, most=SINGLES_AT_ONCE)
        self._answers = Gather(clock, self._mark_all_answered, most=TAKE_AT_ONCE)
        self._takes = Gather(clock, self._take_all, most=TAKE_AT_ONCE)
        self._claims = Claims(database, owner=owner, instance=instance, undo=self._undo)
        self.owner = owner

    async def add(self, contacts: Sequence[NewContact]) -> Added:
        """Store all of them or none; fires after the commit.

        Fails with ContactClash, naming the first posted contact whose id is stored with other content.
        """
        if len(contacts) == 1:
            outcome = await self._posting.in_time(self._adds.put(contacts[0]))
            if isinstance(outcome, Exception):
                raise outcome
            return outcome

        async def insert(run: Run) -> Added:
            accepted = 0
            for first in range(0, len(contacts), ADD_AT_ONCE):
                part = contacts[first : first + ADD_AT_ONCE]
                posted = {"contacts": posted_json(part)}
                stored = len(await run(sql("insert_contacts"), posted))
                if stored < len(part):
                    # A statement of its own: it sees what another transaction stored while the insert waited for it.
                    for clash in await run(sql("posted_clashes"), posted):
                        raise ContactClash(first + clash["index"], clash["id"])
                accepted += stored
            return Added(accepted, len(contacts) - accepted)

        return await self._posting.transaction(insert)

    async def add_each(self, contacts: Sequence[NewContact]) -> list[Added | Exception]:
        """Store each for itself, with one statement: of each what became of it, ContactClash or another failure.

        At most ADD_AT_ONCE. The whole fails with DatabaseDown or CommitUnknown, and may be repeated.
        """
        return await self._add_singles(contacts)

    async def _add_singles(self, contacts: Sequence[NewContact]) -> list[Added | Exception]:
        """Store contacts that were posted one by one at the same time, each for itself, with one statement."""
        try:
            return await self._add_together(contacts)
        except DatabaseError:
            raise
        except Exception as error:
            # One of them cannot be stored; it must not take the others with it.
            if len(contacts) == 1:
                return [error]
            return [outcome for contact in contacts for outcome in await self._add_singles([contact])]

    async def _add_together(self, contacts: Sequence[NewContact]) -> list[Added | Exception]:
        posted = {"contacts": posted_json(contacts)}
        stored = {row["id"] for row in await self._posting.run(sql("insert_contacts"), posted)}
        clashes: set[int] = set()
        if len(stored) < len(contacts):
            clashes = {row["index"] for row in await self._posting.run(sql("posted_clashes"), posted)}
        outcomes: list[Added | Exception] = []
        for index, contact in enumerate(contacts):
            if index in clashes:
                outcomes.append(ContactClash(0, contact.id))
            elif contact.id in stored:
                # Of the same contact posted twice the first was stored.
                stored.discard(contact.id)
                outcomes.append(Added(1, 0))
            else:
                outcomes.append(Added(0, 1))
        return outcomes

    async def get(self, contact_id: str) -> Contact | None:
        """The contact as stored now."""
        return await self._get(self._database, contact_id)

    async def look_up(self, contact_id: str) -> Contact | None:
        """The same, for who is only looking."""
        return await self._get(self._posting, contact_id)

    async def _get(self, database: Asked, contact_id: str) -> Contact | None:
        rows = await database.run(sql("contact"), {"id": contact_id})
        return contact_of(rows[0]) if rows else None

    async def take_for_call(self, contact: Contact, switch: str) -> Contact | None:
        """The write-ahead of an IVR call: pending → dialed. None when it is no longer eligible."""
        return await self._take(contact, Status.DIALED, switch)

    async def take_for_agent(self, contact: Contact) -> Contact | None:
        """The write-ahead of an agent request: pending → agent_pending. None when it is no longer eligible."""
        return await self._take(contact, Status.AGENT_PENDING, None)

    async def _take(self, contact: Contact, status: Status, switch: str | None) -> Contact | None:
        claim = Claim(contact.id, contact.campaign_id, contact.taking, contact.taking + 1, status)
        try:
            return await self._claims.make(claim, lambda: self._takes.put(_Take(contact, status, switch)))
        except CommitUnknown:
            # It is not ours to go on with; the others in line may be.
            return None

    async def _take_all(self, takes: Sequence[_Take]) -> list[dict[str, Any] | None]:
        asked = self._me | {
            "ids": [take.contact.id for take in takes],
            "takings": [take.contact.taking for take in takes],
            "arrivals": [take.contact.arrival for take in takes],
            "statuses": [take.status for take in takes],
            "switches": [take.switch for take in takes],
        }
        taken = {row["id"]: row for row in await self._change("take", asked)}
        # A contact that was asked for twice was taken once.
        return [taken.pop(take.contact.id, None) for take in takes]

    async def dial_agent(self, contact: Contact, agent: str, switch: str) -> Contact | None:
        """agent_pending → dialed for this dialer. None when it no longer waits for this reply, or is past its end."""
        asked = self._me | {"id": contact.id, "taking": contact.taking, "agent": agent, "switch": switch}
        claim = Claim(contact.id, contact.campaign_id, contact.taking, contact.taking, Status.DIALED)

        async def dial() -> dict[str, Any] | None:
            rows = await self._database.run(sql("dial_agent"), asked)
            return rows[0] if rows else None

        return await self._claims.make(claim, dial)

    async def _undo(self, contact: Contact) -> None:
        """Nothing was sent for it, nor will be; its agent, if one is reserved, is let go."""
        back = Change.of(contact, Status.PENDING, end_chat=bool(contact.agent), reason="never sent")
        if LOCKED in (await self.apply([back])).values():
            raise DatabaseDown("another session has locked the contact")

    def never_sent(self, contact: Contact) -> bool:
        """Whether this is a claim of ours for which nothing was sent, and that is being undone."""
        return self._claims.undecided(contact)

    async def apply(self, changes: Sequence[Change]) -> dict[tuple[str, int], str]:
        """Make these changes; the (contact id, taking) of those that changed something, with the new status.

        Applying a change again changes nothing. `removed` stands for a contact whose campaign was purged meanwhile, and
        LOCKED for one that must be tried again.
        """
        finished = [change for change in changes if change.to is not Status.PENDING]
        returned = [change for change in changes if change.to is Status.PENDING]
        rows: list[dict[str, Any]] = []
        if finished:
            asked = self._me | _columns(finished)
            asked["to_statuses"] = [change.to for change in finished]
            asked["results"] = [change.result for change in finished]
            asked["answered_agos"] = [self._ago(change.answered_at) for change in finished]
            asked |= {"room": self._room(), "claim_time": CLAIM_TIME}
            rows += await self._change("finish", asked)
            claimed = [_claimed(row) for row in rows if row["message_id"] is not None]
            done = sum(row["status"] != LOCKED for row in rows)
            self._on_messages(claimed, len(claimed) < done)
        if returned:
            asked = self._me | _columns(returned) | {"hold": self._hold}
            asked["reasons"] = [change.reason for change in returned]
            rows += await self._database.run(sql("give_back"), asked)
            if any(change.end_chat for change in returned):
                self._on_messages((), True)
        return {(row["id"], row["taking"]): row["status"] for row in rows}

    async def expire(self) -> list[str]:
        """Fail the waiting contacts past their end_time, at most EXPIRE_AT_ONCE; the campaign type of each."""
        rows = await self._change("expire", self._me | {"limit": EXPIRE_AT_ONCE})
        return [row["campaign_type"] for row in rows]

    async def release_agent(self, contact_id: str, agent: str) -> bool:
        """Order an END_CHAT for an agent that came too late; False when that was done before, or one is under way."""
        return bool(await self._database.run(sql("release_agent"), self._me | {"id": contact_id, "agent": agent}))

    async def mark_bridged(self, contact: Contact) -> None:
        """The customer has reached the agent."""
        await self._database.run(sql("mark_bridged"), {"id": contact.id, "taking": contact.taking})

    async def mark_answered(self, contact: Contact, answered_at: float) -> None:
        """The customer has answered, at that second of the dialer's clock; once for each taking."""
        await self._answers.put((contact, answered_at))

    async def _mark_all_answered(self, answers: Sequence[tuple[Contact, float]]) -> list[None]:
        # Of a contact that is there twice, a statement would make one change, but write it down twice.
        latest = {contact.id: (contact.taking, self._ago(at)) for contact, at in answers}
        takings, agos = zip(*latest.values(), strict=True)
        await self._change(
            "mark_answered", self._me | {"ids": list(latest), "takings": list(takings), "agos": list(agos)}
        )
        return [None] * len(answers)

    async def _change(self, name: str, asked: dict[str, Any]) -> list[dict[str, Any]]:
        """Run a statement that changes states, and whose changes are told by webhooks."""
        rows = await self._database.run(sql(name, webhooks=self.has_webhooks), asked)
        if self.has_webhooks and rows:
            self._on_webhooks()
        return rows

    def _ago(self, at: float | None) -> float | None:
        return None if at is None else max(0.0, self._clock.seconds() - at)

    async def count_active(self) -> tuple[int, int]:
        """The active contacts of this dialer, and of all dialers on this database."""
        (row,) = await self._database.run(sql("count_active"), self._me)
        return row["own"], row["total"]

    async def held(self) -> list[HeldContact]:
        """The active contacts of this dialer."""
        rows = await self._database.run(sql("active"), self._me)
        return [HeldContact(contact_of(row), row["dialed_ago"]) for row in rows]

    async def still_dialed(self, contact_ids: Collection[str]) -> list[HeldContact]:
        """Those of these contacts that are dialed, whoever owns them."""
        rows = await self._database.run(sql("still_dialed"), {"ids": list(contact_ids)})
        return [HeldContact(contact_of(row), row["dialed_ago"]) for row in rows]

    async def take_over(self) -> list[HeldContact]:
        """Make contacts ours that a dialer without a lease held. At most TAKE_OVER_AT_ONCE at a time."""
        rows = await self._database.run(sql("take_over"), self._me | {"limit": TAKE_OVER_AT_ONCE})
        return [HeldContact(contact_of(row), row["dialed_ago"]) for row in rows]

    async def overdue_replies(self, timeout: float) -> list[Contact]:
        """Own agent_pending contacts whose agent was requested more than `timeout` seconds ago."""
        rows = await self._database.run(sql("overdue_replies"), self._me | {"timeout": timeout})
        return [contact_of(row) for row in rows]


def _claimed(row: Mapping[str, Any]) -> OutboxMessage:
    kind = MessageKind(row["kind"])
    return OutboxMessage(
        id=row["message_id"],
        contact_id=row["id"],
        campaign_id=row["campaign_id"],
        kind=kind,
        customer_number=row["customer_number"],
        idempotency_key=row["idempotency_key"],
        created_time=row["created_time"],
        tenant_id=row["tenant_id"],
        call_result=row["call_result"],
        attempts=row["attempts"],
        lifetime=END_CHAT_LIFETIME if kind is MessageKind.END_CHAT else None,
    )


def _columns(changes: Sequence[Change]) -> dict[str, Any]:
    return {
        "ids": [change.contact_id for change in changes],
        "takings": [change.taking for change in changes],
        "from_statuses": [change.status for change in changes],
        "end_chats": [change.end_chat for change in changes],
        "agents": [change.agent for change in changes],
    }
