"""The dashboard as an operator sees it: a real browser, a real dialer."""

from __future__ import annotations

from typing import Any

import pytest_twisted
from hamcrest import (
    assert_that,
    contains_exactly,
    contains_string,
    empty,
    equal_to,
    greater_than,
    has_item,
    has_length,
    is_,
    none,
    not_,
    not_none,
)
from selenium.webdriver.common.keys import Keys

from tests.browser.chromium import Browser
from tests.browser.support import LATER, MARKUP, focused, row, show, until_count, without_scrolling
from tests.service import shared
from tests.service.world import World, ivr

sure = pytest_twisted.ensureDeferred
logged_failures = shared.logged_failures
world = shared.world

ENVIRONMENT = {
    "CALLS_PER_SECOND": "50",
    "MAX_CONCURRENT_CALLS": "10",
    "API_TOKENS": "ops:all:" + "x" * 32,
    "TRUSTED_NETWORKS": "127.0.0.1",
}
"""Without tokens there would always be something to look at."""


@sure
async def test_what_changes_is_shown_as_it_changes_without_loading_the_page_again(
    world: World, browser: Browser
) -> None:
    await show(browser, world)
    await browser.script("window.sameDocument = true")
    await world.load(*(ivr(campaignId="spring") for _ in range(12)))
    await until_count(browser, "spring", "ended", "12")
    bar = f"{row('spring')} [role=progressbar]"
    assert_that(await browser.attribute(bar, "aria-valuetext"), is_("12 of 12 done"))
    await browser.until_text("#outcomes .legend", "NORMAL_CLEARING 12")
    assert_that(await browser.script("return document.querySelectorAll('#outcomes rect').length"), greater_than(0))
    assert_that(await browser.attribute("#outcomes svg", "aria-label"), contains_string("12 contacts ended"))
    assert_that(await browser.script("return window.sameDocument"), is_(True))


@sure
async def test_slots_speed_and_all_that_the_dialer_depends_on_are_shown_with_their_states(
    world: World, browser: Browser
) -> None:
    await world.load(ivr(campaignId="spring"))
    await show(browser, world)
    await browser.until_text("#systems", "Gateway gw-1 up since")
    assert_that(await browser.text("#slots-value"), contains_string("of 10"))
    assert_that(await browser.text("#rate-note"), contains_string("50"))
    systems = await browser.text("#systems")
    port = world.switch_port.getHost().port
    for state in (f"EFSwitch 127.0.0.1:{port} ready since", "Database PostgreSQL up", "Voice connector VC up"):
        assert_that(systems, contains_string(state))
    # A time of day, without a date: it was today.
    since = (await browser.texts("#systems li .state"))[0].removeprefix("ready since ")
    assert_that(since, has_length(8))


@sure
async def test_what_somebody_should_look_at_is_said_and_goes_when_it_is_over(world: World, browser: Browser) -> None:
    await show(browser, world)
    assert_that(await browser.text("#no-alarms"), is_("None."))
    world.switch.set_gateway("gw-2", "DOWN")
    world.vc.behave("notification", "refuse", status=400)
    parked = ivr(campaignId="spring")
    await world.load(parked, ivr(campaignId="autumn", gatewayId="gw-2"))
    await browser.until_text("#alarms", "Gateway gw-2 is down")
    await browser.until_text("#alarms", "1 message parked")
    await browser.until_text("#messages-note", "1 parked")
    world.vc.behave("notification", "accept")
    world.switch.set_gateway("gw-2", "UP")
    (message,) = (await world.get("/notifications?state=parked")).body["notifications"]
    await world.post(f"/notifications/{message['id']}/retry")
    await browser.until_text("#no-alarms", "None.")


@sure
async def test_why_nothing_is_dialing_is_said(world: World, browser: Browser) -> None:
    await world.load(*(ivr(campaignId="later", startTime=LATER) for _ in range(3)))
    await show(browser, world)
    await browser.until_text("#reasons", "before their start times")
    assert_that(await browser.text("#why-title"), is_("Why is nothing dialing?"))
    await browser.open(f"{world.url}/ui/campaign/later")
    await browser.until_text("#reasons", "3 contacts are before their start times")
    assert_that(await browser.text("#why-title"), is_("Why is it not dialed?"))


@sure
async def test_a_campaign_is_stopped_and_started_there(world: World, browser: Browser) -> None:
    await world.load(*(ivr(campaignId="summer", startTime=LATER) for _ in range(3)))
    await show(browser, world)
    await until_count(browser, "summer", "pending", "3")
    await browser.click(f"{row('summer')} button.stop")
    await until_count(browser, "summer", "stopped", "3")
    await browser.until_text("#message", "summer: 3 contacts stopped.")
    await browser.click(f"{row('summer')} button.start")
    await until_count(browser, "summer", "pending", "3")
    await browser.until_text("#message", "summer: 3 contacts waiting again.")


@sure
async def test_a_purge_asks_first_and_says_how_many_then_how_many_it_was(world: World, browser: Browser) -> None:
    await world.load(ivr(campaignId="purged"), *(ivr(campaignId="purged", startTime=LATER) for _ in range(4)))
    await show(browser, world)
    await until_count(browser, "purged", "ended", "1")
    await browser.click(f"{row('purged')} button.purge")
    await browser.until_text("#purge", "4 waiting contacts will be removed")
    assert_that(await browser.text("#purge-title"), is_("Purge purged?"))
    await browser.click("#purge button[value=cancel]")
    assert_that((await world.get("/campaign/purged")).body["byStatus"], equal_to({"pending": 4, "ended": 1}))
    await browser.click(f"{row('purged')} button.purge")
    await browser.click("#purge button[value=purge]")
    await browser.until_text("#message", "purged: 4 contacts removed.")
    await until_count(browser, "purged", "pending", "0")
    assert_that((await world.get("/campaign/purged")).body["byStatus"], equal_to({"ended": 1}))


@sure
async def test_what_could_not_be_done_is_said(world: World, browser: Browser) -> None:
    await world.load(ivr(campaignId="unreached", startTime=LATER))
    await show(browser, world)
    await until_count(browser, "unreached", "pending", "1")
    blocked: dict[str, Any] = {"urls": ["*/campaign/unreached/stop"]}
    await browser.call(browser.driver.execute_cdp_cmd, "Network.enable", {})
    await browser.call(browser.driver.execute_cdp_cmd, "Network.setBlockedURLs", blocked)
    await browser.click(f"{row('unreached')} button.stop")
    await browser.until_text("#message.bad", "unreached: stop failed. The dialer cannot be reached.")
    await browser.call(browser.driver.execute_cdp_cmd, "Network.setBlockedURLs", {"urls": []})


@sure
async def test_everything_can_be_done_by_keyboard(world: World, browser: Browser) -> None:
    await world.load(*(ivr(campaignId="keys", startTime=LATER) for _ in range(2)))
    await show(browser, world)
    await until_count(browser, "keys", "pending", "2")
    await browser.press(Keys.TAB, Keys.ENTER)
    assert_that(await focused(browser), is_("campaigns-title"))
    await browser.press(Keys.TAB)
    outline = "return getComputedStyle(document.activeElement).outlineStyle"
    assert_that((await focused(browser), await browser.script(outline)), equal_to(("search", "solid")))
    await browser.press(*"keys", Keys.TAB, Keys.TAB, Keys.TAB)
    # Over the filter and the campaign's link to Stop, Start and Purge.
    await browser.press(Keys.TAB, Keys.TAB)
    await browser.until_text("#range", "1 to 1 of 1 campaign")
    assert_that(await focused(browser), is_("Purge … keys"))
    await browser.press(Keys.ENTER)
    await browser.until_text("#purge", "2 waiting contacts")
    assert_that(await browser.script("return document.activeElement.value"), is_("cancel"))
    await browser.press(Keys.ESCAPE)
    assert_that(await browser.script("return document.getElementById('purge').open"), is_(False))
    assert_that(await focused(browser), is_("Purge … keys"))
    assert_that((await world.get("/campaign/keys")).body["byStatus"], equal_to({"pending": 2}))
    await browser.press(Keys.ENTER, Keys.TAB, Keys.ENTER)
    await browser.until_text("#message", "keys: 2 contacts removed.")


@sure
async def test_text_that_tries_to_be_markup_is_text_everywhere(world: World, browser: Browser) -> None:
    contact = ivr(
        campaignId="texts",
        campaignContactId=MARKUP,
        startTime=LATER,
        schedulingMetadata={MARKUP: [MARKUP]},
    )
    await world.load(contact)
    # What only a table that was taken over, or another peer, brings in.
    await world.execute(
        "INSERT INTO contacts (id, customer_number, campaign_type, gateway_id, campaign_id, status, call_result,"
        " ended_time) SELECT 'foreign-' || left(campaign, 5), '+4477', 'IVR', %s, campaign, 'ended', %s, now()"
        " FROM unnest(%s::text[]) AS campaign",
        MARKUP,
        MARKUP,
        ["texts", MARKUP],
    )
    await world.execute(
        "INSERT INTO contact_events (contact_id, taking, event, dialer, detail) VALUES (%s, 1, %s, %s, %s)",
        contact["id"],
        MARKUP[:16],
        MARKUP,
        MARKUP,
    )
    await show(browser, world)
    await browser.until_text("#campaigns", MARKUP)
    await browser.until_text("#outcomes .legend", MARKUP)
    await browser.click(f"{row('texts')} a")
    await browser.until_text("#results", MARKUP)
    await browser.until_text("#contacts", MARKUP)
    assert_that(await browser.texts("#result option"), has_item(MARKUP))
    await browser.open(f"{world.url}/ui/contact/{contact['id']}")
    await browser.until_text("#history", MARKUP)
    assert_that(await browser.text("#fields"), contains_string(MARKUP))
    assert_that(await browser.text("#fields pre"), contains_string(MARKUP))
    assert_that(await browser.script("return document.querySelector('#evil, img')"), is_(none()))
    assert_that(await browser.hosts(), equal_to({world.url.removeprefix("http://")}))
    assert_that(await browser.complaints(), is_(empty()))


@sure
async def test_no_page_complains_or_asks_any_other_host(world: World, browser: Browser) -> None:
    contact = ivr(campaignId="quiet")
    await world.load(contact)
    for path, there in (
        ("/", row("quiet")),
        ("/ui/campaign/quiet", "#contacts tr"),
        (f"/ui/contact/{contact['id']}", "#history tr"),
    ):
        await browser.open(world.url + path)
        await browser.until(lambda there=there: browser.texts(there), there)
        assert_that(await browser.complaints(), is_(empty()), path)
        assert_that(await browser.hosts(), equal_to({world.url.removeprefix("http://")}), path)


@sure
async def test_no_script_or_style_from_within_a_page_is_run(world: World, browser: Browser) -> None:
    await show(browser, world)
    await browser.script(
        "document.body.insertAdjacentHTML('beforeend', '<p id=inline style=\"color: red\">x</p>');"
        "const script = document.createElement('script'); script.textContent = 'window.ran = true';"
        "document.body.append(script)"
    )
    assert_that(await browser.script("return window.ran"), is_(none()))
    assert_that(await browser.script("return getComputedStyle(inline).color"), is_(not_("rgb(255, 0, 0)")))


@sure
async def test_every_page_fits_a_phone_without_scrolling_sideways(world: World, browser: Browser) -> None:
    contact = ivr(campaignId="a-campaign-whose-name-is-as-long-as-it-c", id="c" * 40, startTime=LATER)
    await world.load(contact)
    await browser.emulate("setDeviceMetricsOverride", width=360, height=740, deviceScaleFactor=2, mobile=True)
    try:
        await show(browser, world)
        await browser.until(lambda: browser.texts(row(contact["campaignId"])), "the campaign")
        assert_that(await without_scrolling(browser))
        size = (
            "const b = document.querySelector(arguments[0]).getBoundingClientRect(); return [b.left, b.right, b.height]"
        )
        left, right, height = await browser.script(size, f"{row(contact['campaignId'])} button.purge")
        assert_that(left >= 0 and right <= 360 and height >= 36, f"{left} {right} {height}")
        await show(browser, world, f"/ui/campaign/{contact['campaignId']}")
        await browser.until(lambda: browser.texts("#contacts tr"), "the contact")
        assert_that(await without_scrolling(browser))
        await browser.open(f"{world.url}/ui/contact/{contact['id']}")
        await browser.until(lambda: browser.texts("#history tr"), "the history")
        assert_that(await without_scrolling(browser))
    finally:
        await browser.emulate("clearDeviceMetricsOverride")


@sure
async def test_it_is_dark_for_who_wants_it_dark(world: World, browser: Browser) -> None:
    await show(browser, world)
    source = (
        "return [document.documentElement, document.querySelector('section'), document.querySelector('button')]"
        ".map((each) => [getComputedStyle(each).backgroundColor, getComputedStyle(each).color]"
        ".map((colour) => colour.match(/\\d+/g).slice(0, 3).reduce((sum, part) => sum + Number(part), 0)))"
    )
    light = [(ground > text) for ground, text in await browser.script(source)]
    await browser.emulate("setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark"}])
    try:
        dark = [(ground < text) for ground, text in await browser.script(source)]
    finally:
        await browser.emulate("setEmulatedMedia", features=[])
    assert_that((light[0], light[2], dark[0], dark[2]), equal_to((True, True, True, True)))


@sure
async def test_a_thousand_campaigns_are_a_page_at_a_time_in_their_order_and_are_found(
    world: World, browser: Browser
) -> None:
    await world.load(*(ivr(campaignId=f"many-{number:04}", startTime=LATER) for number in range(1000)))
    await show(browser, world)
    await browser.type("#search", "many-")
    await browser.until_text("#range", "1 to 50 of 1,000 campaigns")
    names = await browser.texts("#campaigns th")
    assert_that(names, equal_to([f"many-{number:04}" for number in range(50)]))
    # What is on the page stays what it is while a campaign on it changes.
    await browser.script("document.querySelectorAll('#campaigns tr').forEach((each) => (each.kept = true))")
    await world.load(ivr(campaignId="many-0007"))
    await until_count(browser, "many-0007", "ended", "1")
    assert_that(await browser.texts("#campaigns th"), equal_to(names))
    kept = "return [...document.querySelectorAll('#campaigns tr')].every((each) => each.kept)"
    assert_that(await browser.script(kept), is_(True))
    await browser.click("#next")
    await browser.until_text("#range", "51 to 100 of 1,000 campaigns")
    assert_that(await browser.texts("#campaigns th"), equal_to([f"many-{number:04}" for number in range(50, 100)]))
    await browser.type("#search", "0999")
    await browser.until_text("#range", "1 to 1 of 1 campaign")
    assert_that(await browser.texts("#campaigns th"), contains_exactly("many-0999"))
    assert_that(await browser.call(browser.driver.find_elements, "id", "many-0000"), is_(empty()))
    assert_that(await browser.attribute("#range", "role"), is_(not_none()))
