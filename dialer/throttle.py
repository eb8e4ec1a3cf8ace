"""Waiting for one's turn to dial: the pace of `dialer.pacing`, with a clock."""

from __future__ import annotations

import math
from collections import OrderedDict
from types import TracebackType

from twisted.internet.defer import CancelledError, Deferred, fail
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.task import deferLater

from dialer.errors import DialerError
from dialer.pacing import Pace

LOOK_AGAIN = 0.05
"""Seconds after which `soon` looks again at the latest: what is outstanding may be settled at any time."""


class ThrottleClosed(DialerError):
    """No more turns are given: the dialer is stopping."""


class Permit:
    """The right to send one originate. Say `used` when it is sent, or `unused` when it will not be: what is said first
    holds, the rest is ignored, and while neither is said it counts against the rate. As a context manager it says
    `unused` at the end."""

    def __init__(self, throttle: Throttle) -> None:
        self._throttle: Throttle | None = throttle

    @property
    def settled(self) -> bool:
        """Whether it was used or given back."""
        return self._throttle is None

    def used(self) -> None:
        """The originate is being sent now."""
        if throttle := self._take():
            throttle._used()

    def unused(self) -> None:
        """Nothing will be sent."""
        if throttle := self._take():
            throttle._unused()

    def _take(self) -> Throttle | None:
        throttle, self._throttle = self._throttle, None
        return throttle

    def __enter__(self) -> Permit:
        """Enter the block in which it is used or not."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give it back unless it was used."""
        self.unused()


class Throttle:
    """Hands out permits at `rate` per second (see Pace), first come first served.

    The queue is as long as the callers make it: each waits for no more permits than it has call slots or open requests.
    """

    def __init__(self, clock: IReactorTime, rate: float) -> None:
        self._clock = clock
        self._pace = Pace(rate)
        # Ordered dictionaries as queues: whoever gives up in the middle is found without a search.
        self._first: OrderedDict[Deferred[Permit], None] = OrderedDict()
        self._others: OrderedDict[Deferred[Permit], None] = OrderedDict()
        self._timer: IDelayedCall | None = None
        self._due = math.inf
        self._pauses: set[Deferred[None]] = set()
        self._granting = False
        self._closed = False
        self._waited_at = -math.inf

    @property
    def rate(self) -> float:
        """Permits per second; raises ValueError when set to 0 or less. A new rate holds for those who wait, too."""
        return self._pace.rate

    @rate.setter
    def rate(self, rate: float) -> None:
        self._pace.rate = rate
        self._grant()

    @property
    def waiting(self) -> int:
        """How many callers wait for their turn."""
        return len(self._first) + len(self._others)

    def waited_for(self) -> float:
        """Seconds since a caller last had to wait for its turn: 0 while one waits, infinite when none ever did."""
        return 0.0 if self.waiting or self._pauses else self._clock.seconds() - self._waited_at

    def acquire(self, *, first: bool = False) -> Deferred[Permit]:
        """Fires with a permit when it is the caller's turn; those with `first` go before all others, those too who have
        come close to their turn by `soon`.

        Whoever gets one must settle it. Cancelling gives the turn to the next. Fails with ThrottleClosed when the
        throttle is closed before.
        """
        if self._closed:
            return fail(ThrottleClosed())
        waiter: Deferred[Permit] = Deferred(self._give_up)
        (self._first if first else self._others)[waiter] = None
        self._grant()
        return waiter

    async def soon(self, lead: float) -> None:
        """Returns when a permit for one more caller is at most `lead` seconds away, as far as is known.

        For who has something to do before its turn. Fails with ThrottleClosed, as `acquire` does.
        """
        while not self._closed:
            now = self._clock.seconds()
            away = self._pace.earliest(now) - now + self.waiting / self.rate
            if away <= lead:
                return
            pause: Deferred[None] = deferLater(self._clock, min(away - lead, LOOK_AGAIN))
            self._pauses.add(pause)
            try:
                await pause
            except CancelledError:
                if not self._closed:
                    raise
            finally:
                self._pauses.discard(pause)
                self._waited_at = self._clock.seconds()
        raise ThrottleClosed

    def close(self) -> None:
        """Turn everybody away who waits or comes later. Permits that are out stay good."""
        self._closed = True
        for pause in list(self._pauses):
            pause.cancel()
        waiters = [*self._first, *self._others]
        self._first.clear()
        self._others.clear()
        self._schedule()
        for waiter in waiters:
            # One that is turned away may cancel another.
            if not waiter.called:
                waiter.errback(ThrottleClosed())

    def _give_up(self, waiter: Deferred[Permit]) -> None:
        self._first.pop(waiter, None)
        self._others.pop(waiter, None)
        self._schedule()

    def _used(self) -> None:
        self._pace.used(self._clock.seconds())
        self._grant()

    def _unused(self) -> None:
        self._pace.unused()
        self._grant()

    def _grant(self) -> None:
        """Serve those whose turn it is. Who gets a permit may acquire, settle or cancel before this returns."""
        if self._granting:
            return
        self._granting = True
        try:
            while self.waiting:
                now = self._clock.seconds()
                if self._pace.earliest(now) > now:
                    self._waited_at = now
                    break
                waiter, _ = (self._first or self._others).popitem(last=False)
                self._pace.grant(now)
                waiter.callback(Permit(self))
        finally:
            self._granting = False
        self._schedule()

    def _schedule(self) -> None:
        """Keep one timer while somebody waits; none while only a settled permit can help."""
        now = self._clock.seconds()
        due = self._pace.earliest(now) if self.waiting else math.inf
        if self._timer is not None:
            if due == self._due:
                return
            self._timer.cancel()
            self._timer = None
        if due < math.inf:
            self._due = due
            self._timer = self._clock.callLater(max(0.0, due - now), self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self._grant()
