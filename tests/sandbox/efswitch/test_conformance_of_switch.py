"""Recordings in which something happens to the switch itself, or another connection has a part."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hamcrest import assert_that, contains_inanyorder, empty, equal_to, has_length
from twisted.internet.task import Clock

from dialer.sandbox.efswitch import EFSwitch, Rule
from tests.esl.transcripts import client_bytes, server_bytes

from .comparison import NOT_SENT, compare, job_first, leg_of, name_of, replays, said
from .recorded import Client, Frame, Mask, commands, frames, gateway_name, masked, replay, simulated

ANY = ".*"


@replays("conn_acl_reject")
def test_a_rejected_address_hears_what_the_recorded_one_heard() -> None:
    switch = simulated(Clock())
    switch.faults.deny = True
    assert_that(Client(switch).heard, equal_to(server_bytes("conn_acl_reject")))


GATEWAY_WATCHED = gateway_name("8")


@replays("api_gateway_down_then_up")
def test_a_gateway_that_goes_down_and_up_again_is_told_like_the_recorded_one() -> None:
    """The gateway is brought into each recorded state right before the answer that shows it."""
    name = "api_gateway_down_then_up"
    real = list(frames(server_bytes(name)))
    clock = Clock()
    switch = simulated(clock)
    gateway = switch.calls.gateways.get(GATEWAY_WATCHED)
    assert gateway is not None
    clock.advance(18.5)
    first, second, *asked = commands(client_bytes(name))
    caller = Client(switch)
    caller.send(first + second)
    states = [shown for _, _, body in real if (shown := _status(body))]
    assert_that(set(states), equal_to({"UP", "UP (ping)", "DOWN"}))
    for state, command in zip(states, asked, strict=True):
        if (state == "DOWN") != (gateway.state == "DOWN"):
            switch.set_gateway(GATEWAY_WATCHED, state)
        gateway.state = state
        caller.send(command)
        clock.advance(1)
    heard = list(frames(caller.heard))
    assert_that([_without_pings(each) for each in heard], equal_to([_without_pings(each) for each in real]))
    for told, other in zip(_events(real), _events(heard), strict=True):
        assert_that(other, equal_to(told))


def _status(body: str) -> str:
    """The state in an answer to `sofia status gateway`, empty in another frame."""
    return next((line.partition("\t")[2] for line in body.split("\n") if line.startswith("Status")), "")


def _without_pings(frame: Frame) -> list[str]:
    """What a frame is and says, without its length and the times of pings."""
    outer, headers, body = frame
    varies = ("Ping ", "PingTime", "Uptime")
    said = [line for line in body.split("\n") if not line.startswith(varies)]
    return [dict(outer)["Content-Type"], dict(headers).get("Ping-Status", ""), *said]


def _events(heard: list[Frame]) -> Iterator[list[tuple[str, str]]]:
    mask = Mask()
    yield from (mask.frame(each)[1] for each in heard if each[1])


@replays("limit_sps5_burst20", "limit_sps30_burst60")
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


@replays("limit_sps5_rate4")
def test_a_steady_rate_below_the_sessions_per_second_passes_as_recorded() -> None:
    client = client_bytes("limit_sps5_rate4")
    for data in (replay(client, sessions_per_second=5, pause=0.25), server_bytes("limit_sps5_rate4")):
        assert_that(data.count(b"Event-Name: CHANNEL_CREATE"), equal_to(12))


@replays("limit_maxsessions2_burst4")
def test_over_max_sessions_calls_are_refused_as_recorded() -> None:
    heard = replay(client_bytes("limit_maxsessions2_burst4"), max_sessions=2, waits={5: 1}, settle=0)
    for data in (heard, server_bytes("limit_maxsessions2_burst4")):
        assert_that(data.count(b"-ERR DESTINATION_OUT_OF_ORDER"), equal_to(2))
        assert_that(data.count(b"Event-Name: CHANNEL_CREATE"), equal_to(2))
        assert_that(data.count(b"\n2 total.\n"), equal_to(1))


@replays("limit_sps30_rate29")
def test_each_of_ninety_calls_at_a_rate_just_below_the_limit_goes_as_recorded() -> None:
    name = "limit_sps30_rate29"
    client = client_bytes(name)
    waits = {number: (0.03, 0.04)[number % 2] for number in range(92)}
    heard = _by_call(list(frames(replay(client, waits=waits))), client)
    for uuid, recorded in _by_call(list(frames(server_bytes(name))), client).items():
        compare(recorded, heard[uuid][: len(recorded)])  # the recorded client left before the last calls ended
    assert_that(heard, has_length(90))


def _by_call(heard: list[Frame], client: bytes) -> dict[str, list[Frame]]:
    """The events of each call that the client named, masked by themselves, its job among them."""
    calls: dict[str, list[Frame]] = {}
    for frame in heard:
        headers = dict(frame[1])
        argument = headers.get("Job-Command-Arg", "")
        uuid = argument.partition("origination_uuid=")[2][:36] or headers.get("Unique-ID", "")
        if uuid and uuid in client.decode():
            calls.setdefault(uuid, []).append(frame)
    return {uuid: [mask.frame(frame) for frame in own] for uuid, own in calls.items() for mask in [Mask()]}


@replays("limit_fsctl_pause")
def test_while_the_switch_is_paused_calls_are_refused_as_recorded() -> None:
    """Another client paused the recorded switch, the second time by a shorter command."""
    name = "limit_fsctl_pause"
    clock = Clock()
    switch = simulated(clock)
    operator, caller = Client(switch), Client(switch)
    operator.send(b"auth ClueCon\n\n")
    hello, subscribe, first, second = commands(client_bytes(name))
    caller.send(hello + subscribe)
    for pause, command in ((b"fsctl pause outbound", first), (b"fsctl pause", second)):
        operator.send(b"api " + pause + b"\n\n")
        caller.send(command)
        clock.advance(0.1)
        operator.send(b"api fsctl resume\n\n")
    compare(said(name), masked(caller.heard))
    caller.send(first)
    clock.pump([0.01] * 60)
    assert_that(name_of(masked(caller.heard)[-2]), equal_to("CHANNEL_ANSWER"))
    switch.stop()


@replays("evt_two_subscribers_bgjob_A", "evt_two_subscribers_bgjob_B")
def test_every_subscriber_hears_the_jobs_of_every_connection_as_recorded() -> None:
    clock = Clock()
    switch = simulated(clock, job_first=job_first("evt_two_subscribers_bgjob_A"))
    pair = {name: Client(switch) for name in ("evt_two_subscribers_bgjob_B", "evt_two_subscribers_bgjob_A")}
    for name, caller in pair.items():
        caller.send(client_bytes(name))
    clock.pump([0.01] * 100)
    for name, caller in pair.items():
        expected = [name_of(frame) for frame in masked(server_bytes(name))]
        assert_that([name_of(frame) for frame in masked(caller.heard)], equal_to(expected))


@replays("stop_reload_event_socket", "stop_reload_event_socket_B")
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


@replays("stop_fsctl_shutdown", "stop_fsctl_shutdown_B")
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
    told = [frame for frame in masked(server_bytes("stop_fsctl_shutdown")) if not NOT_SENT.fullmatch(name_of(frame))]
    heard = masked(first.heard)
    assert_that([name_of(f) for f in heard], contains_inanyorder(*[name_of(f) for f in told]))
    expected = {_shown(frame): frame for frame in told if frame[1]}
    for frame in heard:
        if frame[1]:
            names = [header[0] for header in expected[_shown(frame)][1]]
            assert_that([header[0] for header in frame[1]], equal_to(names), str(_shown(frame)))


def _shown(frame: Frame) -> tuple[str, ...]:
    """An event's name, its leg, and what became of it: of the two calls to one number one was answered."""
    return (*leg_of(frame), dict(frame[1]).get("Caller-Channel-Answered-Time", ""))


def _with_calls_up(name: str, clock: Clock) -> tuple[EFSwitch, Client]:
    """A switch on which the client of a recording has one call answered, one bridged and one ringing."""
    switch = simulated(clock, Rule(gateway=gateway_name("7"), talk=100), Rule(gateway=gateway_name("1"), talk=100))
    caller = Client(switch)
    caller.send(client_bytes(name))
    clock.pump([0.01] * 200)
    return switch, caller


@replays("stop_sigkill")
def test_a_killed_switch_says_nothing_and_is_gone_as_recorded() -> None:
    switch, caller = _with_calls_up("stop_sigkill", Clock())
    switch.restart()
    compare(said("stop_sigkill"), masked(caller.heard))
    assert_that(caller.transport.disconnecting)
    assert_that(switch.channels, empty())
    switch.stop()


@replays("stop_fsctl_shutdown_elegant", "stop_fsctl_shutdown_elegant_B")
def test_an_elegant_shutdown_lets_calls_go_on_and_leaves_its_command_unanswered_as_recorded() -> None:
    clock = Clock()
    switch, caller = _with_calls_up("stop_fsctl_shutdown_elegant", clock)
    operator = Client(switch)
    operator.send(client_bytes("stop_fsctl_shutdown_elegant_B"))
    clock.pump([1.0] * 40)
    compare(said("stop_fsctl_shutdown_elegant"), masked(caller.heard))
    compare(said("stop_fsctl_shutdown_elegant_B"), masked(operator.heard))
    assert_that(switch.channels, has_length(4))
    switch.stop()
