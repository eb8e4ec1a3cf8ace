"""HTTP of the sandbox: the voice connector's paths and, under `/sandbox`, its controls."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
from twisted.internet.defer import Deferred, succeed
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request, Site

from dialer.sandbox.vc.control import PREFIX, control

if TYPE_CHECKING:
    from dialer.sandbox.vc.connector import VoiceConnector

MAX_BODY = 1024 * 1024
"""Bytes; the bodies of this interface have a few hundred."""
MAX_OPEN = 1_000
"""Requests left hanging or slow at a time; one more is answered 503."""


class _QuietSite(Site):
    """A site whose access log is the ledger."""

    noisy = False

    def log(self, request: Any) -> None:
        """Say nothing."""


class VoiceConnectorSite(WrappingFactory[ProtocolWrapper]):
    """Serves one sandbox and knows its connections, so that `close` leaves none."""

    noisy = False

    def __init__(self, connector: VoiceConnector, reactor: Any) -> None:
        self._resource = _Everything(connector, reactor)
        # Every body is taken as it is: to look for a form in it, Twisted would read the content type as a mail's.
        site = _QuietSite(self._resource, reactor=reactor, parsePOSTFormSubmission=False)
        super().__init__(site)
        self._closed: Deferred[None] | None = None

    def unregisterProtocol(self, p: ProtocolWrapper) -> None:
        """Notice the last connection's end."""
        super().unregisterProtocol(p)
        if not self.protocols and self._closed is not None:
            closed, self._closed = self._closed, None
            closed.callback(None)

    def close(self) -> Deferred[None]:
        """Cut every connection; fires when none is left."""
        self._resource.close()
        if not self.protocols:
            return succeed(None)
        self._closed = Deferred()
        closed = self._closed
        for protocol in list(self.protocols):
            protocol.abortConnection()
        return closed


class _Everything(Resource):
    isLeaf = True

    def __init__(self, connector: VoiceConnector, reactor: Any) -> None:
        super().__init__()
        self._connector = connector
        self._reactor = reactor
        self._open: dict[Request, Any] = {}

    def render(self, request: Request) -> bytes | int:
        """Answer now, later, or never."""
        path = request.path.decode("utf-8", "replace")
        method = request.method.decode("ascii", "replace")
        if path == PREFIX or path.startswith(PREFIX + "/"):
            query = {
                name.decode("utf-8", "replace"): values[-1].decode("utf-8", "replace")
                for name, values in request.args.items()
            }
            status, shown = control(self._connector, method, path, query, _body(request))
            return _write(request, status, shown)
        raw = _body(request)
        if raw is None:
            return _write(request, 413, {"error": f"the body is longer than {MAX_BODY} bytes"})
        headers = {
            name.decode("latin-1").lower(): b", ".join(values).decode("latin-1")
            for name, values in request.requestHeaders.getAllRawHeaders()
        }
        answer = self._connector.receive(method, path, headers, raw)
        if answer.status is not None and not answer.delay:
            return _write(request, answer.status, answer.body)
        if len(self._open) >= MAX_OPEN:
            return _write(request, 503, {"error": f"{MAX_OPEN} requests are open already"})
        self._open[request] = None
        request.notifyFinish().addBoth(self._gone, request)
        if answer.status is not None:
            self._open[request] = self._reactor.callLater(
                answer.delay, self._finish, request, answer.status, answer.body
            )
        return NOT_DONE_YET

    def close(self) -> None:
        """Answer nobody any more."""
        for request in list(self._open):
            self._gone(None, request)

    def _finish(self, request: Any, status: int, body: dict[str, Any]) -> None:
        self._open[request] = None
        request.write(_write(request, status, body))
        request.finish()

    def _gone(self, _: object, request: Request) -> None:
        call = self._open.pop(request, None)
        if call is not None and call.active():
            call.cancel()


def _body(request: Any) -> bytes | None:
    """The body; None when it is too long."""
    raw: bytes = request.content.read(MAX_BODY + 1)
    return None if len(raw) > MAX_BODY else raw


def _write(request: Any, status: int, shown: object) -> bytes:
    request.setResponseCode(status)
    request.setHeader(b"content-type", b"application/json")
    return orjson.dumps(shown)
