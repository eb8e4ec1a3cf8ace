"""What the database tells about why contacts wait: sums of the tally, whatever the number of contacts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dialer.facts import Holding, Queue, Standing, Waiting, Why
from dialer.store.database import Run
from dialer.store.queries import sql
from dialer.store.share import Asked

LOOKED_AT = 1_000
"""Contacts of a lane of which it is looked up when they open: some milliseconds' work."""


class ExplainStore:
    """Reads; fails with a DatabaseError within the time of one statement."""

    def __init__(self, database: Asked) -> None:
        self._database = database

    async def standing(self, campaign_id: str | None = None) -> Standing:
        """How one campaign, or all of them, stand."""
        asked = {"campaign_id": campaign_id, "looked_at": LOOKED_AT}

        async def read(run: Run) -> Standing:
            counts = await run(sql("explain_counts"), asked)
            active = await run(sql("explain_active"), asked)
            queue = await run(sql("explain_queue"), asked)
            return Standing(
                contacts={row["status"]: row["contacts"] for row in counts},
                campaigns={row["status"]: row["campaigns"] for row in counts},
                holdings=[_holding(row) for row in active],
                queue=Queue([_waiting(row) for row in queue]),
            )

        return await self._database.transaction(read)


def _holding(row: Mapping[str, Any]) -> Holding:
    return Holding(row["owner"], row["campaign_id"], row["contacts"], for_agent=row["status"] == "agent_pending")


def _waiting(row: Mapping[str, Any]) -> Waiting:
    return Waiting(row["campaign_type"], row["gateway_id"], Why(row["why"]), row["contacts"], row["first"])
