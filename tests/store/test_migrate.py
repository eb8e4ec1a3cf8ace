"""Bringing a schema up to date, on migrations of the tests' own."""

import signal
import subprocess
import sys
from contextlib import closing

import psycopg2
import pytest
import pytest_twisted
from hamcrest import assert_that, contains_exactly, contains_string, empty, equal_to, has_item, has_length, is_, not_
from psycopg2.extensions import make_dsn
from twisted.internet.defer import CancelledError, Deferred, gatherResults
from twisted.internet.task import deferLater
from twisted.logger import globalLogPublisher

import dialer.store.migrate as module
from dialer.store.migrate import MigrationFailed, migrate
from dialer.store.queries import migrations_folder, sql, sql_folder
from tests.conftest import _administer as administer
from tests.waiting import until


@pytest.fixture
def empty_database(postgres):
    administer(postgres, "CREATE DATABASE to_migrate")
    yield make_dsn(postgres, dbname="to_migrate")
    administer(postgres, "DROP DATABASE to_migrate WITH (FORCE)")


@pytest.fixture
def folder(tmp_path):
    def write(**files):
        for name, text in files.items():
            (tmp_path / f"{name.replace('_', '-')}.sql").write_text(text)
        return tmp_path

    return write


@pytest.fixture
def logged():
    events = []
    globalLogPublisher.addObserver(events.append)
    yield lambda: [event["log_format"].format(**event) for event in events if "reason" in event]
    globalLogPublisher.removeObserver(events.append)


def ask(conninfo, query):
    with closing(psycopg2.connect(conninfo)) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        cursor.execute(query)
        return [row[0] for row in cursor.fetchall()]


def tables(conninfo):
    return ask(conninfo, "SELECT tablename::text FROM pg_tables WHERE schemaname = 'public' ORDER BY 1")


@pytest_twisted.ensureDeferred
async def test_what_is_missing_is_applied_in_the_order_of_the_names(reactor, empty_database, folder):
    path = folder(m_1="CREATE TABLE a (i int);", m_2="INSERT INTO a VALUES (1);\nCREATE TABLE b AS SELECT * FROM a;")
    await migrate(reactor, empty_database, folder=path)
    await migrate(reactor, empty_database, folder=folder(m_3="INSERT INTO b VALUES (3);"))
    await migrate(reactor, empty_database, folder=path)
    assert_that(ask(empty_database, "SELECT i FROM b ORDER BY i"), contains_exactly(1, 3))
    assert_that(ask(empty_database, "SELECT migration_id FROM _yoyo_migration ORDER BY 1"), has_length(3))


@pytest_twisted.ensureDeferred
async def test_no_migrations_at_all_are_fine(reactor, empty_database, tmp_path):
    await migrate(reactor, empty_database, folder=tmp_path)


@pytest_twisted.ensureDeferred
async def test_a_folder_with_a_strange_name_is_no_obstacle(reactor, empty_database, tmp_path):
    strange = tmp_path / "[x] package:*"
    strange.mkdir()
    (strange / "1.sql").write_text("CREATE TABLE a (i int);")
    await migrate(reactor, empty_database, folder=strange)
    assert_that(tables(empty_database), has_item("a"))


@pytest_twisted.ensureDeferred
async def test_an_error_names_the_migration_in_one_line_and_leaves_the_schema_as_it_was(
    reactor, empty_database, folder
):
    path = folder(m_1="CREATE TABLE a (i int);", m_2="CREATE TABLE b (i int);\nALTER TABLE nothing ADD i int;")
    with pytest.raises(MigrationFailed) as caught:
        await migrate(reactor, make_dsn(empty_database, password="s3cret"), folder=path)
    assert_that(str(caught.value), contains_string('migration m-2: relation "nothing" does not exist'))
    assert_that(str(caught.value).splitlines(), has_length(1))
    assert_that(str(caught.value), not_(contains_string("s3cret")))
    assert_that(tables(empty_database), is_(empty()))
    await migrate(reactor, empty_database, folder=folder(m_2="CREATE TABLE b (i int);"))
    assert_that([name for name in tables(empty_database) if "yoyo" not in name], contains_exactly("a", "b"))


@pytest_twisted.ensureDeferred
async def test_a_migration_outside_a_transaction_is_refused(reactor, empty_database, folder):
    path = folder(m_1="-- transactional: false\nCREATE TABLE a (i int);")
    with pytest.raises(MigrationFailed, match="transactional"):
        await migrate(reactor, empty_database, folder=path)
    assert_that(tables(empty_database), is_(empty()))


@pytest_twisted.ensureDeferred
async def test_of_several_that_start_at_once_one_migrates_and_the_others_wait(reactor, empty_database, folder):
    path = folder(m_1="CREATE TABLE a (i int);", m_2="INSERT INTO a SELECT 1 FROM pg_sleep(0.3);")
    await gatherResults([Deferred.fromCoroutine(migrate(reactor, empty_database, folder=path)) for _ in range(4)])
    assert_that(ask(empty_database, "SELECT i FROM a"), contains_exactly(1))


SLOW = "CREATE TABLE a (i int);\nINSERT INTO a SELECT 1 FROM pg_sleep(60);"
ASLEEP = "FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%pg_sleep(60)%' AND pid <> pg_backend_pid()"
RUNNING = f"SELECT count(*) {ASLEEP}"


def migrating_process(conninfo, path):
    script = (
        "import sys; from pathlib import Path; from dialer.store.migrate import _Run; "
        "_Run(sys.argv[1], Path(sys.argv[2]))()"
    )
    return subprocess.Popen([sys.executable, "-c", script, conninfo, str(path)])


@pytest_twisted.ensureDeferred
async def test_one_that_is_killed_blocks_nobody_and_leaves_nothing(reactor, empty_database, folder, logged):
    path = folder(m_1=SLOW)
    process = migrating_process(empty_database, path)
    await until(reactor, lambda: ask(empty_database, RUNNING) == [1])
    migrating = Deferred.fromCoroutine(migrate(reactor, empty_database, folder=path))
    await until(reactor, lambda: any("another dialer" in line for line in logged()))
    process.send_signal(signal.SIGKILL)
    process.wait()
    folder(m_1="CREATE TABLE a AS SELECT 2 AS i;")
    await migrating
    assert_that(ask(empty_database, "SELECT i FROM a"), contains_exactly(2))


@pytest_twisted.ensureDeferred
async def test_cancelling_ends_a_migration_soon_and_leaves_nothing(reactor, empty_database, folder):
    migrating = Deferred.fromCoroutine(migrate(reactor, empty_database, folder=folder(m_1=SLOW)))
    await until(reactor, lambda: ask(empty_database, RUNNING) == [1])
    migrating.cancel()
    with pytest.raises(CancelledError):
        await migrating
    await until(reactor, lambda: ask(empty_database, RUNNING) == [0])
    assert_that(tables(empty_database), is_(empty()))


@pytest_twisted.ensureDeferred
async def test_a_server_that_is_not_there_is_waited_for_and_told_once(reactor, postgres, folder, logged):
    later = make_dsn(postgres, dbname="later", password="s3cret")
    migrating = Deferred.fromCoroutine(migrate(reactor, later, folder=folder(m_1="CREATE TABLE a (i int);")))
    await until(reactor, logged)
    # Several tries: nothing tells of those after the first, which is what is to be seen.
    await deferLater(reactor, 0.5)
    assert_that(logged(), contains_exactly(contains_string("DATABASE CONNECTION ERROR: ")))
    assert_that(logged()[0], contains_string('database "later" does not exist'))
    assert_that(logged()[0], not_(contains_string("s3cret")))
    administer(postgres, "CREATE DATABASE later")
    await migrating
    assert_that(tables(later), has_item("a"))
    administer(postgres, "DROP DATABASE later")


@pytest_twisted.ensureDeferred
async def test_waiting_for_a_server_can_be_cancelled(reactor, tmp_path):
    migrating = Deferred.fromCoroutine(migrate(reactor, f"host={tmp_path} dbname=d", folder=tmp_path))
    # It may be trying or waiting by then: it must end in either.
    await deferLater(reactor, 0.1)
    migrating.cancel()
    with pytest.raises(CancelledError):
        await migrating


@pytest_twisted.ensureDeferred
async def test_a_connection_lost_on_the_way_is_tried_again(reactor, empty_database, folder, logged):
    migrating = Deferred.fromCoroutine(migrate(reactor, empty_database, folder=folder(m_1=SLOW)))
    await until(reactor, lambda: ask(empty_database, RUNNING) == [1])
    folder(m_1="CREATE TABLE a AS SELECT 2 AS i;")
    administer(empty_database, f"SELECT pg_terminate_backend(pid) {ASLEEP}")
    await migrating
    assert_that(ask(empty_database, "SELECT i FROM a"), contains_exactly(2))
    assert_that(logged(), contains_exactly(contains_string("DATABASE CONNECTION ERROR")))


@pytest_twisted.ensureDeferred
async def test_a_table_in_use_is_waited_for_again_and_again(reactor, empty_database, folder, logged, monkeypatch):
    monkeypatch.setattr(module, "LOCK_LIMIT", 0.1)
    administer(empty_database, "CREATE TABLE busy (i int)")
    with closing(psycopg2.connect(empty_database)) as user:
        user.cursor().execute("LOCK TABLE busy IN ACCESS SHARE MODE")
        path = folder(m_1="ALTER TABLE busy ADD j int;")
        migrating = Deferred.fromCoroutine(migrate(reactor, empty_database, folder=path))
        await until(reactor, logged)
        assert_that(
            logged(), contains_exactly(contains_string("migration m-1: canceling statement due to lock timeout"))
        )
    await migrating
    assert_that(ask(empty_database, "SELECT j FROM busy"), is_(empty()))


@pytest_twisted.ensureDeferred
async def test_our_own_migrations_lead_to_the_tables_and_may_be_repeated(reactor, empty_database):
    for _ in range(2):
        await migrate(reactor, empty_database)
    for path in migrations_folder().glob("*.sql"):
        assert_that(ask(empty_database, "SELECT migration_id FROM _yoyo_migration"), has_item(path.stem))


def test_statements_are_read_by_name():
    for path in (sql_folder() / "queries").glob("*.sql"):
        assert_that(sql(path.stem), equal_to(path.read_text(encoding="utf-8")))
    with pytest.raises(FileNotFoundError):
        sql("no_such_statement")
