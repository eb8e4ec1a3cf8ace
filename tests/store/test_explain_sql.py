"""What the database tells about why contacts wait, held against a plain look at each contact."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest
import pytest_twisted
from hamcrest import assert_that, contains_inanyorder, equal_to, greater_than, is_

from dialer.facts import Holding, Queue, Why
from dialer.store.explain import ExplainStore
from tests.store.tables import SWITCH, Tables, conninfo, one_database, tables
from tests.store.test_selection_sql import END_CHATS, INSERT, random_table

__all__ = ["conninfo", "one_database", "tables"]

sure = pytest_twisted.ensureDeferred


def why(row: dict[str, Any], chatting: set[str], now: datetime) -> Why:
    """The first thing that keeps a pending contact from being taken."""

    def moment(name: str) -> datetime | None:
        return None if row[name] is None else datetime.fromisoformat(row[name])

    start, end, hold = moment("start_time"), moment("end_time"), moment("hold_until")
    if start is not None and start > now + timedelta(minutes=30):
        return Why.OPENING  # beyond this quarter of an hour it is not looked at any closer
    if end is not None and end < now:
        return Why.EXPIRED
    if start is not None and start > now:
        return Why.OPENING
    if hold is not None and hold > now:
        return Why.HELD
    return Why.CHATTING if row["customer_number"] in chatting else Why.OPEN


def counted(queue: Queue) -> Counter[tuple[str, Why]]:
    counts: Counter[tuple[str, Why]] = Counter()
    for each in queue.waiting:
        counts[each.campaign_type, each.why] += each.contacts
    return counts


@pytest.mark.parametrize("seed", range(4))
@sure
async def test_each_pending_contact_counts_once_with_what_keeps_it_from_being_taken(tables: Tables, seed: int) -> None:
    random = Random(seed)
    rows = random_table(random, campaigns=4)
    for row in rows:
        # Whether one that opens in ten minutes does so in this quarter of an hour is a matter of when this runs.
        if row["start_time"] is not None and datetime.fromisoformat(row["start_time"]) > datetime.now(UTC):
            row["start_time"] = (datetime.now(UTC) + timedelta(hours=2)).isoformat()
    numbers = [f"+1555{number:04}" for number in range(4)]
    states = ["waiting", "waiting", "delivered", "parked"]
    await tables.run(INSERT, rows=json.dumps(rows))
    await tables.run(END_CHATS, numbers=numbers, states=states)
    chatting = {number for number, state in zip(numbers, states, strict=True) if state == "waiting"}
    now = datetime.now(UTC)
    for campaign in (None, *sorted({row["campaign_id"] for row in rows})):
        standing = await ExplainStore(tables.database).standing(campaign)
        ours = [row for row in rows if campaign in (None, row["campaign_id"])]
        pending = [row for row in ours if row["status"] == "pending"]
        expected = Counter((row["campaign_type"], why(row, chatting, now)) for row in pending)
        assert_that(counted(standing.queue), equal_to(expected))
        statuses = Counter(row["status"] for row in ours)
        if campaign is None:
            statuses = Counter({each: n for each, n in statuses.items() if each not in ("ended", "failed")})
        assert_that(Counter(standing.contacts), equal_to(statuses))


@sure
async def test_it_is_told_when_the_next_contact_opens_of_all_and_of_one_campaign(tables: Tables) -> None:
    for number, (campaign, hours) in enumerate([("a", 2), ("a", 1), ("a", 5), ("b", 3)]):
        await tables.put(f"c{number}", campaign_id=campaign, start_time=hours * 3600)
    store = ExplainStore(tables.database)
    first, other = (await tables.get("c1")).start_time, (await tables.get("c3")).start_time
    assert_that((await store.standing()).queue.first(Why.OPENING), equal_to(first))
    assert_that((await store.standing("a")).queue.first(Why.OPENING), equal_to(first))
    assert_that((await store.standing("b")).queue.first(Why.OPENING), equal_to(other))
    assert_that((await store.standing("a")).queue.contacts(Why.OPENING), is_(3))


@sure
async def test_one_that_opens_within_moments_is_told_to_the_second(tables: Tables) -> None:
    soon = (await tables.put("c1", start_time=5)).start_time
    queue = (await ExplainStore(tables.database).standing()).queue
    assert_that((queue.contacts(Why.OPENING), queue.first(Why.OPENING)), equal_to((1, soon)))


@sure
async def test_slots_are_told_by_dialer_and_campaign_also_when_one_campaign_is_asked_about(tables: Tables) -> None:
    me, other = await tables.dialer("me"), await tables.dialer("other")
    for number, (dialer, campaign) in enumerate([(me, "a"), (me, "a"), (me, "b"), (other, "b")]):
        await dialer.take_for_call(await tables.put(f"c{number}", campaign_id=campaign), SWITCH)
    await me.take_for_agent(await tables.put("c9", campaign_id="a", campaign_type="AGENT"))
    for campaign in (None, "b"):
        standing = await ExplainStore(tables.database).standing(campaign)
        assert_that(
            standing.holdings,
            contains_inanyorder(
                Holding("me", "a", 2), Holding("me", "b", 1), Holding("other", "b", 1), Holding("me", "a", 1, True)
            ),
        )


@sure
async def test_of_a_campaign_that_nobody_knows_there_is_nothing(tables: Tables) -> None:
    await tables.put("c1", campaign_id="a")
    store = ExplainStore(tables.database)
    assert_that(dict((await store.standing("nobody")).contacts), equal_to({}))
    assert_that((await store.standing("a")).contacts["pending"], is_(greater_than(0)))
