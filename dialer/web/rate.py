"""How many requests each caller may make: so many a second, and what was saved up before."""

from __future__ import annotations

import math
from collections import OrderedDict

from twisted.internet.interfaces import IReactorTime

from dialer.access.networks import neighbourhood
from dialer.web.answers import HttpError
from dialer.web.endpoint import Endpoint, Scope

SAVED = 5.0
"""Seconds of which a caller may have saved up the requests: a burst is no flood."""

KEPT = 10_000
"""Callers that are remembered, some 2 MB. Past them the one that called longest ago is forgotten, and begins anew."""


class Rates:
    """A bucket for each caller; `rate` is in requests per second, 0 for as many as they like."""

    def __init__(self, clock: IReactorTime, rate: float) -> None:
        self._clock = clock
        self._rate = rate
        self._full = max(1.0, rate * SAVED)
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, caller: str) -> None:
        """This caller makes a request. Raises HttpError 429 for one too many, which says when the next may be made."""
        if not self._rate:
            return
        now = self._clock.seconds()
        left, since = self._buckets.get(caller, (self._full, now))
        left = min(self._full, left + (now - since) * self._rate)
        allowed = left >= 1.0
        self._buckets[caller] = (left - 1.0 if allowed else left, now)
        self._buckets.move_to_end(caller)
        if len(self._buckets) > KEPT:
            self._buckets.popitem(last=False)
        if not allowed:
            wait = max(1, math.ceil((1.0 - left) / self._rate))
            message = f"more than {self._rate:g} requests a second; wait {wait} s"
            raise TooMany(429, "too_many_requests", message, headers={"Retry-After": str(wait)})


class TooMany(HttpError):
    """Too many requests of one caller."""


PROBES = ("/healthz", "/readyz")
"""What is answered however often it is asked: a dialer whose probe is refused would be taken for dead."""


class Admission:
    """Who may make a request now. Replies to agent requests come as fast as calls are dialed, from one caller, and are
    counted for themselves. So are calls that are refused: who has a token is not kept out by somebody who guesses at
    the same address."""

    def __init__(self, clock: IReactorTime, rate: float, *, calls_per_second: float) -> None:
        self._requests = Rates(clock, rate)
        self._replies = Rates(clock, rate and max(rate, 2 * calls_per_second))
        self._denied = Rates(clock, rate)

    def admit(self, caller: str, endpoint: Endpoint) -> None:
        """Raises TooMany. `caller` is an address, or the name of a token."""
        if endpoint.path not in PROBES:
            (self._replies if endpoint.scope is Scope.AGENT else self._requests).take(neighbourhood(caller))

    def deny(self, address: str) -> None:
        """A call from there is refused, as nobody knows who makes it or as they may not. Raises TooMany."""
        self._denied.take(neighbourhood(address))
