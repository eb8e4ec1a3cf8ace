"""What the pool does when PostgreSQL hangs, dies, restarts or refuses; and that it works again by itself after each."""

import os
import signal
import socket
from math import inf
from random import Random

import psutil
import psycopg2
import pytest
import pytest_twisted
from hamcrest import (
    assert_that,
    contains_exactly,
    contains_string,
    empty,
    equal_to,
    greater_than,
    has_length,
    is_,
    less_than,
    not_,
)
from psycopg2.extensions import make_dsn
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import deferLater
from twisted.logger import globalLogPublisher
from twisted.protocols import portforward

from dialer.postgres import EmbeddedPostgres
from dialer.store.database import CommitUnknown, Database, DatabaseDown
from dialer.store.link import Link, guarded_dsn
from dialer.store.resolve import resolved
from tests.conftest import FAST, wait_for
from tests.waiting import until

TIMEOUT = 1.0
"""Seconds: what a sound server takes is well below, on a slow machine too."""
SLACK = 5.0
"""Seconds that a busy machine may take beyond that: far less than for ever."""


@pytest.fixture(scope="module")
def server(reactor, tmp_path_factory):
    """A server that tests may harm, as long as it runs when they end."""
    server = EmbeddedPostgres(reactor, tmp_path_factory.mktemp("pg"), options=FAST)
    server.where = wait_for(reactor, server.start)
    yield server
    wait_for(reactor, server.stop)


@pytest.fixture
def errors():
    """The DATABASE CONNECTION ERROR lines that were logged."""
    logged = []

    def observe(event):
        if "DATABASE CONNECTION ERROR" in (event.get("log_format") or ""):
            logged.append(event["reason"])

    globalLogPublisher.addObserver(observe)
    yield logged
    globalLogPublisher.removeObserver(observe)


@pytest.fixture
def start(reactor):
    """Starts Databases; stops them when the test ends."""
    started = []

    def start(conninfo, **options):
        options = {"timeout": TIMEOUT, "application_name": "test", "random": Random(1), **options}
        database = Database(reactor, conninfo, **options)
        database.startService()
        started.append(database)
        return database

    yield start
    for database in started:
        wait_for(reactor, database.stopService)


@pytest.fixture
def admin(server):
    """A connection of our own, that does not take part."""
    connection = psycopg2.connect(server.where)
    connection.autocommit = True
    yield connection.cursor()
    connection.close()


def terminate(admin, state):
    admin.execute(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = 'test' AND state = %s",
        [state],
    )
    return admin.rowcount


async def down(reactor, database):
    await until(reactor, lambda: not database.up)


async def works(database):
    """It can be used again, however long its next attempt takes."""
    while True:
        await database.ready()
        try:
            return await database.run("SELECT 1 AS one") == [{"one": 1}]
        except DatabaseDown:
            continue


@pytest_twisted.ensureDeferred
async def test_a_new_connection_that_gets_the_event_of_an_old_one_is_watched_for_one_thing(reactor, server):
    dsn = guarded_dsn(server.where, timeout=TIMEOUT, application_name="test")
    link = Link(reactor, dsn, timeout=10 * TIMEOUT, on_lost=lambda *_: None)
    before = reactor.getWriters()
    opening = Deferred.fromCoroutine(link.open())
    (waiting,) = set(reactor.getWriters()) - set(before)
    # What the reactor does when a socket with this number has just been closed, and has had something to read.
    waiting.doRead()
    assert_that([waiting in reactor.getReaders(), waiting in reactor.getWriters()], contains_exactly(True, False))
    await opening
    assert_that(await link.execute("SELECT 1 AS one"), equal_to([{"one": 1}]))
    link.close()


@pytest_twisted.ensureDeferred
async def test_idle_connections_that_are_terminated_are_replaced_before_they_are_used(server, start, admin):
    database = start(server.where)
    await database.run("SELECT 1")
    for _ in range(5):
        assert_that(terminate(admin, "idle"), equal_to(1))
        # The reactor has had no turn to notice, so the pool must look by itself.
        assert_that(await database.run("SELECT 1 AS one"), equal_to([{"one": 1}]))


@pytest_twisted.ensureDeferred
async def test_a_connection_terminated_under_a_statement_leaves_its_commit_unknown(reactor, server, start, admin):
    database = start(server.where)
    await database.ready()
    running = Deferred.fromCoroutine(database.run("SELECT pg_sleep(10)"))
    await until(reactor, lambda: terminate(admin, "active"))
    with pytest.raises(CommitUnknown, match="terminating connection"):
        await running
    assert_that(await works(database))


@pytest_twisted.ensureDeferred
async def test_it_tells_for_how_long_it_has_not_failed(reactor, server, start, admin):
    database = start(server.where)
    await database.run("SELECT 1")
    assert_that(database.steady(), equal_to(inf))
    running = Deferred.fromCoroutine(database.run("SELECT pg_sleep(10)"))
    await until(reactor, lambda: terminate(admin, "active"))
    with pytest.raises(CommitUnknown):
        await running
    assert_that(await works(database))
    first = database.steady()
    await until(reactor, lambda: database.steady() > first)


@pytest_twisted.ensureDeferred
async def test_a_transaction_that_loses_its_connection_before_the_commit_changed_nothing(server, start, admin):
    database = start(server.where)

    async def lose(run):
        await run("SELECT 1")
        terminate(admin, "idle in transaction")
        await run("SELECT 1")

    with pytest.raises(DatabaseDown):
        await database.transaction(lose)
    assert_that(await works(database))


@pytest_twisted.ensureDeferred
async def test_a_transaction_that_loses_its_connection_in_the_commit_may_have_been_committed(
    reactor, server, start, admin
):
    admin.execute(
        "CREATE TABLE slow (i int); CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS $$ "
        "BEGIN PERFORM pg_sleep(10); RETURN NULL; END $$; CREATE CONSTRAINT TRIGGER wait AFTER INSERT ON slow "
        "DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION wait()"
    )
    database = start(server.where, timeout=5)

    async def insert(run):
        await run("INSERT INTO slow VALUES (1)")

    change = Deferred.fromCoroutine(database.transaction(insert))
    await until(reactor, lambda: terminate(admin, "active"))
    with pytest.raises(CommitUnknown):
        await change
    assert_that(await works(database))
    admin.execute("DROP TABLE slow; DROP FUNCTION wait")


@pytest_twisted.ensureDeferred
async def test_a_server_that_hangs_is_given_up_and_used_again_when_it_goes_on(reactor, server, start, errors):
    database = start(server.where)
    await database.run("SELECT 1")
    processes = [psutil.Process(server.pid), *psutil.Process(server.pid).children()]
    for process in processes:
        process.send_signal(signal.SIGSTOP)
    try:
        started = reactor.seconds()
        # Told by the time: the caller was answered, not the connection given up, which takes longer.
        with pytest.raises(CommitUnknown, match=f"no answer in {TIMEOUT:g} s"):
            await database.run("SELECT 1")
        assert_that(reactor.seconds() - started, less_than(TIMEOUT + SLACK))
        await down(reactor, database)
        started = reactor.seconds()
        with pytest.raises(DatabaseDown, match="no answer"):
            await database.run("SELECT 1")
        assert_that(reactor.seconds() - started, less_than(TIMEOUT + SLACK))
    finally:
        for process in processes:
            process.send_signal(signal.SIGCONT)
    assert_that(await works(database))
    # The words differ for the lost connection and for the attempts after it; each is said once.
    assert_that(errors, has_length(len(set(errors))))


@pytest_twisted.ensureDeferred
async def test_a_server_that_restarts_is_reported_once_and_used_again(reactor, server, start, errors):
    database = start(server.where)
    changes = []
    await database.ready()
    database.on_change = lambda: changes.append(database.up)
    await server.stop()
    await down(reactor, database)
    for _ in range(3):
        with pytest.raises(DatabaseDown):
            await database.run("SELECT 1")
    while_down = list(errors)
    server.where = await server.start()
    assert_that(await works(database))
    assert_that(changes, contains_exactly(False, True))
    assert_that(len(while_down), less_than(3))
    assert_that(while_down, has_length(len(set(while_down))))


@pytest_twisted.ensureDeferred
async def test_a_server_that_is_killed_and_started_again_is_used_again(reactor, server, start):
    database = start(server.where)
    await database.ready()
    os.kill(server.pid, signal.SIGKILL)
    await down(reactor, database)
    await server.stop()
    server.where = await server.start()
    assert_that(await works(database))


def relay(reactor, path):
    """A factory that carries bytes between TCP clients and a unix socket."""

    class Relay(portforward.ProxyServer):
        def connectionMade(self):
            self.transport.pauseProducing()
            client = self.clientProtocolFactory()
            client.setServer(self)
            reactor.connectUNIX(path, client)

    return Factory.forProtocol(Relay)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest_twisted.ensureDeferred
async def test_a_port_that_refuses_is_tried_until_somebody_listens(reactor, server, start, errors):
    port = free_port()
    database = start(make_dsn(server.where, host="localhost", port=port))
    with pytest.raises(DatabaseDown, match="Connection refused"):
        await database.run("SELECT 1")
    assert_that(errors, has_length(1))
    unix = psycopg2.extensions.parse_dsn(server.where)["host"] + "/.s.PGSQL.5432"
    listening = reactor.listenTCP(port, relay(reactor, unix), interface="127.0.0.1")
    assert_that(await works(database))
    await database.stopService()
    await listening.stopListening()


@pytest_twisted.ensureDeferred
async def test_a_port_that_never_answers_does_not_hold_anything_up(reactor, start):
    silent = Factory.forProtocol(Protocol)
    listening = reactor.listenTCP(0, silent, interface="127.0.0.1")
    database = start(f"host=127.0.0.1 port={listening.getHost().port} user=u dbname=d sslmode=disable")
    with pytest.raises(DatabaseDown):
        await database.run("SELECT 1")
    await until(reactor, lambda: database.reason == f"no answer in {TIMEOUT:g} s")
    await until(reactor, lambda: database._attempt is not None)
    assert_that(database.stopService().called, "the stop waits for the attempt")
    await listening.stopListening()


@pytest_twisted.ensureDeferred
async def test_a_host_name_that_nobody_knows_is_a_database_that_is_down(reactor, start):
    database = start("host=nobody.invalid user=u dbname=d", timeout=5)
    await until(reactor, lambda: database.reason != "not connected yet")
    assert_that(database.up, is_(False))


@pytest_twisted.ensureDeferred
async def test_a_host_name_is_looked_up_before_libpq_would_block_on_it(reactor):
    parsed = psycopg2.extensions.parse_dsn(await resolved(reactor, "postgresql://u:p@localhost:5433/d"))
    assert_that(parsed["hostaddr"].split(","), has_length(greater_than(0)))
    assert_that(set(parsed["host"].split(",")), equal_to({"localhost"}))
    assert_that(set(parsed["port"].split(",")), equal_to({"5433"}))


@pytest.mark.parametrize(
    "given", ["host=/tmp dbname=d", "host=127.0.0.1 port=1", "host=::1", "dbname=d", "host=x hostaddr=1.2.3.4"]
)
@pytest_twisted.ensureDeferred
async def test_what_needs_no_look_up_stays_as_it_is(reactor, given):
    assert_that(await resolved(reactor, given), equal_to(given))


@pytest_twisted.ensureDeferred
async def test_a_wrong_password_is_told_without_it_and_tried_again(reactor, server, start, admin, errors):
    rules = server._data / "pg_hba.conf"
    rules.write_text("local all guarded scram-sha-256\n" + rules.read_text())
    admin.execute("CREATE ROLE guarded LOGIN PASSWORD 'right'")
    admin.execute("SELECT pg_reload_conf()")
    await until(reactor, lambda: admin.execute("SELECT count(*) FROM pg_hba_file_rules") or admin.fetchone()[0] > 0)
    database = start(make_dsn(server.where, user="guarded", password="wr0ng"))
    await until(reactor, lambda: "password authentication failed" in database.reason)
    assert_that(" ".join(errors), not_(contains_string("wr0ng")))
    admin.execute("ALTER ROLE guarded PASSWORD 'wr0ng'")
    assert_that(await works(database))
    await database.stopService()
    admin.execute("DROP ROLE guarded")


@pytest_twisted.ensureDeferred
async def test_a_database_that_does_not_exist_is_used_once_it_does(reactor, server, start, admin, errors):
    database = start(make_dsn(server.where, dbname="later"))
    await until(reactor, lambda: 'database "later" does not exist' in database.reason)
    admin.execute("CREATE DATABASE later")
    assert_that(await works(database))
    assert_that(errors, has_length(1))
    await database.stopService()
    admin.execute("DROP DATABASE later WITH (FORCE)")


@pytest_twisted.ensureDeferred
async def test_a_server_that_accepts_only_to_drop_is_not_asked_in_a_tight_loop(reactor, server, start, admin):
    database = start(server.where)
    await database.ready()
    dropped = 0
    ending = reactor.seconds() + 1.0
    while reactor.seconds() < ending:
        dropped += terminate(admin, "idle")
        await deferLater(reactor, 0)
    assert_that(dropped, less_than(10))
    assert_that(await works(database))


@pytest_twisted.ensureDeferred
async def test_too_many_connections_make_statements_wait_not_fail(reactor, server, start, admin):
    admin.execute("CREATE ROLE few LOGIN CONNECTION LIMIT 1")
    database = start(make_dsn(server.where, user="few"), timeout=2)
    await database.ready()
    statements = [Deferred.fromCoroutine(database.run("SELECT pg_sleep(0.05)")) for _ in range(5)]
    for statement in statements:
        await statement
    assert_that(database.up, is_(True))
    await database.stopService()
    await until(
        reactor, lambda: admin.execute("SELECT FROM pg_stat_activity WHERE usename = 'few'") or not admin.rowcount
    )
    admin.execute("DROP ROLE few")


@pytest_twisted.ensureDeferred
async def test_a_stop_while_the_database_is_down_leaves_nothing_behind(reactor, tmp_path, start):
    database = start(f"host={tmp_path} user=u dbname=d")
    waiting = Deferred.fromCoroutine(database.run("SELECT 1"))
    up = database.when_up()
    await until(reactor, lambda: database._retry is not None)
    await database.stopService()
    with pytest.raises(DatabaseDown):
        await waiting
    up.addErrback(lambda _: None).cancel()
    assert_that(reactor.getDelayedCalls(), is_(empty()))
