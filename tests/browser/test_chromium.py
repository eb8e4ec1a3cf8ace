"""Whether there is a browser to test with."""

from __future__ import annotations

from pathlib import Path

import pytest
from hamcrest import assert_that, contains_string, none

from tests.browser.chromium import missing


@pytest.mark.parametrize(
    ("there", "said"),
    [
        ([], "no Chromium is installed (on Debian: apt-get install chromium"),
        (["chromium"], "no chromedriver is installed (on Debian: apt-get install chromium-driver)"),
        (["google-chrome", "chromedriver"], None),
    ],
)
def test_what_there_is_not_is_said_with_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: list[str], said: str | None
) -> None:
    for name in there:
        (tmp_path / name).touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert_that(missing(), none() if said is None else contains_string(said))
