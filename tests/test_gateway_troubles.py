"""Gateways that contacts found down or unknown, by a clock that the test moves."""

from __future__ import annotations

from hamcrest import assert_that, contains_exactly, empty, equal_to, has_length
from twisted.internet.task import Clock

from dialer.esl.gateways import MAX_KEPT, GatewayStatus
from dialer.gateway_troubles import CAMPAIGNS_KEPT, REMEMBERED, GatewayTrouble, GatewayTroubles

DOWN, INVALID = GatewayStatus.DOWN, GatewayStatus.INVALID


def test_a_gateway_is_in_trouble_since_the_first_contact_that_met_it_so() -> None:
    clock = Clock()
    troubles = GatewayTroubles(clock)
    for campaign in "aab":
        troubles.met("gw-1", DOWN, campaign)
        clock.advance(10)
    assert_that(troubles.now(), contains_exactly(GatewayTrouble("gw-1", DOWN, 30.0, {"a": 2, "b": 1})))


def test_a_gateway_that_is_found_up_is_forgotten() -> None:
    troubles = GatewayTroubles(Clock())
    troubles.met("gw-1", DOWN, "a")
    troubles.met("gw-2", DOWN, "a")
    troubles.found("gw-1")
    troubles.found("gw-3")
    assert_that([each.gateway_id for each in troubles.now()], equal_to(["gw-2"]))


def test_a_gateway_that_becomes_unknown_begins_anew() -> None:
    clock = Clock()
    troubles = GatewayTroubles(clock)
    troubles.met("gw-1", DOWN, "a")
    clock.advance(10)
    troubles.met("gw-1", INVALID, "b")
    assert_that(troubles.now(), contains_exactly(GatewayTrouble("gw-1", INVALID, 0.0, {"b": 1})))


def test_a_gateway_that_no_contact_met_for_long_is_not_named() -> None:
    clock = Clock()
    troubles = GatewayTroubles(clock)
    troubles.met("gw-1", DOWN, "a")
    clock.advance(REMEMBERED + 1)
    assert_that(troubles.now(), empty())


def test_gateways_and_their_campaigns_are_bounded_and_the_oldest_go_first() -> None:
    clock = Clock()
    troubles = GatewayTroubles(clock)
    for number in range(MAX_KEPT + 5):
        clock.advance(0.001)
        troubles.met(f"gw-{number}", DOWN, "a")
    assert_that(troubles.now(), has_length(MAX_KEPT))
    assert_that(troubles.now()[0].gateway_id, equal_to("gw-5"))
    for number in range(CAMPAIGNS_KEPT + 1):
        troubles.met("gw-5", DOWN, f"campaign-{number}")
    campaigns = troubles.now()[0].contacts
    assert_that((len(campaigns), "a" in campaigns, "campaign-0" in campaigns), equal_to((CAMPAIGNS_KEPT, False, False)))
