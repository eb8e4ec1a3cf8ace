"""A VC behind TLS with an authority of its own, and one that wants to know who asks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from hamcrest import assert_that, contains_string, empty, equal_to, has_properties
from twisted.internet import ssl
from twisted.web.server import Site

from dialer.connector import AgentRequest, AgentRequestKind, Connector
from dialer.environment import load
from dialer.tls.certificates import Certificates
from dialer.tls.options import server_options
from dialer.tls.pem import read_certificates
from tests.fake_vc import FakeVC
from tests.test_connector import CONTACT
from tests.tls.authority import Authority, age, replace

sure = pytest_twisted.ensureDeferred


class Line:
    """A dialer's connector with the certificates of `files`, and a VC that has `options`."""

    def __init__(self, reactor: Any, options: ssl.CertificateOptions, files: dict[str, str], host: str) -> None:
        self.vc = FakeVC(reactor)
        self._port = reactor.listenSSL(0, Site(self.vc), options, interface="127.0.0.1")
        url = f"https://{host}:{self._port.getHost().port}"
        self.certificates = Certificates(reactor, load({"ESL_IP": "fs", "VOICE_CONNECTOR": url} | files, "dialer-1"))
        policy = self.certificates.vc_policy
        self._connector = Connector.persistent(reactor, url, "1218", policy=policy)

    async def ask(self) -> AgentRequest:
        return await self._connector.request_agent(CONTACT, esl_host_default="10.0.0.5")

    async def stop(self) -> None:
        await self._connector.close()
        await self._port.stopListening()


@pytest_twisted.async_yield_fixture
async def lines(reactor: Any) -> Any:
    made: list[Line] = []

    def make(options: ssl.CertificateOptions, host: str = "127.0.0.1", **files: str) -> Line:
        made.append(Line(reactor, options, files, host))
        return made[-1]

    yield make
    for line in made:
        await line.stop()


async def is_accepted(line: Line) -> None:
    assert_that(await line.ask(), has_properties(kind=AgentRequestKind.ACCEPTED, status=200))


async def is_not_sent(line: Line, why: str) -> None:
    """Nothing that the VC could take for a request has left the dialer."""
    answer = await line.ask()
    assert_that(answer, has_properties(kind=AgentRequestKind.UNDELIVERABLE, reason=contains_string(why)))
    assert_that(line.vc.received, empty())


@sure
async def test_a_vc_of_the_ca_that_is_set_is_asked(lines: Any, authority: Authority) -> None:
    line = lines(server_options(authority.identity(), None), VC_TLS_CA=authority.file)
    await is_accepted(line)
    await is_accepted(line)
    # Policies that change must not cost a connection for each request.
    assert_that({received.connection for received in line.vc.received}, equal_to({1}))


@sure
async def test_a_vc_of_another_ca_is_sent_nothing(lines: Any, authority: Authority, stranger: Authority) -> None:
    await is_not_sent(lines(server_options(stranger.identity(), None), VC_TLS_CA=authority.file), "verify failed")


@sure
async def test_only_the_ca_that_is_set_counts_and_not_those_of_the_system(
    lines: Any, authority: Authority, stranger: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", stranger.file)
    options = server_options(stranger.identity(), None)
    await is_accepted(lines(options))  # so that the next one says something
    await is_not_sent(lines(options, VC_TLS_CA=authority.file), "verify failed")


@sure
async def test_a_vc_with_a_certificate_for_another_name_is_sent_nothing(lines: Any, authority: Authority) -> None:
    options = server_options(authority.identity("own", "vc.example"), None)
    await is_not_sent(lines(options, VC_TLS_CA=authority.file), "VerificationError")


@sure
async def test_a_vc_that_speaks_old_tls_only_is_sent_nothing(lines: Any, authority: Authority) -> None:
    identity = authority.identity()
    old = ssl.CertificateOptions(
        privateKey=identity.key,
        certificate=identity.chain[0],
        insecurelyLowerMinimumTo=ssl.TLSVersion.TLSv1_0,
        lowerMaximumSecurityTo=ssl.TLSVersion.TLSv1_1,
    )
    await is_not_sent(lines(old, VC_TLS_CA=authority.file), "")


@sure
async def test_the_certificate_that_is_set_is_shown_to_a_vc_that_wants_one(lines: Any, authority: Authority) -> None:
    certificate, key = authority.issue("client", "dialer.example")
    options = server_options(authority.identity("vc"), read_certificates(authority.file))
    await is_accepted(
        lines(options, VC_TLS_CA=authority.file, VC_TLS_CERT=certificate, VC_TLS_KEY=key),
    )


@pytest.mark.parametrize("shown", [False, True])
@sure
async def test_a_vc_that_wants_another_certificate_has_accepted_nothing(
    lines: Any, authority: Authority, stranger: Authority, shown: bool
) -> None:
    files = {"VC_TLS_CA": authority.file}
    if shown:
        files["VC_TLS_CERT"], files["VC_TLS_KEY"] = stranger.issue("client", "dialer.example")
    line = lines(server_options(authority.identity("vc"), read_certificates(authority.file)), **files)
    answer = await line.ask()
    # In TLS 1.3 its refusal comes after the handshake: the request may have been written by then.
    assert_that(answer.status, equal_to(None))
    assert_that(line.vc.received, empty())


@sure
async def test_a_ca_that_changes_decides_about_the_next_connection(
    lines: Any, authority: Authority, stranger: Authority, tmp_path: Path
) -> None:
    ca = tmp_path / "vc-ca.pem"
    replace(ca, authority.pem)
    line = lines(server_options(stranger.identity(), None), VC_TLS_CA=str(ca))
    await is_not_sent(line, "verify failed")
    replace(ca, authority.pem + stranger.pem)
    age(str(ca))
    for _ in range(2):
        line.certificates.look()
    await is_accepted(line)


@sure
async def test_a_renewed_certificate_is_shown_from_the_next_connection_on(
    lines: Any, authority: Authority, stranger: Authority
) -> None:
    certificate, key = stranger.issue("client", "dialer.example")
    options = server_options(authority.identity("vc"), read_certificates(authority.file))
    line = lines(options, VC_TLS_CA=authority.file, VC_TLS_CERT=certificate, VC_TLS_KEY=key)
    assert_that((await line.ask()).status, equal_to(None))
    age(*authority.issue("client", "dialer.example"))
    for _ in range(2):
        line.certificates.look()
    await is_accepted(line)
