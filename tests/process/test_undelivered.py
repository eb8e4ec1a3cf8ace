"""A message on its way to the VC that is claimed, tried again, parked or sent again as somebody dies."""

from __future__ import annotations

from typing import Any

import pytest
import pytest_twisted
from hamcrest import assert_that, contains_exactly, has_entries, has_length, is_
from twisted.internet.defer import Deferred
from twisted.web.client import ResponseNeverReceived

from tests.process.crossroads import Crossroads, statement
from tests.process.dying import Dies, connection, killed, killed_or_cut
from tests.process.points import Point, committed, named, unsent
from tests.service import shared
from tests.service.world import ivr

sure = pytest_twisted.ensureDeferred
logged_failures = shared.logged_failures


CLAIM = {
    "before the claim is sent": unsent("outbox_claim"),
    "the claim is committed": committed("outbox_claim"),
}


@killed_or_cut
@pytest.mark.parametrize("point", CLAIM.values(), ids=named(CLAIM))
@sure
async def test_a_message_is_sent_whoever_dies_as_it_is_claimed(here: Crossroads, point: Point, dies: Dies) -> None:
    here.vc.behave("notification", "refuse", next=1)
    written = committed("outbox_retry").reached(here)
    contact = ivr()
    await here.load(contact)
    tried = await written
    # It does not know that yet, and so claims nothing: the first that it claims is what is due now.
    reached = point.reached(here)
    here.claims_run_out()
    tried.release()
    crossing = await reached
    (message,) = here.waiting(contact)
    assert_that(message["attempts"], is_(2 if point is CLAIM["the claim is committed"] else 1))
    await dies(here, crossing)
    here.claims_run_out()
    await here.ends_well(contact, "NORMAL_CLEARING")
    assert_that(here.notifications(contact), has_length(2))


RETRY = {
    "before the retry is sent": unsent("outbox_retry"),
    "the retry is committed": committed("outbox_retry"),
}


@killed_or_cut
@pytest.mark.parametrize("point", RETRY.values(), ids=named(RETRY))
@sure
async def test_a_message_is_tried_again_whoever_dies_as_that_is_written(
    here: Crossroads, point: Point, dies: Dies
) -> None:
    here.vc.behave("notification", "refuse", next=1)
    reached = point.reached(here)
    contact = ivr()
    await here.load(contact)
    crossing = await reached
    (message,) = here.waiting(contact)
    assert_that(message["last_error"] is not None, is_(point is RETRY["the retry is committed"]))
    await dies(here, crossing)
    if dies is killed:
        here.claims_run_out()
    await here.ends_well(contact, "NORMAL_CLEARING")
    assert_that(here.notifications(contact), has_length(2))


async def parked(here: Crossroads, contact: dict[str, Any]) -> dict[str, Any]:
    """Wait until the notification of a contact is parked; how the dialer shows it."""

    async def listed() -> list[dict[str, Any]]:
        page = (await here.get("/notifications?state=parked&limit=1000")).body["notifications"]
        return [each for each in page if each["contactId"] == contact["id"]]

    (message,) = await here.until(listed, "parked")
    return dict(message)


PARK = {
    "before the parking is sent": (unsent("outbox_park"), 2),
    "the parking is committed": (committed("outbox_park"), 1),
}


@killed_or_cut
@pytest.mark.parametrize(("point", "posts"), PARK.values(), ids=named(PARK))
@sure
async def test_a_message_that_the_vc_refuses_is_parked_whoever_dies_as_that_is_written(
    here: Crossroads, point: Point, posts: int, dies: Dies
) -> None:
    here.vc.behave("notification", "refuse", status=422)
    reached = point.reached(here)
    contact = ivr()
    await here.load(contact)
    await dies(here, await reached)
    if dies is killed:
        here.claims_run_out()
    await parked(here, contact)
    # One that is killed has forgotten that the VC refused it; one that lives has not.
    assert_that(here.notifications(contact), has_length(posts if dies is killed else 1))
    assert_that(here.keys(contact), has_length(1))


RESEND = {
    "before the resending is sent": (unsent("outbox_resend"), "parked"),
    "the resending is committed": (committed("outbox_resend"), "waiting"),
}


@killed_or_cut
@pytest.mark.parametrize(("point", "state"), RESEND.values(), ids=named(RESEND))
@sure
async def test_a_parked_message_is_sent_again_once_whoever_dies_as_a_client_asks_for_it(
    here: Crossroads, point: Point, state: str, dies: Dies
) -> None:
    here.vc.behave("notification", "refuse", next=1, status=422)
    contact = ivr()
    await here.load(contact)
    message = await parked(here, contact)
    path = f"/notifications/{message['id']}/retry"
    # It is not on its way before somebody has died.
    here.database.stop_at(statement("outbox_claim"))
    reached = point.reached(here)
    asking = Deferred.fromCoroutine(here.post(path))
    crossing = await reached
    assert_that(here.waiting(contact), contains_exactly(has_entries(state=state)))
    await dies(here, crossing)
    here.let_all_pass()
    try:
        answer = await asking
    except ResponseNeverReceived:
        assert_that(dies, is_(killed))
    else:
        assert_that((answer.status, dies), is_((503, connection)))
    # Not parked any more: it is on its way, or there.
    assert_that((await here.post(path)).status, is_(200 if state == "parked" else 409))
    await here.ends_well(contact, "NORMAL_CLEARING")
    assert_that(here.notifications(contact), has_length(2))
