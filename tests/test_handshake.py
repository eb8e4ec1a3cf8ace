"""A VC behind TLS: a request counts as sent only when the handshake was completed."""

from __future__ import annotations

from typing import Any

import pytest
import pytest_twisted
from hamcrest import assert_that, contains_string, equal_to, has_length, has_properties
from twisted.internet import ssl
from twisted.internet.protocol import Factory, Protocol
from twisted.web.client import BrowserLikePolicyForHTTPS
from twisted.web.iweb import IPolicyForHTTPS
from twisted.web.server import Site

import dialer.connector
from dialer.connector import AgentRequestKind, Connector
from tests.certificates import self_signed
from tests.fake_vc import FakeVC
from tests.test_connector import CONTACT


@pytest.fixture(scope="module")
def certificate() -> ssl.PrivateCertificate:
    """Of the VC."""
    return self_signed()


async def _ask(reactor: Any, factory: Factory, options: Any, policy: IPolicyForHTTPS | None) -> Any:
    listen = reactor.listenTCP if options is None else reactor.listenSSL
    port = listen(0, factory, *([] if options is None else [options]), interface="127.0.0.1")
    url = f"https://127.0.0.1:{port.getHost().port}"
    connector = Connector.persistent(reactor, url, "1218", policy=policy)
    answers = [await connector.request_agent(CONTACT, esl_host_default="10.0.0.5") for _ in range(2)]
    await connector.close()
    await port.stopListening()
    assert_that({answer.kind for answer in answers}, has_length(1))
    return answers[0]


@pytest_twisted.ensureDeferred
async def test_a_request_is_accepted_over_a_trusted_connection(
    reactor: Any, certificate: ssl.PrivateCertificate
) -> None:
    vc = FakeVC(reactor)
    policy = BrowserLikePolicyForHTTPS(ssl.trustRootFromCertificates([certificate]))
    answer = await _ask(reactor, Site(vc), certificate.options(), policy)
    assert_that(answer, has_properties(kind=AgentRequestKind.ACCEPTED, status=200))
    assert_that({received.connection for received in vc.received}, equal_to({1}))


@pytest_twisted.ensureDeferred
async def test_nothing_is_sent_to_a_vc_whose_certificate_is_not_trusted(
    reactor: Any, certificate: ssl.PrivateCertificate
) -> None:
    vc = FakeVC(reactor)
    answer = await _ask(reactor, Site(vc), certificate.options(), None)
    assert_that(answer.kind, equal_to(AgentRequestKind.UNDELIVERABLE))
    assert_that(answer.reason, contains_string("certificate verify failed"))
    assert_that(vc.received, has_length(0))


@pytest_twisted.ensureDeferred
async def test_nothing_is_sent_to_a_vc_that_never_completes_the_handshake(
    reactor: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dialer.connector, "CONNECT_TIMEOUT", 0.2)
    answer = await _ask(reactor, Factory.forProtocol(Protocol), None, None)
    assert_that(answer, has_properties(kind=AgentRequestKind.UNDELIVERABLE, reason="no connection in 0.2 s"))
