"""One browser for all tests of a module that shows pages, and the world whose pages they are."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest

from tests.browser.chromium import Browser, missing


@pytest.fixture(scope="module")
def browser(logged_failures: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A Chromium with an empty profile. Where there is none these tests are skipped, unless REQUIRE_CHROMIUM is 1.

    It ends before the module's watch on what is left behind looks: it keeps connections open.
    """
    if reason := missing():
        if os.environ.get("REQUIRE_CHROMIUM") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    started = Browser(tmp_path_factory.mktemp("chromium"))
    try:
        yield started
    finally:
        started.quit()
