"""Resident memory of the dialer with 1,000,000 pending contacts over that with 10,000, while it dials."""

from __future__ import annotations

import re
from contextlib import closing
from pathlib import Path

from tests.bench.benchmark import Bench, Figure, Round, at_most
from tests.bench.evidence import Simulator
from tests.bench.fill import fill, prepare, tidy
from tests.bench.throughput import RULES
from tests.bench.world import World, opened

FEW, MANY, SHORT_MANY = 10_000, 1_000_000, 50_000
CAMPAIGNS = 100
RATE = 20
SECONDS, SHORT_SECONDS = 30.0, 5.0

ROUNDS = 3


def measure(bench: Bench) -> Round:
    """One run: a dialer with few contacts, then another process with many."""
    seconds = SHORT_SECONDS if bench.short else SECONDS
    many = SHORT_MANY if bench.short else MANY
    with opened(bench.reactor, bench.cancelled, keep=bench.keep) as world:
        world.start_postgres()
        world.start_simulator(RULES, seed=bench.seed)
        world.start_vc()
        prepare(world)
        fill(world, FEW, campaigns=CAMPAIGNS)
        tidy(world)
        few_now, few_most, few_calls = _dial(world, "dialer-few", seconds)
        fill(world, many - FEW, campaigns=CAMPAIGNS, first=FEW)
        tidy(world)
        many_now, many_most, many_calls = _dial(world, "dialer-many", seconds)
        return Round(
            figures=[
                Figure("more memory", many_now - few_now, "MB", target=at_most(20)),
                Figure("resident", many_now, "MB", few_now),
                Figure("resident at the most", many_most, "MB", few_most),
            ],
            problems=[
                f"nothing was dialed with {n:,}" for n, calls in ((FEW, few_calls), (many, many_calls)) if not calls
            ],
            details={"few": FEW, "many": many, "calls": [few_calls, many_calls]},
        )


def _dial(world: World, name: str, seconds: float) -> tuple[float, float, int]:
    """Resident MB at the end of a while of dialing, the most there were, and how many calls were placed."""
    dialer = world.start_dialer(name=name, CALLS_PER_SECOND=RATE, MAX_CONCURRENT_CALLS=100)
    with closing(Simulator(world.simulator_port)) as simulator:
        before = simulator.count()
        world.pause(seconds)
        calls = simulator.count() - before
    status = Path(f"/proc/{dialer.process.pid}/status").read_text()
    world.stop_one(dialer.process)
    return _megabytes(status, "VmRSS"), _megabytes(status, "VmHWM"), calls


def _megabytes(status: str, name: str) -> float:
    found = re.search(rf"^{name}:\s+(\d+) kB$", status, re.MULTILINE)
    return int(found[1]) / 1024 if found else 0.0
