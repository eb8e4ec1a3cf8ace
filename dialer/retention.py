"""Removes what is old, a little at a time: first at the start, then every so often."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger

from dialer.store.database import DatabaseError
from dialer.store.retention import Page, Place

EVERY = 3600.0
"""Seconds from the end of one round to the next: what 300 calls per second leave in it is removed in four minutes."""

AGAIN = 60.0
"""Seconds until a round is begun again that the database did not let end."""

PAUSE = 0.1
"""Seconds between two pages: many times what a page takes, so that nothing else waits for the database."""

Remove = Callable[[float, Place | None], Awaitable[Page]]
"""`remove(days, after)`: the first page, or the one after that place."""


class Retention(Service):
    """Keeps what is younger than `days`; with 0 it keeps all.

    `kinds` are the things that grow old, each with its name for the log; they are dealt with in this order.
    """

    log = Logger()
    name = "retention"

    def __init__(self, clock: IReactorTime, kinds: Sequence[tuple[str, Remove]], *, days: float) -> None:
        self._clock = clock
        self._kinds = kinds
        self._days = days
        self._running: Deferred[None] | None = None

    def startService(self) -> None:
        """Begin the first round."""
        super().startService()
        if self._days:
            self._running = Deferred.fromCoroutine(self._run())
            self._running.addErrback(lambda failure: failure.trap(CancelledError) and None)

    def stopService(self) -> None:
        """Begin no further page; one under way ends by itself, before the database stops."""
        super().stopService()
        if self._running is not None:
            self._running.cancel()
            self._running = None

    async def _run(self) -> None:
        while True:
            complete = [await self._remove(name, remove) for name, remove in self._kinds]
            await deferLater(self._clock, EVERY if all(complete) else AGAIN)

    async def _remove(self, name: str, remove: Remove) -> bool:
        """Go through one kind; whether to the end."""
        removed = 0
        place: Place | None = None
        try:
            while True:
                page = await remove(self._days, place)
                removed += page.removed
                place = page.end
                if place is None:
                    return True
                await deferLater(self._clock, PAUSE)
        except DatabaseError as error:
            self.log.warn("Old {name} stay for now: {error}", name=name, error=error)
        except CancelledError:
            raise
        except Exception:
            self.log.failure("Old {name} were not removed", name=name)
        finally:
            if removed:
                self.log.info(
                    "Removed {removed} {name} older than {days:g} days", removed=removed, name=name, days=self._days
                )
        return False
