"""Whose requests are counted together, what is told of the limits that are met, and requests that come together."""

from __future__ import annotations

from typing import Any

import pytest
from hamcrest import assert_that, equal_to, has_length
from twisted.logger import globalLogPublisher

from dialer.meter import Refused
from dialer.web.bounds import Bounds
from dialer.web.campaigns import Campaigns
from dialer.web.contacts import Contacts
from dialer.web.health import Health
from dialer.web.rate import SAVED
from dialer.web.refusals import TOLD_EVERY
from dialer.web.replies import Replies
from dialer.web.site import SMALL_BODY
from tests.web.gates import Served, head

RATE = 2.0
BURST = int(RATE * SAVED)
ONE, OTHER = "a" * 32, "b" * 32
TOKENS = f"one:all:{ONE} other:all:{OTHER}"


def statuses(served: Served, times: int, **headers: str) -> list[int]:
    return [served.ask("GET", "/campaigns", **headers).status for _ in range(times)]


def test_each_token_has_a_rate_of_its_own_wherever_it_is_used() -> None:
    served = Served(TOKENS, groups=(Campaigns,), rate=RATE)
    assert_that(set(statuses(served, BURST, Authorization=f"Bearer {ONE}")), equal_to({200}))
    assert_that(statuses(served, 1, Authorization=f"Bearer {OTHER}"), equal_to([200]))
    assert_that(statuses(served, 1, Authorization=f"Bearer {ONE}", peer="192.0.2.77"), equal_to([429]))
    served.clock.advance(1)
    assert_that(statuses(served, 3, Authorization=f"Bearer {ONE}"), equal_to([200, 200, 429]))


def test_without_tokens_each_address_has_a_rate_of_its_own() -> None:
    served = Served(groups=(Campaigns,), rate=RATE)
    assert_that(statuses(served, BURST + 1)[-2:], equal_to([200, 429]))
    assert_that(statuses(served, 1, peer="192.0.2.77"), equal_to([200]))


WRONG = "c" * 32
JUST_READ = "d" * 32
GUESSED = f"{TOKENS} reader:read:{JUST_READ}"


@pytest.mark.parametrize("shown", [{}, {"Authorization": f"Bearer {WRONG}"}, {"Authorization": f"Bearer {JUST_READ}"}])
@pytest.mark.parametrize("length", [2, SMALL_BODY + 1])
def test_an_address_is_refused_so_many_calls_and_then_told_that_it_asks_too_often(
    length: int, shown: dict[str, str]
) -> None:
    served = Served(GUESSED, groups=(Contacts,), rate=RATE)
    refused = [served.ask("POST", "/contact", body=b" " * length, **shown) for _ in range(BURST + 1)]
    assert_that({each.status for each in refused[:-1]}, equal_to({403 if JUST_READ in str(shown) else 401}))
    assert_that((refused[-1].status, refused[-1].body["error"]["code"]), equal_to((429, "too_many_requests")))
    assert_that(refused[-1].headers["retry-after"], equal_to("1"))
    assert_that(served.told.of("refused"), equal_to([(Refused.RATE,)]))
    served.clock.advance(0.5)
    assert_that(served.ask("POST", "/contact", body=b"{}", **shown).status, equal_to(refused[0].status))


def test_who_has_a_token_is_not_kept_out_by_who_guesses_at_the_same_address() -> None:
    served = Served(TOKENS, groups=(Campaigns,), rate=RATE)
    statuses(served, 2 * BURST, Authorization=f"Bearer {WRONG}")
    assert_that(set(statuses(served, BURST, Authorization=f"Bearer {ONE}")), equal_to({200}))
    assert_that(statuses(served, 1, Authorization=f"Bearer {WRONG}"), equal_to([429]))
    assert_that(statuses(served, 1, Authorization=f"Bearer {WRONG}", peer="192.0.2.77"), equal_to([401]))


def test_each_refusal_is_counted_and_one_a_minute_is_logged() -> None:
    served = Served(groups=(Campaigns,), rate=RATE)
    logged: list[Any] = []

    def observe(event: Any) -> None:
        if event.get("reason") is Refused.RATE:
            logged.append(event)

    globalLogPublisher.addObserver(observe)
    try:
        statuses(served, BURST + 3)
        assert_that(logged, has_length(1))
        served.clock.advance(TOLD_EVERY)
        statuses(served, BURST + 3)
    finally:
        globalLogPublisher.removeObserver(observe)
    assert_that(logged, has_length(2))
    assert_that(served.told.of("refused"), equal_to([(Refused.RATE,)] * 6))


def test_of_requests_that_come_together_no_more_are_looked_at_than_a_turn_has_time_for() -> None:
    served = Served(groups=(Campaigns,))
    handled = served.called
    channel, transport = served.connect()
    began = served.clock.seconds

    def slow() -> float:
        # Each request takes a second of the turn.
        return began() + len(handled)

    served.clock.seconds = slow  # type: ignore[method-assign]
    channel.dataReceived(head("GET", "/campaigns") * 5)
    assert_that((len(handled), transport.producerState), equal_to((1, "paused")))
    for _ in range(20):
        served.clock.advance(1)
    assert_that((len(handled), transport.producerState), equal_to((5, "producing")))
    assert_that(transport.value().count(b"HTTP/1.1 200"), equal_to(5))


@pytest.mark.parametrize("length", [None, 2])
def test_of_requests_that_come_together_each_is_urgent_for_itself(length: int | None) -> None:
    served = Served(groups=(Campaigns, Health, Replies))
    began = served.clock.seconds
    # Each request takes the whole of a turn.
    served.clock.seconds = lambda: began() + len(served.called)  # type: ignore[method-assign]
    served.ask("GET", "/campaigns")
    hidden, _ = served.connect()
    urgent = head("POST", "/agent", length=length) + b"{}"[: length or 0]
    hidden.dataReceived(urgent + head("GET", "/campaign/hidden") + head("GET", "/campaign/hidden"))
    waiting, _ = served.connect()
    waiting.dataReceived(head("GET", "/campaigns"))
    probe, _ = served.connect()
    probe.dataReceived(b"\r\n" + head("GET", "/healthz"))
    assert_that(served.called, equal_to(["get_campaigns"]))
    for _ in range(20):
        served.clock.advance(1)
    ordered = ["post_agent", "get_health", "get_campaigns", "get_campaign", "get_campaign"]
    assert_that(served.called[1:], equal_to(ordered))


def test_a_client_that_does_not_read_is_answered_no_further_request_until_it_does() -> None:
    served = Served(groups=(Campaigns,))
    channel, transport = served.connect()
    channel.pauseProducing()
    channel.dataReceived(head("GET", "/campaigns"))
    assert_that((served.called, transport.producerState), equal_to(([], "paused")))
    channel.resumeProducing()
    served.clock.advance(0)
    assert_that(len(served.called), equal_to(1))


def test_a_smaller_limit_of_bodies_holds_for_small_ones_too() -> None:
    served = Served(TOKENS, groups=(Campaigns,), bounds=Bounds(body_size=1000))
    channel, transport = served.connect()
    channel.dataReceived(head("POST", "/campaign/c/start", length=1001, Authorization=f"Bearer {ONE}"))
    assert_that(transport.value()[:12], equal_to(b"HTTP/1.1 413"))
    assert_that(served.told.of("refused"), equal_to([(Refused.BODY_SIZE,)]))
