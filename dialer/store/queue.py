"""Who is next: asks the database just for what `dialer.selection` needs to decide, whatever the number of contacts."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from attrs import field, frozen

from dialer.contact import CampaignType, Contact
from dialer.selection import CampaignQueue, Order, Share, allocate, order_of, own_of_each
from dialer.store.database import Database
from dialer.store.queries import sql
from dialer.store.rows import contact_of

DEEP = 1000
"""Contacts that are looked at, at most, for the sake of leaving to each dialer its own; then as many as are wanted."""

SPARE = 16
"""Campaigns asked for besides twice as many as there are slots, since some turn out to come later than it seemed."""


@frozen
class Wanted:
    """What is asked for: so many free `slots` of `capacity`, contacts of these `types`, none on gateways to `avoid`.
    One with an id to `skip` is not chosen, but counted. `share` is which dialer asks of how many that share the queue.
    """

    slots: int
    capacity: int
    types: Collection[CampaignType]
    avoid: Collection[str] = field(factory=frozenset)
    early: bool = False
    skip: Collection[str] = field(factory=frozenset)
    share: tuple[int, int] = (0, 1)


class QueueStore:
    """Selection on the tables. All methods fail with DatabaseDown; they change nothing."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def choose(self, wanted: Wanted) -> list[Contact]:
        """The contacts to dial, in dialing order (SPEC 5)."""
        if wanted.slots <= 0:
            return []
        heads: dict[str, Contact] = {}
        queues, campaigns = await self._first(wanted, heads)
        which, dialers = wanted.share
        # It looks no deeper than this, so neither may it leave a larger part to others than that: nobody would see it.
        depth = max(1, min(dialers, DEEP // wanted.slots))
        shares = allocate(
            queues, wanted.slots, early=wanted.early, capacity=wanted.capacity, campaigns=campaigns, dialers=depth
        )
        if all(share.contacts == 1 for share in shares):
            return [heads[share.campaign_id] for share in shares]
        # Of as many as all dialers together want, each has its own part: so it seldom reaches for what another takes,
        # and one choice lasts as long as if it were alone.
        deep = [Share(share.campaign_id, share.contacts * depth) for share in shares]
        return own_of_each(await self._heads(deep, wanted), shares, which, dialers)

    async def _first(self, wanted: Wanted, heads: dict[str, Contact]) -> tuple[list[CampaignQueue], int]:
        """The campaigns that come first, one for each slot at most, and how many there are; `heads` get their oldest.

        How old the oldest of a campaign is, is known from below at first, so it may come later than it seems. So the
        first ones are looked at, put into order again, and so on, until those that come first have all been looked at.
        """
        limit = 2 * wanted.slots + SPARE
        while True:
            queues, campaigns = await self._queues(wanted, limit)
            order = order_of(wanted.slots, campaigns, early=wanted.early, capacity=wanted.capacity)
            # Those that were not asked for come after this one, whatever they turn out to be.
            last = order(queues[-1]) if len(queues) < campaigns else None
            first = await self._looked_at(queues, order, wanted, heads)
            if last is None or (len(first) == wanted.slots and order(first[-1]) <= last):
                return first, campaigns
            limit *= 4

    async def _looked_at(
        self, queues: list[CampaignQueue], order: Order, wanted: Wanted, heads: dict[str, Contact]
    ) -> list[CampaignQueue]:
        found = {queue.campaign_id: _with_head(queue, heads) for queue in queues}
        while True:
            first = sorted(found.values(), key=order)[: wanted.slots]
            unseen = [queue.campaign_id for queue in first if queue.campaign_id not in heads]
            if not unseen:
                return first
            seen = await self._heads([Share(campaign_id, 1) for campaign_id in unseen], wanted)
            heads.update({contact.campaign_id: contact for contact in seen})
            for campaign_id in unseen:
                # One that has no eligible contact any more was emptied just now.
                queue = found.pop(campaign_id)
                if campaign_id in heads:
                    found[campaign_id] = _with_head(queue, heads)

    async def _queues(self, wanted: Wanted, limit: int) -> tuple[list[CampaignQueue], int]:
        asked = {
            "types": list(wanted.types),
            "avoid": list(wanted.avoid),
            "slots": wanted.slots,
            "capacity": wanted.capacity,
            "early": wanted.early,
            "limit": limit,
        }
        rows = await self._database.run(sql("queues"), asked)
        campaigns: int = rows[0]["campaigns"] if rows else 0
        return [
            CampaignQueue(row["campaign_id"], row["eligible"], row["oldest"], row["oldest_arrival"], row["busy"])
            for row in rows
        ], campaigns

    async def _heads(self, shares: Sequence[Share], wanted: Wanted) -> list[Contact]:
        asked = {
            "campaigns": [share.campaign_id for share in shares],
            "counts": [share.contacts for share in shares],
            "types": list(wanted.types),
            "avoid": list(wanted.avoid),
            "skip": list(wanted.skip),
        }
        return [contact_of(row) for row in await self._database.run(sql("heads"), asked)]


def _with_head(queue: CampaignQueue, heads: dict[str, Contact]) -> CampaignQueue:
    head = heads.get(queue.campaign_id)
    if head is None or head.received_time is None:
        return queue
    return CampaignQueue(queue.campaign_id, queue.eligible, head.received_time, head.arrival, queue.busy)
