"""The event socket itself, beyond what was recorded."""

from __future__ import annotations

from typing import Any

from hamcrest import assert_that, contains_string, equal_to, has_length, is_, less_than
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock

from dialer.sandbox.efswitch import EFSwitch, Outcome, Rule, connection

from .dialed import phone
from .recorded import Client, frames

SESSION = (
    b"auth ClueCon\r\n\r\nevent json BACKGROUND_JOB\n\napi version\r\n\r\n\n\nnoevents\n\n"
    b"bgapi status\nJob-UUID: any text\n\nsendevent FOO\nContent-Length: 13\n\napi version\n\nfilter a b\n\nexit\n\n"
)


@given(st.lists(st.integers(0, len(SESSION)), max_size=20))
def test_commands_cut_anywhere_are_answered_as_whole_ones(cuts: list[int]) -> None:
    def heard(places: list[int]) -> bytes:
        client = Client(EFSwitch(Clock()))
        for start, end in zip([0, *places], [*places, len(SESSION)], strict=True):
            client.send(SESSION[start:end])
        return client.heard

    assert_that(heard(sorted(cuts)), equal_to(heard([])))


def test_the_body_of_a_command_is_not_taken_for_a_command() -> None:
    client = Client(EFSwitch(Clock()))
    client.send(SESSION)
    assert_that(client.heard.count(b"FreeSWITCH Version"), equal_to(1))
    assert_that(client.heard.count(b"+OK bye"), equal_to(1))


def test_a_wrong_password_ends_the_connection() -> None:
    client = Client(EFSwitch(Clock(), password="secret"))
    client.send(b"auth ClueCon\n\n")
    assert_that(client.heard.decode(), contains_string("-ERR invalid"))
    assert_that(client.transport.disconnecting)


def test_a_command_that_never_ends_is_cut_off(monkeypatch: Any) -> None:
    monkeypatch.setattr(connection, "MAX_COMMAND", 1000)
    client = Client(EFSwitch(Clock()))
    client.send(b"x" * 1001)
    assert_that(client.transport.disconnecting)


def test_each_client_gets_its_own_format_of_the_same_event() -> None:
    line = phone(Rule(outcome=Outcome.BUSY))
    other = line.connect("")
    other.send(b"event json CHANNEL_HANGUP_COMPLETE\n\n")
    line.dial("u1")
    line.pass_time(1)
    plain = line.events("CHANNEL_HANGUP_COMPLETE")[0].headers
    assert_that(line.events(client=other)[0].headers, equal_to(plain))
    assert_that(other.heard.decode(), contains_string('"Event-Name":"CHANNEL_HANGUP_COMPLETE"'))


def test_a_filter_with_a_minus_keeps_what_it_matches_away() -> None:
    line = phone(Rule(outcome=Outcome.BUSY))
    line.client.send(b"filter Event-Name /./\n\nfilter Unique-ID -u1\n\n")
    line.dial("u1")
    line.dial("u2")
    line.pass_time(1)
    assert_that({event.uuid for event in line.events("CHANNEL_HANGUP_COMPLETE")}, equal_to({"u2"}))


def test_a_value_of_any_characters_comes_back_as_json_in_every_event() -> None:
    line = phone(Rule(ring=0.1, talk=1), agent_gateway="a b")
    client = line.connect("")
    client.send(b"event json ALL\n\n")
    client.send('bgapi originate {origination_uuid="u%1",v=Zoë|日本%41}sofia/gateway/g w/1 x\n\n'.encode())
    client.send('bgapi originate {origination_uuid="ü%1",v=Zoë|日本%41}sofia/gateway/gw%/1"% x\n\n'.encode())
    line.pass_time(3)
    end = line.events("CHANNEL_HANGUP_COMPLETE", client=client)[-1]
    assert_that(end.uuid, equal_to('"ü%1"'))
    assert_that(end.variable("v"), equal_to("Zoë|日本%41"))
    assert_that(end.headers["Channel-Name"], equal_to('sofia/external/1"%'))


def test_what_a_slow_reader_does_not_take_is_held_and_comes_in_order() -> None:
    line = phone(Rule(outcome=Outcome.BUSY))
    line.client.connection.pauseProducing()
    before = line.client.heard
    line.dial("u1")
    line.dial("u2")
    line.pass_time(1)
    assert_that(line.client.heard, equal_to(before))
    line.client.connection.resumeProducing()
    assert_that(line.jobs(), has_length(2))
    kinds = [dict(outer)["Content-Type"] for outer, _, _ in frames(line.client.heard[len(before) :])]
    assert_that(kinds[0], equal_to("command/reply"))


def test_a_reader_that_lost_too_many_events_is_cut_off(monkeypatch: Any) -> None:
    monkeypatch.setattr(connection, "MAX_HELD", 10)
    line = phone(Rule(outcome=Outcome.BUSY))
    line.client.connection.pauseProducing()
    other = line.connect()
    for number in range(200):
        other.send(f"bgapi originate {{origination_uuid=u{number}}}sofia/gateway/g/1 1\n\n".encode())
    line.pass_time(1)
    assert_that(line.client.transport.disconnecting)
    assert_that(other.transport.disconnecting, is_(False))


def test_nothing_is_written_for_events_that_nobody_wants() -> None:
    clock = Clock()
    switch = EFSwitch(clock)
    client = Client(switch)
    client.send(b"auth ClueCon\n\n")
    before = len(client.heard)
    client.send(b"bgapi originate {origination_uuid=u1}sofia/gateway/g/1 1\n\n")
    clock.pump([0.1] * 100)
    assert_that(len(client.heard) - before, less_than(200))


def test_a_message_to_a_live_channel_may_hang_it_up() -> None:
    line = phone(Rule(ring=0.1, talk=60))
    line.dial("u1")
    line.pass_time(1)
    line.client.send(b"sendmsg u1\ncall-command: hangup\nhangup-cause: NORMAL_CLEARING\n\n")
    line.pass_time(0.1)
    assert_that(line.ends(), has_length(1))
