"""One run: everything real started, the contacts posted, the end awaited, what each side saw collected, all stopped."""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
import time
import urllib.error
import urllib.request
from contextlib import closing
from pathlib import Path
from threading import Event
from typing import Any
from urllib.parse import quote, urlencode

from attrs import define, field, frozen
from psycopg2.extensions import parse_dsn
from twisted.internet.threads import deferToThread

from dialer.postgres import EmbeddedPostgres
from tests.bench.contacts import GATEWAYS, ivr_contacts
from tests.bench.evidence import Simulator, VoiceConnector, rows
from tests.bench.figures import Seen, completeness, dialing, latencies, per_contact
from tests.bench.poster import post_all
from tests.processes import Process, RunFailed, cpu_seconds_of_family, pause

DURABLE = {"fsync": "on", "synchronous_commit": "on"}
RING = (0.2, 1.0)
TALK = (0.5, 3.0)
"""Seconds; drawn for each call. All are answered."""
SLOTS_PER_RATE = 10
"""Call slots for each call a second: twice what calls of 4 s and everything around them need."""
UNLIMITED = 100_000
"""Sessions, and sessions per second, of the simulator."""
LULL = 20.0
"""Seconds without another notification after which no more are waited for."""
LOG_LINES = 30
"""Shown of each log when a run fails."""
STOP_WITHIN = 15.0
"""Seconds for a process to end; the dialer itself promises 10."""


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


@define
class _World:
    folder: Path
    postgres: EmbeddedPostgres
    processes: list[Process] = field(factory=list)
    conninfo: str = ""
    dialer_port: int = 0
    simulator_port: int = 0
    vc_url: str = ""

    def add(self, name: str, command: list[str], environment: dict[str, str] | None = None) -> Process:
        process = Process(name, command, self.folder, environment)
        self.processes.append(process)
        return process

    def cpu(self) -> dict[str, float]:
        """Seconds of processor time used so far, by process."""
        used = {process.name: process.cpu() for process in self.processes}
        return {**used, "postgresql": cpu_seconds_of_family(self.postgres.pid or 0), "poster": time.process_time()}


async def run(reactor: Any, plan: Plan, cancelled: Event) -> dict[str, Any]:
    """Carry out a plan and report (see `report`). Fails with RunFailed; the ends of all logs are on stderr then.

    Nothing of it is left when this ends, however it does. Setting `cancelled` ends it early.
    """
    folder = Path(tempfile.mkdtemp(prefix="dialer-bench-"))
    world = _World(folder, EmbeddedPostgres(reactor, folder / "postgres", options=DURABLE))
    report: dict[str, Any] = {}
    complete = False
    try:
        world.conninfo = await world.postgres.start()
        report = await deferToThread(_measure, world, plan, cancelled)
        report["stoppedIn"] = await deferToThread(_stop, world)
        if report["stoppedIn"] is None:
            report["problems"].append("the dialer did not stop in order")
        complete = not report["problems"]
        return report
    finally:
        await deferToThread(_stop, world)
        await world.postgres.stop()
        if not complete:
            _print_logs(world)
        if plan.keep:
            sys.stderr.write(f"Kept: {folder}\n")
        else:
            shutil.rmtree(folder, ignore_errors=True)


def _stop(world: _World) -> float | None:
    """Stop the processes, the dialer first; how many seconds that one took, None when it had to be killed."""
    took: float | None = 0.0
    while world.processes:
        process = world.processes[-1]
        ended = process.stop(STOP_WITHIN)
        if process.name == "dialer":
            took = ended
        world.processes.pop()
    return took


def _measure(world: _World, plan: Plan, cancelled: Event) -> dict[str, Any]:
    """Everything between the start of PostgreSQL and the end of the processes; runs in a thread."""
    _start(world, plan, cancelled)
    contacts = ivr_contacts(plan.contacts, plan.seed)
    connector = VoiceConnector(world.vc_url)
    before = world.cpu()
    began = time.monotonic()
    posted = post_all(world.dialer_port, contacts, plan.rate, cancelled)
    posting = time.monotonic() - began
    _await_notifications(connector, plan.contacts, cancelled)
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
    report["problems"] = _problems(report, connector, world)
    return report


def _start(world: _World, plan: Plan, cancelled: Event) -> None:
    rules = world.folder / "rules.json"
    rules.write_text(json.dumps([{"outcome": "answered", "ring": RING, "talk": TALK}]))
    python = [sys.executable, "-m"]
    seed = ["--seed", str(plan.seed)]
    limits = ["--sps", str(UNLIMITED), "--max-sessions", str(UNLIMITED)]
    gateways = [f"--gateway={gateway}" for gateway in GATEWAYS]
    switch = world.add(
        "efswitch",
        [
            *python,
            "dialer.sandbox.efswitch",
            "--port=0",
            f"--rules={rules}",
            "--jsoriginate",
            *seed,
            *limits,
            *gateways,
        ],
    )
    vc = world.add("vc", [*python, "dialer.sandbox.vc"])
    world.simulator_port = int(switch.find(r"simulator listening on \S+:(\d+)\n", cancelled))
    world.vc_url = vc.find(r"sandbox listening on (http://\S+)\n", cancelled)
    dialer = world.add(
        "dialer",
        [str(Path(sys.executable).with_name("twistd")), "-n", "--pidfile=", "dialer"],
        {
            "DB_URL": _url(world.conninfo),
            "ESL_IP": f"127.0.0.1:{world.simulator_port}",
            "VOICE_CONNECTOR": world.vc_url,
            "CALLS_PER_SECOND": f"{plan.rate:g}",
            "MAX_CONCURRENT_CALLS": str(plan.slots),
            "HTTP_INTERFACE": "127.0.0.1",
            "HTTP_PORT": "0",
            "DIALER_ID": "bench",
        },
    )
    world.dialer_port = int(dialer.find(r"HTTP interface listening on http://\S+:(\d+)\n", cancelled))
    _await_ready(world.dialer_port, dialer, cancelled)


def _url(conninfo: str) -> str:
    parts = parse_dsn(conninfo)
    return f"postgresql:///{quote(parts.pop('dbname'))}?{urlencode(parts)}"


def _await_ready(port: int, dialer: Process, cancelled: Event, within: float = 30.0) -> None:
    deadline = time.monotonic() + within
    while dialer.running and time.monotonic() < deadline:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=within).close()
        except urllib.error.URLError:
            pause(cancelled, 0.1)
        else:
            return
    raise RunFailed("the dialer does not become ready")


def _await_notifications(connector: VoiceConnector, wanted: int, cancelled: Event) -> None:
    """Wait until the VC knows of all contacts, or of no more for a while."""
    notified = -1
    changed = time.monotonic()
    while notified < wanted and time.monotonic() < changed + LULL:
        if (now := connector.notified()) != notified:
            notified, changed = now, time.monotonic()
        pause(cancelled, 0.2)


def _problems(report: dict[str, Any], connector: VoiceConnector, world: _World) -> list[str]:
    problems = [f"{column}: {len(ids)} wrong" for column, ids in report["missing"].items()]
    problems += [f"{process.name} died" for process in world.processes if not process.running]
    if violations := connector.violations():
        problems.append(f"the VC got {violations} wrong requests")
    return problems


def _print_logs(world: _World) -> None:
    for log in (*sorted(world.folder.glob("*.log")), world.folder / "postgres" / "log"):
        if log.exists():
            tail = "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-LOG_LINES:])
            sys.stderr.write(f"--- the end of {log.name} of {log.parent.name}:\n{tail}\n")
