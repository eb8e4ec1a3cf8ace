"""One HTTP connection within its bounds: of its head, of the time that its client takes, and of a turn of the reactor.

Twisted's channel has limits of its own, which it answers with a bare 400, and one time for everything, which begins
anew with each byte. In its place each phase has its own, by which a client gets on or is closed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IDelayedCall, IHandshakeListener, IReactorTime, ISSLTransport
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.http import HTTPChannel
from zope.interface import implementer

from dialer.meter import Refused
from dialer.web.answers import HttpError
from dialer.web.bounds import KIB, Bounds
from dialer.web.door import Door, State
from dialer.web.precedence import Precedence
from dialer.web.refusals import raw_answer
from dialer.web.valve import Hold, Valve

LINGER = 2.0
"""Seconds that a client has, once it was refused, to read so and to stop sending: closed at once, the connection would
take the answer with it."""

UNREAD = 1024 * KIB
"""Bytes of it that are received and forgotten meanwhile."""

BUFFER = 64 * KIB
"""Bytes of an answer that wait for their client before it counts as slow: so many does the transport hold."""

URGENT = (b"POST /agent", b"GET /healthz", b"GET /readyz")
"""How the requests begin that go before others: customers and probes wait for their answers."""

BEGINNING = 64
"""Bytes of a request that are looked at for that, with line breaks that are left from the one before."""


@implementer(IHandshakeListener)
class BoundedChannel(HTTPChannel):
    """A connection from `host`."""

    log = Logger()
    transport: Any

    def __init__(
        self,
        clock: IReactorTime,
        bounds: Bounds,
        door: Door,
        precedence: Precedence,
        refused: Callable[[Refused, str], None],
        host: str,
    ) -> None:
        super().__init__()
        self._clock = clock
        self._bounds = bounds
        self._door = door
        self._precedence = precedence
        self._refused = refused
        self.host = host
        self.totalHeadersSize = bounds.head_size
        self.maxHeaders = bounds.headers
        self.MAX_LENGTH = bounds.head_size
        self._state = State.IDLE
        self._began = 0.0
        self._body = 0
        """Bytes that have come since it last got on."""
        self._paused_at: float | None = None
        """Since when the body is held up by us."""
        self._stalled_at: float | None = None
        self._written = 0
        """Bytes of the last piece of an answer, and of what was written since its client did not keep up."""
        self._unread = 0
        self._held: list[bytes] = []
        self._in_line = False
        self.paused = False
        """Twisted's own: whether it leaves what it has received unread."""
        self._urgent = False
        """Whether the request is that is received or waits to be; each for itself."""
        self._over = False
        self._timer: IDelayedCall | None = None

    # What comes in.

    def connectionMade(self) -> None:
        super().connectionMade()
        # In place of the transport itself, so that Twisted's reasons to stop reading do not undo ours.
        self.valve = Valve(self._networkProducer)
        self._networkProducer = self.valve  # type: ignore[assignment]
        self._door.enter(self)
        self._enter(State.HANDSHAKE if ISSLTransport.providedBy(self.transport) else State.IDLE)

    def handshakeCompleted(self) -> None:
        """TLS is spoken from here on."""
        self._enter(State.IDLE)

    def dataReceived(self, data: bytes) -> None:
        if self._over:
            self._unread += len(data)
            if self._unread > UNREAD:
                self.transport.abortConnection()
            return
        # Some clients end a body with a line break that is not a part of it.
        if self._state is State.IDLE and data.strip(b"\r\n"):
            if not self._waits:
                self._urgent = _is_urgent(data)
            self._enter(State.HEAD)
        # Nor is a request looked at whose client has not read the answers before: they would all be kept for it.
        if not self._waits and self._may_go:
            self._precedence.work(lambda: super(BoundedChannel, self).dataReceived(data))
            return
        self._held.append(data)
        self.valve.close(Hold.TURN)
        self._stand_in_line()

    @property
    def _waits(self) -> bool:
        """Whether something was received that is not looked at yet."""
        return self.paused or bool(self._held)

    @property
    def _may_go(self) -> bool:
        return self._stalled_at is None and self._precedence.may_go(urgent=self._urgent)

    def _stand_in_line(self) -> None:
        if self._waits and not self._in_line and self._stalled_at is None:
            self._in_line = True
            self._precedence.wait(self, urgent=self._urgent)

    def go_on(self) -> None:
        """It is this connection's turn again."""
        self._in_line = False
        if self._stalled_at is not None:
            return
        data = b"".join(self._held)
        self._held.clear()
        self.paused = False
        try:
            super().dataReceived(data)
        except Exception:
            self.log.failure("A connection was given up")
            self.transport.abortConnection()
        finally:
            if not self._waits:
                self.valve.open(Hold.TURN)

    def lineReceived(self, line: bytes) -> bool:
        """A line of the head; whether it was the last that is looked at."""
        if self._state is State.IDLE and line:
            self._enter(State.HEAD)
        super().lineReceived(line)
        return self._over

    def rawDataReceived(self, data: bytes) -> None:
        if self._state is State.BODY:
            self._body += len(data)
            if self._body >= self._bounds.pace * self._bounds.stall_time:
                # What came before is no credit: who stops later is closed as who stops at once.
                self._body = 0
                self._began = self._clock.seconds()
                self._door.move(self, State.BODY)
        super().rawDataReceived(data)

    # What phase it is in.

    def allHeadersReceived(self) -> None:
        self._body = 0
        self._enter(State.BODY)
        super().allHeadersReceived()

    def allContentReceived(self) -> None:
        self._enter(State.ANSWER)
        super().allContentReceived()

    def requestDone(self, request: Any) -> None:
        self._enter(State.IDLE)
        # Of requests that were sent together the next is read from the same piece: that is another one for its turn.
        follows = self._buffer
        if follows:
            self._urgent = _is_urgent(follows)
        super().requestDone(request)
        if follows and not self._may_go:
            self.paused = True
            self.valve.close(Hold.TURN)
            self._stand_in_line()

    def loseConnection(self) -> None:
        """Close, once what was written is sent; a client that does not read it is not waited for."""
        self._enter(State.CLOSING)
        super().loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._over = True
        self._door.leave(self)
        self._precedence.leave(self)
        self._held.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        super().connectionLost(reason)

    def make_room(self) -> None:
        """Be closed for another: for a client that was about to send something as if it had been idle for too long."""
        self._over = True
        self.transport.abortConnection()

    def hold_up(self) -> None:
        """Have the client send no more of its body for now; that is not its own slowness."""
        self.valve.close(Hold.BODY)
        self._paused_at = self._clock.seconds()

    def let_go_on(self) -> None:
        """Have it send again."""
        if self._paused_at is not None:
            self._began += self._clock.seconds() - self._paused_at
            self._paused_at = None
        self.valve.open(Hold.BODY)

    def _enter(self, state: State) -> None:
        if self._state is State.CLOSING:
            return
        self._state = state
        self._began = self._clock.seconds()
        self._door.move(self, state)
        self._look_out()

    # What a client takes its time for.

    def write(self, data: bytes) -> None:
        self._note_written(len(data))
        super().write(data)

    def writeSequence(self, iovec: Any) -> None:
        self._note_written(sum(map(len, iovec)))
        super().writeSequence(iovec)

    def pauseProducing(self) -> None:
        """The client does not read as fast as it is written to."""
        if self._stalled_at is None:
            self._stalled_at = self._clock.seconds()
            self._look_out()
        super().pauseProducing()

    def resumeProducing(self) -> None:
        """It has read everything."""
        self._stalled_at = None
        super().resumeProducing()
        self._stand_in_line()

    def _note_written(self, size: int) -> None:
        self._written = size if self._stalled_at is None else self._written + size

    def _due(self) -> float | None:
        """When this client has taken too long, as things stand."""
        bounds = self._bounds
        unread = (BUFFER + self._written) / bounds.pace
        if self._stalled_at is not None:
            return self._stalled_at + bounds.stall_time + unread
        match self._state:
            case State.IDLE:
                return self._began + bounds.idle_time
            case State.HANDSHAKE:
                return self._began + bounds.head_time
            case State.HEAD:
                return None if self._waits else self._began + bounds.head_time
            case State.BODY:
                if self._paused_at is not None:
                    return None
                return self._began + bounds.stall_time
            case State.CLOSING:
                return self._began + (LINGER if self._over else bounds.stall_time + unread)
        return None

    def _look_out(self) -> None:
        """See to it that somebody looks when it is due. Looking too early costs nothing; a timer for each phase of each
        request would."""
        due = self._due()
        if due is None:
            return
        if self._timer is not None:
            if self._timer.getTime() <= due:
                return
            self._timer.cancel()
        self._timer = self._clock.callLater(max(0.0, due - self._clock.seconds()), self._look)

    def _look(self) -> None:
        self._timer = None
        due = self._due()
        if due is None:
            # Somebody holds it up, of whom there will be news; but what then begins anew must be seen.
            self._timer = self._clock.callLater(self._bounds.stall_time, self._look)
        elif due > self._clock.seconds():
            self._look_out()
        else:
            self._too_slow()

    def _too_slow(self) -> None:
        if self._stalled_at is not None or (self._state is State.CLOSING and not self._over):
            self._refused(Refused.SLOW_READER, self.host)
            self.transport.abortConnection()
        elif self._state is State.CLOSING:
            self.transport.abortConnection()
        elif self._state is State.HANDSHAKE:
            # There is no way yet in which it could be told.
            self._refused(Refused.SLOW_HANDSHAKE, self.host)
            self.transport.abortConnection()
        elif self._state is State.IDLE:
            self.loseConnection()
        else:
            slow = Refused.SLOW_HEAD if self._state is State.HEAD else Refused.SLOW_BODY
            self.refuse(slow, HttpError(408, "too_slow", "the request was not sent in time"))

    # What is refused.

    def refuse(self, reason: Refused | None, error: HttpError) -> None:
        """Answer an error past the request, which is still being received, and close."""
        if reason is not None:
            self._refused(reason, self.host)
        self._over = True
        if any(request.startedWriting for request in self.requests):
            self.transport.abortConnection()
            return
        self.transport.write(raw_answer(error))
        getattr(self.transport, "loseWriteConnection", self.transport.loseConnection)()
        self._enter(State.CLOSING)

    def lineLengthExceeded(self, line: bytes) -> None:  # noqa: ARG002  it may be more than one
        self._too_long()

    def _respondToBadRequestAndDisconnect(self) -> None:
        if self._receivedHeaderSize > self.totalHeadersSize:
            self._too_long()
        elif self._receivedHeaderCount > self.maxHeaders:
            message = f"more than {self.maxHeaders} header lines"
            self.refuse(Refused.HEADERS, HttpError(431, "too_many_headers", message))
        else:
            self.refuse(None, HttpError(400, "malformed", "this is no HTTP request"))

    def _too_long(self) -> None:
        message = f"the head of the request is larger than {self.totalHeadersSize} bytes"
        status, code = (431, "head_too_large") if self.requests else (414, "url_too_long")
        self.refuse(Refused.HEAD_SIZE, HttpError(status, code, message))


def _is_urgent(data: bytes) -> bool:
    return data[:BEGINNING].lstrip(b"\r\n").startswith(URGENT)
