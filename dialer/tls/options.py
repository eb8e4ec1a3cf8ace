"""How TLS is spoken: with Twisted's present defaults (TLS 1.2 at least, its choice of ciphers), never with less."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from attrs import frozen
from cryptography.x509 import Certificate
from OpenSSL import SSL, crypto
from twisted.internet import ssl
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator, IOpenSSLServerConnectionCreator
from twisted.web.iweb import IPolicyForHTTPS
from zope.interface import implementer

from dialer.tls.pem import Identity


@frozen
class Trust:
    """What a client goes by: the CAs of its peer (None: the platform's), and what it shows itself, if anything."""

    cas: tuple[Certificate, ...] | None
    identity: Identity | None


def server_options(identity: Identity, client_cas: Sequence[Certificate] | None) -> ssl.CertificateOptions:
    """For a server; clients of `client_cas` alone are let in, unless that is None.

    Raises ValueError with OpenSSL's words for what it does not take, such as a key that is too short.
    """
    options = ssl.CertificateOptions(**_own(identity), trustRoot=None if client_cas is None else trust_root(client_cas))
    _try(options)
    return options


def client_options(trust: Trust, host: str) -> IOpenSSLClientConnectionCreator:
    """For a client of `host`, whose name or address the certificate must have."""
    return ssl.optionsForClientTLS(
        host,
        trustRoot=None if trust.cas is None else trust_root(trust.cas),
        extraCertificateOptions=_own(trust.identity) if trust.identity else {},
    )


def check_client(trust: Trust) -> Trust:
    """The same trust. Raises ValueError as `server_options` does."""
    _try(ssl.CertificateOptions(**(_own(trust.identity) if trust.identity else {})))
    return trust


@implementer(IOpenSSLServerConnectionCreator)
class ServerConnections:
    """Each new connection by the options that `current` gives then; those that stand stay as they are."""

    def __init__(self, current: Callable[[], ssl.CertificateOptions]) -> None:
        self._current = current

    def serverConnectionForTLS(self, tlsProtocol: Any) -> SSL.Connection:
        """For Twisted."""
        connection: SSL.Connection = self._current().serverConnectionForTLS(tlsProtocol)
        return connection


@implementer(IPolicyForHTTPS)
class ClientPolicy:
    """Each new connection by the trust that `current` gives then."""

    def __init__(self, current: Callable[[], Trust]) -> None:
        self._current = current
        self._made: tuple[Trust, bytes, IOpenSSLClientConnectionCreator] | None = None

    def creatorForNetloc(self, hostname: bytes, port: int) -> IOpenSSLClientConnectionCreator:  # noqa: ARG002
        """For twisted.web, which asks before each request, also when it has a connection."""
        trust = self._current()
        if self._made is None or self._made[0] is not trust or self._made[1] != hostname:
            self._made = trust, hostname, client_options(trust, hostname.decode("ascii"))
        return self._made[2]


def _own(identity: Identity) -> dict[str, Any]:
    certificate, *others = identity.chain
    return {"privateKey": identity.key, "certificate": certificate, "extraCertChain": others}


def trust_root(cas: Sequence[Certificate]) -> Any:
    """Trust in these CAs and no others, as Twisted takes it."""
    return ssl.trustRootFromCertificates([ssl.Certificate(crypto.X509.from_cryptography(each)) for each in cas])


def _try(options: ssl.CertificateOptions) -> None:
    try:
        options.getContext()
    except SSL.Error as error:
        reasons = ", ".join(reason for *_, reason in error.args[0]) if error.args else ""
        raise ValueError(f"OpenSSL does not take it: {reasons or 'it does not say why'}") from None
