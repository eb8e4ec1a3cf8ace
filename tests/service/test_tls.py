"""A dialer all of whose connections but EFSwitch's are behind TLS, both sides with certificates, calls as any other."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest_twisted
import treq
from hamcrest import (
    assert_that,
    contains_inanyorder,
    empty,
    equal_to,
    has_entries,
    has_length,
    not_,
    not_none,
    starts_with,
)
from psycopg2.extensions import parse_dsn
from twisted.internet import ssl
from twisted.protocols.portforward import ProxyFactory
from twisted.web.client import Agent

from dialer.tls.options import ClientPolicy, Trust, server_options, trust_root
from dialer.tls.pem import read_certificates
from tests.service.world import World, ivr
from tests.tls.authority import Authority
from tests.tls.postgres_front import Front

sure = pytest_twisted.ensureDeferred


class SecureWorld(World):
    """A world whose HTTP client, VC and PostgreSQL are clients and servers of one authority."""

    def __init__(self, reactor: Any, conninfo: str, folder: Path) -> None:
        super().__init__(conninfo)
        self._reactor = reactor
        self._authority = Authority(folder)
        self._cas = read_certificates(self._authority.file)
        trust = Trust(self._cas, self._authority.identity("client", "client.example"))
        self._client = treq.client.HTTPClient(Agent(reactor, ClientPolicy(lambda: trust), pool=self._pool))
        identity = self._authority.identity("postgres")
        options = ssl.CertificateOptions(
            privateKey=identity.key,
            certificate=identity.chain[0],
            trustRoot=trust_root(self._cas),
            acceptableProtocols=[b"postgresql"],
        )
        self.front = Front(reactor, conninfo, options)
        self._fronts: list[Any] = []

    @property
    def url(self) -> str:
        return super().url.replace("http://", "https://")

    async def start(self, **environment: str) -> Any:
        parts = parse_dsn(self._conninfo)
        database = self._reactor.listenTCP(0, self.front, interface="127.0.0.1")
        vc = self._reactor.listenSSL(
            0,
            ProxyFactory("127.0.0.1", int(self.vc.url.rpartition(":")[2])),
            server_options(self._authority.identity("vc"), self._cas),
            interface="127.0.0.1",
        )
        self._fronts += [database, vc]
        certificate, key = self._authority.issue("dialer")
        own = {
            f"{side}_TLS_{what}": file
            for side in ("HTTP", "VC", "DB")
            for what, file in (("CERT", certificate), ("KEY", key))
        }
        cas = dict.fromkeys(("HTTP_TLS_CLIENT_CA", "VC_TLS_CA", "DB_TLS_CA"), self._authority.file)
        where = {
            "DB_URL": f"postgresql://{parts['user']}@127.0.0.1:{database.getHost().port}/{quote(parts['dbname'])}",
            "VOICE_CONNECTOR": f"https://127.0.0.1:{vc.getHost().port}",
        }
        return await super().start(**own, **cas, **where, **environment)

    async def close(self) -> None:
        await super().close()
        for port in self._fronts:
            await port.stopListening()


@pytest_twisted.async_yield_fixture
async def world(reactor: Any, conninfo: str, tmp_path: Path) -> Any:
    built = SecureWorld(reactor, conninfo, tmp_path)
    await built.open()
    await built.start()
    yield built
    await built.close()


@sure
async def test_a_contact_is_taken_dialed_and_told_of_over_tls_alone(world: SecureWorld) -> None:
    await world.until_ready()
    assert_that(world.url, starts_with("https://"))
    contacts = [ivr() for _ in range(20)]
    await world.load(*contacts)
    for contact in contacts:
        assert_that(await world.until_told(contact), has_entries(callResult="NORMAL_CLEARING"))
    assert_that(world.front.in_the_clear, equal_to(0))
    assert_that(world.front.shown, not_(empty()))
    assert_that([name for name in world.front.shown if name is None], empty())


@sure
async def test_the_status_shows_when_each_certificate_of_the_dialer_expires(world: SecureWorld) -> None:
    await world.until_ready()
    status = (await world.get("/status")).body
    assert_that(
        status["certificates"],
        contains_inanyorder(
            *[has_entries(name=f"{side}_TLS_CERT", expires=not_none(), problem=None) for side in ("HTTP", "VC", "DB")]
        ),
    )
    assert_that(status["certificates"], has_length(3))
