"""What hangups and refusals mean, held against what a real FreeSWITCH sent (`data/hangups`, `data/jobs.json`)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hamcrest import assert_that, equal_to, has_entries, has_length, is_, less_than_or_equal_to, none, not_none
from hypothesis import example, given
from hypothesis import strategies as st

from dialer.outcome import (
    CallEnd,
    Refusal,
    RefusalKind,
    end_of_call,
    needs_end_chat,
    refusal,
    wire_result,
)

DATA = Path(__file__).with_name("data")
HANGUPS = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in (DATA / "hangups").glob("*.json")}
JOBS = json.loads((DATA / "jobs.json").read_text(encoding="utf-8"))

# (transcript, cause, answered, bridged) of the customer's leg
RECORDED = [
    ("agent_404", "UNALLOCATED_NUMBER", False, False),
    ("agent_all_events", "NORMAL_CLEARING", True, True),
    ("agent_bridge_fails_busy", "USER_BUSY", True, False),
    ("agent_bridged_agent_hangup", "NORMAL_CLEARING", True, True),
    ("agent_bridged_cust_hangup", "NORMAL_CLEARING", True, True),
    ("agent_bridged_cust_hangup_json", "NORMAL_CLEARING", True, True),
    ("agent_busy", "USER_BUSY", False, False),
    ("agent_cust_hangup_before_bridge", "NORMAL_CLEARING", True, False),
    ("agent_cust_hangup_while_agent_rings_json", "NORMAL_CLEARING", True, False),
    ("agent_early_media_then_busy", "USER_BUSY", False, False),
    ("agent_noanswer", "NO_ANSWER", False, False),
    ("agent_parked_killed", "NORMAL_CLEARING", True, False),
    ("api_reconcile_live_call", "NORMAL_CLEARING", True, True),
    ("ivr_404", "UNALLOCATED_NUMBER", False, False),
    ("ivr_503", "NORMAL_TEMPORARY_FAILURE", False, False),
    ("ivr_603", "CALL_REJECTED", False, False),
    ("ivr_all_events", "NORMAL_CLEARING", True, False),
    ("ivr_answered_cust_hangup", "NORMAL_CLEARING", True, False),
    ("ivr_answered_cust_hangup_json", "NORMAL_CLEARING", True, False),
    ("ivr_answered_we_hangup", "NORMAL_CLEARING", True, False),
    ("ivr_answered_we_hangup_json", "NORMAL_CLEARING", True, False),
    ("ivr_api_blocking", "USER_BUSY", False, False),
    ("ivr_badnumber_02", "NO_ROUTE_DESTINATION", True, False),
    ("ivr_badnumber_06", "NORMAL_CLEARING", True, False),
    ("ivr_badnumber_12", "NORMAL_CLEARING", True, False),
    ("ivr_busy", "USER_BUSY", False, False),
    ("ivr_busy_json", "USER_BUSY", False, False),
    ("ivr_duplicate_uuid_1", "NORMAL_CLEARING", True, False),
    ("ivr_duplicate_uuid_2", "NORMAL_CLEARING", True, False),
    ("ivr_duplicate_uuid_3", "NORMAL_CLEARING", True, False),
    ("ivr_early_media_then_busy", "USER_BUSY", False, False),
    ("ivr_gateway_deadport_noping", "NORMAL_TEMPORARY_FAILURE", False, False),
    ("ivr_noanswer_calltimeout3", "NO_ANSWER", False, False),
    ("ivr_noanswer_timeout3", "NO_ANSWER", False, False),
    ("ivr_target_silent", "NO_ANSWER", False, False),
    ("ivr_uuid_kill_answered", "NORMAL_CLEARING", True, False),
    ("ivr_uuid_nonuuid", "NORMAL_CLEARING", True, False),
    ("mix_pipelined_two_calls_1", "NORMAL_CLEARING", True, False),
    ("mix_pipelined_two_calls_2", "NORMAL_CLEARING", True, True),
    ("stop_fsctl_shutdown_1", "SYSTEM_SHUTDOWN", False, False),
    ("stop_fsctl_shutdown_2", "SYSTEM_SHUTDOWN", True, False),
    ("stop_fsctl_shutdown_3", "SYSTEM_SHUTDOWN", True, True),
]


def hangup(**fields: str) -> dict[str, str]:
    """A hangup with the given fields, `_` in a name standing for `-`, except in variables."""
    return {name if name.startswith("variable_") else name.replace("_", "-"): value for name, value in fields.items()}


# -- the end of a call -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "cause", "answered", "bridged"), RECORDED)
def test_a_recorded_hangup_tells_how_the_call_ended(name: str, cause: str, answered: bool, bridged: bool) -> None:
    assert_that(end_of_call(HANGUPS[name]), equal_to(CallEnd(cause, answered, bridged)))


@pytest.mark.parametrize(("answered", "ended", "talked"), [
    ("1700000000000000", "1700000004500000", 4.5),
    ("1700000000000000", "1700000000000000", 0.0),
    ("1700000004500000", "1700000000000000", None),
    ("1700000000000000", "0", None),
    ("1700000000000000", "later", None),
    ("0", "1700000004500000", None),
])  # fmt: skip
def test_the_end_tells_how_long_they_talked_where_it_knows(answered: str, ended: str, talked: float | None) -> None:
    event = {"Caller-Channel-Answered-Time": answered, "Caller-Channel-Hangup-Time": ended}
    assert_that(end_of_call(event).talked, equal_to(talked))


def test_every_recorded_hangup_is_looked_at() -> None:
    assert_that(sorted(HANGUPS), equal_to(sorted(name for name, *_ in RECORDED)))


@pytest.mark.parametrize(
    "name", ["Caller-Channel-Answered-Time", "variable_answer_epoch", "variable_endpoint_disposition"]
)
@pytest.mark.parametrize("transcript", ["agent_bridged_cust_hangup", "ivr_answered_we_hangup"])
def test_an_answered_call_is_known_without_any_one_of_its_fields(transcript: str, name: str) -> None:
    event = {field: value for field, value in HANGUPS[transcript].items() if field != name}
    assert_that(end_of_call(event).answered, is_(True))


@pytest.mark.parametrize("name", ["Caller-Channel-Bridged-Time", "variable_bridge_epoch", "variable_bridge_uuid"])
def test_a_bridged_call_is_known_without_any_one_of_its_fields(name: str) -> None:
    event = {field: value for field, value in HANGUPS["agent_bridged_cust_hangup"].items() if field != name}
    assert_that(end_of_call(event).bridged, is_(True))


def test_a_call_that_was_transferred_after_its_bridge_was_bridged() -> None:
    event = HANGUPS["agent_bridged_cust_hangup"] | {"Caller-Channel-Bridged-Time": "0", "variable_bridge_epoch": "0"}
    assert_that(end_of_call(event).bridged, is_(True))


def test_fields_that_are_set_while_the_agent_merely_rings_do_not_make_a_bridge() -> None:
    event = HANGUPS["agent_cust_hangup_while_agent_rings_json"]
    assert_that(event, has_entries(variable_originated_legs=not_none(), variable_originate_causes=not_none()))
    assert_that(end_of_call(event).bridged, is_(False))


def test_normal_clearing_of_a_call_never_answered_is_no_answer() -> None:
    event = hangup(Hangup_Cause="NORMAL_CLEARING", Caller_Channel_Answered_Time="0", variable_answer_epoch="0")
    assert_that(end_of_call(event), equal_to(CallEnd("NO_ANSWER", answered=False, bridged=False)))


def test_early_media_is_no_answer() -> None:
    event = hangup(Hangup_Cause="NORMAL_CLEARING", variable_endpoint_disposition="EARLY MEDIA")
    assert_that(end_of_call(event), equal_to(CallEnd("NO_ANSWER", answered=False, bridged=False)))


def test_a_cause_is_stored_in_upper_case_and_cut_at_40() -> None:
    event = hangup(Hangup_Cause="  some cause of a very private kind, 41 long", Caller_Channel_Answered_Time="17")
    assert_that(end_of_call(event).cause, equal_to("SOME CAUSE OF A VERY PRIVATE KIND, 41 LO"))


def test_the_variable_stands_in_for_a_missing_cause() -> None:
    assert_that(end_of_call(hangup(variable_hangup_cause="USER_BUSY")).cause, equal_to("USER_BUSY"))


@pytest.mark.parametrize("event", [{}, {"Hangup-Cause": ""}, {"Hangup-Cause": "  "}])
def test_a_hangup_without_a_cause_is_unknown(event: dict[str, str]) -> None:
    assert_that(end_of_call(event), equal_to(CallEnd("UNKNOWN", answered=False, bridged=False)))


@pytest.mark.parametrize(
    ("name", "released"),
    [
        ("agent_cust_hangup_before_bridge", True),
        ("agent_cust_hangup_while_agent_rings_json", True),
        ("agent_bridge_fails_busy", True),
        ("agent_parked_killed", True),
        ("stop_fsctl_shutdown_2", True),
        ("agent_bridged_cust_hangup", False),
        ("agent_bridged_agent_hangup", False),
        ("agent_busy", False),
        ("agent_noanswer", False),
        ("agent_404", False),
        ("agent_early_media_then_busy", False),
    ],
)
def test_an_agent_is_released_when_the_customer_answered_and_was_gone_before_the_bridge(
    name: str, released: bool
) -> None:
    end = end_of_call(HANGUPS[name])
    assert_that(needs_end_chat(True, end), is_(released))
    assert_that(needs_end_chat(False, end), is_(False))


# -- refusals ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("agent_all_events: +OK", None),
        ("ivr_uuid_nonuuid: +OK", None),
        ("ivr_gateway_unknown: -ERR INVALID_GATEWAY", Refusal(RefusalKind.INVALID_GATEWAY, "INVALID_GATEWAY")),
        ("ivr_gateway_down: -ERR GATEWAY_DOWN", Refusal(RefusalKind.GATEWAY_DOWN, "GATEWAY_DOWN")),
        (
            "ivr_duplicate_uuid: -ERR DESTINATION_OUT_OF_",
            Refusal(RefusalKind.OVER_LIMITS, "DESTINATION_OUT_OF_ORDER"),
        ),
        (
            "api_basic: -ERR JSoriginate Command",
            Refusal(RefusalKind.UNKNOWN_COMMAND, "JSORIGINATE COMMAND NOT FOUND!"),
        ),
        ("agent_busy: -ERR USER_BUSY", Refusal(RefusalKind.OTHER, "USER_BUSY")),
        ("agent_noanswer: -ERR NO_ANSWER", Refusal(RefusalKind.OTHER, "NO_ANSWER")),
        ("stop_fsctl_shutdown: -ERR SYSTEM_SHUTDOWN", Refusal(RefusalKind.OTHER, "SYSTEM_SHUTDOWN")),
        ("syntax_values: -ERR CHAN_NOT_IMPLEMENTE", Refusal(RefusalKind.OTHER, "CHAN_NOT_IMPLEMENTED")),
        (
            "syntax_values: -USAGE: <call url> <exte",
            Refusal(RefusalKind.OTHER, "USAGE: <CALL URL> <EXTEN>|&<APPLICATION_"),
        ),
    ],
)
def test_a_recorded_job_tells_why_the_originate_was_refused(name: str, expected: Refusal | None) -> None:
    assert_that(refusal(JOBS[name]["body"]), equal_to(expected))


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("-ERR originate Command not found!\n", RefusalKind.UNKNOWN_COMMAND),
        ("-ERR JSoriginate Command not found!", RefusalKind.UNKNOWN_COMMAND),
        ("-ERR nosuch Command not found!\n", RefusalKind.OTHER),
        ("-ERR gateway_down", RefusalKind.GATEWAY_DOWN),
        ("-ERR -ERR INVALID_GATEWAY\n", RefusalKind.INVALID_GATEWAY),
        ("-ERR INVALID_GATEWAY_OR_SO", RefusalKind.OTHER),
    ],
)
def test_a_refusal_has_the_kind_of_its_whole_text(body: str, expected: RefusalKind) -> None:
    found = refusal(body)
    assert_that(found and found.kind, equal_to(expected))


def test_a_refusal_with_normal_clearing_is_no_answer() -> None:
    assert_that(refusal("-ERR NORMAL_CLEARING\n"), equal_to(Refusal(RefusalKind.OTHER, "NO_ANSWER")))


@pytest.mark.parametrize("body", ["-", "-ERR", "-ERR \n"])
def test_a_refusal_without_a_reason_is_unknown(body: str) -> None:
    assert_that(refusal(body), equal_to(Refusal(RefusalKind.OTHER, "UNKNOWN")))


@pytest.mark.parametrize("body", ["", "\n", "true", "+OK", "+OK 364c8f1b-eb82-490b-8b96-f0019351e088\n", "done"])
def test_what_does_not_start_like_a_refusal_is_none(body: str) -> None:
    assert_that(refusal(body), is_(none()))


@given(text=st.text(max_size=80))
@example("\0")
@example("A\nB\x1b[2J\u2028\u202e\ud800")
@example("\ufb03" * 40)  # in upper case three letters each
def test_whatever_a_switch_says_a_result_fits_its_column_on_one_line_and_is_never_empty(text: str) -> None:
    refused = refusal(f"-ERR {text}")
    assert refused is not None
    for result in (refused.result, end_of_call(hangup(Hangup_Cause=text)).cause):
        assert_that(1 <= len(result) <= 40, is_(True), repr(result))
        assert_that(result.isprintable(), is_(True), repr(result))


# -- the voice connector -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stored", "sent"),
    [
        ("Invalid Gateway", "INVALID_GATEWAY"),
        ("EFSwitch Down", "EFSWITCH_DOWN"),
        ("Expired", "EXPIRED"),
        ("NORMAL_CLEARING", "NORMAL_CLEARING"),
    ],
)
def test_the_voice_connector_gets_results_in_upper_case_with_underscores(stored: str, sent: str) -> None:
    assert_that(wire_result(stored), equal_to(sent))


def test_the_recordings_stay_small() -> None:
    files = [path for path in DATA.rglob("*.json") if path.parent.name == "hangups" or path.name == "jobs.json"]
    assert_that(sum(path.stat().st_size for path in files), is_(less_than_or_equal_to(1_000_000)))
    assert_that(files, has_length(len(RECORDED) + 1))
