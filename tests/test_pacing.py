"""Dialing speed, the limit of one switch, and the waits between attempts: all without a clock."""

from __future__ import annotations

import itertools
import math
from bisect import bisect_left
from random import Random

import pytest
from hamcrest import (
    all_of,
    assert_that,
    calling,
    close_to,
    equal_to,
    greater_than,
    greater_than_or_equal_to,
    is_,
    less_than,
    less_than_or_equal_to,
    raises,
)
from hypothesis import given
from hypothesis import strategies as st

from dialer.pacing import CREDIT, STRETCH, Pace, Slowdown, backoff

RATES = [0.5, 1, 2.5, 4, 10, 10.5, 30, 100]


def most_within(uses: list[float], seconds: float) -> int:
    """The most uses in any half-open span of so many seconds; `uses` are sorted."""
    return max((bisect_left(uses, use + seconds) - place for place, use in enumerate(uses)), default=0)


def busy(pace: Pace, seconds: float, *, late: float = 0.0, seed: int = 1) -> list[float]:
    """Use every permit at once for so many seconds, each timer up to `late` seconds late."""
    random = Random(seed)
    now, uses = 0.0, []
    while now < seconds:
        due = pace.earliest(now)
        if due > now:
            now = due + late * random.random()
        else:
            pace.grant(now)
            pace.used(now)
            uses.append(now)
    return uses


# -- Pace --------------------------------------------------------------------------------------------------------------


def test_the_first_permit_may_be_granted_at_once() -> None:
    assert_that(Pace(10).earliest(5.0), equal_to(5.0))


@pytest.mark.parametrize("rate", RATES)
def test_uses_are_evenly_spaced(rate: float) -> None:
    uses = busy(Pace(rate), 50 / rate)
    gaps = [later - earlier for earlier, later in itertools.pairwise(uses)]
    assert_that(min(gaps), close_to(STRETCH / rate, 1e-6))
    assert_that(max(gaps), close_to(STRETCH / rate, 1e-6))


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("late", [0.0, 0.001, 0.02, 0.5])
def test_no_sliding_second_has_more_uses_than_the_rate_however_late_the_timers_are(rate: float, late: float) -> None:
    uses = busy(Pace(rate), max(20, 20 / rate), late=late)
    assert_that(most_within(uses, 1.0), is_(less_than_or_equal_to(math.ceil(rate))))


@pytest.mark.parametrize(("rate", "apart"), [(0.25, 4.0), (0.5, 2.0), (1, 1.0), (2.5, 0.4), (7.5, 1 / 7.5)])
def test_a_fraction_keeps_its_distance_between_any_two_uses(rate: float, apart: float) -> None:
    uses = busy(Pace(rate), 40 / rate, late=0.3)
    assert_that(
        min(later - earlier for earlier, later in itertools.pairwise(uses)), is_(greater_than_or_equal_to(apart))
    )


@pytest.mark.parametrize("rate", RATES)
def test_the_mean_stays_at_99_percent_while_timers_are_some_milliseconds_late(rate: float) -> None:
    span = 1 / rate if rate in (0.5, 2.5) else 1.0
    uses = busy(Pace(rate), 200 * max(1, 1 / rate), late=0.008 * span)
    mean = (len(uses) - 1) / (uses[-1] - uses[0])
    assert_that(mean, is_(all_of(greater_than_or_equal_to(0.99 * rate), less_than_or_equal_to(rate * 1.001))))


def test_a_late_timer_is_caught_up_with() -> None:
    pace = Pace(10)
    for now in (0.0, 0.11, 0.22, 0.34):
        pace.grant(now)
        pace.used(now)
    assert_that(pace.earliest(0.34), close_to(0.4, 0.001))


@pytest.mark.parametrize("rate", [1, 10, 100, 300])
def test_after_a_pause_uses_are_spaced_from_the_first(rate: float) -> None:
    pace = Pace(rate)
    busy(pace, 1.0)
    pace.grant(60.0)
    pace.used(60.0)
    assert_that(pace.earliest(60.0), close_to(60.0 + STRETCH / rate, 1e-6))


def test_a_timer_that_is_very_late_lets_no_more_go_at_once_than_the_credit() -> None:
    pace = Pace(300)
    now = busy(pace, 1.0)[-1] + CREDIT
    granted = 0
    while pace.earliest(now) <= now:
        pace.grant(now)
        pace.used(now)
        granted += 1
    assert_that(granted, is_(less_than_or_equal_to(1 + CREDIT * 300)))


def test_permits_that_are_out_count_as_if_they_were_used_now() -> None:
    pace = Pace(3)
    for now in (0.0, 1.0, 2.0):
        pace.grant(now)
    assert_that(pace.outstanding, equal_to(3))
    assert_that(pace.earliest(100.0), equal_to(math.inf))
    pace.used(100.0)
    assert_that(pace.earliest(100.0), equal_to(100.0 + STRETCH))


def test_a_permit_given_back_frees_its_turn() -> None:
    pace = Pace(1)
    pace.grant(0.0)
    assert_that(pace.earliest(0.2), equal_to(math.inf))
    pace.unused()
    assert_that(pace.earliest(0.2), equal_to(0.2))


def test_a_permit_given_back_leaves_the_uses_counted() -> None:
    pace = Pace(1)
    pace.grant(0.0)
    pace.used(0.0)
    pace.grant(1.5)
    pace.unused()
    assert_that(pace.earliest(0.5 + 1.0), equal_to(1.5))
    assert_that(Pace(1).earliest(0.0), equal_to(0.0))


@given(
    rate=st.sampled_from([0.5, 1, 2, 2.5, 3, 5, 9.5, 10, 12.5, 20]),
    steps=st.lists(
        st.tuples(
            st.sampled_from(["grant", "grant", "grant", "use", "use", "give back"]),
            st.sampled_from([0.0, 0.0, 0.001, 0.03, 0.1, 0.4, 0.9, 1.0, 2.1]),
        ),
        max_size=150,
    ),
)
def test_the_limit_holds_whatever_is_granted_used_late_or_given_back(
    rate: float, steps: list[tuple[str, float]]
) -> None:
    pace, now, uses = Pace(rate), 0.0, []
    for step, wait in steps:
        now += wait
        if step == "grant" and pace.earliest(now) <= now:
            pace.grant(now)
        elif step == "use" and pace.outstanding:
            pace.used(now)
            uses.append(now)
        elif step == "give back" and pace.outstanding:
            pace.unused()
    assert_that(most_within(uses, 1.0), is_(less_than_or_equal_to(math.ceil(rate))))
    if rate < 1:
        assert_that(most_within(uses, 1 / rate), is_(less_than_or_equal_to(1)))


@given(
    rates=st.lists(st.tuples(st.sampled_from([0.5, 1, 2.5, 7, 10, 10.5, 40]), st.floats(0.05, 3.0)), max_size=12),
)
def test_no_sliding_second_has_more_uses_than_the_highest_rate_of_that_second(rates: list[tuple[float, float]]) -> None:
    pace, now, uses, spells = Pace(1), 0.0, [], []
    for rate, seconds in rates:
        pace.rate = rate
        spells.append((now, now + seconds, rate))
        end = now + seconds
        while (due := pace.earliest(now)) <= end:
            now = due
            pace.grant(now)
            pace.used(now)
            uses.append(now)
        now = end
    for place, use in enumerate(uses):
        highest = max(rate for begin, end, rate in spells if begin < use + 1 and end >= use)
        assert_that(bisect_left(uses, use + 1.0) - place, is_(less_than_or_equal_to(math.ceil(highest))))


def test_a_lower_rate_holds_at_once() -> None:
    pace = Pace(100)
    last = busy(pace, 1.0)[-1]
    pace.rate = 0.5
    assert_that(pace.earliest(last), equal_to(last + 2 * STRETCH))


def test_a_higher_rate_holds_at_once() -> None:
    pace = Pace(0.1)
    pace.grant(0.0)
    pace.used(0.0)
    pace.rate = 10
    assert_that(pace.earliest(0.0), is_(less_than_or_equal_to(0.1 * STRETCH)))


def test_a_higher_rate_remembers_what_was_used_under_an_older_one() -> None:
    pace = Pace(10)
    last = busy(pace, 1.0)[-1]
    pace.rate = 0.5
    pace.rate = 10
    assert_that(pace.earliest(last + 0.01), is_(greater_than(last + 0.01)))


def test_a_clock_that_is_set_back_stops_nothing_for_longer_than_a_second() -> None:
    pace = Pace(2)
    uses = busy(pace, 1000.0)
    assert_that(len(uses), is_(greater_than(1900)))
    assert_that(pace.earliest(10.0), is_(all_of(greater_than(10.0), less_than(11.1))))


def test_what_is_remembered_is_bounded_by_the_rate() -> None:
    pace = Pace(20)
    busy(pace, 100.0)
    assert_that(len(pace._uses), is_(less_than_or_equal_to(30)))


@pytest.mark.parametrize("rate", [0, -1, math.inf, math.nan])
def test_a_rate_that_is_no_speed_is_refused(rate: float) -> None:
    assert_that(calling(Pace).with_args(rate), raises(ValueError, "rate"))


def test_a_wrong_rate_leaves_the_old_one() -> None:
    pace = Pace(4)
    with pytest.raises(ValueError, match="rate"):
        pace.rate = 0
    assert_that(pace.rate, equal_to(4))


def test_a_grant_before_its_time_is_refused() -> None:
    pace = Pace(1)
    pace.grant(0.0)
    assert_that(calling(pace.grant).with_args(0.5), raises(ValueError, "granted"))


def test_settling_a_permit_that_was_never_granted_is_refused() -> None:
    assert_that(calling(Pace(1).used).with_args(0.0), raises(ValueError, "outstanding"))
    assert_that(calling(Pace(1).unused), raises(ValueError, "outstanding"))


# -- Slowdown ----------------------------------------------------------------------------------------------------------


class ModelSwitch:
    """Takes `limit` sessions in each second of its clock, as FreeSWITCH counts them, and refuses the others."""

    def __init__(self, limit: float) -> None:
        self.limit = limit
        self._second = -1
        self._taken = 0

    def takes(self, now: float) -> bool:
        if int(now) != self._second:
            self._second, self._taken = int(now), 0
        self._taken += 1
        return self._taken <= self.limit


def dial(switch: ModelSwitch, slowdown: Slowdown, begin: float, end: float) -> tuple[list[float], list[float]]:
    """Dial as fast as the slowdown lets us; when calls were taken and when refused."""
    pace, now = Pace(slowdown.rate(begin)), begin
    taken, refused = [], []
    while now < end:
        pace.rate = slowdown.rate(now)
        due = pace.earliest(now)
        if due > now:
            now = min(due, now + 0.1)
            continue
        pace.grant(now)
        pace.used(now)
        if switch.takes(now):
            slowdown.accepted(now)
            taken.append(now)
        else:
            slowdown.refused(now)
            refused.append(now)
    return taken, refused


def test_a_switch_that_never_refuses_gets_the_configured_speed() -> None:
    slowdown = Slowdown(20)
    taken, refused = dial(ModelSwitch(10**6), slowdown, 0.0, 30.0)
    assert_that(refused, equal_to([]))
    assert_that(len(taken) / 30, is_(greater_than(0.99 * 20)))
    assert_that(slowdown.rate(30.0), equal_to(20))


@pytest.mark.parametrize(("limit", "offered"), [(5, 20), (4, 20), (5, 8), (30, 100), (30, 33)])
def test_the_rate_settles_close_to_the_limit_of_the_switch_and_refusals_are_rare(limit: int, offered: float) -> None:
    taken, refused = dial(ModelSwitch(limit), Slowdown(offered), 0.0, 120.0)
    settled = [moment for moment in taken if moment >= 10]
    late_refusals = [moment for moment in refused if moment >= 10]
    assert_that(len(settled) / 110, is_(greater_than(0.9 * limit)))
    assert_that(len(late_refusals), is_(less_than(0.04 * len(settled))))
    # It took a few seconds to find the limit, not a list of contacts.
    assert_that(len(refused) - len(late_refusals), is_(less_than(1.5 * offered)))


def test_the_configured_speed_comes_back_when_the_limit_is_lifted() -> None:
    switch, slowdown = ModelSwitch(5), Slowdown(20)
    dial(switch, slowdown, 0.0, 60.0)
    switch.limit = 10**6
    _, refused = dial(switch, slowdown, 60.0, 100.0)
    assert_that(refused, equal_to([]))
    assert_that(slowdown.rate(100.0), equal_to(20))


def test_it_stays_at_the_configured_speed_after_it_came_back() -> None:
    slowdown = Slowdown(20)
    slowdown.refused(0.0)
    assert_that(slowdown.rate(1000.0), equal_to(20))
    assert_that(slowdown.rate(1000.1), equal_to(20))


def test_a_switch_that_takes_nothing_is_tried_once_a_second() -> None:
    slowdown = Slowdown(50)
    _, refused = dial(ModelSwitch(0), slowdown, 0.0, 100.0)
    settled = [moment for moment in refused if moment >= 10]
    assert_that(len(settled), is_(all_of(greater_than(85), less_than_or_equal_to(91))))
    assert_that(slowdown.rate(100.0), is_(greater_than_or_equal_to(1.0)))


def test_many_refusals_within_a_second_cut_the_rate_once() -> None:
    slowdown = Slowdown(40)
    for number in range(30):
        slowdown.refused(number / 40)
    assert_that(slowdown.rate(0.75), close_to(20, 0.1))


def test_a_refusal_in_the_next_second_cuts_it_again() -> None:
    slowdown = Slowdown(40)
    slowdown.refused(0.0)
    slowdown.refused(1.0)
    assert_that(slowdown.rate(1.0), close_to(10, 0.1))


def test_a_cut_leaves_what_the_switch_accepted_in_the_last_second() -> None:
    slowdown = Slowdown(20)
    for number in range(15):
        slowdown.accepted(number / 20)
    slowdown.refused(0.75)
    assert_that(slowdown.rate(0.75), equal_to(15))


def test_a_cut_is_never_less_than_a_tenth() -> None:
    slowdown = Slowdown(10)
    for number in range(10):
        slowdown.accepted(number / 10)
    slowdown.refused(0.95)
    assert_that(slowdown.rate(0.95), equal_to(9))


@pytest.mark.parametrize("ceiling", [0.5, 1])
def test_a_speed_below_the_floor_is_not_slowed_down(ceiling: float) -> None:
    slowdown = Slowdown(ceiling)
    slowdown.refused(0.0)
    assert_that(slowdown.rate(0.0), equal_to(ceiling))


@given(
    ceiling=st.sampled_from([0.5, 1, 3, 20, 300]),
    happenings=st.lists(st.tuples(st.booleans(), st.floats(0, 30)), max_size=100),
)
def test_the_rate_stays_between_floor_and_ceiling_and_only_a_refusal_lowers_it(
    ceiling: float, happenings: list[tuple[bool, float]]
) -> None:
    slowdown, now = Slowdown(ceiling), 0.0
    for refused, wait in happenings:
        before = slowdown.rate(now)
        now += wait
        rate = slowdown.rate(now)
        assert_that(rate, is_(greater_than_or_equal_to(before)))
        assert_that(rate, is_(all_of(greater_than_or_equal_to(min(1, ceiling)), less_than_or_equal_to(ceiling))))
        (slowdown.refused if refused else slowdown.accepted)(now)


# -- backoff -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("attempt", "shortest", "longest"), [(1, 0.25, 0.5), (2, 0.5, 1), (3, 1, 2), (8, 30, 60), (99, 30, 60)]
)
def test_waits_double_up_to_the_longest_and_half_of_each_is_chance(
    attempt: int, shortest: float, longest: float
) -> None:
    assert_that(backoff(attempt, first=0.5, longest=60, random=lambda: 0.0), equal_to(shortest))
    assert_that(backoff(attempt, first=0.5, longest=60, random=lambda: 1.0), equal_to(longest))


@given(attempt=st.integers(1, 60), low=st.floats(0, 1, exclude_max=True), high=st.floats(0, 1, exclude_max=True))
def test_no_wait_is_shorter_than_the_one_before_while_it_still_doubles(attempt: int, low: float, high: float) -> None:
    wait = backoff(attempt, first=0.1, longest=math.inf, random=lambda: high)
    assert_that(backoff(attempt + 1, first=0.1, longest=math.inf, random=lambda: low), is_(greater_than(wait * 0.999)))


def test_the_millionth_attempt_waits_no_longer_than_the_longest() -> None:
    assert_that(backoff(10**6, first=1, longest=300, random=lambda: 0.999), is_(less_than(300.0)))


def test_the_first_wait_is_never_longer_than_the_longest() -> None:
    assert_that(backoff(1, first=10, longest=2, random=lambda: 1.0), equal_to(2.0))


@pytest.mark.parametrize("attempt", [0, -3])
def test_attempts_below_one_wait_like_the_first(attempt: int) -> None:
    assert_that(backoff(attempt, first=1, longest=60, random=lambda: 0.0), equal_to(0.5))
