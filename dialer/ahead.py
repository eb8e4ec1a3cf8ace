"""How many may be ahead of their turn, filled up by halves: so they come in groups, whose work is done together."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from twisted.internet.defer import Deferred, succeed


class Ahead:
    """At most `most()` places, given out in the order in which they are asked for.

    Once all are taken none is given again before half of them are free. When there may be fewer from now on, those that
    are taken stay so, and one more may be given.
    """

    def __init__(self, most: Callable[[], int]) -> None:
        self._most = most
        self._taken = 0
        self._filling = True
        self._waiting: deque[Deferred[None]] = deque()

    def acquire(self) -> Deferred[None]:
        """Fires when the caller has a place. Cancelling gives up."""
        if self._filling and not self._waiting:
            self._take()
            return succeed(None)
        waiter: Deferred[None] = Deferred(self._waiting.remove)
        self._waiting.append(waiter)
        return waiter

    def release(self) -> None:
        """A place is free again."""
        self._taken -= 1
        self._filling |= self._taken <= self._most() // 2
        while self._filling and self._waiting:
            self._take()
            self._waiting.popleft().callback(None)

    def _take(self) -> None:
        self._taken += 1
        self._filling = self._taken < self._most()
