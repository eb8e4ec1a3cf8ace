"""The bell, on a clock that the test turns."""

from __future__ import annotations

from hamcrest import assert_that, contains_exactly, empty, equal_to
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from dialer.bell import Bell


def _waiting(bell: Bell, seconds: float) -> list[bool]:
    woken: list[bool] = []
    Deferred.fromCoroutine(bell.wait(seconds)).addCallback(woken.append)
    return woken


def test_a_ring_wakes_the_sleeper_and_leaves_no_timer() -> None:
    clock = Clock()
    bell = Bell(clock)
    woken = _waiting(bell, 5)
    bell.ring()
    bell.ring()
    clock.advance(0)
    assert_that(woken, contains_exactly(True))
    assert_that(clock.getDelayedCalls(), empty())


def test_rings_before_the_wait_count_once() -> None:
    bell = Bell(Clock())
    bell.ring()
    bell.ring()
    assert_that(_waiting(bell, 5), contains_exactly(True))
    assert_that(_waiting(bell, 5), empty())


def test_without_a_ring_the_sleeper_wakes_in_time() -> None:
    clock = Clock()
    woken = _waiting(Bell(clock), 5)
    clock.advance(4.9)
    assert_that(woken, empty())
    clock.advance(0.1)
    assert_that(woken, contains_exactly(False))


def test_a_cancelled_wait_leaves_the_bell_usable() -> None:
    clock = Clock()
    bell = Bell(clock)
    waiting = Deferred.fromCoroutine(bell.wait(5))
    waiting.addErrback(lambda failure: None)
    waiting.cancel()
    assert_that(clock.getDelayedCalls(), empty())
    bell.ring()
    clock.advance(0)
    assert_that(_waiting(bell, 5), equal_to([True]))
