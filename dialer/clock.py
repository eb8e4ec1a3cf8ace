"""A clock that no change of the time of day moves."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from zope.interface import implementer


def _boot_time() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


_seconds = _boot_time if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic


@implementer(IReactorTime)
class MonotonicClock:
    """The reactor's timers with seconds that only go forward: the reactor itself goes by the time of day, and a lease
    or a call's age must not change with that."""

    def __init__(self, reactor: IReactorTime) -> None:
        self._reactor = reactor

    def seconds(self) -> float:
        """Seconds since some moment, those in which the machine slept included where the system counts them."""
        return _seconds()

    def callLater(self, delay: float, callable: Callable[..., Any], *args: object, **kw: object) -> IDelayedCall:
        """As the reactor's."""
        return self._reactor.callLater(delay, callable, *args, **kw)

    def getDelayedCalls(self) -> Sequence[IDelayedCall]:
        """As the reactor's."""
        return self._reactor.getDelayedCalls()
