"""What only the database knows of how things stand, asked so that it costs the same with any number of contacts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from attrs import frozen

from dialer.contact import ACTIVE
from dialer.message import MessageKind
from dialer.store.outbox import Backlog, OutboxStore
from dialer.store.queries import sql
from dialer.store.share import Asked


@frozen
class Figures:
    """Contacts by campaign type and status, of all dialers; the active ones of this dialer; what the VC lacks, by
    kind; and what each receiver of webhooks lacks."""

    contacts: Mapping[tuple[str, str], int]
    active: int
    messages: Mapping[MessageKind, Backlog]
    webhooks: Mapping[str, Backlog]


class FiguresStore:
    """Reads them; fails with DatabaseDown or CommitUnknown. `owner` names the dialer, `webhooks` the receivers of
    webhooks.
    """

    def __init__(self, database: Asked, outbox: OutboxStore, *, owner: str, webhooks: Sequence[str] = ()) -> None:
        self._database = database
        self._outbox = outbox
        self._owner = owner
        self._webhooks = webhooks

    async def read(self) -> Figures:
        """As they are now."""
        rows = await self._database.run(sql("figures"), {"owner": self._owner})
        return Figures(
            contacts={(row["campaign_type"], row["status"]): row["contacts"] for row in rows},
            active=sum(row["own"] for row in rows if row["status"] in ACTIVE),
            messages=await self._outbox.backlog(),
            webhooks=await self._outbox.webhooks_backlog(self._webhooks),
        )
