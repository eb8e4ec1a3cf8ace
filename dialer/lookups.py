"""Look-ups of names, few at a time: the reactor has ten threads for them, and one whose DNS is dead holds its own for
half a minute. What waits here must leave some to the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred, DeferredSemaphore
from twisted.internet.error import DNSLookupError
from twisted.internet.interfaces import IAddress, IHostnameResolver, IHostResolution, IResolutionReceiver
from zope.interface import implementer

AT_ONCE = 3
"""Look-ups under way at most."""


class Lookups:
    """Asks `resolver` for the addresses of names; who asks for a name that is being looked up gets the same answer."""

    def __init__(self, resolver: IHostnameResolver) -> None:
        self._resolver = resolver
        self._turns = DeferredSemaphore(AT_ONCE)
        self._waiting: dict[str, list[Deferred[Sequence[str]]]] = {}

    def addresses(self, host: str) -> Deferred[Sequence[str]]:
        """The addresses of a name, or of an address written in any form; fails with DNSLookupError when it has none.

        Whoever cancels this waits no more; the look-up goes on.
        """
        done: Deferred[Sequence[str]] = Deferred(lambda cancelled: self._forget(host, cancelled))
        if (waiting := self._waiting.get(host)) is not None:
            waiting.append(done)
            return done
        self._waiting[host] = [done]
        self._turns.run(self._look_up, host).addCallbacks(
            lambda found: self._tell(host, found), lambda failure: self._tell(host, (), failure)
        )
        return done

    def _look_up(self, host: str) -> Deferred[Sequence[str]]:
        answer = _Answer()
        self._resolver.resolveHostName(answer, host, 0, [IPv4Address, IPv6Address], "TCP")
        return answer.complete

    def _tell(self, host: str, found: Sequence[str], failure: Any = None) -> None:
        for done in self._waiting.pop(host):
            if failure is not None:
                done.errback(failure)
            elif found:
                done.callback(found)
            else:
                done.errback(DNSLookupError(f"no address of {host}"))

    def _forget(self, host: str, cancelled: Deferred[Sequence[str]]) -> None:
        # Its place stays, so that nobody asks for the same name beside a look-up that hangs.
        self._waiting[host] = [done for done in self._waiting[host] if done is not cancelled]


@implementer(IResolutionReceiver)
class _Answer:
    """Gathers what a resolver finds, each address once."""

    def __init__(self) -> None:
        self._found: dict[str, None] = {}
        self.complete: Deferred[Sequence[str]] = Deferred()

    def resolutionBegan(self, resolutionInProgress: IHostResolution) -> None: ...

    def addressResolved(self, address: IAddress) -> None:
        if isinstance(address, IPv4Address | IPv6Address):
            self._found[address.host] = None

    def resolutionComplete(self) -> None:
        self.complete.callback(list(self._found))
