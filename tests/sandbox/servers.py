"""A small HTTP server that answers JSON as a test wants, and a client for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson
import treq
from twisted.internet.defer import Deferred
from twisted.protocols.policies import WrappingFactory
from twisted.web.client import Agent
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site

Handler = Callable[[str, str, Any], tuple[int, Any] | None]
"""Method, path, parsed body -> status and JSON to answer, or None to cut the connection."""


class JsonServer(Resource):
    """Serves `handler` on loopback; its connections are cut by `stop`."""

    isLeaf = True

    def __init__(self, reactor: Any, handler: Handler, port: int = 0) -> None:
        super().__init__()
        self.authorizations: list[bytes | None] = []
        self._handler = handler
        self._site = WrappingFactory(Site(self, reactor=reactor))
        self._port = reactor.listenTCP(port, self._site, interface="127.0.0.1")
        self.port = self._port.getHost().port
        self.url = f"http://127.0.0.1:{self.port}"

    def render(self, request: Any) -> bytes | int:
        raw = request.content.read()
        self.authorizations.append(request.getHeader(b"authorization"))
        answer = self._handler(request.method.decode(), request.path.decode(), orjson.loads(raw) if raw else None)
        if answer is None:
            request.transport.abortConnection()
            return NOT_DONE_YET
        request.setResponseCode(answer[0])
        request.setHeader("content-type", "application/json")
        return orjson.dumps(answer[1])

    async def stop(self) -> None:
        await self._port.stopListening()
        for protocol in list(self._site.protocols):
            protocol.abortConnection()


async def call(
    reactor: Any, method: str, url: str, body: Any = None, headers: dict[str, str] | None = None
) -> tuple[int, Any]:
    """One request over a connection of its own; bytes are sent as they are."""
    sent = {"content-type": "application/json"} if headers is None else headers
    data = body if isinstance(body, bytes) or body is None else orjson.dumps(body)
    response = await treq.request(method, url, data=data, headers=sent, agent=Agent(reactor))
    return response.code, orjson.loads(await response.content())


def turn(reactor: Any) -> Deferred[None]:
    """Fires at the reactor's next turn."""
    done: Deferred[None] = Deferred()
    reactor.callLater(0, done.callback, None)
    return done
