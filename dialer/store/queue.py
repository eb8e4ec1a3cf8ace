"""Who is next: asks the database just for what `dialer.selection` needs to decide, whatever the number of contacts."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from attrs import evolve, field, frozen

from dialer.contact import CampaignType, Contact
from dialer.selection import CampaignQueue, Order, Share, allocate, order_of, own_of_each
from dialer.store.database import Database
from dialer.store.queries import sql
from dialer.store.rows import contact_of

DEEP = 1000
"""Contacts that are looked at, at most, for the sake of leaving to each dialer its own; then as many as are wanted."""

SPARE = 16
"""Campaigns asked for besides twice as many as slots are free, since some turn out to come later than it seemed."""


@frozen
class Wanted:
    """What is asked for: so many `slots` of `capacity`, less those that the owner's active contacts take; contacts of
    these `types`, none on gateways to `avoid` and none with an id to `skip`. `share` is which dialer asks of how many
    that share the queue.
    """

    slots: int
    capacity: int
    types: Collection[CampaignType]
    avoid: Collection[str] = field(factory=frozenset)
    early: bool = False
    skip: Collection[str] = field(factory=frozenset)
    share: tuple[int, int] = (0, 1)


@frozen
class _Head:
    """The first contacts of a campaign, at least as many as its share was when it was looked at, if it has so many."""

    share: int
    contacts: list[Contact]


class QueueStore:
    """Selection on the tables for dialer `owner`. All methods fail with DatabaseDown; they change nothing."""

    def __init__(self, database: Database, owner: str) -> None:
        self._database = database
        self._owner = owner

    async def choose(self, wanted: Wanted) -> list[Contact]:
        """The contacts to dial, in dialing order (SPEC 5).

        How old the oldest of a campaign is, is known from below at first, so it may come later than it seems. So those
        that come first are looked at and the slots shared out again, until all that get one have been looked at.
        """
        times = 1
        heads: dict[str, _Head] = {}
        while True:
            queues, slots, campaigns = await self._queues(wanted, times)
            if not queues:
                return []
            order = _order(wanted, slots, campaigns)
            found = {queue.campaign_id: queue for queue in queues}
            for campaign_id, head in heads.items():
                _learn(found, campaign_id, head)
            others = campaigns - len(queues)
            shares = await self._share_out(found, others, evolve(wanted, slots=slots), heads)
            if not others or (
                _order(wanted, slots, len(found) + others) is order
                and len(shares) == slots
                # Those that were not asked for come after the last that was, whatever they turn out to be.
                and order(found[shares[-1].campaign_id]) <= order(queues[-1])
            ):
                looked_at = {share.campaign_id: heads[share.campaign_id].contacts for share in shares}
                return own_of_each(looked_at, shares, *wanted.share)
            times *= 4

    async def _share_out(
        self, found: dict[str, CampaignQueue], others: int, wanted: Wanted, heads: dict[str, _Head]
    ) -> list[Share]:
        """The shares, once each of them has been looked at; `heads` and `found` get what was learnt. So many `others`
        have contacts, too, and come later."""
        _, dialers = wanted.share
        # It looks no deeper than this, so neither may it leave a larger part to others than that: nobody would see it.
        depth = max(1, min(dialers, DEEP // wanted.slots))
        while True:
            campaigns = len(found) + others
            shares = allocate(
                found.values(),
                wanted.slots,
                early=wanted.early,
                capacity=wanted.capacity,
                campaigns=campaigns,
                dialers=depth,
            )
            unseen = {
                share.campaign_id: share.contacts
                for share in shares
                if share.campaign_id not in heads or heads[share.campaign_id].share < share.contacts
            }
            if not unseen:
                return shares
            # Of as many as all dialers together want, each has its own part: so it seldom reaches for what another
            # takes, and one choice lasts as long as if it were alone.
            deep = depth if any(share.contacts > 1 for share in shares) else 1
            if heads:
                # Once it was not as it seemed it may go on so: each look is at twice as many as were looked at before.
                order = _order(wanted, wanted.slots, campaigns)
                following = sorted((found[each] for each in found.keys() - heads.keys() - unseen.keys()), key=order)
                unseen |= {queue.campaign_id: 1 for queue in following[: len(heads)]}
            seen: dict[str, list[Contact]] = {campaign_id: [] for campaign_id in unseen}
            for contact in await self._heads([Share(*each) for each in unseen.items()], deep, wanted):
                seen[contact.campaign_id].append(contact)
            for campaign_id, contacts in seen.items():
                heads[campaign_id] = _Head(unseen[campaign_id], contacts)
                _learn(found, campaign_id, heads[campaign_id])

    async def _queues(self, wanted: Wanted, times: int) -> tuple[list[CampaignQueue], int, int]:
        """The campaigns that seem to come first, so many times as many as are asked for at first; how many slots are
        free, and how many campaigns there are in all. None when no slot is free."""
        asked = {
            "types": list(wanted.types),
            "avoid": list(wanted.avoid),
            "skip": list(wanted.skip),
            "owner": self._owner,
            "slots": wanted.slots,
            "capacity": wanted.capacity,
            "early": wanted.early,
            "times": times,
            "spare": SPARE,
        }
        rows = await self._database.run(sql("queues"), asked)
        queues = [
            CampaignQueue(row["campaign_id"], row["eligible"], row["oldest"], row["oldest_arrival"], row["busy"])
            for row in rows
        ]
        return (queues, rows[0]["slots"], rows[0]["campaigns"]) if rows else (queues, 0, 0)

    async def _heads(self, shares: Sequence[Share], deep: int, wanted: Wanted) -> list[Contact]:
        """The first contacts of each campaign, so many times as many as its share is."""
        asked = {
            "campaigns": [share.campaign_id for share in shares],
            "counts": [share.contacts * deep for share in shares],
            "types": list(wanted.types),
            "avoid": list(wanted.avoid),
            "skip": list(wanted.skip),
        }
        return [contact_of(row) for row in await self._database.run(sql("heads"), asked)]


def _order(wanted: Wanted, slots: int, campaigns: int) -> Order:
    return order_of(slots, campaigns, early=wanted.early, capacity=wanted.capacity)


def _learn(found: dict[str, CampaignQueue], campaign_id: str, head: _Head) -> None:
    """Put right what was thought of a campaign. One that has no eligible contact any more was emptied just now."""
    queue = found.pop(campaign_id, None)
    if queue is not None and head.contacts:
        first = head.contacts[0]
        oldest = first.received_time or queue.oldest
        found[campaign_id] = CampaignQueue(campaign_id, queue.eligible, oldest, first.arrival, queue.busy)
