"""Webhooks as rows: written with the change that they tell, each destination apart from the VC and from the others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
import pytest
import pytest_twisted
from hamcrest import (
    assert_that,
    close_to,
    contains_exactly,
    contains_string,
    empty,
    equal_to,
    has_entries,
    is_,
    less_than,
    not_,
)

from dialer.contact import Contact, Status
from dialer.contact_event import contact_event
from dialer.message import MessageKind, MessageState, OutboxMessage, WebhookTargets
from dialer.store.contacts import ContactStore
from dialer.store.outbox import Backlog, OutboxStore, Park, Retry
from dialer.store.queries import sql
from dialer.store.retention import RetentionStore
from dialer.webhooks import OPERATORS
from tests.store.tables import Held, Tables, at_once, change, conninfo, one_database, tables

__all__ = ["conninfo", "one_database", "tables"]

sure = pytest_twisted.ensureDeferred

HOST = "hooks.example:443"
OWN = orjson.dumps({"callEventsWebhookUrl": "https://hooks.example/c?x=1", "a": "ü"}).decode()

FIRST = "SELECT min(created_time) AS since FROM outbox WHERE destination = %(to)s"

CHANGES = ["take", "mark_answered", "finish", "expire"]
"""The statements that tell of what they change."""


async def dialer(tables: Tables, *hosts: str, result: bool = True, **options: Any) -> ContactStore:
    """A store that tells the operator's receiver, and these hosts."""
    return await tables.dialer(webhooks=WebhookTargets(result, hosts), **options)


async def told(tables: Tables, destination: str = OPERATORS) -> list[tuple[str, str]]:
    """What is told there, of whom, in its order."""
    rows = await tables.run(
        "SELECT contact_id, event FROM outbox WHERE destination = %(to)s ORDER BY id", to=destination
    )
    return [(row["contact_id"], row["event"]) for row in rows]


async def claimed(tables: Tables, destination: str | None = OPERATORS, limit: int = 100) -> list[OutboxMessage]:
    return list((await OutboxStore(tables.database, destination).claim(limit)).messages)


async def body(tables: Tables) -> dict[str, Any]:
    """What the latest webhook says."""
    (row,) = await tables.run(
        "SELECT event, payload::text AS payload FROM outbox WHERE kind = 'webhook' ORDER BY id DESC LIMIT 1"
    )
    message = OutboxMessage(
        id=1,
        contact_id="",
        kind=MessageKind.WEBHOOK,
        customer_number="",
        idempotency_key="",
        created_time=None,  # type: ignore[arg-type]
        event=row["event"],
        payload=row["payload"],
    )
    return contact_event(message).wire()


async def answer(store: ContactStore, contact: Contact, ago: float = 0.0) -> None:
    await store.mark_answered(contact, store._clock.seconds() - ago)


@pytest.mark.parametrize("name", CHANGES)
def test_without_receivers_the_statements_hold_nothing_of_webhooks(name: str) -> None:
    assert_that(sql(name), not_(contains_string("outbox (contact_id, kind, customer_number, tenant_id, event")))
    assert_that(sql(name, webhooks=True), contains_string("webhooks AS ("))


@sure
async def test_without_receivers_nothing_is_written(tables: Tables) -> None:
    store = await tables.dialer()
    await tables.put("c2", end_time=-5, scheduling_metadata=OWN)
    await tables.put("c3", campaign_type="AGENT", scheduling_metadata=OWN)
    taken = await store.take_for_call(await tables.put(scheduling_metadata=OWN), "pbx:8021")
    assert taken is not None
    await store.take_for_agent(await tables.get("c3"))
    await store.apply([change(taken, Status.ENDED, "NORMAL_CLEARING", answered_at=store._clock.seconds())])
    await store.expire()
    assert_that(
        await tables.outbox(), equal_to([("c1", "notification", "NORMAL_CLEARING"), ("c2", "notification", "Expired")])
    )


@sure
async def test_each_change_of_a_contact_is_told_in_its_order(tables: Tables) -> None:
    woken: list[str] = []
    store = await dialer(tables, on_webhooks=lambda: woken.append(""))
    taken = await store.take_for_call(await tables.put(), "pbx:8021")
    assert taken is not None
    await answer(store, taken)
    await store.apply([change(taken, Status.ENDED, "NORMAL_CLEARING")])
    await store.apply([change(await tables.active("c2"), Status.FAILED, "Invalid Gateway")])
    await tables.put("c3", end_time=-5)
    await store.expire()
    await store.apply([change(await tables.active("c4", Status.AGENT_PENDING), Status.FAILED, "Expired")])
    assert_that(
        await told(tables),
        contains_exactly(
            ("c1", "taken"), ("c1", "answered"), ("c1", "ended"), ("c2", "failed"), ("c3", "expired"), ("c4", "expired")
        ),
    )
    assert_that(woken, equal_to([""] * 6))


@sure
async def test_an_agent_contact_is_told_to_be_taken_when_its_agent_is_asked_for(tables: Tables) -> None:
    store = await dialer(tables)
    await store.take_for_agent(await tables.put(campaign_type="AGENT"))
    assert_that((await body(tables))["data"], has_entries(status="agent_pending", dialTime=None, switch=None))


@sure
async def test_what_changes_nothing_tells_nothing(tables: Tables) -> None:
    woken: list[str] = []
    store = await dialer(tables, on_webhooks=lambda: woken.append(""))
    contact = await tables.active()
    await tables.run("UPDATE contacts SET status = 'ended', owner = NULL")
    await store.take_for_call(contact, "pbx:8021")
    await store.apply([change(contact, Status.ENDED, "NO_ANSWER")])
    await answer(store, contact)
    await store.expire()
    assert_that(await told(tables), empty())
    assert_that(woken, empty())


@sure
async def test_a_webhook_tells_all_that_is_known_of_the_contact_then(tables: Tables) -> None:
    store = await dialer(tables)
    contact = await tables.put(
        campaign_type="AGENT",
        campaign_contact_id="cc-1",
        tenant_id="t-1",
        priority=3,
        ivr="*1",
        dialing_mode="PROGRESSIVE",
        routing_mode="QUEUE",
        resource_id="r-1",
        queue_name="Sales",
        scheduling_metadata=OWN,
        end_time=3600,
    )
    taken = await store.take_for_agent(contact)
    assert taken is not None
    dialed = await store.dial_agent(taken, "1005", "pbx:8021")
    assert dialed is not None
    await answer(store, dialed, ago=5.0)
    row = await tables.row()
    then = await body(tables)
    assert_that(then["type"], is_("contact.answered"))
    assert_that(then["timestamp"], equal_to(then["data"]["answeredTime"]))
    assert_that((row["dial_time"] - row["answered_time"]).total_seconds(), close_to(5.0, 4.0))
    for name in ("receivedTime", "dialTime", "answeredTime", "endTime"):
        assert_that(then["data"].pop(name).endswith("Z"), is_(True), name)
    assert_that(
        then["data"],
        equal_to(
            {
                "id": "c1",
                "customerNumber": "+15550001",
                "campaignType": "AGENT",
                "campaignId": "k",
                "campaignContactId": "cc-1",
                "gatewayId": "gw",
                "tenantId": "t-1",
                "startTime": None,
                "priority": 3,
                "ivr": "*1",
                "dialingMode": "PROGRESSIVE",
                "routingMode": "QUEUE",
                "resourceId": "r-1",
                "queueName": "Sales",
                "schedulingMetadata": {"callEventsWebhookUrl": "https://hooks.example/c?x=1", "a": "ü"},
                "status": "dialed",
                "callResult": None,
                "taking": 1,
                "dialer": "me",
                "switch": "pbx:8021",
                "agent": "1005",
                "bridged": False,
                "endedTime": None,
            }
        ),
    )
    await store.apply([change(dialed, Status.ENDED, "USER_BUSY")])
    assert_that((await body(tables))["data"], has_entries(status="ended", callResult="USER_BUSY", agent="1005"))


@sure
async def test_metadata_that_is_no_json_is_told_as_it_is(tables: Tables) -> None:
    store = await dialer(tables, HOST)
    await store.take_for_call(await tables.put(scheduling_metadata="callEventsWebhookUrl: {"), "pbx:8021")
    assert_that((await body(tables))["data"]["schedulingMetadata"], is_("callEventsWebhookUrl: {"))


@sure
async def test_an_answer_is_told_once_and_not_of_another_taking_nor_of_a_call_that_is_over(tables: Tables) -> None:
    store = await dialer(tables)
    contact = await tables.active()
    await answer(store, contact)
    await answer(store, contact)
    await answer(store, await tables.active("c2", taking=2))
    await tables.run("UPDATE contacts SET taking = 3 WHERE id = 'c2'")
    await answer(store, await tables.put("c3", status="ended", taking=1))
    assert_that(await told(tables), contains_exactly(("c1", "answered"), ("c2", "answered")))


@sure
async def test_answers_that_come_together_share_a_statement_and_each_is_told(tables: Tables) -> None:
    store = await dialer(tables)
    contacts = [await tables.active(f"c{number}") for number in range(5)]
    answers = [at_once(lambda c=contact: answer(store, c)) for contact in [*contacts, contacts[0]]]
    for each in answers:
        await each
    assert_that(await told(tables), equal_to([(f"c{number}", "answered") for number in range(5)]))
    (row,) = await tables.run("SELECT count(DISTINCT xmin::text) AS statements FROM outbox")
    assert_that(row["statements"], is_(1))


@sure
async def test_an_answer_that_was_missed_is_told_before_the_end_as_it_was_then(tables: Tables) -> None:
    store = await dialer(tables)
    contact = await tables.active()
    await store.apply([change(contact, Status.ENDED, "USER_BUSY", answered_at=store._clock.seconds() - 7.0)])
    assert_that(await told(tables), contains_exactly(("c1", "answered"), ("c1", "ended")))
    row = await tables.row()
    assert_that((row["ended_time"] - row["answered_time"]).total_seconds(), close_to(7.0, 2.0))
    (first,) = await claimed(tables)
    then = contact_event(first)
    assert_that(then.timestamp, equal_to(row["answered_time"]))
    assert_that(
        then.wire()["data"], has_entries(status="dialed", callResult=None, endedTime=None, answeredTime=not_(None))
    )


@sure
async def test_an_answer_that_was_told_is_not_told_again_with_the_end_and_keeps_its_time(tables: Tables) -> None:
    store = await dialer(tables)
    contact = await tables.active()
    await answer(store, contact, ago=60.0)
    first = (await tables.row())["answered_time"]
    await store.apply([change(contact, Status.ENDED, "USER_BUSY", answered_at=store._clock.seconds())])
    assert_that(await told(tables), contains_exactly(("c1", "answered"), ("c1", "ended")))
    assert_that((await tables.row())["answered_time"], equal_to(first))


@sure
async def test_an_answer_that_is_being_told_as_the_call_ends_is_told_once(tables: Tables) -> None:
    store = await dialer(tables)
    contact = await tables.active()
    answering = sql("mark_answered", webhooks=True)
    asked = {"ids": ["c1"], "takings": [1], "agos": [0.0], "owner": "me", "result_webhook": True, "webhook_hosts": []}
    telling = Held(await tables.pool(), answering, **asked)
    await telling.locked
    ended = change(contact, Status.ENDED, "USER_BUSY", answered_at=store._clock.seconds())
    assert_that(await store.apply([ended]), equal_to({("c1", 1): "locked"}))
    await telling.commit()
    await store.apply([ended])
    assert_that(await told(tables), contains_exactly(("c1", "answered"), ("c1", "ended")))


# -- who is told -------------------------------------------------------------------------------------------------------


@sure
async def test_a_contacts_own_receiver_is_told_beside_the_operators_when_its_host_is_allowed(tables: Tables) -> None:
    store = await dialer(tables, HOST)
    await store.take_for_call(await tables.put(scheduling_metadata=OWN), "pbx:8021")
    await store.take_for_call(await tables.put("c2"), "pbx:8021")
    assert_that(await told(tables), contains_exactly(("c1", "taken"), ("c2", "taken")))
    assert_that(await told(tables, HOST), contains_exactly(("c1", "taken")))
    (own,) = await claimed(tables, HOST)
    assert_that(own.url, is_("https://hooks.example/c?x=1"))


@sure
async def test_a_contacts_own_receiver_alone_is_told_when_the_operator_has_none(tables: Tables) -> None:
    store = await dialer(tables, HOST, result=False)
    await store.take_for_call(await tables.put(scheduling_metadata=OWN), "pbx:8021")
    assert_that(await told(tables, HOST), contains_exactly(("c1", "taken")))
    assert_that(await told(tables), empty())


@pytest.mark.parametrize(
    ("url", "destination"),
    [
        ("https://hooks.example", HOST),
        ("https://hooks.example/", HOST),
        ("https://hooks.example?x", HOST),
        ("HTTPS://Hooks.EXAMPLE:443/a", HOST),
        ("https://hooks.example:8443/a", "hooks.example:8443"),
        ("https://10.0.0.1/a", "10.0.0.1:443"),
        ("http://hooks.example/a", None),
        ("https://other.example/a", None),
        ("https://hooks.example.other/a", None),
        ("https://hooks.example:444/a", None),
        ("https://hooks.example:/a", None),
        ("https://hooks.example:0443/a", None),
        ("https://user@hooks.example/a", None),
        ("https://hooks.example@other.example/a", None),
        ("https://hooks.example#@other.example/a", None),
        ("https://hooks.example/a#b", None),
        ("https://hooks.example\\@other.example/a", None),
        ("https://hooks.example\n.other.example/a", None),
        ("https://hooks.example/a b", None),
        ("https://hooks.example/ä", None),
        ("https://hooks.example/" + "a" * 2000, None),
        (" https://hooks.example/a", None),
        ("https://[::1]/a", None),
        ("https:hooks.example", None),
        ("", None),
        (None, None),
        (17, None),
        ({"https://hooks.example/a": 1}, None),
    ],
)
@sure
async def test_a_url_is_used_only_when_it_is_https_to_an_allowed_host_and_port(
    tables: Tables, url: object, destination: str | None
) -> None:
    store = await dialer(tables, HOST, "hooks.example:8443", "10.0.0.1:443", result=False)
    metadata = orjson.dumps({"callEventsWebhookUrl": url}).decode()
    await store.take_for_call(await tables.put(scheduling_metadata=metadata), "pbx:8021")
    rows = await tables.run("SELECT destination, url FROM outbox")
    assert_that(
        [dict(row) for row in rows], equal_to([{"destination": destination, "url": url}] if destination else [])
    )


@pytest.mark.parametrize(
    "metadata",
    [
        None,
        "",
        "callEventsWebhookUrl",
        '{"callEventsWebhookUrl":"https://hooks.example/\\u0000"}',
        '{"callEventsWebhookUrl":"https://hooks.example/"',
        '["callEventsWebhookUrl"]',
        '"callEventsWebhookUrl"',
        "[" * 100_000 + '"callEventsWebhookUrl"',
        '{"other":{"callEventsWebhookUrl":"https://hooks.example/"}}',
    ],
)
@sure
async def test_whatever_the_metadata_holds_the_contact_is_taken(tables: Tables, metadata: str | None) -> None:
    store = await dialer(tables, HOST, result=False)
    taken = await store.take_for_call(await tables.put(scheduling_metadata=metadata), "pbx:8021")
    assert_that(taken, not_(None))
    assert_that(await told(tables, HOST), empty())


# -- delivery ----------------------------------------------------------------------------------------------------------


async def told_of(tables: Tables, *contacts: str, hosts: tuple[str, ...] = ()) -> ContactStore:
    """Taken and ended: two webhooks each, and a notification."""
    store = await dialer(tables, *hosts)
    for contact in contacts:
        taken = await store.take_for_call(await tables.put(contact, scheduling_metadata=OWN), "pbx:8021")
        assert taken is not None
        await store.apply([change(taken, Status.ENDED, "USER_BUSY")])
    return store


@sure
async def test_the_vc_does_not_wait_for_webhooks_nor_one_receiver_for_another(tables: Tables) -> None:
    await told_of(tables, "c1", "c2", hosts=(HOST,))
    vc = await claimed(tables, None)
    assert_that({(m.contact_id, m.kind) for m in vc}, equal_to({(c, "notification") for c in ("c1", "c2")}))
    for destination in (OPERATORS, HOST):
        messages = await claimed(tables, destination)
        assert_that([(m.contact_id, m.event) for m in messages], contains_exactly(("c1", "taken"), ("c2", "taken")))


@sure
async def test_the_notification_is_claimed_at_once_though_webhooks_wait(tables: Tables) -> None:
    messages: list[OutboxMessage] = []
    store = await dialer(tables, room=lambda: 10, on_messages=lambda claimed, _: messages.extend(claimed))
    taken = await store.take_for_call(await tables.put(), "pbx:8021")
    assert taken is not None
    await store.apply([change(taken, Status.ENDED, "USER_BUSY")])
    assert_that([message.kind for message in messages], contains_exactly("notification"))


@sure
async def test_a_number_with_undelivered_webhooks_is_dialed_again(tables: Tables) -> None:
    await told_of(tables, "c1")
    await tables.put("c2")
    assert_that(await tables.eligible(), contains_exactly("c2"))


@sure
async def test_the_webhooks_of_a_contact_go_out_one_after_the_other_to_each_receiver(tables: Tables) -> None:
    await told_of(tables, "c1", hosts=(HOST,))
    outbox = OutboxStore(tables.database, OPERATORS)
    (taken,) = await claimed(tables)
    assert_that(await claimed(tables), empty())
    await outbox.retry([Retry(taken, 60.0, "HTTP 503")])
    assert_that(await claimed(tables), empty())
    assert_that([message.event for message in await claimed(tables, HOST)], contains_exactly("taken"))
    await outbox.delivered([taken.id])
    assert_that([message.event for message in await claimed(tables)], contains_exactly("ended"))


@sure
async def test_a_parked_webhook_is_listed_holds_up_no_other_and_can_be_sent_again(tables: Tables) -> None:
    await told_of(tables, "c1")
    outbox = OutboxStore(tables.database, OPERATORS)
    (taken,) = await claimed(tables)
    await outbox.park([Park(taken, "HTTP 410")])
    assert_that([message.event for message in await claimed(tables)], contains_exactly("ended"))
    (parked,) = await outbox.undelivered([MessageState.PARKED], limit=10)
    assert_that((parked.kind, parked.event, parked.destination), equal_to(("webhook", "taken", OPERATORS)))
    assert_that(parked.last_error, is_("HTTP 410"))
    await outbox.resend(parked.id)
    (again,) = await claimed(tables)
    assert_that(again.idempotency_key, equal_to(taken.idempotency_key))


@sure
async def test_what_waits_for_the_vc_and_for_receivers_is_counted_apart(tables: Tables) -> None:
    store = await told_of(tables, "c1")
    assert store is not None
    outbox = OutboxStore(tables.database)

    async def counted() -> tuple[int, int, int, int]:
        vc, webhooks = await outbox.backlog(), await outbox.webhooks_backlog([OPERATORS])
        notifications, webhook = vc[MessageKind.NOTIFICATION], webhooks[OPERATORS]
        return notifications.waiting, notifications.parked, webhook.waiting, webhook.parked

    assert_that(await counted(), equal_to((1, 0, 2, 0)))
    await outbox.park([Park(message, "x") for message in await claimed(tables)])
    assert_that(await counted(), equal_to((1, 0, 1, 1)))


@sure
async def test_webhooks_are_counted_for_each_receiver_that_is_configured(tables: Tables) -> None:
    await told_of(tables, "c1")
    outbox = OutboxStore(tables.database)
    (since,) = [row["since"] for row in await tables.run(FIRST, to=OPERATORS)]
    counts = await outbox.webhooks_backlog([OPERATORS, HOST])
    assert_that(counts, equal_to({OPERATORS: Backlog(waiting=2, since=since), HOST: Backlog()}))
    assert_that(await outbox.webhooks_backlog([HOST]), equal_to({HOST: Backlog()}))
    assert_that(await outbox.webhooks_backlog([]), equal_to({}))


@sure
async def test_a_claim_of_the_vc_does_not_read_through_a_backlog_of_webhooks(tables: Tables) -> None:
    await told_of(tables, "c1")
    await tables.run(
        "INSERT INTO outbox (contact_id, kind, customer_number, destination, event, payload)"
        " SELECT 'x' || n, 'webhook', '+1', 'gone.example:443', 'taken', '{}' FROM generate_series(1, 20000) AS n"
    )
    await tables.run("ANALYZE outbox")
    asked = {"limit": 32, "claim_time": 30.0, "end_chat_lifetime": 60.0, "stale_limit": 500}
    plan = await tables.run("EXPLAIN (ANALYZE, TIMING OFF) " + sql("outbox_claim"), **asked)
    lines = [row["QUERY PLAN"] for row in plan]
    assert_that("\n".join(lines), not_(contains_string("Seq Scan on outbox")))
    removed = [int(line.rpartition(":")[2]) for line in lines if "Rows Removed by" in line]
    assert_that(sum(removed), less_than(100))


@sure
async def test_webhooks_go_with_age_whoever_lacks_them_and_keep_no_contact(tables: Tables) -> None:
    await told_of(tables, "c1", "c2")
    outbox = OutboxStore(tables.database)
    await outbox.delivered([message.id for message in await claimed(tables, None)])
    (parked, _) = await claimed(tables)
    await outbox.park([Park(parked, "HTTP 410")])
    old = "now() - interval '31 days'"
    await tables.run(f"UPDATE outbox SET created_time = {old}, delivered_time = {old} WHERE contact_id = 'c1'")
    await tables.run(f"UPDATE contacts SET ended_time = {old} WHERE id = 'c1'")
    retention = RetentionStore(tables.database)
    assert_that((await retention.contacts(30.0)).removed, is_(1))
    assert_that((await retention.messages(30.0)).removed, is_(3))
    rows: list[Mapping[str, Any]] = await tables.run("SELECT contact_id FROM outbox")
    assert_that([row["contact_id"] for row in rows], equal_to(["c2"] * 3))
