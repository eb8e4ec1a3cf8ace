"""Signing in with a browser: a token is shown once, and a cookie stands for it until it is taken back or expires."""

from __future__ import annotations

from typing import Annotated, Any, cast

from pydantic import Field
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.web.iweb import IRequest

from dialer.access.attempts import Attempts
from dialer.access.networks import neighbourhood
from dialer.access.origins import is_secure
from dialer.access.scope import Scope
from dialer.access.sessions import Sessions
from dialer.access.tokens import LONGEST, Token
from dialer.web.answers import HttpError
from dialer.web.cookie import SessionCookie
from dialer.web.endpoint import endpoint
from dialer.web.gate import Gate, asked, peer
from dialer.web.posted import posted
from dialer.web.schema import Invalid
from dialer.web.shown import Shown

WRONG_TRIES = 10
"""Wrong tokens that one caller may try within WITHIN. Nobody mistypes more often what is pasted."""

WITHIN = 60.0
"""Seconds."""


class Visitor(Shown):
    """Who looks at the pages, and what they may do there."""

    name: str | None
    scopes: Annotated[list[Scope], Field(description="none: sign in first")]
    signed_in: Annotated[bool, Field(description="whether there is a session that can be ended")]
    problem: Annotated[str | None, Field(description="why nothing is shown to anybody who looks from there")]


class SignIn:
    """Begins and ends sessions. A token without the scope `read` gets none: the pages would show nothing."""

    log = Logger()

    def __init__(self, clock: IReactorTime, gate: Gate, sessions: Sessions, cookie: SessionCookie) -> None:
        self._gate = gate
        self._sessions = sessions
        self._cookie = cookie
        self._wrong = Attempts(clock, most=WRONG_TRIES, seconds=WITHIN)

    @endpoint("GET", "/session", scope=None, answers=Visitor, for_browsers=True)
    async def get_session(self, request: IRequest) -> object:
        """Who the browser is signed in as, if that is needed."""
        _keep_out_of_caches(request)
        caller = self._gate.caller(request)
        if caller is None:
            return _visitor()
        try:
            self._gate.check_origin(request, b"GET", caller)
        except HttpError as error:
            return _visitor(problem=str(error))
        return _visitor(caller.name, sorted(caller.scopes), signed_in=caller.session is not None)

    @endpoint(
        "POST",
        "/session",
        scope=None,
        takes=dict[str, str],
        answers=Visitor,
        errors=[400, 401, 403, 413, 415, 429],
        for_browsers=True,
    )
    async def post_session(self, request: IRequest) -> object:
        """Sign in with a token."""
        _keep_out_of_caches(request)
        self._gate.check_own_page(request)
        token = self._token(request, _shown(posted(request)))
        self._forget(request)
        session_id = self._sessions.begin(token)
        secure = is_secure(asked(request).origin)
        self._cookie.set(request, session_id, seconds=self._sessions.lifetime, secure=secure)
        self.log.info("{name} has signed in from {peer}", name=token.name, peer=peer(request))
        return _visitor(token.name, sorted(token.scopes), signed_in=True)

    @endpoint("DELETE", "/session", scope=None, answers=Visitor, errors=[403], for_browsers=True)
    async def delete_session(self, request: IRequest) -> object:
        """Sign out."""
        _keep_out_of_caches(request)
        self._gate.check_own_page(request)
        self._forget(request)
        self._cookie.forget(request)
        return _visitor()

    def _token(self, request: IRequest, shown: str) -> Token:
        caller = neighbourhood(peer(request))
        if wait := self._wrong.wait(caller):
            raise HttpError(
                429,
                "too_many_tries",
                f"too many wrong tokens came from there; try again in {wait} s",
                headers={"Retry-After": str(wait)},
            )
        token = self._gate.token(shown)
        if token is None:
            if self._wrong.note(caller):
                self.log.warn("A wrong token was tried at the sign-in from {peer}", peer=peer(request))
            raise HttpError(401, "unauthorized", "this token is not known", field="token")
        if Scope.READ not in token.scopes:
            raise HttpError(403, "forbidden", f"{token.name} does not have the scope {Scope.READ}", field="token")
        return token

    def _forget(self, request: IRequest) -> None:
        """End the session that there is."""
        session_id = self._cookie.of(request)
        session = None if session_id is None else self._sessions.find(session_id)
        if session_id is not None and session is not None:
            self.log.info("{name} has signed out from {peer}", name=session.token.name, peer=peer(request))
            self._sessions.end(session_id)


def _shown(body: object) -> str:
    token = body.get("token") if isinstance(body, dict) else None
    # Pasted text has a line break at its end.
    if not isinstance(token, str) or not 0 < len(token.strip()) <= LONGEST:
        raise Invalid(f"token must be a text of 1 to {LONGEST} characters", field="token")
    return token.strip()


def _visitor(
    name: str | None = None, scopes: list[Scope] | None = None, *, signed_in: bool = False, problem: str | None = None
) -> object:
    return {"name": name, "scopes": scopes or [], "signedIn": signed_in, "problem": problem}


def _keep_out_of_caches(request: IRequest) -> None:
    cast(Any, request).setHeader(b"cache-control", b"no-store")
