"""The simulator on real sockets, and as a program."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
from pathlib import Path
from typing import Any

import pytest_twisted
from hamcrest import assert_that, contains_string, equal_to, has_length, starts_with
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.error import ConnectionRefusedError as Refused
from twisted.internet.protocol import ProcessProtocol, Protocol, connectionDone
from twisted.python.failure import Failure

from dialer.sandbox.efswitch import EFSwitch, Outcome, Rule, Rules
from tests.waiting import until


class Caller(Protocol):
    """Collects what it hears; `until` waits for a text in it, `lost` for the end."""

    def __init__(self) -> None:
        self.heard = b""
        self.lost: Deferred[None] = Deferred()
        self._awaited: tuple[bytes, Deferred[bytes]] | None = None

    def send(self, data: bytes) -> None:
        assert self.transport is not None
        self.transport.write(data)

    def dataReceived(self, data: bytes) -> None:
        self.heard += data
        if self._awaited is not None and self._awaited[0] in self.heard:
            awaited, self._awaited = self._awaited[1], None
            awaited.callback(self.heard)

    async def until(self, text: bytes) -> bytes:
        if text in self.heard:
            return self.heard
        awaited: Deferred[bytes] = Deferred()
        self._awaited = (text, awaited)
        return await awaited

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.lost.callback(None)


async def connected(reactor: Any, port: int) -> Caller:
    """A caller on a real socket."""
    return await connectProtocol(TCP4ClientEndpoint(reactor, "127.0.0.1", port), Caller())


async def listening_again(reactor: Any, port: int) -> Caller:
    """A connection to a port as soon as it takes one."""

    async def connection() -> Caller | None:
        try:
            return await connected(reactor, port)
        except Refused:
            return None

    again: Caller = await until(reactor, connection, "a port that listens")
    return again


@pytest_twisted.ensureDeferred
async def test_a_call_over_a_real_socket_is_dialed_and_reported(reactor: Any) -> None:
    switch = EFSwitch(reactor, rules=Rules([Rule(outcome=Outcome.BUSY)]))
    port = await switch.listen(reactor)
    assert_that(port.getHost(), equal_to(switch.address()))
    caller = await connected(reactor, switch.address().port)
    caller.send(b"auth ClueCon\n\nevent plain BACKGROUND_JOB CHANNEL_HANGUP_COMPLETE\n\n")
    caller.send(b"bgapi originate {origination_uuid=u1}sofia/gateway/g/1 1999\n\n")
    await caller.until(b"-ERR USER_BUSY\n")
    await caller.until(b"Event-Name: CHANNEL_HANGUP_COMPLETE\n")
    await switch.stop()
    await caller.lost


@pytest_twisted.ensureDeferred
async def test_a_reader_that_takes_nothing_for_a_while_gets_everything_afterwards(reactor: Any) -> None:
    switch = EFSwitch(reactor, rules=Rules([Rule(outcome=Outcome.BUSY)]))
    await switch.listen(reactor)
    caller = await connected(reactor, switch.address().port)
    caller.send(b"auth ClueCon\n\nevent json BACKGROUND_JOB CHANNEL_HANGUP_COMPLETE\n\n")
    await caller.until(b"enabled json")
    assert caller.transport is not None
    caller.transport.pauseProducing()  # type: ignore[attr-defined]
    for number in range(600):
        caller.send(b"bgapi originate {origination_uuid=u%d}sofia/gateway/g/1 1999\n\n" % number)
    await until(reactor, lambda: len(switch.records.since()) == 600 and not switch.channels)
    caller.transport.resumeProducing()  # type: ignore[attr-defined]
    await until(reactor, lambda: caller.heard.count(b'"Event-Name":"CHANNEL_HANGUP_COMPLETE"') == 600)
    assert_that(caller.heard.count(b"Reply-Text: +OK Job-UUID"), equal_to(600))
    await switch.stop()
    await caller.lost


@pytest_twisted.ensureDeferred
async def test_a_restarted_switch_listens_on_the_same_port_after_its_downtime(reactor: Any) -> None:
    switch = EFSwitch(reactor)
    await switch.listen(reactor)
    port = switch.address().port
    caller = await connected(reactor, port)
    caller.send(b"auth ClueCon\n\n")
    await caller.until(b"accepted")
    await switch.restart(downtime=0.2)
    await caller.lost
    try:
        await connected(reactor, port)
    except Refused:
        refused = True
    assert_that(refused)
    again = await listening_again(reactor, port)
    await again.until(b"auth/request")
    await switch.stop()
    await again.lost


@pytest_twisted.ensureDeferred
async def test_a_stopped_switch_leaves_no_call_timer_or_socket_behind(reactor: Any) -> None:
    before = set(reactor.getDelayedCalls())
    switch = EFSwitch(reactor, rules=Rules([Rule(ring=1, talk=60, agent_ring=1), Rule(outcome=Outcome.BUSY)]))
    await switch.listen(reactor)
    caller = await connected(reactor, switch.address().port)
    caller.send(b'auth ClueCon\n\napi simulator {"fault": "stall", "for": 60}\n\n')
    for number in range(20):
        caller.send(b"bgapi originate {origination_uuid=u%d}sofia/gateway/g/1 agent\n\n" % number)
    caller.send(b"api uptime\n\n")
    await caller.until(b"0\n")
    await switch.stop()
    await caller.lost
    assert_that(set(reactor.getDelayedCalls()) - before, has_length(0))
    assert_that(switch.channels, has_length(0))


class Program(ProcessProtocol):
    """The simulator as a process; `said` waits for the line that says where it listens, `ended` for its exit code."""

    def __init__(self) -> None:
        self.output = b""
        self.said: Deferred[tuple[str, int]] = Deferred()
        self.ended: Deferred[int | None] = Deferred()

    def outReceived(self, data: bytes) -> None:
        self.output += data
        found = re.search(r"EFSwitch simulator listening on (\S+):(\d+)\n", self.output.decode())
        if found and not self.said.called:
            self.said.callback((found[1], int(found[2])))

    def errReceived(self, data: bytes) -> None:
        self.output += data

    def processEnded(self, reason: Failure) -> None:
        self.ended.callback(reason.value.exitCode)  # type: ignore[union-attr]


def start(reactor: Any, *arguments: str) -> Program:
    """Start `python -m dialer.sandbox.efswitch`."""
    program = Program()
    command = [sys.executable, "-m", "dialer.sandbox.efswitch", *arguments]
    reactor.spawnProcess(program, sys.executable, command, env=dict(os.environ), path=Path(__file__).parents[3])
    return program


@pytest_twisted.ensureDeferred
async def test_the_program_says_where_it_listens_and_ends_on_a_signal(reactor: Any, tmp_path: Path) -> None:
    rules = tmp_path / "rules.json"
    rules.write_text(json.dumps([{"outcome": "rejected"}]))
    options = ["--port", "0", "--rules", str(rules), "--gateway", "gw1", "--gateway", "gw2=DOWN", "--sps", "100"]
    program = start(reactor, *options)
    host, port = await program.said
    assert_that(host, equal_to("127.0.0.1"))
    caller = await connected(reactor, port)
    caller.send(b"auth ClueCon\n\nevent plain BACKGROUND_JOB\n\n")
    for number, gateway in enumerate(("gw1", "gw2", "gw3")):
        caller.send(f"bgapi originate {{origination_uuid=u{number}}}sofia/gateway/{gateway}/1 1999\n\n".encode())
    await caller.until(b"-ERR CALL_REJECTED")
    await caller.until(b"-ERR GATEWAY_DOWN")
    await caller.until(b"-ERR INVALID_GATEWAY")
    program.transport.signalProcess(signal.SIGTERM)  # type: ignore[union-attr]
    await program.ended
    await caller.lost


@pytest_twisted.ensureDeferred
async def test_the_program_refuses_rules_that_it_does_not_understand(reactor: Any, tmp_path: Path) -> None:
    rules = tmp_path / "rules.json"
    rules.write_text('[{"outcome": "explodes"}]')
    program = start(reactor, "--port", "0", "--rules", str(rules))
    assert_that(await program.ended, equal_to(2))
    assert_that(program.output.decode(), starts_with("usage:"))
    assert_that(program.output.decode(), contains_string("explodes"))
