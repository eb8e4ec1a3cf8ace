"""The HTTP interface (SPEC 3): the routes of all endpoints, and what becomes of what they return or fail with."""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
from contextlib import suppress
from functools import partial
from typing import Any, cast

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.web.iweb import IRequest
from werkzeug.exceptions import HTTPException, MethodNotAllowed, NotFound

from dialer.access.scope import Scope
from dialer.access.sessions import Session
from dialer.agents import EFSwitchDown, NotWaiting, Stopping, UnknownContact
from dialer.lists.columns import ListError
from dialer.meter import Refused
from dialer.placing import NotReady
from dialer.settlement import Dropped
from dialer.store.contacts import ContactClash
from dialer.store.database import DatabaseError
from dialer.store.outbox import NotResendable
from dialer.store.share import Busy
from dialer.throttle import ThrottleClosed
from dialer.web.answers import Answer, Content, HttpError, finish, no_database, write_content, write_error, write_json
from dialer.web.campaigns import Campaigns
from dialer.web.contacts import Contacts
from dialer.web.docs import Docs
from dialer.web.endpoint import Endpoint, endpoints_of, template_of
from dialer.web.explain import Explain
from dialer.web.gate import Caller, Gate, counted_as, peer
from dialer.web.health import Health
from dialer.web.incoming import BodyLost
from dialer.web.listing import Listing
from dialer.web.metrics import Metrics
from dialer.web.notifications import Notifications
from dialer.web.pages import Pages, TooManyViewers
from dialer.web.posted import media_type
from dialer.web.rate import TooMany
from dialer.web.replies import Replies
from dialer.web.results import Results
from dialer.web.routes import Routes
from dialer.web.schema import Invalid, TooLong
from dialer.web.signin import SignIn
from dialer.web.site import NO_ROUTE
from dialer.web.streaming import Stream, Streamed

ENDPOINTS: Sequence[Endpoint] = [
    each
    for group in (
        Contacts,
        Replies,
        Campaigns,
        Results,
        Listing,
        Notifications,
        Explain,
        Health,
        Metrics,
        SignIn,
        Docs,
        Pages,
    )
    for each in endpoints_of(group)
]
"""Everything that is served."""


class Api:
    """Serves the endpoints that these groups declare, each an instance of a class with `endpoint` methods."""

    log = Logger()

    def __init__(
        self,
        groups: Sequence[object],
        gate: Gate,
        *,
        admit: Callable[[str, Endpoint], None] = lambda *_: None,
        deny: Callable[[str], None] = lambda _: None,
        refused: Callable[[Refused, str], None] = lambda *_: None,
    ) -> None:
        """`admit` raises TooMany for one request too many of a caller, and `deny` for one too many from an address that
        the gate refuses; `refused` is told of who met a limit."""
        self._gate = gate
        self._admit = admit
        self._deny = deny
        self._refused = refused
        self._streams: set[Stream] = set()
        self._by_route: dict[str, Endpoint] = {}
        self._arriving: dict[tuple[bytes, bytes], Set[str]] = {}
        """The content types of bodies that are taken as they arrive, by method and path."""
        self._routes = Routes()
        for group in groups:
            for each in endpoints_of(group):
                self._add(each, group)

    def resource(self) -> Any:
        """The root resource for a Site."""
        return self._routes.resource(self._no_route)

    def arriving(self, method: bytes, path: bytes, content_type: bytes) -> bool:
        """Whether such a request's body is taken as it arrives."""
        kinds = self._arriving.get((method, path))
        return kinds is not None and media_type(content_type) in kinds

    def close(self) -> None:
        """End the answers that are still being written: some never end by themselves."""
        for stream in tuple(self._streams):
            stream.break_off()

    def _add(self, endpoint: Endpoint, group: object) -> None:
        handler = getattr(group, endpoint.name)
        template = template_of(endpoint.path)

        def serve(request: IRequest, **parts: str) -> None:
            cast(Any, request).route = template
            Deferred.fromCoroutine(self._serve(endpoint, handler, request, parts))

        if endpoint.arriving:
            self._arriving[endpoint.method.encode(), endpoint.path.encode()] = endpoint.arriving
        for path in endpoint.paths:
            name = f"{endpoint.method} {path}"
            self._by_route[name] = endpoint
            self._routes.add(endpoint.method, path, name, serve)

    def admits(self, request: IRequest, method: bytes, path: bytes) -> bool:
        """Whether it is known who sends a request of which the head is there; for a Site.

        Raises the HttpError for a call that they may not make. Nobody unknown is to send much, whatever the path is.
        """
        scope, declared = None, NO_ROUTE
        with suppress(HTTPException):
            name, _ = self._routes.find(method, path)
            endpoint = self._by_route[name]
            scope, declared = endpoint.scope, template_of(endpoint.path)
        cast(Any, request).route = declared
        try:
            return self._let_in(request, method, scope, declared) is not None
        except HttpError as error:
            self._note(request, error)
            raise

    def _let_in(self, request: IRequest, method: bytes, scope: Scope | None, declared: str) -> Caller | None:
        """What the gate says. From where it refuses too much, TooMany is raised in place of its own error."""
        try:
            return self._gate.admit(request, method, scope, declared)
        except HttpError:
            self._deny(peer(request))
            raise

    async def _serve(
        self, endpoint: Endpoint, handler: Callable[..., Any], request: Any, parts: dict[str, str]
    ) -> None:
        """Answer whatever happens, and finish the work though the client goes away meanwhile."""
        left: list[object] = []
        request.notifyFinish().addErrback(left.append)
        answer = await self._answer(endpoint, handler, request, parts)
        if left:
            return
        if isinstance(answer, bytes):
            finish(request, answer)
        else:
            answer()

    async def _answer(
        self, endpoint: Endpoint, handler: Callable[..., Any], request: Any, parts: dict[str, str]
    ) -> bytes | Callable[[], None]:
        """The body of the answer, or what begins to write one piece by piece."""
        try:
            caller = request.caller = self._let_in(request, request.method, endpoint.scope, request.route)
            self._admit(counted_as(request), endpoint)
            value = await handler(request, **parts)
            if isinstance(value, Streamed):
                return partial(self._stream, None if caller is None else caller.session, request, value)
            if isinstance(value, Content):
                return write_content(request, value)
            answer = value if isinstance(value, Answer) else Answer(200, value)
            return write_json(request, answer.body, answer.status)
        except Exception as error:
            self._note(request, error)
            return write_error(request, self._http_error(error))

    def _note(self, request: IRequest, error: Exception) -> None:
        """Tell of what was refused for a limit."""
        match error:
            case TooMany():
                self._refused(Refused.RATE, peer(request))
            case TooLong():
                self._refused(Refused.LIST_LENGTH, peer(request))
            case TooManyViewers():
                self._refused(Refused.VIEWERS, peer(request))
            case Busy() | HttpError(__cause__=Busy()):
                self._refused(Refused.BUSY, peer(request))

    def _stream(self, session: Session | None, request: Any, streamed: Streamed) -> None:
        """Write a stream in the background, until it has ended, its client has gone, or the session that asked for it
        has ended."""
        stream = Stream(request, streamed)
        self._streams.add(stream)
        request.notifyFinish().addErrback(lambda _: stream.stop())
        leave = session.when_ended(stream.break_off) if session is not None else lambda: None

        async def write() -> None:
            try:
                await stream.write()
            except Exception as error:
                answer = write_error(request, self._http_error(error))
                if not stream.gone:
                    finish(request, answer)
            finally:
                leave()
                self._streams.discard(stream)

        Deferred.fromCoroutine(write())

    def _http_error(self, error: Exception) -> HttpError:
        match error:
            case HttpError():
                return error
            case BodyLost():
                return HttpError(400, "broken_off", str(error))
            case ListError():
                return HttpError(400, "invalid", str(error), field=error.field)
            case Invalid():
                return HttpError(400, "invalid", str(error), field=error.field, index=error.index)
            case ContactClash():
                return HttpError(409, "conflict", str(error), field="id", index=error.index)
            case UnknownContact():
                return HttpError(404, "not_found", str(error), field="uuid")
            case NotWaiting():
                return HttpError(409, "not_waiting", str(error))
            case NotResendable():
                return HttpError(409, "not_resendable", str(error), field="id")
            case NotReady():
                return HttpError(503, "not_ready", str(error))
            case EFSwitchDown():
                return HttpError(500, "efswitch_down", str(error))
            case DatabaseError():
                return no_database(error)
            case Stopping() | Dropped() | ThrottleClosed():
                return HttpError(503, "stopping", "the dialer is stopping; try again")
        self.log.failure("Request failed")
        return HttpError(500, "internal", "an unexpected error occurred; the log tells more")

    def _no_route(self, request: IRequest, problem: HTTPException) -> None:
        """Unknown paths and wrong methods, in JSON like every error."""
        match problem:
            case MethodNotAllowed():
                allowed = ", ".join(sorted(problem.valid_methods or ()))
                request.setHeader(b"allow", allowed.encode())
                error = HttpError(405, "method_not_allowed", f"this path takes {allowed}")
            case NotFound():
                error = HttpError(404, "not_found", "there is no such path")
            case _:
                error = HttpError(problem.code or 500, "http", problem.description or "refused")
        finish(request, write_error(request, error))
