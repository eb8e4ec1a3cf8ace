"""Several statements on one link as one transaction."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any, TypeVar

import psycopg2.errors
from twisted.internet.defer import Deferred
from twisted.internet.defer import TimeoutError as DeferredTimeout
from twisted.logger import Logger

from dialer.store.deferred import shield
from dialer.store.errors import CommitUnknown, DatabaseDown
from dialer.store.link import Link

T = TypeVar("T")

Run = Callable[..., Awaitable[list[dict[str, Any]]]]
"""`run(query, params)`: one statement."""

Work = Callable[[Run], Coroutine[Any, Any, T]]

log = Logger()


async def in_transaction(reactor: Any, link: Link, work: Work[T], *, limit: float) -> T:
    """What `work(run)` returns, committed; rolled back when it raises or takes more than `limit` seconds.

    Fails with CommitUnknown only when the COMMIT itself was sent. To be awaited without being cancelled.
    """
    await _before_commit(link, "BEGIN")
    bound = _Bound(link)
    try:
        result = await Deferred.fromCoroutine(work(bound.run)).addTimeout(limit, reactor)
    except DeferredTimeout as error:
        await _roll_back(link)
        raise DatabaseDown(f"a transaction took more than {limit:g} s") from error
    except BaseException:
        await _roll_back(link)
        raise
    finally:
        bound.over = True
    await link.execute("COMMIT")
    if link.tag != "COMMIT":
        raise psycopg2.errors.InFailedSqlTransaction("a statement failed and was ignored: rolled back")
    return result


class _Bound:
    """The `run` of one transaction, of no use after it."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self.over = False

    async def run(self, query: str, params: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        if self.over:
            raise RuntimeError("the transaction is over")
        return await shield(Deferred.fromCoroutine(_before_commit(self._link, query, params)))


async def _before_commit(link: Link, query: str, params: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
    try:
        return await link.execute(query, params)
    except CommitUnknown as error:
        # The server rolls back what was never committed.
        raise DatabaseDown(str(error)) from error


async def _roll_back(link: Link) -> None:
    if link.busy:
        link.close()
    if link.alive:
        try:
            await link.execute("ROLLBACK")
        except Exception as error:
            log.debug("a connection is dropped: {error}", error=error)
            link.close()
