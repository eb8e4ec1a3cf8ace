"""Slot use with a queue that is never empty: slot-seconds in a call, of all slot-seconds after the ramp-up."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing

from tests.bench.benchmark import Bench, Figure, Round, at_least
from tests.bench.contacts import ivr_contacts
from tests.bench.evidence import Originate, Simulator
from tests.bench.lists import post_list
from tests.bench.world import opened

RULES = [{"outcome": "answered", "ring": 0, "talk": (5, 30)}]
SLOTS = 100
RATE = 50
RAMP_UP = 10.0
"""Seconds: the slots are full after 2."""
SECONDS, SHORT_SECONDS = 120.0, 12.0

ROUNDS = 3


def measure(bench: Bench) -> Round:
    """One run."""
    seconds = SHORT_SECONDS if bench.short else SECONDS
    with opened(bench.reactor, bench.cancelled, keep=bench.keep) as world:
        world.start_postgres()
        world.start_simulator(RULES, seed=bench.seed)
        world.start_vc()
        dialer = world.start_dialer(CALLS_PER_SECOND=RATE, MAX_CONCURRENT_CALLS=SLOTS, CONTACT_RETRIEVAL_DELAY=20)
        post_list(dialer.port, ivr_contacts(2 * SLOTS + int(seconds + RAMP_UP) * SLOTS // 5, bench.seed))
        world.pause(RAMP_UP + seconds + 1)
        with closing(Simulator(world.simulator_port)) as simulator:
            calls = simulator.originates()
        begin = min(call.at for call in calls) + RAMP_UP
        used = in_calls(calls, begin, begin + seconds)
        twice = len(calls) - len({call.contact_id for call in calls})
        return Round(
            figures=[
                Figure(
                    "slot-seconds in a call", used, "s", reference=SLOTS * seconds, target=at_least(0.99, ratio=True)
                )
            ],
            problems=[*world.deaths(), *([f"{twice} dialed twice"] if twice else [])],
            details={"calls": len(calls)},
        )


def in_calls(calls: Sequence[Originate], begin: float, end: float) -> float:
    """Seconds of all these calls together between two moments; one without an end is up still."""
    return sum(
        max(0.0, min(end, call.ended_at if call.ended_at is not None else end) - max(begin, call.at)) for call in calls
    )
