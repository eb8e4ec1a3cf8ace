"""Campaigns as their contacts show them, and their three controls."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import Factory, define

from dialer.store.database import Database, Run
from dialer.store.queries import sql


@define
class CampaignCount:
    """How many contacts a campaign has, in all, by status and by call result."""

    campaign_id: str
    total: int = 0
    by_status: dict[str, int] = Factory(dict)
    by_call_result: dict[str, int] = Factory(dict)


class CampaignStore:
    """Counting, starting, stopping and purging; fails with DatabaseDown or CommitUnknown."""

    def __init__(self, database: Database) -> None:
        self._database = database

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
        """stopped → pending; how many, or None when the campaign has no contact in any state."""
        return _changed(await self._database.run(sql("campaign_start"), {"campaign_id": campaign_id}))

    async def stop(self, campaign_id: str) -> int | None:
        """pending → stopped; what is under way stops when it comes back. As `start` otherwise."""
        return _changed(await self._database.run(sql("campaign_stop"), {"campaign_id": campaign_id}))

    async def purge(self, campaign_id: str) -> int | None:
        """Remove the pending contacts; what is under way is removed if it comes back. As `start` otherwise."""
        asked = {"campaign_id": campaign_id}

        async def remove(run: Run) -> list[dict[str, Any]]:
            # Marked before and after: before, so that none comes back unseen between the two; after, see its SQL.
            await run(sql("campaign_purge_active"), asked)
            removed = await run(sql("campaign_purge"), asked)
            await run(sql("campaign_purge_active"), asked)
            return removed

        return _changed(await self._database.transaction(remove))


def _changed(rows: list[dict[str, Any]]) -> int | None:
    row: Mapping[str, Any] = rows[0]
    return row["contacts"] if row["known"] else None
