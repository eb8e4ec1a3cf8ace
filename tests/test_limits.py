"""What each switch can take, on a clock that the test turns. How the rate falls and recovers: tests/test_pacing.py."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import frozen
from hamcrest import (
    assert_that,
    empty,
    equal_to,
    greater_than,
    has_length,
    has_properties,
    instance_of,
    is_,
    less_than,
    none,
)
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent

from dialer.limits import Slowed, SwitchLimits
from dialer.throttle import ThrottleClosed
from tests.esl.support import error_of


@frozen
class Switch:
    name: str


ONE, OTHER = Switch("one:8021"), Switch("other:8021")
RATE = 100.0


class Limits:
    """SwitchLimits and when each turn came."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.limits: Any = SwitchLimits(self.clock, RATE)
        self.turns: list[float] = []

    def turn(self, switch: Switch = ONE) -> Deferred[None]:
        turn = Deferred.fromCoroutine(self.limits.turn(switch))
        turn.addCallback(lambda _: self.turns.append(self.clock.seconds()))
        return turn

    def in_a_second(self, switch: Switch = ONE) -> int:
        """How many of very many turns come within a second."""
        before = len(self.turns)
        waiting = [self.turn(switch) for _ in range(200)]
        for _ in range(100):
            self.clock.advance(0.01)
        came = len(self.turns) - before
        for each in waiting:
            each.addErrback(lambda _: None)
            each.cancel()
        return came

    def slow_down(self, switch: Switch = ONE, taken: int = 20) -> None:
        """It takes that many within a second and refuses more."""
        for _ in range(taken):
            self.limits.accepted(switch)
        self.limits.refused(switch)


@pytest.fixture
def limits() -> Limits:
    return Limits()


def test_a_switch_that_never_complained_is_not_waited_for(limits: Limits) -> None:
    assert_that(limits.in_a_second(), is_(200))
    assert_that((set(limits.turns), limits.limits.rates()), equal_to(({0.0}, {})))


def test_a_switch_over_its_limits_is_given_less(limits: Limits) -> None:
    limits.slow_down()
    rate = limits.limits.rates()[ONE.name]
    assert_that(rate, less_than(RATE))
    assert_that(limits.in_a_second(), less_than(rate * 1.1))


def test_it_tells_since_when_a_switch_is_slowed_down_and_to_what(limits: Limits) -> None:
    assert_that(limits.limits.slowed(ONE.name), none())
    limits.slow_down()
    limits.clock.advance(2)
    limits.slow_down(taken=0)
    limits.clock.advance(1)
    rate = limits.limits.rates()[ONE.name]
    assert_that(limits.limits.slowed(ONE.name), equal_to(Slowed(rate, 3.0)))
    limits.clock.advance(1000)
    assert_that(limits.limits.slowed(ONE.name), none())
    limits.slow_down()
    assert_that(limits.limits.slowed(ONE.name), has_properties(seconds=0.0))


def test_another_switch_is_not_slowed_down(limits: Limits) -> None:
    limits.slow_down(ONE)
    assert_that(limits.in_a_second(OTHER), is_(200))
    assert_that(list(limits.limits.rates()), equal_to([ONE.name]))


def test_those_who_wait_for_a_slow_switch_come_one_after_the_other(limits: Limits) -> None:
    limits.slow_down()
    limits.in_a_second()
    gaps = [later - sooner for sooner, later in zip(limits.turns, limits.turns[1:], strict=False)]
    assert_that(min(gaps), greater_than(0))


def test_a_further_refusal_slows_down_those_who_wait_already(limits: Limits) -> None:
    limits.slow_down()
    before = limits.limits.rates()[ONE.name]
    waiting = [limits.turn() for _ in range(200)]
    limits.clock.advance(1.5)
    limits.slow_down(taken=0)
    began = len(limits.turns)
    for _ in range(100):
        limits.clock.advance(0.01)
    assert_that(len(limits.turns) - began, less_than(before * 0.7))
    for each in waiting:
        each.addErrback(lambda _: None)
        each.cancel()


def test_a_switch_that_no_longer_complains_gets_the_full_speed_again_and_it_is_said_once(limits: Limits) -> None:
    limits.slow_down()
    limits.clock.advance(200)
    with capturedLogs() as logged:
        assert_that(limits.in_a_second(), is_(200))
    assert_that(limits.limits.rates(), equal_to({}))
    assert_that([formatEvent(event) for event in logged], equal_to(["one:8021 takes the full speed again"]))


def test_a_burst_of_refusals_is_logged_once(limits: Limits) -> None:
    with capturedLogs() as logged:
        for _ in range(10):
            limits.limits.refused(ONE)
    assert_that(logged, has_length(1))
    assert_that(formatEvent(logged[0]), is_("one:8021 is over its limits; slowed down to 50.0/s"))


def test_nobody_waits_for_a_slow_switch_once_the_dialer_stops(limits: Limits) -> None:
    limits.slow_down()
    waiting = [limits.turn() for _ in range(5)]
    limits.limits.close()
    late = limits.turn()
    errors = [error_of(each) for each in (*waiting[1:], late)]
    assert_that([type(error) for error in errors], equal_to([ThrottleClosed] * 5))
    assert_that(errors[0], instance_of(ThrottleClosed))
    assert_that(limits.clock.getDelayedCalls(), empty())
