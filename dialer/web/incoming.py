"""A request's body that is taken as it arrives: no faster than it is used, and never held as a whole."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred

from dialer.errors import DialerError

ENOUGH = 65_536
"""Bytes that wait to be read before the client is made to wait: one read from a socket. At most twice that is held."""


class BodyLost(DialerError):
    """The client went away before its body had ended, or was read."""


class Incoming:
    """The body of one request. `pause` and `resume` hold up its client, and let it go on."""

    def __init__(self, pause: Callable[[], None], resume: Callable[[], None]) -> None:
        self._pause = pause
        self._resume = resume
        self._pieces: list[bytes] = []
        self._size = 0
        self._paused = False
        self._waiting: Deferred[None] | None = None
        self._lost = False
        self._unwanted = False
        self.complete = False
        """Whether its end was received."""

    async def read(self) -> bytes:
        """What has arrived, as soon as something has; empty at its end. Fails with BodyLost. One reader at a time."""
        while not self._pieces:
            if self._lost:
                raise BodyLost("the client went away before its list had ended")
            if self.complete:
                return b""
            self._waiting = Deferred()
            await self._waiting
        data = b"".join(self._pieces)
        self._pieces.clear()
        self._size = 0
        self._go_on()
        return data

    def received(self, data: bytes) -> None:
        """A piece of it has arrived."""
        if self._unwanted:
            return
        self._pieces.append(data)
        self._size += len(data)
        if self._size >= ENOUGH and not self._paused:
            self._paused = True
            self._pause()
        self._tell()

    def ended(self) -> None:
        """Its end was received."""
        self.complete = True
        self._tell()

    def lose(self) -> None:
        """Its client has gone."""
        self._lost = True
        self._tell()

    def forget(self) -> None:
        """Nobody reads what is still to come."""
        self._unwanted = True
        self._pieces.clear()
        self._go_on()

    def _go_on(self) -> None:
        if self._paused:
            self._paused = False
            self._resume()

    def _tell(self) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.callback(None)
