"""Dialing while clients post as fast as they are answered, beside dialing in peace: calls per second, and lateness."""

from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Sequence
from typing import Any

from attrs import frozen

from tests.bench.benchmark import Bench, Figure, Round, at_least
from tests.bench.contacts import ivr_contacts
from tests.bench.figures import spread
from tests.bench.lists import post_list
from tests.bench.probe import Seen, program, read
from tests.bench.throughput import RULES, SLOTS
from tests.bench.world import opened
from tests.processes import output

RATE = 50.0
SECONDS, SHORT_SECONDS = 20.0, 6.0
"""Of each part: in peace, under single posts, under lists, and in peace again."""
WARM_UP = 2.0
SINGLE, LISTS = 200, 40
"""Connections: fewer than one address may have."""
LIST = 1000
"""Contacts in each list of the flood."""

ROUNDS = 3


@frozen
class Part:
    """A part of the run, by the dialer's own times."""

    rate: float
    late: float
    latest: float
    longest_turn: float
    used: float


def measure(bench: Bench) -> Round:
    """One run of one dialer through all parts; calls are over at once, so that slots limit nothing."""
    seconds = SHORT_SECONDS if bench.short else SECONDS
    with opened(bench.reactor, bench.cancelled, keep=bench.keep) as world:
        world.start_postgres()
        world.start_simulator(RULES, seed=bench.seed)
        world.start_vc()
        file = world.folder / "probe.json"
        dialer = world.start_dialer(
            program=program(file), CALLS_PER_SECOND=f"{RATE:g}", MAX_CONCURRENT_CALLS=SLOTS, HTTP_RATE=0
        )
        for start in range(0, int(RATE * (4 * seconds + 40)), 5000):
            contacts = ivr_contacts(min(5000, int(RATE * (4 * seconds + 40)) - start), bench.seed + start)
            post_list(dialer.port, contacts)
        world.pause(WARM_UP)
        times = [time.time()]
        world.pause(seconds)
        times.append(time.time())
        floods: list[Any] = []
        for connections, size in ((SINGLE, 0), (LISTS, LIST)):
            command = [sys.executable, "-m", "tests.bench.flooder", str(dialer.port), f"{seconds:g}"]
            floods.append(output([*command, str(connections), str(size)], bench.cancelled, within=seconds + 60))
            times.append(time.time())
        problems = world.deaths()
        world.stop()
        seen = read(file)
    calm, single, lists = (_part(seen, begin, end) for begin, end in itertools.pairwise(times))
    for flood in floods:
        if set(flood["statuses"]) - {"200", "503"} or not flood["statuses"].get("200"):
            problems.append(f"the flood was answered {flood['statuses']}")
    figures = []
    for name, part in (("single posts", single), ("lists", lists)):
        figures += [
            Figure(f"{name}: calls", part.rate, "/s", calm.rate, at_least(0.99, ratio=True)),
            Figure(f"{name}: 99 % not later than", part.late, "ms", calm.late),
            Figure(f"{name}: latest", part.latest, "ms", calm.latest),
            Figure(f"{name}: longest turn of the reactor", part.longest_turn, "ms", calm.longest_turn),
            Figure(f"{name}: most processor time of a turn", part.used, "ms", calm.used),
        ]
    figures.append(Figure("single posts: stored", floods[0]["statuses"].get("200", 0) / seconds, "/s"))
    figures.append(Figure("lists: stored", floods[1]["statuses"].get("200", 0) * LIST / seconds, "/s"))
    return Round(figures=figures, problems=problems, details={"floods": floods})


def _part(seen: Seen, begin: float, end: float) -> Part:
    """How it went between these times. Each call is due 1/RATE after the one before."""
    sent = sorted(at for at in seen.sent if begin <= at < end)
    late = _lateness(sent)
    turns = [turn for turn in seen.turns if begin <= turn.at <= end]
    return Part(
        rate=len(sent) / (end - begin),
        late=spread(late)["p99"] * 1000 if late else 0.0,
        latest=max(late, default=0.0) * 1000,
        longest_turn=max((turn.took for turn in turns), default=0.0) * 1000,
        used=max((turn.used for turn in turns), default=0.0) * 1000,
    )


def _lateness(sent: Sequence[float]) -> list[float]:
    return [max(0.0, after - before - 1 / RATE) for before, after in itertools.pairwise(sent)]
