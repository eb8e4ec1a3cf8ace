"""Messages for the VC that are claimed by the statement that writes them, so that they are delivered at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import pytest_twisted
from hamcrest import assert_that, close_to, contains_exactly, empty, equal_to, has_entries, has_length, has_properties

from dialer.contact import Status
from dialer.message import END_CHAT_LIFETIME, MessageKind, OutboxMessage
from dialer.store.contacts import ContactStore
from dialer.store.outbox import CLAIM_TIME, OutboxStore, Retry
from tests.store.tables import Held, Tables, change, conninfo, one_database, tables

__all__ = ["conninfo", "one_database", "tables"]

sure = pytest_twisted.ensureDeferred

ROWS = """
SELECT *, idempotency_key::text AS key, extract(epoch FROM next_time - now())::float AS due_in FROM outbox ORDER BY id
"""


class Told:
    """What the store tells of new messages: those claimed for us, and whether others may be claimed now."""

    def __init__(self, *, room: int = 100) -> None:
        self.room = room
        self.calls: list[tuple[list[OutboxMessage], bool]] = []

    def on_messages(self, claimed: Sequence[OutboxMessage], more: bool) -> None:
        self.calls.append((list(claimed), more))

    @property
    def claimed(self) -> list[OutboxMessage]:
        ((claimed, _),) = self.calls
        return claimed

    @property
    def more(self) -> bool:
        ((_, more),) = self.calls
        return more

    async def store(self, tables: Tables) -> ContactStore:
        return await tables.dialer(room=lambda: self.room, on_messages=self.on_messages)


async def claim(tables: Tables) -> list[tuple[str, MessageKind]]:
    """What another dialer can claim now."""
    found = await OutboxStore(tables.database).claim(100)
    return [(message.contact_id, message.kind) for message in found.messages]


@sure
async def test_the_notification_of_an_ended_call_is_claimed_as_it_is_stored(tables: Tables) -> None:
    told = Told()
    store = await told.store(tables)
    contact = await tables.active(tenant_id="t-1")
    await store.apply([change(contact, Status.ENDED, "USER_BUSY")])
    (row,) = await tables.run(ROWS)
    assert_that(
        told.claimed,
        contains_exactly(
            OutboxMessage(
                id=row["id"],
                contact_id="c1",
                kind=MessageKind.NOTIFICATION,
                customer_number="+15550001",
                idempotency_key=row["key"],
                created_time=row["created_time"],
                campaign_id="k",
                tenant_id="t-1",
                call_result="USER_BUSY",
                attempts=1,
            )
        ),
    )
    assert_that(told.more, equal_to(False))
    assert_that(row, has_entries(state="waiting", attempts=1, last_error=None))
    assert_that(row["due_in"], close_to(CLAIM_TIME, 5))


@sure
async def test_nobody_else_claims_it_before_its_claim_runs_out(tables: Tables) -> None:
    told = Told()
    store = await told.store(tables)
    await store.apply([change(await tables.active(), Status.ENDED, "USER_BUSY")])
    assert_that(await claim(tables), empty())
    await tables.run("UPDATE outbox SET next_time = next_time - %(time)s * interval '1 second'", time=CLAIM_TIME)
    (again,) = (await OutboxStore(tables.database).claim(100)).messages
    first = told.claimed[0]
    assert_that(again, has_properties(id=first.id, attempts=2, idempotency_key=first.idempotency_key))


@sure
async def test_what_becomes_of_it_is_written_as_of_any_claimed_message(tables: Tables) -> None:
    told = Told()
    store, outbox = await told.store(tables), OutboxStore(tables.database)
    await store.apply([change(await tables.active(f"c{n}"), Status.ENDED, "USER_BUSY") for n in range(2)])
    delivered, tried = told.claimed
    await outbox.delivered([delivered.id])
    await outbox.retry([Retry(tried, 0.0, "HTTP 503")])
    assert_that([row["state"] for row in await tables.run(ROWS)], contains_exactly("delivered", "waiting"))
    assert_that(await claim(tables), contains_exactly((tried.contact_id, MessageKind.NOTIFICATION)))


@sure
async def test_the_end_chat_is_claimed_and_the_notification_waits_until_it_is_delivered(tables: Tables) -> None:
    told = Told()
    store = await told.store(tables)
    contact = await tables.active(campaign_type="AGENT")
    await store.apply([change(contact, Status.ENDED, "NORMAL_CLEARING", end_chat=True)])
    (end_chat,) = told.claimed
    assert_that(
        end_chat,
        has_properties(kind=MessageKind.END_CHAT, call_result=None, attempts=1, lifetime=END_CHAT_LIFETIME),
    )
    assert_that(told.more, equal_to(False))
    rows = await tables.run(ROWS)
    assert_that([(row["id"] == end_chat.id, row["attempts"]) for row in rows], contains_exactly((True, 1), (False, 0)))
    assert_that(await claim(tables), empty())
    await OutboxStore(tables.database).delivered([end_chat.id])
    assert_that(await claim(tables), contains_exactly(("c1", MessageKind.NOTIFICATION)))


@pytest.mark.parametrize(("state", "claimed"), [("waiting", 0), ("delivered", 1), ("parked", 1)])
@pytest.mark.parametrize("end_chat", [False, True])
@sure
async def test_nothing_is_claimed_while_an_earlier_message_of_that_contact_waits(
    tables: Tables, end_chat: bool, state: str, claimed: int
) -> None:
    await tables.run(
        "INSERT INTO outbox (contact_id, kind, customer_number, state) VALUES ('c1', 'end_chat', '1', %(state)s)",
        state=state,
    )
    told = Told()
    store = await told.store(tables)
    await store.apply([change(await tables.active(), Status.ENDED, "NORMAL_CLEARING", end_chat=end_chat)])
    assert_that(told.claimed, has_length(claimed))
    assert_that(told.more, equal_to(not claimed))
    attempts = [row["attempts"] for row in await tables.run(ROWS)]
    assert_that(attempts, equal_to([0, claimed, 0] if end_chat else [0, claimed]))


@sure
async def test_a_message_of_another_contact_that_waits_does_not_matter(tables: Tables) -> None:
    await tables.run(
        "INSERT INTO outbox (contact_id, kind, customer_number) VALUES ('another', 'end_chat', '+15550001')"
    )
    told = Told()
    store = await told.store(tables)
    await store.apply([change(await tables.active(), Status.ENDED, "USER_BUSY")])
    assert_that((len(told.claimed), told.more), equal_to((1, False)))


@pytest.mark.parametrize("room", [0, 1, 3, 5, 6])
@pytest.mark.parametrize("end_chat", [False, True])
@sure
async def test_no_more_are_claimed_than_there_is_room_for_and_the_rest_is_due(
    tables: Tables, end_chat: bool, room: int
) -> None:
    told = Told(room=room)
    store = await told.store(tables)
    contacts = [await tables.active(f"c{n}") for n in range(5)]
    await store.apply([change(contact, Status.ENDED, "USER_BUSY", end_chat=end_chat) for contact in contacts])
    ours = {message.contact_id for message in told.claimed}
    first = MessageKind.END_CHAT if end_chat else MessageKind.NOTIFICATION
    assert_that([message.kind for message in told.claimed], equal_to([first] * min(room, 5)))
    assert_that((len(ours), told.more), equal_to((min(room, 5), room < 5)))
    rest = sorted((contact.id, first) for contact in contacts if contact.id not in ours)
    assert_that(sorted(await claim(tables)), equal_to(rest))


@sure
async def test_the_room_is_asked_for_anew_with_each_statement(tables: Tables) -> None:
    told = Told(room=0)
    store = await told.store(tables)
    for n, room in enumerate((0, 1, 0)):
        told.room = room
        await store.apply([change(await tables.active(f"c{n}"), Status.ENDED, "USER_BUSY")])
    assert_that(
        [(len(claimed), more) for claimed, more in told.calls], contains_exactly((0, True), (1, False), (0, True))
    )


@sure
async def test_failed_contacts_that_were_never_taken_are_told_of_as_well(tables: Tables) -> None:
    told = Told()
    store = await told.store(tables)
    await store.apply([change(await tables.put(), Status.FAILED, "Invalid Gateway")])
    assert_that(told.claimed, contains_exactly(has_properties(contact_id="c1", call_result="Invalid Gateway")))


@sure
async def test_what_was_not_changed_brings_nothing(tables: Tables) -> None:
    told = Told()
    store = await told.store(tables)
    gone, locked, kept = [await tables.active(f"c{n}") for n in range(3)]
    await tables.run("UPDATE contacts SET taking = 2 WHERE id = 'c0'")
    held = Held(await tables.pool(), "SELECT FROM contacts WHERE id = 'c1' FOR UPDATE")
    await held.locked
    await store.apply([change(contact, Status.ENDED, "USER_BUSY", end_chat=True) for contact in (gone, locked)])
    assert_that(told.calls, contains_exactly(([], False)))
    await store.apply([change(contact, Status.ENDED, "USER_BUSY") for contact in (gone, locked, kept)])
    await held.commit()
    assert_that([(claimed[0].contact_id, more) for claimed, more in told.calls[1:]], contains_exactly(("c2", False)))
    assert_that(await tables.outbox(), contains_exactly(("c2", "notification", "USER_BUSY")))


@pytest.mark.parametrize(("end_chat", "calls"), [(True, [([], True)]), (False, [])])
@sure
async def test_the_end_chat_of_a_contact_that_goes_back_is_told_of_and_not_claimed(
    tables: Tables, end_chat: bool, calls: list[Any]
) -> None:
    told = Told()
    store = await told.store(tables)
    contact = await tables.active(status=Status.AGENT_PENDING)
    await store.apply([change(contact, Status.PENDING, end_chat=end_chat)])
    assert_that(told.calls, equal_to(calls))
    assert_that(await claim(tables), equal_to([("c1", MessageKind.END_CHAT)] if end_chat else []))


@sure
async def test_changes_of_both_kinds_are_each_told_of(tables: Tables) -> None:
    told = Told()
    store = await told.store(tables)
    back, ended = await tables.active("c1", Status.AGENT_PENDING), await tables.active("c2")
    await store.apply([change(back, Status.PENDING, end_chat=True), change(ended, Status.ENDED, "USER_BUSY")])
    (first, more), second = told.calls
    assert_that(([message.contact_id for message in first], more), equal_to((["c2"], False)))
    assert_that(second, equal_to(([], True)))
