"""An ordered shutdown that is over in time."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from dialer.store.deferred import shield

LEAST = 0.1
"""Seconds that each step gets, however long the ones before it took."""


class Shutdown:
    """Runs steps one after the other, all within `limit` seconds; a step that is late is left behind, and logged."""

    log = Logger()

    def __init__(self, clock: IReactorTime, limit: float) -> None:
        self._clock = clock
        self._end = clock.seconds() + limit

    async def step(self, name: str, work: Callable[[], Awaitable[object] | None], *, at_most: float = math.inf) -> None:
        """Run one step within `at_most` seconds and what is left of the time, but at least LEAST.

        Its failure does not stop the next.
        """
        patience = max(LEAST, min(at_most, self._end - self._clock.seconds()))
        late = False

        def give_up() -> None:
            nonlocal late
            late = True
            running.cancel()
            # It may not heed that.
            done.cancel()

        async def run() -> None:
            if (awaited := work()) is not None:
                await awaited

        running: Deferred[None] = Deferred.fromCoroutine(run())
        done = shield(running)
        timer = self._clock.callLater(patience, give_up)
        try:
            await done
        except CancelledError:
            if not late:
                running.cancel()
                raise
            self.log.error("Shutdown: {name} took longer than {patience:.1f} s", name=name, patience=patience)
        except Exception:
            self.log.failure("Shutdown: {name} failed", name=name)
        finally:
            if timer.active():
                timer.cancel()
