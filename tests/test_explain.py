"""The reasons why nothing is dialing, and their order, for facts of every kind."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hamcrest import assert_that, contains_exactly, equal_to, has_item, is_, none, not_

from dialer.explain import GATEWAYS_NAMED, explain
from dialer.facts import AgentFacts, Facts, Fault, GatewayFact, Holding, Queue, Standing, SwitchFact, Waiting, Why
from dialer.reasons import Code, Explanation
from dialer.recent import Streak

NOW = datetime(2026, 11, 26, 12, 0, tzinfo=UTC)
SOON = NOW + timedelta(minutes=5)
LATER = NOW + timedelta(hours=1)
EARLIER = NOW - timedelta(minutes=10)

READY = SwitchFact("sw:8021", connected=True, settling=False)
REFUSED = Fault(EARLIER, "connection refused")


def fault(reason: str = "connection refused") -> Fault:
    return Fault(EARLIER, reason)


def open_(contacts: int = 5, campaign_type: str = "IVR", gateway_id: str = "gw-1") -> Waiting:
    return Waiting(campaign_type, gateway_id, Why.OPEN, contacts)


def standing(*waiting: Waiting, **fields: Any) -> Standing:
    """What the database tells when these wait."""
    return Standing(queue=Queue(waiting), **fields)


def facts(**changes: Any) -> Facts:
    """A dialer whose five IVR contacts may be dialed, with these differences."""
    values: dict[str, Any] = {
        "now": NOW,
        "dialer": "dialer-1",
        "switches": [READY],
        "capacity": 10,
        "speed": 10.0,
        "standing": standing(open_()),
    }
    return Facts(**(values | changes))


def explained(**changes: Any) -> Explanation:
    return explain(facts(**changes))


def codes(explanation: Explanation) -> list[str]:
    return [str(reason.code) for reason in explanation.reasons]


def only(explanation: Explanation) -> tuple[str, str, datetime | None]:
    """The one reason that there is."""
    (reason,) = explanation.reasons
    return str(reason.code), reason.message, reason.since


# -- nothing in the way


def test_with_nothing_in_the_way_it_says_that_it_is_dialing_and_how_much() -> None:
    explanation = explained(calls=57)
    message = "Dialing: 57 calls in the last minute, 5 contacts are next."
    assert_that(explanation.dialing, is_(True))
    assert_that(only(explanation), equal_to(("dialing", message, None)))
    assert_that(explanation.next, none())


def test_with_nothing_in_the_way_and_no_call_yet_it_says_what_is_next() -> None:
    explanation = explained(standing=standing(open_(1)))
    assert_that(explanation.dialing, is_(True))
    assert_that(only(explanation)[1], is_("Nothing is in the way: 1 contact is next."))


def test_one_call_and_thousands_of_contacts_are_put_into_words() -> None:
    explanation = explained(calls=1, standing=standing(open_(1_234_567)))
    assert_that(only(explanation)[1], is_("Dialing: 1 call in the last minute, 1,234,567 contacts are next."))


# -- the dialer itself


def test_a_database_that_is_down_is_the_first_reason_with_its_beginning_and_its_last_error() -> None:
    explanation = explained(standing=None, database=fault("timeout expired."))
    message = "The database is down since 2026-11-26 11:50:00 UTC: timeout expired."
    assert_that(only(explanation), equal_to(("database_down", message, EARLIER)))
    assert_that((explanation.dialing, explanation.next), equal_to((False, None)))


def test_while_the_database_is_down_a_lost_lease_is_no_news() -> None:
    assert_that(codes(explained(standing=None, database=fault(), lease=fault())), equal_to(["database_down"]))


def test_a_database_that_gave_up_one_statement_is_not_said_to_be_down_since_anything() -> None:
    explanation = explained(standing=None, database=Fault(None, "canceling statement due to lock timeout"))
    message = "The database gave up: canceling statement due to lock timeout."
    assert_that(only(explanation), equal_to(("database_down", message, None)))


def test_what_is_known_without_the_database_is_told_while_it_is_down() -> None:
    explanation = explained(
        standing=None,
        database=fault(),
        switches=[SwitchFact("sw:8021", False, False, fault())],
        gateways=[GatewayFact("gw-2", False, EARLIER, {"a"})],
        voice_connector=fault(),
    )
    expected = ["database_down", "efswitch_unreachable", "gateway_down", "vc_unreachable"]
    assert_that(codes(explanation), equal_to(expected))
    assert_that(explanation.reasons[2].message, is_("Gateway gw-2 is down since 2026-11-26 11:50:00 UTC."))


def test_a_dialer_that_is_starting_says_what_it_waits_for_and_nothing_of_its_switches() -> None:
    explanation = explained(
        standing=None,
        starting=Fault(EARLIER, "waiting for the lease on DIALER_ID"),
        switches=[SwitchFact("sw:8021", False, True, fault("not connected yet"))],
    )
    message = "The dialer is starting: waiting for the lease on DIALER_ID."
    assert_that(only(explanation), equal_to(("starting", message, EARLIER)))


def test_a_dialer_that_waits_for_its_database_at_start_tells_the_databases_error_first() -> None:
    explanation = explained(standing=None, starting=Fault(NOW, "waiting for the database"), database=fault())
    assert_that(codes(explanation), equal_to(["database_down", "starting"]))


def test_a_lost_lease_is_told_with_the_dialers_name() -> None:
    explanation = explained(lease=Fault(EARLIER, "another session has the name"))
    message = (
        "This dialer has no lease on its name dialer-1 since 2026-11-26 11:50:00 UTC: another session has the name."
    )
    assert_that(only(explanation), equal_to(("no_lease", message, EARLIER)))
    assert_that(explanation.dialing, is_(False))


def test_a_database_that_lets_no_contact_be_taken_is_told_with_its_error_while_there_is_one_to_take() -> None:
    full = Fault(None, "could not extend file: No space left on device")
    explanation = explained(takings=full, calls=5)
    message = "The database does not let contacts be taken: could not extend file: No space left on device."
    assert_that(only(explanation), equal_to(("database_refuses", message, None)))
    assert_that(explanation.dialing, is_(False))
    assert_that(codes(explained(takings=full, standing=standing())), equal_to(["queue_empty"]))


# -- EFSwitch


@pytest.mark.parametrize(
    ("hold", "consequence"),
    [
        (True, "Nothing is taken until it is back."),
        (False, "IVR contacts whose turn comes fail (EFSwitch Down), AGENT contacts wait."),
    ],
)
def test_an_unreachable_efswitch_is_told_with_its_error_and_what_becomes_of_contacts(
    hold: bool, consequence: str
) -> None:
    explanation = explained(switches=[SwitchFact("sw:8021", False, False, fault())], hold_while_down=hold, calls=9)
    message = f"EFSwitch sw:8021 is unreachable since 2026-11-26 11:50:00 UTC: connection refused. {consequence}"
    assert_that(only(explanation), equal_to(("efswitch_unreachable", message, EARLIER)))
    assert_that(explanation.dialing, is_(False))


def test_of_several_switches_that_cannot_be_used_the_one_that_settles_by_itself_comes_last() -> None:
    comparing = SwitchFact("a", True, True, fault("its live calls are not yet compared with the contacts"))
    unreachable = SwitchFact("b", False, False, fault())
    not_used = SwitchFact("c", True, False, fault("it does not know the originate command: -ERR"))
    explanation = explained(switches=[comparing, unreachable, not_used])
    assert_that(
        [reason.message for reason in explanation.reasons],
        contains_exactly(
            "EFSwitch b is unreachable since 2026-11-26 11:50:00 UTC: connection refused.",
            "EFSwitch c is connected but not used since 2026-11-26 11:50:00 UTC: "
            "it does not know the originate command: -ERR.",
            "EFSwitch a is not used yet: its live calls are not yet compared with the contacts.",
        ),
    )
    assert_that(codes(explanation), equal_to(["efswitch_unreachable", "efswitch_not_used", "efswitch_not_ready"]))


def test_one_switch_of_two_that_is_unreachable_stops_nothing_and_is_told_last() -> None:
    explanation = explained(switches=[READY, SwitchFact("b", False, False, fault())], calls=3)
    assert_that(explanation.dialing, is_(True))
    assert_that(codes(explanation), equal_to(["dialing", "efswitch_unreachable"]))
    assert_that(
        explanation.reasons[1].message,
        is_("EFSwitch b is unreachable since 2026-11-26 11:50:00 UTC: connection refused."),
    )


def test_nothing_is_dialed_before_the_first_attempt_to_connect_to_each_switch_has_ended() -> None:
    explanation = explained(switches=[READY, SwitchFact("b", False, True, fault("not connected yet"))])
    assert_that((explanation.dialing, codes(explanation)), equal_to((False, ["efswitch_not_ready"])))


# -- the queue


def test_an_empty_queue_is_said_to_be_empty() -> None:
    explanation = explained(standing=standing(), calls=2)
    assert_that(only(explanation), equal_to(("queue_empty", "No contact is waiting to be dialed.", None)))
    assert_that(explanation.dialing, is_(False))


def test_a_campaign_of_which_nothing_waits_is_told_with_where_its_contacts_are() -> None:
    counts = {"dialed": 2, "agent_pending": 1, "ended": 1_000, "failed": 3}
    explanation = explained(campaign_id="a", standing=standing(contacts=counts))
    message = (
        "No contact of campaign a is waiting to be dialed: "
        "2 being called, 1 waiting for an agent, 1,000 ended, 3 failed."
    )
    assert_that(only(explanation)[1], is_(message))


@pytest.mark.parametrize(
    ("contacts", "campaigns", "message"),
    [
        (12, 3, "All that waits is stopped: 12 contacts of 3 campaigns."),
        (1, 1, "All that waits is stopped: 1 contact of 1 campaign."),
    ],
)
def test_when_all_that_waits_is_stopped_it_says_so(contacts: int, campaigns: int, message: str) -> None:
    stopped = standing(contacts={"stopped": contacts, "dialed": 1}, campaigns={"stopped": campaigns})
    assert_that(only(explained(standing=stopped)), equal_to(("all_stopped", message, None)))


@pytest.mark.parametrize(
    ("contacts", "message"),
    [
        (1, "Campaign a is stopped: 1 contact waits for its start."),
        (2, "Campaign a is stopped: 2 contacts wait for its start."),
    ],
)
def test_a_stopped_campaign_is_said_to_be_stopped(contacts: int, message: str) -> None:
    stopped = standing(contacts={"stopped": contacts}, campaigns={"stopped": 1})
    assert_that(only(explained(campaign_id="a", standing=stopped)), equal_to(("all_stopped", message, None)))


def none_open(*waiting: tuple[Why, int, datetime | None], **fields: Any) -> Explanation:
    """With contacts that wait for these reasons only."""
    waits = [Waiting("IVR", "gw-1", why, contacts, first) for why, contacts, first in waiting]
    return explained(standing=standing(*waits, **fields), calls=1)


@pytest.mark.parametrize(
    ("why", "contacts", "first", "expected"),
    [
        (
            Why.OPENING,
            1,
            LATER,
            ("outside_times", "1 contact is before its start time: it opens at 2026-11-26 13:00:00 UTC.", None),
        ),
        (
            Why.OPENING,
            7,
            LATER,
            (
                "outside_times",
                "7 contacts are before their start times: the next opens at 2026-11-26 13:00:00 UTC.",
                None,
            ),
        ),
        (
            Why.HELD,
            1,
            SOON,
            ("held_back", "1 contact came back to the queue and is held back until 2026-11-26 12:05:00 UTC.", None),
        ),
        (
            Why.HELD,
            2,
            SOON,
            (
                "held_back",
                "2 contacts came back to the queue and are held back, the first until 2026-11-26 12:05:00 UTC.",
                None,
            ),
        ),
        (
            Why.CHATTING,
            1,
            EARLIER,
            (
                "end_chat_under_way",
                "1 contact waits for the VC to take the END_CHAT of its number, "
                "under way since 2026-11-26 11:50:00 UTC.",
                EARLIER,
            ),
        ),
        (
            Why.CHATTING,
            2,
            EARLIER,
            (
                "end_chat_under_way",
                "2 contacts wait for the VC to take the END_CHATs of their numbers, "
                "the first under way since 2026-11-26 11:50:00 UTC.",
                EARLIER,
            ),
        ),
        (
            Why.EXPIRED,
            1,
            EARLIER,
            ("expired", "1 contact is past its end time: the next cycle ends it as Expired.", None),
        ),
        (
            Why.EXPIRED,
            2,
            EARLIER,
            ("expired", "2 contacts are past their end times: the next cycle ends them as Expired.", None),
        ),
    ],
)
def test_contacts_that_may_not_be_taken_now_are_told_with_the_reason_and_the_time(
    why: Why, contacts: int, first: datetime, expected: tuple[str, str, datetime | None]
) -> None:
    explanation = none_open((why, contacts, first))
    assert_that(only(explanation), equal_to(expected))
    assert_that(explanation.dialing, is_(False))
    assert_that(explanation.next, equal_to(first if why in (Why.OPENING, Why.HELD) else None))


def test_of_several_reasons_why_none_may_be_taken_the_one_of_the_most_contacts_is_first_and_stopped_ones_last() -> None:
    explanation = none_open(
        (Why.HELD, 2, LATER),
        (Why.OPENING, 9, SOON),
        (Why.CHATTING, 3, EARLIER),
        contacts={"pending": 14, "stopped": 50},
    )
    expected = ["outside_times", "end_chat_under_way", "held_back", "some_stopped"]
    assert_that(codes(explanation), equal_to(expected))
    assert_that(explanation.reasons[3].message, is_("50 contacts are stopped."))
    assert_that(explanation.next, equal_to(SOON))


def test_one_stopped_contact_is_one() -> None:
    explanation = none_open((Why.HELD, 2, LATER), contacts={"stopped": 1})
    assert_that(explanation.reasons[1].message, is_("1 contact is stopped."))


def test_what_may_not_be_taken_is_not_told_while_others_may() -> None:
    held = Waiting("IVR", "gw-1", Why.HELD, 100, SOON)
    assert_that(codes(explained(standing=standing(held, open_()))), equal_to(["dialing"]))


# -- gateways


def test_a_gateway_that_is_down_is_told_before_the_contacts_that_it_holds_back() -> None:
    held = Waiting("IVR", "gw-2", Why.HELD, 1, SOON)
    explanation = explained(gateways=[GatewayFact("gw-2", False, EARLIER, {"a"})], standing=standing(held))
    assert_that(codes(explanation), equal_to(["gateway_down", "held_back"]))
    message = "Gateway gw-2 is down since 2026-11-26 11:50:00 UTC: 1 contact waits for it."
    assert_that((explanation.reasons[0].message, explanation.reasons[0].since), equal_to((message, EARLIER)))


def test_nothing_is_dialing_when_all_that_may_be_taken_would_come_back_though_others_were_called_lately() -> None:
    gateways = [GatewayFact("gw-1", False, EARLIER, {"a"})]
    refused = AgentFacts(refused=Streak(1, 2, True))
    both = standing(open_(3), open_(2, "AGENT", "gw-2"))
    explanation = explained(gateways=gateways, agents=refused, standing=both, calls=9)
    assert_that((explanation.dialing, codes(explanation)), equal_to((False, ["gateway_down", "vc_refuses"])))


def test_where_some_requests_find_an_agent_calls_are_placed() -> None:
    for failed, dialing in ((1, True), (2, False)):
        agents = AgentFacts(none_free=Streak(failed, 2, True))
        assert_that(explained(standing=AGENTS, agents=agents, calls=1).dialing, is_(dialing))


def test_a_gateway_that_is_down_does_not_stop_the_others() -> None:
    waiting = standing(open_(3), open_(2, gateway_id="gw-2"))
    explanation = explained(gateways=[GatewayFact("gw-2", False, EARLIER, {"a"})], standing=waiting, calls=1)
    assert_that((explanation.dialing, codes(explanation)), equal_to((True, ["gateway_down", "dialing"])))
    assert_that(explanation.reasons[1].message, is_("Dialing: 1 call in the last minute, 3 contacts are next."))
    assert_that(
        explanation.reasons[0].message,
        is_("Gateway gw-2 is down since 2026-11-26 11:50:00 UTC: 2 contacts wait for it."),
    )


def test_a_gateway_that_is_down_is_no_reason_when_nobody_waits_for_it() -> None:
    assert_that(codes(explained(gateways=[GatewayFact("gw-2", False, EARLIER, {"a"})])), equal_to(["dialing"]))


def test_an_unknown_gateway_is_told_with_the_campaigns_whose_contacts_it_failed() -> None:
    gateways = [GatewayFact("gw-9", True, EARLIER, {"b", "a"})]
    explanation = explained(gateways=gateways, standing=standing(contacts={"failed": 4}))
    assert_that(codes(explanation), equal_to(["queue_empty", "gateway_invalid"]))
    message = (
        "Gateway gw-9 is unknown to EFSwitch since 2026-11-26 11:50:00 UTC: "
        "contacts of campaign a and campaign b failed (Invalid Gateway)."
    )
    assert_that(explanation.reasons[1].message, is_(message))


def test_an_unknown_gateway_is_a_reason_for_the_campaigns_that_it_failed_and_no_other() -> None:
    gateways = [GatewayFact("gw-9", True, EARLIER, {"a"})]
    for campaign, expected in (("a", ["queue_empty", "gateway_invalid"]), ("b", ["queue_empty"])):
        explanation = explained(campaign_id=campaign, gateways=gateways, standing=standing(contacts={"ended": 1}))
        assert_that(codes(explanation), equal_to(expected), campaign)


def test_an_unknown_gateway_that_contacts_wait_for_is_told_before_they_fail() -> None:
    gateways = [GatewayFact("gw-1", True, EARLIER, {"a"})]
    explanation = explained(gateways=gateways, calls=1)
    assert_that((explanation.dialing, codes(explanation)), equal_to((False, ["gateway_invalid"])))


def test_of_what_is_left_of_a_campaign_the_gateway_that_failed_the_others_is_told_last() -> None:
    gateways = [GatewayFact("gw-9", True, EARLIER, {"a"})]
    left = standing(Waiting("IVR", "gw-1", Why.OPENING, 1, LATER))
    for campaign, expected in (("a", ["outside_times", "gateway_invalid"]), (None, ["outside_times"])):
        assert_that(codes(explained(campaign_id=campaign, gateways=gateways, standing=left)), equal_to(expected))


def test_an_unknown_gateway_is_past_once_others_wait_for_other_gateways() -> None:
    assert_that(codes(explained(gateways=[GatewayFact("gw-9", True, EARLIER, {"a"})])), equal_to(["dialing"]))


def test_of_many_gateways_those_that_most_wait_for_are_named() -> None:
    many = [f"gw-{number:03}" for number in range(100)]
    waiting = standing(*(open_(number + 1, gateway_id=name) for number, name in enumerate(many)))
    explanation = explained(gateways=[GatewayFact(name, False, EARLIER, {"a"}) for name in many], standing=waiting)
    assert_that(len(explanation.reasons), is_(GATEWAYS_NAMED))
    assert_that(explanation.reasons[0].message.split()[1], is_("gw-099"))


# -- the VC


AGENTS = standing(open_(5, "AGENT"))


def test_an_unreachable_vc_is_told_with_its_error() -> None:
    explanation = explained(standing=AGENTS, voice_connector=fault("no connection"))
    message = "The VC is unreachable since 2026-11-26 11:50:00 UTC: no connection. AGENT contacts wait."
    assert_that(only(explanation), equal_to(("vc_unreachable", message, EARLIER)))
    assert_that(explanation.dialing, is_(False))


def test_a_vc_that_refuses_requests_is_told_with_how_many_and_its_last_answer() -> None:
    refused = Streak(12, 15, True, 600.0, "answered 503")
    explanation = explained(standing=AGENTS, agents=AgentFacts(refused=refused))
    message = (
        "The VC refuses agent requests since 2026-11-26 11:50:00 UTC: "
        "12 of the last 15 in 10 minutes, the last one: answered 503."
    )
    assert_that(only(explanation), equal_to(("vc_refuses", message, EARLIER)))


def test_a_vc_that_cannot_be_reached_is_not_said_to_refuse() -> None:
    agents = AgentFacts(refused=Streak(1, 1, True, 600.0, "no connection"))
    assert_that(codes(explained(standing=AGENTS, voice_connector=fault(), agents=agents)), equal_to(["vc_unreachable"]))


def test_that_no_agent_is_free_is_told_as_a_share_of_the_last_requests() -> None:
    explanation = explained(standing=AGENTS, agents=AgentFacts(none_free=Streak(18, 20, True, 600.0)))
    message = (
        "No agent is free since 2026-11-26 11:50:00 UTC: 18 of the last 20 agent requests in 10 minutes found none."
    )
    assert_that(only(explanation), equal_to(("no_agents", message, EARLIER)))


def test_a_vc_that_does_not_reply_is_told_as_a_share_of_the_last_requests() -> None:
    explanation = explained(standing=AGENTS, agents=AgentFacts(no_reply=Streak(3, 4, True, 600.0)))
    message = (
        "The VC does not reply to agent requests since 2026-11-26 11:50:00 UTC: "
        "3 of the last 4 in 10 minutes had no reply in time."
    )
    assert_that(only(explanation), equal_to(("no_agent_reply", message, EARLIER)))


def test_refusals_and_missing_agents_that_are_past_are_no_reason() -> None:
    past = Streak(18, 20)
    agents = AgentFacts(refused=past, none_free=past, no_reply=past)
    assert_that(codes(explained(standing=AGENTS, agents=agents)), equal_to(["dialing"]))


def test_the_vc_is_no_reason_while_only_ivr_contacts_wait() -> None:
    failing = Streak(1, 1, True, 1.0, "x")
    agents = AgentFacts(refused=failing, none_free=failing, no_reply=failing)
    assert_that(codes(explained(voice_connector=fault(), agents=agents)), equal_to(["dialing"]))


def test_agent_contacts_that_are_held_back_wait_for_the_vc_too() -> None:
    held = Waiting("AGENT", "gw-1", Why.HELD, 2, SOON)
    agents = AgentFacts(none_free=Streak(2, 2, True, 60.0))
    assert_that(codes(explained(standing=standing(held), agents=agents)), equal_to(["no_agents", "held_back"]))


# -- slots


def full(*holdings: Holding, **changes: Any) -> Explanation:
    return explained(standing=standing(open_(), holdings=holdings), **changes)


def test_a_full_house_names_who_holds_the_slots_the_most_first() -> None:
    explanation = full(Holding("dialer-1", "b", 3), Holding("dialer-1", "a", 7))
    message = "All 10 slots are in use: 7 by campaign a and 3 by campaign b."
    assert_that(only(explanation), equal_to(("no_free_slots", message, None)))
    assert_that(explanation.dialing, is_(False))


def test_a_full_house_says_how_many_of_the_slots_wait_for_an_agent() -> None:
    explanation = full(Holding("dialer-1", "a", 6), Holding("dialer-1", "a", 4, for_agent=True))
    message = "All 10 slots are in use: 10 by campaign a. 4 of them wait for an agent."
    assert_that(only(explanation)[1], is_(message))


def test_a_full_house_says_what_other_dialers_hold() -> None:
    explanation = full(
        Holding("dialer-1", "a", 1),
        Holding("dialer-2", "a", 4),
        Holding("dialer-3", "b", 1),
        Holding("", "b", 1),
        capacity=1,
    )
    message = "The only slot is in use: 1 by campaign a. Other dialers hold 4 (dialer-2) and 1 (dialer-3) more."
    assert_that(only(explanation)[1], is_(message))


def test_a_full_house_names_five_campaigns_and_counts_the_others() -> None:
    explanation = full(*(Holding("dialer-1", f"c{number}", 2) for number in range(8)))
    named = "2 by campaign c0, 2 by campaign c1, 2 by campaign c2, 2 by campaign c3, 2 by campaign c4 and 3 others"
    assert_that(only(explanation)[1], is_(f"All 10 slots are in use: {named}."))


def test_a_full_house_in_which_calls_begin_and_end_is_dialing() -> None:
    explanation = full(Holding("dialer-1", "a", 10), calls=4, throttled=True)
    assert_that((explanation.dialing, codes(explanation)), equal_to((True, ["no_free_slots", "dialing"])))


def test_slots_of_other_dialers_do_not_fill_this_one() -> None:
    assert_that(codes(full(Holding("dialer-2", "a", 100))), equal_to(["dialing"]))


# -- speed


def test_a_dialing_speed_that_is_the_limit_is_told_with_both_numbers() -> None:
    explanation = explained(throttled=True, calls=12, all_calls=598)
    message = (
        "The dialing speed is the limit: 598 calls in the last minute, 10 calls per second allowed (CALLS_PER_SECOND)."
    )
    assert_that((explanation.dialing, codes(explanation)), equal_to((True, ["throttle", "dialing"])))
    assert_that(explanation.reasons[0].message, is_(message))


def test_a_speed_of_less_than_one_is_told_as_a_fraction() -> None:
    explanation = explained(throttled=True, speed=0.5)
    assert_that(explanation.dialing, is_(False))
    assert_that(
        only(explanation)[1],
        is_(
            "The dialing speed is the limit: 0 calls in the last minute, "
            "0.5 calls per second allowed (CALLS_PER_SECOND)."
        ),
    )


def test_a_switch_that_is_slowed_down_is_told_with_both_speeds() -> None:
    slowed = SwitchFact("sw:8021", True, False, None, 2.5, EARLIER)
    explanation = explained(switches=[slowed], throttled=True, calls=1)
    message = (
        "EFSwitch sw:8021 is over its own limits since 2026-11-26 11:50:00 UTC: "
        "it gets 2.5 calls per second instead of 10, until it takes more again."
    )
    assert_that(codes(explanation), equal_to(["switch_slowed", "throttle", "dialing"]))
    assert_that((explanation.reasons[0].message, explanation.reasons[0].since), equal_to((message, EARLIER)))


def test_agent_requests_that_wait_for_their_turn_are_told_only_when_agent_contacts_wait() -> None:
    explanation = explained(standing=AGENTS, requests_throttled=True)
    message = "Agent requests wait for their turn: 10 per second allowed (CALLS_PER_SECOND)."
    assert_that(only(explanation), equal_to(("request_throttle", message, None)))
    assert_that(codes(explained(requests_throttled=True)), equal_to(["dialing"]))


# -- all together


def test_what_stops_everything_comes_before_slots_gateways_the_vc_and_speed() -> None:
    explanation = explained(
        lease=fault(),
        switches=[SwitchFact("b", False, False, fault())],
        gateways=[GatewayFact("gw-1", False, EARLIER, {"a"})],
        voice_connector=fault(),
        throttled=True,
        standing=standing(open_(5), open_(5, "AGENT"), holdings=[Holding("dialer-1", "a", 10)]),
    )
    expected = ["no_lease", "efswitch_unreachable", "no_free_slots", "gateway_down", "vc_unreachable"]
    assert_that(codes(explanation), equal_to(expected))


def test_there_is_always_a_reason_and_each_code_can_be_given() -> None:
    failing = Streak(1, 1, True, 1.0, "x")
    seen: set[str] = set()
    switches = [[READY], [SwitchFact("b", False, False, fault())], [SwitchFact("b", True, True, fault())]]
    switches += [[SwitchFact("b", True, False, fault())], [SwitchFact("b", True, False, None, 1.0, EARLIER)]]
    queues = [standing(), standing(contacts={"stopped": 1}, campaigns={"stopped": 1}), AGENTS, None]
    queues += [
        standing(*(Waiting("IVR", "gw-1", why, 1, NOW) for why in Why if why is not Why.OPEN), contacts={"stopped": 1})
    ]
    queues += [standing(open_(), holdings=[Holding("dialer-1", "a", 10)])]
    troubles: list[dict[str, Any]] = [
        {},
        {"database": fault(), "starting": fault()},
        {"lease": fault(), "voice_connector": fault(), "takings": fault()},
        {"agents": AgentFacts(failing, failing, failing), "throttled": True, "requests_throttled": True},
        {"gateways": [GatewayFact("gw-1", False, EARLIER, {"a"}), GatewayFact("gw-9", True, EARLIER, {"a"})]},
    ]
    for switch in switches:
        for queue in queues:
            for trouble in troubles:
                if queue is None and "database" not in trouble:
                    continue
                explanation = explained(switches=switch, standing=queue, **trouble)
                assert_that(codes(explanation), not_(equal_to([])))
                assert_that([reason.message for reason in explanation.reasons], not_(has_item("")))
                seen |= set(codes(explanation))
    assert_that(seen, equal_to({str(code) for code in Code}))
