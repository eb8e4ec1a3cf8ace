"""Fills `contacts` past the dialer: as many rows as one likes, in seconds."""

from __future__ import annotations

from random import Random
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.threads import blockingCallFromThread

from dialer.store.migrate import migrate
from tests.bench.contacts import GATEWAYS
from tests.bench.database import ask
from tests.bench.world import World

_FILL = """
INSERT INTO contacts (id, customer_number, campaign_type, gateway_id, campaign_id, campaign_contact_id, ivr,
                      received_time, start_time)
SELECT md5(%(prefix)s || n)::uuid::text, '+4477009' || lpad((n %% 100000)::text, 5, '0'), 'IVR',
       %(gateway)s, %(prefix)s || '-' || n %% %(campaigns)s, n::text, '1218',
       now() - interval '1 hour' + n * interval '1 millisecond', now() + %(start)s * interval '1 second'
FROM generate_series(%(first)s, %(last)s) AS n
"""
AT_ONCE = 50_000
"""Rows that one transaction inserts, so that a run that is called off ends soon."""


def prepare(world: World) -> None:
    """Bring the schema up to date, as a dialer does when it starts."""
    blockingCallFromThread(
        world.reactor, lambda: Deferred.fromCoroutine(migrate(world.reactor, world.conninfo, random=Random(1)))
    )


def fill(
    world: World, contacts: int, *, campaigns: int, prefix: str = "c", first: int = 0, start: float | None = None
) -> None:
    """Add so many pending contacts, numbered from `first` on and spread over campaigns `PREFIX-0` and on.

    `start` is their start_time, in seconds from now.
    """
    for number in range(first, first + contacts, AT_ONCE):
        asked: dict[str, Any] = {
            "prefix": prefix,
            "campaigns": campaigns,
            "gateway": GATEWAYS[0],
            "start": start,
            "first": number,
            "last": min(number + AT_ONCE, first + contacts) - 1,
        }
        ask(world.conninfo, _FILL, asked)
        world.pause(0)


def tidy(world: World) -> None:
    """What autovacuum does before long."""
    ask(world.conninfo, "VACUUM ANALYZE contacts")
