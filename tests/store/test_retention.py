"""What is old enough is removed, page by page, and nothing else: the SQL on a real PostgreSQL."""

from __future__ import annotations

from typing import Any

import pytest
import pytest_twisted
from hamcrest import assert_that, contains_exactly, empty, equal_to, has_properties, is_, not_none
from twisted.internet.defer import gatherResults

from dialer.store import retention as module
from dialer.store.retention import Page, RetentionStore
from tests.store.tables import Held, Tables, at_once, conninfo, one_database, tables

__all__ = ["conninfo", "one_database", "tables"]

sure = pytest_twisted.ensureDeferred

DAYS = 30.0

MESSAGE = """
INSERT INTO outbox (contact_id, kind, customer_number, call_result, state, created_time, delivered_time)
SELECT %(contact)s, %(kind)s, '+1', CASE %(kind)s WHEN 'notification' THEN 'NO_ANSWER' END, %(state)s,
       now() - %(created)s * interval '1 day', now() - %(delivered)s * interval '1 day'
"""


async def over(tables: Tables, contact_id: str, days: float, status: str = "ended") -> None:
    """A contact that ended so many days ago."""
    await tables.put(contact_id, status=status, call_result="NO_ANSWER")
    await tables.run(
        "UPDATE contacts SET ended_time = now() - %(days)s * interval '1 day' WHERE id = %(id)s",
        days=days,
        id=contact_id,
    )


async def message(
    tables: Tables,
    contact: str = "c1",
    state: str = "delivered",
    *,
    created: float = 31,
    delivered: float | None = None,
    kind: str = "notification",
) -> None:
    """A message of so many days ago; a delivered one was so at once unless said otherwise."""
    if state == "delivered" and delivered is None:
        delivered = created
    await tables.run(MESSAGE, contact=contact, state=state, created=created, delivered=delivered, kind=kind)


async def messages(tables: Tables) -> list[str]:
    return [row["contact_id"] for row in await tables.run("SELECT contact_id FROM outbox ORDER BY id")]


async def to_the_end(remove: Any) -> list[int]:
    """How many rows each page removed."""
    page: Page = await remove(DAYS)
    removed = [page.removed]
    while page.end is not None:
        page = await remove(DAYS, page.end)
        removed.append(page.removed)
    return removed


# -- contacts ----------------------------------------------------------------------------------------------------------


@sure
async def test_contacts_that_ended_or_failed_long_ago_go_and_younger_ones_stay(tables: Tables) -> None:
    await over(tables, "old", 30.01)
    await over(tables, "failed", 400, "failed")
    await over(tables, "young", 29.99)
    await over(tables, "new", 0, "failed")
    assert_that(await RetentionStore(tables.database).contacts(DAYS), equal_to(Page(2)))
    assert_that(await tables.ids(), contains_exactly("young", "new"))


@sure
async def test_an_age_may_be_a_fraction_of_a_day(tables: Tables) -> None:
    await over(tables, "old", 0.3)
    await over(tables, "young", 0.2)
    await RetentionStore(tables.database).contacts(0.25)
    assert_that(await tables.ids(), contains_exactly("young"))


@pytest.mark.parametrize("status", ["pending", "stopped", "agent_pending", "dialed"])
@sure
async def test_a_contact_that_is_not_over_stays_however_old(tables: Tables, status: str) -> None:
    await tables.put(status=status)
    await tables.run("UPDATE contacts SET received_time = now() - interval '9 years', dial_time = received_time")
    await RetentionStore(tables.database).contacts(DAYS)
    assert_that(await tables.ids(), contains_exactly("c1"))


@pytest.mark.parametrize(
    ("state", "kind"), [("waiting", "notification"), ("waiting", "end_chat"), ("parked", "notification")]
)
@sure
async def test_a_contact_stays_while_the_vc_lacks_one_of_its_messages(tables: Tables, state: str, kind: str) -> None:
    store = RetentionStore(tables.database)
    await over(tables, "c1", 31)
    await message(tables, state=state, kind=kind)
    await message(tables)
    assert_that(await to_the_end(store.contacts), equal_to([0]))
    await tables.run("UPDATE outbox SET state = 'delivered', delivered_time = now()")
    assert_that(await to_the_end(store.contacts), equal_to([1]))


@sure
async def test_an_end_chat_that_was_parked_long_ago_keeps_nothing_and_goes(tables: Tables) -> None:
    store = RetentionStore(tables.database)
    await over(tables, "c1", 31)
    await message(tables, state="parked", kind="end_chat")
    await message(tables, "c2", state="parked", kind="end_chat", created=29)
    assert_that(await to_the_end(store.contacts), equal_to([1]))
    assert_that(await to_the_end(store.messages), equal_to([1]))
    assert_that(await messages(tables), contains_exactly("c2"))


@sure
async def test_pages_are_bounded_and_begin_with_the_longest_over(
    tables: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PAGE", 2)
    store = RetentionStore(tables.database)
    for days in (31, 35, 33, 34, 32):
        await over(tables, f"c{days}", days)
    first = await store.contacts(DAYS)
    assert_that(first, has_properties(removed=2, end=not_none()))
    assert_that(await tables.ids(), contains_exactly("c31", "c33", "c32"))
    assert_that(await to_the_end(store.contacts), equal_to([2, 1]))
    assert_that(await tables.ids(), is_(empty()))


@sure
async def test_what_stays_is_passed_over_and_of_those_that_ended_together_none_is_missed(
    tables: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PAGE", 2)
    for number in range(7):
        await over(tables, f"c{number}", 31)
    await tables.run("UPDATE contacts SET ended_time = now() - interval '31 days'")
    for number in (0, 1, 2, 5):
        await message(tables, f"c{number}", "parked")
    assert_that(await to_the_end(RetentionStore(tables.database).contacts), equal_to([0, 1, 1, 1]))
    assert_that(await tables.ids(), contains_exactly("c0", "c1", "c2", "c5"))


# -- delivered messages ------------------------------------------------------------------------------------------------


@sure
async def test_messages_delivered_long_ago_go_and_others_stay(tables: Tables) -> None:
    await message(tables, "parked", "parked")
    await message(tables, "old")
    await message(tables, "waiting", "waiting")
    await message(tables, "older", created=400)
    await message(tables, "sent-again", created=31, delivered=1)
    await message(tables, "young", created=29.9)
    assert_that(await RetentionStore(tables.database).messages(DAYS), equal_to(Page(2)))
    assert_that(await messages(tables), contains_exactly("parked", "waiting", "sent-again", "young"))


@sure
async def test_pages_of_messages_pass_over_what_stays_and_end_where_the_younger_ones_begin(
    tables: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PAGE", 2)
    for state in ["parked"] * 3 + ["delivered"] * 4:
        await message(tables, state, state)
    for _ in range(5):
        await message(tables, "young", created=1)
    # Two, one, two, one beside the first of the young; the other young ones are not looked at.
    assert_that(await to_the_end(RetentionStore(tables.database).messages), equal_to([0, 1, 2, 1]))
    assert_that(await messages(tables), contains_exactly(*["parked"] * 3, *["young"] * 5))


@sure
async def test_a_last_page_that_is_full_has_an_empty_one_behind_it(
    tables: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PAGE", 2)
    store = RetentionStore(tables.database)
    await over(tables, "c1", 31)
    await over(tables, "c2", 31)
    await message(tables)
    await message(tables)
    assert_that(await to_the_end(store.contacts), equal_to([2, 0]))
    assert_that(await to_the_end(store.messages), equal_to([2, 0]))


# -- several at once ---------------------------------------------------------------------------------------------------


@sure
async def test_several_dialers_at_the_same_rows_remove_each_once(
    tables: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PAGE", 10)
    for number in range(100):
        await over(tables, f"c{number}", 31)
        await message(tables, f"c{number}")
    stores = [RetentionStore(await tables.pool()) for _ in range(3)]
    for removes in ([store.contacts for store in stores], [store.messages for store in stores]):
        removed = await gatherResults([at_once(lambda remove=remove: to_the_end(remove)) for remove in removes])
        assert_that(sum(map(sum, removed)), is_(100))
    assert_that((await tables.ids(), await messages(tables)), is_(([], [])))


@sure
async def test_rows_that_another_transaction_holds_are_not_waited_for(tables: Tables) -> None:
    store = RetentionStore(tables.database)
    for name in ("c1", "c2"):
        await over(tables, name, 31)
        await message(tables, name)
    for kind, table, key in ((store.contacts, "contacts", "id"), (store.messages, "outbox", "contact_id")):
        held = Held(await tables.pool(), f"SELECT FROM {table} WHERE {key} = 'c1' FOR UPDATE")
        await held.locked
        assert_that(await kind(DAYS), equal_to(Page(1)))
        await held.commit()
        assert_that(await kind(DAYS), equal_to(Page(1)))


# -- histories ---------------------------------------------------------------------------------------------------------


async def event(tables: Tables, contact_id: str, days: float) -> None:
    """A line of a history of so many days ago."""
    await tables.run(
        "INSERT INTO contact_events (contact_id, taking, at, event)"
        " VALUES (%(id)s, 1, now() - %(days)s * interval '1 day', 'taken')",
        id=contact_id,
        days=days,
    )


@sure
async def test_old_lines_of_histories_go_page_by_page_and_younger_ones_stay(
    tables: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PAGE", 1)
    for number in range(15):
        await event(tables, f"old {number}", 30.01)
    await event(tables, "young", 29.99)
    assert_that(await to_the_end(RetentionStore(tables.database).events), equal_to([10, 5]))
    assert_that(await tables.run("SELECT contact_id FROM contact_events"), contains_exactly({"contact_id": "young"}))


@sure
async def test_what_was_done_to_a_campaign_long_ago_goes_too(tables: Tables) -> None:
    await tables.run(
        "INSERT INTO campaign_controls (campaign_id, control, contacts, at)"
        " VALUES ('old', 'stop', 1, now() - interval '31 days'), ('young', 'stop', 1, now() - interval '29 days')"
    )
    await RetentionStore(tables.database).events(DAYS)
    assert_that(
        await tables.run("SELECT campaign_id FROM campaign_controls"), contains_exactly({"campaign_id": "young"})
    )
