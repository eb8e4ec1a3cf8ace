"""TLS before a PostgreSQL that was built without: takes what libpq asks for, and hands the rest on to the server.

The embedded server has no OpenSSL, and the tests need no other: libpq cannot tell the difference, as TLS ends before
the first message of PostgreSQL's protocol.
"""

from __future__ import annotations

import struct
from typing import Any

from cryptography.x509 import Certificate
from psycopg2.extensions import parse_dsn
from twisted.internet import ssl
from twisted.internet.endpoints import UNIXClientEndpoint, connectProtocol
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.protocols.portforward import Proxy
from twisted.python.failure import Failure

SSL_REQUEST = struct.pack("!II", 8, 80877103)
GSS_REQUEST = struct.pack("!II", 8, 80877104)
"""What a client sends first (PostgreSQL, Message Formats)."""


def name_of(certificate: Certificate) -> str:
    """What a certificate calls its owner."""
    return str(certificate.subject.rfc4514_string())


class Front(Factory):
    """Before the server of `conninfo`, with `options`; none: it says that it has no TLS."""

    noisy = False

    def __init__(self, reactor: Any, conninfo: str, options: ssl.CertificateOptions | None) -> None:
        parts = parse_dsn(conninfo)
        self.path = f"{parts['host']}/.s.PGSQL.{parts['port']}"
        self.reactor = reactor
        self.options = options
        self.in_the_clear = 0
        """Connections that came to the server without TLS."""
        self.shown: list[str | None] = []
        """The names in the certificates of clients, a connection each; None without one."""

    def buildProtocol(self, addr: Any) -> Protocol:
        return _Client(self)


class _Client(Proxy):
    """A connection of libpq's."""

    def __init__(self, front: Front) -> None:
        self._front = front
        self._held = b""
        self._tls = self._asked_server = False

    def dataReceived(self, data: bytes) -> None:
        if self.peer is not None:
            super().dataReceived(data)
            return
        self._held += data
        if self._held == GSS_REQUEST:
            self._held = b""
            self.transport.write(b"N")
        elif self._held == SSL_REQUEST:
            self._held = b""
            self.transport.write(b"N" if self._front.options is None else b"S")
            if self._front.options is not None:
                self.transport.startTLS(self._front.options)
                self._tls = True
        elif len(self._held) > 8 and not self._asked_server:
            self._asked_server = True
            self._note()
            server = UNIXClientEndpoint(self._front.reactor, self._front.path)
            connectProtocol(server, _Server()).addCallback(self._connected).addErrback(lambda _: self.stop())

    def _note(self) -> None:
        if not self._tls:
            self._front.in_the_clear += 1
            return
        certificate = self.transport.getPeerCertificate()
        self._front.shown.append(name_of(certificate.to_cryptography()) if certificate else None)

    def _connected(self, server: Proxy) -> None:
        self.setPeer(server)
        server.setPeer(self)
        held, self._held = self._held, b""
        server.transport.write(held)

    def stop(self) -> None:
        self.transport.loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self.peer is not None:
            self.peer.transport.loseConnection()
            self.peer = None


class _Server(Proxy):
    """A connection to the server."""

    def dataReceived(self, data: bytes) -> None:
        if self.peer is not None:
            self.peer.transport.write(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self.peer is not None:
            self.peer.transport.loseConnection()
            self.peer = None
