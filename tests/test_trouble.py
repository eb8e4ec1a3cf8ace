"""Since when something does not work, by a clock that the test moves."""

from __future__ import annotations

from hamcrest import assert_that, equal_to, none
from twisted.internet.task import Clock

from dialer.trouble import Trouble, TroubleWatch


def test_trouble_lasts_from_the_first_failure_and_tells_the_last_error() -> None:
    clock = Clock()
    watch = TroubleWatch(clock)
    assert_that(watch.trouble, none())
    watch.failed("first")
    clock.advance(5)
    watch.failed("second")
    clock.advance(5)
    assert_that(watch.trouble, equal_to(Trouble(10.0, "second")))


def test_trouble_is_over_with_the_first_success_and_begins_anew() -> None:
    clock = Clock()
    watch = TroubleWatch(clock)
    watch.failed("first")
    clock.advance(5)
    watch.works()
    assert_that(watch.trouble, none())
    watch.failed("again")
    assert_that(watch.trouble, equal_to(Trouble(0.0, "again")))
