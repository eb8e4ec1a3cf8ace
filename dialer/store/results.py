"""All contacts of a campaign, page by page."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import frozen

from dialer.contact import Contact, Status
from dialer.store.queries import sql
from dialer.store.rows import contact_of
from dialer.store.share import Asked

PAGE = 100
"""Contacts that are read at once: some three milliseconds for the dialer, with writing them, and one for PostgreSQL."""


@frozen
class ContactPage:
    """Contacts of a campaign in the order of their arrival, and the arrival after which the next page begins; None:
    there is none."""

    contacts: Sequence[Contact]
    end: int | None


class ResultStore:
    """Reads whole campaigns; fails with DatabaseDown."""

    def __init__(self, database: Asked) -> None:
        self._database = database

    async def last_arrival(self, campaign_id: str) -> int | None:
        """The arrival of the last contact that a campaign has now; None when it has none."""
        (row,) = await self._database.run(sql("campaign_last"), {"campaign_id": campaign_id})
        last: int | None = row["arrival"]
        return last

    async def page(self, campaign_id: str, *, after: int, upto: int, status: Status | None) -> ContactPage:
        """The next PAGE contacts of a campaign by arrival; of those, the ones with this status if one is given."""
        asked = {"campaign_id": campaign_id, "after": after, "upto": upto, "status": status, "limit": PAGE}
        rows = await self._database.run(sql("campaign_page"), asked)
        found = [contact_of(row) for row in rows if row["id"] is not None]
        return ContactPage(found, rows[0]["page_end"] if rows else None)
