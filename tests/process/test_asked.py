"""What clients ask of a dialer that dies, or whose PostgreSQL does, before they have its answer: they ask again."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
import pytest_twisted
from attrs import frozen
from hamcrest import assert_that, equal_to, has_entries, has_length, is_
from twisted.internet.defer import Deferred
from twisted.web.client import ResponseNeverReceived

from tests.process.crossroads import Crossroads, statement
from tests.process.dying import Dies, killed, killed_or_cut
from tests.process.gate import asked
from tests.process.points import Point, committed, named, unsent
from tests.service import shared
from tests.service.world import agent, ivr

sure = pytest_twisted.ensureDeferred
logged_failures = shared.logged_failures

LATER = "2099-01-01T00:00:00Z"


async def is_lost(
    here: Crossroads, point: Point, dies: Dies, path: str, body: Any = None, *, answered: int = 503
) -> None:
    """Have that die at this point of the answering of a request: a dialer that lives answers all the same."""
    reached = point.reached(here)
    asking = Deferred.fromCoroutine(here.post(path, body))
    await dies(here, await reached)
    try:
        answer = await asking
    except ResponseNeverReceived:
        assert_that(dies, is_(killed))
    else:
        assert_that((dies is killed, answer.status), is_((False, answered)))


@frozen
class Posting:
    """How many contacts are posted, and whether they are stored when somebody dies at the point."""

    number: int
    point: Point
    stored: bool


POSTED = {
    "before the contact is sent": Posting(1, unsent("insert_contacts"), False),
    "the contact is committed": Posting(1, committed("insert_contacts"), True),
    "before the commit of a list is sent": Posting(
        3, Point("database", (statement("insert_contacts"), asked("COMMIT"))), False
    ),
    "the list is committed": Posting(3, committed("insert_contacts"), True),
}


@killed_or_cut
@pytest.mark.parametrize("posting", POSTED.values(), ids=named(POSTED))
@sure
async def test_contacts_whose_answer_was_lost_are_posted_again_and_stored_once(
    here: Crossroads, posting: Posting, dies: Dies
) -> None:
    number = posting.number
    campaign_id = str(uuid4())
    contacts = [ivr(startTime=LATER, campaignId=campaign_id) for _ in range(number)]
    path, body = ("/contacts", contacts) if number > 1 else ("/contact", contacts[0])
    campaign = f"/campaign/{campaign_id}"
    await is_lost(here, posting.point, dies, path, body)
    if posting.stored:
        assert_that((await here.get(campaign)).body["byStatus"], equal_to({"pending": number}))
    else:
        assert_that((await here.get(campaign)).status, is_(404))
    counts = {"accepted": 0, "duplicates": number} if posting.stored else {"accepted": number, "duplicates": 0}
    assert_that((await here.post(path, body)).body, equal_to(counts))
    assert_that((await here.get(campaign)).body["byStatus"], equal_to({"pending": number}))


@frozen
class Control:
    """A control that is asked for, where somebody dies, and what it then answers when it is asked for again.

    Of the campaign's three contacts, two to a part; None for a campaign that is gone.
    """

    name: str
    point: Point
    again: int | None
    status: str = "pending"
    """What its contacts are before."""
    answered: int = 503
    """What a dialer answers whose connection to PostgreSQL breaks."""


CONTROLS = {
    "before the stop is sent": Control("stop", unsent("campaign_stop"), 3),
    "the first part of the stop is committed": Control("stop", committed("campaign_stop"), 1),
    "before the line of the stop is sent": Control("stop", unsent("add_control"), 0, answered=200),
    "the line of the stop is committed": Control("stop", committed("add_control"), 0, answered=200),
    "before the start is sent": Control("start", unsent("campaign_start"), 3, "stopped"),
    "the first part of the start is committed": Control("start", committed("campaign_start"), 1, "stopped"),
    "before the purge is sent": Control("purge", unsent("campaign_purge_active"), 3),
    "a part of the purge is marked": Control("purge", unsent("campaign_purge"), 3),
    "the first part of the purge is committed": Control("purge", committed("campaign_purge"), 1),
}


@killed_or_cut
@pytest.mark.parametrize("control", CONTROLS.values(), ids=named(CONTROLS))
@sure
async def test_a_control_whose_answer_was_lost_is_asked_for_again_and_does_the_rest(
    here: Crossroads, control: Control, dies: Dies
) -> None:
    campaign = str(uuid4())
    contacts = [ivr(startTime=LATER, campaignId=campaign) for _ in range(3)]
    await here.load(*contacts)
    if control.status == "stopped":
        await here.post(f"/campaign/{campaign}/stop")
    path = f"/campaign/{campaign}/{control.name}"
    await is_lost(here, control.point, dies, path, answered=control.answered)
    again = await here.post(path)
    assert_that(again.body, equal_to({"campaignId": campaign, "contacts": control.again}))
    left = await here.get(f"/campaign/{campaign}")
    if control.name == "purge":
        assert_that(left.status, is_(404))
    else:
        status = {"stop": "stopped", "start": "pending"}[control.name]
        assert_that(left.body["byStatus"], equal_to({status: 3}))


RELEASE = {
    "before the release is sent": unsent("release_agent"),
    "the release is committed": committed("release_agent"),
}


@killed_or_cut
@pytest.mark.parametrize("point", RELEASE.values(), ids=named(RELEASE))
@sure
async def test_an_agent_who_came_too_late_is_released_once_whoever_dies_as_the_vc_says_so(
    here: Crossroads, point: Point, dies: Dies
) -> None:
    contact = agent()
    await here.load(contact)
    await here.ends_well(contact, "NORMAL_CLEARING")
    reply = {"uuid": contact["id"], "agent": "9999", "queue": "Sales"}
    await is_lost(here, point, dies, "/agent", reply)
    assert_that((await here.post("/agent", reply)).status, is_(409))
    await here.until(lambda: not here.waiting(contact), "END_CHAT")
    assert_that(here.end_chats(contact), has_length(1))
    assert_that(here.stored(contact), has_entries(status="ended", released_agent="9999"))
