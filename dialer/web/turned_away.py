"""A connection that may not be had: told so, and closed."""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure

from dialer.web.answers import HttpError
from dialer.web.refusals import raw_answer

LINGER = 1.0
"""Seconds to read the answer: closed at once, the connection would take it with it."""

MOST = 50
"""At the same time, each with a file descriptor; past them the next ones are closed without a word."""

UNREAD = 65_536
"""Bytes of each that are received and forgotten."""


class TurnedAway(Protocol):
    """One of them, which is in `others` while it is there."""

    def __init__(self, clock: IReactorTime, error: HttpError, others: set[Any]) -> None:
        self._clock = clock
        self._error = error
        self._others = others
        self._timer: IDelayedCall | None = None
        self._received = 0
        others.add(self)

    def connectionMade(self) -> None:
        transport: Any = self.transport
        transport.write(raw_answer(self._error))
        getattr(transport, "loseWriteConnection", transport.loseConnection)()
        self._timer = self._clock.callLater(LINGER, self._close)

    def dataReceived(self, data: bytes) -> None:
        self._received += len(data)
        if self._received > UNREAD:
            self._abort()

    def connectionLost(self, reason: Failure = connectionDone) -> None:  # noqa: ARG002
        self._others.discard(self)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _close(self) -> None:
        self._timer = None
        self._abort()

    def _abort(self) -> None:
        transport: Any = self.transport
        transport.abortConnection()
