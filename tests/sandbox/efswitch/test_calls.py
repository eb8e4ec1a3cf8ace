"""What becomes of calls: outcomes, order of events, ends from outside, limits."""

from __future__ import annotations

import pytest
from hamcrest import (
    assert_that,
    close_to,
    contains_exactly,
    contains_inanyorder,
    empty,
    equal_to,
    has_entries,
    has_length,
    has_properties,
    is_,
    is_not,
    none,
)

from dialer.sandbox.efswitch import Outcome, Rule, Rules

from .dialed import phone

REFUSED = [
    (Outcome.BUSY, "USER_BUSY"),
    (Outcome.UNALLOCATED, "UNALLOCATED_NUMBER"),
    (Outcome.UNAVAILABLE, "NORMAL_TEMPORARY_FAILURE"),
    (Outcome.REJECTED, "CALL_REJECTED"),
    (Outcome.NOT_REACHED, "NO_USER_RESPONSE"),
    (Outcome.UNREACHABLE, "NORMAL_TEMPORARY_FAILURE"),
    (Outcome.NO_ANSWER, "NO_ANSWER"),
    (Outcome.SILENT, "NO_ANSWER"),
]


@pytest.mark.parametrize("agent", [False, True])
@pytest.mark.parametrize("ring", [0, 1])
@pytest.mark.parametrize(("outcome", "cause"), REFUSED)
def test_a_call_that_fails_has_one_job_and_one_end_with_its_cause(
    outcome: Outcome, cause: str, ring: float, agent: bool
) -> None:
    line = phone(Rule(outcome=outcome, ring=ring))
    line.dial("u1", agent=agent)
    line.pass_time(2)
    assert_that(line.jobs(), contains_exactly(f"-ERR {cause}\n"))
    assert_that(line.events("CHANNEL_HANGUP_COMPLETE"), has_length(1))
    end = line.ends()["u1"]
    assert_that(end.headers, has_entries({"Hangup-Cause": cause, "Caller-Channel-Answered-Time": "0"}))
    assert_that(end.variable("endpoint_disposition"), is_(none()))
    assert_that(end.variable("bridge_epoch"), equal_to("0"))
    assert_that(line.switch.channels, is_(empty()))
    assert_that(line.switch.records.since()[0], has_properties(refused=None, cause=cause, answered_at=None))


def test_an_answered_call_tells_of_each_step_in_order() -> None:
    line = phone(Rule(ring=0.5, talk=2))
    line.dial("u1")
    line.pass_time(3)
    assert_that(
        [event.name.removeprefix("CHANNEL_") for event in line.events()],
        contains_exactly("CREATE", "PROGRESS", "ANSWER", "BACKGROUND_JOB", "HANGUP", "HANGUP_COMPLETE", "DESTROY"),
    )
    assert_that(line.jobs(), contains_exactly("+OK u1\n"))
    end = line.ends()["u1"]
    assert_that(end.headers["Hangup-Cause"], equal_to("NORMAL_CLEARING"))
    assert_that(end.headers["Caller-Channel-Answered-Time"], is_not("0"))
    assert_that(end.variable("bridge_uuid"), is_(none()))
    assert_that(end.variable("sip_hangup_disposition"), equal_to("recv_bye"))
    assert_that(int(end.variable("uduration") or 0) / 1e6, close_to(2.52, 0.02))
    assert_that(int(end.variable("billusec") or 0) / 1e6, close_to(2.02, 0.02))


def test_an_agents_call_is_bridged_to_a_leg_of_its_own_that_inherits_the_sip_headers() -> None:
    line = phone(Rule(ring=0.5, talk=2, agent_ring=0.5))
    line.dial("u1", agent=True)
    line.pass_time(4)
    bridge = line.events("CHANNEL_BRIDGE")[0]
    other = bridge.headers["Bridge-B-Unique-ID"]
    assert_that(bridge.uuid, equal_to("u1"))
    assert_that(other, is_not("u1"))
    ends = line.ends()
    assert_that(ends, has_length(2))
    assert_that(ends["u1"].variable("bridge_uuid"), equal_to(other))
    assert_that(ends[other].variable("bridge_uuid"), equal_to("u1"))
    assert_that(ends[other].variable("sip_h_X-Call-Id"), equal_to("u1"))
    record = line.switch.records.since()[0]
    assert_that(record, has_properties(cause="NORMAL_CLEARING", agent_uuid=other))
    assert_that(record.bridged_at, is_not(none()))


@pytest.mark.parametrize(
    ("outcome", "cause"),
    [
        (Outcome.DROPPED_BEFORE_BRIDGE, "NORMAL_CLEARING"),
        (Outcome.DROPPED_WHILE_AGENT_RINGS, "NORMAL_CLEARING"),
        (Outcome.AGENT_BUSY, "USER_BUSY"),
    ],
)
def test_a_call_that_was_answered_but_never_bridged_shows_no_bridge_at_its_end(outcome: Outcome, cause: str) -> None:
    line = phone(Rule(outcome=outcome, ring=0.1, talk=1, agent_ring=1))
    line.dial("u1", agent=True)
    line.pass_time(4)
    end = line.ends()["u1"]
    assert_that(end.headers["Hangup-Cause"], equal_to(cause))
    assert_that(end.headers["Caller-Channel-Answered-Time"], is_not("0"))
    assert_that(end.headers["Caller-Channel-Bridged-Time"], equal_to("0"))
    for name in ("bridge_uuid", "last_bridge_to", "signal_bond", "bridge_channel", "bridge_hangup_cause"):
        assert_that(end.variable(name), is_(none()), name)
    assert_that(line.events("CHANNEL_BRIDGE"), is_(empty()))
    assert_that(line.switch.records.since()[0].bridged_at, is_(none()))


def test_early_media_ends_the_job_of_an_ivr_call_but_not_of_one_that_ignores_it() -> None:
    for agent, job in ((False, "+OK u1\n"), (True, "-ERR USER_BUSY\n")):
        line = phone(Rule(outcome=Outcome.BUSY, ring=1, early_media=True))
        line.dial("u1", agent=agent)
        line.pass_time(2)
        assert_that(line.jobs(), contains_exactly(job))
        assert_that(line.events("CHANNEL_ANSWER"), is_(empty()))
        assert_that(line.ends()["u1"].variable("endpoint_disposition"), equal_to("EARLY MEDIA"))


def test_a_call_with_early_media_may_still_be_answered() -> None:
    line = phone(Rule(ring=1, talk=1, early_media=True))
    line.dial("u1")
    line.pass_time(3)
    names = [event.name for event in line.events("CHANNEL_PROGRESS_MEDIA", "BACKGROUND_JOB", "CHANNEL_ANSWER")]
    assert_that(names, contains_exactly("CHANNEL_PROGRESS_MEDIA", "BACKGROUND_JOB", "CHANNEL_ANSWER"))
    assert_that(line.ends()["u1"].variable("endpoint_disposition"), equal_to("ANSWER"))


@pytest.mark.parametrize("variable", ["originate_timeout", "call_timeout"])
def test_the_callers_time_out_ends_the_ringing(variable: str) -> None:
    line = phone(Rule(ring=30, talk=1))
    line.dial("u1", more=f"{variable}=3,")
    line.pass_time(2.9)
    assert_that(line.ends(), is_(empty()))
    line.pass_time(0.3)
    assert_that(line.ends()["u1"].headers["Hangup-Cause"], equal_to("NO_ANSWER"))


def test_the_job_of_a_failed_call_comes_before_or_after_its_last_events_as_often_as_recorded() -> None:
    line = phone(Rule(outcome=Outcome.BUSY), seed=7)
    for number in range(200):
        line.dial(f"u{number}")
    line.pass_time(1)
    seen: set[str] = set()
    first = 0
    for event in line.events("BACKGROUND_JOB", "CHANNEL_HANGUP_COMPLETE"):
        call = event.uuid or event.headers["Job-Command-Arg"].partition("uuid=")[2].partition("}")[0]
        if call not in seen:
            seen.add(call)
            first += event.name == "BACKGROUND_JOB"
    assert_that(first, close_to(58, 20))
    assert_that(seen, has_length(200))


def test_the_same_seed_gives_the_same_calls() -> None:
    def causes(seed: int) -> list[str | None]:
        line = phone(seed=seed)
        line.switch.rules = Rules.mixed(seed=seed)
        for number in range(40):
            line.dial(f"u{number}")
        line.pass_time(40)
        return [attempt.cause for attempt in line.switch.records.since()]

    assert_that(causes(3), equal_to(causes(3)))
    assert_that(causes(3), is_not(equal_to(causes(4))))


KILLED_AT = [0.005, 0.5, 1.01, 1.5, 2.01, 2.4, 3.5]


@pytest.mark.parametrize("early_media", [False, True])
@pytest.mark.parametrize("agent", [False, True])
@pytest.mark.parametrize("at", KILLED_AT)
def test_a_call_killed_at_any_moment_ends_once_with_that_cause(at: float, agent: bool, early_media: bool) -> None:
    line = phone(Rule(ring=1, talk=60, agent_ring=1, early_media=early_media))
    line.dial("u1", agent=agent)
    line.clock.advance(at) if at < 0.01 else line.pass_time(at)
    assert_that(line.api("uuid_kill u1 ALLOTTED_TIMEOUT"), equal_to("+OK\n"))
    line.pass_time(0.1)
    ends = line.events("CHANNEL_HANGUP_COMPLETE")
    assert_that([event.uuid for event in ends].count("u1"), equal_to(1))
    assert_that(line.ends()["u1"].headers["Hangup-Cause"], equal_to("ALLOTTED_TIMEOUT"))
    assert_that(len(ends), equal_to(len(line.events("CHANNEL_CREATE"))))
    assert_that(line.jobs(), has_length(1))
    assert_that(line.switch.channels, is_(empty()))
    assert_that(line.api("uuid_exists u1"), equal_to("false"))
    line.pass_time(70)
    assert_that(line.events("CHANNEL_HANGUP_COMPLETE"), has_length(len(ends)))


def test_a_killed_agents_leg_ends_the_customers_too() -> None:
    line = phone(Rule(ring=0.1, talk=60, agent_ring=0.1))
    line.dial("u1", agent=True)
    line.pass_time(1)
    agent = next(uuid for uuid in line.switch.channels if uuid != "u1")
    line.api(f"uuid_kill {agent}")
    line.pass_time(0.1)
    assert_that(line.ends(), has_entries({"u1": is_not(none()), agent: is_not(none())}))


@pytest.mark.parametrize(
    ("options", "command", "cause"),
    [
        ({"gateways": {"gw2": "UP"}}, {}, "INVALID_GATEWAY"),
        ({"gateways": {"gw1": "DOWN"}}, {}, "GATEWAY_DOWN"),
        ({"max_sessions": 0}, {}, "DESTINATION_OUT_OF_ORDER"),
        ({"sessions_per_second": 1}, {}, "DESTINATION_OUT_OF_ORDER"),
    ],
)
def test_a_call_that_cannot_start_has_only_a_job(
    options: dict[str, object], command: dict[str, str], cause: str
) -> None:
    line = phone(**options)
    line.dial("u1", **command)
    line.pass_time(1)
    assert_that(line.jobs(), contains_exactly(f"-ERR {cause}\n"))
    assert_that(line.events("CHANNEL_CREATE", "CHANNEL_HANGUP_COMPLETE"), is_(empty()))
    assert_that(line.switch.records.since()[0].refused, equal_to(cause))


def test_a_paused_switch_refuses_calls_until_it_is_resumed() -> None:
    line = phone(Rule(ring=0.1, talk=1))
    assert_that(line.api("fsctl pause outbound"), equal_to("+OK\n"))
    line.dial("u1")
    assert_that(line.api("fsctl resume"), equal_to("+OK\n"))
    line.dial("u2")
    line.pass_time(1)
    assert_that(line.jobs(), contains_exactly("-ERR DESTINATION_OUT_OF_ORDER\n", "+OK u2\n"))


def test_an_agents_leg_over_the_limit_hangs_up_the_customer() -> None:
    line = phone(Rule(ring=0.1, talk=9), max_sessions=1)
    line.dial("u1", agent=True)
    line.pass_time(1)
    assert_that(line.ends()["u1"].headers["Hangup-Cause"], equal_to("DESTINATION_OUT_OF_ORDER"))
    assert_that(line.events("CHANNEL_CREATE"), has_length(1))


def test_originate_through_api_holds_the_answer_the_events_and_the_next_command_until_the_call_is_answered() -> None:
    line = phone(Rule(ring=1, talk=5))
    line.client.send(b"api originate {origination_uuid=u1}sofia/gateway/gw1/1 1999\n\napi uuid_exists u1\n\n")
    before = line.client.heard
    line.pass_time(0.9)
    assert_that(line.client.heard, equal_to(before))
    line.pass_time(0.2)
    heard = line.client.heard[len(before) :]
    assert_that(heard.startswith(b"Content-Type: api/response\nContent-Length: 7\n\n+OK u1\n"))
    assert_that(line.events()[0].name, equal_to("CHANNEL_CREATE"))
    assert_that(heard.endswith(b"\n\ntrue"))
    line.switch.stop()


def test_js_originate_exists_only_where_it_was_switched_on() -> None:
    line = phone(Rule(outcome=Outcome.BUSY))
    assert_that(line.api("JSoriginate"), equal_to("-ERR JSoriginate Command not found!\n"))
    line.switch.js_originate = True
    assert_that(line.api("JSoriginate").startswith("-USAGE: <call url>"))
    line.client.send(b"bgapi JSoriginate {origination_uuid=u1}sofia/gateway/gw1/1 1999 XML here\n\n")
    line.pass_time(1)
    assert_that(line.jobs(), contains_exactly("-ERR USER_BUSY\n"))


def test_all_calls_are_hung_up_by_hupall_with_its_cause() -> None:
    line = phone(Rule(ring=0.1, talk=60, agent_ring=0.1))
    line.dial("u1", agent=True)
    line.dial("u2")
    line.pass_time(1)
    line.api("hupall")
    line.pass_time(0.1)
    causes = {end.headers["Hangup-Cause"] for end in line.ends().values()}
    assert_that(causes, equal_to({"MANAGER_REQUEST"}))
    assert_that(line.ends(), has_length(3))


def test_the_size_of_the_last_event_is_that_of_a_real_one() -> None:
    sizes = []
    for rule in (Rule(outcome=Outcome.BUSY), Rule(ring=0.1, talk=1)):
        line = phone(rule)
        line.dial("0a1b2c3d-0000-4000-8000-000000000000")
        line.pass_time(2)
        frame = line.client.heard.partition(b"Event-Name: CHANNEL_HANGUP_COMPLETE")[2].partition(b"\n\n")[0]
        sizes.append(len(frame))
    assert_that(sizes, contains_exactly(close_to(5600, 600), close_to(9500, 800)))


def test_the_tables_of_channels_and_calls_show_what_is_alive() -> None:
    line = phone(Rule(ring=0.1, talk=60, agent_ring=0.1))
    assert_that(line.api("show channels"), equal_to("\n0 total.\n"))
    line.dial("u1", agent=True)
    line.dial("u2")
    line.pass_time(1)
    assert_that(line.api("show channels count"), equal_to("\n3 total.\n"))
    assert_that(line.api("show calls count"), equal_to("\n2 total.\n"))
    rows = line.api("show channels").split("\n")
    assert_that(rows[0].startswith("uuid,direction,created"))
    assert_that([row.partition(",")[0] for row in rows[1:4]], contains_inanyorder("u1", "u2", is_not("uuid")))
    assert_that(line.api("uuid_dump u1").startswith("Event-Name: CHANNEL_DATA\n"))
    assert_that(line.api("uuid_getvar u1 origination_uuid"), equal_to("u1"))
    line.switch.stop()
