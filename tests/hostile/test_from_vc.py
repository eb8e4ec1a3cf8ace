"""A voice connector that answers with anything: of what it says one line is stored, shown and logged, if at all."""

from __future__ import annotations

import re
from typing import Any

import pytest_twisted
from hamcrest import assert_that, empty, equal_to, greater_than, has_length, is_
from twisted.internet import reactor
from twisted.internet.protocol import Factory, Protocol

from tests.hostile.rows import forbidden, stored
from tests.hostile.texts import FORGED, log_written
from tests.service.conftest import world  # noqa: F401
from tests.service.world import World, agent, ivr

sure = pytest_twisted.ensureDeferred

ANSWERS = [
    b"",
    b"\0" * 100,
    b"\r\n" * 100,
    b"SSH-2.0-OpenSSH_9\r\n",
    b"HTTP/1.1\r\n\r\n",
    b"HTTP/1.1 \r\n\r\n",
    b"HTTP/1.1 abc No\r\n\r\n",
    b"HTTP/1.1 \xb2\xb3 No\r\n\r\n",
    b"HTTP/1.1 99999999999999999999999 Much\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 -1 Less\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 503 \x1b[2J\x07\x9b\0" + FORGED.encode() + b"\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 503 Busy\n" + FORGED.encode() + b"\n\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
    b"HTTP/1.1 200 OK\r\nContent-Length: \x1b[2J\0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n\x1b[2J",
    b"HTTP/1.1 200 OK\r\n" + b"X-A: " + b"a" * 100_000 + b"\r\n\r\n",
    b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 5_000,
    b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nSet-Cookie: a=\x1b[2J\0\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 400 \x1b]0;t\x07\r\nContent-Length: 3\r\n\r\n\0\0\0",
    b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n" + b"\0" * 1000,
    b"HTTP/1.1 100 Continue\r\n\r\n" * 100,
]  # fmt: skip


class Odd(Protocol):
    """Answers each request with the next of `answers`, and leaves."""

    factory: OddFactory

    def connectionMade(self) -> None:
        self.received = b""

    def dataReceived(self, data: bytes) -> None:
        self.received += data
        head, end, body = self.received.partition(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: (\d+)", head)
        if end and len(body) >= int(length[1] if length else 0):
            self.transport.write(self.factory.answer(head))
            self.transport.loseConnection()


class OddFactory(Factory):
    """Counts what it was asked, by path."""

    protocol = Odd

    def __init__(self) -> None:
        self.asked: list[bytes] = []

    def answer(self, head: bytes) -> bytes:
        self.asked.append(head.split(b" ")[1])
        return ANSWERS[self.asked.count(self.asked[-1]) % len(ANSWERS)]


@sure
async def test_whatever_the_vc_answers_is_told_on_one_line_and_dialing_goes_on(world: World) -> None:  # noqa: F811
    factory = OddFactory()
    port: Any = reactor.listenTCP(0, factory, interface="127.0.0.1")
    try:
        with log_written() as written:
            await world.start(
                VOICE_CONNECTOR=f"http://127.0.0.1:{port.getHost().port}",
                **{"CONTACT_RETRIEVAL_DELAY": "60", "RECONCILE_INTERVAL": "60", "MAX_CONCURRENT_CALLS": "200"},
            )
            await world.until_ready()
            called = [ivr(campaignId="told") for _ in ANSWERS]
            asked = [agent(campaignId="asked", customerNumber=f"+4477009{number:05}") for number in range(len(ANSWERS))]
            await world.load(*called, *asked)
            for contact in called:
                await world.until_status(contact, "ended")
            # A request may meet a connection that is just being closed: not each of them is read.
            most = len(ANSWERS) * 3 // 4
            await world.until(lambda: factory.asked.count(b"/request-agent") >= most, "most answers")
            # These are sent ever more slowly while nothing sensible comes back.
            await world.until(lambda: factory.asked.count(b"/send-delivery-notification") > 5, "answers to these")
            for contact in asked:
                await world.until_status(contact, "pending", "agent_pending")
                history = await world.get(f"/contact/{contact['id']}/history")
                assert_that(history.status, equal_to(200))
            for path in ("/notifications", "/status", "/explain", "/campaign/asked/explain", "/readyz"):
                assert_that(b"\x1b" in str((await world.get(path)).body).encode(), is_(False))
            await world.stop_dialer()
        written.check()
        reasons = [row["last_error"] for row in stored(world._conninfo, "outbox") if row["last_error"]]
        assert_that(set(reasons), has_length(greater_than(3)))
        assert_that(forbidden(world._conninfo), is_(empty()))
    finally:
        await port.stopListening()
