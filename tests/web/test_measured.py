"""How requests are measured: by method, declared path and status, whatever becomes of them."""

from __future__ import annotations

from typing import Any

from attrs import define, field
from hamcrest import assert_that, contains_exactly, contains_string, equal_to, greater_than_or_equal_to, is_, not_
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionLost
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from dialer.web.api import Api
from dialer.web.endpoint import Scope, endpoint
from dialer.web.site import MAX_BODY, BoundedSite
from tests.told import Told
from tests.web.gates import open_gate


class Things:
    """Endpoints of which one answers when the test says so."""

    def __init__(self) -> None:
        self.answer: Deferred[object] = Deferred()

    @endpoint("GET", "/thing/<thing_id>", scope=Scope.READ)
    async def get_thing(self, request: Any, thing_id: str) -> object:
        """A thing."""
        return {"id": thing_id}

    @endpoint("POST", "/slow", alias="/slow;", scope=Scope.READ)
    async def post_slow(self, request: Any) -> object:
        """Takes its time."""
        return await self.answer

    @endpoint("GET", "/broken", scope=Scope.READ)
    async def get_broken(self, request: Any) -> object:
        """Never works."""
        raise ZeroDivisionError


class HalfClosing(StringTransport):
    """One whose sending side can be closed alone, as TCP's can."""

    def loseWriteConnection(self) -> None:
        self.loseConnection()


@define
class Client:
    """A connection to a server in memory."""

    things: Things = field(factory=Things)
    told: Told = field(factory=Told)
    transport: HalfClosing = field(factory=HalfClosing)
    channel: Any = field(init=False)

    def __attrs_post_init__(self) -> None:
        site = BoundedSite(Api([self.things], open_gate()).resource(), self.told, reactor=Clock())
        self.channel = site.buildProtocol(None)
        self.channel.makeConnection(self.transport)

    def ask(self, method: str, path: str, *headers: str) -> None:
        lines = "".join(f"{header}\r\n" for header in ("Host: here", *headers))
        self.channel.dataReceived(f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode())

    @property
    def served(self) -> list[tuple[object, ...]]:
        """What was told, without the times."""
        return [told[:3] for told in self.told.of("served")]


def test_a_request_counts_by_the_path_as_it_is_declared() -> None:
    client = Client()
    client.ask("GET", "/thing/1?x=2")
    client.ask("GET", "/thing/2")
    assert_that(client.served, equal_to([("GET", "/thing/{thing_id}", "200")] * 2))
    assert_that(client.told.of("served")[0][3], greater_than_or_equal_to(0))


def test_a_request_counts_when_it_is_answered() -> None:
    client = Client()
    client.ask("POST", "/slow;", "Content-Length: 0")
    assert_that(client.served, is_([]))
    client.things.answer.callback({})
    assert_that(client.served, contains_exactly(("POST", "/slow", "200")))


def test_a_request_whose_client_is_gone_before_its_answer_counts_as_gone() -> None:
    client = Client()
    client.ask("POST", "/slow", "Content-Length: 0")
    client.channel.connectionLost(Failure(ConnectionLost()))
    assert_that(client.served, contains_exactly(("POST", "/slow", "gone")))
    client.things.answer.callback({})
    assert_that(client.served, contains_exactly(("POST", "/slow", "gone")))


def test_a_failure_counts_as_what_the_client_gets(logged_failures: Any) -> None:
    client = Client()
    client.ask("GET", "/broken")
    assert_that(client.served, contains_exactly(("GET", "/broken", "500")))
    logged_failures.flush(ZeroDivisionError)


def test_what_has_no_route_counts_without_its_path() -> None:
    client = Client()
    client.ask("GET", "/no/such/path")
    client.ask("DELETE", "/thing/1")
    client.ask("GET", "/%ff")
    assert_that(client.served, equal_to([("GET", "none", "404"), ("DELETE", "none", "405"), ("GET", "none", "404")]))


def test_a_body_that_is_too_large_counts_once_as_it_is_refused() -> None:
    client = Client()
    client.ask("POST", "/slow", f"Content-Length: {MAX_BODY + 1}")
    assert_that([(route, status) for _, route, status in client.served], equal_to([("none", "413")]))
    assert_that(client.transport.value().decode(), contains_string("413"))
    assert_that(client.transport.value().decode(), not_(contains_string("500")))
