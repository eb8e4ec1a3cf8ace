"""The published benchmark, repeated: each contact posted alone, at a steady rate, and looked for everywhere."""

from __future__ import annotations

import time
from argparse import ArgumentParser, ArgumentTypeError
from contextlib import closing
from threading import Event
from typing import Any

from attrs import frozen

from tests.bench.benchmark import Bench, Figure, Round
from tests.bench.contacts import ivr_contacts
from tests.bench.evidence import Simulator, VoiceConnector, rows
from tests.bench.figures import Seen, completeness, dialing, latencies, per_contact
from tests.bench.poster import post_all
from tests.bench.published_table import table
from tests.bench.world import LULL, World, opened
from tests.processes import pause

RULES = [{"outcome": "answered", "ring": (0.2, 1.0), "talk": (0.5, 3.0)}]
"""Seconds; drawn for each call. All are answered."""
SLOTS_PER_RATE = 10
"""Call slots for each call a second: twice what calls of 4 s and everything around them need."""
ROUNDS = 1
MOST = 100_000
"""Contacts; the simulator and the VC sandbox remember twice as many records."""


@frozen
class Plan:
    """What is asked for: how many contacts, how many a second, and whether to keep the folder of the run."""

    contacts: int = 2000
    rate: float = 30.0
    seed: int = 1
    keep: bool = False

    @property
    def slots(self) -> int:
        """MAX_CONCURRENT_CALLS."""
        return max(100, int(self.rate * SLOTS_PER_RATE))


def add_options(parser: ArgumentParser) -> None:
    """The options of this benchmark."""
    parser.add_argument("--contacts", type=_contacts, help=f"how many are posted ({Plan().contacts})")
    parser.add_argument("--rate", type=float, default=Plan().rate, help="posted and dialed a second (%(default)g)")


def _contacts(text: str) -> int:
    if not (text.isdigit() and 2 <= int(text) <= MOST):
        raise ArgumentTypeError(f"from 2 to {MOST}")
    return int(text)


def measure(bench: Bench) -> Round:
    """One run."""
    contacts = bench.options.contacts or (120 if bench.short else Plan().contacts)
    report = run(bench.reactor, Plan(contacts, bench.options.rate, bench.seed, bench.keep), bench.cancelled)
    dialed = report["dialing"]
    return Round(
        figures=[
            Figure("found everywhere", float(report["notified"]), "contacts", reference=float(contacts)),
            Figure("dialed, mean", dialed["callsPerSecond"], "/s", reference=bench.options.rate),
            Figure("dialed in the busiest second", float(dialed["busiestSecond"]), "calls"),
        ],
        problems=report["problems"],
        details=report,
        text=table(report),
    )


def run(reactor: Any, plan: Plan, cancelled: Event) -> dict[str, Any]:
    """Carry out a plan and report. Raises RunFailed; the ends of all logs are on stderr then.

    Nothing of it is left when this ends, however it does. Setting `cancelled` ends it early. Runs in a thread.
    """
    with opened(reactor, cancelled, keep=plan.keep) as world:
        report = _measure(world, plan)
        report["stoppedIn"] = world.stop()["dialer"]
        if report["stoppedIn"] is None:
            report["problems"].append("the dialer did not stop in order")
        if report["problems"]:
            world.print_logs()
        return report


def _measure(world: World, plan: Plan) -> dict[str, Any]:
    world.start_postgres()
    world.start_simulator(RULES, seed=plan.seed)
    world.start_vc()
    dialer = world.start_dialer(CALLS_PER_SECOND=f"{plan.rate:g}", MAX_CONCURRENT_CALLS=plan.slots)
    contacts = ivr_contacts(plan.contacts, plan.seed)
    connector = VoiceConnector(world.vc_url)
    before = world.cpu()
    began = time.monotonic()
    posted = post_all(dialer.port, contacts, plan.rate, world.cancelled)
    posting = time.monotonic() - began
    _await_notifications(connector, plan.contacts, world.cancelled)
    after = world.cpu()
    with closing(Simulator(world.simulator_port)) as simulator:
        seen = Seen(posted, rows(world.conninfo), simulator.originates(), connector.notifications())
    missing = completeness([contact["id"] for contact in contacts], seen)
    report = {
        "contacts": plan.contacts,
        "rate": plan.rate,
        "slots": plan.slots,
        "posted": plan.contacts - len(missing["posted"]),
        "stored": plan.contacts - len(missing["stored"]),
        "connected": plan.contacts - len(missing["connected"]),
        "notified": plan.contacts - len(missing["notified"]),
        "notifications": len(seen.notifications),
        "postedPerSecond": round(plan.contacts / posting, 2),
        "dialing": dialing(seen.originates, plan.rate),
        "milliseconds": latencies(seen),
        "cpuMillisecondsPerContact": per_contact(
            {name: after[name] - used for name, used in before.items()}, plan.contacts
        ),
        "missing": {column: ids for column, ids in missing.items() if ids},
    }
    report["problems"] = problems(report["missing"], connector, world)
    return report


def _await_notifications(connector: VoiceConnector, wanted: int, cancelled: Event) -> None:
    """Wait until the VC knows of so many contacts, or of no more for a while."""
    notified = -1
    changed = time.monotonic()
    while notified < wanted and time.monotonic() < changed + LULL:
        if (now := connector.notified()) != notified:
            notified, changed = now, time.monotonic()
        pause(cancelled, 0.2)


def problems(missing: dict[str, list[str]], connector: VoiceConnector, world: World) -> list[str]:
    """What is wrong with a run, one line each."""
    found = [f"{column}: {len(ids)} wrong" for column, ids in missing.items() if ids]
    found += world.deaths()
    if violations := connector.violations():
        found.append(f"the VC got {violations} wrong requests")
    return found
