"""A campaign's contacts in pages, and what they ended as minute by minute, on a real PostgreSQL."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any

import pytest
import pytest_twisted
from hamcrest import assert_that, contains_string, empty, equal_to, has_length, is_, not_
from twisted.internet.task import Clock

from dialer.contact import Status
from dialer.outcomes import EVERY, MINUTES, OPEN, Outcomes
from dialer.store.database import Database
from dialer.store.listing import ListingStore
from dialer.store.outcomes import OutcomeStore, Span
from dialer.store.queries import sql
from tests.store import tables

sure = pytest_twisted.ensureDeferred
one_database = tables.one_database
conninfo = tables.conninfo

STATES = ["ended", "failed", "pending", "stopped", "dialed", "of old"]
RESULTS = ["NO_ANSWER", "USER_BUSY", None]


async def insert(database: Database, rows: Sequence[dict[str, Any]]) -> None:
    """Store these contacts, in this order."""
    await database.run("ALTER TABLE contacts DROP CONSTRAINT IF EXISTS contacts_status_known")
    await database.run(
        "INSERT INTO contacts (id, customer_number, campaign_type, gateway_id, campaign_id, status, call_result,"
        " ended_time) SELECT id, '+44', 'IVR', 'gw', campaign_id, status, call_result, ended_time"
        " FROM jsonb_to_recordset(%(rows)s::jsonb) AS row (id text, campaign_id text, status text, call_result text,"
        " ended_time timestamptz)",
        {"rows": json.dumps(list(rows))},
    )


def mixed(campaign_id: str = "k") -> list[dict[str, Any]]:
    """Contacts of every state and result, each several times, in no order."""
    kinds = list(product(STATES, RESULTS)) * 4
    return [
        {"id": f"{campaign_id}{n:03}", "campaign_id": campaign_id, "status": status, "call_result": result}
        for n, (status, result) in enumerate(kinds[::3] + kinds[1::3] + kinds[2::3])
    ]


async def all_pages(store: ListingStore, status: Status | None, result: str | None, limit: int) -> list[str]:
    """The ids on all pages."""
    found: list[str] = []
    after = 0
    while page := await store.page("k", status=status, result=result, limit=limit, after=after):
        assert_that(len(page) <= limit)
        found += [contact.id for contact in page]
        after = page[-1].arrival
    return found


@pytest.mark.parametrize("status", [None, Status.ENDED, Status.PENDING, Status.FAILED, Status.AGENT_PENDING])
@sure
async def test_all_pages_together_have_each_contact_that_is_asked_for_once_in_order_of_arrival(
    database: Database, status: Status | None
) -> None:
    rows = mixed()
    await insert(database, [*rows, *mixed("other")])
    store = ListingStore(database)
    over = ("ended", "failed")
    for result, limit in product(["NO_ANSWER", None, "NOT_THERE"], [1000, 7]):
        expected = [
            row["id"]
            for row in rows
            if (status is None or row["status"] == status)
            and (result is None or (row["call_result"] == result and row["status"] in over))
        ]
        assert_that(await all_pages(store, status, result, limit), equal_to(expected), f"{result} {limit}")


@sure
async def test_a_campaign_that_nobody_knows_has_no_page(database: Database) -> None:
    await insert(database, mixed())
    store = ListingStore(database)
    assert_that(await store.page("nobody", status=None, result=None, limit=10, after=0), empty())


@pytest.mark.parametrize(("status", "result"), [(None, None), ("ended", None), (None, "RARE"), ("stopped", None)])
@sure
async def test_a_page_is_read_from_ranges_of_one_index_however_many_contacts_there_are(
    database: Database, status: str | None, result: str | None
) -> None:
    many = [{"id": f"c{n}", "campaign_id": "k", "status": "ended", "call_result": "NO_ANSWER"} for n in range(3000)]
    rare = {"id": "rare", "campaign_id": "k", "status": "ended", "call_result": "RARE"}
    await insert(database, [*many, rare])
    await database.run("ANALYZE contacts")
    asked = {"campaign_id": "k", "status": status, "result": result, "limit": 10, "after": 0}
    rows = await database.run("EXPLAIN (ANALYZE, TIMING OFF, SUMMARY OFF) " + sql("campaign_contacts"), asked)
    plan = "\n".join(row["QUERY PLAN"] for row in rows)
    assert_that(plan, contains_string("contacts_by_kind"))
    assert_that(plan, not_(contains_string("Seq Scan")))
    # None of the rows that are not on the page was looked at.
    assert_that(plan, not_(contains_string("Rows Removed by Filter: 3")))
    assert_that(plan, not_(contains_string("rows=3000")))


class Counted(OutcomeStore):
    """Notes which minutes were counted."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.asked: list[int] = []

    async def count(self, *, oldest: int, latest: int) -> Span:
        self.asked += range(latest, oldest + 1)
        return await super().count(oldest=oldest, latest=latest)


async def ended(database: Database, *agos: tuple[float, str, str | None]) -> datetime:
    """Contacts that ended so many minutes before the middle of this minute, so and so; the minute."""
    (row,) = await database.run("SELECT date_trunc('minute', now()) AS minute")
    minute: datetime = row["minute"]
    rows = [
        {
            "id": f"c{n}",
            "campaign_id": f"k{n % 3}",
            "status": status,
            "call_result": result,
            "ended_time": (minute + timedelta(seconds=30) - timedelta(minutes=ago)).isoformat(),
        }
        for n, (ago, status, result) in enumerate(agos)
    ]
    await insert(database, rows)
    return minute


@sure
async def test_each_minute_of_the_last_hour_has_the_contacts_that_ended_in_it(database: Database) -> None:
    minute = await ended(
        database,
        (0, "ended", "NO_ANSWER"),
        (0, "ended", "NO_ANSWER"),
        (0, "failed", "Expired"),
        (1, "ended", "USER_BUSY"),
        (31, "ended", "NO_ANSWER"),
        (58, "ended", None),
        (61, "ended", "TOO_OLD"),
    )
    minutes = await Outcomes(Clock(), OutcomeStore(database)).last_hour()
    assert_that(minutes, has_length(MINUTES))
    found = {each.began.astimezone(UTC): dict(each.counts) for each in minutes if each.counts}
    # The minute may have gone on meanwhile; what ended keeps its own.
    expected = {
        minute: {"NO_ANSWER": 2, "Expired": 1},
        minute - timedelta(minutes=1): {"USER_BUSY": 1},
        minute - timedelta(minutes=31): {"NO_ANSWER": 1},
        minute - timedelta(minutes=58): {"": 1},
    }
    assert_that(found, equal_to({moment.astimezone(UTC): counts for moment, counts in expected.items()}))


@sure
async def test_a_minute_that_is_over_is_counted_once_and_nothing_is_counted_often(database: Database) -> None:
    clock, store = Clock(), Counted(database)
    outcomes = Outcomes(clock, store)
    await outcomes.last_hour()
    assert_that(sorted(set(store.asked)), equal_to(list(range(MINUTES))))
    store.asked.clear()
    await outcomes.last_hour()
    assert_that(store.asked, empty())
    clock.advance(EVERY)
    before = await outcomes.last_hour()
    # A minute that went by meanwhile is one more.
    assert_that(set(store.asked) <= set(range(OPEN + 1)), is_(True))
    store.asked.clear()
    await ended(database, (0, "ended", "LATE"))
    clock.advance(EVERY)
    assert_that(await outcomes.last_hour(), not_(equal_to(before)))
