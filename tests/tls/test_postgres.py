"""PostgreSQL behind TLS, as the settings say it, with the dialer's own connections and migrations."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

import pytest
import pytest_twisted
from hamcrest import assert_that, contains_exactly, contains_string, empty, equal_to, has_properties, not_, not_none
from psycopg2.extensions import parse_dsn
from twisted.internet import ssl
from twisted.internet.defer import CancelledError, Deferred

from dialer.environment import load
from dialer.store.errors import DatabaseDown
from dialer.store.link import Link, guarded_dsn
from dialer.store.migrate import migrate
from dialer.tls.options import trust_root
from dialer.tls.pem import Identity, read_certificates
from tests.tls.authority import Authority
from tests.tls.postgres_front import Front
from tests.waiting import until

sure = pytest_twisted.ensureDeferred

PATIENCE = 10.0
"""Seconds for a connection on a busy machine."""


class Road:
    """The way to a database: a front with `options`, and the conninfo that the settings make of `files`."""

    def __init__(self, reactor: Any, conninfo: str, options: ssl.CertificateOptions | None) -> None:
        self._reactor = reactor
        self._parts = parse_dsn(conninfo)
        self.front = Front(reactor, conninfo, options)
        self.port = reactor.listenTCP(0, self.front, interface="127.0.0.1")

    def conninfo(self, host: str = "127.0.0.1", **variables: str) -> str:
        """What libpq gets."""
        where = {
            "DB_URL": host,
            "DB_PORT": str(self.port.getHost().port),
            "DB_NAME": self._parts["dbname"],
            "DB_USERNAME": self._parts["user"],
            "ESL_IP": "fs.example",
            "VOICE_CONNECTOR": "http://vc.example",
        }
        made = load(where | variables, "dialer-1").conninfo
        assert made is not None
        return made

    async def ask(self, host: str = "127.0.0.1", **variables: str) -> list[dict[str, Any]]:
        """A statement over a connection of its own. Fails with DatabaseDown."""
        link = self.link(host, **variables)
        await link.open()
        try:
            return await link.execute("SELECT 1 AS one")
        finally:
            link.close()

    def link(self, host: str = "127.0.0.1", **variables: str) -> Link:
        """A connection, not open yet."""
        dsn = guarded_dsn(self.conninfo(host, **variables), timeout=PATIENCE, application_name="test")
        return Link(self._reactor, dsn, timeout=PATIENCE, on_lost=lambda _, reason: None)


@pytest_twisted.async_yield_fixture
async def roads(reactor: Any, conninfo: str) -> Any:
    made: list[Road] = []

    def make(options: ssl.CertificateOptions | None) -> Road:
        made.append(Road(reactor, conninfo, options))
        return made[-1]

    yield make
    for road in made:
        await road.port.stopListening()


ONE = [{"one": 1}]


def speaking(identity: Identity, clients: Authority | None = None) -> ssl.CertificateOptions:
    """For a server that says, as PostgreSQL's own does, that its protocol is PostgreSQL's."""
    return ssl.CertificateOptions(
        privateKey=identity.key,
        certificate=identity.chain[0],
        trustRoot=trust_root(read_certificates(clients.file)) if clients else None,
        acceptableProtocols=[b"postgresql"],
    )


async def is_refused(asking: Awaitable[Any], why: str) -> None:
    with pytest.raises(DatabaseDown) as caught:
        await asking
    assert_that(str(caught.value), contains_string(why))


@sure
async def test_without_a_setting_tls_is_spoken_where_the_server_has_it(roads: Any, authority: Authority) -> None:
    road = roads(speaking(authority.identity()))
    assert_that(await road.ask(), equal_to(ONE))
    assert_that(road.front.in_the_clear, equal_to(0))
    plain = roads(None)
    assert_that(await plain.ask(), equal_to(ONE))
    assert_that(plain.front.in_the_clear, equal_to(1))


@sure
async def test_nothing_is_said_to_a_server_without_tls_when_it_is_required(roads: Any) -> None:
    road = roads(None)
    await is_refused(road.ask(DB_TLS_MODE="require"), "server does not support SSL, but SSL was required")
    assert_that(road.front.in_the_clear, equal_to(0))


@sure
async def test_tls_is_not_spoken_when_it_is_disabled(roads: Any, authority: Authority) -> None:
    road = roads(speaking(authority.identity()))
    assert_that(await road.ask(DB_TLS_MODE="disable"), equal_to(ONE))
    assert_that(road.front.in_the_clear, equal_to(1))


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
@sure
async def test_a_server_of_the_ca_with_the_name_that_is_set_is_asked(
    roads: Any, authority: Authority, host: str
) -> None:
    road = roads(speaking(authority.identity("pg", host)))
    assert_that(await road.ask(host, DB_TLS_CA=authority.file), equal_to(ONE))
    assert_that(road.front.in_the_clear, equal_to(0))


@sure
async def test_a_server_of_another_ca_is_not_asked(roads: Any, authority: Authority, stranger: Authority) -> None:
    road = roads(speaking(stranger.identity()))
    await is_refused(road.ask(DB_TLS_CA=authority.file), "certificate verify failed")
    assert_that(road.front.shown, empty())


@sure
async def test_a_server_with_another_name_is_asked_only_when_its_name_is_not_verified(
    roads: Any, authority: Authority
) -> None:
    road = roads(speaking(authority.identity("pg", "db.example")))
    await is_refused(road.ask(DB_TLS_CA=authority.file), 'does not match host name "127.0.0.1"')
    assert_that(await road.ask(DB_TLS_CA=authority.file, DB_TLS_MODE="verify-ca"), equal_to(ONE))


@sure
async def test_the_certificate_that_is_set_is_shown_to_a_server_that_wants_one(
    roads: Any, authority: Authority
) -> None:
    road = roads(speaking(authority.identity("pg"), authority))
    certificate, key = authority.issue("client", "dialer.example")
    own = {"DB_TLS_CA": authority.file, "DB_TLS_CERT": certificate, "DB_TLS_KEY": key}
    assert_that(await road.ask(**own), equal_to(ONE))
    assert_that(road.front.shown, contains_exactly(not_none()))
    await is_refused(road.ask(DB_TLS_CA=authority.file), "certificate required")


@sure
async def test_a_renewed_certificate_is_shown_by_the_next_connection_while_an_open_one_goes_on(
    roads: Any, authority: Authority, stranger: Authority
) -> None:
    road = roads(speaking(authority.identity("pg"), authority))
    certificate, key = authority.issue("client", "dialer.example")
    own = {"DB_TLS_CA": authority.file, "DB_TLS_CERT": certificate, "DB_TLS_KEY": key}
    standing = road.link(**own)
    await standing.open()
    stranger.issue("client", "dialer.example")
    with pytest.raises(DatabaseDown):
        await road.ask(**own)
    assert_that(await standing.execute("SELECT 1 AS one"), equal_to(ONE))
    standing.close()
    authority.issue("client", "dialer.example")
    assert_that(await road.ask(**own), equal_to(ONE))


@sure
async def test_the_schema_is_brought_up_to_date_over_tls_too(
    reactor: Any, roads: Any, authority: Authority, stranger: Authority
) -> None:
    road = roads(speaking(authority.identity()))
    await Deferred.fromCoroutine(migrate(reactor, road.conninfo(DB_TLS_CA=authority.file))).addTimeout(60, reactor)
    assert_that(road.front, has_properties(in_the_clear=0, shown=not_(empty())))
    said: list[str] = []
    waiting = Deferred.fromCoroutine(migrate(reactor, road.conninfo(DB_TLS_CA=stranger.file), on_failure=said.append))
    await until(reactor, lambda: said, "a failure")
    # It would wait for another certificate for ever.
    waiting.cancel()
    with pytest.raises(CancelledError):
        await waiting
    assert_that(said[0], contains_string("certificate verify failed"))
