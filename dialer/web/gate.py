"""Who calls, and whether they may: asked of each request before anything of its body is looked at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from attrs import field, frozen
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.web.iweb import IRequest

from dialer.access.attempts import Attempts
from dialer.access.networks import Network, is_within, neighbourhood
from dialer.access.origins import Asked, Origins
from dialer.access.scope import EVERYTHING, Scope
from dialer.access.sessions import Session, Sessions
from dialer.access.tokens import Token, find
from dialer.web.answers import HttpError
from dialer.web.cookie import SessionCookie

_READING = (b"GET", b"HEAD", b"OPTIONS")

TOLD_EVERY = 60.0
"""Seconds in which the log tells at most once of each caller that it was refused."""


@frozen
class Caller:
    """Who calls, and what they may do."""

    name: str
    scopes: frozenset[Scope]
    session: Session | None = field(default=None, repr=False)
    """Of a browser that has signed in."""
    anybody: bool = False
    """They have shown nothing, and are let in for where they call from."""


_ANYBODY = Caller("anybody", EVERYTHING, anybody=True)


class Gate:
    """Lets in who shows one of `tokens`, has signed in with one, or calls from a network that is `trusted`; everybody
    where there are no tokens."""

    log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        tokens: Sequence[Token],
        trusted: Sequence[Network],
        origins: Origins,
        sessions: Sessions,
        cookie: SessionCookie,
    ) -> None:
        self._tokens = tokens
        self._trusted = trusted
        self._origins = origins
        self._sessions = sessions
        self._cookie = cookie
        self._told = Attempts(clock, most=1, seconds=TOLD_EVERY)

    @property
    def asks(self) -> bool:
        """Whether it asks for anything."""
        return bool(self._tokens)

    def caller(self, request: IRequest) -> Caller | None:
        """Who calls; None when they show nothing that they are known by."""
        if not self._tokens:
            return _ANYBODY
        shown = _bearer(request)
        token = None if shown is None else find(self._tokens, shown)
        if is_within(peer(request), self._trusted):
            return Caller("trusted network", EVERYTHING, anybody=token is None)
        if shown is not None:
            return None if token is None else Caller(token.name, token.scopes)
        session_id = self._cookie.of(request)
        session = None if session_id is None else self._sessions.find(session_id)
        return None if session is None else Caller(session.token.name, session.token.scopes, session)

    def admit(self, request: IRequest, method: bytes, scope: Scope | None, path: str) -> Caller | None:
        """Who calls what needs this scope, at the path as declared; None for somebody unknown where nothing is needed.

        Raises HttpError 401 for who is not known, and 403 for what they may not do.
        """
        caller = self.caller(request)
        if scope is None:
            return caller
        try:
            if caller is None:
                raise _unknown(_bearer(request) is not None)
            self.check_origin(request, method, caller)
            if scope not in caller.scopes:
                raise _forbidden(caller, scope)
        except HttpError as error:
            self._tell(request, method, path, error)
            raise
        return caller

    def check_origin(self, request: IRequest, method: bytes, caller: Caller) -> None:
        """Raises HttpError 403 for what a page of somebody else has a browser do.

        Who shows a token does so on purpose. What a browser adds by itself, a cookie or its user's place in the
        network, is no sign of that.
        """
        sent = asked(request)
        writes = method not in _READING
        if caller.session is not None and writes:
            self.check_own_page(request)
        elif caller.anybody and (sent.names_origin if writes else sent.by_browser):
            if not self._origins.is_known_host(sent):
                raise HttpError(
                    403,
                    "foreign_host",
                    "a browser has reached the dialer by a name that is not known to be its own: set PUBLIC_URL",
                    field="Host",
                )
            if writes:
                self.check_own_page(request)

    def check_own_page(self, request: IRequest) -> None:
        """Raises HttpError 403 unless a page of the dialer's own sent this."""
        if not self._origins.is_own(asked(request)):
            raise HttpError(
                403,
                "foreign_origin",
                "this was not sent by a page of this dialer: if it was, set PUBLIC_URL",
                field="Origin",
            )

    def token(self, shown: str) -> Token | None:
        """The token that is shown, if there is such a one."""
        return find(self._tokens, shown)

    def _tell(self, request: IRequest, method: bytes, path: str, error: HttpError) -> None:
        caller = peer(request)
        if self._told.note(neighbourhood(caller)):
            self.log.warn(
                "Refused {method} {path} from {peer} with {status}: {reason}",
                method=method.decode("latin-1"),
                path=path,
                peer=caller,
                status=error.status,
                reason=str(error),
            )


def may_read(request: IRequest) -> bool:
    """Whether who sent a request that is open to everybody may see more than everybody."""
    caller: Caller | None = getattr(request, "caller", None)
    return caller is not None and Scope.READ in caller.scopes


def counted_as(request: IRequest) -> str:
    """Whose the request is where requests are counted: a token's, or an address's when nothing is shown."""
    caller: Caller | None = getattr(request, "caller", None)
    return neighbourhood(peer(request)) if caller is None or caller.anybody else f"token {caller.name}"


def peer(request: IRequest) -> str:
    """The address at the other end of the connection. What headers say of others before it counts for nothing."""
    return str(getattr(cast(Any, request).getClientAddress(), "host", "a local socket"))


def asked(request: IRequest) -> Asked:
    """What a request says of the browser that sent it."""

    def header(name: str) -> str | None:
        value = request.getHeader(name.encode())
        return None if value is None else value.decode("latin-1")

    return Asked(*map(header, ("host", "origin", "sec-fetch-site", "sec-fetch-mode", "accept-language")))


def _bearer(request: IRequest) -> str | None:
    """The token that is sent, None if none is. Another scheme is for somebody else, such as a proxy."""
    scheme, _, shown = (request.getHeader(b"authorization") or b"").partition(b" ")
    return shown.strip().decode("latin-1") if scheme.lower() == b"bearer" else None


def _unknown(wrong: bool) -> HttpError:
    challenge = 'Bearer realm="dialer"' + (', error="invalid_token"' if wrong else "")
    message = "this token is not known" if wrong else "this needs a token: Authorization: Bearer"
    headers = {"WWW-Authenticate": challenge}
    return HttpError(401, "unauthorized", message, field="Authorization", headers=headers)


def _forbidden(caller: Caller, scope: Scope) -> HttpError:
    challenge = f'Bearer realm="dialer", error="insufficient_scope", scope="{scope}"'
    return HttpError(
        403,
        "forbidden",
        f"this needs the scope {scope}, which {caller.name} does not have",
        field="Authorization",
        headers={"WWW-Authenticate": challenge},
    )
