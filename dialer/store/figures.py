"""What only the database knows of how things stand, asked so that it costs the same with any number of contacts."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import frozen

from dialer.contact import ACTIVE
from dialer.store.outbox import Backlog, OutboxStore
from dialer.store.queries import sql
from dialer.store.share import Asked


@frozen
class Figures:
    """Contacts by campaign type and status, of all dialers; the active ones of this dialer; and what the VC lacks."""

    contacts: Mapping[tuple[str, str], int]
    active: int
    backlog: Backlog


class FiguresStore:
    """Reads them; fails with DatabaseDown or CommitUnknown. `owner` names the dialer."""

    def __init__(self, database: Asked, outbox: OutboxStore, *, owner: str) -> None:
        self._database = database
        self._outbox = outbox
        self._owner = owner

    async def read(self) -> Figures:
        """As they are now."""
        rows = await self._database.run(sql("figures"), {"owner": self._owner})
        return Figures(
            contacts={(row["campaign_type"], row["status"]): row["contacts"] for row in rows},
            active=sum(row["own"] for row in rows if row["status"] in ACTIVE),
            backlog=await self._outbox.backlog(),
        )
