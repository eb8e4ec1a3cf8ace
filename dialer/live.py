"""A picture of the dialer once a second for all who look, however many; none is taken while nobody does."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable

from attrs import frozen
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger

from dialer.bell import Bell
from dialer.errors import DialerError
from dialer.picture import Picture

EVERY = 1.0
"""Seconds between two pictures."""

MOST = 200
"""Who may look at the same time. Each costs a comparison of two pictures a second, and a connection."""

MOST_OF_ONE = MOST // 2
"""How many of them one caller may be, so that nobody keeps all others out by looking: all who share a token, or an
address."""


class TooManyLook(DialerError):
    """As many as may look at the dialer at the same time do."""


class OneLooksTooMuch(TooManyLook):
    """One caller looks at the dialer as many times as it may."""


@frozen(eq=False)
class Shot:
    """A picture that differs from the one before it."""

    number: int
    picture: Picture


class Live:
    """Takes pictures with `take` as long as anybody looks."""

    log = Logger()

    def __init__(self, clock: IReactorTime, take: Callable[[], Awaitable[Picture]]) -> None:
        self._clock = clock
        self._take = take
        self._viewers: set[Viewer] = set()
        self._by_caller: Counter[str] = Counter()
        self._pause: Deferred[None] | None = None
        self._at_work = False
        self._number = 0
        self.latest: Shot | None = None
        """The last shot; None when none was taken since somebody looks."""

    def look(self, caller: str) -> Viewer:
        """Begin to look. Raises TooManyLook, and OneLooksTooMuch when that is this caller's own doing."""
        if self._by_caller.get(caller, 0) >= MOST_OF_ONE:
            raise OneLooksTooMuch(f"{caller} already looks at this dialer {MOST_OF_ONE} times")
        if len(self._viewers) >= MOST:
            raise TooManyLook(f"{MOST} already look at this dialer")
        viewer = Viewer(self, Bell(self._clock), caller)
        self._viewers.add(viewer)
        self._by_caller[caller] += 1
        if not self._at_work:
            self._at_work = True
            Deferred.fromCoroutine(self._work())
        return viewer

    def leave(self, viewer: Viewer) -> None:
        """It looks no more, having looked until now."""
        self._viewers.discard(viewer)
        self._by_caller[viewer.caller] -= 1
        if not self._by_caller[viewer.caller]:
            del self._by_caller[viewer.caller]
        if not self._viewers and self._pause is not None:
            self._pause.cancel()

    async def _work(self) -> None:
        try:
            while self._viewers:
                await self._shoot()
                if self._viewers:
                    self._pause = deferLater(self._clock, EVERY)
                    await self._pause
        except CancelledError:
            pass
        finally:
            self._pause = None
            self._at_work = False
            self.latest = None

    async def _shoot(self) -> None:
        try:
            picture = await self._take()
        except CancelledError:
            self.log.debug("No picture was taken: the dialer stops")
            return
        except Exception:
            self.log.failure("No picture of the dialer could be taken")
            return
        if self.latest is None or self.latest.picture != picture:
            self._number += 1
            self.latest = Shot(self._number, picture)
            for viewer in self._viewers:
                viewer.ring()


class Viewer:
    """Who looks: told that there is a new shot, and never kept more than the latest for."""

    def __init__(self, live: Live, bell: Bell, caller: str) -> None:
        self._live = live
        self._bell = bell
        self.caller = caller
        self.gone = False

    async def next(self, seen: Shot | None, seconds: float) -> Shot | None:
        """The latest shot once it is another than `seen`; None when there is none within so many seconds, or it has
        gone meanwhile."""
        while self._live.latest is None or self._live.latest is seen:
            # One that was rung for what has been seen since says nothing.
            if not await self._bell.wait(seconds) or self.gone:
                break
        latest = self._live.latest
        return None if self.gone or latest is seen else latest

    def ring(self) -> None:
        """There is something new."""
        self._bell.ring()

    def leave(self) -> None:
        """Look no more; whoever waits for the next shot is told at once."""
        if not self.gone:
            self.gone = True
            self._live.leave(self)
            self._bell.ring()
