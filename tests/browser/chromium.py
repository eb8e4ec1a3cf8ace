"""A headless Chromium, driven from the reactor that serves the pages it shows."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from selenium import webdriver
from selenium.common.exceptions import NoSuchElementException, StaleElementReferenceException
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from twisted.internet.threads import deferToThread

PATIENCE = 60.0
"""Seconds after which a condition that did not come true fails the test: a browser takes its time on a busy machine."""

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")

OPTIONS = (
    "--headless=new",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--no-proxy-server",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-sync",
    "--window-size=1280,1000",
    "--lang=en-GB",
)


def missing() -> str | None:
    """What there must be and is not; None when a browser can be started."""
    if not any(map(shutil.which, PROGRAMS)):
        return "no Chromium is installed (on Debian: apt-get install chromium chromium-driver)"
    if shutil.which("chromedriver") is None:
        return "no chromedriver is installed (on Debian: apt-get install chromium-driver)"
    return None


class Browser:
    """One window. What waits for the browser does so in a thread, so that the pages are served meanwhile."""

    def __init__(self, folder: Path) -> None:
        options = webdriver.ChromeOptions()
        options.binary_location = next(path for path in map(shutil.which, PROGRAMS) if path)
        for option in (*OPTIONS, f"--user-data-dir={folder}"):
            options.add_argument(option)
        if os.geteuid() == 0:
            options.add_argument("--no-sandbox")  # Chromium has none for root
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        self.driver = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
        self.driver.set_page_load_timeout(PATIENCE)
        self.driver.set_script_timeout(PATIENCE)

    def quit(self) -> None:
        """End it."""
        self.driver.quit()

    async def call(self, work: Callable[..., Any], *arguments: Any) -> Any:
        """The result of something that waits for the browser."""
        return await deferToThread(work, *arguments)

    async def open(self, url: str) -> None:
        """Show a page, with nothing that was logged before."""
        await self.call(self.driver.get, "about:blank")
        await self.call(self._logged)
        await self.call(self.driver.get, url)

    async def script(self, source: str, *arguments: Any) -> Any:
        """The value of a piece of JavaScript."""
        return await self.call(self.driver.execute_script, source, *arguments)

    async def text(self, css: str) -> str:
        """The text of an element as it is shown, in one line."""
        text = str(await self.call(lambda: self.driver.find_element(By.CSS_SELECTOR, css).text))
        return " ".join(text.split())

    async def texts(self, css: str) -> list[str]:
        """The texts of all such elements, each in one line."""
        source = "return [...document.querySelectorAll(arguments[0])].map((each) => each.innerText)"
        return [" ".join(text.split()) for text in await self.script(source, css)]

    async def attribute(self, css: str, name: str) -> str | None:
        """An attribute of an element."""
        source = "return document.querySelector(arguments[0]).getAttribute(arguments[1])"
        found: str | None = await self.script(source, css, name)
        return found

    async def click(self, css: str) -> None:
        """Click on an element."""
        await self.call(lambda: self.driver.find_element(By.CSS_SELECTOR, css).click())

    async def type(self, css: str, text: str) -> None:
        """Type into an element."""
        await self.call(lambda: self.driver.find_element(By.CSS_SELECTOR, css).send_keys(text))

    async def choose(self, css: str, value: str) -> None:
        """Choose an option of a select."""
        await self.click(f"{css} option[value='{value}']")

    async def press(self, *keys: str) -> None:
        """Press keys, one after the other."""

        def pressed() -> None:
            actions = ActionChains(self.driver)
            for key in keys:
                actions.send_keys(key)
            actions.perform()

        await self.call(pressed)

    async def until(self, what: Callable[[], Any], name: str = "condition") -> Any:
        """Wait until an async function gives something true; what it gives."""
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                if found := await what():
                    return found
            except (NoSuchElementException, StaleElementReferenceException):
                pass
            assert time.monotonic() < deadline, f"{name} did not come true; the page says: {await self.text('body')}"

    async def until_text(self, css: str, text: str) -> str:
        """Wait until an element shows this text, or has it in what it shows; all that it shows."""

        async def there() -> str | None:
            shown = await self.text(css)
            return shown if text in shown else None

        return str(await self.until(there, f"{text!r} in {css}"))

    async def emulate(self, command: str, **arguments: Any) -> None:
        """A command of the DevTools protocol's emulation."""
        await self.call(self.driver.execute_cdp_cmd, f"Emulation.{command}", arguments)

    async def complaints(self) -> list[str]:
        """What the browser wrote to its console since the page was opened."""
        entries = await self.call(self.driver.get_log, "browser")
        return [entry["message"] for entry in entries if entry["level"] in ("SEVERE", "WARNING")]

    async def hosts(self) -> set[str]:
        """The hosts that were asked for anything since the page was opened."""
        return set(await self.call(lambda: list(self._requested())))

    def _requested(self) -> Iterator[str]:
        for entry in self.driver.get_log("performance"):
            message = json.loads(entry["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                url = message["params"]["request"]["url"]
                if host := urlsplit(url).netloc:
                    yield host

    def _logged(self) -> None:
        self.driver.get_log("browser")
        self.driver.get_log("performance")
