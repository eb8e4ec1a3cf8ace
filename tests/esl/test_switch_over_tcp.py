"""A Switch over real sockets, against a far end that answers with what a real FreeSWITCH once answered."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from random import Random
from typing import Any

import pytest_twisted
from hamcrest import assert_that, contains_string, equal_to, has_item, has_length, is_, starts_with
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.protocol import Factory, Protocol

from dialer.esl.errors import SwitchDown
from dialer.esl.fleet import Fleet, RouteKind
from dialer.esl.gateways import GatewayStatus
from dialer.esl.switch import Switch
from dialer.esl.wire import Event, Frame, Parser
from tests.esl.support import BYE, HELLO, event, reply
from tests.esl.transcripts import client_bytes, server_bytes
from tests.waiting import PATIENCE

UP = "11111111-1111-4111-8111-111111111111"
DOWN = "99999999-9999-4999-8999-999999999999"
LIVE = "fc69b946-4df0-443f-928a-013123cb7d9e"


def raw(frame: Frame) -> bytes:
    return "".join(f"{name}: {value}\n" for name, value in frame.headers.items()).encode() + b"\n" + frame.body


def recorded(name: str) -> dict[str, bytes]:
    """What the switch first replied to each command of a recording."""
    replies = [f for f in Parser().feed(server_bytes(name)) if f.content_type in ("command/reply", "api/response")]
    commands = filter(None, map(str.strip, client_bytes(name).decode().split("\n\n")))
    answers: dict[str, bytes] = {}
    for command, frame in zip(commands, replies, strict=True):
        answers.setdefault(command, raw(frame))
    return answers


ANSWERS = {
    **recorded("api_sofia_status"),
    **recorded("api_reconcile_live_call"),
    "api JSoriginate": recorded("api_basic")["api JSoriginate {a=b}sofia/gateway/x/1 1999 XML 127.0.0.1"],
    "event json CHANNEL_ANSWER CHANNEL_BRIDGE CHANNEL_HANGUP_COMPLETE BACKGROUND_JOB": reply(
        "+OK event listener enabled json"
    ),
    "exit": reply("+OK bye") + BYE,
}


class FarEnd(Protocol):
    """One connection as the scripted switch sees it."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.buffer = b""

    def connectionMade(self) -> None:
        self.server.links.append(self)
        self.transport.write(self.server.greeting)
        if self.server.greeting != HELLO:
            self.transport.loseConnection()

    def dataReceived(self, data: bytes) -> None:
        *commands, self.buffer = (self.buffer + data).split(b"\n\n")
        for command in commands:
            self.answer(command.decode())

    def answer(self, command: str) -> None:
        self.server.received.append(command)
        if command in self.server.mute:
            return
        line, _, job = command.partition("\nJob-UUID: ")
        if line.startswith("auth") and line != "auth ClueCon":
            self.transport.write(reply("-ERR invalid") + BYE)
            self.transport.loseConnection()
        elif line.startswith("bgapi originate "):
            self.transport.write(reply(f"+OK Job-UUID: {job}", Job_UUID=job) + event("BACKGROUND_JOB", Job_UUID=job))
        else:
            for byte in (data := ANSWERS[line]):
                self.transport.write(bytes([byte]))
            if data.endswith(BYE):
                self.transport.loseConnection()

    def connectionLost(self, reason: object = None) -> None:
        self.server.links.remove(self)
        if not self.server.links and self.server.idle is not None:
            self.server.idle.callback(None)


class Server(Factory):
    """A scripted switch on a port of its own."""

    def __init__(self, greeting: bytes = HELLO) -> None:
        self.greeting = greeting
        self.received: list[str] = []
        self.mute: set[str] = set()
        self.links: list[FarEnd] = []
        self.idle: Deferred[None] | None = None
        self.port: Any = None

    def buildProtocol(self, addr: object) -> FarEnd:
        return FarEnd(self)

    async def listen(self, reactor: Any, port: int = 0) -> int:
        self.port = await TCP4ServerEndpoint(reactor, port, interface="127.0.0.1").listen(self)
        number: int = self.port.getHost().port
        return number

    async def close(self) -> None:
        if self.links:
            self.idle = Deferred()
            for link in self.links:
                link.transport.abortConnection()
            await self.idle
            self.idle = None
        await self.port.stopListening()


class Site:
    """A Switch against a Server, and what the Switch told."""

    def __init__(self, reactor: Any, port: int, **options: Any) -> None:
        self.events: list[Event] = []
        self.waiting: list[tuple[Callable[[], bool], Deferred[None]]] = []
        settings: dict[str, Any] = {
            "host": "127.0.0.1",
            "port": port,
            "password": "ClueCon",
            "originate_command": "auto",
            "connect_delay": 0.05,
            "command_timeout": 5.0,
            "on_event": self._heard,
            "on_connected": self._nothing_to_compare,
            "on_change": lambda _: self._look(),
            "random": Random(1),
        }
        self.switch = Switch(reactor, **{**settings, **options})
        self.switch.startService()

    async def _nothing_to_compare(self, _: Switch) -> None:
        return

    def _heard(self, _: Switch, event: Event) -> None:
        self.events.append(event)
        self._look()

    def _look(self) -> None:
        for entry in list(self.waiting):
            if entry[0]():
                self.waiting.remove(entry)
                entry[1].callback(None)

    async def until(self, reactor: Any, condition: Callable[[], bool]) -> None:
        """Wait until an event or a change of state makes it true."""
        if not condition():
            waiter: Deferred[None] = Deferred()
            self.waiting.append((condition, waiter))
            await waiter.addTimeout(PATIENCE, reactor)


def with_server(test: Callable[..., Awaitable[None]]) -> Callable[[Any], Any]:
    """Run a test with a Server that is closed after it."""

    async def run(reactor: Any) -> None:
        server = Server()
        port = await server.listen(reactor)
        try:
            await test(reactor, server, port)
        finally:
            await server.close()

    run.__name__, run.__doc__ = test.__name__, test.__doc__  # not `wraps`: pytest must see only the fixture
    return pytest_twisted.ensureDeferred(run)  # type: ignore[no-any-return]


@with_server
async def test_a_switch_answers_what_the_dialer_asks(reactor: Any, server: Server, port: int) -> None:
    site = Site(reactor, port)
    await site.switch.first_attempt()
    assert_that((site.switch.ready, site.switch.name), equal_to((True, f"127.0.0.1:{port}")))

    assert_that(await site.switch.gateway(UP), equal_to(GatewayStatus.UP))
    assert_that(await site.switch.gateway(DOWN), equal_to(GatewayStatus.DOWN))
    assert_that(await site.switch.exists(LIVE), is_(True))
    assert_that(await site.switch.live_calls(), has_item(LIVE))
    assert_that(await site.switch.live_calls(), has_length(2))
    route = await Fleet([site.switch]).route(UP, lambda _: 0)
    assert_that((route.kind, route.switch), equal_to((RouteKind.FOUND, site.switch)))

    assert_that(await site.switch.originate("{a=b}sofia/gateway/g/1 2 XML h", "c-1"), equal_to("c-1"))
    await site.until(reactor, lambda: bool(site.events))
    assert_that(site.events[0].get("Job-UUID"), equal_to("c-1"))

    await site.switch.stopService()
    assert_that(server.received[-1], equal_to("exit"))
    assert_that(await failing(site.switch.exists(LIVE)), starts_with("EFSwitch 127.0.0.1"))


async def failing(question: Awaitable[object]) -> str:
    try:
        await question
    except SwitchDown as down:
        return str(down)
    raise AssertionError("it did not fail")


@with_server
async def test_a_connection_that_breaks_is_made_anew(reactor: Any, server: Server, port: int) -> None:
    site = Site(reactor, port)
    await site.switch.first_attempt()
    server.mute.add(f"api uuid_exists {LIVE}")
    asked = Deferred.fromCoroutine(failing(site.switch.exists(LIVE)))
    server.links[0].transport.abortConnection()

    assert_that(await asked, contains_string("no reply to api uuid_exists"))
    assert_that(site.switch.connected, is_(False))
    await site.until(reactor, lambda: site.switch.ready)
    assert_that(server.received.count("auth ClueCon"), equal_to(2))
    await site.switch.stopService()


@pytest_twisted.ensureDeferred
async def test_a_switch_that_comes_up_later_is_found(reactor: Any) -> None:
    server = Server()
    port = await server.listen(reactor)
    await server.close()
    site = Site(reactor, port)
    await site.switch.first_attempt()
    assert_that(site.switch.reason, starts_with("connection refused"))

    await server.listen(reactor, port)
    await site.until(reactor, lambda: site.switch.ready)

    await site.switch.stopService()
    await server.close()


@with_server
async def test_a_wrong_password_is_told(reactor: Any, server: Server, port: int) -> None:
    site = Site(reactor, port, password="wrong")
    await site.switch.first_attempt()

    assert_that(site.switch.reason, starts_with("Wrong password"))
    await site.switch.stopService()


@with_server
async def test_a_rejection_by_the_acl_is_told(reactor: Any, server: Server, port: int) -> None:
    server.greeting = server_bytes("conn_acl_reject")
    site = Site(reactor, port)
    await site.switch.first_attempt()

    assert_that(site.switch.reason, starts_with("Access denied by the switch's ACL"))
    await site.switch.stopService()


@with_server
async def test_a_switch_that_does_not_answer_is_given_up(reactor: Any, server: Server, port: int) -> None:
    server.mute.add("api JSoriginate")
    site = Site(reactor, port, command_timeout=0.3)

    # On a busy machine an earlier step of an attempt may be the one that takes too long.
    await site.until(reactor, lambda: "went silent: no reply to api JSoriginate" in (site.switch.reason or ""))

    assert_that(site.switch.connected, is_(False))
    await site.switch.stopService()
