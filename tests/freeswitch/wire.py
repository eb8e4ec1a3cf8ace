"""A TCP relay between the dialer and the switch, which a test can cut while the switch goes on."""

from __future__ import annotations

from typing import Any

from twisted.internet.protocol import ServerFactory
from twisted.protocols.portforward import ProxyFactory, ProxyServer

from tests.freeswitch.control import Address


class _Link(ProxyServer):
    """One connection."""

    factory: Any

    def connectionMade(self) -> None:
        """The dialer came."""
        self.factory.links.add(self)
        super().connectionMade()

    def connectionLost(self, reason: Any) -> None:
        """The dialer, or the switch, went."""
        self.factory.links.discard(self)
        super().connectionLost(reason)


class Wire:
    """Passes everything on, unless it is cut."""

    def __init__(self, reactor: Any, address: Address) -> None:
        self._reactor = reactor
        self._factory: ServerFactory = ProxyFactory(address.host, address.port)
        self._factory.protocol = _Link
        self._factory.links = set()
        self._port: Any = reactor.listenTCP(0, self._factory, interface="127.0.0.1")
        self._number = self._port.getHost().port

    @property
    def address(self) -> str:
        """What to give as ESL_IP."""
        return f"127.0.0.1:{self._number}"

    async def cut(self) -> None:
        """End all connections, without a word, and refuse new ones."""
        port, self._port = self._port, None
        if port is not None:
            await port.stopListening()
        for link in list(self._factory.links):
            link.transport.abortConnection()

    def mend(self) -> None:
        """Let connections through again."""
        if self._port is None:
            self._port = self._reactor.listenTCP(self._number, self._factory, interface="127.0.0.1")
