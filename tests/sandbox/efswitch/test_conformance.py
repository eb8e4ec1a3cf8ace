"""The simulator against recordings of a real switch: the recorded client's side is replayed, the switch's compared.

Compared are all frames, in order, with the names, order and values of all headers; masked is what no two runs of a
real switch have in common (see `Mask`). Recordings in which something happens to the switch itself are in
test_conformance_of_switch; test_conformance_is_complete tells when one is forgotten. Where the simulator deliberately
differs:

- `Contact` parameters of the far side (`sip_contact_params`): two kinds of SIP peers were recorded, one is simulated.
- `CHANNEL_DESTROY` follows CHANNEL_HANGUP_COMPLETE at once; in a real one a job may come between.
- CHANNEL_STATE, CHANNEL_CALLSTATE, CHANNEL_EXECUTE*, CODEC, CALL_UPDATE, PLAYBACK_*, MODULE_UNLOAD are not sent.
- The usage text of `sofia` and the table of `sofia status profile` are short.
- Idle CPU and the digits of uptimes.
- A gateway's next ping, how long the last one took, and since when it is up.
- Events of different calls may change places: a real switch has a thread for each.
- `fsctl shutdown` takes 0.1 s instead of 1.7 s.
"""

from __future__ import annotations

import itertools
import json
import random
import re
from pathlib import Path
from typing import Any

import pytest
from hamcrest import assert_that, contains_inanyorder, equal_to
from twisted.internet.task import Clock

from dialer.sandbox.efswitch import Outcome, Rule
from dialer.sandbox.efswitch.dialstring import Unusable, parse
from tests.esl.transcripts import client_bytes, server_bytes

from .comparison import NOT_SENT, compare, job_first, leg_of, masked_further, name_of, replays, said, said_about_own
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
    "ivr_badnumber_00": {"settle": 1},
    "ivr_badnumber_02": {},
    "ivr_badnumber_06": {"settle": 1},
    "ivr_badnumber_08": {"settle": 1},
    "ivr_badnumber_10": {"settle": 1},
    "ivr_badnumber_12": {"settle": 1},
    "ivr_api_blocking": {},
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


LEFT_OVER = {"ivr_badnumber_06", "ivr_badnumber_12"}
"""Recordings in which calls of the one before end."""


@replays(*REPLAYS)
@pytest.mark.parametrize("name", list(REPLAYS))
def test_a_recorded_client_is_answered_as_by_the_recorded_switch(name: str) -> None:
    recorded = said_about_own(name) if name in LEFT_OVER else said(name)
    compare(recorded, masked(_replayed(name, client_bytes(name))))


def _replayed(name: str, client: bytes) -> bytes:
    given = {"job_first": job_first(name), **REPLAYS[name]}
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
    expected = [masked_further(frame) for frame in masked(server_bytes(name))]
    actual = [masked_further(frame) for frame in masked(_replayed(name, client))]
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


SHORT = {b"api sofia status profile external\n\n", b"api sofia\n\n"}
"""Commands whose answers the simulator cuts short."""


@replays("api_sofia_status")
def test_the_gateway_tables_are_those_of_the_recorded_switch() -> None:
    client = client_bytes("api_sofia_status")
    expected = [frame for _, _, frame in frames(server_bytes("api_sofia_status"))][2:]
    actual = [frame for _, _, frame in frames(replay(client, uptime=18.511678))][2:]
    for command, wanted, given in zip(commands(client)[1:], expected, actual, strict=True):
        if command not in SHORT:
            assert_that(_without_uptime(given), equal_to(_without_uptime(wanted)), command.decode())


def _without_uptime(text: str) -> str:
    return re.sub(r"<uptime-usec>[1-9]\d*<", "<uptime-usec>n<", text)


@replays("ivr_all_events", "agent_all_events")
@pytest.mark.parametrize("name", ["ivr_all_events", "agent_all_events"])
def test_a_subscriber_to_all_hears_the_recorded_events_with_the_recorded_headers(name: str) -> None:
    heard = masked(replay(client_bytes(name), settle=8, unbridge_first=1.0))
    told = [frame for frame in masked(server_bytes(name)) if not NOT_SENT.fullmatch(name_of(frame))]
    expected = {leg_of(frame): frame for frame in told if frame[1]}
    actual = {leg_of(frame): frame for frame in heard if frame[1]}
    assert_that(
        [key for key in actual if "CHANNEL" in key[0]], contains_inanyorder(*[k for k in expected if "CHANNEL" in k[0]])
    )
    for key, frame in expected.items():
        assert_that(
            sorted(header[0] for header in actual[key][1]), equal_to(sorted(header[0] for header in frame[1])), key
        )


def test_all_events_of_an_agents_call_come_in_an_order_that_was_recorded() -> None:
    heard = [
        leg_of(frame) for frame in masked(replay(client_bytes("agent_all_events"), settle=8, unbridge_first=1.0))[4:]
    ]
    told = [leg_of(frame) for frame in masked(server_bytes("agent_all_events"))[4:]]
    wanted = [each for each in told if each in heard and each[0] not in ("API", "BACKGROUND_JOB")]
    assert_that([each for each in heard if each in wanted], equal_to(wanted))


@replays("ivr_duplicate_uuid")
def test_a_second_call_of_the_same_uuid_is_refused_and_its_reuse_after_the_end_works() -> None:
    rule = Rule(gateway=ANY, number="1555|1777", outcome=Outcome.WE_HANG_UP, ring=0.5, talk=2)
    waits = {2: 0.7, 3: 0.1, 6: 0.5, 8: 0.1}
    applications = {"1998": ("sleep", "600000")}
    heard = masked(replay(client_bytes("ivr_duplicate_uuid"), rule, waits=waits, applications=applications))
    names = [name_of(frame) if frame[1] else frame[2] for frame in heard if frame[1] or frame[2]]
    told = [frame for frame in masked(server_bytes("ivr_duplicate_uuid")) if frame[1] or frame[2]]
    # Left out: the calls that were left over from the recording before.
    expected = [name_of(frame) if frame[1] else frame[2] for frame in told]
    del expected[expected.index("CHANNEL_HANGUP_COMPLETE") + 1 : expected.index("\n0 total.\n")]
    shown = next(index for index, each in enumerate(expected) if each.startswith('{"row_count"'))
    assert_that(names[:shown] + names[shown + 1 :], equal_to(expected[:shown] + expected[shown + 1 :]))


@replays("mix_pipelined_two_calls")
def test_replies_keep_their_order_among_the_events_of_two_calls() -> None:
    name = "mix_pipelined_two_calls"
    heard = masked(replay(client_bytes(name), pause=0.02))
    told = masked(server_bytes(name))
    assert_that(_replies(heard), equal_to(_replies(told)))


def _replies(heard: list[Frame]) -> list[str]:
    return [_kind(frame) for frame in heard if not frame[1]]


def _kind(frame: Frame) -> str:
    return re.sub(r"uuid-\d+", "uuid", name_of(frame))[:12].replace("false", "true")


def test_originate_arguments_are_read_as_the_recorded_switch_read_them() -> None:
    rows = json.loads((Path(__file__).parent / "syntax_values.json").read_text(encoding="utf-8"))
    for row in rows:
        try:
            read: dict[str, str] | str = parse(row["argument"]).variables
        except Unusable as unusable:
            read = str(unusable).strip()
        assert_that(read, equal_to(row["variables"] or row["answer"]), row["argument"])


@replays("syntax_values")
def test_dial_strings_of_all_kinds_are_answered_as_recorded() -> None:
    name = "syntax_values"
    client = client_bytes(name)
    waits = {n: 0.54 for n, command in enumerate(commands(client)) if command.startswith(b"bgapi")}
    answering = Rule(gateway=gateway_name("8"), ring=0.5, talk=100)
    heard, recorded = replay(client, answering, waits=waits, settle=0.1), server_bytes(name)
    for wanted, given in zip(_by_whom(recorded), _by_whom(heard), strict=True):
        compare(wanted, given)


def _by_whom(data: bytes) -> list[list[Frame]]:
    """The replies in order, and the events of each channel and each job in order.

    Left out: the end of the last call, which the recorded client did not stay to hear.
    """
    parts: dict[str, list[Frame]] = {}
    for frame in frames(data):
        headers = dict(frame[1])
        whose = headers.get("Unique-ID") or headers.get("Job-Command-Arg", "")
        parts.setdefault(whose, []).append(Mask().frame(frame))
    *_, last = (part for whose, part in parts.items() if len(whose) == 36)
    del last[2:]
    return list(parts.values())


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("name", "uptime"), [("api_basic", 17.511482), ("api_sofia_status", 18.511678)])
def test_pipelined_commands_in_another_order_get_the_recorded_answers_in_that_order(
    name: str, uptime: float, seed: int
) -> None:
    hello, *asked = commands(client_bytes(name))
    length = next((n for n, command in enumerate(asked) if not command.startswith(b"api ")), len(asked))
    real = dict(zip(asked[:length], list(frames(server_bytes(name)))[2:], strict=False))
    shuffled = random.Random(seed).sample(list(real), len(real))
    clock = Clock()
    switch = simulated(clock)
    clock.advance(uptime)
    caller = Client(switch)
    caller.send(hello + b"".join(shuffled))
    clock.pump([0] * len(shuffled))
    for command, given in zip(shuffled, list(frames(caller.heard))[2:], strict=True):
        if command not in SHORT:
            assert_that(_answer(given), equal_to(_answer(real[command])), command.decode())


def _answer(frame: Frame) -> str:
    return _without_uptime(masked_further(Mask().frame(frame))[2])


@pytest.mark.parametrize("order", list(itertools.permutations(range(3)))[1:])
def test_calls_dialed_in_another_order_go_as_those_of_the_recorded_order(order: tuple[int, ...]) -> None:
    """One call is answered, one bridged, and one rings."""
    name = "stop_sigkill"
    hello, subscribe, *dialed = commands(client_bytes(name))
    client = hello + subscribe + b"".join(dialed[place] for place in order)
    heard, recorded = (
        {_whose(frame): masked_further(Mask().frame(frame)) for frame in frames(data) if frame[1]}
        for data in (replay(client, settle=1.5), server_bytes(name))
    )
    assert_that(heard, equal_to(recorded))


def _whose(frame: Frame) -> tuple[str, ...]:
    """An event's name, and its leg or its job."""
    return (*leg_of(frame), dict(frame[1]).get("Job-Command-Arg", ""))
