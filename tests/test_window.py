"""How many deliveries at a time."""

from __future__ import annotations

from hamcrest import assert_that, equal_to, has_properties
from hypothesis import given
from hypothesis import strategies as st

from dialer.window import Window


def test_a_dead_peer_is_soon_tried_with_one_at_a_time() -> None:
    window = Window(32)
    for _ in range(5):
        assert_that(window.trying, equal_to(False))
        window.failed()
    assert_that(window, has_properties(size=1, trying=True))


def test_the_first_success_ends_the_trying_and_more_open_the_window() -> None:
    window = Window(32)
    for _ in range(40):
        window.failed()
    window.worked()
    assert_that(window, has_properties(size=2, trying=False))
    for _ in range(4):
        window.worked()
    assert_that(window.size, equal_to(32))


@given(st.lists(st.booleans(), max_size=100))
def test_the_window_stays_between_one_and_the_most(outcomes: list[bool]) -> None:
    window = Window(8)
    for worked in outcomes:
        window.worked() if worked else window.failed()
        assert 1 <= window.size <= 8
        assert window.trying == (window.size == 1 and not worked)
