"""Answers that are written piece by piece, as fast as their client reads them."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping
from typing import Any

from attrs import field, frozen
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer
from twisted.logger import Logger
from zope.interface import implementer


@frozen
class Streamed:
    """An answer of any size. Of `pieces` as much is in memory as the generator makes at a time.

    A failure before the first piece becomes an error answer like any other; after it the connection is broken off, so
    that nobody takes what came for the whole.
    """

    content_type: str
    pieces: AsyncGenerator[bytes, None]
    headers: Mapping[str, str] = field(factory=dict)
    on_gone: Callable[[], None] = lambda: None
    """Called when the client has gone, or the dialer stops: for a generator that waits for something to tell."""


@implementer(IPushProducer)
class Stream:
    """A Streamed on its way to one client."""

    log = Logger()

    def __init__(self, request: Any, streamed: Streamed) -> None:
        self._request = request
        self._streamed = streamed
        self._paused: Deferred[None] | None = None
        self._gone = False
        self._begun = False

    async def write(self) -> None:
        """Write everything, and finish the request. Raises what the generator raises before its first piece."""
        request, pieces = self._request, self._streamed.pieces
        try:
            async for piece in self._while_wanted(pieces):
                request.write(piece)
            if not self._gone:
                self._begin()
                request.unregisterProducer()
                request.finish()
        except Exception:
            if not self._begun:
                raise
            self.log.failure("An answer was broken off: {path}", path=request.path)
            self.break_off()
        finally:
            await pieces.aclose()

    async def _while_wanted(self, pieces: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
        """The pieces, each once there is room for it, until nobody is there for the next."""
        async for piece in pieces:
            if self._left():
                return
            self._begin()
            # Who asks for the head alone is not written the rest of what may be endless.
            if self._request.method == b"HEAD":
                return
            yield piece
            if self._paused is not None:
                await self._paused
                if self._left():
                    return

    @property
    def gone(self) -> bool:
        """Whether the client has gone, or is to go."""
        return self._gone

    def stop(self) -> None:
        """Write no more: the client has gone, or is to go."""
        if self._gone:
            return
        self._gone = True
        self._streamed.on_gone()
        self.resumeProducing()

    def break_off(self) -> None:
        """End it in a way that nobody takes for its end."""
        if self._gone:
            return
        self.stop()
        if self._begun:
            self._request.unregisterProducer()
            self._request.loseConnection()

    def pauseProducing(self) -> None:
        """The client does not keep up."""
        if self._paused is None:
            self._paused = Deferred()

    def resumeProducing(self) -> None:
        """The client has read what there was."""
        paused, self._paused = self._paused, None
        if paused is not None:
            paused.callback(None)

    def stopProducing(self) -> None:
        """The connection is gone."""
        self.stop()

    def _left(self) -> bool:
        return self._gone

    def _begin(self) -> None:
        if self._begun:
            return
        self._begun = True
        request = self._request
        request.setHeader(b"content-type", self._streamed.content_type.encode())
        request.setHeader(b"x-content-type-options", b"nosniff")
        for name, value in self._streamed.headers.items():
            request.setHeader(name.encode(), value.encode())
        request.registerProducer(self, True)
