"""Whether what a client sends is read: not while anybody has a reason to hold it up."""

from __future__ import annotations

from enum import Enum, auto
from typing import Any


class Hold(Enum):
    """The reasons."""

    CHANNEL = auto()
    """Twisted's own: an answer is not read, or requests were sent ahead of their turn."""
    TURN = auto()
    """Others have had this turn of the reactor."""
    BODY = auto()
    """A body that is taken as it arrives is not used so fast."""


class Valve:
    """Stands before a transport, as its push producer. Of several reasons none undoes another."""

    def __init__(self, transport: Any) -> None:
        self._transport = transport
        self._held: set[Hold] = set()

    def close(self, reason: Hold) -> None:
        """Read no more, until `open` is called with this reason."""
        if not self._held:
            self._transport.pauseProducing()
        self._held.add(reason)

    def open(self, reason: Hold) -> None:
        """This reason is gone."""
        if reason in self._held:
            self._held.discard(reason)
            if not self._held:
                self._transport.resumeProducing()

    def is_closed_for(self, reason: Hold) -> bool:
        """Whether this is among the reasons."""
        return reason in self._held

    # For Twisted's HTTPChannel, which takes it for its transport.

    def pauseProducing(self) -> None:
        self.close(Hold.CHANNEL)

    def resumeProducing(self) -> None:
        self.open(Hold.CHANNEL)

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        self._transport.registerProducer(producer, streaming)

    def unregisterProducer(self) -> None:
        self._transport.unregisterProducer()
