"""Campaigns as their contacts show them, and their three controls."""

from __future__ import annotations

from attrs import Factory, define

from dialer.store.database import Database
from dialer.store.queries import sql

AT_ONCE = 10_000
"""Contacts that one statement of a control changes: a part of a second's work, well within DB_CONN_TIMEOUT."""


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
        return await self._control(campaign_id, "campaign_start", on_return=None)

    async def stop(self, campaign_id: str) -> int | None:
        """pending → stopped; what is under way stops when it comes back. As `start` otherwise."""
        return await self._control(campaign_id, "campaign_stop", on_return="stop")

    async def purge(self, campaign_id: str) -> int | None:
        """Remove the pending contacts; what is under way is removed if it comes back. As `start` otherwise."""
        return await self._control(campaign_id, "campaign_purge", on_return="purge")

    async def _control(self, campaign_id: str, query: str, *, on_return: str | None) -> int | None:
        """In parts, each a transaction of its own: what fails half-way is finished by asking again.

        Contacts that were received after it began are left alone. It ends when a whole pass has changed nothing: a
        contact may be taken, and may come back, between two statements.
        """
        (row,) = await self._database.run(sql("campaign_known"), {"campaign_id": campaign_id})
        if not row["known"]:
            return None
        asked = {"campaign_id": campaign_id, "until": row["now"], "limit": AT_ONCE, "on_return": on_return}
        total = 0
        while True:
            marked = await self._database.run(sql("campaign_on_return"), asked)
            changed = await self._database.run(sql(query), asked)
            total += len(changed)
            if not marked and not changed:
                return total
