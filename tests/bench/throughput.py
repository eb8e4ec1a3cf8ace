"""Calls per second through one dialer process: contact stored, dialed, ended, VC notified; nothing else limits."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from itertools import islice

from attrs import frozen

from tests.bench.benchmark import Bench, Figure, Round, at_least
from tests.bench.contacts import ivr_stream
from tests.bench.database import ask, counters, difference
from tests.bench.evidence import Notification, Originate, Simulator, VoiceConnector, rows
from tests.bench.figures import Seen, completeness, per_contact
from tests.bench.lists import post_list
from tests.bench.poster import Posted
from tests.bench.published import problems
from tests.bench.world import LULL, Dialer, World, opened

RULES = [{"outcome": "answered", "ring": 0, "talk": 0}]
"""The customer answers at once, and hangs up at once."""
SECONDS, SHORT_SECONDS = 60.0, 8.0
SLOTS = 200
"""MAX_CONCURRENT_CALLS, as many as the bare program of `genesis` has in flight."""
FASTEST = 1000
"""CALLS_PER_SECOND: the most that may be configured, so that it limits nothing."""
LIST = 1000
"""Contacts in a posted list."""
AHEAD = 2000
"""Contacts that wait, or are dialed just now, at least."""
LOOK_EVERY = 0.25
"""Seconds between two looks at how far the dialing is."""

_LEFT = """
SELECT (SELECT count(*) FROM contacts WHERE status IN ('pending', 'agent_pending', 'dialed'))
     + (SELECT count(*) FROM outbox WHERE state = 'waiting') AS left_over
"""

ROUNDS = 3
SETTINGS = {"CALLS_PER_SECOND": FASTEST, "MAX_CONCURRENT_CALLS": SLOTS}


@frozen
class Flow:
    """A run that is over. `cpu` is seconds by process, `database` what the counters of PostgreSQL grew by."""

    posted: Sequence[str]
    originates: Sequence[Originate]
    notifications: Sequence[Notification]
    seconds: float
    cpu: Mapping[str, float]
    database: Mapping[str, int]

    @property
    def per_second(self) -> float:
        """Contacts that the VC was notified of in the `seconds` from the first originate on, per second."""
        until = self.began + self.seconds
        return sum(each.at < until for each in self.notifications) / self.seconds

    @property
    def began(self) -> float:
        """The first originate, Unix seconds."""
        return min((each.at for each in self.originates), default=0.0)


def measure(bench: Bench) -> Round:
    """One run against a world of its own."""
    seconds = SHORT_SECONDS if bench.short else SECONDS
    with opened(bench.reactor, bench.cancelled, keep=bench.keep) as world:
        world.start_postgres()
        world.start_simulator(RULES, seed=bench.seed)
        world.start_vc()
        dialer = world.start_dialer(**SETTINGS)
        flow = run_for(world, [dialer], seconds, bench.seed)
        found = check(world, flow)
        calls = len(flow.posted)
        return Round(
            figures=[
                Figure("calls", flow.per_second, "/s", target=at_least(300)),
                *costs(flow),
            ],
            problems=found,
            details={
                "calls": calls,
                "seconds": seconds,
                "bySecond": by_second(flow),
                "cpuSeconds": dict(flow.cpu),
                "database": dict(flow.database),
            },
        )


def costs(flow: Flow) -> list[Figure]:
    """What a call took of the machine."""
    calls = len(flow.posted)
    cpu = per_contact(flow.cpu, calls)
    return [
        *(Figure(f"processor, {name}", spent, "ms/call") for name, spent in cpu.items()),
        *(
            Figure(f"database, {name.replace('_', ' ')}", flow.database[name] / calls, "/call")
            for name in ("commits", "wal_syncs", "wal_records", "wal_bytes", "tup_returned")
        ),
    ]


def run_for(world: World, dialers: Sequence[Dialer], seconds: float, seed: int) -> Flow:
    """Keep the dialers busy for so many seconds, then let them finish what was posted."""
    contacts = ivr_stream(seed)
    connector = VoiceConnector(world.vc_url)
    posted: list[str] = []
    with closing(Simulator(world.simulator_port)) as simulator:
        before, work, earlier = world.cpu(), counters(world.conninfo), simulator.count()
        until = time.monotonic() + seconds
        turn = 0
        while time.monotonic() < until:
            if len(posted) - (simulator.count() - earlier) < AHEAD:
                batch = list(islice(contacts, LIST))
                post_list(dialers[turn % len(dialers)].port, batch)
                posted += [contact["id"] for contact in batch]
                turn += 1
            else:
                world.pause(LOOK_EVERY)
        _await_end(world)
        world.pause(1.5)  # so late PostgreSQL's sessions report what they did
        cpu, done = world.cpu(), counters(world.conninfo)
        return Flow(
            posted,
            simulator.originates(),
            connector.notifications(),
            seconds,
            {name: cpu[name] - used for name, used in before.items()},
            difference(work, done),
        )


def _await_end(world: World) -> None:
    """Wait until nothing waits to be dialed, ended or told, or nothing has moved for a while.

    PostgreSQL is asked, since its answer costs the same however many contacts there were.
    """
    left, moved = -1, time.monotonic()
    while left != 0 and time.monotonic() < moved + LULL:
        if (now := ask(world.conninfo, _LEFT)[0]["left_over"]) != left:
            left, moved = now, time.monotonic()
        world.pause(LOOK_EVERY)


def check(world: World, flow: Flow) -> list[str]:
    """What is missing, wrong or too much."""
    posted = [Posted(contact_id, 200, 0.0, 0.0) for contact_id in flow.posted]
    seen = Seen(posted, rows(world.conninfo), flow.originates, flow.notifications)
    found = problems(completeness(flow.posted, seen), VoiceConnector(world.vc_url), world)
    if found:
        world.print_logs()
    return found


def by_second(flow: Flow) -> list[int]:
    """Notifications in each second from the first originate on."""
    counts: dict[int, int] = {}
    began = flow.began
    for each in flow.notifications:
        second = int(each.at - began)
        counts[second] = counts.get(second, 0) + 1
    return [counts.get(second, 0) for second in range(max(counts, default=-1) + 1)]
