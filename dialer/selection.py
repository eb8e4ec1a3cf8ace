"""Which contacts are next: shares the free call slots out among the campaigns that have something to dial.

The two cases of the dialing flow, and the early cycle that keeps single freed slots as fair as they mean. A campaign
is seen here as one queue: how many of its contacts are eligible, and how old the oldest of these is. The contacts of
a share are then taken from the head of its queue (oldest `received_time`, then arrival), share by share.

Knows numbers only: no reactor, clock or SQL. Nothing depends on the order in which the queues are given.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any
from zlib import crc32

from attrs import Attribute, field, frozen

from dialer.contact import Contact


def _at_least_one(_: object, attribute: Attribute[int], value: int) -> None:
    if value < 1:
        raise ValueError(f"{attribute.name} must be 1 or more: {value!r}")


def _aware(_: object, attribute: Attribute[datetime], value: datetime) -> None:
    if value.tzinfo is None:
        raise ValueError(f"{attribute.name} needs a time zone: {value!r}")


@frozen
class CampaignQueue:
    """A campaign with at least one eligible contact.

    `oldest` is the earliest `received_time` among these and `oldest_arrival` the arrival number of the first contact
    with that time. `busy` says that the campaign has an active contact.
    """

    campaign_id: str
    eligible: int = field(validator=_at_least_one)
    oldest: datetime = field(validator=_aware)
    oldest_arrival: int
    busy: bool = False


@frozen
class Share:
    """How many contacts to dial from the head of one campaign's queue."""

    campaign_id: str
    contacts: int


Order = Callable[[CampaignQueue], tuple[Any, ...]]
"""Sorts campaigns: who comes first when slots are shared out."""


def _smallest_first(queue: CampaignQueue) -> tuple[Any, ...]:
    return queue.eligible, queue.oldest, queue.campaign_id


def _oldest_first(queue: CampaignQueue) -> tuple[Any, ...]:
    return queue.oldest, queue.oldest_arrival


def _idle_first(queue: CampaignQueue) -> tuple[Any, ...]:
    return queue.busy, *_smallest_first(queue)


def order_of(slots: int, campaigns: int, *, early: bool, capacity: int) -> Order:
    """In which order so many campaigns get the first of so many free slots; see `allocate`."""
    if early and capacity > campaigns:
        return _idle_first
    return _smallest_first if slots > campaigns else _oldest_first


def allocate(
    queues: Iterable[CampaignQueue],
    slots: int,
    *,
    early: bool = False,
    capacity: int,
    campaigns: int | None = None,
    dialers: int = 1,
) -> list[Share]:
    """Share `slots` free call slots out among `queues`, one for each campaign; the shares come in dialing order.

    `capacity` is MAX_CONCURRENT_CALLS. With n campaigns:

    - more slots than campaigns: the one with the fewest eligible contacts first. Each gets one slot; what is left goes
      round in the same order, each taking as many more as it has contacts before the next gets any.
    - otherwise: the oldest contact of each campaign, the oldest of these first.
    - `early` (a slot was freed between two timed cycles) while `capacity` > n: each campaign without an active contact
      gets one before any other does; what is left is shared as in the first case.

    `campaigns` is n when `queues` are only those that come first in the order of `order_of`, one for each slot. So many
    `dialers` share the queues: as the others take what is theirs of a campaign, each goes round with that part of it
    before it gives slots that are left to the rest.
    """
    known = list(queues)
    if slots <= 0:
        return []
    total = len(known) if campaigns is None else campaigns
    order = order_of(slots, total, early=early, capacity=capacity)
    if order is _oldest_first:
        return [Share(queue.campaign_id, 1) for queue in heapq.nsmallest(slots, known, key=order)]
    return _fill(known, sorted(known, key=order), slots, dialers)


def own_first(contacts: Sequence[Contact], which: int, of: int) -> list[Contact]:
    """The contacts in the order in which dialer `which` (from 0) of `of` that share the queue takes them.

    Others may choose the same ones. So that they do not all reach for the same one, each begins with its own share of
    them, in their order, and only then goes on with what the others may have left.
    """
    return sorted(contacts, key=lambda contact: not is_own(contact.id, which, of))


def is_own(contact_id: str, which: int, of: int) -> bool:
    """Whether a contact is one of those that dialer `which` (from 0) of `of` takes first."""
    return crc32(contact_id.encode()) % of == which


def own_of_each(heads: Mapping[str, Sequence[Contact]], shares: Sequence[Share], which: int, of: int) -> list[Contact]:
    """Of the heads of the queues, given at least as deep as the shares, as many as each share has.

    A dialer's own come first, as in `own_first`; what then lacks is of those at the very head. Who is left to others
    that do not take them moves on to the very head, as those before them are dialed.
    """
    chosen: list[Contact] = []
    for share in shares:
        queue = heads[share.campaign_id]
        if of > 1:
            head = {contact.id for contact in queue[: share.contacts]}
            queue = own_first([each for each in queue if each.id in head or is_own(each.id, which, of)], which, of)
        chosen += queue[: share.contacts]
    return chosen


def _fill(campaigns: list[CampaignQueue], order: list[CampaignQueue], slots: int, dialers: int) -> list[Share]:
    """One slot for each in `order` while they last, then the rest to the smallest campaigns first."""
    shares = {queue.campaign_id: 1 for queue in order[:slots]}
    left = slots - len(shares)
    if left:
        smallest = sorted(campaigns, key=_smallest_first)
        for part in (dialers, 1):
            for queue in smallest:
                more = min(left, math.ceil(queue.eligible / part) - shares[queue.campaign_id])
                shares[queue.campaign_id] += more
                left -= more
    return [Share(campaign_id, contacts) for campaign_id, contacts in shares.items()]
