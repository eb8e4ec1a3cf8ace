"""What the pool promises while PostgreSQL is well."""

from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from random import Random

import psycopg2.errors
import pytest
import pytest_twisted
from hamcrest import (
    assert_that,
    calling,
    contains_exactly,
    contains_string,
    equal_to,
    greater_than,
    has_entries,
    has_length,
    instance_of,
    is_,
    less_than,
    raises,
)
from psycopg2.extensions import make_dsn, parse_dsn
from twisted.internet.defer import CancelledError, Deferred, gatherResults
from twisted.internet.task import deferLater

import dialer.store.database as module
from dialer.contact import Status
from dialer.store.database import Database, DatabaseDown, Pool, Unanswered, reconnect_delay
from dialer.store.link import guarded_dsn

SLACK = 5.0
"""Seconds that a busy machine may take for what is over in half of one: far less than for ever."""


def asked(database, query, params=None):
    return Deferred.fromCoroutine(database.run(query, params))


@asynccontextmanager
async def one_connection(reactor, conninfo, timeout):
    """A Database of one connection that waits for nothing longer than `timeout` seconds, and a table."""
    service = Database(reactor, conninfo, timeout=timeout, size=1, application_name="small", random=Random(1))
    service.startService()
    await service.ready()
    await service.run("CREATE TABLE notes (text text PRIMARY KEY)")
    yield service
    await service.stopService()


@pytest_twisted.async_yield_fixture
async def small(reactor, conninfo):
    """It waits for half a second."""
    async with one_connection(reactor, conninfo, 0.5) as service:
        yield service


@pytest_twisted.async_yield_fixture
async def patient(reactor, conninfo):
    """It waits for three seconds: long enough that what is to end before that does so on a slow machine."""
    async with one_connection(reactor, conninfo, 3.0) as service:
        yield service


async def notes(database):
    return [row["text"] for row in await database.run("SELECT text FROM notes ORDER BY text")]


@pytest_twisted.ensureDeferred
async def test_rows_come_back_as_dicts(database):
    rows = await database.run("SELECT 1 AS one, %(word)s AS word", {"word": "a%b"})
    assert_that(rows, equal_to([{"one": 1, "word": "a%b"}]))


@pytest_twisted.ensureDeferred
async def test_a_statement_without_a_result_has_no_rows(database):
    assert_that(await database.run("CREATE TABLE t (i int)"), equal_to([]))


@pytest_twisted.ensureDeferred
async def test_words_of_the_domain_and_lists_of_them_are_text(database):
    rows = await database.run(
        "SELECT %(one)s AS one, %(many)s::text[] AS many", {"one": Status.PENDING, "many": list(Status)[:2]}
    )
    assert_that(rows, equal_to([{"one": "pending", "many": ["pending", "agent_pending"]}]))


@pytest_twisted.ensureDeferred
async def test_times_come_back_in_utc(database):
    there = datetime(2030, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
    (row,) = await database.run("SELECT %(time)s::timestamptz AS time", {"time": there})
    assert_that(row["time"], equal_to(there))
    assert_that(row["time"].utcoffset(), equal_to(timedelta(0)))


@pytest_twisted.ensureDeferred
async def test_an_error_of_postgresql_passes_through_and_the_connection_goes_on(small):
    await small.run("INSERT INTO notes VALUES ('a')")
    with pytest.raises(psycopg2.errors.UniqueViolation):
        await small.run("INSERT INTO notes VALUES ('a')")
    with pytest.raises(psycopg2.errors.SyntaxError):
        await small.run("SELEKT")
    with pytest.raises(KeyError):
        await small.run("SELECT %(missing)s", {"other": 1})
    assert_that(await notes(small), contains_exactly("a"))


@pytest_twisted.ensureDeferred
async def test_statements_wait_in_line_for_a_connection(small):
    await small.run("CREATE SEQUENCE turn")
    insert = "INSERT INTO notes SELECT nextval('turn') || %(name)s"
    await gatherResults([asked(small, insert, {"name": name}) for name in "abcde"])
    assert_that(await notes(small), contains_exactly("1a", "2b", "3c", "4d", "5e"))


@pytest_twisted.ensureDeferred
async def test_more_connections_are_opened_while_statements_wait(database):
    await gatherResults([asked(database, "SELECT pg_sleep(0.2)") for _ in range(20)])
    (row,) = await database.run("SELECT count(*) AS n FROM pg_stat_activity WHERE application_name = 'test'")
    assert_that(row["n"], equal_to(8))


@pytest_twisted.ensureDeferred
async def test_waiting_for_a_connection_is_bounded(reactor, small):
    release = Deferred()

    async def hold(run):
        await run("SELECT 1")
        await release

    holding = Deferred.fromCoroutine(small.transaction(hold))
    started = reactor.seconds()
    with pytest.raises(DatabaseDown, match="no free connection"):
        await small.run("SELECT 1")
    assert_that(reactor.seconds() - started, less_than(SLACK))
    release.callback(None)
    with pytest.raises(Unanswered):
        await holding


@pytest_twisted.ensureDeferred
async def test_a_caller_is_answered_in_time_though_it_waited_in_line_and_its_statement_goes_on(reactor, patient):
    # Together longer than the caller waits, and each far shorter than the server lets a statement run.
    first = asked(patient, "SELECT pg_sleep(1.6)")
    started = reactor.seconds()
    with pytest.raises(Unanswered, match="no answer in"):
        await patient.run("INSERT INTO notes SELECT 'late' FROM pg_sleep(1.6)")
    assert_that(reactor.seconds() - started, less_than(3.0 + SLACK))
    await first
    assert_that(await notes(patient), contains_exactly("late"))


@pytest_twisted.ensureDeferred
async def test_a_transaction_that_outlasts_its_caller_is_committed(patient):
    async def slowly(run):
        for text in "ab":
            await run("INSERT INTO notes SELECT %(text)s FROM pg_sleep(1.6)", {"text": text})

    with pytest.raises(Unanswered):
        await patient.transaction(slowly)
    assert_that(await notes(patient), contains_exactly("a", "b"))


@pytest.mark.parametrize("code", ["53100", "53200", "57014", "55P03", "25006", "58030"])
@pytest_twisted.ensureDeferred
async def test_what_the_server_cannot_do_now_may_be_asked_again_later(small, code):
    with pytest.raises(DatabaseDown, match="not now") as caught:
        await small.run(f"DO $$ BEGIN RAISE 'not now' USING ERRCODE = '{code}'; END $$")
    assert_that(caught.value.code, equal_to(code))
    assert_that(await notes(small), has_length(0))


@pytest_twisted.ensureDeferred
async def test_a_line_that_is_too_long_is_refused_at_once(small, monkeypatch):
    monkeypatch.setattr(module, "LONGEST_LINE", 1)
    first, second = asked(small, "SELECT pg_sleep(0.05)"), asked(small, "SELECT 1")
    with pytest.raises(DatabaseDown, match="wait for a connection already"):
        await small.run("SELECT 1")
    await gatherResults([first, second])


@pytest_twisted.ensureDeferred
async def test_a_statement_that_takes_too_long_is_rolled_back_by_the_server(reactor, patient):
    started = reactor.seconds()
    with pytest.raises(DatabaseDown, match="statement timeout"):
        await patient.run("INSERT INTO notes SELECT 'late' FROM pg_sleep(60)")
    assert_that(reactor.seconds() - started, less_than(3.0 + SLACK))
    assert_that(patient.up, is_(True))
    assert_that(await notes(patient), has_length(0))


@pytest_twisted.ensureDeferred
async def test_a_lock_that_is_not_had_in_time_is_no_answer_either(patient, database):
    async def wait_behind(run):
        await run("LOCK notes")
        with pytest.raises(DatabaseDown, match="lock timeout"):
            await patient.run("INSERT INTO notes VALUES ('a')")

    await database.transaction(wait_behind)


@pytest_twisted.ensureDeferred
async def test_a_transaction_is_committed_whole(small):
    async def both(run):
        await run("INSERT INTO notes VALUES ('a')")
        await run("INSERT INTO notes VALUES (%(text)s)", {"text": "b"})
        return "done"

    assert_that(await small.transaction(both), equal_to("done"))
    assert_that(await notes(small), contains_exactly("a", "b"))


@pytest_twisted.ensureDeferred
async def test_a_transaction_whose_work_fails_is_rolled_back(small):
    async def fail(run):
        await run("INSERT INTO notes VALUES ('a')")
        raise LookupError("changed my mind")

    with pytest.raises(LookupError):
        await small.transaction(fail)
    assert_that(await notes(small), has_length(0))


@pytest_twisted.ensureDeferred
async def test_a_transaction_that_ignores_an_error_is_not_reported_as_committed(small):
    async def ignore(run):
        await run("INSERT INTO notes VALUES ('a')")
        with pytest.raises(psycopg2.errors.UniqueViolation):
            await run("INSERT INTO notes VALUES ('a')")

    with pytest.raises(psycopg2.errors.InFailedSqlTransaction):
        await small.transaction(ignore)
    assert_that(await notes(small), has_length(0))


@pytest_twisted.ensureDeferred
async def test_a_transaction_that_goes_on_for_too_long_is_rolled_back(small, monkeypatch):
    monkeypatch.setattr(module, "TRANSACTION_LIMIT", 0.4)

    async def dawdle(run):
        await run("INSERT INTO notes VALUES ('a')")
        await Deferred()

    with pytest.raises(DatabaseDown, match="a transaction took more than"):
        await small.transaction(dawdle)
    assert_that(await notes(small), has_length(0))


@pytest_twisted.ensureDeferred
async def test_a_transaction_that_is_late_with_a_statement_under_way_costs_its_connection_only(small, monkeypatch):
    monkeypatch.setattr(module, "TRANSACTION_LIMIT", 0.2)

    async def dawdle(run):
        await run("INSERT INTO notes SELECT 'a' FROM pg_sleep(0.4)")

    with pytest.raises(DatabaseDown, match="a transaction took more than"):
        await small.transaction(dawdle)
    await small.ready()
    assert_that(await notes(small), has_length(0))


@pytest_twisted.ensureDeferred
async def test_a_transactions_run_is_of_no_use_after_it(small):
    async def leak(run):
        return run

    run = await small.transaction(leak)
    with pytest.raises(RuntimeError, match="over"):
        await run("SELECT 1")


@pytest_twisted.ensureDeferred
async def test_a_statement_rolled_back_for_another_ones_sake_is_tried_again(small):
    await small.run("CREATE SEQUENCE tries")
    await small.run(
        "CREATE FUNCTION unlucky() RETURNS bigint LANGUAGE plpgsql AS $$ DECLARE t bigint := nextval('tries'); BEGIN "
        "IF t < 3 THEN RAISE 'again' USING ERRCODE = '40001'; END IF; RETURN t; END $$"
    )
    assert_that(await small.run("SELECT unlucky() AS tries"), equal_to([{"tries": 3}]))


@pytest_twisted.ensureDeferred
async def test_a_statement_that_never_succeeds_is_not_tried_forever(small):
    await small.run("CREATE SEQUENCE tries")
    query = "DO $$ BEGIN PERFORM nextval('tries'); RAISE 'again' USING ERRCODE = '40P01'; END $$"
    with pytest.raises(psycopg2.errors.DeadlockDetected):
        await small.run(query)
    assert_that(await small.run("SELECT last_value FROM tries"), equal_to([{"last_value": module.TRIES}]))


@pytest_twisted.ensureDeferred
async def test_two_transactions_in_a_deadlock_both_succeed(reactor, conninfo):
    quick = make_dsn(conninfo, options="-c deadlock_timeout=20ms")
    database = Database(reactor, quick, timeout=5, application_name="test", random=Random(1))
    database.startService()
    await database.run("CREATE TABLE counts AS SELECT id, 0 AS n FROM generate_series(1, 2) AS id")
    arrived = []
    both_arrived = Deferred()

    def increment(first, second):
        async def work(run):
            await run("UPDATE counts SET n = n + 1 WHERE id = %(id)s", {"id": first})
            arrived.append(first)
            if len(arrived) == 2:
                both_arrived.callback(None)
            elif not both_arrived.called:
                await both_arrived
            await run("UPDATE counts SET n = n + 1 WHERE id = %(id)s", {"id": second})

        return Deferred.fromCoroutine(database.transaction(work))

    await gatherResults([increment(1, 2), increment(2, 1)])
    assert_that(await database.run("SELECT sum(n) AS n FROM counts"), equal_to([{"n": 4}]))
    assert_that(len(arrived), equal_to(3))
    await database.stopService()


@pytest_twisted.ensureDeferred
async def test_a_caller_that_goes_away_leaves_its_statement_running_and_its_connection_sound(small):
    insert = asked(small, "INSERT INTO notes SELECT 'a' FROM pg_sleep(0.1)")
    failing = asked(small, "SELECT 1 / 0 FROM pg_sleep(0.1)")
    insert.cancel()
    with pytest.raises(CancelledError):
        await insert
    waiting = asked(small, "SELECT 1")
    failing.cancel()
    with pytest.raises(CancelledError):
        await failing
    await waiting
    assert_that(await notes(small), contains_exactly("a"))


@pytest_twisted.ensureDeferred
async def test_a_caller_that_goes_away_before_its_turn_sends_nothing(small):
    running = asked(small, "SELECT pg_sleep(0.1)")
    waiting = asked(small, "INSERT INTO notes VALUES ('a')")
    waiting.cancel()
    with pytest.raises(CancelledError):
        await waiting
    await running
    assert_that(await notes(small), has_length(0))


@pytest_twisted.ensureDeferred
async def test_a_transaction_whose_caller_goes_away_is_finished(small):
    async def both(run):
        await run("INSERT INTO notes SELECT 'a' FROM pg_sleep(0.05)")
        await run("INSERT INTO notes VALUES ('b')")

    change = Deferred.fromCoroutine(small.transaction(both))
    change.cancel()
    with pytest.raises(CancelledError):
        await change
    assert_that(await notes(small), contains_exactly("a", "b"))


@pytest_twisted.ensureDeferred
async def test_a_connection_left_inside_a_transaction_is_not_given_to_another(small):
    await small.run("BEGIN")
    assert_that(
        await small.run("SELECT now() = statement_timestamp() AS fresh"), contains_exactly(has_entries(fresh=True))
    )


@pytest_twisted.ensureDeferred
async def test_a_stop_waits_for_what_is_running_and_refuses_the_rest(small, database, conninfo):
    running = asked(small, "INSERT INTO notes SELECT 'a' FROM pg_sleep(0.2)")
    waiting = asked(small, "INSERT INTO notes VALUES ('b')")
    stopped = small.stopService()
    with pytest.raises(DatabaseDown):
        await waiting
    with pytest.raises(DatabaseDown):
        await small.run("SELECT 1")
    await stopped
    assert_that(running.called, is_(True))
    await running
    assert_that(await notes(database), contains_exactly("a"))
    rows = await database.run("SELECT FROM pg_stat_activity WHERE application_name = 'small' AND state <> 'idle'")
    assert_that(rows, has_length(0))
    assert_that(small.up, is_(False))


@pytest_twisted.ensureDeferred
async def test_a_stop_does_not_wait_long(reactor, database, monkeypatch):
    monkeypatch.setattr(module, "STOP_LIMIT", 0.1)
    running = asked(database, "SELECT pg_sleep(4)")
    started = reactor.seconds()
    await database.stopService()
    # Less than the statement takes.
    assert_that(reactor.seconds() - started, less_than(3.0))
    with pytest.raises(module.CommitUnknown):
        await running


@pytest_twisted.ensureDeferred
async def test_a_stopped_database_can_be_started_again(small):
    await small.stopService()
    small.startService()
    await small.ready()
    assert_that(await notes(small), has_length(0))


@pytest_twisted.ensureDeferred
async def test_the_first_attempt_to_connect_is_made_at_once_and_told(reactor, conninfo):
    database = Database(reactor, conninfo, timeout=5, application_name="test", random=Random(1))
    told = []
    database.on_change = lambda: told.append(database.up)
    up = database.when_up()
    database.startService()
    await up
    assert_that((database.up, database.reason), equal_to((True, "")))
    await database.stopService()
    assert_that(told, contains_exactly(True, False))


@pytest_twisted.ensureDeferred
async def test_who_no_longer_waits_for_the_database_is_forgotten(reactor, conninfo):
    database = Database(reactor, conninfo, timeout=5, application_name="test", random=Random(1))
    impatient = database.when_up()
    impatient.cancel()
    with pytest.raises(CancelledError):
        await impatient
    database.startService()
    await database.ready()
    await database.stopService()


@pytest_twisted.ensureDeferred
async def test_a_listener_that_fails_harms_nobody(reactor, conninfo, logged_failures):
    database = Database(reactor, conninfo, timeout=5, application_name="test", random=Random(1))
    database.on_change = lambda: 1 / 0
    database.startService()
    await database.ready()
    await database.stopService()
    assert_that(logged_failures.flush(), contains_exactly(*[instance_of(ZeroDivisionError)] * 2))


@pytest_twisted.ensureDeferred
async def test_the_server_itself_bounds_statements_locks_and_idle_transactions(small):
    names = "statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"
    values = [(await small.run(f"SHOW {name}"))[0][name] for name in names]
    assert_that(values, contains_exactly("450ms", "375ms", "1s"))


def test_options_of_the_operator_are_kept_and_ours_added():
    given = "postgresql://u:p@h:5433/d?options=-c%20search_path%3Dx&keepalives_idle=60&sslmode=require"
    dsn = parse_dsn(guarded_dsn(given, timeout=3, application_name="dialer a"))
    assert_that(dsn, has_entries(keepalives_idle="60", sslmode="require", password="p", application_name="dialer a"))
    assert_that(dsn["options"], contains_string("-c search_path=x -c statement_timeout=2700"))


def test_waits_between_attempts_grow_with_jitter_up_to_five_seconds():
    random = Random(1)
    assert_that(reconnect_delay(0, random), equal_to(0))
    for failures in range(1, 2000):
        longest = min(5, 0.1 * 2.0 ** min(failures - 1, 20))
        delay = reconnect_delay(failures, random)
        assert longest / 2 <= delay <= longest


def test_a_conninfo_that_libpq_does_not_understand_is_refused():
    assert_that(
        calling(guarded_dsn).with_args("host", timeout=3, application_name="x"), raises(psycopg2.ProgrammingError)
    )


@pytest_twisted.ensureDeferred
async def test_many_statements_at_once_keep_the_reactor_responsive(reactor, database):
    work = gatherResults([asked(database, "SELECT pg_sleep(0.01)") for _ in range(200)])
    turns = 0
    while not work.called:
        await deferLater(reactor, 0)
        turns += 1
    await work
    # Eight connections take 25 statements each, one after the other: others are served between any two.
    assert_that(turns, greater_than(25))


@pytest_twisted.async_yield_fixture
async def told(reactor, conninfo):
    """A Database of one connection, and the kinds of failures that it told."""
    kinds = []
    service = Database(
        reactor,
        conninfo,
        # A tenth of it is what the server's word of a statement that it has cancelled may take to arrive.
        timeout=3.0,
        size=1,
        application_name="told",
        random=Random(1),
        on_failure=kinds.append,
    )
    service.startService()
    await service.ready()
    yield service, kinds
    await service.stopService()


@pytest.mark.parametrize(
    ("statement", "kind"),
    [
        ("SELECT no_such_column", "refused"),
        ("SELECT pg_sleep(60)", "cancelled"),
        ("DO $$ BEGIN RAISE 'full' USING ERRCODE = '53100'; END $$", "unable"),
        ("SELECT pg_terminate_backend(pg_backend_pid())", "commit_unknown"),
    ],
)
@pytest_twisted.ensureDeferred
async def test_a_statement_that_is_not_served_is_told_with_its_kind(told, statement, kind):
    database, kinds = told
    with pytest.raises(Exception):  # noqa: B017, PT011  whichever it is, its kind is what matters
        await database.run(statement)
    assert_that(kinds, contains_exactly(kind))


@pytest_twisted.ensureDeferred
async def test_a_statement_that_is_served_is_told_to_nobody(told):
    database, kinds = told
    await database.run("SELECT 1")
    assert_that(kinds, contains_exactly())


@pytest_twisted.ensureDeferred
async def test_a_stopped_database_is_told_as_down(told):
    database, kinds = told
    await database.stopService()
    with pytest.raises(DatabaseDown):
        await database.run("SELECT 1")
    assert_that(kinds, contains_exactly("down"))


@pytest_twisted.ensureDeferred
async def test_the_pool_tells_what_is_idle_in_use_and_waited_for(small):
    assert_that(small.pool, equal_to(Pool(size=1, open=1, idle=1, waiting=0)))
    running = [asked(small, "SELECT pg_sleep(0.05)") for _ in range(3)]
    assert_that(small.pool, equal_to(Pool(size=1, open=1, idle=0, waiting=2)))
    await gatherResults(running)
    assert_that(small.pool, equal_to(Pool(size=1, open=1, idle=1, waiting=0)))
