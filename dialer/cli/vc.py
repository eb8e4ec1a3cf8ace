"""Whether the voice connector takes connections, over TLS too."""

from __future__ import annotations

from typing import Any

from OpenSSL import SSL
from service_identity import VerificationError
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.client import URI

from dialer.cli.findings import PATIENCE, Finding, State, reason_of
from dialer.handshake import HandshakenEndpoints
from dialer.settings import Settings
from dialer.tls.certificates import Certificates
from dialer.tls.watched import WrongFile

NAME = "voice connector"

LINGER = 1.0
"""Seconds for which a TLS connection is watched once it stands: in TLS 1.3 a server refuses a client's certificate, or
the lack of one, only then."""


async def probe_vc(reactor: Any, settings: Settings) -> Finding:
    """Connect as the dialer does, with its CAs and its certificate. Nothing is asked: whatever is does something."""
    url = settings.voice_connector
    if url is None:
        return Finding(NAME, State.NOTE, "the sandbox stands in when the dialer starts")
    uri = URI.fromBytes(url.encode())
    secure = uri.scheme == b"https"
    try:
        policy = Certificates(reactor, settings).vc_policy if secure else None
    except WrongFile as error:
        return Finding(NAME, State.FAILED, str(error), "put that file right: the dialer would not start with it")
    try:
        await _connect(reactor, HandshakenEndpoints(reactor, PATIENCE, policy).endpointForURI(uri), secure=secure)
    except (SSL.Error, VerificationError) as error:
        message, advice = _refused(error, settings, uri.host.decode())
        return Finding(NAME, State.FAILED, f"{url}: {message}", advice)
    except Exception as error:
        advice = f"see that it runs{' and speaks TLS' if secure else ''}, and VOICE_CONNECTOR"
        return Finding(NAME, State.FAILED, f"{url}: {reason_of(error)}", advice)
    return Finding(NAME, State.OK, f"{url} takes connections" + (", and its certificate is good" if secure else ""))


async def _connect(reactor: Any, endpoint: IStreamClientEndpoint, *, secure: bool) -> None:
    """Fails as the connection does."""
    connecting: Deferred[Any] = endpoint.connect(Factory.forProtocol(_Silent))
    connection: _Silent = await connecting.addTimeout(PATIENCE, reactor)
    if secure:
        ended = await connection.ended.addTimeout(LINGER, reactor, onTimeoutCancel=lambda *_: None)
        if ended is not None:
            raise ended
    transport: Any = connection.transport
    transport.abortConnection()


class _Silent(Protocol):
    """Says nothing; `ended` fires with why the connection has."""

    def __init__(self) -> None:
        self.ended: Deferred[BaseException | None] = Deferred()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if not self.ended.called:
            self.ended.callback(reason.value)


def _refused(error: Exception, settings: Settings, host: str) -> tuple[str, str]:
    """What is wrong, and what to do about it."""
    if isinstance(error, VerificationError):
        return f"its certificate is not for {host}", "name it in VOICE_CONNECTOR as its certificate does"
    reasons = ", ".join(str(reason) for *_, reason in error.args[0]) if error.args else ""
    if "verify failed" in reasons:
        cas = "VC_TLS_CA" if settings.vc_tls_ca else "the system"
        return (
            f"its certificate is of none of the CAs of {cas}, or not valid now ({reasons})",
            "set VC_TLS_CA to a file with the CA of its certificate",
        )
    if "alert" in reasons and ("certificate" in reasons or "unknown ca" in reasons):
        message = (
            "it does not take the certificate of VC_TLS_CERT" if settings.vc_tls_cert else "it wants a certificate"
        )
        return f"{message} ({reasons})", "set VC_TLS_CERT and VC_TLS_KEY to one of a CA that it trusts"
    if "wrong version number" in reasons or "packet length too long" in reasons:
        return f"it speaks no TLS ({reasons})", "see whether VOICE_CONNECTOR should begin with http://"
    return (
        f"no TLS connection ({reasons or 'it does not say why'})",
        "see that it speaks TLS 1.2 or 1.3, and whether it wants a certificate: VC_TLS_CERT",
    )
