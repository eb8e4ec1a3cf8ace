"""The dashboard as an operator sees it, in a real browser, of a real dialer."""

from __future__ import annotations

from typing import Any

import pytest
import pytest_twisted
from hamcrest import (
    assert_that,
    contains_exactly,
    contains_string,
    empty,
    equal_to,
    greater_than,
    has_items,
    has_length,
    is_,
    less_than,
    less_than_or_equal_to,
    not_,
)
from selenium.webdriver.common.keys import Keys

from dialer.sandbox.efswitch import Rule, Rules
from tests.browser.chromium import Browser
from tests.service import shared
from tests.service.world import World, agent, ivr

sure = pytest_twisted.ensureDeferred
logged_failures = shared.logged_failures
world = shared.world

ENVIRONMENT = {"CALLS_PER_SECOND": "50", "MAX_CONCURRENT_CALLS": "10"}

LATER = "2031-01-01T09:00:00Z"
MARKUP = "<b id=evil onclick=alert(1)>"


def row(campaign_id: str) -> str:
    """The CSS of a campaign's row."""
    return f"tr[data-campaign='{campaign_id}']"


async def count(browser: Browser, campaign_id: str, kind: str) -> str:
    """What a campaign's row says of one kind of contacts."""
    return await browser.text(f"{row(campaign_id)} td.{kind}")


async def until_count(browser: Browser, campaign_id: str, kind: str, expected: str) -> None:
    """Wait until it says so."""
    await browser.until_text(f"{row(campaign_id)} td.{kind}", expected)


async def shown(world: World, browser: Browser) -> None:
    """Open the dashboard and wait until it is live."""
    await browser.open(world.url)
    await browser.until_text("#connection", "Live")


@sure
async def test_what_changes_is_shown_as_it_changes_without_loading_anything_again(
    world: World, browser: Browser
) -> None:
    await shown(world, browser)
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
async def test_slots_speed_and_all_that_it_depends_on_are_shown_with_their_states(
    world: World, browser: Browser
) -> None:
    await shown(world, browser)
    assert_that(await browser.text("#slots-value"), contains_string("of 10"))
    assert_that(await browser.text("#rate-note"), contains_string("50"))
    systems = " / ".join(await browser.texts("#systems li"))
    assert_that(systems, contains_string(f"EFSwitch {world.dialer.switch_name} ready since"))
    assert_that(systems, contains_string("PostgreSQL up"))
    assert_that(systems, contains_string("VC up"))
    assert_that(systems, contains_string("gw-1 up since"))
    assert_that(await browser.text("#no-alarms"), is_("None."))
