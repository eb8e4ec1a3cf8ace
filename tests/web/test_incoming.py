"""Bodies that are taken as they arrive, through the real stack in memory."""

from __future__ import annotations

from typing import Any

from attrs import define, field
from hamcrest import assert_that, contains_string, ends_with, equal_to, has_length, is_, not_, starts_with
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionLost
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from dialer.web.answers import HttpError
from dialer.web.api import Api
from dialer.web.bounds import Bounds
from dialer.web.endpoint import Scope, endpoint
from dialer.web.incoming import ENOUGH, BodyLost, Incoming
from dialer.web.site import MAX_BODY, MAX_UNREAD, BoundedSite
from tests.told import Told
from tests.web.gates import open_gate

IDLE_TIMEOUT = Bounds().idle_time


@define
class Lists:
    """A group that reads a list, each piece when the test lets it."""

    got: list[bytes] = field(factory=list)
    steps: list[Deferred[Exception | None]] = field(factory=list)
    lost: bool = False
    at_once: Exception | None = None

    @endpoint("POST", "/lists", scope=Scope.CONTACTS, arriving={"text/csv": str})
    async def post_list(self, request: Any) -> object:
        """How much it was."""
        incoming: Incoming = request.incoming
        if self.at_once is not None:
            raise self.at_once
        try:
            while True:
                self.steps.append(Deferred())
                refused = await self.steps[-1]
                if refused is not None:
                    raise refused
                data = await incoming.read()
                if not data:
                    return {"bytes": sum(map(len, self.got))}
                self.got.append(data)
        except BodyLost:
            self.lost = True
            raise

    def go_on(self, refused: Exception | None = None) -> None:
        self.steps[-1].callback(refused)


@define
class Client:
    """A connection to a server in memory."""

    lists: Lists = field(factory=Lists)
    clock: Clock = field(factory=Clock)
    transport: StringTransport = field(factory=StringTransport)
    channel: Any = field(init=False)

    def __attrs_post_init__(self) -> None:
        api = Api([self.lists], open_gate())
        site = BoundedSite(api.resource(), Told(), arriving=api.arriving, reactor=self.clock)
        self.channel = site.buildProtocol(None)
        self.channel.callLater = self.clock.callLater
        self.channel.makeConnection(self.transport)

    def begin(self, length: int, *more: str) -> None:
        lines = ["POST /lists?x=1 HTTP/1.1", "Host: here", "Content-Type: Text/CSV; charset=utf-8", *more]
        self.send("\r\n".join([*lines, f"Content-Length: {length}", "", ""]).encode())

    def send(self, data: bytes) -> None:
        self.channel.dataReceived(data)

    @property
    def received(self) -> str:
        return self.transport.value().decode()

    @property
    def held_up(self) -> bool:
        return self.transport.producerState == "paused"


def test_a_list_is_read_before_it_has_ended_and_answered_after() -> None:
    client = Client()
    client.begin(6)
    client.lists.go_on()
    client.send(b"abc")
    assert_that(client.lists.got, equal_to([b"abc"]))
    client.lists.go_on()
    client.send(b"def")
    client.lists.go_on()
    assert_that(client.received, starts_with("HTTP/1.1 200 OK"))
    assert_that(client.received, contains_string('{"bytes":6}'))
    assert_that(client.transport.disconnecting, is_(False))


def test_a_client_is_held_up_while_nobody_reads_and_let_go_on_after() -> None:
    client = Client()
    client.begin(10 * ENOUGH)
    client.send(b"x" * (ENOUGH - 1))
    assert_that(client.held_up, is_(False))
    client.send(b"x")
    assert_that(client.held_up, is_(True))
    client.lists.go_on()
    assert_that(client.held_up, is_(False))
    assert_that(client.lists.got, equal_to([b"x" * ENOUGH]))


def test_a_client_that_is_held_up_is_not_idle_and_one_that_stalls_is() -> None:
    client = Client()
    client.begin(10 * ENOUGH)
    client.send(b"x" * ENOUGH)
    client.clock.advance(2 * IDLE_TIMEOUT)
    assert_that(client.transport.disconnecting, is_(False))
    client.lists.go_on()
    client.clock.advance(IDLE_TIMEOUT + 1)
    assert_that(client.transport.disconnecting, is_(True))
    client.channel.connectionLost(Failure(ConnectionLost()))
    client.lists.go_on()


def test_a_connection_whose_client_was_held_up_at_the_end_is_as_any_other() -> None:
    client = Client()
    client.begin(ENOUGH)
    client.send(b"x" * ENOUGH)
    client.clock.advance(2 * IDLE_TIMEOUT)
    client.lists.go_on()
    client.clock.advance(2 * IDLE_TIMEOUT)
    assert_that((client.transport.disconnecting, client.received), equal_to((False, "")))
    client.lists.go_on()
    assert_that(client.received, contains_string(f'{{"bytes":{ENOUGH}}}'))
    client.begin(0)
    client.lists.go_on()
    assert_that(client.received.count("200 OK"), equal_to(2))
    client.clock.advance(IDLE_TIMEOUT + 1)
    assert_that(client.transport.disconnecting, is_(True))


def test_a_list_may_be_longer_than_any_other_body() -> None:
    client = Client()
    client.begin(2 * MAX_BODY)
    assert_that(client.received, equal_to(""))
    client.send(b"x")
    client.lists.go_on()
    assert_that(client.lists.got, has_length(1))
    client.channel.connectionLost(Failure(ConnectionLost()))
    client.lists.go_on()


def test_a_client_that_goes_fails_the_reading() -> None:
    client = Client()
    client.begin(6)
    client.lists.go_on()
    client.send(b"abc")
    client.lists.go_on()
    client.channel.connectionLost(Failure(ConnectionLost()))
    assert_that(client.lists.lost, is_(True))


def test_an_early_answer_is_complete_at_once_and_the_connection_ends_with_the_body() -> None:
    client = Client()
    client.begin(2 * ENOUGH)
    client.send(b"x" * ENOUGH)
    client.lists.go_on(HttpError(400, "invalid", "no header"))
    head, _, body = client.received.partition("\r\n\r\n")
    assert_that(head.lower(), contains_string(f"content-length: {len(body)}"))
    assert_that(head.lower(), contains_string("connection: close"))
    assert_that(body, equal_to('{"error":{"code":"invalid","message":"no header","field":null}}'))
    assert_that((client.held_up, client.transport.disconnecting), equal_to((False, False)))
    client.send(b"x" * ENOUGH)
    assert_that(client.transport.disconnecting, is_(True))
    assert_that(client.received, ends_with(body))


def test_a_client_that_asks_whether_to_send_is_told_to_unless_it_is_refused_at_once() -> None:
    client = Client()
    client.begin(3, "Expect: 100-continue")
    assert_that(client.received, equal_to("HTTP/1.1 100 Continue\r\n\r\n"))
    client.lists.go_on()
    client.send(b"abc")
    client.lists.go_on()
    assert_that(client.received, contains_string("\r\n\r\nHTTP/1.1 200 OK"))
    client.lists.at_once = HttpError(400, "invalid", "no")
    client.transport.clear()
    client.begin(3, "Expect: 100-continue")
    assert_that(client.received, starts_with("HTTP/1.1 400 "))
    assert_that(client.received, not_(contains_string("100 Continue")))
    client.send(b"abc")


def test_a_client_that_goes_on_for_long_after_an_early_answer_is_cut_off() -> None:
    client = Client()
    client.begin(2 * MAX_UNREAD)
    client.lists.go_on(HttpError(400, "invalid", "no header"))
    for _ in range(MAX_UNREAD // 2**20):
        client.send(b"x" * 2**20)
    assert_that(client.transport.disconnecting, is_(False))
    client.send(b"x" * 2**20)
    assert_that(client.transport.disconnecting, is_(True))
    assert_that(client.received, not_(contains_string("200")))


def test_a_body_of_another_type_is_not_taken_as_it_arrives() -> None:
    client = Client()
    client.send(b"POST /lists HTTP/1.1\r\nHost: here\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n")
    assert_that(client.lists.steps, has_length(0))
