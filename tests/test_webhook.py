"""One receiver of webhooks over real sockets: what it gets, that it can verify it, and where nothing is sent at all."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import pytest_twisted
from hamcrest import assert_that, calling, contains_string, empty, equal_to, has_entries, has_length, is_, raises
from standardwebhooks import Webhook
from standardwebhooks.webhooks import WebhookVerificationError
from twisted.internet import reactor, ssl
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import IHostnameResolver
from twisted.web.client import BrowserLikePolicyForHTTPS
from twisted.web.server import Site
from zope.interface import implementer

import dialer.webhook
from dialer.checked import CheckedEndpoints
from dialer.connector import DeliveryKind, persistent_client
from dialer.lookups import Lookups
from dialer.message import MessageKind, OutboxMessage
from dialer.public_address import is_public
from dialer.webhook import Signer, WebhookSender
from tests.certificates import self_signed
from tests.fake_vc import FakeVC, Manner

sure = pytest_twisted.ensureDeferred

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
NEXT_SECRET = "whsec_" + "QUJD" * 11
HOST = "hooks.example"

CONTACT = {
    "at": "2026-11-26T12:00:00.5+02:00",
    "dialer": "dialer-1",
    "id": "c1",
    "customer_number": "+447700900123",
    "campaign_type": "IVR",
    "campaign_id": "k",
    "gateway_id": "gw",
    "taking": 1,
    "switch": "pbx:8021",
    "bridged": False,
    "received_time": "2026-11-26T09:00:00+00:00",
    "status": "dialed",
    **dict.fromkeys(["campaign_contact_id", "tenant_id", "start_time", "end_time", "priority", "ivr", "dialing_mode"]),
    **dict.fromkeys(["routing_mode", "resource_id", "queue_name", "agent", "dial_time", "answered_time", "ended_time"]),
    **dict.fromkeys(["scheduling_metadata", "call_result"]),
}


def message(url: str | None = None, **fields: Any) -> OutboxMessage:
    """A webhook as it was claimed."""
    values: dict[str, Any] = {
        "id": 1,
        "contact_id": "c1",
        "kind": MessageKind.WEBHOOK,
        "customer_number": "+447700900123",
        "idempotency_key": "0b5a1a3e-7a0e-4f6d-8f3e-0d4b8f3f2a11",
        "created_time": datetime.now(UTC),
        "event": "taken",
        "url": url,
        "payload": json.dumps(CONTACT),
    }
    return OutboxMessage(**(values | fields))


@implementer(IHostnameResolver)
class Names:
    """A DNS that gives its answers one after the other, the last one for ever."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self._answers = list(answers)
        self.asked: list[str] = []

    def resolveHostName(self, resolutionReceiver: Any, hostName: str, *_: Any, **__: Any) -> Any:
        self.asked.append(hostName)
        for address in self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]:
            kind = IPv6Address if ":" in address else IPv4Address
            resolutionReceiver.addressResolved(kind("TCP", address, 0))
        resolutionReceiver.resolutionComplete()


class Street:
    """A receiver behind TLS, and senders that find it by the names of a test."""

    def __init__(self, certificate: ssl.PrivateCertificate) -> None:
        self.receiver = FakeVC(reactor)
        self._port = reactor.listenSSL(0, Site(self.receiver), certificate.options(), interface="127.0.0.1")
        self._policy = BrowserLikePolicyForHTTPS(ssl.trustRootFromCertificates([certificate]))
        self._senders: list[WebhookSender] = []
        self.names = Names(["127.0.0.1"])

    @property
    def port(self) -> int:
        return int(self._port.getHost().port)

    def url(self, host: str = HOST) -> str:
        return f"https://{host}:{self.port}/events?token=1"

    def sender(
        self,
        allows: Callable[[str], bool] = lambda _: True,
        *,
        only: tuple[str, int] | None = None,
        policy: Any = None,
        secrets: Sequence[str] = (SECRET,),
        **options: Any,
    ) -> WebhookSender:
        endpoints = CheckedEndpoints(
            reactor, 5.0, Lookups(self.names), allows, only=only or (HOST, self.port), policy=policy or self._policy
        )
        sender = WebhookSender(reactor, *persistent_client(reactor, endpoints), Signer(secrets), **options)
        self._senders.append(sender)
        return sender

    async def close(self) -> None:
        for sender in self._senders:
            await sender.close()
        await self._port.stopListening()


@pytest.fixture(scope="module")
def certificate() -> ssl.PrivateCertificate:
    return self_signed(HOST, "other.example")


@pytest_twisted.async_yield_fixture
async def street(certificate: ssl.PrivateCertificate) -> AsyncIterator[Street]:
    street = Street(certificate)
    yield street
    await street.close()


# -- what is sent ------------------------------------------------------------------------------------------------------


@sure
async def test_a_receiver_can_verify_what_it_gets(street: Street) -> None:
    delivery = await street.sender().deliver(message(street.url()))
    assert_that(delivery.kind, is_(DeliveryKind.ACCEPTED), delivery.reason)
    (received,) = street.receiver.received
    verified = Webhook(SECRET).verify(received.raw, received.headers)
    assert_that(verified, has_entries(type="contact.taken", timestamp="2026-11-26T10:00:00.500000Z"))
    assert_that(verified["data"], has_entries(id="c1", customerNumber="+447700900123", status="dialed", ivr=None))
    assert_that(received.headers["webhook-id"], is_(message().idempotency_key))
    assert_that(received.headers["content-type"], is_("application/json"))


@pytest.mark.parametrize("secret", [SECRET, NEXT_SECRET])
@sure
async def test_with_two_secrets_a_receiver_needs_to_know_one_of_them(street: Street, secret: str) -> None:
    await street.sender(secrets=[SECRET, NEXT_SECRET]).deliver(message(street.url()))
    (received,) = street.receiver.received
    assert_that(received.headers["webhook-signature"].split(" "), has_length(2))
    Webhook(secret).verify(received.raw, received.headers)
    stranger = Webhook("whsec_" + "AAAA" * 8)
    assert_that(calling(stranger.verify).with_args(received.raw, received.headers), raises(WebhookVerificationError))


@sure
async def test_each_try_has_the_same_id_and_body_and_a_time_of_its_own(street: Street) -> None:
    times = [datetime.now(UTC), datetime.now(UTC) + timedelta(seconds=90)]
    street.receiver.script = lambda _: 503 if len(street.receiver.received) < 1 else 200
    coming = iter(times)
    sender = street.sender(now=lambda: next(coming))
    kinds = [(await sender.deliver(message(street.url()))).kind for _ in times]
    assert_that(kinds, equal_to([DeliveryKind.TRY_AGAIN, DeliveryKind.ACCEPTED]))
    first, second = street.receiver.received
    assert_that((first.raw, first.headers["webhook-id"]), equal_to((second.raw, second.headers["webhook-id"])))
    sent = [received.headers["webhook-timestamp"] for received in street.receiver.received]
    assert_that(sent, equal_to([str(int(time.timestamp())) for time in times]))
    for received in street.receiver.received:
        Webhook(SECRET).verify(received.raw, received.headers)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (204, DeliveryKind.ACCEPTED),
        (400, DeliveryKind.REJECTED),
        (410, DeliveryKind.REJECTED),
        (408, DeliveryKind.TRY_AGAIN),
        (429, DeliveryKind.TRY_AGAIN),
        (500, DeliveryKind.TRY_AGAIN),
        (Manner.BREAK, DeliveryKind.TRY_AGAIN),
        (Manner.GARBAGE, DeliveryKind.TRY_AGAIN),
    ],
)
@sure
async def test_an_answer_means_what_it_means_from_the_voice_connector(
    street: Street, answer: Any, kind: DeliveryKind
) -> None:
    street.receiver.script = lambda _: answer
    assert_that((await street.sender().deliver(message(street.url()))).kind, is_(kind))


@sure
async def test_a_receiver_that_does_not_answer_is_given_up_in_time(
    street: Street, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dialer.webhook, "ANSWER_TIMEOUT", 0.1)
    street.receiver.script = lambda _: Manner.HANG
    delivery = await street.sender().deliver(message(street.url()))
    assert_that((delivery.kind, delivery.reason), equal_to((DeliveryKind.TRY_AGAIN, "no answer in 0.1 s")))


@pytest.mark.parametrize(
    "fields", [{"payload": None}, {"payload": '{"at":"infinity"}'}, {"event": "other"}, {"url": "hooks.example"}]
)
@sure
async def test_what_cannot_be_sent_as_it_is_stored_is_not_tried_again(street: Street, fields: dict[str, Any]) -> None:
    delivery = await street.sender().deliver(message(**({"url": street.url()} | fields)))
    assert_that(delivery.kind, is_(DeliveryKind.REJECTED))
    assert_that(street.receiver.received, empty())


# -- where nothing is sent ---------------------------------------------------------------------------------------------


@sure
async def test_nothing_is_sent_to_a_receiver_whose_certificate_is_not_trusted(street: Street) -> None:
    delivery = await street.sender(policy=BrowserLikePolicyForHTTPS()).deliver(message(street.url()))
    assert_that(delivery.kind, is_(DeliveryKind.TRY_AGAIN))
    assert_that(delivery.reason, contains_string("certificate verify failed"))
    assert_that(street.receiver.received, empty())


@sure
async def test_nothing_is_sent_to_a_receiver_whose_certificate_is_for_another_name(street: Street) -> None:
    sender = street.sender(only=("third.example", street.port))
    delivery = await sender.deliver(message(street.url("third.example")))
    assert_that(delivery.kind, is_(DeliveryKind.TRY_AGAIN))
    assert_that(street.receiver.received, empty())


@pytest.mark.parametrize(
    "addresses",
    [
        ["127.0.0.1"],
        ["10.0.0.1"],
        ["169.254.169.254"],
        ["::1"],
        ["::ffff:127.0.0.1"],
        ["8.8.8.8", "127.0.0.1"],
        ["127.0.0.1", "8.8.8.8"],
    ],
)
@sure
async def test_a_name_that_leads_to_a_private_address_is_not_connected_to(street: Street, addresses: list[str]) -> None:
    street.names = Names(addresses)
    delivery = await street.sender(is_public).deliver(message(street.url()))
    assert_that(delivery.kind, is_(DeliveryKind.REJECTED))
    assert_that(delivery.reason, contains_string("which is not public"))
    assert_that(street.receiver.received, empty())


@sure
async def test_a_dns_answer_that_changes_after_the_check_changes_nothing(street: Street) -> None:
    """The second answer would be refused: were the name looked up again to connect, nothing would arrive."""
    street.names = Names(["127.0.0.1"], ["10.0.0.1"])
    sender = street.sender(lambda address: address == "127.0.0.1")
    assert_that((await sender.deliver(message(street.url()))).kind, is_(DeliveryKind.ACCEPTED))
    assert_that(street.names.asked, equal_to([HOST]))


@sure
async def test_a_dns_answer_that_changes_is_checked_for_the_next_connection(street: Street) -> None:
    street.names = Names(["127.0.0.1"], ["10.0.0.1"])
    street.receiver.script = lambda _: Manner.BREAK
    sender = street.sender(lambda address: address == "127.0.0.1")
    kinds = [(await sender.deliver(message(street.url()))).kind for _ in range(2)]
    assert_that(kinds, equal_to([DeliveryKind.TRY_AGAIN, DeliveryKind.REJECTED]))
    assert_that(street.receiver.received, has_length(1))


@sure
async def test_a_name_without_an_address_is_tried_again(street: Street) -> None:
    street.names = Names([])
    assert_that((await street.sender(is_public).deliver(message(street.url()))).kind, is_(DeliveryKind.TRY_AGAIN))


@sure
async def test_the_next_address_is_tried_when_one_cannot_be_reached(street: Street) -> None:
    street.names = Names(["127.0.0.9", "127.0.0.1"])
    assert_that((await street.sender().deliver(message(street.url()))).kind, is_(DeliveryKind.ACCEPTED))


@sure
async def test_a_redirect_is_not_followed(street: Street) -> None:
    street.receiver.script = lambda _: 302
    elsewhere = FakeVC(reactor)
    elsewhere.listen()
    street.receiver.number = elsewhere.number
    try:
        delivery = await street.sender().deliver(message(street.url()))
    finally:
        await elsewhere.stop()
    assert_that((delivery.kind, delivery.reason), equal_to((DeliveryKind.TRY_AGAIN, "HTTP 302")))
    assert_that(elsewhere.received, empty())
    assert_that(street.receiver.received, has_length(1))


@pytest.mark.parametrize(
    "where", ["https://other.example:{port}/", "https://hooks.example/", "http://hooks.example:{port}/"]
)
@sure
async def test_another_host_port_or_scheme_than_the_receivers_own_is_not_connected_to(
    street: Street, where: str
) -> None:
    delivery = await street.sender().deliver(message(where.format(port=street.port)))
    assert_that(delivery.kind, is_(DeliveryKind.REJECTED))
    assert_that(street.names.asked, empty())
    assert_that(street.receiver.received, empty())
