"""The throttle on a clock that the tests turn."""

from __future__ import annotations

import itertools
import math
from bisect import bisect_left
from collections.abc import Iterator

import pytest
from hamcrest import (
    all_of,
    assert_that,
    calling,
    close_to,
    empty,
    equal_to,
    greater_than_or_equal_to,
    has_length,
    instance_of,
    is_,
    less_than_or_equal_to,
    raises,
)
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock

from dialer.pacing import STRETCH
from dialer.throttle import LOOK_AGAIN, Permit, Throttle, ThrottleClosed
from tests.esl.support import error_of


@pytest.fixture
def clock() -> Iterator[Clock]:
    clock = Clock()
    yield clock
    assert_that(clock.getDelayedCalls(), is_(empty()), "timers left")


class Caller:
    """Acquires a permit and keeps what comes."""

    def __init__(self, throttle: Throttle, *, first: bool = False) -> None:
        self.permit: Permit | None = None
        self.error: BaseException | None = None
        self.deferred: Deferred[Permit] = throttle.acquire(first=first)
        self.deferred.addCallbacks(self._served, self._failed)

    def _served(self, permit: Permit) -> None:
        self.permit = permit

    def _failed(self, failure) -> None:
        self.error = failure.value

    @property
    def served(self) -> bool:
        return self.permit is not None


def use_at_once(throttle: Throttle, clock: Clock, uses: list[float]) -> None:
    """A caller that uses its permit as soon as it has it."""

    def use(permit: Permit) -> None:
        permit.used()
        uses.append(clock.seconds())

    throttle.acquire().addCallback(use)


def most_within(uses: list[float], seconds: float) -> int:
    return max((bisect_left(uses, use + seconds) - place for place, use in enumerate(uses)), default=0)


def test_an_idle_throttle_serves_at_once(clock: Clock) -> None:
    assert_that(Caller(Throttle(clock, 10)).served, is_(True))


def test_it_tells_how_long_ago_a_caller_last_had_to_wait_for_its_turn(clock: Clock) -> None:
    throttle, uses = Throttle(clock, 2), []
    use_at_once(throttle, clock, uses)
    assert_that(throttle.waited_for(), is_(math.inf))
    use_at_once(throttle, clock, uses)
    assert_that(throttle.waited_for(), is_(0.0))
    clock.advance(1)
    clock.advance(1)
    assert_that((len(uses), throttle.waited_for()), equal_to((2, 2.0)))


def test_who_waits_to_come_near_its_turn_waits_too(clock: Clock) -> None:
    throttle, uses = Throttle(clock, 1), []
    use_at_once(throttle, clock, uses)
    near = Deferred.fromCoroutine(throttle.soon(0.1))
    assert_that((near.called, throttle.waited_for()), equal_to((False, 0.0)))
    clock.pump([0.05] * 20)
    # It was called 0.1 s before its turn, which comes a second after the first use.
    assert_that(near.called, is_(True))
    assert_that(throttle.waited_for(), is_(close_to(0.05, 0.01)))


def test_callers_are_served_in_turn_and_evenly(clock: Clock) -> None:
    throttle, uses = Throttle(clock, 4), []
    for _ in range(9):
        use_at_once(throttle, clock, uses)
    clock.pump([0.01] * 250)
    assert_that(uses, has_length(9))
    gaps = [later - earlier for earlier, later in itertools.pairwise(uses)]
    assert_that(min(gaps), is_(greater_than_or_equal_to(0.23)))
    assert_that(max(gaps), is_(less_than_or_equal_to(0.27)))


@pytest.mark.parametrize("rate", [0.5, 1, 2.5, 10, 100])
def test_no_sliding_second_has_more_uses_than_the_rate_and_the_mean_is_kept(clock: Clock, rate: float) -> None:
    throttle, uses = Throttle(clock, rate), []
    number = int(40 * rate)
    for _ in range(number):
        use_at_once(throttle, clock, uses)
    while clock.getDelayedCalls():
        # As a reactor does it: about a millisecond late.
        clock.advance(max(0.0, clock.getDelayedCalls()[0].getTime() - clock.seconds()) + 0.001)
    assert_that(uses, has_length(number))
    assert_that(most_within(uses, 1.0), is_(less_than_or_equal_to(math.ceil(rate))))
    assert_that((number - 1) / (uses[-1] - uses[0]), is_(greater_than_or_equal_to(0.99 * rate)))


def test_equals_are_served_first_come_first_served(clock: Clock) -> None:
    throttle, order = Throttle(clock, 100), []
    for name in "abcdef":
        throttle.acquire().addCallback(lambda permit, name=name: (order.append(name), permit.unused()))
    clock.pump([0.05] * 10)
    assert_that("".join(order), equal_to("abcdef"))


def test_those_with_first_go_before_all_others_in_their_own_order(clock: Clock) -> None:
    throttle = Throttle(clock, 1)
    served: list[str] = []
    for name, first in [("a", False), ("b", False), ("c", False), ("X", True), ("Y", True)]:
        throttle.acquire(first=first).addCallback(lambda permit, name=name: (served.append(name), permit.used()))
    clock.pump([0.1] * 60)
    assert_that("".join(served), equal_to("aXYbc"))


def test_who_gives_up_leaves_the_turn_to_the_next(clock: Clock) -> None:
    throttle = Throttle(clock, 1)
    Caller(throttle).permit.used()
    leaving, staying = Caller(throttle), Caller(throttle)
    leaving.deferred.cancel()
    assert_that(leaving.error, is_(instance_of(CancelledError)))
    clock.advance(1.1)
    assert_that(staying.served, is_(True))


def test_when_all_have_given_up_no_timer_is_left(clock: Clock) -> None:
    throttle = Throttle(clock, 1)
    Caller(throttle).permit.used()
    callers = [Caller(throttle), Caller(throttle, first=True)]
    for caller in callers:
        caller.deferred.cancel()
    assert_that(throttle.waiting, equal_to(0))
    assert_that(clock.getDelayedCalls(), is_(empty()))


def test_permits_that_are_neither_used_nor_given_back_hold_up_the_others(clock: Clock) -> None:
    throttle = Throttle(clock, 2)
    held = [Caller(throttle), Caller(throttle)]
    clock.advance(1.0)
    waiting = Caller(throttle)
    clock.advance(3600.0)
    assert_that([caller.served for caller in held], equal_to([True, True]))
    assert_that(waiting.served, is_(False))
    held[0].permit.unused()
    assert_that(waiting.served, is_(True))


def test_a_permit_used_late_counts_from_its_use(clock: Clock) -> None:
    throttle = Throttle(clock, 1)
    late = Caller(throttle)
    clock.advance(100.0)
    late.permit.used()
    waiting = Caller(throttle)
    clock.advance(0.99)
    assert_that(waiting.served, is_(False))
    clock.advance(0.02)
    assert_that(waiting.served, is_(True))


def test_using_a_permit_twice_counts_once(clock: Clock) -> None:
    throttle = Throttle(clock, 2)
    permit = Caller(throttle).permit
    permit.used()
    clock.advance(0.9)
    permit.used()
    permit.unused()
    clock.advance(0.2)
    other = Caller(throttle)
    other.permit.used()
    assert_that(permit.settled, is_(True))
    assert_that(Caller(throttle).served, is_(False))
    clock.advance(1.0)


def test_giving_a_used_permit_back_does_not_undo_its_use(clock: Clock) -> None:
    throttle = Throttle(clock, 1)
    permit = Caller(throttle).permit
    permit.used()
    permit.unused()
    waiting = Caller(throttle)
    assert_that(waiting.served, is_(False))
    clock.advance(1.1)
    assert_that(waiting.served, is_(True))


def test_using_a_permit_that_was_given_back_counts_nothing(clock: Clock) -> None:
    throttle = Throttle(clock, 1)
    permit = Caller(throttle).permit
    permit.unused()
    permit.used()
    assert_that(Caller(throttle).served, is_(True))


def test_a_block_gives_back_the_permit_that_it_did_not_use(clock: Clock) -> None:
    throttle = Throttle(clock, 1)

    def fails() -> None:
        with Caller(throttle).permit:
            raise KeyError("no")

    assert_that(calling(fails), raises(KeyError))
    with Caller(throttle).permit as permit:
        permit.used()
    assert_that(Caller(throttle).served, is_(False))
    clock.advance(1.1)


def test_a_higher_rate_serves_those_who_wait_sooner(clock: Clock) -> None:
    throttle = Throttle(clock, 0.1)
    Caller(throttle).permit.used()
    waiting = Caller(throttle)
    clock.advance(1.0)
    throttle.rate = 5
    clock.advance(0.3)
    assert_that(waiting.served, is_(True))
    assert_that(throttle.rate, equal_to(5))


def test_a_lower_rate_serves_those_who_wait_later(clock: Clock) -> None:
    throttle = Throttle(clock, 10)
    Caller(throttle).permit.used()
    waiting = Caller(throttle)
    throttle.rate = 0.5
    clock.advance(1.9)
    assert_that(waiting.served, is_(False))
    clock.advance(0.2)
    assert_that(waiting.served, is_(True))


def test_closing_turns_away_all_who_wait_or_come_later(clock: Clock) -> None:
    throttle = Throttle(clock, 1)
    out = Caller(throttle)
    waiting = [Caller(throttle), Caller(throttle, first=True)]
    throttle.close()
    waiting.append(Caller(throttle))
    assert_that([type(caller.error) for caller in waiting], equal_to([ThrottleClosed] * 3))
    out.permit.used()
    throttle.close()


def test_closing_stops_the_timer(clock: Clock) -> None:
    throttle = Throttle(clock, 1)
    Caller(throttle).permit.used()
    Caller(throttle)
    throttle.close()
    assert_that(clock.getDelayedCalls(), is_(empty()))


def test_one_who_is_turned_away_may_cancel_another(clock: Clock) -> None:
    throttle = Throttle(clock, 1)
    Caller(throttle).permit.used()
    one, other = Caller(throttle), Caller(throttle)
    one.deferred.addCallback(lambda _: other.deferred.cancel())
    throttle.close()
    assert_that(other.error, is_(instance_of(CancelledError)))


def test_who_is_served_may_acquire_again_at_once(clock: Clock) -> None:
    throttle, uses = Throttle(clock, 10), []

    def again(permit: Permit) -> None:
        permit.used()
        uses.append(clock.seconds())
        if len(uses) < 50:
            throttle.acquire().addCallback(again)

    throttle.acquire().addCallback(again)
    clock.pump([0.01] * 600)
    assert_that(uses, has_length(50))
    assert_that(most_within(uses, 1.0), equal_to(10))


def test_thousands_may_wait_and_be_served_in_one_go(clock: Clock) -> None:
    throttle = Throttle(clock, 1000)
    callers = []
    for _ in range(5000):
        callers.append(Caller(throttle))
        callers[-1].deferred.addCallback(lambda _, caller=callers[-1]: caller.permit.unused())
    clock.pump([0.1] * 10)
    assert_that(all(caller.served for caller in callers), is_(True))


@given(
    rate=st.sampled_from([0.5, 1, 2.5, 3, 10, 12.5]),
    steps=st.lists(
        st.tuples(
            st.sampled_from(["acquire", "acquire", "acquire", "first", "use", "use", "give back", "cancel", "rate"]),
            st.sampled_from([0.0, 0.0, 0.001, 0.02, 0.1, 0.35, 1.0]),
            st.integers(0, 30),
        ),
        max_size=120,
    ),
)
def test_the_limit_holds_and_no_permit_is_lost_whatever_the_callers_do(
    rate: float, steps: list[tuple[str, float, int]]
) -> None:
    clock = Clock()
    throttle = Throttle(clock, rate)
    callers: list[Caller] = []
    uses: list[float] = []
    highest = rate
    for step, wait, which in steps:
        clock.advance(wait)
        unsettled = [caller for caller in callers if caller.served and not caller.permit.settled]
        waiting = [caller for caller in callers if not caller.served and caller.error is None]
        if step in ("acquire", "first"):
            callers.append(Caller(throttle, first=step == "first"))
        elif step == "use" and unsettled:
            unsettled[which % len(unsettled)].permit.used()
            uses.append(clock.seconds())
        elif step == "give back" and unsettled:
            unsettled[which % len(unsettled)].permit.unused()
        elif step == "cancel" and waiting:
            waiting[which % len(waiting)].deferred.cancel()
        elif step == "rate":
            throttle.rate = max(0.5, which / 2)
            highest = max(highest, throttle.rate)
    assert_that(most_within(uses, 1.0), is_(less_than_or_equal_to(math.ceil(highest))))
    # Whoever still waits is served once those before have settled.
    throttle.rate = 10
    for _ in range(len(callers) + 1):
        for caller in callers:
            if caller.served:
                caller.permit.unused()
        clock.advance(1.1)
    assert_that([caller for caller in callers if not caller.served and caller.error is None], is_(empty()))
    assert_that(clock.getDelayedCalls(), is_(empty()))


def test_a_second_is_a_little_longer_so_that_the_switch_counts_no_more_either(clock: Clock) -> None:
    throttle, uses = Throttle(clock, 1), []
    for _ in range(2):
        use_at_once(throttle, clock, uses)
    clock.pump([0.0005] * 2100)
    assert_that(uses[1] - uses[0], is_(all_of(greater_than_or_equal_to(STRETCH), less_than_or_equal_to(1.004))))


# -- something to do before the turn -----------------------------------------------------------------------------------


LEAD = 0.1


def soon(throttle: Throttle) -> Deferred[None]:
    return Deferred.fromCoroutine(throttle.soon(LEAD))


def test_an_idle_throttle_says_at_once_that_the_turn_is_near(clock: Clock) -> None:
    throttle = Throttle(clock, 1)
    assert_that(soon(throttle).called, is_(True))
    assert_that(Caller(throttle).served, is_(True))  # it took nothing


def test_a_turn_that_is_near_enough_is_not_waited_for(clock: Clock) -> None:
    throttle = Throttle(clock, 1)
    Caller(throttle).permit.used()
    clock.advance(STRETCH - LEAD + 0.001)
    assert_that((soon(throttle).called, Caller(throttle).served), equal_to((True, False)))
    clock.advance(LEAD)


def test_who_prepares_for_the_turn_begins_so_long_before_it_and_no_sooner(clock: Clock) -> None:
    throttle = Throttle(clock, 1)
    Caller(throttle).permit.used()
    near = soon(throttle)
    clock.pump([0.001] * round((STRETCH - LEAD) * 1000 - 1))
    assert_that(near.called, is_(False))
    clock.pump([0.001] * 2)
    assert_that(near.called, is_(True))


def test_while_all_permits_are_out_no_turn_is_near_until_one_is_given_back(clock: Clock) -> None:
    throttle = Throttle(clock, 2)
    out = [Caller(throttle)]
    clock.advance(1)
    out.append(Caller(throttle))
    near = soon(throttle)
    clock.advance(3600)
    assert_that(near.called, is_(False))
    out[0].permit.unused()
    clock.advance(LOOK_AGAIN)
    assert_that(near.called, is_(True))


def test_while_all_permits_are_out_no_turn_is_near_until_one_was_used_for_long_enough(clock: Clock) -> None:
    throttle = Throttle(clock, 1)
    out = Caller(throttle)
    near = soon(throttle)
    clock.advance(3600)
    out.permit.used()
    clock.pump([0.001] * round((STRETCH - LEAD) * 1000 - 1))
    assert_that(near.called, is_(False))
    clock.pump([0.001] * 2)
    assert_that(near.called, is_(True))


def test_closing_turns_away_who_waits_for_the_turn_to_be_near_and_leaves_no_timer(clock: Clock) -> None:
    throttle = Throttle(clock, 1)
    Caller(throttle).permit.used()
    waiting = [soon(throttle), soon(throttle)]
    throttle.close()
    assert_that([type(error_of(each)) for each in waiting], equal_to([ThrottleClosed] * 2))
    assert_that(clock.getDelayedCalls(), is_(empty()))


def test_no_turn_of_a_closed_throttle_is_near(clock: Clock) -> None:
    throttle = Throttle(clock, 1)
    throttle.close()
    assert_that(error_of(soon(throttle)), is_(instance_of(ThrottleClosed)))


def test_who_waits_no_longer_for_the_turn_to_be_near_leaves_no_timer(clock: Clock) -> None:
    throttle = Throttle(clock, 1)
    Caller(throttle).permit.used()
    leaving, staying = soon(throttle), soon(throttle)
    leaving.cancel()
    assert_that(error_of(leaving), is_(instance_of(CancelledError)))
    assert_that(clock.getDelayedCalls(), has_length(1))
    clock.advance(1)
    assert_that((staying.called, clock.getDelayedCalls()), equal_to((True, [])))


def use_one(throttle: Throttle) -> None:
    permit = Caller(throttle).permit
    assert permit is not None
    permit.used()


def test_soon_counts_those_who_already_wait(clock: Clock) -> None:
    throttle = Throttle(clock, 10.0)
    use_one(throttle)
    waiting = [Caller(throttle, first=True) for _ in range(3)]
    near = Deferred.fromCoroutine(throttle.soon(0.01))
    for caller in waiting:
        assert_that(near.called, is_(False))
        clock.pump([0.01] * 11)
        assert caller.permit is not None
        caller.permit.used()
    clock.pump([0.01] * 11)
    assert_that(near.called, is_(True))
