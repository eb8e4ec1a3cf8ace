"""Seconds from the start of the process until it can dial, with 1,000,000 rows, 5,000 of them active."""

from __future__ import annotations

import time
from contextlib import closing

from tests.bench.benchmark import Bench, Figure, Round, at_most
from tests.bench.contacts import GATEWAYS
from tests.bench.database import ask
from tests.bench.evidence import Simulator
from tests.bench.fill import fill, prepare, tidy
from tests.bench.world import World, opened

RULES = [{"outcome": "answered", "ring": 0, "talk": 3600}]
ROWS, SHORT_ROWS = 1_000_000, 20_000
ACTIVE, SHORT_ACTIVE = 5_000, 200
CAMPAIGNS = 1_000
SETTINGS = {"CALLS_PER_SECOND": 1, "MAX_CONCURRENT_CALLS": 1}
"""It is full from the start: nothing but the start is measured."""

_ACTIVATE = """
UPDATE contacts SET status = 'dialed', taking = 1, owner = 'dialer', switch = %(switch)s,
       dial_time = now() - interval '5 minutes'
WHERE id IN (SELECT id FROM contacts WHERE status = 'pending' ORDER BY arrival LIMIT %(active)s)
RETURNING id, customer_number
"""

ROUNDS = 3


def measure(bench: Bench) -> Round:
    """One round: a start with all calls up at the switch, and one with all of them gone."""
    rows, active = (SHORT_ROWS, SHORT_ACTIVE) if bench.short else (ROWS, ACTIVE)
    with opened(bench.reactor, bench.cancelled, keep=bench.keep) as world:
        world.start_postgres()
        port = world.start_simulator(RULES, seed=bench.seed)
        world.start_vc()
        prepare(world)
        fill(world, rows, campaigns=CAMPAIGNS)
        calls = ask(world.conninfo, _ACTIVATE, {"switch": f"127.0.0.1:{port}", "active": active})
        tidy(world)
        problems: list[str] = []
        gone = _ready_after(world, problems)
        ask(world.conninfo, "UPDATE contacts SET status = 'pending', owner = NULL WHERE status <> 'pending'")
        ask(world.conninfo, _ACTIVATE, {"switch": f"127.0.0.1:{port}", "active": active})
        tidy(world)
        with closing(Simulator(port)) as simulator:
            for call in calls:
                simulator.originate(call["id"], call["customer_number"], GATEWAYS[0])
            placed = simulator.count()
            live = _ready_after(world, problems)
            if (more := simulator.count() - placed) > 0:
                problems.append(f"{more} calls were placed though all slots are taken")
        return Round(
            figures=[
                Figure("ready, its calls up at the switch", live, "s", target=at_most(5)),
                Figure("ready, its calls gone", gone, "s", target=at_most(5)),
            ],
            problems=problems,
            details={"rows": rows, "active": active},
        )


def _ready_after(world: World, problems: list[str]) -> float:
    began = time.monotonic()
    dialer = world.start_dialer(**SETTINGS)
    took = time.monotonic() - began
    problems += world.deaths()
    world.stop_one(dialer.process)
    return took
