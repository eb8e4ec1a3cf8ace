"""A gate between a dialer and one of those that it works with: it stops what passes exactly where a test says.

Bytes pass unchanged, in both directions, until what was asked for comes by; that is held back. The test then kills
whom it likes, and lets it pass or cuts the connection.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import define, frozen
from twisted.internet.defer import CancelledError, Deferred, DeferredList, maybeDeferred
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure

LONGEST = 4096
"""Bytes of the longest text that a gate may be asked to look for: so much is remembered of what has passed."""


@frozen
class Passing:
    """A text on its way to the server, or back."""

    to_server: bool
    text: bytes


def asked(text: str | bytes) -> Passing:
    """This comes from the dialer."""
    return Passing(True, text if isinstance(text, bytes) else text.encode())


def answered(text: str | bytes) -> Passing:
    """This comes from the server."""
    return Passing(False, text if isinstance(text, bytes) else text.encode())


@define(eq=False)
class _Stop:
    """What is still to come, on one connection from the first of it on; the last of it is held back."""

    steps: list[Passing]
    reached: Deferred[Crossing]
    crossing: Crossing | None = None


class Gate:
    """Listens on a free port of the loopback and connects each who comes to `server()`."""

    def __init__(self, reactor: Any, server: Callable[[], IStreamClientEndpoint]) -> None:
        self._reactor = reactor
        self._server = server
        self._stops: list[_Stop] = []
        self._crossings: set[Crossing] = set()
        self._listening: Any = None
        self._shut = False
        self.silent = False

    @property
    def port(self) -> int:
        """Where it listens."""
        number: int = self._listening.getHost().port
        return number

    def listen(self) -> None:
        """Let connections in."""
        factory = Factory.forProtocol(Protocol)
        factory.noisy = False
        factory.buildProtocol = self._enter  # type: ignore[method-assign,assignment]
        self._listening = self._reactor.listenTCP(0, factory, interface="127.0.0.1")

    def stop_at(self, *steps: Passing) -> Deferred[Crossing]:
        """Hold back the last of these on the first connection on which they all come by, in this order.

        Fires with that connection once it is held back, and everything after it in that direction with it.
        """
        assert all(len(step.text) <= LONGEST for step in steps)
        stop = _Stop(list(steps), Deferred(lambda _: self._stops.remove(stop)))
        self._stops.append(stop)
        return stop.reached

    def cut(self) -> None:
        """Break every connection, as a server does that dies."""
        for crossing in list(self._crossings):
            crossing.cut()

    def shut(self) -> None:
        """Break every connection, and every new one at once, until `open`."""
        self._shut = True
        self.cut()

    def swallow(self) -> None:
        """Let nothing pass in either direction, as a network that drops everything does, until `open`."""
        self.silent = True

    def open(self) -> None:
        """Let everything pass again that no stop holds back."""
        self._shut = self.silent = False
        for crossing in list(self._crossings):
            crossing.flow()

    def forget(self) -> None:
        """Stop nowhere any more, let everything pass, and cut what is held back: whoever sent it may be dead."""
        self._stop_nowhere()
        for crossing in list(self._crossings):
            if crossing.held:
                crossing.cut()
        self.open()

    def _stop_nowhere(self) -> None:
        for stop in list(self._stops):
            stop.reached.addErrback(lambda failure: failure.trap(CancelledError) and None)
            stop.reached.cancel()

    async def close(self) -> None:
        """Returns when the port and every connection is gone."""
        self._stop_nowhere()
        if self._listening is not None:
            await maybeDeferred(self._listening.stopListening)
        gone = [crossing.gone for crossing in self._crossings]
        self.cut()
        await DeferredList(gone)

    def held_back(self, crossing: Crossing, to_server: bool, before: bytes, data: bytes) -> bool:
        """Take each stop a step further that this data completes; whether one has come to its last, which is told."""
        for stop in list(self._stops):
            while stop.crossing in (None, crossing) and stop.steps and stop.steps[0].to_server is to_server:
                text = stop.steps[0].text
                # Some of it may have passed before, but not all of it.
                if text not in before[len(before) - len(text) + 1 :] + data:
                    break
                stop.crossing = crossing
                del stop.steps[0]
            if not stop.steps:
                self._stops.remove(stop)
                self._reactor.callLater(0, stop.reached.callback, crossing)
                return True
        return False

    def _enter(self, _address: object) -> Protocol | None:
        if self._shut:
            return None
        crossing = Crossing(self)
        self._crossings.add(crossing)
        crossing.gone.addCallback(lambda _: self._crossings.discard(crossing))
        crossing.connect(self._server())
        return crossing.client


class _Side(Protocol):
    """One of the two sockets of a crossing."""

    transport: Any

    def __init__(self, crossing: Crossing) -> None:
        self._crossing = crossing
        self.up = False

    def connectionMade(self) -> None:
        self.up = True
        self._crossing.flow()

    def dataReceived(self, data: bytes) -> None:
        self._crossing.received(self, data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.up = False
        self._crossing.lost()


class Crossing:
    """One connection through the gate. `gone` fires when both of its sockets are closed."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self.client, self.server = _Side(self), _Side(self)
        self.gone: Deferred[None] = Deferred()
        self._waiting = {True: b"", False: b""}
        self._passed = {True: b"", False: b""}
        self._held = {True: False, False: False}
        self._connecting: Deferred[Any] | None = None
        self._over = False

    def connect(self, server: IStreamClientEndpoint) -> None:
        """Connect to the server; what the client sends meanwhile waits."""
        factory = Factory()
        factory.noisy = False
        factory.buildProtocol = lambda _: self.server  # type: ignore[method-assign,assignment,return-value]
        self._connecting = server.connect(factory)

        def connected(_result: object) -> None:
            self._connecting = None
            if self._over:
                self._leave(abort=True)
                self._tell()

        self._connecting.addErrback(lambda _: self.cut()).addCallback(connected)

    @property
    def held(self) -> bool:
        """Whether anything is held back."""
        return any(self._held.values())

    def release(self) -> None:
        """Let pass what was held back."""
        self._held = {True: False, False: False}
        self.flow()

    def cut(self) -> None:
        """Break it on both sides; what is held back is lost."""
        self._over = True
        self._waiting = {True: b"", False: b""}
        self._leave(abort=True)

    def received(self, side: _Side, data: bytes) -> None:
        """Pass it on, unless it must wait."""
        self._waiting[side is self.client] += data
        self.flow()

    def flow(self) -> None:
        """Pass on what may pass."""
        for to_server in (True, False):
            self._flow(to_server)
        if self._over and not self._gate.silent:
            self._leave()

    def _flow(self, to_server: bool) -> None:
        target, data = (self.server if to_server else self.client), self._waiting[to_server]
        if self._gate.silent or self._held[to_server] or not target.up or not data:
            return
        if self._gate.held_back(self, to_server, self._passed[to_server], data):
            self._held[to_server] = True
            return
        self._waiting[to_server] = b""
        self._passed[to_server] = (self._passed[to_server] + data)[-LONGEST:]
        target.transport.write(data)

    def lost(self) -> None:
        """One socket is closed: so is the other, once it has what was not held back."""
        self._over = True
        self.flow()
        self._tell()

    def _leave(self, *, abort: bool = False) -> None:
        if self._connecting is not None:
            self._connecting.cancel()
        for side in (self.client, self.server):
            if side.up:
                (side.transport.abortConnection if abort else side.transport.loseConnection)()

    def _tell(self) -> None:
        if not (self.client.up or self.server.up or self._connecting is not None or self.gone.called):
            self.gone.callback(None)
