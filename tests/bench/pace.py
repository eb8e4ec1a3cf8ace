"""Evenness of the throttle: originates in any second, by the dialer's own times and by the simulator's clock."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing

from tests.bench.benchmark import Bench, Figure, Round, at_least, at_most
from tests.bench.contacts import ivr_contacts
from tests.bench.evidence import Simulator
from tests.bench.figures import busiest_second
from tests.bench.lists import post_list
from tests.bench.probe import program, read
from tests.bench.throughput import RULES, SLOTS
from tests.bench.world import opened

RATE = 50.0
SECONDS, SHORT_SECONDS = 60.0, 6.0
WARM_UP = 2.0
"""Seconds that are not looked at."""

ROUNDS = 3


def measure(bench: Bench) -> Round:
    """One run; calls are over at once, so that slots limit nothing."""
    seconds = SHORT_SECONDS if bench.short else SECONDS
    with opened(bench.reactor, bench.cancelled, keep=bench.keep) as world:
        world.start_postgres()
        world.start_simulator(RULES, seed=bench.seed)
        world.start_vc()
        file = world.folder / "probe.json"
        dialer = world.start_dialer(program=program(file), CALLS_PER_SECOND=f"{RATE:g}", MAX_CONCURRENT_CALLS=SLOTS)
        post_list(dialer.port, ivr_contacts(int(RATE * (seconds + WARM_UP + 5)), bench.seed))
        world.pause(WARM_UP + seconds + 1)
        with closing(Simulator(world.simulator_port)) as simulator:
            received = [each.at for each in simulator.originates()]
        problems = world.deaths()
        world.stop()
        sent = read(file).sent
        own, theirs = _within(sent, seconds), _within(received, seconds)
        return Round(
            figures=[
                Figure("busiest second, when sent", float(busiest_second(own)), "calls", RATE, at_most(RATE)),
                Figure("mean, when sent", _mean(own), "/s", RATE, at_least(RATE * 0.99)),
                Figure("busiest second, at the simulator", float(busiest_second(theirs)), "calls", RATE),
                Figure("mean, at the simulator", _mean(theirs), "/s", RATE),
            ],
            problems=problems,
            details={"sent": len(sent), "received": len(received)},
        )


def _within(times: Sequence[float], seconds: float) -> list[float]:
    begin = min(times, default=0.0) + WARM_UP
    return sorted(time for time in times if begin <= time < begin + seconds)


def _mean(times: Sequence[float]) -> float:
    return (len(times) - 1) / (times[-1] - times[0]) if len(times) > 1 else 0.0
