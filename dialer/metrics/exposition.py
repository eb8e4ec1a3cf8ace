"""The page that Prometheus scrapes: always an answer, whatever is down, and soon."""

from __future__ import annotations

from typing import Any

from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector
from prometheus_client.exposition import choose_encoder
from twisted.internet.defer import Deferred
from twisted.internet.defer import TimeoutError as TooLate
from twisted.logger import Logger

from dialer.metrics.state import Measured, State
from dialer.store.database import DatabaseError
from dialer.store.figures import Figures, FiguresStore

PATIENCE = 2.0
"""Seconds that a scrape waits for the database: Prometheus itself gives up after 10 s, unless told otherwise."""


class Exposition:
    """Writes what is in `registry`, which the meter of the same dialer counts in, and how things stand."""

    log = Logger()

    def __init__(self, clock: Any, registry: CollectorRegistry, measured: Measured, store: FiguresStore) -> None:
        self._clock = clock
        self._registry = registry
        self._store = store
        self._state = State(measured)
        registry.register(self._state)
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        self._database = measured.databases["main"]
        self._waiting: list[Deferred[Figures | None]] = []
        self._asking = False

    async def scrape(self, accept: str) -> tuple[str, bytes]:
        """The content type and the text, in the format that the `Accept` header asks for."""
        encode, content_type = choose_encoder(accept)
        # Nobody comes between: what is read now is what this page shows.
        self._state.figures = await self._figures()
        return content_type, encode(self._registry)

    async def _figures(self) -> Figures | None:
        """What the database says; None when it does not, or not in time. Those who scrape meanwhile share an answer."""
        if not self._database.up:
            return None
        answer: Deferred[Figures | None] = Deferred()
        self._waiting.append(answer)
        if not self._asking:
            self._asking = True
            Deferred.fromCoroutine(self._ask())
        try:
            return await answer.addTimeout(PATIENCE, self._clock)
        except TooLate:
            self._waiting.remove(answer)
            return None

    async def _ask(self) -> None:
        figures: Figures | None = None
        try:
            figures = await self._store.read()
        except DatabaseError as error:
            self.log.debug("A scrape goes without the database: {error}", error=error)
        except Exception:
            self.log.failure("The database could not be asked for figures")
        self._asking = False
        waiting, self._waiting = self._waiting, []
        for answer in waiting:
            answer.callback(figures)
