"""A bell that wakes one sleeper: any number of rings before it looks count once."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime


class Bell:
    """Rung by many, waited for by one."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._rung = False
        self._sleeper: Deferred[None] | None = None

    def ring(self) -> None:
        """Wake the sleeper, or the next one that lies down; costs next to nothing."""
        self._rung = True
        if self._sleeper is not None:
            sleeper, self._sleeper = self._sleeper, None
            # Not from within the ringer: it may be about to ring again, or to change what the sleeper looks at.
            self._clock.callLater(0, sleeper.callback, None)

    async def wait(self, seconds: float) -> bool:
        """Wait for a ring, `seconds` at most; whether it rang since the last wait."""
        if not self._rung and seconds > 0:
            sleeper = self._sleeper = Deferred()
            timer = self._clock.callLater(seconds, self._time_up, sleeper)
            try:
                await sleeper
            finally:
                if timer.active():
                    timer.cancel()
        rung, self._rung = self._rung, False
        return rung

    def _time_up(self, sleeper: Deferred[None]) -> None:
        if self._sleeper is sleeper:
            self._sleeper = None
            sleeper.callback(None)
