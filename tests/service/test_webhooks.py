"""Webhooks of a whole dialer: a receiver that verifies them, slow ones, dead ones, and those that a contact names."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_twisted
from hamcrest import assert_that, contains_exactly, contains_string, empty, equal_to, has_entries, has_length, is_, not_
from standardwebhooks import Webhook
from twisted.internet import reactor
from twisted.web.server import Site

import dialer.outbox
import dialer.webhooks
from tests.certificates import self_signed
from tests.fake_vc import FakeVC, Manner, Received
from tests.service.world import World, agent, ivr
from tests.web.contract import contract

sure = pytest_twisted.ensureDeferred

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OPERATORS = "RESULT_WEBHOOK_URL"


@pytest.fixture(autouse=True)
def brief_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dialer.webhooks, "GATHERED_BY_HOSTS", 0.02)


@pytest_twisted.async_yield_fixture
async def receiver() -> AsyncIterator[FakeVC]:
    fake = FakeVC(reactor)
    fake.listen()
    yield fake
    await fake.stop()


@pytest.fixture
def signed(receiver: FakeVC) -> dict[str, str]:
    """The settings that have the receiver told."""
    return {"RESULT_WEBHOOK_URL": f"{receiver.url}/dialer?key=1", "RESULT_WEBHOOK_SECRET": SECRET}


@pytest_twisted.async_yield_fixture
async def own(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[FakeVC, int]]:
    """A receiver behind TLS that a contact may name, whose certificate the platform trusts; and its port."""
    certificate = self_signed("localhost")
    trusted = tmp_path / "trusted.pem"
    trusted.write_text(certificate.dumpPEM().decode())
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
    fake = FakeVC(reactor)
    port = reactor.listenSSL(0, Site(fake), certificate.options(), interface="127.0.0.1")
    yield fake, port.getHost().port
    await port.stopListening()


def verified(received: Received) -> dict[str, Any]:
    """What a receiver that knows the secret takes it to be; it is as the interface's document says."""
    body: dict[str, Any] = Webhook(SECRET).verify(received.raw, received.headers)
    contract().sent("/contact-event", received.headers, body)
    return body


def events(receiver: FakeVC, contact: dict[str, Any]) -> list[str]:
    """What it was told of a contact, each try."""
    told = [verified(received) for received in receiver.received]
    return [each["type"].removeprefix("contact.") for each in told if each["data"]["id"] == contact["id"]]


async def until_told(world: World, receiver: FakeVC, contact: dict[str, Any], event: str) -> dict[str, Any]:
    """Wait until it was told of this; the contact as it was told."""
    await world.until(lambda: event in events(receiver, contact), f"webhook {event}")
    return next(
        each["data"]
        for each in map(verified, receiver.received)
        if each["data"]["id"] == contact["id"] and each["type"] == f"contact.{event}"
    )


@sure
async def test_the_operators_receiver_is_told_of_each_change_in_its_order(
    world: World, receiver: FakeVC, signed: dict[str, str]
) -> None:
    await world.start(**signed)
    called, bridged = ivr(campaignContactId="cc-1", schedulingMetadata={"a": 1}), agent(customerNumber="+447700900124")
    failed = ivr(customerNumber="+447700900125", gatewayId="gw-none")
    late = ivr(customerNumber="+447700900126", endTime="2020-01-01T00:00:00Z")
    await world.load(called, bridged, failed, late)
    told = await until_told(world, receiver, called, "ended")
    stored = await world.contact(called)
    assert_that(told, has_entries({name: stored[name] for name in stored if name != "answeredTime"}))
    assert_that(told, has_entries(dialer="dialer-1", taking=1, answeredTime=not_(None)))
    await until_told(world, receiver, bridged, "ended")
    await until_told(world, receiver, failed, "failed")
    assert_that(await until_told(world, receiver, late, "expired"), has_entries(callResult="Expired", taking=0))
    assert_that(events(receiver, called), contains_exactly("taken", "answered", "ended"))
    assert_that(events(receiver, bridged), contains_exactly("taken", "answered", "ended"))
    assert_that(events(receiver, failed)[-1], is_("failed"))
    assert_that(events(receiver, late), contains_exactly("expired"))
    assert_that({received.path for received in receiver.received}, equal_to({"/dialer"}))
    await world.until_told(called)
    delivered = 'dialer_webhook_deliveries_total{destination="RESULT_WEBHOOK_URL",outcome="delivered"}'

    async def counted() -> bool:
        return f"{delivered} {len(receiver.received)}.0" in (await world.get("/metrics")).body

    await world.until(counted, "every delivery counted")


@sure
async def test_a_dead_receiver_delays_neither_the_vc_nor_a_number_nor_another_receiver(
    world: World, receiver: FakeVC, signed: dict[str, str], own: tuple[FakeVC, int]
) -> None:
    fake, port = own
    receiver.script = lambda _: Manner.HANG
    await world.start(**signed, WEBHOOK_ALLOWED_HOSTS=f"127.0.0.1:{port}")
    # As many as may be under way to the receiver, and more; all of one number.
    metadata = {"callEventsWebhookUrl": f"https://127.0.0.1:{port}/mine"}
    contacts = [ivr(schedulingMetadata=metadata) for _ in range(dialer.outbox.PARALLEL + 8)]
    await world.load(*contacts)
    for contact in contacts:
        await world.until_told(contact)
    await world.until(lambda: len(receiver.received) >= dialer.outbox.PARALLEL, "as many as may be under way")
    assert_that(receiver.received, has_length(dialer.outbox.PARALLEL))
    for contact in contacts:
        await until_told(world, fake, contact, "ended")
    await world.until(nothing_waits(world), "the VC has all")


def nothing_waits(world: World) -> Any:
    """Whether the VC has every message."""

    async def check() -> bool:
        notifications = (await world.get("/status")).body["notifications"]
        return bool(notifications["waiting"] == 0)

    return check


@sure
async def test_a_receiver_that_was_away_gets_everything_in_order_and_a_refusal_is_parked_and_sent_again(
    world: World, receiver: FakeVC, signed: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dialer.outbox, "FIRST_WAIT", 0.05)
    monkeypatch.setattr(dialer.outbox, "POLL_INTERVAL", 0.1)
    statuses = iter([503, 503, 410])
    receiver.script = lambda _: next(statuses, 200)
    await world.start(**signed)
    contact = ivr()
    await world.load(contact)
    await until_told(world, receiver, contact, "ended")
    assert_that(events(receiver, contact), contains_exactly("taken", "taken", "taken", "answered", "ended"))
    assert_that({received.headers["webhook-id"] for received in receiver.received}, has_length(3))
    page = (await world.get("/notifications?state=parked")).body["notifications"]
    assert_that(page, has_length(1))
    assert_that(page[0], has_entries(kind="webhook", event="taken", destination=OPERATORS, lastError="HTTP 410"))
    reply = await world.post(f"/notifications/{page[0]['id']}/retry")
    assert_that(
        (reply.status, reply.body), equal_to((200, page[0] | {"state": "waiting", "nextTime": reply.body["nextTime"]}))
    )
    await world.until(lambda: events(receiver, contact).count("taken") == 4, "sent again")

    async def confirmed() -> bool:
        history = (await world.get(f"/contact/{contact['id']}/history")).body["history"]
        return [line["event"] for line in history].count("webhook_delivered") == 3

    await world.until(confirmed, "all three in the history")


@sure
async def test_without_the_settings_nobody_is_told_and_nothing_is_said(world: World) -> None:
    await world.start()
    contact = ivr(schedulingMetadata={"callEventsWebhookUrl": "https://127.0.0.1/x"})
    await world.load(contact)
    await world.until_told(contact)
    assert_that((await world.get("/status")).body["webhooks"], is_(None))
    history = (await world.get(f"/contact/{contact['id']}/history")).body["history"]
    assert_that([line["event"] for line in history if "webhook" in line["event"]], empty())


@sure
async def test_a_contacts_own_receiver_is_told_when_its_host_is_allowed_beside_the_operators(
    world: World, receiver: FakeVC, signed: dict[str, str], own: tuple[FakeVC, int]
) -> None:
    fake, port = own
    # A private address, since the operator has listed it.
    await world.start(**signed, WEBHOOK_ALLOWED_HOSTS=f"127.0.0.1:{port}")
    contact = ivr(schedulingMetadata={"callEventsWebhookUrl": f"https://127.0.0.1:{port}/mine"})
    other = ivr(customerNumber="+447700900124")
    elsewhere = ivr(
        customerNumber="+447700900125", schedulingMetadata={"callEventsWebhookUrl": f"https://localhost:{port}/mine"}
    )
    await world.load(contact, other, elsewhere)
    for each in (contact, other, elsewhere):
        await until_told(world, receiver, each, "ended")
    await until_told(world, fake, contact, "ended")
    assert_that(events(fake, contact), contains_exactly("taken", "answered", "ended"))
    assert_that({verified(received)["data"]["id"] for received in fake.received}, equal_to({contact["id"]}))
    assert_that({received.path for received in fake.received}, equal_to({"/mine"}))


@sure
async def test_an_allowed_name_that_leads_to_a_private_address_is_parked_unsent(
    world: World, own: tuple[FakeVC, int]
) -> None:
    fake, port = own
    await world.start(RESULT_WEBHOOK_SECRET=SECRET, WEBHOOK_ALLOWED_HOSTS=f"localhost:{port}")
    contact = ivr(schedulingMetadata={"callEventsWebhookUrl": f"https://localhost:{port}/mine"})
    await world.load(contact)
    await world.until_told(contact)

    async def parked() -> list[dict[str, Any]] | None:
        page = (await world.get("/notifications?state=parked")).body["notifications"]
        return page if len(page) == 3 else None

    page = await world.until(parked, "webhooks parked")
    assert_that({message["destination"] for message in page}, equal_to({f"localhost:{port}"}))
    assert_that(page[0]["lastError"], contains_string("which is not public"))
    assert_that(fake.received, empty())
    assert_that((await world.get("/status")).body, has_entries(webhooks=has_entries(waiting=0, parked=3)))
    figures = str((await world.get("/metrics")).body)
    assert_that(figures, contains_string(f'dialer_webhooks{{destination="localhost:{port}",state="parked"}} 3.0'))
    assert_that(figures, contains_string(f'dialer_webhooks_oldest_seconds{{destination="localhost:{port}"}} 0.0'))
