"""Campaigns as their contacts show them, and their three controls."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from itertools import pairwise
from typing import Any

from attrs import Factory, define

from dialer.store.database import DatabaseError, Run
from dialer.store.history import HistoryStore
from dialer.store.queries import sql
from dialer.store.share import Asked

AT_ONCE = 10_000
"""Contacts that one statement of a control changes: a part of a second's work, well within DB_CONN_TIMEOUT."""


Part = Mapping[str, Any]
"""The parameters of the SQL that changes one part of a campaign."""


@define
class CampaignCount:
    """How many contacts a campaign has, in all, by status and by call result."""

    campaign_id: str
    total: int = 0
    by_status: dict[str, int] = Factory(dict)
    by_call_result: dict[str, int] = Factory(dict)


class CampaignStore:
    """Counting, starting, stopping and purging; fails with DatabaseDown or CommitUnknown."""

    def __init__(self, database: Asked, history: HistoryStore) -> None:
        self._database = database
        self._history = history

    async def count(self, campaign_id: str | None = None) -> list[CampaignCount]:
        """One campaign (empty when it has no contact), or all of them by id."""
        counts: dict[str, CampaignCount] = {}
        for row in await self._database.run(sql("campaigns"), {"campaign_id": campaign_id}):
            count = counts.setdefault(row["campaign_id"], CampaignCount(row["campaign_id"]))
            contacts = row["contacts"]
            count.total += contacts
            count.by_status[row["status"]] = count.by_status.get(row["status"], 0) + contacts
            if row["call_result"] is not None:
                count.by_call_result[row["call_result"]] = count.by_call_result.get(row["call_result"], 0) + contacts
        return list(counts.values())

    async def start(self, campaign_id: str) -> int | None:
        """stopped → pending; how many, or None when the campaign has no contact in any state.

        It is done in parts, each a transaction of its own, and what fails half-way is finished by asking again. A
        contact that is received after it began is left alone.
        """
        return await self._in_parts(campaign_id, "start", lambda part: self._database.run(sql("campaign_start"), part))

    async def stop(self, campaign_id: str) -> int | None:
        """pending → stopped; what is under way stops when it comes back. As `start` otherwise."""
        return await self._in_parts(campaign_id, "stop", lambda part: self._database.run(sql("campaign_stop"), part))

    async def purge(self, campaign_id: str) -> int | None:
        """Remove the pending contacts; what is under way is removed if it comes back. As `start` otherwise."""

        async def purge_part(part: Part) -> list[dict[str, Any]]:
            async def remove(run: Run) -> list[dict[str, Any]]:
                # Marked before and after: before, so that none comes back unseen between the two; after, see its SQL.
                await run(sql("campaign_purge_active"), part)
                removed = await run(sql("campaign_purge"), part)
                await run(sql("campaign_purge_active"), part)
                return removed

            return await self._database.transaction(remove)

        return await self._in_parts(campaign_id, "purge", purge_part)

    async def _in_parts(
        self, campaign_id: str, name: str, control: Callable[[Part], Awaitable[list[dict[str, Any]]]]
    ) -> int | None:
        asked = {"campaign_id": campaign_id, "at_once": AT_ONCE}
        ends = [row["arrival"] for row in await self._database.run(sql("campaign_parts"), asked)]
        if not ends and not await self.count(campaign_id):
            return None
        changed = 0
        for after, upto in pairwise([-1, *ends]):
            rows = await control({"campaign_id": campaign_id, "after": after, "upto": upto})
            changed += sum(row["changed"] for row in rows)
        # It is done: that its history lacks a line is no reason to say that it failed.
        with suppress(DatabaseError):
            await self._history.controlled(campaign_id, name, changed)
        return changed
