"""A part of the database's connections, for work that must leave the others to dialing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from dialer.store.errors import DatabaseDown, DatabaseError
from dialer.store.transaction import Work
from dialer.turnstile import Turnstile

T = TypeVar("T")


class Busy(DatabaseError):
    """Too many others ask for the same; nothing was asked of the database."""


class Asked(Protocol):
    """What a store asks: the database, or a share of it. `store/database.py` tells what each does."""

    async def run(self, query: str, params: Mapping[str, Any] | None = None) -> list[dict[str, Any]]: ...

    async def transaction(self, work: Work[T]) -> T: ...

    def in_time(self, answer: Deferred[T]) -> Deferred[T]: ...


class Share:
    """Asks `database` for `at_once` things at a time. Up to `waiting` others wait in line, `patience` seconds at most.

    Fails with Busy for who finds the line full, and with DatabaseDown for who had to wait for longer, as a pool without
    a free connection does.
    """

    def __init__(self, clock: IReactorTime, database: Asked, *, at_once: int, waiting: int, patience: float) -> None:
        self._database = database
        self._turnstile = Turnstile(
            clock, at_once=at_once, waiting=waiting, patience=patience, full=Busy, late=DatabaseDown
        )

    async def run(self, query: str, params: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        return await self._turnstile.run(lambda: self._database.run(query, params))

    async def transaction(self, work: Work[T]) -> T:
        return await self._turnstile.run(lambda: self._database.transaction(work))

    def in_time(self, answer: Deferred[T]) -> Deferred[T]:
        return self._database.in_time(answer)
