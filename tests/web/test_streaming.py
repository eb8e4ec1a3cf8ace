"""Answers that are written piece by piece, through the real stack in memory."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

from attrs import define, field
from hamcrest import assert_that, contains_string, ends_with, equal_to, has_length, is_, not_, starts_with
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from dialer.store.database import DatabaseError
from dialer.web.api import Api
from dialer.web.endpoint import Scope, endpoint
from dialer.web.site import BoundedSite
from dialer.web.streaming import Streamed
from tests.hygiene import LoggedFailures
from tests.told import Told
from tests.web.gates import open_gate


@define
class Numbers:
    """A group with one endpoint, whose pieces a test makes one after the other."""

    wanted: list[Deferred[bytes | None]] = field(factory=list)
    gone: int = 0
    closed: bool = False

    @endpoint("GET", "/numbers", scope=Scope.READ)
    async def get_numbers(self, request: Any) -> object:
        """What the test gives."""
        return Streamed("text/csv", self.pieces(), {"Content-Disposition": "attachment"}, self.left)

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        try:
            while (piece := await self.next()) is not None:
                yield piece
        finally:
            self.closed = True

    def next(self) -> Deferred[bytes | None]:
        self.wanted.append(Deferred())
        return self.wanted[-1]

    def left(self) -> None:
        self.gone += 1

    def give(self, *pieces: bytes | Exception | None) -> None:
        for piece in pieces:
            self.wanted[-1].errback(piece) if isinstance(piece, Exception) else self.wanted[-1].callback(piece)


@define
class Client:
    """A connection to a server in memory."""

    numbers: Numbers = field(factory=Numbers)
    transport: StringTransport = field(factory=StringTransport)
    told: Told = field(factory=Told)
    api: Api = field(init=False)
    channel: Any = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.api = Api([self.numbers], open_gate())
        self.channel = BoundedSite(self.api.resource(), self.told, reactor=Clock()).buildProtocol(None)
        self.channel.makeConnection(self.transport)

    def ask(self, method: str = "GET") -> None:
        self.channel.dataReceived(f"{method} /numbers HTTP/1.1\r\nHost: here\r\n\r\n".encode())

    @property
    def received(self) -> str:
        return self.transport.value().decode()


def asking(method: str = "GET") -> Client:
    client = Client()
    client.ask(method)
    return client


def test_each_piece_is_written_as_soon_as_it_is_made() -> None:
    client = asking()
    client.numbers.give(b"one\n")
    assert_that(client.received, starts_with("HTTP/1.1 200 OK"))
    assert_that(client.received.lower(), contains_string("content-type: text/csv\r\n"))
    assert_that(client.received.lower(), contains_string("content-disposition: attachment\r\n"))
    assert_that(client.received, ends_with("4\r\none\n\r\n"))
    client.numbers.give(b"two\n", None)
    assert_that(client.received, ends_with("4\r\ntwo\n\r\n0\r\n\r\n"))
    assert_that(client.numbers.closed, is_(True))


def test_an_answer_without_pieces_is_empty() -> None:
    client = asking()
    client.numbers.give(None)
    assert_that(client.received, starts_with("HTTP/1.1 200 OK"))
    assert_that(client.received, ends_with("\r\n\r\n0\r\n\r\n"))


def test_no_piece_is_made_for_a_client_that_does_not_keep_up() -> None:
    client = asking()
    client.numbers.give(b"one\n")
    client.transport.producer.pauseProducing()
    client.numbers.give(b"two\n")
    assert_that(client.numbers.wanted, has_length(2))
    client.transport.producer.resumeProducing()
    assert_that(client.numbers.wanted, has_length(3))
    client.numbers.give(None)


def test_a_client_that_goes_ends_the_making_of_pieces() -> None:
    client = asking()
    client.numbers.give(b"one\n")
    client.channel.connectionLost(Failure(ConnectionDone()))
    assert_that(client.numbers.gone, is_(1))
    client.numbers.give(b"two\n")
    assert_that(client.numbers.closed, is_(True))
    assert_that(client.numbers.wanted, has_length(2))


def test_a_client_that_goes_while_it_does_not_keep_up_ends_the_making_of_pieces() -> None:
    client = asking()
    client.numbers.give(b"one\n")
    client.transport.producer.pauseProducing()
    client.numbers.give(b"two\n")
    client.channel.connectionLost(Failure(ConnectionDone()))
    assert_that(client.numbers.closed, is_(True))


def test_a_failure_before_the_first_piece_is_answered_as_an_error() -> None:
    client = asking()
    client.numbers.give(DatabaseError("gone"))
    assert_that(client.received, starts_with("HTTP/1.1 503 "))
    assert_that(client.received, contains_string('"code":"database_down"'))
    assert_that(client.received.lower(), not_(contains_string("text/csv")))


def test_a_failure_after_a_piece_breaks_the_connection_off(logged_failures: LoggedFailures) -> None:
    client = asking()
    client.numbers.give(b"one\n", DatabaseError("gone"))
    assert_that(client.received, ends_with("4\r\none\n\r\n"))
    assert_that(client.transport.disconnecting, is_(True))
    assert_that(logged_failures.flush(DatabaseError), has_length(1))


def test_a_stop_of_the_service_ends_what_is_being_written() -> None:
    client = asking()
    client.numbers.give(b"one\n")
    client.api.close()
    assert_that(client.numbers.gone, is_(1))
    client.numbers.give(b"two\n")
    assert_that(client.numbers.closed, is_(True))
    assert_that(client.transport.disconnecting, is_(True))


def test_who_asks_for_the_head_gets_no_pieces() -> None:
    client = asking("HEAD")
    client.numbers.give(b"one\n")
    assert_that(client.received, starts_with("HTTP/1.1 200 OK"))
    assert_that(client.received, ends_with("\r\n\r\n"))
    assert_that((client.numbers.closed, len(client.numbers.wanted)), equal_to((True, 1)))


def test_a_failure_before_the_first_piece_after_the_client_has_gone_is_nobodys(logged_failures: LoggedFailures) -> None:
    client = asking()
    client.channel.connectionLost(Failure(ConnectionDone()))
    client.numbers.give(DatabaseError("gone"))
    assert_that(logged_failures.flush(), equal_to([]))
    assert_that(client.numbers.closed, is_(True))
