"""Where a request goes, as the agent under treq is asked for it."""

from __future__ import annotations

from typing import Any

import pytest
from hamcrest import assert_that, contains_exactly, equal_to, has_properties
from treq.client import HTTPClient
from twisted.internet.defer import Deferred, fail
from twisted.internet.task import Clock
from twisted.web.iweb import IAgent
from zope.interface import implementer

from dialer.addresses import base_url
from dialer.connector import Connector
from dialer.posting import Address, Poster
from tests.esl.support import result_of


@implementer(IAgent)
class Agent:
    """Notes what it is asked for, and reaches nobody."""

    def __init__(self) -> None:
        self.asked: list[tuple[bytes, bytes]] = []

    def request(self, method: bytes, uri: bytes, headers: Any = None, bodyProducer: Any = None) -> Deferred[Any]:
        self.asked.append((method, uri))
        return fail(ConnectionRefusedError("nobody there"))


@pytest.mark.parametrize(
    ("url", "uri"),
    [
        ("http://vc.example/request-agent", "http://vc.example/request-agent"),
        ("http://vc.example:8080/base/request-agent", "http://vc.example:8080/base/request-agent"),
        ("https://vc.example:8443/end-chat", "https://vc.example:8443/end-chat"),
        ("http://bücher.example/end-chat", "http://xn--bcher-kva.example/end-chat"),
        ("http://vc.example/für/end-chat", "http://vc.example/f%C3%BCr/end-chat"),
        ("http://vc.example/a%20b/end-chat", "http://vc.example/a%20b/end-chat"),
        ("http://vc_1:80/end-chat", "http://vc_1/end-chat"),
        ("http://10.0.0.1:9/für", "http://10.0.0.1:9/f%C3%BCr"),
        ("http://[::1]:9/end-chat", "http://[::1]:9/end-chat"),
    ],
)
def test_a_request_goes_where_its_address_says(url: str, uri: str) -> None:
    agent, clock = Agent(), Clock()
    address = Address.of(url)
    for _ in range(2):
        posting = Poster(clock, HTTPClient(agent)).post(address, b"{}", {}, send_within=1.0, answer_within=1.0)
        exchange = result_of(Deferred.fromCoroutine(posting))
        assert_that(exchange, has_properties(sent=False, reason="ConnectionRefusedError: nobody there"))
    assert_that(agent.asked, contains_exactly(*[(b"POST", uri.encode())] * 2))
    assert_that(clock.getDelayedCalls(), equal_to([]))


@pytest.mark.parametrize(
    "url", ["", "vc.example", "/end-chat", "//vc.example/end-chat", "http://", "http:///end-chat", "http://vc:port/"]
)
def test_what_is_no_absolute_url_is_no_address(url: str) -> None:
    with pytest.raises(ValueError, match=r"absolute|port"):
        Address.of(url)


@pytest.mark.parametrize("base", ["http://vc_1:8080", "http://[::1]:9", "http://vc.example/base"])
def test_a_connector_can_be_had_for_every_base_url_that_the_settings_allow(base: str) -> None:
    assert_that(base_url(base), equal_to(base))
    connector = Connector(Clock(), HTTPClient(Agent()), base, "1218")
    assert_that(connector.up, equal_to(False))
