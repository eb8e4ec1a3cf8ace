"""The pages of a campaign and of a contact, and a dialer that goes away while they are shown."""

from __future__ import annotations

import signal

import pytest_twisted
from hamcrest import assert_that, contains_exactly, contains_string, equal_to, has_items, is_

from tests.browser.chromium import Browser
from tests.browser.support import LATER, row, show, until_count
from tests.process.conftest import street  # noqa: F401
from tests.process.street import Street
from tests.service import shared
from tests.service.world import World, ivr

sure = pytest_twisted.ensureDeferred
logged_failures = shared.logged_failures
world = shared.world

ENVIRONMENT = {"CALLS_PER_SECOND": "100", "MAX_CONCURRENT_CALLS": "20"}


async def until_listed(browser: Browser, *contact_ids: str) -> None:
    """Wait until the list shows just these contacts."""

    async def listed() -> bool:
        return await browser.texts("#contacts th") == list(contact_ids)

    await browser.until(listed, f"{contact_ids} listed")


@sure
async def test_a_campaigns_page_shows_its_counts_and_outcomes_as_they_change(world: World, browser: Browser) -> None:
    await world.load(ivr(campaignId="spring", startTime=LATER))
    await show(browser, world, "/ui/campaign/spring")
    await browser.until_text("#figures", "Waiting 1")
    await world.load(ivr(campaignId="spring"), ivr(campaignId="spring"), ivr(campaignId="spring", gatewayId="gw-none"))
    await browser.until_text("#results", "NORMAL_CLEARING 2")
    await browser.until_text("#results", "Invalid Gateway 1")
    await browser.until_text("#figures", "Ended 2")
    assert_that(await browser.attribute("[role=progressbar]", "aria-valuetext"), is_("3 of 4 done"))
    await browser.click("button.stop")
    await browser.until_text("#message", "spring: 1 contact stopped.")


@sure
async def test_its_contacts_are_paged_and_filtered_by_state_and_result(world: World, browser: Browser) -> None:
    await world.load(*(ivr(campaignId="paged", id=f"w{number:02}", startTime=LATER) for number in range(60)))
    called = ivr(campaignId="paged", id="called")
    failed = ivr(campaignId="paged", id="failed", gatewayId="gw-none")
    await world.load(called, failed)
    await world.until_status(called, "ended")
    await world.until_status(failed, "failed")
    await show(browser, world, "/ui/campaign/paged")
    first = [f"w{number:02}" for number in range(50)]
    await until_listed(browser, *first)
    await browser.click("#next")
    rest = [*(f"w{number:02}" for number in range(50, 60)), "called", "failed"]
    await until_listed(browser, *rest)
    assert_that(await browser.attribute("#next", "aria-disabled"), is_("true"))
    await browser.click("#previous")
    await until_listed(browser, *first)
    await browser.choose("#status", "failed")
    await until_listed(browser, "failed")
    await browser.choose("#status", "")
    await browser.choose("#result", "NORMAL_CLEARING")
    await until_listed(browser, "called")
    assert_that(await browser.text("#contacts tr"), contains_string("ended NORMAL_CLEARING"))


@sure
async def test_a_contacts_page_shows_all_its_fields_and_its_history(world: World, browser: Browser) -> None:
    contact = ivr(campaignId="known", id="known-1", priority=7, ivr="4711", campaignContactId="crm 12")
    await world.load(contact)
    await world.until_status(contact, "ended")
    await world.until_told(contact)

    async def written() -> bool:
        lines = (await world.get("/contact/known-1/history")).body["history"]
        return "answered" in {line["event"] for line in lines}

    # The page asks for it once.
    await world.until(written, "all that was seen of it")
    await show(browser, world, "/ui/campaign/known")
    await until_listed(browser, "known-1")
    await browser.click("#contacts a")
    await browser.until_text("#history", "ended")
    fields = await browser.texts("#fields div")
    expected = ("Contact known-1", "Campaign known", "State ended", "Call result NORMAL_CLEARING", "Priority 7")
    assert_that(fields, has_items(*expected, "IVR 4711", "Contact in the campaign manager crm 12", "Queue \N{EN DASH}"))
    assert_that(len(fields), equal_to(len((await world.get("/contact/known-1")).body)))
    assert_that(await browser.texts("#history th"), has_items("received", "taken", "answered", "ended"))
    await browser.click("#fields a")
    await browser.until_text("#name", "known")


@sure
async def test_what_is_not_there_is_said(world: World, browser: Browser) -> None:
    await show(browser, world, "/ui/campaign/nobody")
    await browser.until_text("#gone", "No contact of this campaign is known.")
    await browser.open(f"{world.url}/ui/contact/nobody")
    await browser.until_text("#message.bad", "nobody")


@sure
async def test_a_dialer_that_goes_away_is_said_and_all_is_there_again_when_it_is_back(
    street: Street,  # noqa: F811
    browser: Browser,
) -> None:
    process = await street.run()
    port = street.url.rpartition(":")[2]
    await street.load(ivr(campaignId="before", startTime=LATER))
    await show(browser, street)
    await until_count(browser, "before", "pending", "1")
    await browser.script("window.sameDocument = true")
    process.send(signal.SIGKILL)
    await street.ends(process)
    await browser.until_text("#connection", "Disconnected since")
    assert_that(await browser.attribute("#connection", "data-state"), is_("bad"))
    assert_that(await browser.script("return document.body.classList.contains('stale')"), is_(True))
    assert_that(await browser.texts("#campaigns th"), contains_exactly("before"))
    # Under a name of its own: it need not wait for the lease of the one that was killed.
    await street.run(HTTP_PORT=port, DIALER_ID="dialer-2")
    await street.load(ivr(campaignId="after", startTime=LATER))
    await browser.until_text("#connection", "Live")
    await browser.until_text("#dialer", "dialer-2")
    await until_count(browser, "after", "pending", "1")
    assert_that(await browser.script("return document.body.classList.contains('stale')"), is_(False))
    await browser.click(f"{row('before')} button.stop")
    await until_count(browser, "before", "stopped", "1")
    assert_that(await browser.script("return window.sameDocument"), is_(True))
