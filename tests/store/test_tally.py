"""The tally of contacts, held against the contacts themselves whatever is done to them."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
import pytest_twisted
from hamcrest import assert_that, contains_exactly, empty, equal_to, greater_than, has_length, is_
from twisted.internet.defer import Deferred, gatherResults

from dialer.contact import NewContact, Status
from dialer.store.campaigns import CampaignStore
from dialer.store.history import HistoryStore
from dialer.store.queue import QueueStore, Wanted
from dialer.store.tally import TallyStore
from tests.store.tables import BOTH, SWITCH, Tables, change, conninfo, one_database, tables

__all__ = ["conninfo", "one_database", "tables"]

sure = pytest_twisted.ensureDeferred

KEYS = "status, campaign_id, campaign_type, owner, call_result, lane, gateway_id, opens"

TRUTH = f"SELECT {KEYS}, count(*) AS contacts FROM tallied GROUP BY {KEYS} ORDER BY {KEYS}"
BELIEVED = (
    f"SELECT {KEYS}, sum(contacts) AS contacts FROM tally_now GROUP BY {KEYS} HAVING sum(contacts) <> 0 ORDER BY {KEYS}"
)
TOO_YOUNG = """
SELECT contacts.id FROM contacts
LEFT JOIN (SELECT lane, min(oldest) AS oldest, min(oldest_arrival) AS arrival FROM tally_now WHERE status = 'pending'
           GROUP BY lane) AS bound USING (lane)
WHERE contacts.status = 'pending' AND ((received_time, contacts.arrival) < (oldest, bound.arrival) OR oldest IS NULL)
"""
"""Pending contacts that would never be found: older than what their lane claims to be the oldest."""


async def check(tables: Tables) -> None:
    assert_that(await tables.run(BELIEVED), equal_to(await tables.run(TRUTH)))
    assert_that(await tables.run(TOO_YOUNG), empty())


def new(number: int, random: Random) -> NewContact:
    return NewContact(
        id=f"n{number}",
        customer_number=f"+1555{random.randrange(5)}",
        campaign_type=random.choice(BOTH),
        gateway_id=random.choice(["gw-1", "gw-2"]),
        campaign_id=random.choice("abc"),
    )


class Life:
    """Does things to contacts at random, as dialers and people with a database client do."""

    def __init__(self, tables: Tables, random: Random) -> None:
        self.tables = tables
        self.random = random
        self.number = 0

    async def begin(self) -> None:
        self.store = await self.tables.dialer()
        history = HistoryStore(self.tables.database, owner="me")
        self.campaigns = CampaignStore(self.tables.database, history)
        self.tally = TallyStore(self.tables.database)

    async def step(self) -> None:
        deeds = [self.post, self.take, self.settle, self.control, self.meddle, self.fold, self.take, self.settle]
        await self.random.choice(deeds)()

    async def post(self) -> None:
        count = self.random.randrange(1, 6)
        await self.store.add([new(self.number + n, self.random) for n in range(count)])
        self.number += count

    async def take(self) -> None:
        # Whoever asks has no active contact, so that however many were taken more are.
        wanted = Wanted(3, 9, BOTH, early=self.random.random() < 0.5)
        chosen = await QueueStore(self.tables.database, "nobody").choose(wanted)
        for contact in chosen:
            if contact.is_agent:
                await self.store.take_for_agent(contact)
            else:
                await self.store.take_for_call(contact, SWITCH)

    async def settle(self) -> None:
        changes = []
        for held in await self.store.held():
            to = self.random.choice([Status.ENDED, Status.FAILED, Status.PENDING])
            result = None if to is Status.PENDING else self.random.choice(["USER_BUSY", "NO_ANSWER"])
            if self.random.random() < 0.7:
                changes.append(change(held.contact, to, result))
        await self.store.apply(changes)

    async def control(self) -> None:
        await getattr(self.campaigns, self.random.choice(["start", "stop", "purge"]))(self.random.choice("abc"))

    async def meddle(self) -> None:
        await self.tables.run(
            self.random.choice(
                [
                    "UPDATE contacts SET hold_until = NULL",
                    "UPDATE contacts SET start_time = now() + interval '1 day' WHERE campaign_id = 'a'",
                    "UPDATE contacts SET gateway_id = 'gw-3' WHERE campaign_id = 'b'",
                    "UPDATE contacts SET received_time = now() - interval '1 hour' WHERE id LIKE '%%1'",
                    "DELETE FROM contacts WHERE id LIKE '%%7'",
                ]
            )
        )

    async def fold(self) -> None:
        await self.tally.fold(1)


@pytest.mark.parametrize("seed", range(12))
@sure
async def test_the_tally_is_that_of_the_contacts_after_whatever_was_done(tables: Tables, seed: int) -> None:
    life = Life(tables, Random(seed))
    await life.begin()
    for _ in range(30):
        await life.step()
        await check(tables)
    assert_that(life.number, greater_than(0))


@sure
async def test_folding_leaves_no_changes_behind_and_no_kinds_of_which_there_is_none(tables: Tables) -> None:
    store = await tables.dialer()
    contact = await tables.put()
    await store.take_for_call(contact, SWITCH)
    assert_that(await TallyStore(tables.database).fold(1), is_(3))
    assert_that(await tables.run("SELECT * FROM tally_changes"), empty())
    assert_that([row["status"] for row in await tables.run("SELECT status FROM tally")], contains_exactly("dialed"))
    await check(tables)


@sure
async def test_a_few_changes_are_not_worth_folding(tables: Tables) -> None:
    await tables.put("c1")
    await tables.put("c2")
    tally = TallyStore(tables.database)
    assert_that((await tally.fold(3), await tally.fold(2)), equal_to((0, 2)))


@sure
async def test_two_that_fold_at_once_fold_each_change_once(tables: Tables) -> None:
    for number in range(20):
        await tables.put(f"c{number}")
    folds = [Deferred.fromCoroutine(TallyStore(await tables.pool()).fold(1)) for _ in range(4)]
    assert_that(sum(await gatherResults(folds)), is_(20))
    await check(tables)


@sure
async def test_what_is_being_stored_while_others_fold_is_counted_by_the_next(tables: Tables) -> None:
    tally = TallyStore(tables.database)
    await tables.put("c1")

    async def meanwhile(run: Any) -> None:
        await run("INSERT INTO contacts (id, customer_number, campaign_type, gateway_id, campaign_id, received_time)"
                  " VALUES ('early', '1', 'IVR', 'gw', 'k', now() - interval '1 hour')")  # fmt: skip
        await tally.fold(1)

    await (await tables.pool()).transaction(meanwhile)
    await check(tables)
    assert_that(await tables.eligible(slots=1), contains_exactly("early"))


@sure
async def test_a_contact_that_comes_back_goes_to_the_head_of_its_campaign_again(tables: Tables) -> None:
    store = await tables.dialer()
    for number in range(5):
        await tables.put(f"c{number}")
    first = await tables.get("c0")
    taken = await store.take_for_call(first, SWITCH)
    assert taken is not None
    await TallyStore(tables.database).fold(1)
    assert_that(await tables.eligible(slots=1), contains_exactly("c1"))
    await store.apply([change(taken, Status.PENDING)])
    await tables.run("UPDATE contacts SET hold_until = NULL")
    assert_that(await tables.eligible(slots=1), contains_exactly("c0"))


@sure
async def test_what_was_counted_wrong_is_put_right(tables: Tables) -> None:
    await tables.run("ALTER TABLE contacts DISABLE TRIGGER USER")
    try:
        await tables.put("c1")
        await tables.put("c2", status="ended", call_result="USER_BUSY")
    finally:
        await tables.run("ALTER TABLE contacts ENABLE TRIGGER USER")
    tally = TallyStore(tables.database)
    assert_that(await tables.eligible(), empty())
    assert_that((await tally.mend(), await tally.mend()), equal_to((2, 0)))
    await check(tables)
    assert_that(await tables.eligible(), contains_exactly("c1"))


@sure
async def test_a_head_that_was_believed_too_young_is_put_right(tables: Tables) -> None:
    await tables.put("c1")
    tally = TallyStore(tables.database)
    await tally.fold(1)
    await tables.run("UPDATE tally SET oldest = now() + interval '1 hour'")
    assert_that(await tally.mend(), is_(1))
    await check(tables)


@sure
async def test_an_emptied_table_has_an_empty_tally(tables: Tables) -> None:
    await tables.put("c1")
    await TallyStore(tables.database).fold(1)
    await tables.put("c2")
    await tables.run("TRUNCATE contacts")
    assert_that(await tables.run("SELECT * FROM tally_now"), empty())


@sure
async def test_a_contact_that_opens_soon_is_not_counted_yet(tables: Tables) -> None:
    await tables.put("soon", campaign_id="b", start_time=30)
    await tables.put("open", campaign_id="a")
    await tables.put("open too", campaign_id="a")
    assert_that(await tables.eligible(), contains_exactly("open", "open too"))
    await tables.run("UPDATE contacts SET start_time = now() WHERE id = 'soon'")
    assert_that(await tables.eligible(), contains_exactly("soon", "open", "open too"))


@sure
async def test_campaigns_are_counted_by_the_tally(tables: Tables) -> None:
    await tables.put("c1")
    await tables.put("c2", status="ended", call_result="USER_BUSY")
    await TallyStore(tables.database).fold(1)
    await tables.put("c3", status="ended", call_result="USER_BUSY", campaign_type="AGENT")
    counts = await CampaignStore(tables.database, HistoryStore(tables.database, owner="me")).count()
    assert_that(counts, has_length(1))
    assert_that(
        (counts[0].total, counts[0].by_status, counts[0].by_call_result),
        equal_to((3, {"pending": 1, "ended": 2}, {"USER_BUSY": 2})),
    )


# -- what PostgreSQL knows of its tables -------------------------------------------------------------------------------


FILL = {
    "contacts": "INSERT INTO contacts (id, customer_number, campaign_type, gateway_id, campaign_id)"
    " SELECT 'c' || n, '1', 'IVR', 'gw', 'k' FROM generate_series(1, %(rows)s) AS n",
    "outbox": "INSERT INTO outbox (contact_id, kind, customer_number)"
    " SELECT 'c' || n, 'end_chat', '1' FROM generate_series(1, %(rows)s) AS n",
}
CHANGE = {
    "contacts": "UPDATE contacts SET priority = 1 WHERE substr(id, 2)::integer <= %(rows)s",
    "outbox": "UPDATE outbox SET attempts = 1 WHERE substr(contact_id, 2)::integer <= %(rows)s",
}
ANALYZED = "SELECT relname, analyze_count FROM pg_stat_user_tables WHERE schemaname = current_schema()"


async def counted(tables: Tables, statement: str, **params: Any) -> None:
    """Run a statement whose changes are known to the statistics when this is over."""

    async def work(run: Any) -> None:
        await run(statement, params)
        await run("SELECT pg_stat_force_next_flush()", {})

    await tables.database.transaction(work)


async def learnt(tables: Tables) -> set[str]:
    """The tables that are looked at now."""
    before = {row["relname"]: row["analyze_count"] for row in await tables.run(ANALYZED)}
    await TallyStore(tables.database).learn()
    return {row["relname"] for row in await tables.run(ANALYZED) if row["analyze_count"] > before[row["relname"]]}


@pytest.mark.parametrize("table", ["contacts", "outbox"])
@sure
async def test_a_table_that_changed_much_is_looked_at_once(tables: Tables, table: str) -> None:
    await tables.run("ANALYZE contacts, outbox, tally")
    await counted(tables, FILL[table], rows=1200)
    assert_that(await learnt(tables), equal_to({table}))
    (row,) = await tables.run("SELECT reltuples::integer AS rows FROM pg_class WHERE relname = %(table)s", table=table)
    assert_that(row["rows"], is_(1200))
    assert_that(await learnt(tables), empty())


@pytest.mark.parametrize("table", ["contacts", "outbox"])
@sure
async def test_a_table_that_changed_little_for_its_size_is_not_looked_at(tables: Tables, table: str) -> None:
    await tables.run("ANALYZE contacts, outbox, tally")
    await counted(tables, FILL[table], rows=400)
    assert_that(await learnt(tables), empty())
    await counted(tables, f"{FILL[table]} OFFSET 400", rows=4000)
    assert_that(await learnt(tables), equal_to({table}))
    await counted(tables, CHANGE[table], rows=2000)
    assert_that(await learnt(tables), empty())
    await counted(tables, CHANGE[table], rows=2000)
    assert_that(await learnt(tables), equal_to({table}))


@pytest.mark.parametrize(
    ("start", "eligible"), [("-infinity", True), ("infinity", False), ("70000-01-01", False), ("0099-01-01", True)]
)
@sure
async def test_times_that_only_another_program_writes_are_counted_too(
    tables: Tables, start: str, eligible: bool
) -> None:
    await tables.put("c1")
    await tables.run("UPDATE contacts SET start_time = %(start)s", start=start)
    await check(tables)
    # Not read as a contact: no datetime of Python's holds some of these times.
    (row,) = await tables.run("SELECT count(*) AS n FROM eligible")
    assert_that(row["n"], is_(int(eligible)))


@sure
async def test_a_fold_takes_a_bounded_number_of_changes(tables: Tables, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dialer.store.tally.FOLD_AT_ONCE", 2)
    for number in range(5):
        await tables.put(f"c{number}")
    tally = TallyStore(tables.database)
    assert_that([await tally.fold(1) for _ in range(4)], equal_to([2, 2, 1, 0]))
    await check(tables)


@sure
async def test_two_that_mend_at_once_put_a_mistake_right_once(tables: Tables) -> None:
    await tables.put("c1")
    await tables.run("INSERT INTO tally_changes SELECT * FROM tally_changes")
    mending = [Deferred.fromCoroutine(TallyStore(await tables.pool()).mend()) for _ in range(3)]
    assert_that(sorted(await gatherResults(mending)), equal_to([0, 0, 1]))
    await check(tables)


@sure
async def test_a_role_that_may_only_change_contacts_still_may(tables: Tables) -> None:
    await tables.put("c1")

    async def as_a_guest(run: Any) -> None:
        await run("CREATE ROLE guest")
        await run("GRANT SELECT, UPDATE ON contacts TO guest")
        await run("SET LOCAL ROLE guest")
        await run("SET LOCAL search_path = pg_catalog")
        await run("UPDATE public.contacts SET status = 'stopped'")
        await run("RESET ROLE")
        await run("DROP OWNED BY guest")
        await run("DROP ROLE guest")

    await tables.database.transaction(as_a_guest)
    await check(tables)
