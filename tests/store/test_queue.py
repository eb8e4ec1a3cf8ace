"""The choice of who is next, whatever the tally says of how old the oldest of each campaign are, and who is active."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest
import pytest_twisted
from hamcrest import assert_that, contains_exactly, equal_to, has_length, is_, less_than

from dialer.contact import CampaignType, Status
from dialer.store.queries import sql
from dialer.store.queue import QueueStore, Wanted
from dialer.store.tally import TallyStore
from tests.store.tables import BOTH, Tables, conninfo, one_database, tables
from tests.test_selection import simulate

__all__ = ["conninfo", "one_database", "tables"]

sure = pytest_twisted.ensureDeferred

INSERT = """
INSERT INTO contacts (id, customer_number, campaign_type, gateway_id, campaign_id, status, owner, received_time)
SELECT id, '1', 'IVR', 'gw', campaign_id, status, owner, received_time
FROM json_populate_recordset(NULL::contacts, %(rows)s::json) WITH ORDINALITY ORDER BY ordinality
"""
INTERLEAVED = """
INSERT INTO contacts (id, customer_number, campaign_type, gateway_id, campaign_id, received_time)
SELECT 'c' || n, '1', 'IVR', 'gw', 'k' || n %% %(campaigns)s, now() - interval '1 day' + n * interval '1 second'
FROM generate_series(1, %(contacts)s) AS n
"""


class Asked:
    """A database that tells how often it was asked each statement."""

    def __init__(self, tables: Tables) -> None:
        self._database = tables.database
        self.statements: list[str] = []

    async def run(self, query: str, params: Any) -> list[dict[str, Any]]:
        self.statements.append("queues" if query == sql("queues") else "heads")
        return await self._database.run(query, params)


@pytest.mark.parametrize("seed", range(15))
@sure
async def test_the_choice_is_the_oracles_whoever_is_active_and_whatever_is_gone_since_it_was_counted(
    tables: Tables, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    random = Random(seed)
    monkeypatch.setattr("dialer.store.queue.SPARE", random.choice([0, 1, 16]))
    names = random.choice([2, 5, 20, 45])
    now = datetime.now(UTC)
    rows = []
    for number in range(random.randrange(20, 200)):
        status = random.choice(["pending"] * 6 + ["dialed", "agent_pending"])
        rows.append(
            {
                "id": f"c{number}",
                "campaign_id": f"k{random.randrange(names):02}",
                "status": status,
                "owner": None if status == "pending" else random.choice(["me", "you"]),
                "received_time": (now - timedelta(seconds=random.randrange(random.choice([5, 600])))).isoformat(),
            }
        )
    await tables.run(INSERT, rows=json.dumps(rows))
    await TallyStore(tables.database).fold(1)
    gone = {row["id"] for row in rows if row["status"] == "pending" and random.random() < 0.4}
    await tables.run("DELETE FROM contacts WHERE id = ANY(%(gone)s)", gone=list(gone))
    left = [
        {
            "id": row["id"],
            "campaign": row["campaign_id"],
            "status": row["status"],
            "received_time": datetime.fromisoformat(str(row["received_time"])),
            "arrival": arrival,
            "start_time": None,
            "end_time": None,
        }
        for arrival, row in enumerate(rows)
        if row["id"] not in gone
    ]
    mine = sum(row["owner"] == "me" for row in rows)
    for free in (-1, 0, 1, 2, 3, 7, 20, 60, 300):
        for early in (False, True):
            capacity = mine + free
            chosen = await QueueStore(tables.database, "me").choose(Wanted(capacity, capacity, BOTH, early=early))
            expected = [contact["id"] for contact in simulate(left, free, early, capacity)]
            assert_that([contact.id for contact in chosen], equal_to(expected), f"{free} of {capacity}, {early}")


@pytest.mark.parametrize("early", [False, True])
@pytest.mark.parametrize("slots", [1, 10])
@sure
async def test_many_campaigns_that_are_younger_than_it_seemed_are_looked_at_a_few_times_not_one_by_one(
    tables: Tables, slots: int, early: bool
) -> None:
    campaigns = 300
    await tables.run(INTERLEAVED, campaigns=campaigns, contacts=2 * campaigns)
    await TallyStore(tables.database).fold(1)
    # The oldest of each; those that are left come in the order of their ages as before.
    await tables.run("DELETE FROM contacts WHERE substr(id, 2)::integer <= %(campaigns)s", campaigns=campaigns)
    asked = Asked(tables)
    wanted = Wanted(slots, 2 * campaigns if early else slots, BOTH, early=early)
    chosen = await QueueStore(asked, "me").choose(wanted)  # type: ignore[arg-type]
    assert_that([contact.id for contact in chosen], equal_to([f"c{campaigns + n}" for n in range(1, slots + 1)]))
    assert_that(asked.statements.count("queues"), less_than(5))
    assert_that(asked.statements.count("heads"), less_than(12))


@sure
async def test_a_choice_that_is_as_it_seemed_asks_twice(tables: Tables) -> None:
    await tables.run(INTERLEAVED, campaigns=3, contacts=30)
    asked = Asked(tables)
    chosen = await QueueStore(asked, "me").choose(Wanted(20, 20, BOTH))  # type: ignore[arg-type]
    assert_that(chosen, has_length(20))
    assert_that(asked.statements, contains_exactly("queues", "heads"))


@pytest.mark.parametrize("early", [False, True])
@sure
async def test_a_campaign_of_which_nothing_may_be_chosen_is_not_counted_among_them(tables: Tables, early: bool) -> None:
    await tables.put("a1", campaign_id="a")
    for number in range(5):
        await tables.put(f"b{number}", campaign_id="b")
    wanted = Wanted(2, 2, BOTH, early=early, skip={"a1"})
    chosen = await QueueStore(tables.database, "me").choose(wanted)
    assert_that([contact.id for contact in chosen], contains_exactly("b0", "b1"))


@pytest.mark.parametrize(("slots", "early"), [(1, False), (5, False), (40, False), (1, True), (5, True)])
@sure
async def test_campaigns_whose_oldest_are_younger_than_it_seemed_are_looked_at_until_the_order_is_sure(
    tables: Tables, slots: int, early: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half of the campaigns seem to be old, but what was old in them is gone."""
    monkeypatch.setattr("dialer.store.queue.SPARE", 0)
    random = Random(slots)
    ages = list(range(60))
    random.shuffle(ages)
    for number, age in enumerate(ages):
        await tables.run(
            "INSERT INTO contacts (id, customer_number, campaign_type, gateway_id, campaign_id, received_time)"
            " SELECT %(name)s || id, id, 'IVR', 'gw', %(name)s, now() - age * interval '1 hour'"
            " FROM (VALUES ('-young', %(age)s), ('-old', 100 + %(age)s)) AS each (id, age)",
            name=f"k{number:02}",
            age=age,
        )
    await TallyStore(tables.database).fold(1)
    await tables.run("DELETE FROM contacts WHERE id LIKE '%%-old' AND campaign_id > 'k30'")
    kept = {f"k{number:02}": age if number > 30 else 100 + age for number, age in enumerate(ages)}
    by_age = sorted(kept, key=lambda name: -kept[name])
    # Early, while there are more call slots than campaigns: the smaller campaigns first.
    by_size = sorted(kept, key=lambda name: (2 if name <= "k30" else 1, -kept[name]))
    wanted = Wanted(slots, 100 if early else 50, [CampaignType.IVR], early=early)
    chosen = [contact.campaign_id for contact in await QueueStore(tables.database, "me").choose(wanted)]
    assert_that(chosen, equal_to((by_size if early else by_age)[:slots]))


class Emptied:
    """A database in which others take some contacts right after the first question."""

    def __init__(self, tables: Tables, taken: list[str]) -> None:
        self._tables = tables
        self._taken = taken

    async def run(self, query: str, params: Any) -> list[dict[str, Any]]:
        rows = await self._tables.database.run(query, params)
        if self._taken:
            assert_that(query, is_(sql("queues")))
            await self._tables.run("DELETE FROM contacts WHERE id = ANY(%(taken)s)", taken=self._taken)
            self._taken = []
        return rows


@pytest.mark.parametrize(
    ("stored", "taken", "wanted", "expected"),
    [
        ("a1 b1 c1", "a1", Wanted(2, 2, BOTH), "b1 c1"),
        ("a1 b1 b2", "a1", Wanted(2, 2, BOTH), "b1 b2"),
        ("a1 b1 c1", "a1 b1", Wanted(1, 1, BOTH), "c1"),
        # There are fewer campaigns than slots now: not the oldest contact comes first, but the smallest campaign.
        ("a1 b1 b2 c1 c2 d1 e1 e2", "a1", Wanted(1, 5, BOTH, early=True), "d1"),
    ],
)
@sure
async def test_a_campaign_that_is_emptied_between_two_questions_is_left_out(
    tables: Tables, stored: str, taken: str, wanted: Wanted, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dialer.store.queue.SPARE", 0)
    for contact_id in stored.split():
        await tables.put(contact_id, campaign_id=contact_id[0])
    chosen = await QueueStore(Emptied(tables, taken.split()), "me").choose(wanted)  # type: ignore[arg-type]
    assert_that([contact.id for contact in chosen], equal_to(expected.split()))


@sure
async def test_what_was_learnt_of_campaigns_is_not_forgotten_when_more_of_them_are_asked_for(
    tables: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Two campaigns are asked for at first.
    monkeypatch.setattr("dialer.store.queue.SPARE", 0)
    for contact_id, minute in (("a1", 1), ("b1", 2), ("c1", 3), ("b2", 8), ("a2", 9)):
        await tables.put(contact_id, campaign_id=contact_id[0], received_time=f"2026-01-01T00:{minute:02}:00Z")
    await TallyStore(tables.database).fold(1)
    await tables.run("DELETE FROM contacts WHERE id IN ('a1', 'b1')")
    chosen = await QueueStore(tables.database, "me").choose(Wanted(1, 1, BOTH))
    assert_that([contact.id for contact in chosen], contains_exactly("c1"))


@pytest.mark.parametrize("early", [False, True])
@pytest.mark.parametrize("slots", [1, 5])
@sure
async def test_campaigns_of_the_same_size_and_age_go_by_their_id_in_an_early_cycle_else_by_arrival(
    tables: Tables, slots: int, early: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dialer.store.queue.SPARE", 0)
    await tables.run(
        "INSERT INTO contacts (id, customer_number, campaign_type, gateway_id, campaign_id)"
        " SELECT 'c' || n, '1', 'IVR', 'gw', 'k' || lpad(n::text, 2, '0') FROM generate_series(59, 0, -1) AS n"
    )
    chosen = await QueueStore(tables.database, "me").choose(Wanted(slots, 100, BOTH, early=early))
    first = range(slots) if early else range(59, 59 - slots, -1)
    assert_that([contact.campaign_id for contact in chosen], equal_to([f"k{n:02}" for n in first]))


@sure
async def test_a_locked_contact_that_is_to_be_skipped_does_not_hide_those_behind_it(tables: Tables) -> None:
    for number in range(3):
        await tables.put(f"c{number}")
    chosen = await QueueStore(tables.database, "me").choose(Wanted(1, 1, BOTH, skip={"c0"}))
    assert_that([contact.id for contact in chosen], contains_exactly("c1"))


@sure
async def test_a_campaign_whose_contacts_are_to_be_skipped_leaves_its_slots_to_others(tables: Tables) -> None:
    for number in range(3):
        await tables.put(f"small{number}", campaign_id="small")
    for number in range(5):
        await tables.put(f"large{number}", campaign_id="large")
    wanted = Wanted(4, 4, BOTH, skip={"small0", "small2"})
    chosen = await QueueStore(tables.database, "me").choose(wanted)
    assert_that([contact.id for contact in chosen], contains_exactly("small1", "large0", "large1", "large2"))


@sure
async def test_of_campaigns_of_the_same_size_the_one_with_the_oldest_contact_left_fills_the_slots(
    tables: Tables,
) -> None:
    for name, minutes in (("a", (1, 9, 9, 9)), ("b", (5, 8, 8))):
        for number, minute in enumerate(minutes):
            await tables.put(f"{name}{number}", campaign_id=name, received_time=f"2026-01-01T00:{minute:02}:00Z")
    await TallyStore(tables.database).fold(1)
    # The tally goes on to say that `a` has one which is older.
    await tables.run("DELETE FROM contacts WHERE id = 'a0'")
    chosen = await QueueStore(tables.database, "me").choose(Wanted(4, 4, BOTH))
    assert_that([contact.id for contact in chosen], contains_exactly("b0", "b1", "b2", "a1"))


@pytest.mark.parametrize("folded", [False, True])
@sure
async def test_the_active_contacts_of_a_dialer_take_its_slots_and_nobody_elses(tables: Tables, folded: bool) -> None:
    await tables.active("dialed")
    await tables.active("asked for", Status.AGENT_PENDING)
    await tables.active("another's", owner="you")
    for number in range(4):
        await tables.put(f"c{number}")
    if folded:
        await TallyStore(tables.database).fold(1)
    for owner in ("me", "you", "them"):
        active, _ = await (await tables.dialer(owner)).count_active()
        assert_that(active, is_({"me": 2, "you": 1}.get(owner, 0)))
    for owner, slots, free in (("me", 4, 2), ("you", 4, 3), ("them", 4, 4), ("me", 2, 0), ("me", 1, 0)):
        chosen = await QueueStore(tables.database, owner).choose(Wanted(slots, 4, BOTH))
        assert_that([contact.id for contact in chosen], equal_to([f"c{number}" for number in range(free)]))
