"""Statements that each connection plans once."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from random import Random
from typing import Any

import psycopg2.errors
import pytest
import pytest_twisted
from hamcrest import (
    assert_that,
    contains_exactly,
    equal_to,
    greater_than,
    has_entries,
    has_key,
    instance_of,
    is_,
    less_than,
    not_,
)
from twisted.internet.defer import Deferred

from dialer.contact import CampaignType
from dialer.store.database import CommitUnknown, Database, DatabaseDown
from dialer.store.queries import Prepared, sql
from dialer.store.queue import QueueStore, Wanted
from dialer.store.tally import TallyStore
from tests.store.tables import Held
from tests.waiting import until

NOTES = Prepared(
    "notes", "SELECT text FROM notes WHERE text LIKE %(like)s::text || '%%' AND text <> ALL(%(but)s::text[])"
)
OUTBOX = """
INSERT INTO outbox (contact_id, kind, customer_number, call_result, state)
SELECT 'c' || n, 'notification', n::text, 'BUSY', CASE WHEN n > %(delivered)s THEN 'waiting' ELSE 'delivered' END
FROM generate_series(1, %(messages)s) AS n
"""
LEASE = """
INSERT INTO dialers (id, instance, lease_until)
VALUES ('me', '00000000-0000-0000-0000-000000000001', now() + interval '1 hour')
"""
LOCKS = "SELECT pid FROM pg_locks WHERE pid = %(pid)s AND NOT granted"
NONE: dict[str, Any] = {"like": "", "but": []}

PENDING = """
INSERT INTO contacts (id, customer_number, campaign_type, gateway_id, campaign_id)
SELECT 'c' || n, n::text, 'IVR', 'gw', 'k' || n %% %(campaigns)s FROM generate_series(1, %(contacts)s) AS n
"""
ONE_OF_EACH_ACTIVE = """
UPDATE contacts SET status = 'dialed', owner = 'me', dial_time = now()
WHERE id IN (SELECT min(id) FROM contacts GROUP BY campaign_id)
"""


@pytest_twisted.async_yield_fixture
async def single(reactor: Any, conninfo: str) -> AsyncIterator[Database]:
    """A Database of one connection."""
    service = Database(reactor, conninfo, timeout=3, size=1, application_name="single", random=Random(1))
    service.startService()
    await service.ready()
    await service.run("CREATE TABLE notes (text varchar(10) PRIMARY KEY)")
    await service.run("INSERT INTO notes VALUES ('a'), ('b%c'), ('it''s')")
    yield service
    await service.stopService()


async def plans(database: Database) -> dict[str, tuple[int, int]]:
    """How often each statement that its connection knows was asked by the kept plan, and by one of its own."""
    rows = await database.run("SELECT name, generic_plans, custom_plans FROM pg_prepared_statements")
    return {row["name"]: (row["generic_plans"], row["custom_plans"]) for row in rows}


async def backend(database: Database) -> int:
    ((pid,),) = [row.values() for row in await database.run("SELECT pg_backend_pid()")]
    return int(pid)


async def learnt(database: Database) -> None:
    """Have PostgreSQL look at what has changed much, as a running dialer does."""
    # What a session did is counted a second later otherwise.
    await database.run("SELECT pg_stat_force_next_flush()")
    await TallyStore(database).learn()


async def texts(database: Database, like: str = "", but: tuple[str, ...] = ()) -> list[str]:
    return [row["text"] for row in await database.run(NOTES, {"like": like, "but": list(but)})]


def test_a_prepared_statement_is_its_text_with_numbers_and_the_same_parameters_in_their_order() -> None:
    text = "SELECT %(b)s, 7 %% %(a)s::int, %(b)s::double precision, %(b)s::text, %(c)s::text[]"
    statement = Prepared("three", text)
    assert_that(statement, equal_to(text))
    assert_that(
        statement.preparing,
        equal_to(
            "PREPARE three (double precision, int, text[]) AS"
            " SELECT $1, 7 % $2::int, $1::double precision, $1::text, $3::text[]"
        ),
    )
    assert_that(statement.asking, equal_to("EXECUTE three (%(b)s::double precision, %(a)s::int, %(c)s::text[])"))
    assert_that(Prepared("now", "SELECT now()").asking, equal_to("EXECUTE now"))


def test_a_parameter_without_a_type_is_refused() -> None:
    with pytest.raises(ValueError, match="two: no type of b, c"):
        Prepared("two", "SELECT %(a)s::int, %(b)s, %(c)s")


def test_what_each_call_asks_is_prepared() -> None:
    for name in (
        "queues", "heads", "take", "dial_agent", "mark_answered", "finish", "outbox_claim",
        "outbox_delivered", "add_events", "insert_contacts",
    ):  # fmt: skip
        assert_that(sql(name), instance_of(Prepared))
        assert_that(sql(name).splitlines()[0], equal_to("-- +prepared"))
    assert_that(sql("contact"), not_(instance_of(Prepared)))


@pytest_twisted.ensureDeferred
async def test_it_is_planned_once_for_all_values(single: Database) -> None:
    assert_that(await texts(single), contains_exactly("a", "b%c", "it's"))
    assert_that(await texts(single, "b%"), contains_exactly("b%c"))
    assert_that(await texts(single, but=("it's", "a")), contains_exactly("b%c"))
    for _ in range(5):
        assert_that(await texts(single, "x"), equal_to([]))
    assert_that(await plans(single), equal_to({"notes": (8, 0)}))


@pytest_twisted.ensureDeferred
async def test_it_may_be_one_of_a_transaction(single: Database) -> None:
    async def work(run: Any) -> list[dict[str, Any]]:
        await run("INSERT INTO notes VALUES ('z')")
        return list(await run(NOTES, {"like": "z", "but": []}))

    assert_that(await single.transaction(work), equal_to([{"text": "z"}]))
    assert_that(await texts(single, "z"), contains_exactly("z"))
    assert_that(await plans(single), equal_to({"notes": (2, 0)}))


@pytest.mark.parametrize(
    "change",
    [
        "ALTER TABLE notes ALTER COLUMN text TYPE varchar(20)",  # cached plan must not change result type
        "DEALLOCATE ALL",
        "DISCARD PLANS",
    ],
)
@pytest_twisted.ensureDeferred
async def test_it_is_answered_whatever_became_of_its_plan(single: Database, change: str) -> None:
    await texts(single)
    pid = await backend(single)
    await single.run(change)
    for _ in range(3):
        assert_that(await texts(single, "a"), contains_exactly("a"))
    assert_that(await backend(single), equal_to(pid))
    assert_that(await plans(single), has_key("notes"))


@pytest_twisted.ensureDeferred
async def test_one_that_is_known_already_is_answered_too(single: Database) -> None:
    await single.run("PREPARE notes AS SELECT 'another' AS text")
    for _ in range(2):
        assert_that(await texts(single, "a"), contains_exactly("a"))
    assert_that(await plans(single), equal_to({"notes": (1, 0)}))


@pytest_twisted.ensureDeferred
async def test_an_error_of_the_statement_is_its_own_and_it_stays_prepared(single: Database) -> None:
    with pytest.raises(psycopg2.errors.InvalidTextRepresentation):
        await single.run(NOTES, {"like": "", "but": "no list"})
    assert_that(await texts(single, "a"), contains_exactly("a"))
    assert_that(await plans(single), has_entries(notes=(1, 0)))


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ("ALTER TABLE notes ALTER COLUMN text TYPE varchar(20)", psycopg2.errors.FeatureNotSupported),
        ("DEALLOCATE ALL", psycopg2.errors.InvalidSqlStatementName),
    ],
)
@pytest_twisted.ensureDeferred
async def test_a_transaction_in_which_it_is_no_longer_known_fails_and_the_next_succeeds(
    single: Database, change: str, error: type[Exception]
) -> None:
    await texts(single)
    await single.run(change)

    async def work(run: Any) -> list[dict[str, Any]]:
        await run("INSERT INTO notes VALUES ('z')")
        return list(await run(NOTES, {"like": "z", "but": []}))

    with pytest.raises(error):
        await single.transaction(work)
    assert_that(await single.transaction(work), equal_to([{"text": "z"}]))
    assert_that(await texts(single, "z"), contains_exactly("z"))


@pytest_twisted.ensureDeferred
async def test_a_connection_lost_before_it_was_asked_leaves_nothing_unknown(
    reactor: Any, single: Database, database: Database
) -> None:
    pid = await backend(single)
    held = Held(database, "LOCK TABLE notes IN ACCESS EXCLUSIVE MODE")
    await held.locked
    asked = Deferred.fromCoroutine(single.run(NOTES, NONE))
    # It waits for the lock as soon as it is to be made known.
    await until(reactor, lambda: database.run(LOCKS, {"pid": pid}), "waiting for the lock")
    await database.run("SELECT pg_terminate_backend(%(pid)s)", {"pid": pid})
    with pytest.raises(DatabaseDown):
        await asked
    await held.commit()
    assert_that(await texts(single, "a"), contains_exactly("a"))
    assert_that(await plans(single), equal_to({"notes": (1, 0)}))


@pytest_twisted.ensureDeferred
async def test_a_connection_lost_after_it_was_asked_leaves_open_what_became_of_it(
    reactor: Any, single: Database, database: Database
) -> None:
    adding = Prepared("adding", "INSERT INTO notes VALUES (%(text)s::text)")
    await single.run(adding, {"text": "first"})
    pid = await backend(single)
    held = Held(database, "INSERT INTO notes VALUES ('y')")
    await held.locked
    asked = Deferred.fromCoroutine(single.run(adding, {"text": "y"}))
    await until(reactor, lambda: database.run(LOCKS, {"pid": pid}), "waiting for the lock")
    await database.run("SELECT pg_terminate_backend(%(pid)s)", {"pid": pid})
    with pytest.raises(CommitUnknown):
        await asked
    await held.commit()


@pytest_twisted.ensureDeferred
async def test_a_migration_under_a_running_dialer_costs_it_no_plan(single: Database) -> None:
    await single.run(PENDING, {"campaigns": 2, "contacts": 4})
    store, wanted = QueueStore(single, "me"), Wanted(3, 5, [CampaignType.IVR])
    before = await store.choose(wanted)
    assert_that([contact.id for contact in before], contains_exactly("c2", "c4", "c1"))
    await single.run("ALTER TABLE contacts ADD COLUMN attempt integer NOT NULL DEFAULT 1")
    await single.run("CREATE OR REPLACE VIEW eligible AS SELECT * FROM contacts WHERE status = 'pending'")
    assert_that(await store.choose(wanted), equal_to(before))
    assert_that(await plans(single), equal_to({"queues": (2, 0), "heads": (2, 0)}))


def looked_at(plan: dict[str, Any]) -> Iterator[float]:
    """Rows that each node of a plan gave, and that it threw away."""
    removed = sum(rows for name, rows in plan.items() if name.startswith("Rows Removed"))
    yield (plan["Actual Rows"] + removed) * plan["Actual Loops"]
    for each in plan.get("Plans", ()):
        yield from looked_at(each)


@pytest.mark.parametrize("early", [False, True])
@pytest_twisted.ensureDeferred
async def test_a_plan_made_for_empty_tables_is_made_anew_once_postgresql_has_looked_at_them(
    single: Database, early: bool
) -> None:
    campaigns, contacts, slots = 400, 20_000, 100
    wanted = Wanted(slots, campaigns + slots, [CampaignType.IVR], early=early)
    await single.run(PENDING, {"campaigns": 1, "contacts": 1})
    await QueueStore(single, "me").choose(wanted)
    await single.run("DELETE FROM contacts")
    await single.run(PENDING, {"campaigns": campaigns, "contacts": contacts})
    await single.run(ONE_OF_EACH_ACTIVE)
    await learnt(single)

    asked: dict[str, Any] = {"types": ["IVR"], "avoid": [], "slots": slots, "capacity": wanted.capacity}
    asked |= {"owner": "nobody", "skip": [], "early": early, "times": 1, "spare": 0}
    first = await single.run(sql("queues"), asked)
    assert_that([row["busy"] for row in first], equal_to([early] * (2 * slots)))
    heads = {"campaigns": [row["campaign_id"] for row in first[:slots]], "counts": [2] * slots}
    chosen = await single.run(sql("heads"), asked | heads)
    assert_that(len(chosen), equal_to(2 * slots))

    for name, given in (("queues", asked), ("heads", asked | heads)):
        statement = sql(name)
        assert isinstance(statement, Prepared)
        (row,) = await single.run(f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) {statement.asking}", given)
        nodes = list(looked_at(row["QUERY PLAN"][0]["Plan"]))
        # Each node of the plan has a few rows for each campaign; none has all contacts, or each campaign with each.
        assert_that(max(nodes), is_(greater_than(slots)))
        assert_that(max(nodes), is_(less_than(5 * campaigns)), name)


@pytest.mark.parametrize("webhooks", [False, True])
@pytest_twisted.ensureDeferred
async def test_what_each_call_asks_looks_at_few_rows_of_full_tables(single: Database, webhooks: bool) -> None:
    contacts, active, one = 20_000, 50, 50
    await single.run(LEASE)
    await single.run(PENDING, {"campaigns": 10, "contacts": contacts})
    await single.run("UPDATE contacts SET status = 'dialed', owner = 'me' WHERE arrival <= %(n)s", {"n": active})
    await single.run(OUTBOX, {"delivered": contacts - one, "messages": contacts})
    await learnt(single)
    waiting = [f"c{number}" for number in range(active + 1, active + 1 + one)]
    dialed = [f"c{number}" for number in range(1, active + 1)]
    (last,) = await single.run("SELECT max(id) AS id FROM outbox")
    me = {"owner": "me", "instance": "00000000-0000-0000-0000-000000000001"}
    told = {"result_webhook": True, "webhook_hosts": ["hooks:443"]}
    asked: dict[str, dict[str, Any]] = {
        "take": {
            "ids": waiting,
            "takings": [0] * one,
            "arrivals": list(range(active + 1, active + 1 + one)),
            "statuses": ["dialed"] * one,
            "switches": ["pbx:8021"] * one,
        },
        "mark_answered": {"ids": dialed, "takings": [0] * one, "agos": [None] * one},
        "finish": {
            "ids": dialed,
            "takings": [0] * one,
            "from_statuses": ["dialed"] * one,
            "to_statuses": ["ended"] * one,
            "results": ["BUSY"] * one,
            "end_chats": [False] * one,
            "agents": [None] * one,
            "answered_agos": [None] * one,
            "room": one,
            "claim_time": 30.0,
        },
        "outbox_claim": {"end_chat_lifetime": 60.0, "stale_limit": one, "limit": one, "claim_time": 30.0},
        "outbox_delivered": {"ids": list(range(last["id"] - one, last["id"]))},
    }
    for name, given in asked.items():
        statement = sql(name, webhooks=webhooks)
        assert isinstance(statement, Prepared)
        await single.run(statement.preparing)
        (row,) = await single.run(f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) {statement.asking}", given | me | told)
        nodes = list(looked_at(row["QUERY PLAN"][0]["Plan"]))
        # As many as it is about, and at most each of these with each.
        assert_that(max(nodes), is_(greater_than(one - 1)), name)
        assert_that(max(nodes), is_(less_than(2 * one * one)), name)
