"""What `dialer check` finds of a voice connector over TLS."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from hamcrest import assert_that, contains_string, equal_to, has_properties, starts_with
from twisted.internet import reactor, ssl
from twisted.internet.interfaces import IHandshakeListener
from twisted.internet.protocol import Factory, Protocol
from zope.interface import implementer

from dialer.cli import vc
from dialer.cli.findings import Finding, State
from dialer.cli.vc import probe_vc
from dialer.environment import load
from dialer.tls.options import server_options
from tests.tls.authority import Authority

sure = pytest_twisted.ensureDeferred

Listen = Callable[..., str]


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture(autouse=True)
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vc, "LINGER", 0.8)


class Plain(Protocol):
    """Answers as a web server without TLS does."""

    def dataReceived(self, data: bytes) -> None:
        transport: Any = self.transport
        transport.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        transport.loseConnection()


@implementer(IHandshakeListener)
class Leaving(Protocol):
    """Hangs up as soon as it speaks TLS, and says no more of why."""

    def handshakeCompleted(self) -> None:
        transport: Any = self.transport
        transport.loseConnection()


@pytest_twisted.async_yield_fixture
async def listen() -> AsyncIterator[Listen]:
    """Has servers with these options, and what they do otherwise than listen; gives their URLs."""
    listening: Any = reactor
    ports: list[Any] = []

    def make(options: ssl.CertificateOptions, protocol: type[Protocol] = Protocol) -> str:
        ports.append(listening.listenSSL(0, Factory.forProtocol(protocol), options, interface="127.0.0.1"))
        return f"https://127.0.0.1:{ports[-1].getHost().port}"

    yield make
    for port in ports:
        await port.stopListening()


async def found(url: str, **files: str) -> Finding:
    return await probe_vc(reactor, load({"ESL_IP": "fs", "VOICE_CONNECTOR": url} | files, "dialer-1"))


@sure
async def test_a_certificate_of_the_ca_that_is_set_is_good(authority: Authority, listen: Listen) -> None:
    url = listen(server_options(authority.identity(), None))
    told = await found(url, VC_TLS_CA=authority.file)
    assert_that(told, equal_to(Finding(vc.NAME, State.OK, f"{url} takes connections, and its certificate is good")))


@sure
async def test_a_certificate_of_another_ca_is_told_with_what_to_do(authority: Authority, listen: Listen) -> None:
    told = await found(listen(server_options(authority.identity(), None)))
    assert_that(told, has_properties(state="failed", message=contains_string("is of none of the CAs of the system")))
    assert_that(told.advice, starts_with("set VC_TLS_CA"))


@sure
async def test_a_certificate_for_another_name_is_told(authority: Authority, listen: Listen) -> None:
    url = listen(server_options(authority.identity("own", "vc.example"), None))
    told = await found(url, VC_TLS_CA=authority.file)
    assert_that(told, has_properties(state="failed", message=f"{url}: its certificate is not for 127.0.0.1"))


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@sure
async def test_a_vc_that_wants_a_certificate_is_shown_the_one_that_is_set(
    authority: Authority, tmp_path: Path, listen: Listen, version: Any
) -> None:
    identity = authority.identity("vc")
    options = ssl.CertificateOptions(
        privateKey=identity.key,
        certificate=identity.chain[0],
        trustRoot=ssl.trustRootFromCertificates([ssl.Certificate.loadPEM(authority.pem)]),
        raiseMinimumTo=version,
        lowerMaximumSecurityTo=version,
    )
    url = listen(options)
    told = await found(url, VC_TLS_CA=authority.file)
    # In TLS 1.2 it says no more than that the handshake has failed.
    assert_that(told, has_properties(state="failed", advice=contains_string("VC_TLS_CERT")))
    (tmp_path / "other").mkdir()
    for issuer, state in ((Authority(tmp_path / "other"), "failed"), (authority, "ok")):
        certificate, key = issuer.issue("client", "dialer.example")
        told = await found(url, VC_TLS_CA=authority.file, VC_TLS_CERT=certificate, VC_TLS_KEY=key)
        assert_that(told.state, equal_to(state), told.message)


@sure
async def test_a_vc_that_hangs_up_once_it_has_seen_the_dialers_certificate_is_told(
    authority: Authority, listen: Listen
) -> None:
    url = listen(server_options(authority.identity(), None), Leaving)
    told = await found(url, VC_TLS_CA=authority.file)
    assert_that(told, has_properties(state="failed", message=starts_with(url)))


@sure
async def test_a_vc_without_tls_is_told(authority: Authority) -> None:
    listening: Any = reactor
    port = listening.listenTCP(0, Factory.forProtocol(Plain), interface="127.0.0.1")
    told = await found(f"https://127.0.0.1:{port.getHost().port}", VC_TLS_CA=authority.file)
    assert_that(told, has_properties(state="failed", message=contains_string("it speaks no TLS")))
    assert_that(told.advice, contains_string("http://"))
    await port.stopListening()
