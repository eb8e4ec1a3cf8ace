"""The life of one call, with the switch, the store and the clock in the hands of the test."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import pytest
from hamcrest import assert_that, contains_exactly, empty, equal_to, has_length, has_properties, is_, not_none
from twisted.internet.defer import Deferred
from twisted.logger import capturedLogs, formatEvent

from dialer import ends, repeats
from dialer.calls import REFUSAL_GRACE
from dialer.contact import CampaignType, Status
from dialer.esl.errors import CommandRefused, ReplyLost, SwitchDown
from dialer.esl.wire import Event
from dialer.happenings import Seen
from dialer.meter import Reconciled
from dialer.settlement import Dropped
from dialer.store.contacts import Change, HeldContact
from dialer.store.database import DatabaseDown
from tests.calling import AGENT, IVR, Bench, answer, bridge, contact, hangup, held, job
from tests.esl.support import error_of, result_of
from tests.hygiene import LoggedFailures
from tests.told import Told


@pytest.fixture
def bench() -> Bench:
    return Bench()


# -- the end of a call, whatever the order of its events ---------------------------------------------------------------

TALKED = [job(), answer(), hangup("NORMAL_CLEARING", answered=True)]
BUSY = [job("-ERR USER_BUSY\n"), hangup("USER_BUSY")]
# Of a call that was over its switch's limits in the job and yet had a channel, the channel's end tells.
OVER_LIMITS = [job("-ERR DESTINATION_OUT_OF_ORDER\n"), hangup("DESTINATION_OUT_OF_ORDER")]


@pytest.mark.parametrize("kind", [IVR, AGENT])
@pytest.mark.parametrize(
    ("events", "result", "end_chat"),
    [
        *((order, "NORMAL_CLEARING", True) for order in permutations(TALKED)),
        *((order, "USER_BUSY", False) for order in permutations(BUSY)),
        *((order, "DESTINATION_OUT_OF_ORDER", False) for order in permutations(OVER_LIMITS)),
    ],
)
def test_in_whatever_order_its_events_come_and_repeat_a_call_is_settled_once(
    bench: Bench, kind: CampaignType, events: list[Event], result: str, end_chat: bool
) -> None:
    dialed = bench.dialed(kind)
    for event in events:
        bench.tell(event, event)
    bench.wait()
    bench.tell(*events)
    bench.wait()
    (change,) = bench.results.changes
    expected = Change("c1", dialed.taking, Status.DIALED, Status.ENDED, result, end_chat=end_chat and kind is AGENT)
    assert_that(change, equal_to(expected))
    assert_that((bench.live, bench.clock.getDelayedCalls()), equal_to(([], [])))


def test_a_customer_who_reached_the_agent_costs_no_end_chat(bench: Bench) -> None:
    bench.dialed(AGENT)
    bench.tell(answer(), bridge(), bridge(), hangup("NORMAL_CLEARING", answered=True, bridged=True))
    assert_that(bench.settled, contains_exactly((Status.ENDED, "NORMAL_CLEARING", False)))
    assert_that(bench.store.bridged, contains_exactly("c1"))


def test_a_bridge_of_an_ivr_call_is_not_stored(bench: Bench) -> None:
    bench.dialed(IVR)
    bench.tell(answer(), bridge())
    assert_that(bench.store.bridged, empty())


def test_a_bridge_that_cannot_be_stored_harms_nothing(bench: Bench) -> None:
    bench.dialed(AGENT)
    bench.store.refuses = DatabaseDown("down")
    bench.tell(bridge(), hangup("NORMAL_CLEARING", answered=True, bridged=True))
    assert_that(bench.settled, contains_exactly((Status.ENDED, "NORMAL_CLEARING", False)))


def test_events_of_other_calls_and_other_legs_change_nothing(bench: Bench) -> None:
    bench.dialed()
    bench.tell(
        job("-ERR USER_BUSY", contact_id="other"),
        answer("other"),
        bridge("other"),
        hangup("USER_BUSY", "other"),
        Event("CHANNEL_HANGUP_COMPLETE", {"Other-Leg-Unique-ID": "c1", "Hangup-Cause": "USER_BUSY"}),
        Event("CHANNEL_ANSWER", {}),
        Event("BACKGROUND_JOB", {}, "-ERR USER_BUSY"),
        Event("BACKGROUND_JOB", {"Job-UUID": "c1"}, "-ERR USER_BUSY"),
        Event("HEARTBEAT", {"Unique-ID": "c1"}),
    )
    bench.wait(60)
    assert_that((bench.settled, bench.live), equal_to(([], ["c1"])))


@pytest.mark.parametrize("taking", [1, 3])
def test_the_job_of_another_taking_is_ignored(bench: Bench, taking: int) -> None:
    bench.place(contact(taking=1))
    bench.tell(job("-ERR USER_BUSY", taking=taking))
    bench.wait()
    assert_that((bench.settled, bench.live), equal_to(([], ["c1"])))
    bench.tell(job("-ERR USER_BUSY", taking=2))
    bench.wait()
    assert_that(bench.settled, contains_exactly((Status.ENDED, "USER_BUSY", False)))


def test_a_switch_that_names_its_jobs_itself_is_understood(bench: Bench) -> None:
    bench.pbx.reply = "its-own-id"
    bench.dialed()
    refused = Event("BACKGROUND_JOB", {"Job-UUID": "its-own-id"}, "-ERR USER_BUSY")
    bench.tell(refused, refused)
    bench.wait()
    assert_that(bench.settled, contains_exactly((Status.ENDED, "USER_BUSY", False)))


@pytest.mark.parametrize("end", ["hangup", "gone", "released"])
def test_the_ids_that_a_switch_gives_its_jobs_are_forgotten_with_their_calls(bench: Bench, end: str) -> None:
    bench.pbx.reply = "its-own-id"
    bench.dialed()
    (call,) = bench.calls
    assert_that(bench.calls._foreign_jobs, has_length(1))
    if end == "hangup":
        bench.tell(hangup("USER_BUSY"))
    elif end == "gone":
        bench.calls.gone(call)
    else:
        bench.calls.release(call)
    assert_that(bench.calls._foreign_jobs, empty())


def test_a_job_that_came_before_the_reply_to_its_command_counts(bench: Bench) -> None:
    bench.pbx.reply = Deferred()
    bench.place(contact())
    bench.tell(job("-ERR USER_BUSY"))
    bench.pbx.reply.callback(None)
    bench.wait()
    assert_that(bench.settled, contains_exactly((Status.ENDED, "USER_BUSY", False)))


def test_an_end_that_came_before_the_reply_to_its_command_counts(bench: Bench) -> None:
    bench.pbx.reply = Deferred()
    bench.place(contact())
    bench.tell(hangup("USER_BUSY"))
    bench.pbx.reply.callback(None)
    assert_that((bench.settled, bench.live), equal_to(([(Status.ENDED, "USER_BUSY", False)], [])))


def test_a_call_counts_for_its_switch_until_its_result_is_committed(bench: Bench) -> None:
    bench.dialed()
    bench.results.slow = Deferred()
    bench.tell(hangup("USER_BUSY"))
    assert_that((bench.live, bench.calls.load(bench.pbx)), equal_to(([], 1)))
    bench.tell(hangup("NO_ANSWER"))
    bench.results.slow.callback("ended")
    assert_that((bench.calls.load(bench.pbx), len(bench.settled)), equal_to((0, 1)))


def test_a_result_that_was_dropped_leaves_the_call_to_reconciling(bench: Bench) -> None:
    bench.dialed()
    bench.results.slow = Deferred()
    bench.tell(hangup("USER_BUSY"))
    bench.results.slow.errback(Dropped())
    assert_that(bench.calls.load(bench.pbx), is_(0))


# -- refusals ----------------------------------------------------------------------------------------------------------

REFUSALS = [
    ("-ERR INVALID_GATEWAY", Status.FAILED, "Invalid Gateway"),
    ("-ERR GATEWAY_DOWN", Status.PENDING, None),
    ("-ERR DESTINATION_OUT_OF_ORDER", Status.PENDING, None),
    ("-ERR CALL_REJECTED", Status.ENDED, "CALL_REJECTED"),
    ("-ERR NORMAL_CLEARING", Status.ENDED, "NO_ANSWER"),
    ("-USAGE: <call url> <exten>", Status.ENDED, "USAGE: <CALL URL> <EXTEN>"),
    ("-ERR " + "x" * 60, Status.ENDED, "X" * 40),
]


@pytest.mark.parametrize("kind", [IVR, AGENT])
@pytest.mark.parametrize(("body", "to", "result"), REFUSALS)
def test_a_refusal_stands_after_a_second_in_which_no_channel_showed(
    bench: Bench, kind: CampaignType, body: str, to: Status, result: str | None
) -> None:
    bench.dialed(kind)
    bench.tell(job(body))
    bench.wait(REFUSAL_GRACE - 0.01)
    assert_that(bench.settled, empty())
    bench.wait(0.01)
    assert_that(bench.settled, contains_exactly((to, result, kind is AGENT)))
    assert_that(bench.live, empty())


@pytest.mark.parametrize(("body", "to", "result"), REFUSALS)
def test_a_refused_command_itself_means_the_same_as_a_refused_job(
    bench: Bench, body: str, to: Status, result: str | None
) -> None:
    bench.pbx.reply = CommandRefused("bgapi originate", body)
    bench.place(contact())
    bench.wait()
    assert_that(bench.settled, contains_exactly((to, result, False)))


@pytest.mark.parametrize("sign_of_life", [answer(), bridge()])
@pytest.mark.parametrize(("body", "to", "result"), REFUSALS)
def test_a_channel_that_shows_within_the_second_refutes_the_refusal(
    bench: Bench, body: str, to: Status, result: str | None, sign_of_life: Event
) -> None:
    bench.dialed()
    bench.tell(job(body), sign_of_life)
    bench.wait(60)
    assert_that((bench.settled, bench.live, bench.pbx.asked), equal_to(([], ["c1"], 0)))


@pytest.mark.parametrize("has", [True, SwitchDown("gone"), CommandRefused("api uuid_exists", "-ERR")])
def test_a_refused_call_that_the_switch_has_or_cannot_tell_of_is_left_alone(bench: Bench, has: Any) -> None:
    bench.dialed()
    bench.pbx.has = has
    bench.tell(job("-ERR DESTINATION_OUT_OF_ORDER"))
    bench.wait(60)
    assert_that((bench.settled, bench.live, bench.pbx.asked), equal_to(([], ["c1"], 1)))


def test_an_end_that_comes_while_the_switch_is_asked_wins(bench: Bench) -> None:
    bench.dialed()
    bench.pbx.has = Deferred()
    bench.tell(job("-ERR INVALID_GATEWAY"))
    bench.wait()
    bench.tell(hangup("USER_BUSY"))
    bench.pbx.has.callback(False)
    assert_that(bench.settled, contains_exactly((Status.ENDED, "USER_BUSY", False)))


def test_a_channel_that_shows_while_the_switch_is_asked_wins(bench: Bench) -> None:
    bench.dialed()
    bench.pbx.has = Deferred()
    bench.tell(job("-ERR INVALID_GATEWAY"))
    bench.wait()
    bench.tell(answer())
    bench.pbx.has.callback(False)
    assert_that((bench.settled, bench.live), equal_to(([], ["c1"])))


def test_only_a_switch_over_its_limits_is_slowed_down(bench: Bench) -> None:
    bench.dialed(contact_id="c1")
    bench.tell(job("-ERR CALL_REJECTED"))
    bench.wait()
    assert_that(bench.limits.rates(), equal_to({}))
    bench.dialed(contact_id="c2")
    bench.tell(job("-ERR DESTINATION_OUT_OF_ORDER", contact_id="c2"))
    bench.wait()
    assert_that(list(bench.limits.rates()), equal_to(["pbx:8021"]))


@pytest.mark.parametrize("kind", [IVR, AGENT])
@pytest.mark.parametrize("in_reply", [False, True])
def test_a_switch_that_does_not_know_the_command_is_not_used_and_the_contact_goes_back_at_once(
    bench: Bench, kind: CampaignType, in_reply: bool
) -> None:
    text = "-ERR JSoriginate Command not found!\n"
    if in_reply:
        bench.pbx.reply = CommandRefused("bgapi JSoriginate", text)
    bench.place(contact(kind))
    if not in_reply:
        bench.tell(job(text), job(text))
    assert_that(bench.settled, contains_exactly((Status.PENDING, None, kind is AGENT)))
    assert_that((bench.pbx.disabled, bench.clock.getDelayedCalls()), contains_exactly(not_none(), empty()))


# -- calls of another process or an earlier start ----------------------------------------------------------------------


def test_an_adopted_call_lives_on_as_if_it_had_been_sent_then(bench: Bench) -> None:
    bench.adopt(held())
    (call,) = bench.calls
    assert_that(call, has_properties(sent_at=bench.clock.seconds() - 30, switch="pbx:8021", bridged=False))
    bench.tell(hangup("USER_BUSY"))
    expected = Change("c1", 2, Status.DIALED, Status.ENDED, "USER_BUSY")
    assert_that(bench.results.changes, contains_exactly(expected))


@pytest.mark.parametrize("dialed_ago", [None, -5.0])
def test_a_call_whose_dial_time_says_nothing_counts_from_now(bench: Bench, dialed_ago: float | None) -> None:
    bench.adopt(held(dialed_ago=dialed_ago))
    (call,) = bench.calls
    assert_that(call.sent_at, is_(bench.clock.seconds()))


def test_an_adopted_call_whose_end_was_seen_before_is_settled_with_its_true_cause(bench: Bench) -> None:
    bench.tell(hangup("USER_BUSY"))
    bench.wait(29)
    bench.adopt(held(AGENT))
    assert_that(bench.settled, contains_exactly((Status.ENDED, "USER_BUSY", False)))
    assert_that(bench.live, empty())


def test_an_end_that_comes_while_the_database_is_asked_for_its_call_is_the_calls_own(bench: Bench) -> None:
    asked_at = bench.clock.seconds()
    bench.tell(hangup("USER_BUSY"))
    bench.wait(2)
    # The answer is slow: the call was sent just before the database was asked, and ended right after.
    bench.calls.adopt(held(dialed_ago=0.1), asked_at)
    assert_that((bench.settled, bench.live), equal_to(([(Status.ENDED, "USER_BUSY", False)], [])))


def test_a_call_that_the_database_was_slow_to_tell_of_counts_as_no_older_than_it_surely_is(bench: Bench) -> None:
    asked_at = bench.clock.seconds()
    bench.wait(2)
    bench.calls.adopt(held(dialed_ago=30.0), asked_at)
    (call,) = bench.calls
    assert_that(call.sent_at, is_(bench.clock.seconds() - 30))


def test_an_end_seen_before_the_call_was_sent_is_of_an_earlier_taking(bench: Bench) -> None:
    bench.tell(hangup("USER_BUSY"))
    bench.wait(31)
    bench.adopt(held())
    assert_that((bench.settled, bench.live), equal_to(([], ["c1"])))


def test_only_what_is_dialed_and_not_known_is_adopted(bench: Bench) -> None:
    bench.adopt(held(AGENT, status=Status.AGENT_PENDING))
    assert_that(bench.live, empty())
    bench.dialed()
    (before,) = bench.calls
    bench.adopt(held())
    assert_that(next(iter(bench.calls)) is before, is_(True))


def test_a_call_whose_result_is_on_its_way_is_not_adopted_again(bench: Bench) -> None:
    bench.dialed()
    bench.results.slow = Deferred()
    bench.tell(hangup("USER_BUSY"))
    bench.adopt(held())
    assert_that(bench.live, empty())
    bench.results.slow.callback("ended")


def test_a_released_call_is_forgotten_and_its_end_kept_for_whoever_asks(bench: Bench) -> None:
    bench.adopt(held())
    (call,) = bench.calls
    bench.calls.release(call)
    bench.tell(hangup("USER_BUSY"))
    assert_that((bench.settled, bench.live), equal_to(([], [])))
    bench.adopt(held())
    assert_that(bench.settled, contains_exactly((Status.ENDED, "USER_BUSY", False)))


@pytest.mark.parametrize(
    ("kind", "stored", "seen", "end_chat"),
    [(IVR, False, False, False), (AGENT, False, False, True), (AGENT, True, False, False), (AGENT, False, True, False)],
)
def test_a_call_that_is_gone_ends_unknown_and_frees_an_agent_not_known_to_have_talked(
    bench: Bench, kind: CampaignType, stored: bool, seen: bool, end_chat: bool
) -> None:
    bench.adopt(held(kind, bridged=stored))
    if seen:
        bench.tell(bridge())
    (call,) = bench.calls
    bench.calls.gone(call)
    bench.calls.gone(call)
    bench.tell(hangup("USER_BUSY"))
    assert_that(bench.settled, contains_exactly((Status.ENDED, "UNKNOWN", end_chat)))


def test_a_new_taking_of_a_contact_takes_the_place_of_an_older_one(bench: Bench) -> None:
    bench.adopt(held(taking=1))
    (old,) = bench.calls
    bench.place(contact(taking=1))
    bench.calls.release(old)
    (new,) = bench.calls
    assert_that(new.contact, has_properties(taking=2))


# -- shutdown ----------------------------------------------------------------------------------------------------------


def drained(bench: Bench) -> Deferred[None]:
    return Deferred.fromCoroutine(bench.calls.drain())


def test_a_drain_with_nothing_under_way_is_over_at_once(bench: Bench) -> None:
    bench.dialed()
    assert_that((drained(bench).called, bench.settled), equal_to((True, [])))


def test_a_drain_waits_for_the_switch_to_answer_commands_under_way(bench: Bench) -> None:
    bench.pbx.reply = Deferred()
    bench.place(contact())
    draining = drained(bench)
    assert_that(draining.called, is_(False))
    bench.pbx.reply.callback(None)
    assert_that(draining.called, is_(True))


def test_a_drain_waits_for_refusals_and_looks_into_no_later_ones(bench: Bench) -> None:
    bench.dialed(contact_id="c1")
    bench.dialed(contact_id="c2")
    bench.tell(job("-ERR USER_BUSY"))
    draining = drained(bench)
    assert_that(draining.called, is_(False))
    bench.wait()
    assert_that((draining.called, bench.settled), equal_to((True, [(Status.ENDED, "USER_BUSY", False)])))
    bench.tell(job("-ERR USER_BUSY", contact_id="c2"))
    assert_that(bench.clock.getDelayedCalls(), equal_to([]))
    bench.tell(hangup("USER_BUSY", "c2"))
    assert_that(bench.settled, has_length(2))


@pytest.mark.parametrize(
    ("body", "to", "result"),
    [
        ("-ERR GATEWAY_DOWN", Status.PENDING, None),
        ("-ERR INVALID_GATEWAY", Status.FAILED, "Invalid Gateway"),
        ("-ERR DESTINATION_OUT_OF_ORDER", Status.PENDING, None),
        ("-ERR CHAN_NOT_IMPLEMENTED", Status.ENDED, "CHAN_NOT_IMPLEMENTED"),
        ("+OK c1", Status.ENDED, "UNKNOWN"),
    ],
)
@pytest.mark.parametrize("kind", [IVR, AGENT])
def test_a_call_found_gone_ends_as_its_refusal_said_if_there_was_one(
    bench: Bench, kind: CampaignType, body: str, to: Status, result: str | None
) -> None:
    bench.dialed(kind)
    bench.pbx.has = SwitchDown("no connection")
    bench.tell(job(body))
    bench.wait()
    assert_that(bench.settled, empty())
    (call,) = bench.calls
    bench.calls.gone(call)
    assert_that(bench.settled, contains_exactly((to, result, kind is AGENT)))


@pytest.mark.parametrize("kind", [IVR, AGENT])
def test_a_taking_that_is_being_undone_is_not_taken_for_a_call(bench: Bench, kind: CampaignType) -> None:
    bench.store.unsent.add("c1")
    bench.adopt(held(kind))
    assert_that((bench.live, bench.results.changes), equal_to(([], [])))
    bench.store.unsent.clear()
    bench.adopt(held(kind))
    assert_that(bench.live, has_length(1))


def test_an_end_that_its_own_dialer_does_not_write_is_written_by_who_saw_it(bench: Bench) -> None:
    bench.tell(hangup("USER_BUSY", "theirs"), hangup("CALL_REJECTED", "written"))
    bench.store.others = [held(contact_id="theirs", dialed_ago=60.0)]
    bench.wait(ends.RIPE - 0.1)
    result_of(Deferred.fromCoroutine(bench.calls.tell_foreign_ends()))
    assert_that(bench.store.asked_for, empty())
    bench.wait(0.2)
    result_of(Deferred.fromCoroutine(bench.calls.tell_foreign_ends()))
    result_of(Deferred.fromCoroutine(bench.calls.tell_foreign_ends()))
    assert_that(bench.store.asked_for, contains_exactly(["theirs", "written"]))
    assert_that(bench.settled, contains_exactly((Status.ENDED, "USER_BUSY", False)))


@pytest.mark.parametrize("call_id", ["", "a\0b", "\0", "x" * 41, "x" * 1_000_000])
def test_an_end_that_can_be_no_contacts_keeps_nobody_from_being_asked_for_the_others(
    bench: Bench, call_id: str
) -> None:
    bench.tell(hangup("USER_BUSY", call_id), hangup("USER_BUSY", "theirs"))
    bench.wait(ends.RIPE)
    result_of(Deferred.fromCoroutine(bench.calls.tell_foreign_ends()))
    assert_that(bench.store.asked_for, contains_exactly(["theirs"]))


def test_an_end_is_looked_up_again_when_the_database_could_not_be_asked(bench: Bench) -> None:
    bench.tell(hangup("USER_BUSY", "theirs"))
    bench.store.others = [held(contact_id="theirs", dialed_ago=60.0)]
    bench.wait(ends.RIPE)
    bench.store.fails = DatabaseDown("down")
    for _ in range(2):
        telling = Deferred.fromCoroutine(bench.calls.tell_foreign_ends())
        assert_that(error_of(telling), is_(bench.store.fails))
    # What ripened meanwhile is asked for with it.
    bench.tell(hangup("NO_ANSWER", "later"))
    bench.wait(ends.RIPE)
    bench.store.fails = None
    for _ in range(2):
        result_of(Deferred.fromCoroutine(bench.calls.tell_foreign_ends()))
    assert_that(bench.store.asked_for, contains_exactly(["theirs"], ["theirs"], ["theirs", "later"]))
    assert_that(bench.settled, contains_exactly((Status.ENDED, "USER_BUSY", False)))


def test_an_end_that_is_adopted_while_the_database_is_asked_for_it_is_settled_once(bench: Bench) -> None:
    bench.tell(hangup("USER_BUSY"))
    bench.wait(ends.RIPE)
    answer: Deferred[list[HeldContact]] = Deferred()
    bench.store.still_dialed = lambda _: answer
    telling = Deferred.fromCoroutine(bench.calls.tell_foreign_ends())
    bench.results.slow = Deferred()
    bench.adopt(held())
    answer.callback([held()])
    assert_that((telling.called, bench.settled), equal_to((True, [(Status.ENDED, "USER_BUSY", False)])))
    bench.results.slow.callback("ended")


@pytest.mark.parametrize(("bridged", "end_chat"), [(False, True), (True, False)])
def test_the_agent_of_a_call_of_another_dialer_is_freed_unless_they_talked(
    bench: Bench, bridged: bool, end_chat: bool
) -> None:
    bench.tell(hangup("NORMAL_CLEARING", answered=True, bridged=bridged))
    bench.wait(ends.RIPE)
    bench.store.others = [held(AGENT, dialed_ago=60.0, taking=7)]
    result_of(Deferred.fromCoroutine(bench.calls.tell_foreign_ends()))
    expected = Change("c1", 7, Status.DIALED, Status.ENDED, "NORMAL_CLEARING", end_chat=end_chat)
    assert_that(bench.results.changes, contains_exactly(expected))
    assert_that(bench.calls.load(bench.pbx), is_(0))


def test_the_end_of_a_short_call_is_not_taken_for_an_earlier_ones_when_the_database_is_slow(bench: Bench) -> None:
    bench.wait(0.1)  # the call was sent before this
    bench.tell(hangup("USER_BUSY"))
    bench.wait(ends.RIPE)
    answer: Deferred[list[HeldContact]] = Deferred()
    bench.store.still_dialed = lambda _: answer
    Deferred.fromCoroutine(bench.calls.tell_foreign_ends())
    bench.wait(2)
    answer.callback([held(dialed_ago=ends.RIPE + 0.1)])
    assert_that(bench.settled, contains_exactly((Status.ENDED, "USER_BUSY", False)))


def test_the_end_of_an_own_call_is_nobodys_to_ask_for(bench: Bench) -> None:
    bench.dialed()
    bench.tell(hangup("USER_BUSY"))
    bench.wait(ends.RIPE)
    result_of(Deferred.fromCoroutine(bench.calls.tell_foreign_ends()))
    assert_that((bench.store.asked_for, len(bench.settled)), equal_to(([], 1)))


def test_the_end_of_an_earlier_call_is_not_written_to_a_later_one(bench: Bench) -> None:
    bench.tell(hangup("USER_BUSY", "theirs"))
    bench.wait(ends.RIPE + 1)
    bench.store.others = [held(contact_id="theirs", dialed_ago=0.5)]
    result_of(Deferred.fromCoroutine(bench.calls.tell_foreign_ends()))
    assert_that(bench.settled, empty())


def test_a_drain_waits_for_a_switch_that_is_just_being_asked(bench: Bench) -> None:
    bench.dialed()
    bench.pbx.has = Deferred()
    bench.tell(job("-ERR USER_BUSY"))
    bench.wait()
    draining = drained(bench)
    assert_that(draining.called, is_(False))
    bench.pbx.has.callback(False)
    assert_that((draining.called, bench.settled), equal_to((True, [(Status.ENDED, "USER_BUSY", False)])))


def test_what_is_seen_of_a_call_is_noted_once(bench: Bench) -> None:
    bench.dialed()
    bench.tell(answer(), answer(), bridge(), bridge(), hangup("NORMAL_CLEARING", answered=True, bridged=True), answer())
    assert_that(
        bench.lines.noted,
        equal_to([("c1", Seen.SENT, "pbx:8021"), ("c1", Seen.ANSWERED, None), ("c1", Seen.BRIDGED, None)]),
    )


def test_a_lost_reply_and_a_refusal_are_noted(bench: Bench) -> None:
    bench.pbx.reply = ReplyLost("connection lost")
    bench.place(contact())
    bench.tell(job("-ERR DESTINATION_OUT_OF_ORDER"))
    assert_that(
        bench.lines.noted,
        equal_to([("c1", Seen.REPLY_LOST, "pbx:8021"), ("c1", Seen.REFUSED, "DESTINATION_OUT_OF_ORDER")]),
    )
    bench.wait()
    assert_that([change.reason for change in bench.results.changes], equal_to(["DESTINATION_OUT_OF_ORDER"]))


def test_a_contact_that_is_still_to_be_sent_is_not_taken_for_a_call(bench: Bench) -> None:
    bench.calls.coming.add("c1")
    bench.adopt(held())
    assert_that(bench.live, empty())
    bench.calls.coming.discard("c1")
    bench.adopt(held())
    assert_that(bench.live, contains_exactly("c1"))


# -- what is told to who measures --------------------------------------------------------------------------------------


def timed_hangup(cause: str, *, created: int, answered: int, ended: int) -> Event:
    times = {"Created": created, "Answered": answered, "Hangup": ended}
    headers = {f"Caller-Channel-{name}-Time": str(time) for name, time in times.items()}
    return Event("CHANNEL_HANGUP_COMPLETE", {"Unique-ID": "c1", "Hangup-Cause": cause} | headers)


def test_a_command_that_was_written_is_an_attempt_whatever_becomes_of_it(bench: Bench) -> None:
    bench.dialed(AGENT)
    bench.pbx.reply = CommandRefused("bgapi", "-ERR no")
    bench.place(contact(IVR, "c2"))
    bench.pbx.reply = ReplyLost("lost")
    bench.place(contact(IVR, "c3"))
    assert_that(bench.told.of("sent"), equal_to([("AGENT", "pbx:8021"), ("IVR", "pbx:8021"), ("IVR", "pbx:8021")]))


def test_a_command_that_was_never_written_is_no_attempt(bench: Bench) -> None:
    bench.pbx.reply = SwitchDown("down")
    bench.place(contact(IVR))
    assert_that(bench.told.of("sent"), empty())


def test_the_times_of_an_answered_call_are_those_of_the_switch(bench: Bench) -> None:
    bench.dialed(AGENT)
    bench.tell(timed_hangup("NORMAL_CLEARING", created=1_000_000, answered=4_500_000, ended=10_000_000))
    assert_that((bench.told.of("rang"), bench.told.of("talked")), equal_to(([("AGENT", 3.5, True)], [("AGENT", 5.5)])))


def test_a_call_that_nobody_answered_rang_until_its_end(bench: Bench) -> None:
    bench.dialed(IVR)
    bench.tell(timed_hangup("NO_ANSWER", created=1_000_000, answered=0, ended=31_000_000))
    assert_that((bench.told.of("rang"), bench.told.of("talked")), equal_to(([("IVR", 30.0, False)], [])))


@pytest.mark.parametrize("times", [(0, 0, 0), (5_000_000, 0, 4_000_000)])
def test_times_that_make_no_sense_are_not_told(bench: Bench, times: tuple[int, int, int]) -> None:
    bench.dialed(IVR)
    created, answered, ended = times
    bench.tell(timed_hangup("NO_ANSWER", created=created, answered=answered, ended=ended))
    assert_that(bench.told.of("rang") + bench.told.of("talked"), empty())
    assert_that(bench.settled, has_length(1))


def test_an_event_that_repeats_is_told_once_for_each_time(bench: Bench) -> None:
    bench.dialed(IVR)
    bench.tell(job(), job(), answer(), answer(), answer(), hangup("NORMAL_CLEARING", answered=True))
    # After its result is stored nothing else is known of the call.
    bench.tell(hangup("NORMAL_CLEARING", answered=True))
    names = ["BACKGROUND_JOB", "CHANNEL_ANSWER", "CHANNEL_ANSWER", "CHANNEL_HANGUP_COMPLETE"]
    assert_that(bench.told.of("repeated"), equal_to([(name,) for name in names]))


def test_the_events_of_the_next_call_of_a_contact_repeat_nothing(bench: Bench) -> None:
    bench.dialed(IVR)
    bench.tell(job("-ERR GATEWAY_DOWN\n"))
    bench.wait()
    bench.place(contact(IVR, taking=1))
    bench.tell(job(taking=2), answer(), hangup("NORMAL_CLEARING", answered=True))
    assert_that(bench.told.of("repeated"), empty())


def test_events_of_calls_that_are_not_ours_are_no_repetitions(bench: Bench) -> None:
    bench.tell(answer("x"), answer("x"), hangup("USER_BUSY", "x"), hangup("USER_BUSY", "x"))
    assert_that(bench.told.of("repeated"), empty())


def test_only_so_many_calls_are_remembered_for_repetitions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repeats, "KEPT", 2)
    told = Told()
    heard = repeats.Repeats(told)
    for call_id in ("c1", "c2", "c3"):
        heard.begun(call_id)
        heard.heard(call_id, "CHANNEL_ANSWER")
    for call_id in ("c1", "c2", "c3"):
        heard.heard(call_id, "CHANNEL_ANSWER")
    assert_that(told.of("repeated"), has_length(2))


def test_a_contact_that_is_adopted_is_told(bench: Bench) -> None:
    bench.adopt(held())
    bench.adopt(held())
    assert_that(bench.told.of("reconciled"), equal_to([(Reconciled.ADOPTED,)]))


def test_an_end_that_is_written_for_a_dialer_that_is_gone_is_told(bench: Bench) -> None:
    bench.tell(hangup("USER_BUSY"))
    bench.clock.advance(ends.RIPE)
    bench.store.others = [held(dialed_ago=10.0)]
    result_of(Deferred.fromCoroutine(bench.calls.tell_foreign_ends()))
    assert_that(bench.told.of("reconciled"), equal_to([(Reconciled.TOLD,)]))


def test_an_event_that_cannot_be_dealt_with_is_logged_with_its_contact(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, logged_failures: LoggedFailures
) -> None:
    bench.dialed(IVR)
    monkeypatch.setattr(bench.results, "settle", lambda _: 1 / 0)
    with capturedLogs() as logged:
        bench.tell(hangup("USER_BUSY"))
    said = [event for event in logged if "log_failure" in event]
    assert_that(formatEvent(said[0]), equal_to("CHANNEL_HANGUP_COMPLETE of contact c1 of campaign k went astray"))
    assert_that(logged_failures.flush(ZeroDivisionError), has_length(1))


# -- when it was answered ----------------------------------------------------------------------------------------------


def test_an_answer_is_told_at_once_when_somebody_is_told_of_answers(bench: Bench) -> None:
    bench.store.has_webhooks = True
    bench.dialed()
    answered_at = bench.clock.seconds()
    bench.tell(answer(), answer())
    assert_that(bench.store.answered, contains_exactly(("c1", answered_at)))
    bench.wait(3)
    bench.tell(hangup("NORMAL_CLEARING", answered=True), answer())
    assert_that(bench.store.answered, has_length(1))
    assert_that([change.answered_at for change in bench.results.changes], contains_exactly(answered_at))


def test_an_answer_is_stored_with_the_end_alone_when_nobody_is_told_of_it(bench: Bench) -> None:
    bench.dialed()
    bench.tell(answer())
    assert_that(bench.store.answered, empty())
    answered_at = bench.clock.seconds()
    bench.wait(3)
    bench.tell(hangup("NORMAL_CLEARING", answered=True))
    assert_that([change.answered_at for change in bench.results.changes], contains_exactly(answered_at))


def test_an_answer_that_cannot_be_stored_harms_nothing_and_comes_with_the_end(bench: Bench) -> None:
    bench.store.has_webhooks = True
    bench.dialed()
    bench.store.refuses = DatabaseDown("gone")
    bench.tell(answer())
    answered_at = bench.clock.seconds()
    bench.wait(3)
    bench.tell(hangup("NORMAL_CLEARING", answered=True))
    assert_that([change.answered_at for change in bench.results.changes], contains_exactly(answered_at))


def test_the_end_of_a_call_tells_when_it_was_answered_if_nobody_saw_that(bench: Bench) -> None:
    bench.adopt(held())
    bench.wait(20)
    end = hangup("NORMAL_CLEARING", answered=True)
    bench.tell(Event(end.name, {**end.headers, "Caller-Channel-Hangup-Time": "1700000004500000"}))
    assert_that([change.answered_at for change in bench.results.changes], contains_exactly(bench.clock.seconds() - 4.5))


def test_a_call_that_was_never_answered_has_no_time_of_an_answer(bench: Bench) -> None:
    bench.dialed()
    bench.tell(hangup("NO_ANSWER"))
    assert_that([change.answered_at for change in bench.results.changes], contains_exactly(None))
