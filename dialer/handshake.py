"""HTTPS connections that count as standing only after the TLS handshake.

twisted.web writes a request as soon as TCP stands, into the buffer before the handshake; were a certificate refused
then, nobody could tell that request from one that was sent.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS
from twisted.internet.interfaces import (
    IAddress,
    IHandshakeListener,
    IProtocol,
    IProtocolFactory,
    IStreamClientEndpoint,
)
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.client import URI, BrowserLikePolicyForHTTPS
from twisted.web.iweb import IAgentEndpointFactory, IPolicyForHTTPS
from zope.interface import implementer


@implementer(IAgentEndpointFactory)
class HandshakenEndpoints:
    """For `Agent.usingEndpointFactory`. `timeout` (seconds) bounds each TCP connection, `policy` is for https."""

    def __init__(self, reactor: Any, timeout: float, policy: IPolicyForHTTPS | None = None) -> None:
        self._reactor = reactor
        self._timeout = timeout
        self._policy = policy or BrowserLikePolicyForHTTPS()

    def endpointForURI(self, uri: URI) -> IStreamClientEndpoint:
        """Where to connect to for `uri`; fails with ValueError for a scheme that is neither http nor https."""
        if uri.scheme not in (b"http", b"https"):
            raise ValueError(f"neither http nor https: {uri.scheme!r}")
        endpoint = self.tcp(uri.host, uri.port)
        if uri.scheme == b"http":
            return endpoint
        return _Handshaken(wrapClientTLS(self._policy.creatorForNetloc(uri.host, uri.port), endpoint))

    def tcp(self, host: bytes, port: int) -> IStreamClientEndpoint:
        """Without TLS."""
        return HostnameEndpoint(self._reactor, host, port, timeout=self._timeout)


@implementer(IStreamClientEndpoint)
class _Handshaken:
    def __init__(self, endpoint: Any) -> None:
        self._endpoint = endpoint

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[Any]:
        return Deferred.fromCoroutine(self._connect(protocolFactory))

    async def _connect(self, factory: IProtocolFactory) -> IProtocol:
        listener: _Listener = await self._endpoint.connect(_Listening(factory))
        try:
            await listener.handshake
        except CancelledError:
            transport: Any = listener.transport
            transport.abortConnection()
            raise
        return listener.inner


class _Listening(Factory):
    """Builds what the given factory builds, behind a listener."""

    def __init__(self, factory: IProtocolFactory) -> None:
        self._factory = factory

    def buildProtocol(self, addr: IAddress | None) -> _Listener | None:
        inner = self._factory.buildProtocol(addr)  # type: ignore[arg-type]
        return None if inner is None else _Listener(inner)


@implementer(IHandshakeListener)
class _Listener(Protocol):
    """Passes everything on; `handshake` fires when it is completed and fails when the connection ends before."""

    def __init__(self, inner: IProtocol) -> None:
        self.inner = inner
        self.handshake: Deferred[None] = Deferred()

    def connectionMade(self) -> None:
        self.inner.makeConnection(self.transport)  # type: ignore[arg-type]

    def dataReceived(self, data: bytes) -> None:
        self.inner.dataReceived(data)

    def handshakeCompleted(self) -> None:
        if not self.handshake.called:
            self.handshake.callback(None)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.inner.connectionLost(reason)
        if not self.handshake.called:
            self.handshake.errback(reason)
