"""The waits between attempts to connect."""

from __future__ import annotations

from random import Random

from hamcrest import assert_that, equal_to, greater_than, greater_than_or_equal_to, less_than_or_equal_to
from hypothesis import given
from hypothesis import strategies as st

from dialer.esl.backoff import FIRST_WAIT, reconnect_delay


class Highest(Random):
    """Dice that take nothing off."""

    def uniform(self, a: float, b: float) -> float:
        return b


def test_waits_double_from_a_short_one_to_the_longest() -> None:
    waits = [reconnect_delay(failures, 10.0, Highest()) for failures in range(7)]

    assert_that(waits, equal_to([0.5, 1.0, 2.0, 4.0, 8.0, 10.0, 10.0]))


def test_a_longest_wait_shorter_than_the_first_is_kept() -> None:
    assert_that(reconnect_delay(0, 0.1, Highest()), equal_to(0.1))


@given(st.integers(0, 10**9), st.floats(0.001, 86_400), st.integers())
def test_a_wait_is_never_longer_than_the_longest_nor_shorter_than_half_of_what_it_would_be(
    failures: int, longest: float, seed: int
) -> None:
    wait = reconnect_delay(failures, longest, Random(seed))

    assert_that(wait, less_than_or_equal_to(longest))
    assert_that(wait, greater_than_or_equal_to(min(longest, FIRST_WAIT) / 2))


def test_two_dialers_do_not_wait_the_same_time() -> None:
    waits = {reconnect_delay(5, 60.0, Random(seed)) for seed in range(100)}

    assert_that(len(waits), greater_than(90))
