"""Calls per second with an idle transaction held open on the database: the last part of a run beside the first."""

from __future__ import annotations

from contextlib import closing

import psycopg2

from tests.bench.benchmark import Bench, Figure, Round, at_least
from tests.bench.throughput import RULES, SETTINGS, by_second, check, run_for
from tests.bench.world import opened

SECONDS, SHORT_SECONDS = 600.0, 10.0
PARTS = 10
"""The last tenth (a minute) is held beside the first."""

ROUNDS = 1


def measure(bench: Bench) -> Round:
    """One run, with a snapshot and a transaction id held all the time, so that nothing that dies can be removed."""
    seconds = SHORT_SECONDS if bench.short else SECONDS
    with opened(bench.reactor, bench.cancelled, keep=bench.keep) as world:
        world.start_postgres()
        world.start_simulator(RULES, seed=bench.seed)
        world.start_vc()
        dialer = world.start_dialer(**SETTINGS)
        with closing(psycopg2.connect(world.conninfo)) as idle:
            idle.set_session(isolation_level="REPEATABLE READ")
            idle.cursor().execute("SELECT txid_current(), count(*) FROM contacts")
            flow = run_for(world, [dialer], seconds, bench.seed)
        part = int(seconds) // PARTS
        rates = by_second(flow)[: int(seconds)]
        first, last = sum(rates[:part]) / part, sum(rates[-part:]) / part
        return Round(
            figures=[
                Figure("calls in the last tenth", last, "/s", reference=first, target=at_least(0.7, ratio=True)),
                Figure("calls", flow.per_second, "/s"),
            ],
            problems=check(world, flow),
            details={
                "seconds": seconds,
                "bySecond": rates,
                "database": dict(flow.database),
                "cpuSeconds": dict(flow.cpu),
            },
        )
