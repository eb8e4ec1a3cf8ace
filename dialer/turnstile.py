"""A few at a time, and the others in line: bounded in how many there are, and in how long they wait."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from typing import TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

T = TypeVar("T")


class Turnstile:
    """Lets `at_once` through. Up to `waiting` others wait in line, `patience` seconds at most. Who finds the
    line full fails with what `full` makes of that reason, who had to wait for longer with `late`."""

    def __init__(
        self,
        clock: IReactorTime,
        *,
        at_once: int,
        waiting: int,
        patience: float,
        full: Callable[[str], Exception],
        late: Callable[[str], Exception],
    ) -> None:
        self._clock = clock
        self._free = at_once
        self._waiting = waiting
        self._patience = patience
        self._full = full
        self._late = late
        self._line: deque[Deferred[None]] = deque()

    async def run(self, work: Callable[[], Awaitable[T]]) -> T:
        """What `work` returns, once it was this one's turn."""
        if self._free:
            self._free -= 1
        else:
            await self._turn()
        try:
            return await work()
        finally:
            self._pass_on()

    async def _turn(self) -> None:
        """Returns with a place. Leaving the line, for whatever reason, takes none."""
        if len(self._line) >= self._waiting:
            raise self._full(f"{self._waiting} wait already")

        def too_late(_result: object, _timeout: float) -> None:
            raise self._late(f"no turn in {self._patience:g} s")

        waiter: Deferred[None] = Deferred(self._line.remove)
        self._line.append(waiter)
        await waiter.addTimeout(self._patience, self._clock, onTimeoutCancel=too_late)

    def _pass_on(self) -> None:
        if self._line:
            self._line.popleft().callback(None)
        else:
            self._free += 1
