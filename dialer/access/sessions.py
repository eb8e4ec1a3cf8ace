"""Who has signed in with a browser: kept in memory, so that signing out ends a session wherever its cookie is.

A restart ends them all, and each dialer has its own. They are found by the hash of a random id that only the cookie
holds.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from hashlib import sha256
from secrets import token_urlsafe

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from dialer.access.tokens import Token

MOST = 1000
"""Sessions at the same time, less than 1 MB; past them the oldest ends. Nobody makes one without a token."""


class Session:
    """One of them. `on_end` are called once, when it ends."""

    def __init__(self, token: Token) -> None:
        self.token = token
        self._on_end: set[Callable[[], None]] = set()

    def when_ended(self, call: Callable[[], None]) -> Callable[[], None]:
        """Have something called when it ends; the function that is returned takes that back."""
        self._on_end.add(call)
        return lambda: self._on_end.discard(call)

    def ended(self) -> None:
        """Tell those who want to know."""
        on_end, self._on_end = self._on_end, set()
        for call in on_end:
            call()


class Sessions:
    """Each lasts `lifetime` seconds, whatever is done in it, unless it is ended before."""

    def __init__(self, clock: IReactorTime, lifetime: float) -> None:
        self._clock = clock
        self.lifetime = lifetime
        self._sessions: OrderedDict[bytes, tuple[Session, IDelayedCall]] = OrderedDict()

    def begin(self, token: Token) -> str:
        """Begin one; its id."""
        session_id = token_urlsafe(32)
        key = _key(session_id)
        if len(self._sessions) >= MOST:
            self._end(next(iter(self._sessions)))
        self._sessions[key] = (Session(token), self._clock.callLater(self.lifetime, self._end, key))
        return session_id

    def find(self, session_id: str) -> Session | None:
        """The session of this id, if it has not ended."""
        found = self._sessions.get(_key(session_id))
        return None if found is None else found[0]

    def end(self, session_id: str) -> None:
        """End it, if it has not ended yet."""
        self._end(_key(session_id))

    def close(self) -> None:
        """End all."""
        for key in list(self._sessions):
            self._end(key)

    def _end(self, key: bytes) -> None:
        session, expiry = self._sessions.pop(key, (None, None))
        if expiry is not None and expiry.active():
            expiry.cancel()
        if session is not None:
            session.ended()


def _key(session_id: str) -> bytes:
    return sha256(session_id.encode("utf-8", "surrogateescape")).digest()
