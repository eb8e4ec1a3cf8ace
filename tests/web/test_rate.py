"""How many requests a caller may make."""

from __future__ import annotations

import pytest
from hamcrest import assert_that, equal_to, has_entries, has_properties
from twisted.internet.task import Clock

from dialer.web.contacts import Contacts
from dialer.web.docs import Docs
from dialer.web.endpoint import endpoints_of
from dialer.web.health import Health
from dialer.web.rate import KEPT, SAVED, Admission, Rates, TooMany
from dialer.web.replies import Replies

RATE = 2.0
BURST = int(RATE * SAVED)


def taken(rates: Rates, caller: str = "a") -> int:
    """How many requests a caller may make now."""
    for number in range(1000):
        try:
            rates.take(caller)
        except TooMany:
            return number
    return 1000


def test_a_caller_may_make_what_it_has_saved_up_and_then_goes_at_the_rate() -> None:
    clock = Clock()
    rates = Rates(clock, RATE)
    assert_that(taken(rates), equal_to(BURST))
    clock.advance(1)
    assert_that(taken(rates), equal_to(2))
    clock.advance(1_000_000)
    assert_that(taken(rates), equal_to(BURST))


def test_one_caller_takes_nothing_from_another() -> None:
    rates = Rates(Clock(), RATE)
    taken(rates, "a")
    assert_that(taken(rates, "b"), equal_to(BURST))


def test_a_refusal_says_when_the_next_request_may_be_made() -> None:
    clock = Clock()
    rates = Rates(clock, 0.25)
    rates.take("a")
    with pytest.raises(TooMany) as refused:
        rates.take("a")
    assert_that(refused.value, has_properties(status=429, headers=has_entries({"Retry-After": "3"})))
    clock.advance(3)
    rates.take("a")


def test_without_a_rate_nobody_is_refused() -> None:
    assert_that(taken(Rates(Clock(), 0)), equal_to(1000))


def test_more_callers_than_are_remembered_begin_anew() -> None:
    rates = Rates(Clock(), RATE)
    taken(rates, "first")
    for number in range(KEPT):
        rates.take(str(number))
    assert_that(taken(rates, "first"), equal_to(BURST))


def admitted(admission: Admission, group: type, name: str) -> int:
    """How many calls of an endpoint one caller may make now."""
    endpoint = next(each for each in endpoints_of(group) if each.name == name)
    for number in range(1000):
        try:
            admission.admit("192.0.2.1", endpoint)
        except TooMany:
            return number
    return 1000


def test_replies_to_agent_requests_are_counted_for_themselves_and_twice_as_many_as_calls() -> None:
    admission = Admission(Clock(), RATE, calls_per_second=10)
    assert_that(admitted(admission, Contacts, "post_contact"), equal_to(BURST))
    assert_that(admitted(admission, Replies, "post_agent"), equal_to(int(20 * SAVED)))


@pytest.mark.parametrize("probe", ["get_health", "get_ready"])
def test_probes_are_not_counted(probe: str) -> None:
    admission = Admission(Clock(), RATE, calls_per_second=10)
    admitted(admission, Contacts, "post_contact")
    assert_that(admitted(admission, Health, probe), equal_to(1000))


def test_what_else_is_open_to_everybody_is_counted() -> None:
    assert_that(admitted(Admission(Clock(), RATE, calls_per_second=10), Docs, "get_openapi"), equal_to(BURST))


def test_calls_that_are_refused_are_counted_for_themselves() -> None:
    admission = Admission(Clock(), RATE, calls_per_second=10)
    for _ in range(BURST):
        admission.deny("192.0.2.1")
    with pytest.raises(TooMany):
        admission.deny("192.0.2.1")
    admission.deny("192.0.2.2")
    assert_that(admitted(admission, Contacts, "post_contact"), equal_to(BURST))
