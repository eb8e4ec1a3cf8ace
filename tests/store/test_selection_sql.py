"""The SQL that feeds the selection, held against the oracle of tests/test_selection.py on random tables."""

from __future__ import annotations

import json
from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest
import pytest_twisted
from hamcrest import assert_that, equal_to, greater_than

from dialer.contact import CampaignType
from dialer.store.database import Database
from dialer.store.queue import DEEP, QueueStore, Wanted
from tests.test_selection import NOW, simulate

BOTH = [CampaignType.IVR, CampaignType.AGENT]

INSERT = """
INSERT INTO contacts (id, customer_number, campaign_type, gateway_id, campaign_id, status,
                      received_time, start_time, end_time, hold_until)
SELECT id, customer_number, campaign_type, 'gw', campaign_id, status,
       received_time, start_time, end_time, hold_until
FROM json_populate_recordset(NULL::contacts, %(rows)s::json) WITH ORDINALITY ORDER BY ordinality
"""

END_CHATS = """
INSERT INTO outbox (contact_id, kind, customer_number, state)
SELECT 'someone', 'end_chat', number, state
FROM unnest(%(numbers)s::text[], %(states)s::text[]) AS chats (number, state)
"""


def random_table(random: Random, campaigns: int) -> list[dict[str, Any]]:
    now = datetime.now(UTC)

    def moment(*minutes: int | None) -> str | None:
        chosen = random.choice(minutes)
        return None if chosen is None else (now + timedelta(minutes=chosen)).isoformat()

    return [
        {
            "id": f"c{number}",
            "customer_number": f"+1555{random.randrange(12):04}",
            "campaign_type": random.choice(["IVR", "IVR", "AGENT"]),
            "campaign_id": f"campaign-{random.randrange(campaigns)}",
            "status": random.choice(["pending"] * 6 + ["agent_pending", "dialed", "ended", "stopped", "failed"]),
            "received_time": (now - timedelta(seconds=random.randrange(5))).isoformat(),
            "start_time": moment(None, None, None, -10, 10),
            "end_time": moment(None, None, None, -10, 10),
            "hold_until": moment(None, None, None, -10, 10),
        }
        for number in range(random.randrange(60))
    ]


@pytest.mark.parametrize("seed", range(25))
@pytest_twisted.ensureDeferred
async def test_what_the_store_chooses_is_what_the_oracle_chooses(database: Database, seed: int) -> None:
    random = Random(seed)
    table = random_table(random, campaigns=random.choice([1, 3, 8, 30]))
    chats = {f"+1555{random.randrange(12):04}": random.choice(["waiting", "delivered", "parked"]) for _ in range(3)}
    await database.run(INSERT, {"rows": as_json(table)})
    await database.run(END_CHATS, {"numbers": list(chats), "states": list(chats.values())})

    types = random.choice([BOTH, [CampaignType.IVR]])
    skip = {row["id"] for row in table if random.random() < random.choice([0, 0.3])}
    for slots, early, capacity in [(1, True, 20), (3, False, 5), (7, True, 7), (100, False, 100), (0, False, 1)]:
        chosen = await choose(database, Wanted(slots, capacity, types, early=early, skip=skip))
        expected = simulate(for_oracle(table, chats, types, skip), slots, early, capacity)
        assert_that(chosen, equal_to([contact["id"] for contact in expected]), f"{slots} {early} {capacity}")


async def choose(database: Database, wanted: Wanted) -> list[str]:
    return [contact.id for contact in await QueueStore(database, "me").choose(wanted)]


def as_json(rows: list[dict[str, Any]]) -> str:

    return json.dumps(rows)


def for_oracle(
    table: list[dict[str, Any]], chats: dict[str, str], types: list[CampaignType], skip: Collection[str]
) -> list[dict[str, Any]]:
    """The rows as the oracle knows them; what must not be taken for a reason it does not know is not there."""

    shift = NOW - datetime.now(UTC)

    def moved(text: str | None) -> datetime | None:
        return None if text is None else datetime.fromisoformat(text) + shift

    rows = []
    for arrival, row in enumerate(table):
        held = row["hold_until"] is not None and datetime.fromisoformat(row["hold_until"]) > datetime.now(UTC)
        chatting = chats.get(row["customer_number"]) == "waiting"
        left_out = held or chatting or row["campaign_type"] not in types or row["id"] in skip
        if row["status"] == "pending" and left_out:
            continue
        rows.append(
            {
                "id": row["id"],
                "campaign": row["campaign_id"],
                "status": row["status"],
                "received_time": moved(row["received_time"]),
                "arrival": arrival,
                "start_time": moved(row["start_time"]),
                "end_time": moved(row["end_time"]),
            }
        )
    return rows


@pytest_twisted.ensureDeferred
async def test_contacts_received_in_one_list_keep_the_order_of_the_list(database: Database) -> None:
    rows = [
        {"id": f"c{n:03}", "customer_number": "1", "campaign_type": "IVR", "campaign_id": "k", "status": "pending",
         "received_time": "2026-01-01T00:00:00Z"}
        for n in range(200)
    ]  # fmt: skip
    Random(3).shuffle(rows)
    await database.run(INSERT, {"rows": as_json(rows)})
    chosen = await choose(database, Wanted(150, 150, BOTH))
    assert_that(len(chosen), greater_than(100))
    assert_that(chosen, equal_to([row["id"] for row in rows[:150]]))


@pytest_twisted.ensureDeferred
async def test_dialers_that_ask_at_once_are_given_different_contacts_while_there_are_enough(database: Database) -> None:
    row = {"customer_number": "+15550001", "campaign_type": "IVR", "campaign_id": "k", "status": "pending"}
    received = datetime.now(UTC).isoformat()
    await database.run(
        INSERT, {"rows": as_json([row | {"id": f"c{n}", "received_time": received} for n in range(400)])}
    )

    alone = await choose(database, Wanted(40, 40, BOTH))
    given = [await choose(database, Wanted(40, 40, BOTH, share=(which, 4))) for which in range(4)]

    assert_that([len(each) for each in given], equal_to([40] * 4))
    # Of the first 160 each dialer's own are not just 40, so that some take a few of another's.
    assert_that(len(set().union(*given)), greater_than(130))
    assert_that(set(alone) - set().union(*given), equal_to(set()))


@pytest.mark.parametrize("deep", [DEEP, 80])
@pytest_twisted.ensureDeferred
async def test_dialers_that_empty_a_small_campaign_together_go_on_to_the_next(
    database: Database, deep: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second time they look only twice as deep as the shares are: what nobody sees must be left to nobody."""
    monkeypatch.setattr("dialer.store.queue.DEEP", deep)
    received = datetime.now(UTC).isoformat()
    rows = [
        {"id": f"{name}{n}", "customer_number": "+15550001", "campaign_type": "IVR", "campaign_id": name,
         "status": "pending", "received_time": received}
        for name, size in (("small", 80), ("big", 400)) for n in range(size)
    ]  # fmt: skip
    await database.run(INSERT, {"rows": as_json(rows)})

    given = [await choose(database, Wanted(40, 40, BOTH, share=(which, 4))) for which in range(4)]

    assert_that([len(each) for each in given], equal_to([40] * 4))
    # All want more than the small one has. Each has its part of both: were it all of the small one, they had 80.
    all_of_them = set().union(*given)
    assert_that(sum(each.startswith("small") for each in all_of_them), greater_than(70))
    if deep == DEEP:
        assert_that(len(all_of_them), greater_than(130))
