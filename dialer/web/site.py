"""The HTTP server below the routes: refuses what no route could answer, bodies that are too large among it."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from time import monotonic
from typing import Any, cast
from urllib.parse import unquote_to_bytes

from twisted.python.failure import Failure
from twisted.web.http import RESPONSES
from twisted.web.server import Request, Site

from dialer.meter import Meter
from dialer.web.answers import HttpError, write_error
from dialer.web.incoming import Incoming

MAX_BODY = 32 * 1024 * 1024
"""Bytes of a request body (SPEC 3)."""

SMALL_BODY = 64 * 1024
"""Bytes that anybody may send: of a larger body it is asked first, at its head, whether its sender may call at all."""

MAX_UNREAD = 2 * MAX_BODY
"""Bytes of a refused body that are received and forgotten: many clients look for the answer only once they have sent
everything, and would find the connection broken instead."""

IDLE_TIMEOUT = 60
"""Seconds in which a connection must get on with its request."""


NO_ROUTE = "none"
"""In place of the path that was declared, when none was: what was asked for could be anything."""

GONE = "gone"
"""In place of a status, when the client was gone before there was one."""


class BoundedRequest(Request):
    """A request whose body stays within what its sender may send, whether its length is announced or not; or one
    whose body is taken as it arrives, however long it is, and that is routed as soon as its head is there."""

    incoming: Incoming | None = None
    """The body, if it is taken as it arrives."""

    _received = 0
    _most = MAX_BODY
    _refused = False
    _began = 0.0
    _answered = False
    site: BoundedSite

    route = NO_ROUTE
    """The path as declared, once it is known."""

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self._began = monotonic()

    def gotLength(self, length: int | None) -> None:
        """Refuse an announced length at once, and a large body of somebody who may not send it."""
        channel: Any = self.channel
        # Twisted keeps them to itself until the body is there.
        method, target, version = channel._command, channel._path, channel._version
        path = target.split(b"?")[0]
        if channel.site.arriving(method, path, self.getHeader(b"content-type") or b""):
            self.incoming = Incoming(self._hold_up, self._let_go_on)
            self.content = BytesIO()
            super().requestReceived(method, target, version)
            return
        if length is None or length > SMALL_BODY:
            self.method = method
            self._ask_whether_it_may_come(path)
        if length is not None and length > self._most:
            self._refuse(too_large(self._most))
        super().gotLength(0 if self._refused else length)

    def _ask_whether_it_may_come(self, path: bytes) -> None:
        channel: Any = self.channel
        try:
            self._most = MAX_BODY if channel.site.admits(self, self.method, path) else SMALL_BODY
        except HttpError as error:
            self._refuse(error)

    def handleContentChunk(self, data: bytes) -> None:
        """Count what comes, for bodies sent in chunks."""
        if self.incoming is not None:
            self._take(self.incoming, data)
            return
        self._received += len(data)
        if self._received > self._most:
            self._refuse(too_large(self._most))
        if not self._refused:
            super().handleContentChunk(data)
        elif self._received > MAX_UNREAD:
            self.loseConnection()

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        """Route what was not refused, nor routed before."""
        if self.incoming is not None:
            # It was not there to be saved if the client was held up when its body ended.
            self.channel._savedTimeOut = IDLE_TIMEOUT
            self.incoming.ended()
            if self._answered:
                super().finish()
        elif self._refused:
            self.loseConnection()
        else:
            super().requestReceived(command, path, version)

    def write(self, data: bytes) -> None:
        """Write the answer; one that comes before the body has ended is complete with its first piece."""
        if self.incoming is not None and not self.incoming.complete and not self.startedWriting:
            self.setHeader(b"content-length", b"%d" % len(data))
            self.setHeader(b"connection", b"close")
            # It would be told to go on sending.
            self.requestHeaders.removeHeader(b"expect")
            self.channel.persistent = False
        super().write(data)

    def finish(self) -> None:
        """Finish, but not before the body has ended: Twisted could not tell what follows from the next request."""
        if self.incoming is None or self.incoming.complete:
            super().finish()
        else:
            self._answered = True
            self.incoming.forget()

    def connectionLost(self, reason: Failure) -> None:
        """The client has gone."""
        if self.incoming is not None:
            self.incoming.lose()
        super().connectionLost(reason)

    def _take(self, incoming: Incoming, data: bytes) -> None:
        incoming.received(data)
        if self._answered:
            self._received += len(data)
            if self._received > MAX_UNREAD:
                self.loseConnection()

    def _hold_up(self) -> None:
        channel: Any = self.channel
        channel.transport.pauseProducing()
        # It is not the client who is slow.
        channel.setTimeout(None)

    def _let_go_on(self) -> None:
        channel: Any = self.channel
        if channel is None:
            return
        channel.transport.resumeProducing()
        if self.incoming is not None and not self.incoming.complete:
            channel.setTimeout(IDLE_TIMEOUT)

    def process(self) -> None:
        """Route by the path, which klein takes to be UTF-8."""
        self.site = cast(Any, self.channel).site
        self.notifyFinish().addBoth(self._served)
        try:
            unquote_to_bytes(self.path).decode()
        except UnicodeDecodeError:
            self.write(write_error(self, HttpError(404, "not_found", "there is no such path")))
            self.finish()
        else:
            super().process()

    def getRequestHostname(self) -> bytes:
        """The same for all: no route depends on the Host header, and many a one breaks klein's router."""
        return b"dialer"

    def _served(self, left: object) -> None:
        status = GONE if left is not None and not self.startedWriting else str(self.code)
        self._measure(status)

    def _measure(self, status: str) -> None:
        self.site.meter.served(self.method.decode("latin-1"), self.route, status, monotonic() - self._began)

    def _refuse(self, error: HttpError) -> None:
        if self._refused:
            return
        self._refused = True
        # It would be told to go on sending.
        self.requestHeaders.removeHeader(b"expect")
        body = write_error(self, error)
        headers = [*self.responseHeaders.getAllRawHeaders(), (b"Connection", [b"close"])]
        lines = [b"HTTP/1.1 %d %s" % (error.status, RESPONSES[error.status])]
        lines += [b"%s: %s" % (name, value) for name, values in headers for value in values]
        lines += [b"Content-Length: %d" % len(body), b"", body]
        # Written past the queue of the channel: the request is still being received.
        channel: Any = self.channel
        channel.transport.write(b"\r\n".join(lines))
        channel.transport.loseWriteConnection()
        self.site = channel.site
        self._measure(str(error.status))


def too_large(most: int) -> HttpError:
    """The answer to a body of more bytes than that."""
    unit, name = (2**20, "MiB") if most >= 2**20 else (2**10, "KiB")
    return HttpError(413, "too_large", f"the body is larger than {most // unit} {name}")


class BoundedSite(Site):
    """A Site of BoundedRequests that does not write an access log of its own."""

    requestFactory = BoundedRequest
    noisy = False

    def __init__(
        self,
        resource: Any,
        meter: Meter,
        *,
        arriving: Callable[[bytes, bytes, bytes], bool] = lambda *_: False,
        admits: Callable[[Any, bytes, bytes], bool] = lambda *_: True,
        **keywords: Any,
    ) -> None:
        """`arriving` says of a method, a path and a content type whether such a body is taken as it arrives.

        `admits` says of a request, with its method and path, before its body is there whether its sender is known; it
        raises the HttpError for a call that is refused.
        """
        # A form is another content type like any other: not to be parsed, and refused by the routes.
        super().__init__(resource, timeout=IDLE_TIMEOUT, parsePOSTFormSubmission=False, **keywords)
        self.displayTracebacks = False
        self.meter = meter
        self.arriving = arriving
        self.admits = admits

    def acceptableProtocols(self) -> list[bytes]:
        """HTTP/1.1 alone over TLS, too: with the package h2 beside it, twisted.web would offer what bounds nothing."""
        return [b"http/1.1"]

    def log(self, request: Any) -> None:
        """Nothing: outcomes are logged where they happen."""
