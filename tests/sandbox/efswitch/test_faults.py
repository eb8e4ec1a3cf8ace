"""What can be made to go wrong, by method and by the `simulator` command."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hamcrest import (
    assert_that,
    close_to,
    contains_string,
    empty,
    equal_to,
    has_entries,
    has_item,
    has_key,
    has_length,
    is_,
    starts_with,
)

from dialer.sandbox.efswitch import Outcome, Rule

from .dialed import Phone, phone

BUSY = Rule(outcome=Outcome.BUSY)
LONG = Rule(ring=0.1, talk=600)


def order(line: Phone, client: Any = None, **what: Any) -> dict[str, Any]:
    """The answer to `api simulator`, sent by a client of its own."""
    answer: dict[str, Any] = json.loads(line.api("simulator " + json.dumps(what), client or line.connect("")))
    return answer


def test_dropped_connections_end_at_once_and_calls_go_on() -> None:
    line = phone(LONG)
    line.dial("u1")
    control = line.connect("")
    order(line, control, fault="drop")
    line.pass_time(1)
    assert_that(line.client.transport.disconnecting)
    assert_that(control.transport.disconnecting, is_(False))
    assert_that(line.switch.channels, has_key("u1"))
    line.switch.stop()


def test_a_stalled_switch_says_nothing_until_the_stall_ends() -> None:
    line = phone(BUSY)
    before = line.client.heard
    order(line, fault="stall", **{"for": 5})
    line.dial("u1")
    line.pass_time(4)
    assert_that(line.client.heard, equal_to(before))
    line.pass_time(2)
    assert_that(line.jobs(), has_length(1))


def test_a_switch_that_reads_nothing_pauses_its_transports() -> None:
    line = phone(BUSY)
    order(line, fault="stop_reading")
    assert_that(line.client.transport.producerState, equal_to("paused"))
    assert_that(line.connect().transport.producerState, equal_to("paused"))
    order(line, fault="clear")
    assert_that(line.client.transport.producerState, equal_to("producing"))


@pytest.mark.parametrize("event", ["CHANNEL_HANGUP_COMPLETE", "BACKGROUND_JOB"])
def test_lost_events_are_those_of_the_kind_and_about_the_fraction_that_was_asked_for(event: str) -> None:
    line = phone(BUSY)
    order(line, fault="lose", event=event, fraction=0.3)
    for number in range(200):
        line.dial(f"u{number}")
    line.pass_time(1)
    assert_that(line.events(event), has_length(close_to(140, 25)))
    others = {"CHANNEL_HANGUP_COMPLETE", "BACKGROUND_JOB"} - {event}
    assert_that(line.events(*others), has_length(200))


def test_repeated_events_come_twice() -> None:
    line = phone(BUSY)
    order(line, fault="repeat", event="channel_hangup_complete")
    line.dial("u1")
    line.pass_time(1)
    first, second = line.events("CHANNEL_HANGUP_COMPLETE")
    assert_that(first, equal_to(second))


def test_delayed_commands_are_answered_later_and_in_order() -> None:
    line = phone(BUSY)
    order(line, fault="delay", seconds=2)
    before = len(line.client.heard)
    line.client.send(b"api uuid_exists x\n\nnoevents\n\n")
    line.pass_time(1.9)
    assert_that(line.client.heard, has_length(before))
    line.pass_time(0.2)
    assert_that(line.client.heard[before:].endswith(b"false"))
    line.pass_time(2)
    assert_that(line.client.heard.decode().strip(), contains_string("+OK no longer listening"))


def test_a_new_client_is_rejected_while_addresses_are_denied() -> None:
    line = phone()
    control = line.connect("")
    order(line, control, fault="deny")
    assert_that(line.connect().heard.decode(), starts_with("Content-Type: text/rude-rejection"))
    order(line, control, fault="deny", on=False)
    assert_that(line.connect().heard.decode(), starts_with("Content-Type: auth/request"))


@pytest.mark.parametrize(("fault", "calls"), [("cut_before", 0), ("cut_after", 1)])
@pytest.mark.parametrize("verb", ["api", "bgapi"])
def test_a_cut_around_an_originate_leaves_no_reply_and_the_call_only_if_it_was_executed(
    fault: str, calls: int, verb: str
) -> None:
    line = phone(LONG)
    order(line, fault=fault)
    before = line.client.heard
    line.client.send(f"{verb} status\n\n".encode())
    answered = line.client.heard
    assert_that(len(answered) > len(before))
    answered = line.client.heard
    line.client.send(f"{verb} originate {{origination_uuid=u1}}sofia/gateway/g/1 1\n\n".encode())
    line.pass_time(1)
    assert_that(line.client.heard[len(answered) :].count(b"Reply-Text"), equal_to(0))
    assert_that(line.client.heard[len(answered) :].count(b"api/response"), equal_to(0))
    assert_that(line.client.transport.disconnecting)
    assert_that(line.switch.channels, has_length(calls))
    again = line.connect()
    again.send(b"bgapi originate {origination_uuid=u2}sofia/gateway/g/1 1\n\n")
    assert_that(again.transport.disconnecting, is_(False))
    line.switch.stop()


@pytest.mark.parametrize("keep", [False, True])
def test_a_restart_ends_all_connections_without_a_notice_and_forgets_the_calls_unless_told_to_keep_them(
    keep: bool,
) -> None:
    line = phone(LONG)
    line.dial("u1")
    line.pass_time(1)
    core = line.switch.bus.envelopes.identity.core_uuid
    order(line, fault="restart", keep_calls=keep)
    heard = len(line.client.heard)
    line.pass_time(1)
    assert_that(line.client.heard, has_length(heard))
    assert_that(line.client.transport.disconnecting)
    assert_that("u1" in line.switch.channels, equal_to(keep))
    record = line.switch.records.since()[0]
    assert_that(record.vanished, equal_to(not keep))
    assert_that(line.switch.bus.envelopes.identity.core_uuid != core)
    assert_that(line.api("uptime", line.connect()), equal_to("0\n"))
    line.switch.stop()


def test_a_stop_leaves_no_timer_of_a_call_that_is_over_but_whose_job_is_not() -> None:
    line = phone(BUSY, job_first=0.0)
    line.dial("u1")
    while line.switch.channels:
        line.pass_time(0.01)
    line.switch.stop()
    assert_that(line.clock.getDelayedCalls(), empty())


def test_an_elegant_shutdown_waits_for_the_calls_and_still_accepts_new_ones() -> None:
    line = phone(Rule(ring=0.1, talk=3))
    line.dial("u1")
    line.connect("").send(b"api fsctl shutdown elegant\n\n")
    line.pass_time(2)
    line.dial("u2")
    line.pass_time(2)
    assert_that(line.switch.channels, has_key("u2"))
    assert_that(line.client.transport.disconnecting, is_(False))
    line.pass_time(4)
    assert_that(line.client.transport.disconnecting)
    assert_that(line.client.heard.endswith(b"The system is being shut down.\n"))
    assert_that(line.jobs(), equal_to(["+OK u1\n", "+OK u2\n"]))


def test_a_shutdown_now_is_a_bare_end_of_file() -> None:
    line = phone(LONG)
    line.dial("u1")
    line.pass_time(1)
    heard = len(line.client.heard)
    line.client.send(b"api fsctl shutdown now\n\n")
    line.pass_time(1)
    assert_that(line.client.heard, has_length(heard))
    assert_that(line.client.transport.disconnecting)
    assert_that(line.switch.channels, is_(empty()))


def test_records_tell_what_really_happened_and_can_be_paged_and_cleared() -> None:
    line = phone(Rule(number="1", outcome=Outcome.BUSY), Rule(ring=0.1, talk=1), gateways={"gw1": "UP"})
    control = line.connect("")
    line.dial("u1", "1")
    line.dial("u2", "2", gateway="other")
    line.dial("u3", "3")
    line.pass_time(3)
    answer = order(line, control, records="calls")
    assert_that(answer["count"], equal_to(3))
    assert_that(answer["calls"], has_length(3))
    assert_that(answer["calls"][0], has_entries(uuid="u1", number="1", gateway="gw1", cause="USER_BUSY", refused=None))
    assert_that(answer["calls"][1], has_entries(uuid="u2", refused="INVALID_GATEWAY", cause=None))
    assert_that(answer["calls"][2], has_entries(uuid="u3", cause="NORMAL_CLEARING", extension="1999"))
    assert_that(answer["calls"][2]["answered_at"] > answer["calls"][2]["at"])
    assert_that(answer["calls"][2]["variables"], has_entries(origination_uuid="u3"))
    paged = order(line, control, records="calls", since=1, limit=1)
    assert_that([call["uuid"] for call in paged["calls"]], equal_to(["u2"]))
    order(line, control, records="clear")
    assert_that(order(line, control, records="calls"), equal_to({"ok": True, "count": 3, "calls": []}))


def test_only_the_last_records_are_kept() -> None:
    line = phone(BUSY, records_limit=2)
    for number in range(5):
        line.dial(f"u{number}")
    line.pass_time(1)
    assert_that([attempt.uuid for attempt in line.switch.records.since()], equal_to(["u3", "u4"]))


def test_gateways_rules_limits_and_calls_are_steered_from_outside() -> None:
    line = phone(gateways={})
    control = line.connect("")
    order(line, control, gateway="gw1", state="up")
    order(line, control, rules=[{"outcome": "answered", "ring": 0.1, "talk": [600, 700]}])
    line.dial("u1")
    line.pass_time(1)
    calls = order(line, control, calls=True)["calls"]
    assert_that(calls, has_item(has_entries(uuid="u1", answered=True, bridged=False)))
    assert_that(order(line, control, kill="u1", cause="USER_BUSY"), has_entries(known=True))
    line.pass_time(0.1)
    assert_that(line.ends()["u1"].headers["Hangup-Cause"], equal_to("USER_BUSY"))
    order(line, control, gateway="gw1", state="none")
    assert_that(line.api("sofia status gateway gw1"), equal_to("Invalid Gateway!\n"))
    order(line, control, sps=7, max_sessions=8)
    assert_that(line.api("fsctl sps"), equal_to("+OK sessions per second: 7\n"))
    order(line, control, js_originate=True)
    assert_that(line.api("JSoriginate"), starts_with("-USAGE"))
    assert_that(order(line, control, faults=True), has_entries(stall=False, lose={}))


@pytest.mark.parametrize(
    "argument",
    [
        "",
        "x",
        "[]",
        "{}",
        '{"fault": "x"}',
        '{"fault": "delay"}',
        '{"gateway": "g", "state": "x"}',
        '{"rules": [{"outcome": "x"}]}',
        '{"rules": [{"numbr": "1"}]}',
        '{"rules": [{"number": "("}]}',
        '{"rules": [{"ring": -1}]}',
    ],
)
def test_an_order_that_is_not_understood_is_answered_with_an_error(argument: str) -> None:
    line = phone()
    assert_that(json.loads(line.api(f"simulator {argument}")), has_key("error"))
