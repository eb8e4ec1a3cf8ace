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
    instance_of,
    is_,
    less_than,
    not_,
)
from twisted.internet.defer import Deferred

from dialer.contact import CampaignType
from dialer.store import link
from dialer.store.database import Database, DatabaseDown
from dialer.store.queries import Prepared, sql
from dialer.store.queue import QueueStore, Wanted
from tests.store.tables import Held
from tests.waiting import until

NOTES = Prepared("notes", "SELECT text FROM notes WHERE text LIKE %(like)s || '%%' AND text <> ALL(%(but)s::text[])")
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


async def texts(database: Database, like: str = "", but: tuple[str, ...] = ()) -> list[str]:
    return [row["text"] for row in await database.run(NOTES, {"like": like, "but": list(but)})]


def test_a_prepared_statement_is_its_text_with_numbers_and_the_same_parameters_in_their_order() -> None:
    statement = Prepared("two", "SELECT %(b)s::int, 7 %% %(a)s::int, %(b)s")
    assert_that(statement, equal_to("SELECT %(b)s::int, 7 %% %(a)s::int, %(b)s"))
    assert_that(statement.preparing, equal_to("PREPARE two AS SELECT $1::int, 7 % $2::int, $1"))
    assert_that(statement.asking, equal_to("EXECUTE two (%(b)s, %(a)s)"))
    assert_that(Prepared("now", "SELECT now()").asking, equal_to("EXECUTE now"))


def test_what_selection_asks_is_prepared() -> None:
    for name in ("queues", "heads"):
        assert_that(sql(name), instance_of(Prepared))
        assert_that(sql(name).splitlines()[0], equal_to("-- +prepared"))
    assert_that(sql("take"), not_(instance_of(Prepared)))


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
    for _ in range(2):
        assert_that(await texts(single, "a"), contains_exactly("a"))
    assert_that(await backend(single), equal_to(pid))


@pytest_twisted.ensureDeferred
async def test_one_that_is_known_already_is_answered_too(single: Database) -> None:
    await single.run("PREPARE notes AS SELECT 'another' AS text")
    for _ in range(2):
        assert_that(await texts(single, "a"), contains_exactly("a"))


@pytest_twisted.ensureDeferred
async def test_an_error_of_the_statement_is_its_own_and_it_stays_prepared(single: Database) -> None:
    with pytest.raises(psycopg2.errors.InvalidTextRepresentation):
        await single.run(NOTES, {"like": "", "but": "no list"})
    assert_that(await texts(single, "a"), contains_exactly("a"))
    assert_that(await plans(single), has_entries(notes=(1, 0)))


@pytest_twisted.ensureDeferred
async def test_a_transaction_in_which_it_is_no_longer_known_fails_and_the_next_succeeds(single: Database) -> None:
    await texts(single)
    await single.run("DEALLOCATE ALL")

    async def work(run: Any) -> list[dict[str, Any]]:
        await run("INSERT INTO notes VALUES ('z')")
        return list(await run(NOTES, {"like": "z", "but": []}))

    with pytest.raises(psycopg2.errors.InvalidSqlStatementName):
        await single.transaction(work)
    assert_that(await texts(single, "z"), equal_to([]))
    assert_that(await single.transaction(work), equal_to([{"text": "z"}]))


@pytest_twisted.ensureDeferred
async def test_a_connection_lost_before_it_was_asked_leaves_nothing_unknown(
    reactor: Any, single: Database, database: Database
) -> None:
    pid = await backend(single)
    held = Held(database, "LOCK TABLE notes IN ACCESS EXCLUSIVE MODE")
    await held.locked
    asked = Deferred.fromCoroutine(single.run(NOTES, NONE))
    # It waits for the lock as soon as it is to be made known.
    locks = "SELECT pid FROM pg_locks WHERE pid = %(pid)s AND NOT granted"
    await until(reactor, lambda: database.run(locks, {"pid": pid}), "waiting for the lock")
    await database.run("SELECT pg_terminate_backend(%(pid)s)", {"pid": pid})
    with pytest.raises(DatabaseDown):
        await asked
    await held.commit()
    assert_that(await texts(single, "a"), contains_exactly("a"))
    assert_that(await plans(single), equal_to({"notes": (1, 0)}))


@pytest_twisted.ensureDeferred
async def test_a_migration_under_a_running_dialer_costs_it_no_plan(single: Database) -> None:
    await single.run(PENDING, {"campaigns": 2, "contacts": 4})
    store, wanted = QueueStore(single), Wanted(3, 5, [CampaignType.IVR])
    before = await store.choose(wanted)
    assert_that([contact.id for contact in before], contains_exactly("c2", "c4", "c1"))
    await single.run("ALTER TABLE contacts ADD COLUMN attempt integer NOT NULL DEFAULT 1")
    await single.run("CREATE OR REPLACE VIEW eligible AS SELECT * FROM contacts WHERE status = 'pending'")
    assert_that(await store.choose(wanted), equal_to(before))
    assert_that(await plans(single), equal_to({"queues": (2, 0), "heads": (4, 0)}))


def looked_at(plan: dict[str, Any]) -> Iterator[float]:
    """Rows that each node of a plan gave, and that it threw away."""
    removed = sum(rows for name, rows in plan.items() if name.startswith("Rows Removed"))
    yield (plan["Actual Rows"] + removed) * plan["Actual Loops"]
    for each in plan.get("Plans", ()):
        yield from looked_at(each)


@pytest.mark.parametrize("early", [False, True])
@pytest_twisted.ensureDeferred
async def test_a_plan_made_for_empty_tables_is_made_anew_before_long(
    single: Database, early: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    campaigns, contacts, slots = 400, 20_000, 100
    wanted = Wanted(slots, campaigns + slots, [CampaignType.IVR], early=early)
    await single.run(PENDING, {"campaigns": 1, "contacts": 1})
    await QueueStore(single).choose(wanted)
    await single.run("DELETE FROM contacts")
    await single.run(PENDING, {"campaigns": campaigns, "contacts": contacts})
    await single.run(ONE_OF_EACH_ACTIVE)

    monkeypatch.setattr(link, "PLAN_AGE", 0.0)
    asked: dict[str, Any] = {"types": ["IVR"], "avoid": [], "slots": slots, "capacity": wanted.capacity}
    asked |= {"early": early, "limit": 2 * slots}
    first = await single.run(sql("queues"), asked)
    assert_that([row["busy"] for row in first], equal_to([early] * (2 * slots)))
    heads = {"campaigns": [row["campaign_id"] for row in first[:slots]], "counts": [2] * slots, "skip": []}
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
