"""A Switch whose endpoint, clock and far end are in the hands of the test."""

from __future__ import annotations

from random import Random
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ConnectionDone, ConnectionRefusedError
from twisted.internet.interfaces import IProtocolFactory, IStreamClientEndpoint
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from zope.interface import implementer

from dialer.esl.switch import Switch
from dialer.esl.wire import Event
from tests.esl.support import HELLO, answer, reply, result_of

STOCK = answer("-ERR JSoriginate Command not found!\n")
"""What a stock FreeSWITCH answers to the probe."""


@implementer(IStreamClientEndpoint)
class Endpoint:
    """Attempts to connect, each to be ended by the test."""

    def __init__(self) -> None:
        self.attempts: list[tuple[IProtocolFactory, Deferred[Any]]] = []

    def connect(self, factory: IProtocolFactory) -> Deferred[Any]:
        """Remember the attempt."""
        attempt: Deferred[Any] = Deferred()
        self.attempts.append((factory, attempt))
        return attempt


class Link:
    """The far end of one connection."""

    def __init__(self, protocol: Any) -> None:
        self.protocol = protocol
        self.transport = StringTransport()

    def receive(self, *data: bytes) -> None:
        """The switch sends this."""
        for piece in data:
            self.protocol.dataReceived(piece)

    def sent(self) -> str:
        """What the dialer sent since this was last asked."""
        data: bytes = self.transport.value()
        self.transport.clear()
        return data.decode()

    def lose(self) -> None:
        """The connection ends."""
        self.protocol.connectionLost(Failure(ConnectionDone()))


class Rig:
    """A Switch, what it told, and what comes of `on_connected`: each an unfired Deferred in `comparing`, in order."""

    def __init__(self, **options: Any) -> None:
        self.clock = Clock()
        self.endpoint = Endpoint()
        self.events: list[Event] = []
        self.states: list[tuple[bool, bool, str | None]] = []
        self.compare_at_once = True
        self.comparing: list[Deferred[None]] = []
        settings: dict[str, Any] = {
            "host": "pbx",
            "port": 8021,
            "password": "secret",
            "originate_command": "auto",
            "connect_delay": 60.0,
            "on_event": lambda _, event: self.events.append(event),
            "on_connected": self._compare,
            "on_change": lambda s: self.states.append((s.connected, s.ready, s.reason)),
            "random": Random(7),
            "endpoint": self.endpoint,
        }
        self.switch = Switch(self.clock, **{**settings, **options})

    async def _compare(self, _: Switch) -> None:
        comparison: Deferred[None] = succeed(None) if self.compare_at_once else Deferred()
        self.comparing.append(comparison)
        await comparison

    def start(self) -> Rig:
        """Start the service: the first attempt to connect is under way."""
        self.switch.startService()
        return self

    def accept(self) -> Link:
        """Let the latest attempt to connect succeed."""
        factory, attempt = self.endpoint.attempts[-1]
        protocol = factory.buildProtocol(IPv4Address("TCP", "127.0.0.1", 8021))
        link = Link(protocol)
        protocol.makeConnection(link.transport)
        attempt.callback(protocol)
        return link

    def refuse(self, error: Exception | None = None) -> None:
        """Let the latest attempt to connect fail."""
        self.endpoint.attempts[-1][1].errback(error or ConnectionRefusedError())

    def log_in(self, probe: bytes = STOCK) -> Link:
        """Let the latest attempt to connect succeed, up to the comparison with the live calls."""
        link = self.accept()
        link.receive(HELLO, reply("+OK accepted"), reply("+OK event listener enabled json"))
        if link.sent().endswith("api JSoriginate\n\n"):
            link.receive(probe)
        return link

    def next_attempt(self) -> float:
        """Let time pass until the next attempt to connect; how many seconds passed."""
        before, began = len(self.endpoint.attempts), self.clock.seconds()
        while len(self.endpoint.attempts) == before:
            assert self.clock.seconds() - began < 1000, "no further attempt to connect"
            self.clock.advance(0.01)
        return self.clock.seconds() - began

    def stop(self) -> None:
        """Stop the service, the far end being polite."""
        stopped = self.switch.stopService()
        session = self.switch._session
        if session is not None and session.protocol.transport is not None:
            session.protocol.connectionLost(Failure(ConnectionDone()))
        assert not isinstance(result_of(stopped), Failure)
        assert stopped.called
