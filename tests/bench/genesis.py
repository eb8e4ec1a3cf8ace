"""Calls per second beside a bare program of genesis that only originates and awaits the hangup, on the same switch."""

from __future__ import annotations

from contextlib import closing

from tests.bench.benchmark import Bench, Figure, Round, at_least
from tests.bench.contacts import GATEWAYS
from tests.bench.evidence import Simulator
from tests.bench.rivals import command
from tests.bench.throughput import RULES, SETTINGS, SLOTS, check, run_for
from tests.bench.world import opened
from tests.processes import output

SECONDS, SHORT_SECONDS = 30.0, 6.0
ROUNDS = 3


def measure(bench: Bench) -> Round:
    """One round: genesis alone with the simulator, then the dialer with everything, on the same simulator."""
    seconds = SHORT_SECONDS if bench.short else SECONDS
    with opened(bench.reactor, bench.cancelled, keep=bench.keep) as world:
        world.start_simulator(RULES, seed=bench.seed)
        before = world.cpu()["efswitch"]
        program = command("originate.py", world.simulator_port, seconds, SLOTS, GATEWAYS[0])
        bare = output(program, bench.cancelled, within=seconds + 60)
        spent = world.cpu()["efswitch"] - before
        with closing(Simulator(world.simulator_port)) as simulator:
            simulator.clear()
        world.start_postgres()
        world.start_vc()
        dialer = world.start_dialer(**SETTINGS)
        flow = run_for(world, [dialer], seconds, bench.seed)
        return Round(
            figures=[
                Figure(
                    "calls, beside genesis",
                    flow.per_second,
                    "/s",
                    reference=bare["calls"] / bare["seconds"],
                    target=at_least(0.5, ratio=True),
                )
            ],
            problems=check(world, flow),
            details={"genesis": bare, "simulatorCpuMsPerCallOfGenesis": round(spent * 1000 / bare["calls"], 3)},
        )
