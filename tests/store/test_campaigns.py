"""Campaigns as their contacts show them, and start, stop and purge, on a real PostgreSQL."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from math import ceil
from typing import Any

import pytest
import pytest_twisted
from hamcrest import assert_that, contains_exactly, empty, equal_to, has_entries, has_properties, is_, none, not_none

from dialer.contact import Status
from dialer.store import campaigns as campaigns_module
from dialer.store.campaigns import CampaignCount, CampaignStore
from dialer.store.database import Database, DatabaseDown
from dialer.store.history import HistoryStore
from dialer.store.queries import sql
from tests.store.tables import SWITCH, Held, Tables, at_once, change, conninfo, one_database, tables

__all__ = ["conninfo", "one_database", "tables"]

sure = pytest_twisted.ensureDeferred

CONTROLS = ["start", "stop", "purge"]


def campaigns(tables: Tables, database: Any = None) -> CampaignStore:
    return CampaignStore(database or tables.database, HistoryStore(tables.database, owner="me"))


async def one_of_each(tables: Tables, campaign_id: str = "k") -> None:
    """A contact of a campaign in every state, its id being that state's name."""
    for status in (Status.PENDING, Status.STOPPED, Status.ENDED, Status.FAILED):
        await tables.put(status, campaign_id=campaign_id, status=status)
    for status in (Status.DIALED, Status.AGENT_PENDING):
        await tables.active(status, status, campaign_id=campaign_id)


async def states(tables: Tables) -> dict[str, Any]:
    """Each contact's state, with what its return will become if that is not pending."""
    rows = await tables.run("SELECT id, concat_ws(' ', status, on_return) AS state FROM contacts")
    return {row["id"]: row["state"] for row in rows}


AS_THEY_WERE = {
    "pending": "pending",
    "stopped": "stopped",
    "ended": "ended",
    "failed": "failed",
    "dialed": "dialed",
    "agent_pending": "agent_pending",
}


# -- counting ----------------------------------------------------------------------------------------------------------


@sure
async def test_a_campaign_is_counted_by_status_and_by_result(tables: Tables) -> None:
    await one_of_each(tables)
    await tables.put("e1", status="ended", call_result="USER_BUSY")
    await tables.put("e2", status="ended", call_result="USER_BUSY")
    await tables.put("f1", status="failed", call_result="USER_BUSY")
    await tables.put("p1", campaign_id="other")
    (count,) = await campaigns(tables).count("k")
    by_status = {"pending": 1, "stopped": 1, "ended": 3, "failed": 2, "dialed": 1, "agent_pending": 1}
    assert_that(count, equal_to(CampaignCount("k", 9, by_status, {"USER_BUSY": 3})))


@sure
async def test_all_campaigns_are_counted_by_id(tables: Tables) -> None:
    for contact_id, campaign_id in [("c1", "k2"), ("c2", "k1"), ("c3", "k2")]:
        await tables.put(contact_id, campaign_id=campaign_id)
    counts = await campaigns(tables).count()
    assert_that([(count.campaign_id, count.total) for count in counts], contains_exactly(("k1", 1), ("k2", 2)))


@sure
async def test_a_campaign_without_contacts_is_not_counted(tables: Tables) -> None:
    assert_that(await campaigns(tables).count("unknown"), empty())
    assert_that(await campaigns(tables).count(), empty())


# -- the controls ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("control", CONTROLS)
@sure
async def test_a_campaign_without_any_contact_is_unknown_to_every_control(tables: Tables, control: str) -> None:
    await tables.put(campaign_id="other")
    assert_that(await getattr(campaigns(tables), control)("k"), none())


@pytest.mark.parametrize("control", CONTROLS)
@pytest.mark.parametrize("status", [Status.ENDED, Status.FAILED])
@sure
async def test_a_campaign_that_is_over_is_known_but_nothing_changes(
    tables: Tables, control: str, status: Status
) -> None:
    contact = await tables.put(status=status)
    assert_that(await getattr(campaigns(tables), control)("k"), is_(0))
    assert_that(await tables.get(), equal_to(contact))


@pytest.mark.parametrize("control", CONTROLS)
@sure
async def test_other_campaigns_are_left_alone(tables: Tables, control: str) -> None:
    await tables.put("mine", status="stopped" if control == "start" else "pending")
    await one_of_each(tables, "other")
    assert_that(await getattr(campaigns(tables), control)("k"), is_(1))
    assert_that(await states(tables), has_entries(AS_THEY_WERE))


@sure
async def test_a_stop_stops_what_waits_and_marks_what_is_under_way(tables: Tables) -> None:
    await one_of_each(tables)
    assert_that(await campaigns(tables).stop("k"), is_(1))
    marked = {"pending": "stopped", "dialed": "dialed stop", "agent_pending": "agent_pending stop"}
    assert_that(await states(tables), equal_to(AS_THEY_WERE | marked))
    assert_that(await campaigns(tables).stop("k"), is_(0))


@sure
async def test_a_start_brings_back_what_was_stopped_and_takes_back_the_marks(tables: Tables) -> None:
    await one_of_each(tables)
    await campaigns(tables).stop("k")
    assert_that(await campaigns(tables).start("k"), is_(2))
    assert_that(await states(tables), equal_to(AS_THEY_WERE | {"stopped": "pending"}))
    assert_that(await campaigns(tables).start("k"), is_(0))


@sure
async def test_a_purge_removes_what_waits_and_marks_what_is_under_way(tables: Tables) -> None:
    await one_of_each(tables)
    assert_that(await campaigns(tables).purge("k"), is_(1))
    left = {status: state for status, state in AS_THEY_WERE.items() if status != "pending"}
    marked = {"dialed": "dialed purge", "agent_pending": "agent_pending purge"}
    assert_that(await states(tables), equal_to(left | marked))
    assert_that(await campaigns(tables).purge("k"), is_(0))


@sure
async def test_a_purge_of_the_last_contacts_counts_them_and_then_the_campaign_is_unknown(tables: Tables) -> None:
    await tables.put("c1")
    await tables.put("c2")
    assert_that(await campaigns(tables).purge("k"), is_(2))
    assert_that(await campaigns(tables).purge("k"), none())


@sure
async def test_a_purge_is_not_forgotten_by_a_later_stop_or_start(tables: Tables) -> None:
    await tables.active()
    await campaigns(tables).purge("k")
    await campaigns(tables).stop("k")
    await campaigns(tables).start("k")
    assert_that(await states(tables), equal_to({"c1": "dialed purge"}))


@sure
async def test_a_mark_does_not_outlive_the_call_it_was_made_in(tables: Tables) -> None:
    store = await tables.dialer()
    await campaigns_stopped_and_returned(tables)
    assert_that(await campaigns(tables).start("k"), is_(1))
    await tables.run("UPDATE contacts SET hold_until = NULL")
    taken = await store.take_for_call(await tables.get(), SWITCH)
    assert taken is not None
    assert_that(await store.apply([change(taken, Status.PENDING)]), equal_to({("c1", 2): "pending"}))


async def campaigns_stopped_and_returned(tables: Tables) -> None:
    contact = await tables.active()
    await campaigns(tables).stop("k")
    back = await tables.dialer("another")
    await back.apply([change(contact, Status.PENDING)])
    assert_that((await tables.get()).status, is_(Status.STOPPED))


@sure
async def test_a_stopped_campaign_is_not_dialed_and_a_started_one_is(tables: Tables) -> None:
    store = await tables.dialer()
    contact = await tables.put()
    await campaigns(tables).stop("k")
    assert_that(await store.take_for_call(contact, SWITCH), none())
    await campaigns(tables).start("k")
    assert_that(await store.take_for_call(contact, SWITCH), not_none())


# -- at the same time as a taking or a return --------------------------------------------------------------------------

TAKE = "UPDATE contacts SET status = 'dialed', taking = taking + 1, owner = 'me', on_return = NULL WHERE id = 'c1'"
RETURN = "UPDATE contacts SET status = 'pending', owner = NULL, on_return = NULL WHERE id = 'c1'"


@pytest.mark.parametrize(("control", "mark"), [("stop", "stop"), ("purge", "purge")])
@sure
async def test_a_control_that_waits_for_a_contact_being_taken_marks_it(tables: Tables, control: str, mark: str) -> None:
    await tables.put()
    taking = Held(await tables.pool(), TAKE)
    await taking.locked
    controlling = at_once(lambda: getattr(campaigns(tables), control)("k"))
    await tables.until_waiting()
    await taking.commit()
    assert_that(await controlling, is_(0))
    assert_that(await states(tables), equal_to({"c1": f"dialed {mark}"}))


@sure
async def test_a_stop_that_waits_for_a_contact_coming_back_stops_it(tables: Tables) -> None:
    await tables.active()
    returning = Held(await tables.pool(), RETURN)
    await returning.locked
    stopping = at_once(lambda: campaigns(tables).stop("k"))
    await tables.until_waiting()
    await returning.commit()
    assert_that(await stopping, is_(1))
    assert_that(await states(tables), equal_to({"c1": "stopped"}))


@sure
async def test_a_purge_while_a_contact_comes_back_removes_it_or_has_it_removed(tables: Tables) -> None:
    await tables.active("c1")
    await tables.put("c2")  # what the purge waits for, so that the return is committed in the midst of it
    pool = await tables.pool()
    returning = Held(pool, RETURN)
    await returning.locked
    in_the_way = Held(pool, "UPDATE contacts SET priority = 1 WHERE id = 'c2'")
    await in_the_way.locked
    purging = at_once(lambda: campaigns(tables).purge("k"))
    await tables.until_waiting()
    await returning.commit()
    await in_the_way.commit()
    await purging
    assert_that(await states(tables), empty())


@sure
async def test_a_take_that_meets_a_stop_takes_nothing(tables: Tables) -> None:
    store = await tables.dialer()
    contact = await tables.put()
    stopping = Held(await tables.pool(), "UPDATE contacts SET status = 'stopped' WHERE id = 'c1'")
    await stopping.locked
    assert_that(await store.take_for_call(contact, SWITCH), none())
    await stopping.commit()
    assert_that(await tables.get(), has_properties(status=Status.STOPPED, taking=0))


# -- in parts ----------------------------------------------------------------------------------------------------------

IN_PARTS = pytest.mark.parametrize(
    ("control", "before", "after"),
    [("stop", "pending", "stopped"), ("start", "stopped", "pending"), ("purge", "pending", None)],
)


class Between:
    """The database, and what somebody else does to it after each part of a control."""

    def __init__(self, database: Database, meanwhile: Callable[[int], Awaitable[Any]]) -> None:
        self._database = database
        self._meanwhile = meanwhile
        self.parts = 0

    async def run(self, query: str, params: Any = None) -> list[dict[str, Any]]:
        return await self._then(query, await self._database.run(query, params))

    async def transaction(self, work: Any) -> Any:
        return await self._then("", await self._database.transaction(work))

    async def _then(self, query: str, result: Any) -> Any:
        if query != sql("campaign_parts"):
            self.parts += 1
            await self._meanwhile(self.parts)
        return result


@pytest.fixture
def three_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(campaigns_module, "AT_ONCE", 3)


@IN_PARTS
@pytest.mark.parametrize("contacts", [1, 2, 3, 4, 6, 8])
@pytest.mark.usefixtures("three_at_once")
@sure
async def test_a_large_campaign_is_changed_in_parts_that_add_up(
    tables: Tables, contacts: int, control: str, before: str, after: str | None
) -> None:
    await one_of_each(tables, "other")
    for number in range(contacts):
        await tables.put(f"c{number}", status=before)
        if number % 2:
            await tables.put(f"between {number}", campaign_id="other")
    nothing = Between(tables.database, lambda _: tables.run("SELECT 1"))
    assert_that(await getattr(campaigns(tables, nothing), control)("k"), is_(contacts))
    left = await tables.run("SELECT status, count(*) AS n FROM contacts WHERE campaign_id = 'k' GROUP BY status")
    assert_that(left, equal_to([{"status": after, "n": contacts}] if after else []))
    assert_that(await states(tables), has_entries(AS_THEY_WERE))
    assert_that(nothing.parts, is_(ceil(contacts / 3)))


@IN_PARTS
@pytest.mark.usefixtures("three_at_once")
@sure
async def test_contacts_received_after_a_control_began_are_left_alone(
    tables: Tables, control: str, before: str, after: str | None
) -> None:
    for number in range(4):
        await tables.put(f"c{number}", status=before)

    async def arrive(part: int) -> None:
        await tables.put(f"later {part}", status=before)

    database: Any = Between(tables.database, arrive)
    assert_that(await getattr(campaigns(tables, database), control)("k"), is_(4))
    later = {contact_id: state for contact_id, state in (await states(tables)).items() if "later" in contact_id}
    assert_that(later, equal_to({"later 1": before, "later 2": before}))


@pytest.mark.parametrize("control", ["stop", "purge"])
@pytest.mark.usefixtures("three_at_once")
@sure
async def test_a_contact_taken_between_two_parts_is_marked_and_one_that_came_back_is_changed(
    tables: Tables, control: str
) -> None:
    for number in range(4):
        await tables.put(f"c{number}")
    await tables.active("c4")

    async def move(part: int) -> None:
        if part == 1:
            await tables.run("UPDATE contacts SET status = 'dialed', owner = 'me', taking = 1 WHERE id = 'c3'")
            await tables.run("UPDATE contacts SET status = 'pending', owner = NULL WHERE id = 'c4'")

    database: Any = Between(tables.database, move)
    assert_that(await getattr(campaigns(tables, database), control)("k"), is_(4))
    found = await states(tables)
    assert_that(found["c3"], is_(f"dialed {control}"))
    assert_that(found.get("c4", "removed"), is_("stopped" if control == "stop" else "removed"))


@pytest.mark.parametrize("control", ["stop", "purge"])
@pytest.mark.usefixtures("three_at_once")
@sure
async def test_a_contact_that_comes_back_after_its_part_was_marked_obeys(tables: Tables, control: str) -> None:
    contact = await tables.active("c0")
    for number in range(1, 5):
        await tables.put(f"c{number}")
    store = await tables.dialer()
    became: list[Any] = []

    async def come_back(part: int) -> None:
        if part == 1:
            became.append(await store.apply([change(contact, Status.PENDING)]))

    database: Any = Between(tables.database, come_back)
    assert_that(await getattr(campaigns(tables, database), control)("k"), is_(4))
    assert_that(became, contains_exactly({("c0", 1): "stopped" if control == "stop" else "removed"}))


@pytest.mark.usefixtures("three_at_once")
@sure
async def test_what_failed_between_two_parts_is_finished_by_asking_again(tables: Tables) -> None:
    for number in range(7):
        await tables.put(f"c{number}")

    async def fail(part: int) -> None:
        if part == 2:
            raise DatabaseDown("down")

    database: Any = Between(tables.database, fail)
    with pytest.raises(DatabaseDown):
        await campaigns(tables, database).stop("k")
    assert_that(await campaigns(tables).stop("k"), is_(1))
    assert_that(set((await states(tables)).values()), equal_to({"stopped"}))


@pytest.mark.parametrize(("control", "before"), [("start", "stopped"), ("stop", "pending"), ("purge", "pending")])
@sure
async def test_a_control_is_told_in_the_history_of_what_it_found(tables: Tables, control: str, before: str) -> None:
    await tables.put("c1", status=before)
    await tables.put("c2", status="ended")
    await getattr(campaigns(tables), control)("k")
    await tables.put("c3")
    history = HistoryStore(tables.database, owner="you")
    told = [(each.event, each.dialer, each.detail) for each in await history.of("c2")]
    assert_that(told, equal_to([("received", None, "for campaign k"), (f"campaign_{control}", "me", "1 contacts")]))
    assert_that([each.event for each in await history.of("c3")], equal_to(["received"]))
