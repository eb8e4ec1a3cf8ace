"""Work that goes on while its caller does something else, and that a stop waits for."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, TypeVar

from twisted.internet.defer import CancelledError, Deferred, DeferredList
from twisted.logger import Logger
from twisted.python.failure import Failure

from dialer.contact import Contact, about

T = TypeVar("T")


class Background:
    """Coroutines under way. `expected` are the failures that say nothing new to anybody; others are logged."""

    log = Logger()

    def __init__(self, *expected: type[Exception]) -> None:
        self._expected = (*expected, CancelledError)
        self._under_way: set[Deferred[Any]] = set()

    def run(self, work: Coroutine[Deferred[Any], Any, T]) -> Deferred[T]:
        """Run work for somebody who waits for it; fires as it does."""
        running: Deferred[T] = Deferred.fromCoroutine(work)
        self._under_way.add(running)

        def ended(result: T | Failure) -> T | Failure:
            self._under_way.discard(running)
            return result

        running.addBoth(ended)
        return running

    def detach(self, work: Coroutine[Deferred[Any], Any, object], contact: Contact | None = None) -> None:
        """Run work that nobody waits for; `contact` is whose it is."""
        running = self.run(work)
        running.addErrback(lambda failure: failure.trap(*self._expected))
        running.addErrback(self._failed, contact)

    def _failed(self, failure: Failure, contact: Contact | None) -> None:
        if contact is None:
            self.log.failure("Work in the background failed", failure)
        else:
            self.log.failure("Work for contact {contact} of campaign {campaign} failed", failure, **about(contact))

    async def drain(self) -> None:
        """Fires when nothing is under way; cancelled, it cancels what is."""
        while self._under_way:
            await DeferredList(list(self._under_way), consumeErrors=True)
