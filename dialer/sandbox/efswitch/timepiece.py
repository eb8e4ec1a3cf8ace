"""The switch's time: since 1970, since its start, and what is to happen later."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from twisted.internet.interfaces import IDelayedCall, IReactorTime

EPOCH: Final = 1_700_000_000.0
"""Where a clock that starts near 0, as those of tests do, is taken to start; a time of 0 means never on the wire."""


class Timepiece:
    """Reads a clock, and owns the delayed calls that nobody else cancels."""

    def __init__(self, clock: IReactorTime) -> None:
        self.clock = clock
        self._epoch = 0.0 if clock.seconds() > EPOCH / 2 else EPOCH
        self._timers: set[IDelayedCall] = set()
        self.started = self.time()

    def time(self) -> float:
        """Unix time in seconds."""
        return self._epoch + self.clock.seconds()

    def now(self) -> int:
        """Microseconds since 1970."""
        return int((self._epoch + self.clock.seconds()) * 1_000_000)

    def uptime(self) -> float:
        """Seconds since the start of the switch."""
        return self.time() - self.started

    def start_anew(self) -> None:
        """Count the uptime from now."""
        self.started = self.time()

    def later(self, seconds: float, act: Callable[..., object], *arguments: object) -> IDelayedCall:
        """Call `act` after so many seconds, unless the simulator is stopped before."""

        def fire() -> None:
            self._timers.discard(timer)
            act(*arguments)

        timer = self.clock.callLater(seconds, fire)
        self._timers.add(timer)
        return timer

    def forget(self, timer: IDelayedCall) -> None:
        """Cancel one delayed call."""
        self._timers.discard(timer)
        if timer.active():
            timer.cancel()

    def stop(self) -> None:
        """Cancel all that was to happen later."""
        for timer in tuple(self._timers):
            self.forget(timer)
