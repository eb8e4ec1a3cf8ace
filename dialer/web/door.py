"""Who may have a connection: so many in all, and so many for each address.

Who finds all taken is let in for another who does nothing with theirs. So idle connections, however many, keep nobody
out. Some more are kept for who calls from this machine or from a network that is trusted.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable
from enum import IntEnum
from typing import Protocol

from attrs import define
from twisted.internet.interfaces import IReactorTime

from dialer.access.networks import address_of, neighbourhood
from dialer.meter import Refused
from dialer.web.bounds import Bounds


class State(IntEnum):
    """What a connection is about. Up to BODY it waits for its client, and may be closed for another."""

    HANDSHAKE = 0
    """Of TLS."""
    IDLE = 1
    HEAD = 2
    BODY = 3
    ANSWER = 4
    CLOSING = 5


PATIENCE = {State.IDLE: 0.0, State.HANDSHAKE: 2.0, State.HEAD: 2.0, State.BODY: 10.0}
"""Seconds for which nothing has come of it before a connection may be closed for another: handshakes and heads come
at once."""


class Guest(Protocol):
    """A connection."""

    host: str

    def make_room(self) -> None:
        """Be closed for another."""


@define
class _Place:
    state: State
    since: float


class Door:
    """Keeps count. `is_trusted` says of an address whether those that are reserved are for it, too."""

    def __init__(
        self,
        clock: IReactorTime,
        bounds: Bounds,
        *,
        is_trusted: Callable[[str], bool] = lambda _: False,
        refused: Callable[[Refused, str], None] = lambda *_: None,
    ) -> None:
        self._clock = clock
        self._bounds = bounds
        self._is_trusted = is_trusted
        self._refused = refused
        self._places: dict[Guest, _Place] = {}
        self._by_caller: Counter[str] = Counter()
        self._waiting: dict[State, OrderedDict[Guest, None]] = {state: OrderedDict() for state in PATIENCE}

    def __len__(self) -> int:
        return len(self._places)

    def refuses(self, host: str) -> Refused | None:
        """Why a new connection from there may not be had; None when it may, for which another may be closed."""
        special = self._is_trusted(host)
        if not special and self._by_caller[neighbourhood(host)] >= self._bounds.connections_per_address:
            return self._note(Refused.ADDRESS, host)
        if len(self._places) >= self._bounds.connections and not self._make_room():
            most = self._bounds.connections + self._bounds.connections_reserved
            if not (special or is_own(host)) or len(self._places) >= most:
                return self._note(Refused.CONNECTIONS, host)
        return None

    def enter(self, guest: Guest) -> None:
        """A connection is there."""
        self._places[guest] = _Place(State.IDLE, self._clock.seconds())
        self._by_caller[neighbourhood(guest.host)] += 1
        self._waiting[State.IDLE][guest] = None

    def move(self, guest: Guest, state: State) -> None:
        """It is about something else now, or has got on with the same."""
        place = self._places.get(guest)
        if place is None:
            return
        if place.state in PATIENCE:
            self._waiting[place.state].pop(guest)
        place.state, place.since = state, self._clock.seconds()
        if state in PATIENCE:
            self._waiting[state][guest] = None

    def leave(self, guest: Guest) -> None:
        """It is closed."""
        place = self._places.pop(guest, None)
        if place is None:
            return
        if place.state in PATIENCE:
            self._waiting[place.state].pop(guest)
        caller = neighbourhood(guest.host)
        self._by_caller[caller] -= 1
        if not self._by_caller[caller]:
            del self._by_caller[caller]

    def _make_room(self) -> bool:
        """Close the connection that has been idle for longest, or that gets on with nothing."""
        now = self._clock.seconds()
        for state, patience in PATIENCE.items():
            guest = next(iter(self._waiting[state]), None)
            if guest is not None and now - self._places[guest].since >= patience:
                self._note(Refused.MADE_ROOM, guest.host)
                self.leave(guest)
                guest.make_room()
                return True
        return False

    def _note(self, reason: Refused, host: str) -> Refused:
        self._refused(reason, host)
        return reason


def is_own(host: str) -> bool:
    """Whether this machine itself is calling."""
    address = address_of(host)
    return address is None or address.is_loopback  # None: a Unix socket
