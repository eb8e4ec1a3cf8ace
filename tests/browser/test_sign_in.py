"""Signing in at the pages of a dialer that asks for tokens, in a real browser."""

from __future__ import annotations

from typing import Any

import pytest
import pytest_twisted
from hamcrest import assert_that, contains_string, empty, equal_to, is_, not_
from twisted.internet import reactor

from tests.browser.chromium import Browser
from tests.browser.support import LATER, row
from tests.sandbox.servers import JsonServer
from tests.service import shared
from tests.service.world import World, ivr

sure = pytest_twisted.ensureDeferred
logged_failures = shared.logged_failures
world = shared.world

OPS, WALL, VC = (name.ljust(40, "x") for name in ("ops-", "wall-", "vc-"))
ENVIRONMENT = {"API_TOKENS": f"ops:all:{OPS} wall:read:{WALL} vc:agent:{VC}"}


async def load(world: World, campaign_id: str) -> None:
    """A contact of this campaign that waits."""
    contact = ivr(campaignId=campaign_id, startTime=LATER)
    reply = await world.request("POST", "/contact", json=contact, headers={"Authorization": f"Bearer {OPS}"})
    assert_that(reply.status, is_(200))


async def total(world: World, campaign_id: str) -> int:
    path = f"/campaign/{campaign_id}"
    reply = await world.request("GET", path, headers={"Authorization": f"Bearer {OPS}"})
    return int(reply.body["total"])


async def at(browser: Browser, path: str) -> None:
    """Wait until a page is shown."""

    async def there() -> bool:
        return await browser.script("return location.pathname") == path

    await browser.until(there, path)


async def come(browser: Browser, world: World, path: str = "/", token: str = OPS) -> None:
    """Open a page as somebody who is not signed in, and sign in."""
    await browser.call(browser.driver.delete_all_cookies)
    await browser.open(world.url + path)
    await at(browser, "/signin")
    await browser.until_text("h2", "Sign in")
    await browser.type("#token", token)
    await browser.click("#sign-in button")
    await at(browser, path)


async def signed_in(browser: Browser, world: World, path: str = "/", token: str = OPS) -> None:
    await come(browser, world, path, token)
    await browser.until_text("#connection", "Live")


@sure
async def test_who_opens_a_page_is_led_to_the_sign_in_and_back(world: World, browser: Browser) -> None:
    await load(world, "spring")
    await signed_in(browser, world, "/ui/campaign/spring")
    await browser.until_text("#visitor", "ops")
    await browser.until_text("#figures", "Waiting 1")
    await browser.click("button.stop")
    await browser.until_text("#message", "spring: 1 contact stopped.")


@sure
async def test_no_script_of_a_page_can_read_the_cookie_and_nothing_keeps_the_token(
    world: World, browser: Browser
) -> None:
    await signed_in(browser, world)
    assert_that(await browser.script("return document.cookie"), is_(""))
    (cookie,) = await browser.call(browser.driver.get_cookies)
    assert_that((cookie["httpOnly"], cookie["sameSite"], cookie["path"]), equal_to((True, "Strict", "/")))
    kept = "[{...localStorage}, {...sessionStorage}, location.href, document.documentElement.outerHTML]"
    assert_that(await browser.script(f"return JSON.stringify({kept})"), not_(contains_string(OPS)))


@pytest.mark.parametrize(
    ("token", "said"),
    [("wrong", "this token is not known"), (VC, "vc does not have the scope read")],
)
@sure
async def test_who_shows_a_token_that_is_wrong_or_not_enough_is_told_so(
    world: World, browser: Browser, token: str, said: str
) -> None:
    await browser.call(browser.driver.delete_all_cookies)
    await browser.open(world.url + "/signin")
    await browser.type("#token", token)
    await browser.click("#sign-in button")
    await browser.until_text("#message", f"Not signed in: {said}")
    assert_that(await browser.call(browser.driver.get_cookies), is_(empty()))


@sure
async def test_who_may_only_look_sees_no_button_that_changes_anything(world: World, browser: Browser) -> None:
    await load(world, "looked-at")
    for path in ("/", "/ui/campaign/looked-at"):
        await signed_in(browser, world, path, WALL)
        await browser.until_text("#visitor", "wall")
        button = f"{row('looked-at')} button.stop" if path == "/" else "button.stop"
        shown = f"return document.querySelector({button!r})?.checkVisibility()"

        async def hidden(source: str = shown) -> bool:
            return await browser.script(source) is False

        await browser.until(hidden, "no button")
    await signed_in(browser, world, "/ui/campaign/looked-at")
    assert_that(await browser.script("return document.querySelector('button.stop').checkVisibility()"), is_(True))


@sure
async def test_who_signs_out_sees_nothing_any_more(world: World, browser: Browser) -> None:
    await signed_in(browser, world)
    await browser.until_text("#visitor", "ops")
    await browser.click("#sign-out")
    await at(browser, "/signin")
    assert_that(await browser.call(browser.driver.get_cookies), is_(empty()))
    await browser.open(world.url + "/")
    await at(browser, "/signin")


@sure
async def test_a_page_that_is_open_when_its_session_ends_goes_to_the_sign_in(world: World, browser: Browser) -> None:
    await signed_in(browser, world)
    interface: Any = world.dialer._interface
    # As its expiry does.
    interface.sessions.close()
    await at(browser, "/signin")


@sure
async def test_a_page_of_another_origin_on_the_same_host_changes_nothing_with_the_cookie(
    world: World, browser: Browser
) -> None:
    await load(world, "kept")
    await signed_in(browser, world)
    assert_that(await browser.call(browser.driver.get_cookies), not_(empty()))
    # Another port: to the browser it is the same site, and the cookie goes along.
    other = JsonServer(reactor, lambda *_: (200, {}))
    await browser.call(browser.driver.get, other.url)
    post = """
        const [url, done] = arguments;
        fetch(url, {method: "POST", mode: "no-cors", credentials: "include"}).then(() => done("sent"), done);
    """
    sent = await browser.call(browser.driver.execute_async_script, post, f"{world.url}/campaign/kept/purge")
    await other.stop()
    assert_that(sent, is_("sent"))
    assert_that(await total(world, "kept"), is_(1))
    await signed_in(browser, world, "/ui/campaign/kept")
    await browser.click("button.purge")
    await browser.click("#purge button.danger")
    await browser.until_text("#message", "kept: 1 contact removed.")
