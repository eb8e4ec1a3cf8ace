"""What the tests of the pages share."""

from __future__ import annotations

from tests.browser.chromium import Browser
from tests.service.world import World

LATER = "2031-01-01T09:00:00Z"
"""A start time: a contact with it waits."""

MARKUP = "<img id=evil src=//evil onerror=evil()>"
"""Text that tries to be more than text, as long as most columns allow."""


def row(campaign_id: str) -> str:
    """The CSS of a campaign's row."""
    return f"tr[data-campaign='{campaign_id}']"


async def until_count(browser: Browser, campaign_id: str, kind: str, expected: str) -> None:
    """Wait until a campaign's row says so of one kind of contacts."""
    css = f"{row(campaign_id)} td.{kind}"

    async def said() -> bool:
        return await browser.text(css) == expected

    await browser.until(said, f"{expected} {kind} of {campaign_id}")


async def show(browser: Browser, world: World, path: str = "/") -> None:
    """Open a page and wait until it is live."""
    await browser.open(world.url + path)
    await browser.until_text("#connection", "Live")


async def focused(browser: Browser) -> str:
    """What has the focus: its label, or its text."""
    source = "const at = document.activeElement; return at.getAttribute('aria-label') || at.id || at.innerText"
    return str(await browser.script(source))


async def without_scrolling(browser: Browser) -> bool:
    """Whether the page is no wider than the window."""
    return bool(await browser.script("return document.documentElement.scrollWidth <= window.innerWidth"))
