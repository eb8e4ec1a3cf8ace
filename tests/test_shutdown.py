"""An ordered shutdown that is over in time, on a clock that the test turns."""

from __future__ import annotations

from typing import Any

import pytest
from hamcrest import assert_that, close_to, contains_exactly, contains_string, empty, equal_to, has_length
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent

from dialer.shutdown import LEAST, Shutdown
from tests.hygiene import LoggedFailures


class Stop:
    """A Shutdown within ten seconds, and how its steps ended."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.shutdown = Shutdown(self.clock, 10.0)
        self.over: list[str] = []

    def step(self, name: str, work: Any, **bounds: float) -> Deferred[None]:
        step = Deferred.fromCoroutine(self.shutdown.step(name, work, **bounds))
        step.addCallback(lambda _: self.over.append(name))
        return step


@pytest.fixture
def stop() -> Stop:
    return Stop()


def test_a_step_that_has_nothing_to_wait_for_is_over_at_once(stop: Stop) -> None:
    stop.step("plain", lambda: None)
    assert_that((stop.over, stop.clock.getDelayedCalls()), equal_to((["plain"], [])))


def test_a_step_is_waited_for(stop: Stop) -> None:
    work: Deferred[None] = Deferred()
    stop.step("slow", lambda: work)
    stop.clock.advance(9.9)
    assert_that(stop.over, empty())
    work.callback(None)
    assert_that((stop.over, stop.clock.getDelayedCalls()), equal_to((["slow"], [])))


def test_a_late_step_is_cancelled_left_behind_and_named_in_the_log(stop: Stop) -> None:
    cancelled: list[str] = []
    with capturedLogs() as logged:
        stop.step("late", lambda: Deferred(lambda _: cancelled.append("late")))
        stop.clock.advance(10)
    assert_that((stop.over, cancelled), equal_to((["late"], ["late"])))
    assert_that([formatEvent(event) for event in logged], contains_exactly(contains_string("late took longer")))


def test_a_late_step_that_ignores_being_cancelled_is_left_behind_all_the_same(stop: Stop) -> None:
    for_ever: Deferred[None] = Deferred()

    async def stubborn() -> None:
        try:
            await Deferred()
        except CancelledError:
            await for_ever

    stop.step("stubborn", stubborn)
    stop.clock.advance(10)
    assert_that(stop.over, contains_exactly("stubborn"))
    for_ever.callback(None)


def test_what_a_step_that_was_left_behind_fails_with_at_last_is_nobodys_business(stop: Stop) -> None:
    failing: Deferred[None] = Deferred()

    async def stubborn() -> None:
        try:
            await Deferred()
        except CancelledError:
            await failing

    stop.step("stubborn", stubborn)
    stop.clock.advance(10)
    failing.errback(OSError("too late"))  # the hygiene fixture fails this test for an unhandled error


def test_a_step_gets_no_more_than_its_own_bound(stop: Stop) -> None:
    stop.step("bounded", Deferred, at_most=2.0)
    stop.clock.advance(1.9)
    assert_that(stop.over, empty())
    stop.clock.advance(0.1)
    assert_that(stop.over, contains_exactly("bounded"))


def test_the_steps_share_the_time_and_each_later_one_still_gets_a_little(stop: Stop) -> None:
    stop.step("first", Deferred)
    stop.clock.advance(10)
    for number in range(3):
        stop.step(f"later {number}", Deferred)
        stop.clock.advance(LEAST / 2)
        assert_that(stop.over, has_length(1 + number))
        stop.clock.advance(LEAST / 2)
    assert_that(stop.over, contains_exactly("first", "later 0", "later 1", "later 2"))
    assert_that(stop.clock.seconds(), close_to(10 + 3 * LEAST, 1e-6))


def test_a_step_after_a_late_one_still_does_its_work(stop: Stop) -> None:
    done: list[str] = []
    stop.step("late", Deferred)
    stop.clock.advance(11)
    stop.step("next", lambda: done.append("next"))
    assert_that((done, stop.over), equal_to((["next"], ["late", "next"])))


@pytest.mark.parametrize("later", [False, True])
def test_a_step_that_fails_is_logged_and_the_next_runs(
    stop: Stop, later: bool, logged_failures: LoggedFailures
) -> None:
    work: Deferred[None] = Deferred()

    def fails() -> Any:
        if later:
            return work
        raise OSError("broken")

    stop.step("failing", fails)
    if later:
        work.errback(OSError("broken"))
    stop.step("next", lambda: None)
    assert_that(stop.over, contains_exactly("failing", "next"))
    assert_that(logged_failures.flush(OSError), has_length(1))
    assert_that(stop.clock.getDelayedCalls(), empty())


def test_a_shutdown_that_is_itself_cancelled_does_not_go_on(stop: Stop) -> None:
    errors: list[Any] = []
    step = stop.step("slow", Deferred)
    step.addErrback(lambda failure: errors.append(failure.type))
    step.cancel()
    assert_that((stop.over, errors, stop.clock.getDelayedCalls()), equal_to(([], [CancelledError], [])))
