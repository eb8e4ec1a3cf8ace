"""The HTTP server below the routes: refuses what no route could answer, bodies that are too large among it."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from io import BytesIO
from time import monotonic
from typing import Any, cast
from urllib.parse import unquote_to_bytes

from twisted.python.failure import Failure
from twisted.web.server import Request, Site

from dialer.meter import Meter, Refused
from dialer.web.answers import HttpError, finish, write_error
from dialer.web.bodies import Bodies
from dialer.web.bounds import KIB, MIB, Bounds
from dialer.web.channel import BoundedChannel
from dialer.web.door import Door
from dialer.web.incoming import Incoming
from dialer.web.precedence import Precedence
from dialer.web.refusals import Refusals
from dialer.web.turned_away import MOST as TURNED_AWAY
from dialer.web.turned_away import TurnedAway

MAX_BODY = Bounds().body_size
"""Bytes of a request body, where nothing else is configured (SPEC 3)."""

SMALL_BODY = 64 * 1024
"""Bytes that anybody may send: of a larger body it is asked first, at its head, whether its sender may call at all, and
whether there is room for it beside those of others. A thousand connections hold 64 MB of small ones."""

MAX_UNREAD = 2 * MAX_BODY
"""Bytes of a refused body that are received and forgotten: many clients look for the answer only once they have sent
everything, and would find the connection broken instead."""

UPLOAD = 2 * MIB
"""Bytes that a body which is taken as it arrives counts as, however long it is: what waits to be read, a row that has
not ended, and a batch of rows that waits for the database."""

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
    _held = 0
    """Bytes that count among those of all bodies."""
    _refused = False
    _began = 0.0
    _answered = False
    site: BoundedSite
    _bodies: Bodies

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
        self._most = channel.site.bounds.body_size
        path = target.split(b"?")[0]
        bodies: Bodies = channel.site.bodies
        arrives = channel.site.arriving(method, path, self.getHeader(b"content-type") or b"")
        if arrives and self._hold(min(UPLOAD, bodies.most)):
            self.incoming = Incoming(channel.hold_up, channel.let_go_on)
            self.content = BytesIO()
            super().requestReceived(method, target, version)
            return
        self.method = method
        if arrives or length is None or length > SMALL_BODY:
            self._ask_whether_it_may_come(path)
        if arrives:
            self._refuse(no_room(), Refused.BODIES)
        if length is not None and length > self._most:
            self._refuse(too_large(self._most), Refused.BODY_SIZE)
        elif length is not None and length > SMALL_BODY and not bodies.has_room(length):
            # Those bytes are not taken before they come: who announces much and sends little keeps nobody out.
            self._refuse(no_room(), Refused.BODIES)
        # Of who may send little no file is made, which Twisted does for a body whose length is not announced.
        super().gotLength(0 if self._refused or self._most <= SMALL_BODY else length)

    def _ask_whether_it_may_come(self, path: bytes) -> None:
        channel: Any = self.channel
        try:
            if not channel.site.admits(self, self.method, path):
                self._most = min(self._most, SMALL_BODY)
        except HttpError as error:
            self._refuse(error)

    def handleContentChunk(self, data: bytes) -> None:
        """Count what comes, for bodies sent in chunks."""
        if self.incoming is not None:
            self._take(self.incoming, data)
            return
        self._received += len(data)
        if self._received > self._most:
            self._refuse(too_large(self._most), Refused.BODY_SIZE)
        elif not self._refused and self._received > SMALL_BODY and not self._hold(self._received):
            self._refuse(no_room(), Refused.BODIES)
        if not self._refused:
            super().handleContentChunk(data)
        elif self._received > MAX_UNREAD:
            self.loseConnection()

    def _hold(self, size: int) -> bool:
        """Whether so many bytes of the body may be held."""
        bodies: Bodies = cast(Any, self.channel).site.bodies
        if not bodies.take(size - self._held):
            return False
        self._held, self._bodies = size, bodies
        return True

    def _give_back(self) -> None:
        if self._held:
            self._bodies.give_back(self._held)
            self._held = 0

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        """Route what was not refused, nor routed before."""
        if self.incoming is not None:
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
        self._give_back()
        if self.incoming is None or self.incoming.complete:
            super().finish()
        else:
            self._answered = True
            self.incoming.forget()

    def connectionLost(self, reason: Failure) -> None:
        """The client has gone."""
        if self.incoming is not None:
            self.incoming.lose()
        self._give_back()
        super().connectionLost(reason)

    def _take(self, incoming: Incoming, data: bytes) -> None:
        incoming.received(data)
        if self._answered:
            self._received += len(data)
            if self._received > MAX_UNREAD:
                self.loseConnection()

    def process(self) -> None:
        """Route by the path, which is UTF-8."""
        self.site = cast(Any, self.channel).site
        self.notifyFinish().addBoth(self._served)
        try:
            unquote_to_bytes(self.path).decode()
        except UnicodeDecodeError:
            finish(self, write_error(self, HttpError(404, "not_found", "there is no such path")))
        else:
            super().process()

    def _served(self, left: object) -> None:
        status = GONE if left is not None and not self.startedWriting else str(self.code)
        self._measure(status)

    def _measure(self, status: str) -> None:
        self.site.meter.served(self.method.decode("latin-1"), self.route, status, monotonic() - self._began)

    def _refuse(self, error: HttpError, reason: Refused | None = None) -> None:
        if self._refused:
            return
        self._refused = True
        if self.content is not None:
            # The client may still be sending for long.
            self.content.close()
            self.content = BytesIO()
        self._give_back()
        # It would be told to go on sending.
        self.requestHeaders.removeHeader(b"expect")
        body = write_error(self, error)
        headers = [*self.responseHeaders.getAllRawHeaders(), (b"Connection", [b"close"])]
        lines = [b"HTTP/1.1 %d %s" % (error.status, HTTPStatus(error.status).phrase.encode())]
        lines += [b"%s: %s" % (name, value) for name, values in headers for value in values]
        lines += [b"Content-Length: %d" % len(body), b"", body]
        # Written past the queue of the channel: the request is still being received.
        channel: Any = self.channel
        channel.transport.write(b"\r\n".join(lines))
        channel.transport.loseWriteConnection()
        self.site = channel.site
        self._measure(str(error.status))
        if reason is not None:
            channel.site.refusals.refused(reason, channel.host)


def no_room() -> HttpError:
    """The answer to a body beside which too much is held of others."""
    return HttpError(503, "busy", "too many large bodies are being received; try again")


def too_large(most: int) -> HttpError:
    """The answer to a body of more bytes than that."""
    return HttpError(413, "too_large", f"the body is larger than {in_words(most)}")


class BoundedSite(Site):
    """A Site of BoundedRequests over BoundedChannels that does not write an access log of its own.

    `is_trusted` says of an address whether it belongs to who must always get through.
    """

    requestFactory = BoundedRequest
    noisy = False

    def __init__(
        self,
        resource: Any,
        meter: Meter,
        *,
        arriving: Callable[[bytes, bytes, bytes], bool] = lambda *_: False,
        admits: Callable[[Any, bytes, bytes], bool] = lambda *_: True,
        bounds: Bounds = Bounds(),  # noqa: B008  frozen
        refusals: Refusals | None = None,
        is_trusted: Callable[[str], bool] = lambda _: False,
        **keywords: Any,
    ) -> None:
        """`arriving` says of a method, a path and a content type whether such a body is taken as it arrives.

        `admits` says of a request, with its method and path, before its body is there whether its sender is known; it
        raises the HttpError for a call that is refused.
        """
        # A form is another content type like any other: not to be parsed, and refused by the routes.
        super().__init__(resource, timeout=None, parsePOSTFormSubmission=False, **keywords)
        self.displayTracebacks = False
        self.meter = meter
        self.arriving = arriving
        self.admits = admits
        self.bounds = bounds
        self.bodies = Bodies(bounds.bodies)
        clock = self.reactor
        self.refusals = refusals or Refusals(clock, meter)
        self.door = Door(clock, bounds, is_trusted=is_trusted, refused=self.refusals.refused)
        self._precedence = Precedence(clock)
        self._turned_away: set[Any] = set()

    def buildProtocol(self, addr: Any) -> Any:
        """What serves a new connection; None closes it."""
        host = str(getattr(addr, "host", "a local socket"))
        reason = self.door.refuses(host)
        if reason is not None:
            if len(self._turned_away) >= TURNED_AWAY:
                return None
            message = "this address has" if reason is Refused.ADDRESS else "there are"
            error = HttpError(503, "too_many_connections", f"{message} too many connections; try again")
            return TurnedAway(self.reactor, error, self._turned_away)
        channel: Any = BoundedChannel(
            self.reactor, self.bounds, self.door, self._precedence, self.refusals.refused, host
        )
        channel.factory = channel.site = self
        channel.requestFactory = self.requestFactory
        channel.callLater = self.reactor.callLater
        channel.timeOut = None
        return channel

    def acceptableProtocols(self) -> list[bytes]:
        """HTTP/1.1 alone over TLS, too: with the package h2 beside it, twisted.web would offer what bounds nothing."""
        return [b"http/1.1"]

    def log(self, request: Any) -> None:
        """Nothing: outcomes are logged where they happen."""


def in_words(size: int) -> str:
    """So many bytes, for people."""
    for unit, name in ((MIB, "MiB"), (KIB, "KiB")):
        if size >= unit and not size % unit:
            return f"{size // unit} {name}"
    return f"{size} bytes"
