"""What a dialer does every so often, by itself, and who dies in the middle of it: it is done later, and once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import uuid4

import pytest
import pytest_twisted
from attrs import frozen
from hamcrest import assert_that, equal_to, has_length, is_

from dialer.happenings import Seen
from dialer.sandbox.efswitch import Rule, Rules
from tests.process.crossroads import Crossroads
from tests.process.dying import Dies, killed_or_cut
from tests.process.points import Point, committed, named, unsent
from tests.service import shared
from tests.service.world import ivr

sure = pytest_twisted.ensureDeferred
logged_failures = shared.logged_failures

PAST = "2020-01-01T00:00:00Z"
LATER = "2099-01-01T00:00:00Z"


# -- contacts past their end time --------------------------------------------------------------------------------------

EXPIRY = {
    "before the expiry is sent": (unsent("expire"), "pending"),
    "the expiry is committed": (committed("expire"), "failed"),
}


@killed_or_cut
@pytest.mark.parametrize(("point", "stored"), EXPIRY.values(), ids=named(EXPIRY))
@sure
async def test_a_contact_past_its_end_time_fails_and_is_told_once_whoever_dies_as_it_expires(
    here: Crossroads, point: Point, stored: str, dies: Dies
) -> None:
    contact = ivr(endTime=PAST)
    crossing = await point.reached_after(here, lambda: here.load(contact))
    assert_that(here.stored(contact)["status"], is_(stored))
    await dies(here, crossing)
    await here.ends_well(contact, "Expired", calls=0, status="failed")
    assert_that(here.notifications(contact), has_length(1))


# -- histories ---------------------------------------------------------------------------------------------------------

# About this line alone: the job of a call that ends unanswered is another, a moment later, and may be written when the
# next test has begun.
LINES = {
    "before the line is sent": (unsent("add_events").about(Seen.SENT), 0),
    "the line is committed": (committed("add_events").about(Seen.SENT), 1),
}


@killed_or_cut
@pytest.mark.parametrize(("point", "lines"), LINES.values(), ids=named(LINES))
@sure
async def test_a_line_of_a_history_is_lost_or_there_once_whoever_dies_as_it_is_written(
    here: Crossroads, point: Point, lines: int, dies: Dies
) -> None:
    here.switch.rules = Rules([Rule(ring=3600)])
    reached = point.reached(here)
    contact = ivr()
    await here.load(contact)
    await dies(here, await reached)
    await here.until_slots(1)
    here.hang_up(contact)
    await here.ends_well(contact, "NO_ANSWER")
    told = [line["event"] for line in (await here.get(f"/contact/{contact['id']}/history")).body["history"]]
    assert_that(told.count("sent"), is_(lines))
    # What changed its state is written with the change.
    kept = ("received", "taken", "ended", "notification_delivered")
    assert_that([event for event in told if event in kept], equal_to(list(kept)))


# -- what is old -------------------------------------------------------------------------------------------------------

DAYS = "interval '100 days'"
AGE = (
    f"UPDATE contacts SET ended_time = ended_time - {DAYS} WHERE id = %s AND ended_time > now() - {DAYS}",
    f"UPDATE outbox SET delivered_time = delivered_time - {DAYS}, created_time = created_time - {DAYS}"
    f" WHERE contact_id = %s AND delivered_time > now() - {DAYS}",
    f"UPDATE contact_events SET at = at - {DAYS} WHERE contact_id = %s AND at > now() - {DAYS}",
)
LEFT = (
    "SELECT id FROM contacts WHERE id = %s",
    "SELECT contact_id FROM outbox WHERE contact_id = %s",
    "SELECT contact_id FROM contact_events WHERE contact_id = %s",
)


def grow_old(here: Crossroads, contact: dict[str, Any]) -> None:
    """RETENTION_DAYS go by for all that is known of a contact."""
    for statement in AGE:
        here.execute(statement, contact["id"])


def left(here: Crossroads, contact: dict[str, Any]) -> Sequence[int]:
    """How much there is of a contact: its row, its messages, and lines of its history."""
    return [len(here.query(statement, contact["id"])) for statement in LEFT]


OLD = {
    "before old contacts are removed": unsent("retention_contacts"),
    "old contacts are removed": committed("retention_contacts"),
    "before old messages are removed": unsent("retention_outbox"),
    "old messages are removed": committed("retention_outbox"),
    "before old lines are removed": unsent("retention_events"),
    "old lines are removed": committed("retention_events"),
}


@killed_or_cut
@sure
async def test_what_is_old_and_nothing_else_is_removed_whoever_dies_on_the_way(here: Crossroads, dies: Dies) -> None:
    old = {name: ivr() for name in OLD}
    young = ivr()
    contacts = [*old.values(), young]
    await here.load(*contacts)
    for contact in contacts:
        await here.ends_well(contact, "NORMAL_CLEARING")
    # What was seen of it, too.
    await here.until(lambda: left(here, young)[2] >= 4, "its history")
    known = left(here, young)
    for name, contact in old.items():

        async def wait(contact: dict[str, Any] = contact) -> None:
            grow_old(here, contact)

        await dies(here, await OLD[name].reached_after(here, wait))

        def gone(contact: dict[str, Any] = contact) -> bool:
            grow_old(here, contact)
            return not any(left(here, contact))

        await here.until(gone, f"removed: {name}")
    assert_that(left(here, young), equal_to(known))


# -- the tally ---------------------------------------------------------------------------------------------------------


@frozen
class Upkeep:
    """Where the folding of the tally is stopped, and whether all of its changes are still there then."""

    point: Point
    folded: bool


FOLDING = {
    "before the folding is sent": Upkeep(unsent("tally_fold"), False),
    "the tally is folded but not swept": Upkeep(unsent("tally_sweep"), False),
    "the folding is committed": Upkeep(committed("tally_fold"), True),
}


def unfolded(here: Crossroads, campaign: str) -> int:
    """How many changes of the tally of a campaign are not folded."""
    return len(here.query("SELECT FROM tally_changes WHERE campaign_id = %s", campaign))


@killed_or_cut
@pytest.mark.parametrize("upkeep", FOLDING.values(), ids=named(FOLDING))
@sure
async def test_contacts_are_counted_once_whoever_dies_as_the_tally_is_folded(
    here: Crossroads, upkeep: Upkeep, dies: Dies
) -> None:
    campaign = str(uuid4())
    contacts = [ivr(startTime=LATER, campaignId=campaign) for _ in range(3)]
    reached = upkeep.point.reached(here)
    await here.load(*contacts)
    crossing = await reached
    assert_that(unfolded(here, campaign) == 0, is_(upkeep.folded))
    await dies(here, crossing)
    assert_that((await here.get(f"/campaign/{campaign}")).body["byStatus"], equal_to({"pending": 3}))
    await here.until(lambda: not unfolded(here, campaign), "folded")
    assert_that((await here.get(f"/campaign/{campaign}")).body["byStatus"], equal_to({"pending": 3}))


MENDING = {
    "before the mending is sent": unsent("tally_mend"),
    "the mending is committed": committed("tally_mend"),
}


@killed_or_cut
@pytest.mark.parametrize("point", MENDING.values(), ids=named(MENDING))
@sure
async def test_a_wrong_tally_is_put_right_once_whoever_dies_as_it_is_mended(
    here: Crossroads, point: Point, dies: Dies
) -> None:
    campaign = str(uuid4())
    await here.load(*(ivr(startTime=LATER, campaignId=campaign) for _ in range(3)))
    assert here.dialer_process is not None
    await here.kill(here.dialer_process)
    here.execute("ALTER TABLE contacts DISABLE TRIGGER tally_went")
    here.execute("DELETE FROM contacts WHERE id IN (SELECT id FROM contacts WHERE campaign_id = %s LIMIT 1)", campaign)
    here.execute("ALTER TABLE contacts ENABLE TRIGGER tally_went")
    reached = point.reached(here)
    await here.run(ready=False)
    await dies(here, await reached)

    async def right() -> bool:
        return bool((await here.get(f"/campaign/{campaign}")).body["byStatus"] == {"pending": 2})

    await here.until(right, "a tally that is right")
    # And stays so, when all is folded.
    await here.until(lambda: not unfolded(here, campaign), "folded")
    assert_that(await right(), is_(True))
