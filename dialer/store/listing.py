"""The contacts of a campaign, a page at a time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from attrs import frozen

from dialer.contact import Status
from dialer.store.queries import sql
from dialer.store.share import Asked


@frozen(kw_only=True)
class ListedContact:
    """A contact as a list shows it: without what only its own campaign type has, and without its metadata."""

    arrival: int
    id: str
    customer_number: str
    campaign_type: str
    gateway_id: str
    campaign_contact_id: str | None
    status: str
    call_result: str | None
    priority: int | None
    received_time: datetime
    start_time: datetime | None
    end_time: datetime | None
    dial_time: datetime | None
    ended_time: datetime | None


class ListingStore:
    """Reads pages; fails with DatabaseDown."""

    def __init__(self, database: Asked) -> None:
        self._database = database

    async def page(
        self, campaign_id: str, *, status: Status | None, result: str | None, limit: int, after: int
    ) -> Sequence[ListedContact]:
        """Up to `limit` contacts of a campaign with an arrival above `after`, in the order of their arrival."""
        asked = {"campaign_id": campaign_id, "status": status, "result": result, "limit": limit, "after": after}
        return [ListedContact(**row) for row in await self._database.run(sql("campaign_contacts"), asked)]
