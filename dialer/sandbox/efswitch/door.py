"""The port that clients connect to."""

from __future__ import annotations

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IListeningPort, IReactorTCP
from twisted.internet.protocol import ServerFactory


class Door:
    """A listening port that can be closed and opened again at the same address."""

    def __init__(self, factory: ServerFactory) -> None:
        self._factory = factory
        self._port: IListeningPort | None = None
        self._place: tuple[IReactorTCP, str, int] | None = None

    def open(self, reactor: IReactorTCP, interface: str, port: int) -> IListeningPort:
        """Listen. Raises CannotListenError."""
        listening = reactor.listenTCP(port, self._factory, interface=interface)
        self._port = listening
        self._place = (reactor, interface, _address(listening).port)
        return listening

    def reopen(self) -> None:
        """Listen again where it did before; nothing happens when it never did. Raises CannotListenError."""
        if self._port is None and self._place is not None:
            self.open(*self._place)

    def address(self) -> IPv4Address:
        """Where it listens. Raises RuntimeError when it does not."""
        if self._port is None:
            raise RuntimeError("the simulator does not listen")
        return _address(self._port)

    async def close(self) -> None:
        """Listen no more; done once the port is free."""
        port, self._port = self._port, None
        if port is not None:
            closing: Deferred[object] = maybeDeferred(port.stopListening)
            await closing


def _address(port: IListeningPort) -> IPv4Address:
    address = port.getHost()
    assert isinstance(address, IPv4Address)
    return address
