"""One run: everything started, the contacts posted in a storm, the calm awaited, everybody's records compared."""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle
from pathlib import Path
from threading import Event, Thread
from typing import Any

from attrs import frozen
from twisted.internet.threads import deferToThread

from dialer.postgres import EmbeddedPostgres
from tests.chaos import chronicle
from tests.chaos.chronicle import Chronicle
from tests.chaos.contacts import batches
from tests.chaos.poster import Poster
from tests.chaos.storm import Storm
from tests.chaos.verdict import Evidence, Left, Verdict, Violation
from tests.chaos.weather import Fault, Weather
from tests.chaos.world import Plan, World
from tests.processes import Interrupted, pause
from tests.service.world import database_url

POSTERS = 6
"""Requests under way at once."""
BACKLOG = 12.0
"""Seconds of dialing that may wait in the queue."""
LOOK = 0.25
"""Seconds between two looks at whether a dialer is ready."""
TURN = 0.5
"""Seconds that the VC replies to one dialer before it is another's turn."""
DRAIN = 1.0
DRAIN_CALLS = 5.0
"""Seconds between two looks at the simulators' records: at 100 calls a second 20,000 last for more than 30 s."""
PATIENCE = 420.0
"""Seconds after the last fault in which everything must be over: a notification that failed often waits for 5 min."""
READY_WITHIN = 60.0
"""Seconds after the last fault in which each dialer must be ready."""


@frozen
class Report:
    """What a run found."""

    plan: Plan
    seconds: float
    settling: float
    faults: list[Fault]
    evidence: Evidence
    posting: dict[str, int]
    unknown: dict[str, int]
    repeated: int
    violations: list[Violation]
    histories: dict[str, Any]


async def run(reactor: Any, plan: Plan, cancelled: Event, parent: Path | None = None) -> Report:
    """Carry out a plan in a folder below `parent`. Fails with RunFailed when it cannot be carried through.

    No process is left when this ends, however it does; the folder is, when the plan says so or something is violated.
    Setting `cancelled` ends it early.
    """
    folder = Path(tempfile.mkdtemp(prefix="chaos-", dir=parent))
    # A commit must outlive the server, whatever the disk does: each is written before it is confirmed.
    options = {"fsync": "on" if plan.fsync else "off", "synchronous_commit": "on", "max_connections": "100"}
    postgres = EmbeddedPostgres(reactor, folder / "postgres", options=options)
    keep = True
    try:
        conninfo = await postgres.start()
        world = World(folder, plan, database_url(conninfo), cancelled)
        report: Report = await deferToThread(_guarded, world, conninfo)
        keep = plan.keep or bool(report.violations)
        return report
    except Interrupted:
        keep = plan.keep
        raise
    finally:
        await postgres.stop()
        if keep:
            sys.stderr.write(f"Kept: {folder}\n")
        else:
            shutil.rmtree(folder, ignore_errors=True)


def _guarded(world: World, conninfo: str) -> Report:
    try:
        world.open()
        return _Run(world, conninfo).report()
    finally:
        world.close()


class _Run:
    """What happens between the start of the processes and their end; in a thread, with threads of its own."""

    def __init__(self, world: World, conninfo: str) -> None:
        self._world = world
        self._conninfo = conninfo
        self._chronicle = Chronicle(world)
        self._poster = Poster(world, batches(world.plan.contacts, world.plan.seed))
        self._storm = Storm(world, conninfo, lambda: len(self._chronicle.notified))
        self._over = Event()
        self._failures: list[BaseException] = []

    def report(self) -> Report:
        """Do it all."""
        plan, world = self._world.plan, self._world
        began = time.monotonic()
        until = began + plan.duration if plan.duration else float("inf")
        watchers = [Thread(target=self._keep_doing, args=(lambda d=d: world.look(d), LOOK)) for d in world.dialers]
        watchers += [
            Thread(target=self._keep_doing, args=(self._pace, DRAIN)),
            Thread(target=self._keep_doing, args=(self._chronicle.drain_simulator, DRAIN_CALLS)),
            Thread(target=self._keep_doing, args=(self._router(), TURN)),
        ]
        for watcher in watchers:
            watcher.start()
        try:
            with ThreadPoolExecutor(POSTERS) as pool:
                posters = [pool.submit(self._poster.work, number) for number in range(POSTERS)]
                try:
                    self._storm.blow(until)
                    while not all(each.done() for each in posters) and time.monotonic() < until:
                        pause(world.cancelled, 0.1)
                finally:
                    self._poster.close()
                for each in posters:
                    each.result()
            blew = time.monotonic()
            self._calm()
            settled = time.monotonic()
        except BaseException as error:
            world.cancelled.set()
            # Who fails calls all others off.
            raise (self._failures[0] if self._failures else error) from None
        finally:
            self._storm.close()
            self._over.set()
            for watcher in watchers:
                watcher.join()
        return self._judge(blew - began, settled - blew)

    def _keep_doing(self, act: Callable[[], Any], every: float) -> None:
        while not self._over.wait(every) and not self._world.cancelled.is_set():
            try:
                act()
            except Interrupted:
                return
            except Exception as error:
                self._failures.append(error)
                self._world.cancelled.set()
                return

    def _pace(self) -> None:
        """See what is done, and let more be posted."""
        self._chronicle.drain_sandbox()
        self._world.wanted = len(self._chronicle.notified) + int(BACKLOG * self._world.plan.rate)

    def _router(self) -> Callable[[], None]:
        """Have the VC reply to each of the dialers in turn."""
        turns = cycle(self._world.dialers)

        def route() -> None:
            url = next((url for dialer in (next(turns) for _ in self._world.dialers) if (url := dialer.url)), None)
            if url is not None:
                self._world.vc.post("settings", {"dialerUrl": url})

        return route

    def _calm(self) -> None:
        """No fault any more: wait until nothing is left to do, but not for ever."""
        world = self._world
        world.simulator(fault="clear")
        deadline = time.monotonic() + READY_WITHIN
        while not all(dialer.ready and dialer.ready[-1] > time.time() - 3 for dialer in world.dialers):
            if time.monotonic() > deadline:
                world.complaints.append(f"not every dialer is ready {READY_WITHIN:g} s after the last fault")
                break
            pause(world.cancelled, 0.1)
        deadline = time.monotonic() + PATIENCE
        while chronicle.unfinished(self._conninfo) != (0, 0) and time.monotonic() < deadline:
            pause(world.cancelled, 0.5)

    def _judge(self, seconds: float, settling: float) -> Report:
        world = self._world
        names = [dialer.name for dialer in world.dialers]
        # A call that was never anybody's may still ring.
        pause(world.cancelled, 1.0)
        self._chronicle.drain_simulator()
        self._chronicle.drain_sandbox()
        weather = Weather(self._storm.faults, {dialer.name: dialer.ready for dialer in world.dialers})
        evidence = Evidence(
            self._poster.posted,
            chronicle.rows(self._conninfo),
            chronicle.outbox(self._conninfo),
            self._chronicle.originates,
            self._chronicle.told,
            weather,
            self._left(names),
            chronicle.senders(world.folder, names),
        )
        verdict = Verdict(evidence)
        violations = verdict.violations()
        return Report(
            world.plan,
            seconds,
            settling,
            self._storm.faults,
            evidence,
            dict(self._poster.counts),
            verdict.unknown(),
            verdict.repeated_notifications(),
            violations,
            self._histories(violations),
        )

    def _left(self, names: list[str]) -> Left:
        world = self._world
        active: dict[str, int] = {}
        for dialer in world.dialers:
            status = world.get(f"{dialer.url}/status")
            active[dialer.name] = -1 if status is None else status["activeCalls"] + status["totalActiveCalls"]
        summary = world.vc.get("summary")
        return Left(
            active,
            [call["uuid"] for call in world.simulator(calls=True)["calls"]],
            {
                agent: self._poster.posted[contact_id].customer_number
                for agent, contact_id in summary["agents"]["held"].items()
            },
            chronicle.locked(self._conninfo),
            summary["violations"],
            [*world.complaints, *chronicle.tracebacks(world.folder, names)],
        )

    def _histories(self, violations: list[Violation]) -> dict[str, Any]:
        """What the dialer itself says of the contacts of these violations, where it can."""
        wanted = list(dict.fromkeys(each.contact_id for each in violations if each.contact_id is not None))[:20]
        url = next(iter(self._world.urls()), None)
        return {each: self._world.get(f"{url}/contact/{each}/history") for each in wanted}
