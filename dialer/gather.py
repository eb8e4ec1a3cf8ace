"""Things that come one by one and are done many at a time: one batch after the other, each in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Generic, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

Item = TypeVar("Item")
Result = TypeVar("Result")


class Gather(Generic[Item, Result]):
    """Does together what comes at the same moment, or while an earlier batch is under way.

    `work` gets the items of a batch, `most` of them at most, in the order in which they came, and gives a result for
    each; when it fails, each of them fails with that. The line is as long as the callers make it.
    """

    def __init__(
        self, clock: IReactorTime, work: Callable[[Sequence[Item]], Awaitable[Sequence[Result]]], *, most: int
    ) -> None:
        self._clock = clock
        self._work = work
        self._most = most
        self._line: deque[tuple[Item, Deferred[Result]]] = deque()
        self._at_work = False

    def put(self, item: Item) -> Deferred[Result]:
        """Fires with the item's result, in the order of the calls of this. Cancelling does not take it out."""
        done: Deferred[Result] = Deferred()
        self._line.append((item, done))
        if not self._at_work:
            self._at_work = True
            # Not yet: more may come before the caller's turn of the reactor is over.
            self._clock.callLater(0, self._begin)
        return done

    def _begin(self) -> None:
        Deferred.fromCoroutine(self._all())

    async def _all(self) -> None:
        while self._line:
            batch = [self._line.popleft() for _ in range(min(self._most, len(self._line)))]
            try:
                results: Sequence[Any] = await self._work([item for item, _ in batch])
            except Exception as error:
                for _, done in batch:
                    done.errback(error)
            else:
                for (_, done), result in zip(batch, results, strict=True):
                    done.callback(result)
        self._at_work = False
