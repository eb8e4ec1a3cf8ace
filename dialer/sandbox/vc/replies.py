"""Sends agent replies to the dialer, again and again while it is not to be reached, but not for ever."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from datetime import UTC, datetime
from random import Random
from typing import Any

import orjson
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.interfaces import IConsumer
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.task import deferLater
from twisted.python.failure import Failure
from twisted.web.client import URI, Agent
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgentEndpointFactory, IBodyProducer
from zope.interface import implementer

from dialer.sandbox.vc.ledger import Ledger, Record

AGENT_PATH = "/agent"
MAX_ATTEMPTS = 12
FIRST_WAIT = 0.25
LONGEST_WAIT = 5.0
"""Seconds. With MAX_ATTEMPTS about 40 s in all: a dialer that restarts is back by then."""
ANSWER_TIMEOUT = 30.0
"""Seconds: the dialer answers once EFSwitch has taken the command, which may take a while."""
CONNECT_TIMEOUT = 5.0
MAX_ANSWER = 2_000
"""Bytes of the dialer's answer that are kept."""
_RETRY = frozenset({408, 425, 429, 503})


def wait_after(attempt: int, random: Random) -> float:
    """Seconds to wait after that attempt (from 1) failed: doubling up to LONGEST_WAIT, with up to 20 % jitter."""
    return min(LONGEST_WAIT, FIRST_WAIT * 2.0 ** (attempt - 1)) * (1 - 0.2 * random.random())


@implementer(IBodyProducer)
class _Bytes:
    """A whole body at once; Twisted's own producer would leave a call of the global reactor behind."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self.length = len(body)

    def startProducing(self, consumer: IConsumer) -> Deferred[None]:
        consumer.write(self._body)
        return succeed(None)

    def pauseProducing(self) -> None:
        pass

    def resumeProducing(self) -> None:
        pass

    def stopProducing(self) -> None:
        pass


class _Collector(Protocol):
    """Collects the first MAX_ANSWER bytes of an answer's body; cancelling `body` closes the connection."""

    def __init__(self) -> None:
        self._kept = bytearray()
        self.body: Deferred[bytes] = Deferred(lambda _: self._close())

    def dataReceived(self, data: bytes) -> None:
        self._kept += data[: MAX_ANSWER - len(self._kept)]
        if len(self._kept) >= MAX_ANSWER:
            self._close()

    def connectionLost(self, reason: Failure = connectionDone) -> None:  # noqa: ARG002 Twisted's
        # However it ended: the status is known, and the body is for the record only.
        if not self.body.called:
            self.body.callback(bytes(self._kept))

    def _close(self) -> None:
        if self.transport is not None:
            self.transport.loseConnection()


class _Noted:
    """An endpoint that notes the connections it makes."""

    def __init__(self, endpoint: HostnameEndpoint, note: Callable[[Any], None]) -> None:
        self._endpoint = endpoint
        self._note = note

    def connect(self, factory: Any) -> Deferred[Any]:
        def noted(protocol: Any) -> Any:
            self._note(protocol)
            return protocol

        return self._endpoint.connect(factory).addCallback(noted)


@implementer(IAgentEndpointFactory)
class _Endpoints:
    """Makes plain endpoints; remembers the connections so that `close` can wait for their end."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._protocols: weakref.WeakSet[Any] = weakref.WeakSet()

    def endpointForURI(self, uri: URI) -> _Noted:
        host = uri.host.decode("ascii")
        return _Noted(HostnameEndpoint(self._reactor, host, uri.port, timeout=CONNECT_TIMEOUT), self._protocols.add)

    async def close(self) -> None:
        for protocol in list(self._protocols):
            await protocol.abort()


class ReplySender:
    """Posts `{"uuid", "agent", "queue"}` to the dialer, one connection for each try.

    Connections are not kept: one that died unseen would make an attempt fail that the dialer never saw.
    """

    def __init__(self, reactor: Any, ledger: Ledger, random: Random, token: str | None = None) -> None:
        self._token = token
        self._reactor = reactor
        self._ledger = ledger
        self._random = random
        self._endpoints = _Endpoints(reactor)
        self._agent = Agent.usingEndpointFactory(reactor, self._endpoints)
        self._stopping = False

    async def send(self, url: Callable[[], str | None], reply: dict[str, Any], behaviour: str | None) -> int | None:
        """Post the reply to what `url` returns at each try, until an answer that settles it.

        Returns its status, or None after MAX_ATTEMPTS. Each try is recorded.
        """
        for attempt in range(1, MAX_ATTEMPTS + 1):
            status = await self._try(url(), reply, behaviour, attempt)
            if status is not None and status not in _RETRY:
                return status
            # A cancelled try may end in any error; the flag says that it was the last.
            if self._stopping:
                raise CancelledError
            if attempt < MAX_ATTEMPTS:
                await deferLater(self._reactor, wait_after(attempt, self._random), lambda: None)
        return None

    def stop(self) -> None:
        """Start no further try; those under way are their owner's to cancel."""
        self._stopping = True

    async def close(self) -> None:
        """Returns when no connection is left."""
        await self._endpoints.close()

    async def _try(self, url: str | None, reply: dict[str, Any], behaviour: str | None, attempt: int) -> int | None:
        sent = datetime.now(UTC)
        headers = {"content-type": "application/json"}
        status, text, error = None, None, None
        try:
            if url is None:
                raise ValueError("the sandbox was not told where the dialer is")
            request: Deferred[tuple[int, bytes]] = Deferred.fromCoroutine(self._post(url, reply, headers))
            status, answer = await request.addTimeout(ANSWER_TIMEOUT, self._reactor)
            text = answer.decode("utf-8", "replace")
        except (CancelledError, GeneratorExit):
            raise
        except Exception as failure:  # whatever kept it from an answer is for the record, and worth another try
            error = f"{type(failure).__name__}: {failure}"[:300]
        self._ledger.replies_by_status.add("none" if status is None else str(status))
        self._ledger.add(
            Record(
                time=sent,
                direction="out",
                path=AGENT_PATH,
                headers=headers,
                body=reply,
                status=status,
                behaviour=behaviour,
                attempt=attempt,
                response=text,
                error=error,
            )
        )
        return status

    async def _post(self, url: str, reply: dict[str, Any], headers: dict[str, str]) -> tuple[int, bytes]:
        sent = Headers({name: [value] for name, value in headers.items()})
        # Not among the headers that are recorded.
        if self._token is not None:
            sent.addRawHeader("authorization", f"Bearer {self._token}")
        response = await self._agent.request(
            b"POST",
            (url.rstrip("/") + AGENT_PATH).encode("ascii"),
            sent,
            _Bytes(orjson.dumps(reply)),
        )
        collector = _Collector()
        response.deliverBody(collector)
        return response.code, await collector.body
