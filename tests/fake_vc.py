"""A voice connector over real sockets that does what a test says: answers, answers late, hangs, or breaks off."""

from __future__ import annotations

import json
from collections.abc import Callable
from enum import Enum, auto
from typing import Any

from attrs import frozen
from twisted.internet.defer import Deferred
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request, Site

from tests.ports import KeptPort
from tests.waiting import PATIENCE


class Manner(Enum):
    """Ways not to answer."""

    HANG = auto()
    BREAK = auto()
    BABBLE = auto()
    """200, and then a body without end."""
    TRAIL_OFF = auto()
    """200, and then a body that never comes."""
    GARBAGE = auto()
    """Something that is not HTTP."""


@frozen
class Received:
    """One request as it came in, and the number of the connection that it came over."""

    path: str
    headers: dict[str, str]
    raw: bytes
    connection: int

    @property
    def body(self) -> Any:
        return json.loads(self.raw)


Answer = int | Manner | Deferred[int]


class FakeVC(Resource):
    """`script` gives the answer to each request: a status (later, when it is a Deferred of one), or a Manner."""

    isLeaf = True

    def __init__(self, reactor: Any) -> None:
        super().__init__()
        self._reactor = reactor
        self.script: Callable[[Received], Answer] = lambda received: 200
        self.received: list[Received] = []
        self._waiting: list[tuple[int, Deferred[None]]] = []
        self._connections: dict[int, int] = {}
        self._open: list[Any] = []
        self._port: Any = None
        self._kept: KeptPort | None = None
        self.number = 0

    def listen(self) -> None:
        """Listen on a free port of the loopback, the same one again after `stop`."""
        if self._kept is None:
            self._kept = KeptPort()
            self.number = self._kept.number
        self._port = self._reactor.listenTCP(self.number, Site(self), interface="127.0.0.1")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.number}"

    async def stop(self) -> None:
        """Stop listening and cut every connection."""
        if self._port is not None:
            port, self._port = self._port, None
            await port.stopListening()
        for channel in self._open:
            if channel.transport is not None:
                channel.transport.abortConnection()
        self._open.clear()

    async def has_received(self, count: int) -> list[Received]:
        """Wait until so many requests came in, in all."""
        if len(self.received) < count:
            waiting: Deferred[None] = Deferred()
            self._waiting.append((count, waiting))
            await waiting.addTimeout(PATIENCE, self._reactor)
        return self.received

    def render(self, request: Request) -> Any:
        if request.channel not in self._open:
            self._open.append(request.channel)
            self._connections[id(request.channel)] = len(self._open)
        headers = {
            name.decode().lower(): b", ".join(values).decode()
            for name, values in request.requestHeaders.getAllRawHeaders()
        }
        received = Received(
            request.path.decode(), headers, request.content.read(), self._connections[id(request.channel)]
        )
        answer = self.script(received)
        self.received.append(received)
        self._reactor.callLater(0, self._tell)
        if isinstance(answer, Deferred):
            answer.addCallback(self._answer, request)
            return NOT_DONE_YET
        return self._answer(answer, request)

    def _tell(self) -> None:
        due = [waiting for count, waiting in self._waiting if count <= len(self.received)]
        self._waiting = [entry for entry in self._waiting if entry[1] not in due]
        for waiting in due:
            waiting.callback(None)

    def _answer(self, answer: int | Manner, request: Request) -> Any:
        if isinstance(answer, int):
            if request.channel is not None:
                request.setResponseCode(answer)
                if 300 <= answer < 400:
                    request.setHeader("Location", self.url + "/elsewhere")
                request.write(b"{}")
                request.finish()
        elif answer is Manner.BREAK:
            request.channel.transport.abortConnection()
        elif answer is Manner.GARBAGE:
            request.channel.transport.write(b"220 mail.example ESMTP\r\n\r\n")
        elif answer is Manner.TRAIL_OFF:
            request.write(b"{")
        elif answer is Manner.BABBLE:
            self._babble(request)
        return NOT_DONE_YET

    def _babble(self, request: Request) -> None:
        if request.channel is not None and not request._disconnected:
            request.write(b"x" * 65_536)
            self._reactor.callLater(0, self._babble, request)
