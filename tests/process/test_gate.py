"""The gate, between a client and a server that answers each line."""

from __future__ import annotations

from typing import Any

import pytest
import pytest_twisted
from hamcrest import assert_that, equal_to, is_
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from tests.process.gate import Crossing, Gate, answered, asked

sure = pytest_twisted.ensureDeferred


class Line(Protocol):
    """Keeps what it gets; the server's end answers it in capitals."""

    def __init__(self, peers: list[Line] | None = None) -> None:
        self._peers = peers
        self._waiting: list[tuple[bytes, Deferred[None]]] = []
        self.got = b""
        self.over: Deferred[None] = Deferred()

    def connectionMade(self) -> None:
        if self._peers is not None:
            self._peers.append(self)

    def dataReceived(self, data: bytes) -> None:
        self.got += data
        if self._peers is not None:
            self.transport.write(data.upper())  # type: ignore[union-attr]
        due = [waiting for waiting in self._waiting if self.got.endswith(waiting[0])]
        self._waiting = [waiting for waiting in self._waiting if waiting not in due]
        for _, deferred in due:
            deferred.callback(None)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.over.callback(None)

    def say(self, data: bytes) -> None:
        self.transport.write(data)  # type: ignore[union-attr]

    async def has(self, end: bytes) -> None:
        """Wait until what it got ends like this."""
        if not self.got.endswith(end):
            waiting: Deferred[None] = Deferred()
            self._waiting.append((end, waiting))
            await waiting


class Place:
    """A gate, the server behind it, and clients."""

    def __init__(self, reactor: Any) -> None:
        self.reactor = reactor
        self.served: list[Line] = []
        factory = Factory.forProtocol(lambda: Line(self.served))  # type: ignore[arg-type]
        factory.noisy = False
        self.listening = reactor.listenTCP(0, factory, interface="127.0.0.1")
        number = self.listening.getHost().port
        self.gate = Gate(reactor, lambda: TCP4ClientEndpoint(reactor, "127.0.0.1", number))
        self.gate.listen()

    async def client(self) -> Line:
        endpoint = TCP4ClientEndpoint(self.reactor, "127.0.0.1", self.gate.port)
        line: Line = await connectProtocol(endpoint, Line())
        return line

    async def turns(self) -> None:
        """Long enough for bytes to cross the loopback, if they may."""
        for _ in range(5):
            await deferLater(self.reactor, 0.002)


@pytest_twisted.async_yield_fixture
async def place(reactor: Any) -> Any:
    built = Place(reactor)
    yield built
    await built.gate.close()
    await maybeDeferred(built.listening.stopListening)


@sure
async def test_what_nobody_stops_passes_unchanged_in_both_directions(place: Place) -> None:
    one, other = await place.client(), await place.client()
    one.say(b"one")
    other.say(b"other" * 100_000)
    await one.has(b"ONE")
    await other.has(b"OTHER" * 100_000)


@sure
async def test_a_question_is_held_back_before_the_server_has_it(place: Place) -> None:
    reached = place.gate.stop_at(asked("stop here"))
    client = await place.client()
    client.say(b"go on;")
    await client.has(b"GO ON;")
    # In two pieces, as a network may cut it.
    client.say(b"please stop")
    await client.has(b"PLEASE STOP")
    client.say(b" here, please")
    crossing = await reached
    await place.turns()
    assert_that((client.got, place.served[0].got), equal_to((b"GO ON;PLEASE STOP", b"go on;please stop")))
    crossing.release()
    await client.has(b"STOP HERE, PLEASE")


@sure
async def test_an_answer_is_held_back_when_the_server_has_given_it(place: Place) -> None:
    client = await place.client()
    client.say(b"a?")
    await client.has(b"A?")
    # What was answered before does not count.
    reached = place.gate.stop_at(asked("b?"), answered("?"))
    client.say(b"c?")
    await client.has(b"C?")
    client.say(b"b?")
    crossing = await reached
    await place.turns()
    assert_that((client.got, place.served[0].got), equal_to((b"A?C?", b"a?c?b?")))
    crossing.release()
    await client.has(b"B?")


@sure
async def test_a_stop_holds_back_one_connection_once(place: Place) -> None:
    reached = place.gate.stop_at(asked("x"))
    one, other = await place.client(), await place.client()
    one.say(b"x")
    await reached
    other.say(b"x")
    await other.has(b"X")
    assert_that(one.got, is_(b""))


@pytest.mark.parametrize("whole", [False, True])
@sure
async def test_what_is_held_back_is_lost_when_the_connection_is_cut_or_its_client_dies(
    place: Place, whole: bool
) -> None:
    reached = place.gate.stop_at(asked("x"))
    client = await place.client()
    client.say(b"x")
    crossing: Crossing = await reached
    if whole:
        crossing.cut()
        await client.over
    else:
        client.transport.abortConnection()  # type: ignore[union-attr]
    await crossing.gone
    await place.served[0].over
    assert_that(place.served[0].got, is_(b""))


@sure
async def test_a_gate_that_is_to_forget_its_stops_cuts_what_it_held_back_and_nothing_else(place: Place) -> None:
    reached = place.gate.stop_at(asked("x"))
    place.gate.stop_at(asked("y"))
    one, other = await place.client(), await place.client()
    one.say(b"x")
    await reached
    place.gate.forget()
    await one.over
    other.say(b"xy")
    await other.has(b"XY")
    assert_that([line.got for line in place.served], equal_to([b"", b"xy"]))


@sure
async def test_what_was_not_held_back_arrives_before_the_end_of_its_connection(place: Place) -> None:
    client = await place.client()
    client.say(b"bye" * 50_000)
    client.transport.loseConnection()  # type: ignore[union-attr]
    await place.turns()
    await place.served[0].over
    assert_that(len(place.served[0].got), is_(150_000))


@sure
async def test_a_gate_that_is_shut_lets_nobody_in_until_it_is_opened(place: Place) -> None:
    client = await place.client()
    place.gate.shut()
    await client.over
    await (await place.client()).over
    place.gate.open()
    client = await place.client()
    client.say(b"x")
    await client.has(b"X")


@sure
async def test_a_gate_that_swallows_lets_nothing_pass_not_even_the_end_of_a_connection(place: Place) -> None:
    client, dropped = await place.client(), await place.client()
    for line in (client, dropped):
        line.say(b"a")
        await line.has(b"A")
    place.gate.swallow()
    client.say(b"b")
    place.served[1].transport.loseConnection()  # type: ignore[union-attr]
    late = await place.client()
    late.say(b"c")
    await place.turns()
    assert_that((client.got, late.got, dropped.over.called), equal_to((b"A", b"", False)))
    place.gate.open()
    await client.has(b"B")
    await late.has(b"C")
    await dropped.over


@sure
async def test_a_server_that_is_not_there_ends_its_clients_connection(place: Place) -> None:
    await place.listening.stopListening()
    await (await place.client()).over
