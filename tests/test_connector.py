"""The connector against a real HTTP server: exact bytes, and what is known after each kind of failure."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from typing import Any

import attrs
import pytest
import pytest_twisted
from hamcrest import assert_that, contains_string, equal_to, has_entries, has_length, has_properties, is_not
from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import deferLater

import dialer.connector
from dialer.connector import AgentRequestKind, Connector, DeliveryKind
from dialer.contact import CampaignType, Contact, DialingMode, RoutingMode
from dialer.message import MessageKind, OutboxMessage
from tests.fake_vc import FakeVC, Manner

CONTACT = Contact(
    id="5b1d6c6e-0b0e-4b0a-9f0c-1f6f6f6f6f6f",
    customer_number="+923001234567",
    campaign_type=CampaignType.AGENT,
    gateway_id="gw-1",
    campaign_id="spring",
    priority=3,
    dialing_mode=DialingMode.PROGRESSIVE,
    routing_mode=RoutingMode.QUEUE,
    resource_id="62f9e360",
    queue_name="Sales",
)
NOTIFICATION = OutboxMessage(
    id=7,
    contact_id="c-7",
    kind=MessageKind.NOTIFICATION,
    customer_number="+4930123",
    idempotency_key="3f0d2f7e-2d6a-4c39-8a39-5f2a7a0f4a11",
    created_time=datetime(2026, 3, 1, tzinfo=UTC),
    call_result="Invalid Gateway",
)
END_CHAT = OutboxMessage(
    id=8,
    contact_id="c-7",
    kind=MessageKind.END_CHAT,
    customer_number="+4930123",
    idempotency_key="9a7e1c55-8f9b-4d6e-9a55-1b2c3d4e5f60",
    created_time=datetime(2026, 3, 1, tzinfo=UTC),
    tenant_id="tenant-a",
)


@pytest_twisted.async_yield_fixture
async def vc() -> AsyncIterator[FakeVC]:
    fake = FakeVC(reactor)
    fake.listen()
    yield fake
    await fake.stop()


@pytest_twisted.async_yield_fixture
async def connector(vc: FakeVC) -> AsyncIterator[Connector]:
    connector = Connector.persistent(reactor, vc.url + "/", "1218")
    yield connector
    await connector.close()


@pytest.fixture
def brief_waits(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    # Not those for a connection: nothing here is about one that takes long.
    monkeypatch.setattr(dialer.connector, "ANSWER_TIMEOUT", 0.2)
    return


async def _ask(connector: Connector, contact: Contact = CONTACT) -> Any:
    return await connector.request_agent(contact, esl_host_default="10.0.0.5")


@pytest_twisted.ensureDeferred
async def test_an_agent_request_carries_exactly_the_agreed_body(vc: FakeVC, connector: Connector) -> None:
    answer = await _ask(connector)
    assert_that(answer, has_properties(kind=AgentRequestKind.ACCEPTED, status=200))
    (received,) = vc.received
    assert_that(received.path, equal_to("/request-agent"))
    assert_that(
        received.raw.decode(),
        equal_to(
            '{"callingNumber":"+923001234567","callUid":"5b1d6c6e-0b0e-4b0a-9f0c-1f6f6f6f6f6f","eslHost":"10.0.0.5",'
            '"serviceIdentifier":"1218","direction":"OUTBOUND","callSipId":"","priority":3,"queue":"Sales",'
            '"queueType":"NAME"}'
        ),
    )
    assert_that(received.headers, has_entries({"content-type": "application/json"}))
    assert_that("tenantid" in received.headers, equal_to(False))


@pytest_twisted.ensureDeferred
async def test_a_contact_without_queue_name_asks_for_its_resource_by_id(vc: FakeVC, connector: Connector) -> None:
    await _ask(connector, attrs.evolve(CONTACT, queue_name=None, priority=None))
    assert_that(vc.received[0].body, has_entries(queue="62f9e360", queueType="ID", priority=None))


@pytest_twisted.ensureDeferred
async def test_a_tenant_is_named_as_esl_host_and_in_the_header(vc: FakeVC, connector: Connector) -> None:
    await _ask(connector, attrs.evolve(CONTACT, tenant_id="tenant-a"))
    assert_that(vc.received[0].body, has_entries(eslHost="tenant-a"))
    assert_that(vc.received[0].headers, has_entries(tenantid="tenant-a"))


@pytest_twisted.ensureDeferred
async def test_messages_carry_exactly_the_agreed_bodies_and_their_idempotency_keys(
    vc: FakeVC, connector: Connector
) -> None:
    for message in (NOTIFICATION, END_CHAT):
        assert_that((await connector.deliver(message)).kind, equal_to(DeliveryKind.ACCEPTED))
    told, ended = vc.received
    assert_that(told.path, equal_to("/send-delivery-notification"))
    assert_that(
        told.raw.decode(),
        equal_to('{"id":"c-7","serviceId":"1218","customerNum":"+4930123","callResult":"INVALID_GATEWAY"}'),
    )
    assert_that(told.headers, has_entries({"idempotency-key": NOTIFICATION.idempotency_key}))
    assert_that("tenantid" in told.headers, equal_to(False))
    assert_that(ended.path, equal_to("/end-chat"))
    assert_that(ended.raw.decode(), equal_to('{"customerId":"+4930123","serviceId":"1218"}'))
    assert_that(ended.headers, has_entries({"idempotency-key": END_CHAT.idempotency_key, "tenantid": "tenant-a"}))


@pytest_twisted.ensureDeferred
async def test_a_webhook_is_not_sent_to_the_vc(vc: FakeVC, connector: Connector) -> None:
    with pytest.raises(ValueError, match="a webhook is not for the voice connector"):
        await connector.deliver(attrs.evolve(NOTIFICATION, kind=MessageKind.WEBHOOK))
    assert_that(vc.received, has_length(0))


@pytest_twisted.ensureDeferred
async def test_any_2xx_accepts_an_agent_request(vc: FakeVC, connector: Connector) -> None:
    for status in (200, 201, 202, 204):
        vc.script = lambda received, status=status: status
        assert_that(await _ask(connector), has_properties(kind=AgentRequestKind.ACCEPTED, status=status))


@pytest_twisted.ensureDeferred
async def test_any_other_status_refuses_an_agent_request(vc: FakeVC, connector: Connector) -> None:
    for status in (302, 404, 429, 500, 503):
        vc.script = lambda received, status=status: status
        assert_that(
            await _ask(connector),
            has_properties(kind=AgentRequestKind.REFUSED, status=status, reason=f"HTTP {status}"),
        )
    assert_that({received.path for received in vc.received}, equal_to({"/request-agent"}))


@pytest_twisted.ensureDeferred
async def test_a_refused_connection_is_known_as_nothing_sent(vc: FakeVC, connector: Connector) -> None:
    await vc.stop()
    answer = await _ask(connector)
    assert_that(answer, has_properties(kind=AgentRequestKind.UNDELIVERABLE, status=None))
    assert_that(answer.reason, contains_string("refused"))
    assert_that((await connector.deliver(NOTIFICATION)).kind, equal_to(DeliveryKind.TRY_AGAIN))


@pytest_twisted.ensureDeferred
async def test_a_name_that_does_not_exist_is_known_as_nothing_sent() -> None:
    connector = Connector.persistent(reactor, "http://vc.invalid:1", "1218")
    assert_that((await _ask(connector)).kind, equal_to(AgentRequestKind.UNDELIVERABLE))
    await connector.close()


@pytest_twisted.ensureDeferred
async def test_a_kept_connection_that_the_vc_closed_is_not_used_again(vc: FakeVC, connector: Connector) -> None:
    await _ask(connector)
    await vc.stop()
    await _turn()
    assert_that((await _ask(connector)).kind, equal_to(AgentRequestKind.UNDELIVERABLE))
    vc.listen()
    assert_that((await _ask(connector)).kind, equal_to(AgentRequestKind.ACCEPTED))


@pytest_twisted.ensureDeferred
async def test_a_connection_broken_after_the_request_leaves_it_unanswered_and_sends_it_once(
    vc: FakeVC, connector: Connector
) -> None:
    await _ask(connector)
    for manner in (Manner.BREAK, Manner.GARBAGE):
        vc.received.clear()
        vc.script = lambda received, manner=manner: manner
        assert_that(await _ask(connector), has_properties(kind=AgentRequestKind.UNANSWERED, status=None))
        assert_that((await connector.deliver(NOTIFICATION)).kind, equal_to(DeliveryKind.TRY_AGAIN))
        assert_that(vc.received, has_length(2))


@pytest_twisted.ensureDeferred
async def test_a_request_without_an_answer_in_time_is_unanswered(
    vc: FakeVC, connector: Connector, brief_waits: None
) -> None:
    vc.script = lambda received: Manner.HANG
    answer = await _ask(connector)
    assert_that(answer, has_properties(kind=AgentRequestKind.UNANSWERED, reason="no answer in 0.2 s"))
    delivery = await connector.deliver(NOTIFICATION)
    assert_that(delivery, has_properties(kind=DeliveryKind.TRY_AGAIN, reason="no answer in 0.2 s"))
    assert_that(connector.up, equal_to(False))


@pytest_twisted.ensureDeferred
async def test_a_message_that_cannot_be_sent_in_its_time_is_not_sent(vc: FakeVC, connector: Connector) -> None:
    delivery = await connector.deliver(END_CHAT, send_within=-1.0)
    assert_that(delivery.kind, equal_to(DeliveryKind.TRY_AGAIN))
    await connector.deliver(NOTIFICATION)
    assert_that([received.path for received in vc.received], equal_to(["/send-delivery-notification"]))


@pytest_twisted.ensureDeferred
async def test_a_body_that_never_ends_or_never_comes_does_not_change_the_answer(
    vc: FakeVC, connector: Connector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dialer.posting.DRAIN_TIME", 0.1)
    for manner in (Manner.BABBLE, Manner.TRAIL_OFF):
        vc.script = lambda received, manner=manner: manner
        assert_that((await connector.deliver(NOTIFICATION)).kind, equal_to(DeliveryKind.ACCEPTED))
    vc.script = lambda received: 200
    await connector.deliver(NOTIFICATION)
    assert_that({received.connection for received in vc.received}, has_length(3))


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (200, DeliveryKind.ACCEPTED),
        (204, DeliveryKind.ACCEPTED),
        (301, DeliveryKind.TRY_AGAIN),
        (307, DeliveryKind.TRY_AGAIN),
        (400, DeliveryKind.REJECTED),
        (404, DeliveryKind.REJECTED),
        (408, DeliveryKind.TRY_AGAIN),
        (422, DeliveryKind.REJECTED),
        (425, DeliveryKind.TRY_AGAIN),
        (429, DeliveryKind.TRY_AGAIN),
        (500, DeliveryKind.TRY_AGAIN),
        (503, DeliveryKind.TRY_AGAIN),
    ],
)
@pytest_twisted.ensureDeferred
async def test_the_status_decides_whether_a_message_is_tried_again(
    vc: FakeVC, connector: Connector, status: int, kind: DeliveryKind
) -> None:
    vc.script = lambda received: status
    assert_that(await connector.deliver(NOTIFICATION), has_properties(kind=kind, reason=f"HTTP {status}"))
    assert_that(vc.received, has_length(1))


@pytest_twisted.ensureDeferred
async def test_requests_share_a_kept_connection(vc: FakeVC, connector: Connector) -> None:
    for _ in range(5):
        await connector.deliver(NOTIFICATION)
    assert_that({received.connection for received in vc.received}, equal_to({1}))


@pytest_twisted.ensureDeferred
async def test_requests_under_way_at_once_do_not_wait_for_each_other(vc: FakeVC, connector: Connector) -> None:
    late: list[Deferred[int]] = []

    def script(received: Any) -> Deferred[int]:
        late.append(Deferred())
        return late[-1]

    vc.script = script
    deliveries = [Deferred.fromCoroutine(connector.deliver(NOTIFICATION)) for _ in range(20)]
    await vc.has_received(20)
    for answer in late:
        answer.callback(200)
    kinds = {delivery.kind for delivery in await gatherResults(deliveries)}
    assert_that(kinds, equal_to({DeliveryKind.ACCEPTED}))


@pytest_twisted.ensureDeferred
async def test_closing_tells_each_request_under_way_what_is_known(vc: FakeVC, connector: Connector) -> None:
    vc.script = lambda received: Manner.HANG
    asked = Deferred.fromCoroutine(_ask(connector))
    await vc.has_received(1)
    await connector.close()
    assert_that((await asked).kind, equal_to(AgentRequestKind.UNANSWERED))


@pytest_twisted.ensureDeferred
async def test_a_cancelled_request_tells_what_is_known(vc: FakeVC, connector: Connector) -> None:
    vc.script = lambda received: Manner.HANG
    asked = Deferred.fromCoroutine(_ask(connector))
    await vc.has_received(1)
    asked.cancel()
    assert_that((await asked).kind, equal_to(AgentRequestKind.UNANSWERED))
    asked = Deferred.fromCoroutine(_ask(connector))
    asked.cancel()
    assert_that((await asked).kind, equal_to(AgentRequestKind.UNDELIVERABLE))
    assert_that(vc.received, has_length(1))


@pytest_twisted.ensureDeferred
async def test_the_vc_is_up_after_any_http_answer_and_down_after_none(vc: FakeVC, connector: Connector) -> None:
    assert_that(connector.up, equal_to(False))
    vc.script = lambda received: 500
    await connector.deliver(NOTIFICATION)
    assert_that(connector, has_properties(up=True, reason="HTTP 500"))
    await vc.stop()
    await _turn()
    await connector.deliver(NOTIFICATION)
    assert_that(connector.up, equal_to(False))
    assert_that(connector.reason, contains_string("refused"))


@pytest_twisted.ensureDeferred
async def test_one_slow_request_among_answered_ones_does_not_make_the_vc_down(
    vc: FakeVC, connector: Connector, brief_waits: None
) -> None:
    vc.script = lambda received: Manner.HANG if received.path == "/end-chat" else 200
    slow = Deferred.fromCoroutine(connector.deliver(END_CHAT))
    await vc.has_received(1)
    await connector.deliver(NOTIFICATION)
    assert_that((await slow).kind, is_not(DeliveryKind.ACCEPTED))
    assert_that(connector.up, equal_to(True))


@pytest_twisted.ensureDeferred
async def test_an_idle_vc_is_known_from_a_bare_connection() -> None:
    connected: Deferred[None] = Deferred()

    class Silent(Protocol):
        def connectionLost(self, reason: Any = None) -> None:
            connected.callback(None)

    port = reactor.listenTCP(0, Factory.forProtocol(Silent), interface="127.0.0.1")
    connector = Connector.persistent(reactor, f"http://127.0.0.1:{port.getHost().port}", "1218")
    connector.start()
    await connected
    assert_that(connector, has_properties(up=True, reason="takes connections"))
    await connector.close()
    await port.stopListening()


async def _turn() -> None:
    """Let the reactor see what its sockets hold."""
    for _ in range(3):
        await deferLater(reactor, 0)
