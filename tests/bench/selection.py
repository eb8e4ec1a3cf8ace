"""One selection (who is dialed next), with 1,000,000 pending contacts, beside the plain GROUP BY and 10,000 pending."""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine, Mapping
from contextlib import closing
from random import Random
from statistics import median
from typing import Any

import psycopg2
from twisted.internet.defer import Deferred
from twisted.internet.threads import blockingCallFromThread

from dialer.contact import CampaignType
from dialer.selection import CampaignQueue, allocate
from dialer.store.database import Database
from dialer.store.queue import QueueStore, Wanted
from dialer.store.tally import TallyStore
from tests.bench.benchmark import Bench, Figure, Round, at_most
from tests.bench.database import ask
from tests.bench.fill import fill, prepare, tidy
from tests.bench.world import World, opened
from tests.test_selection import simulate

FEW, MANY, SHORT_MANY = 10_000, 1_000_000, 20_000
CAMPAIGNS = 1_000
LATER_CAMPAIGNS = 100
SLOTS = (100, 5_000)
TIMES, SHORT_TIMES = 15, 3
"""How often each selection is made; the median counts."""
TOMORROW = 86_400.0
TYPES = (CampaignType.IVR, CampaignType.AGENT)

_GROUPED = """
SELECT campaign_id, count(*) AS eligible, min(received_time) AS oldest FROM contacts
WHERE status = 'pending' AND (start_time IS NULL OR start_time <= now()) AND (end_time IS NULL OR end_time >= now())
GROUP BY campaign_id
"""
"""The plain GROUP BY: what the seed's words are, as SQL."""

_ORDERED = """
SELECT id, campaign_id, received_time, arrival,
       row_number() OVER (PARTITION BY campaign_id ORDER BY received_time, arrival) AS place
FROM contacts
WHERE status = 'pending' AND (start_time IS NULL OR start_time <= now()) AND (end_time IS NULL OR end_time >= now())
"""

ROUNDS = 3


async def select(store: QueueStore, slots: int) -> list[str]:
    """The selection, as a timed dial cycle makes it; the ids in dialing order."""
    return [contact.id for contact in await store.choose(Wanted(slots, slots, TYPES))]


def measure(bench: Bench) -> Round:
    """One run through four tables."""
    many = SHORT_MANY if bench.short else MANY
    with opened(bench.reactor, bench.cancelled, keep=bench.keep) as world:
        world.start_postgres()
        prepare(world)
        database = Database(
            bench.reactor, world.conninfo, timeout=30, application_name="bench", random=Random(bench.seed), size=1
        )
        blockingCallFromThread(bench.reactor, database.startService)
        blockingCallFromThread(bench.reactor, database.when_up)
        try:
            return _measure(bench, world, database, many)
        finally:
            blockingCallFromThread(bench.reactor, database.stopService)


def _measure(bench: Bench, world: World, database: Database, many: int) -> Round:
    store = QueueStore(database, "me")
    times = SHORT_TIMES if bench.short else TIMES
    problems: list[str] = []
    figures: list[Figure] = []
    details: dict[str, Any] = {}

    def timed(slots: int, title: str, oracle: Callable[[int], list[str]]) -> float:
        took: list[float] = []

        async def once() -> list[str]:
            began = time.perf_counter()
            chosen = await select(store, slots)
            took.append((time.perf_counter() - began) * 1000)
            return chosen

        chosen = [_on_reactor(world, once) for _ in range(times)][-1]
        if chosen != oracle(slots):
            problems.append(f"{title}, S={slots}: not what the oracle chooses")
        details[f"{title}, S={slots}"] = [round(each, 2) for each in took]
        return median(took)

    def grouped() -> float:
        """On a connection with PostgreSQL's own settings: the dialer's keep it from reading a table in order."""
        took: list[float] = []
        with closing(psycopg2.connect(world.conninfo)) as connection, connection.cursor() as cursor:
            for _ in range(times):
                began = time.perf_counter()
                cursor.execute(_GROUPED)
                cursor.fetchall()
                took.append((time.perf_counter() - began) * 1000)
        return median(took)

    def beside(title: str, few: Mapping[int, float]) -> None:
        plain = grouped()
        for slots in SLOTS:
            took = timed(slots, title, lambda slots: _plain(world, slots))
            target = at_most(10) if slots == min(SLOTS) else None
            figures.append(Figure(f"{title}, S={slots:,}, beside GROUP BY", took, "ms", plain, target))
            own = Figure(f"{title}, S={slots:,}, beside 10,000", took, "ms", few[slots], at_most(1.5, ratio=True))
            figures.append(own)

    def settle() -> None:
        """What some seconds of a running dialer, and a minute of autovacuum, do."""
        _on_reactor(world, lambda: TallyStore(database).fold(1))
        _on_reactor(world, TallyStore(database).learn)
        tidy(world)

    fill(world, FEW, campaigns=CAMPAIGNS)
    settle()
    few = {slots: timed(slots, "10,000", lambda slots: _simulated(world, slots)) for slots in SLOTS}
    fill(world, many - FEW, campaigns=CAMPAIGNS, first=FEW)
    settle()
    beside(f"{many:,}", few)
    fill(world, many, campaigns=LATER_CAMPAIGNS, prefix="later", start=TOMORROW)
    settle()
    beside("... and as many for tomorrow", few)
    ask(world.conninfo, "TRUNCATE contacts")
    fill(world, FEW, campaigns=1, prefix="only")
    settle()
    few = {slots: timed(slots, "one campaign of 10,000", lambda slots: _simulated(world, slots)) for slots in SLOTS}
    fill(world, many - FEW, campaigns=1, prefix="only", first=FEW)
    settle()
    beside("one campaign", few)
    return Round(figures=figures, problems=problems, details={"milliseconds": details, "many": many})


def _plain(world: World, slots: int) -> list[str]:
    """What should be chosen, by plain SQL over the whole table and the shares that tests/test_selection.py proves."""
    rows = ask(world.conninfo, f"SELECT * FROM ({_ORDERED}) AS ordered WHERE place <= %s", [slots])
    counts = {row["campaign_id"]: row["eligible"] for row in ask(world.conninfo, _GROUPED)}
    queues: dict[str, list[dict[str, Any]]] = {}
    for row in sorted(rows, key=lambda row: row["place"]):
        queues.setdefault(row["campaign_id"], []).append(row)
    shares = allocate(
        (
            CampaignQueue(name, counts[name], queue[0]["received_time"], queue[0]["arrival"])
            for name, queue in queues.items()
        ),
        slots,
        capacity=slots,
    )
    return [row["id"] for share in shares for row in queues[share.campaign_id][: share.contacts]]


def _simulated(world: World, slots: int) -> list[str]:
    """What the oracle of tests/test_selection.py chooses; it looks at each contact again and again."""
    table = [
        {**row, "campaign": row["campaign_id"], "status": "pending", "start_time": None, "end_time": None}
        for row in ask(
            world.conninfo, "SELECT id, campaign_id, received_time, arrival FROM contacts WHERE status = 'pending'"
        )
    ]
    return [contact["id"] for contact in simulate(table, slots, False, slots)]


def _on_reactor(world: World, work: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    return blockingCallFromThread(world.reactor, lambda: Deferred.fromCoroutine(work()))
