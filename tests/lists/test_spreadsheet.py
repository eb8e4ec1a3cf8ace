"""Cells that a spreadsheet would calculate, and those that it would not."""

from __future__ import annotations

import pytest
from hamcrest import assert_that, equal_to, is_
from hypothesis import given
from hypothesis import strategies as st

from dialer.lists.spreadsheet import defused, restored


@pytest.mark.parametrize(
    "text",
    [
        "=1",
        "+1*2",
        "+44#",
        "-1-2",
        "-A1",
        "@SUM(A1)",
        "\t=1",
        "\r=1",
        "\n=1",
        "\uff1d1",
        "+",
        "-",
        "=cmd|' /C calc'!A0",
    ],
)
def test_what_begins_like_a_formula_is_made_a_text(text: str) -> None:
    assert_that(defused(text), equal_to("'" + text))


@pytest.mark.parametrize("text", ["", "+447700900123", "-5", "*21#", "#31#", "0044", "Sales", "a=1", "'tis", "{}"])
def test_what_is_no_formula_is_left_as_it_is(text: str) -> None:
    assert_that(defused(text), equal_to(text))


@given(st.text())
def test_what_was_made_a_text_is_read_back_as_it_was(text: str) -> None:
    if defused(text) != text:
        assert_that(restored(defused(text)), equal_to(text))
    assert_that(defused(text)[:1] in ("=", "@", "\t", "\r"), is_(False))
