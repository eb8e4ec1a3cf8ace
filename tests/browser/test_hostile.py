"""What EFSwitch says, shown to an operator: text on every page, whatever it tries to be."""

from __future__ import annotations

import pytest_twisted
from hamcrest import assert_that, empty, equal_to, is_

from dialer.sandbox.efswitch import Rule, Rules
from tests.browser.chromium import Browser
from tests.browser.support import row, show
from tests.hostile.test_from_efswitch import called, say
from tests.service import shared
from tests.service.world import World

sure = pytest_twisted.ensureDeferred
logged_failures = shared.logged_failures
world = shared.world

ENVIRONMENT = {"RECONCILE_INTERVAL": "60", "MAX_CONCURRENT_CALLS": "50"}

CAUSES = {
    "an image": "<img src=x onerror=document.title=1>",
    "a script": "</script><script>alert(1)</script>",
    "an attribute": "\" onmouseover='alert(1)' x=\"",
    "an entity": "&lt;b&gt;&#0;&",
    "a template": "${alert(1)}{{alert(1)}}",
}
"""Hangup causes. In upper case, as results are stored, they are the same HTML."""


@sure
async def test_what_efswitch_says_is_text_on_every_page(world: World, browser: Browser) -> None:
    world.switch.rules = Rules([Rule(ring=0.01, talk=600)])
    results = []
    for cause in CAUSES.values():
        contact = await called(world, campaignId="shown")
        say(world, {"Event-Name": "CHANNEL_HANGUP_COMPLETE", "Unique-ID": contact["id"], "Hangup-Cause": cause})
        results.append((contact["id"], (await world.until_status(contact, "ended"))["callResult"]))
    assert_that([result for _, result in results], equal_to([cause.upper()[:40] for cause in CAUSES.values()]))
    await show(browser, world)
    for _, result in results:
        await browser.until_text("#outcomes .legend", result)
    await browser.click(f"{row('shown')} a")
    for _, result in results:
        await browser.until_text("#results", result)
    for contact_id, result in results:
        await browser.open(f"{world.url}/ui/contact/{contact_id}")
        await browser.until_text("#history", result)
        await browser.until_text("#fields", f"Call result {result}")
        assert_that(await browser.script("return document.querySelectorAll('img, script:not([src])').length"), is_(0))
        assert_that(await browser.complaints(), is_(empty()))
