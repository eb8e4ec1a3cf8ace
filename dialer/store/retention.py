"""What is old enough to be removed, page by page: contacts that ended, messages that were delivered, histories."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from attrs import frozen

from dialer.store.database import Database, Run
from dialer.store.queries import sql

PAGE = 500
"""Rows that one statement looks at, and so may remove: a few milliseconds, in which their locks hold up nobody."""

Place = Mapping[str, Any]
"""Where a page ended: the parameters with which its statement finds the next one."""


@frozen
class Page:
    """How many rows of a page were removed, and where the next one begins; None: nothing old lies behind this one."""

    removed: int = 0
    end: Place | None = None


class RetentionStore:
    """Removes what is older than so many `days`, a page at a time; what stays is passed over.

    Each page is one transaction. Any number of dialers may go through the same rows: each is removed once. All methods
    fail with DatabaseDown or CommitUnknown, and may be repeated.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def contacts(self, days: float, after: Place | None = None) -> Page:
        """Contacts that ended so long ago, unless the VC lacks one of their messages."""
        return await self._remove("retention_contacts", days, after or {"ended_time": "-infinity", "arrival": -1})

    async def messages(self, days: float, after: Place | None = None) -> Page:
        """Messages that the VC got so long ago."""
        return await self._remove("retention_outbox", days, after or {"id": 0})

    async def events(self, days: float, after: Place | None = None) -> Page:
        """Lines of histories that old, whatever became of their contacts."""

        async def remove(run: Run) -> list[dict[str, Any]]:
            # Their index by time is of the kind that is used in no other way.
            await run("SET LOCAL enable_bitmapscan = on")
            return await run(sql("retention_events"), {"days": days, "limit": PAGE})

        return _page(await self._database.transaction(remove), after or {})

    async def _remove(self, query: str, days: float, after: Place) -> Page:
        return _page(await self._database.run(sql(query), {"days": days, "limit": PAGE, **after}), after)


def _page(rows: Sequence[Mapping[str, Any]], after: Place) -> Page:
    if not rows:
        return Page()
    (row,) = rows
    return Page(row["removed"], {name: row[name] for name in after} if row["more"] else None)
