"""The simulator against recordings of a real switch: the recorded client's side is replayed, the switch's compared.

Compared are all frames, in order, with the names, order and values of all headers; masked is what no two runs of a
real switch have in common (see `Mask`). Where the simulator deliberately differs:

- `Contact` parameters of the far side (`sip_contact_params`): two kinds of SIP peers were recorded, one is simulated.
- `CHANNEL_DESTROY` follows CHANNEL_HANGUP_COMPLETE at once; in a real one a job may come between.
- CHANNEL_STATE, CHANNEL_CALLSTATE, CHANNEL_EXECUTE*, CODEC, CALL_UPDATE, PLAYBACK_*, MODULE_UNLOAD are not sent.
- The usage text of `sofia` and the table of `sofia status profile` are short.
- Idle CPU and the digits of uptimes.
- `fsctl shutdown` takes 0.1 s instead of 1.7 s.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hamcrest import assert_that, contains_inanyorder, equal_to, has_length
from twisted.internet.task import Clock

from dialer.sandbox.efswitch import Outcome, Rule
from dialer.sandbox.efswitch.dialstring import Unusable, parse
from tests.esl.transcripts import client_bytes, server_bytes

from .recorded import Client, Frame, Mask, commands, frames, gateway_name, masked, replay, simulated

ANY = ".*"

REPLAYS: dict[str, dict[str, Any]] = {
    # The connection
    "conn_auth_ok_exit": {},
    "conn_auth_bad": {},
    "conn_cmd_before_auth": {},
    "conn_bgapi_before_auth": {},
    "conn_auth_crlf": {"uptime": 16},
    "conn_pipelined_auth": {},
    "conn_split_bytes": {"uptime": 16},
    "conn_unknown_command": {},
    # IVR calls
    "ivr_answered_cust_hangup": {},
    "ivr_answered_cust_hangup_json": {},
    "ivr_answered_we_hangup": {},
    "ivr_answered_we_hangup_json": {},
    "ivr_busy": {},
    "ivr_busy_json": {},
    "ivr_404": {},
    "ivr_503": {},
    "ivr_603": {},
    "ivr_noanswer_timeout3": {},
    "ivr_noanswer_calltimeout3": {},
    "ivr_early_media_then_busy": {},
    "ivr_gateway_unknown": {},
    "ivr_gateway_down": {},
    "ivr_gateway_deadport_noping": {},
    "ivr_target_silent": {"rules": [Rule(gateway=ANY, outcome=Outcome.SILENT)]},
    "ivr_uuid_nonuuid": {},
    "ivr_uuid_empty": {},
    "ivr_no_origination_uuid": {},
    "ivr_uuid_kill_answered": {"pause": 1.0},
    "enc_values_json": {},
    "large_event_json": {},
    "large_vars_over_1024": {},
    # Agents' calls
    "agent_bridged_cust_hangup": {},
    "agent_bridged_cust_hangup_json": {"unbridge_first": 1.0},
    "agent_bridged_agent_hangup": {"agent_gateway": gateway_name("1")},
    "agent_cust_hangup_before_bridge": {
        "rules": [Rule(gateway=ANY, outcome=Outcome.DROPPED_BEFORE_BRIDGE, ring=0.4, talk=1, bridge_delay=5)]
    },
    "agent_cust_hangup_while_agent_rings_json": {
        "rules": [Rule(gateway=ANY, outcome=Outcome.DROPPED_WHILE_AGENT_RINGS, ring=0.4, agent_ring=3)],
        "agent_gateway": gateway_name("3"),
    },
    "agent_bridge_fails_busy": {
        "rules": [Rule(gateway=ANY, outcome=Outcome.AGENT_BUSY, ring=0.4, agent_ring=0)],
        "agent_gateway": gateway_name("2"),
    },
    "agent_busy": {},
    "agent_404": {},
    "agent_noanswer": {},
    "agent_early_media_then_busy": {},
    "agent_parked_killed": {"pause": 1.0, "applications": {"agent": ("park", "")}},
    # Events
    "evt_plain_heartbeat": {"settle": 21},
    "evt_json_heartbeat": {"settle": 21},
    "evt_filter_nixevent": {"waits": {4: 6, 9: 6, 11: 1}, "settle": 0},
    "evt_bgapi_no_subscription": {"pause": 0.5},
    # API
    "api_basic": {"uptime": 17.511482},
    "api_reconcile_live_call": {
        "rules": [Rule(gateway=ANY, ring=0.4, talk=100, agent_ring=0.3)],
        "waits": {2: 1.6, 10: 1},
    },
}


def _job_first(name: str) -> float:
    """1 when the recorded switch sent the job of the call that failed before its last events, else 0."""
    events = [dict(headers)["Event-Name"] for _, headers, _ in frames(server_bytes(name)) if headers]
    return 1.0 if events[:1] == ["BACKGROUND_JOB"] else 0.0


def _masked_further(frame: tuple[Any, Any, str]) -> tuple[Any, Any, str]:
    """What only some answers have: counters, times in running text."""
    outer, headers, body = frame
    body = re.sub(r"\d+ milliseconds, \d+ microseconds", "some", body)
    body = re.sub(r"(idle cpu 0.00/)[\d.]+", r"\1n", body)
    body = re.sub(r'("(b_)?created(_epoch)?"|"call_created_epoch"):"[^"]+"', r"\1:a time", body)
    if body.startswith('{"Event-Name":"CHANNEL_DATA"'):
        mask = Mask()
        body = json.dumps([(name, mask.header(name, value)) for name, value in json.loads(body).items()])
    kind = dict(outer)["Content-Type"]
    if kind == "api/response":
        outer = [each for each in outer if each[0] != "Content-Length"]
    headers = [each for each in headers if each[0] != "Content-Length" and not each[0].startswith("Session-")]
    headers = [each for each in headers if each[0] not in ("Uptime-msec", "variable_sip_contact_params")]
    return outer, headers, body


def _compare(real: bytes, simulated: bytes) -> None:
    expected = [_masked_further(frame) for frame in masked(real)]
    actual = [_masked_further(frame) for frame in masked(simulated)]
    assert_that([_name(frame) for frame in actual], equal_to([_name(frame) for frame in expected]))
    for wanted, given in zip(expected, actual, strict=True):
        assert_that(given, equal_to(wanted))


def _name(frame: Frame) -> str:
    outer, headers, body = frame
    return dict(headers).get("Event-Name") or dict(outer).get("Reply-Text") or body[:40]


@pytest.mark.parametrize("name", list(REPLAYS))
def test_a_recorded_client_is_answered_as_by_the_recorded_switch(name: str) -> None:
    _compare(server_bytes(name), _replayed(name, client_bytes(name)))


def _replayed(name: str, client: bytes) -> bytes:
    given = {"job_first": _job_first(name), **REPLAYS[name]}
    rules = given.pop("rules", [])
    return replay(client, *rules, **given)


CHANGED = {
    b"15551230003": b"4989123456",
    b"15551230001": b"+3312345",
    b"15550001": b"*77#",
    b"1999": b"*9664",
    b"1001": b"2042",
    b"Sales Queue": b"Night Shift",
    b"127.0.0.1": b"192.0.2.77",
}


@pytest.mark.parametrize(
    "name", ["ivr_busy", "ivr_busy_json", "agent_bridged_cust_hangup", "agent_bridged_cust_hangup_json"]
)
def test_other_numbers_and_ids_than_the_recorded_ones_change_the_events_and_nothing_else(name: str) -> None:
    client = client_bytes(name)
    for recorded, other in CHANGED.items():
        client = client.replace(recorded, other)
    client = re.sub(rb"(origination_uuid=|X-Call-Id=)\w{8}", rb"\g<1>0a1b2c3d", client)
    expected = [_masked_further(frame) for frame in masked(server_bytes(name))]
    actual = [_masked_further(frame) for frame in masked(_replayed(name, client))]
    for wanted, given in zip(expected, actual, strict=True):
        assert_that([header[0] for header in given[1]], equal_to([header[0] for header in wanted[1]]))
        by_name = dict(given[1])
        for header, value in wanted[1]:
            changed = value
            for recorded, other in CHANGED.items():
                changed = changed.replace(recorded.decode(), other.decode())
            # The switch's own address is no part of the command, and stays.
            assert_that(
                by_name[header].replace("192.0.2.77", "127.0.0.1"), equal_to(changed.replace("192.0.2.77", "127.0.0.1"))
            )


def test_the_gateway_tables_are_those_of_the_recorded_switch() -> None:
    client = client_bytes("api_sofia_status")
    short = {b"api sofia status profile external\n\n", b"api sofia\n\n"}
    expected = [frame for _, _, frame in frames(server_bytes("api_sofia_status"))][2:]
    actual = [frame for _, _, frame in frames(replay(client, uptime=18.511678))][2:]
    for command, wanted, given in zip(commands(client)[1:], expected, actual, strict=True):
        if command not in short:
            assert_that(_without_uptime(given), equal_to(_without_uptime(wanted)), command.decode())


def _without_uptime(text: str) -> str:
    return re.sub(r"<uptime-usec>[1-9]\d*<", "<uptime-usec>n<", text)


def test_a_gateway_that_goes_down_and_up_again_is_told_like_the_recorded_one() -> None:
    clock = Clock()
    switch = simulated(clock)
    listener = Client(switch)
    listener.send(b"auth ClueCon\n\nevent plain CUSTOM sofia::gateway_state\n\n")
    switch.set_gateway(gateway_name("8"), "DOWN")
    listener.send(b"api sofia status gateway " + gateway_name("8").encode() + b"\n\n")
    switch.set_gateway(gateway_name("8"), "UP")
    told = [frame for frame in masked(server_bytes("api_gateway_down_then_up")) if frame[1]]
    heard = masked(listener.heard)
    same = {"Core-UUID"}  # The order in which the two uuids first appear differs, so their numbers do.
    assert_that(
        [[each for each in frame[1] if each[0] not in same and each[0] != "Gateway"] for frame in heard if frame[1]],
        equal_to([[each for each in frame[1] if each[0] not in same and each[0] != "Gateway"] for frame in told]),
    )
    down = next(body for _, _, body in frames(server_bytes("api_gateway_down_then_up")) if "DOWN" in body)
    shown = next(body for _, _, body in frames(listener.heard) if "DOWN" in body)
    assert_that(_lines(shown, "Ping "), equal_to(_lines(down, "Ping ")))


def _lines(text: str, *without: str) -> list[str]:
    return [line for line in text.split("\n") if not line.startswith((*without, "PingTime"))]


NOT_SENT = re.compile(r"CHANNEL_(STATE|CALLSTATE|EXECUTE|EXECUTE_COMPLETE)|CODEC|CALL_UPDATE|PLAYBACK_.*|MODULE_UNLOAD")


@pytest.mark.parametrize("name", ["ivr_all_events", "agent_all_events"])
def test_a_subscriber_to_all_hears_the_recorded_events_with_the_recorded_headers(name: str) -> None:
    heard = masked(replay(client_bytes(name), settle=8, unbridge_first=1.0))
    told = [frame for frame in masked(server_bytes(name)) if not NOT_SENT.fullmatch(_name(frame))]
    expected = {_of(frame): frame for frame in told if frame[1]}
    actual = {_of(frame): frame for frame in heard if frame[1]}
    assert_that(
        [key for key in actual if "CHANNEL" in key[0]], contains_inanyorder(*[k for k in expected if "CHANNEL" in k[0]])
    )
    for key, frame in expected.items():
        assert_that(
            sorted(header[0] for header in actual[key][1]), equal_to(sorted(header[0] for header in frame[1])), key
        )


def _of(frame: Frame) -> tuple[str, str]:
    """An event's name and its leg."""
    headers = dict(frame[1])
    return headers["Event-Name"], headers.get("variable_channel_name", "")


def test_all_events_of_an_agents_call_come_in_an_order_that_was_recorded() -> None:
    heard = [_of(frame) for frame in masked(replay(client_bytes("agent_all_events"), settle=8, unbridge_first=1.0))[4:]]
    told = [_of(frame) for frame in masked(server_bytes("agent_all_events"))[4:]]
    wanted = [each for each in told if each in heard and each[0] not in ("API", "BACKGROUND_JOB")]
    assert_that([each for each in heard if each in wanted], equal_to(wanted))


def test_a_rejected_address_hears_what_the_recorded_one_heard() -> None:
    switch = simulated(Clock())
    switch.faults.deny = True
    assert_that(Client(switch).heard, equal_to(server_bytes("conn_acl_reject")))


@pytest.mark.parametrize(
    ("name", "per_second", "passed"), [("limit_sps5_burst20", 5, 4), ("limit_sps30_burst60", 30, 29)]
)
def test_in_a_burst_one_less_than_the_sessions_per_second_pass_as_recorded(
    name: str, per_second: int, passed: int
) -> None:
    def refused(data: bytes) -> int:
        return sum(body == "-ERR DESTINATION_OUT_OF_ORDER\n" for _, _, body in frames(data))

    client = client_bytes(name)
    total = client.count(b"bgapi originate")
    assert_that(refused(replay(client, sessions_per_second=per_second)), equal_to(total - passed))
    assert_that(refused(server_bytes(name)), equal_to(total - passed))


def test_a_steady_rate_below_the_sessions_per_second_passes_as_recorded() -> None:
    client = client_bytes("limit_sps5_rate4")
    for data in (replay(client, sessions_per_second=5, pause=0.25), server_bytes("limit_sps5_rate4")):
        assert_that(data.count(b"Event-Name: CHANNEL_CREATE"), equal_to(12))


def test_over_max_sessions_calls_are_refused_as_recorded() -> None:
    heard = replay(client_bytes("limit_maxsessions2_burst4"), max_sessions=2, waits={5: 1}, settle=0)
    for data in (heard, server_bytes("limit_maxsessions2_burst4")):
        assert_that(data.count(b"-ERR DESTINATION_OUT_OF_ORDER"), equal_to(2))
        assert_that(data.count(b"Event-Name: CHANNEL_CREATE"), equal_to(2))
        assert_that(data.count(b"\n2 total.\n"), equal_to(1))


def test_a_second_call_of_the_same_uuid_is_refused_and_its_reuse_after_the_end_works() -> None:
    rule = Rule(gateway=ANY, number="1555|1777", outcome=Outcome.WE_HANG_UP, ring=0.5, talk=2)
    waits = {2: 0.7, 3: 0.1, 6: 0.5, 8: 0.1}
    applications = {"1998": ("sleep", "600000")}
    heard = masked(replay(client_bytes("ivr_duplicate_uuid"), rule, waits=waits, applications=applications))
    names = [_name(frame) if frame[1] else frame[2] for frame in heard if frame[1] or frame[2]]
    told = [frame for frame in masked(server_bytes("ivr_duplicate_uuid")) if frame[1] or frame[2]]
    # Left out: the calls that were left over from the recording before.
    expected = [_name(frame) if frame[1] else frame[2] for frame in told]
    del expected[expected.index("CHANNEL_HANGUP_COMPLETE") + 1 : expected.index("\n0 total.\n")]
    shown = next(index for index, each in enumerate(expected) if each.startswith('{"row_count"'))
    assert_that(names[:shown] + names[shown + 1 :], equal_to(expected[:shown] + expected[shown + 1 :]))


def test_every_subscriber_hears_the_jobs_of_every_connection_as_recorded() -> None:
    clock = Clock()
    switch = simulated(clock, job_first=_job_first("evt_two_subscribers_bgjob_A"))
    pair = {name: Client(switch) for name in ("evt_two_subscribers_bgjob_B", "evt_two_subscribers_bgjob_A")}
    for name, caller in pair.items():
        caller.send(client_bytes(name))
    clock.pump([0.01] * 100)
    for name, caller in pair.items():
        expected = [_name(frame) for frame in masked(server_bytes(name))]
        assert_that([_name(frame) for frame in masked(caller.heard)], equal_to(expected))


def test_replies_keep_their_order_among_the_events_of_two_calls() -> None:
    name = "mix_pipelined_two_calls"
    heard = masked(replay(client_bytes(name), pause=0.02))
    told = masked(server_bytes(name))
    assert_that(_replies(heard), equal_to(_replies(told)))


def _replies(heard: list[Frame]) -> list[str]:
    return [_kind(frame) for frame in heard if not frame[1]]


def _kind(frame: Frame) -> str:
    return re.sub(r"uuid-\d+", "uuid", _name(frame))[:12].replace("false", "true")


def test_reload_of_the_event_socket_ends_all_connections_with_the_recorded_notice() -> None:
    clock = Clock()
    switch = simulated(clock, Rule(gateway=ANY, talk=100))
    first, second = Client(switch), Client(switch)
    first.send(client_bytes("stop_reload_event_socket"))
    clock.pump([0.01] * 200)
    second.send(client_bytes("stop_reload_event_socket_B"))
    clock.advance(0.1)
    assert_that(masked(second.heard), equal_to(masked(server_bytes("stop_reload_event_socket_B"))))
    assert_that(masked(first.heard)[-1], equal_to(masked(server_bytes("stop_reload_event_socket"))[-1]))
    assert_that(switch.channels, has_length(4))
    switch.stop()


def test_a_shutdown_ends_calls_and_jobs_with_the_recorded_events() -> None:
    clock = Clock()
    client = client_bytes("stop_fsctl_shutdown")
    switch = simulated(clock, Rule(gateway=gateway_name("7"), talk=100), Rule(gateway=gateway_name("1"), talk=100))
    first, second = Client(switch), Client(switch)
    first.send(client)
    clock.pump([0.01] * 200)
    second.send(client_bytes("stop_fsctl_shutdown_B"))
    clock.pump([0.01] * 100)
    assert_that(masked(second.heard), equal_to(masked(server_bytes("stop_fsctl_shutdown_B"))))
    told = [frame for frame in masked(server_bytes("stop_fsctl_shutdown")) if not NOT_SENT.fullmatch(_name(frame))]
    heard = masked(first.heard)
    assert_that([_name(f) for f in heard], contains_inanyorder(*[_name(f) for f in told]))
    expected = {_shown(frame): frame for frame in told if frame[1]}
    for frame in heard:
        if frame[1]:
            names = [header[0] for header in expected[_shown(frame)][1]]
            assert_that([header[0] for header in frame[1]], equal_to(names), str(_shown(frame)))


def _shown(frame: Frame) -> tuple[str, ...]:
    """An event's name, its leg, and what became of it: of the two calls to one number one was answered."""
    return (*_of(frame), dict(frame[1]).get("Caller-Channel-Answered-Time", ""))


def test_originate_arguments_are_read_as_the_recorded_switch_read_them() -> None:
    rows = json.loads((Path(__file__).parent / "syntax_values.json").read_text(encoding="utf-8"))
    for row in rows:
        try:
            read: dict[str, str] | str = parse(row["argument"]).variables
        except Unusable as unusable:
            read = str(unusable).strip()
        assert_that(read, equal_to(row["variables"] or row["answer"]), row["argument"])
