"""Connections to where a checked look-up says, and to nowhere else.

A name is looked up once for each connection, every address of it is checked, and the connection is made to an address
that was checked: a second look-up might be answered otherwise.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP6ClientEndpoint
from twisted.internet.error import ConnectingCancelledError
from twisted.internet.interfaces import IProtocolFactory, IStreamClientEndpoint
from twisted.web.client import URI
from twisted.web.iweb import IPolicyForHTTPS
from zope.interface import implementer

from dialer.errors import DialerError
from dialer.handshake import HandshakenEndpoints
from dialer.lookups import Lookups

ADDRESSES = 4
"""Addresses of a name that are tried, each for its share of the time."""


class Forbidden(DialerError):
    """The connection must not be made."""


class CheckedEndpoints(HandshakenEndpoints):
    """For `Agent.usingEndpointFactory`.

    `allows` decides about each address; `only`, if given, is the one host (in lower case) and port that may be asked.
    """

    def __init__(
        self,
        reactor: Any,
        timeout: float,
        lookups: Lookups,
        allows: Callable[[str], bool],
        *,
        only: tuple[str, int] | None = None,
        policy: IPolicyForHTTPS | None = None,
    ) -> None:
        super().__init__(reactor, timeout, policy)
        self._lookups = lookups
        self._allows = allows
        self._only = only

    def endpointForURI(self, uri: URI) -> IStreamClientEndpoint:
        """Where to connect to; fails with Forbidden for another host or port. Asked for standing connections, too."""
        where = (uri.host.decode("ascii").lower(), uri.port)
        if self._only is not None and (where != self._only or uri.scheme != b"https"):
            raise Forbidden(f"{where[0]}:{where[1]} is not allowed")
        return super().endpointForURI(uri)

    def tcp(self, host: bytes, port: int) -> IStreamClientEndpoint:
        """Without TLS."""
        return _Checked(self._reactor, host.decode("ascii"), port, self._timeout, self._lookups, self._allows)


@implementer(IStreamClientEndpoint)
class _Checked:
    def __init__(
        self,
        reactor: Any,
        host: str,
        port: int,
        timeout: float,
        lookups: Lookups,
        allows: Callable[[str], bool],
    ) -> None:
        self._reactor = reactor
        self._host = host
        self._port = port
        self._timeout = timeout
        self._lookups = lookups
        self._allows = allows

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[Any]:
        return Deferred.fromCoroutine(self._connect(protocolFactory))

    async def _connect(self, factory: IProtocolFactory) -> Any:
        addresses = await self._lookups.addresses(self._host.strip("[]"))
        for address in addresses:
            if not self._allows(address):
                raise Forbidden(f"{self._host} leads to {address}, which is not public")
        # IPv4 first: where IPv6 leads nowhere it takes all of its time to say so.
        tried = sorted(addresses, key=lambda address: ":" in address)[:ADDRESSES]
        for address in tried[:-1]:
            try:
                return await self._to(address, self._timeout / len(tried)).connect(factory)
            except (CancelledError, ConnectingCancelledError):
                raise
            except Exception:  # noqa: S112  the last one's failure is told
                continue
        return await self._to(tried[-1], self._timeout / len(tried)).connect(factory)

    def _to(self, address: str, timeout: float) -> Any:
        kind = TCP6ClientEndpoint if ":" in address else TCP4ClientEndpoint
        return kind(self._reactor, address, self._port, timeout=timeout)
