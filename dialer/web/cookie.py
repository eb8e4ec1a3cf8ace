"""The cookie of who has signed in."""

from __future__ import annotations

from hashlib import sha256
from typing import Any, cast

from twisted.web.iweb import IRequest

_SECURE = b"__Host-"
"""Browsers take a cookie of such a name from nowhere but this very host, over TLS."""


class SessionCookie:
    """Named after the dialer: browsers give a cookie to every port of a host, and another dialer may be at one."""

    def __init__(self, dialer: str) -> None:
        self._name = b"dialer-" + sha256(dialer.encode()).hexdigest()[:12].encode()

    def of(self, request: IRequest) -> str | None:
        """The id of the session, if one is sent."""
        for name in (_SECURE + self._name, self._name):
            if (value := request.getCookie(name)) is not None:
                return str(value, "latin-1")
        return None

    def set(self, request: IRequest, session_id: str, *, seconds: float, secure: bool) -> None:
        """Have the browser keep it so long, out of the reach of scripts, and send it with nothing that other sites ask
        for; `secure`: over TLS only."""
        self._add(request, session_id, int(seconds), secure=secure)

    def forget(self, request: IRequest) -> None:
        """Have the browser forget it."""
        for secure in (True, False):
            self._add(request, "", 0, secure=secure)

    def _add(self, request: IRequest, value: str, seconds: int, *, secure: bool) -> None:
        cast(Any, request).addCookie(
            (_SECURE if secure else b"") + self._name,
            value.encode(),
            path=b"/",
            max_age=b"%d" % seconds,
            secure=secure,
            httpOnly=True,
            sameSite=b"strict",
        )
