"""Everything of a run, each part a process of its own: PostgreSQL, the simulator, the VC sandbox, and the dialers."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from threading import Event, Lock
from typing import Any

from attrs import define, field, frozen

from dialer.postgres_programs import Programs
from tests.chaos.contacts import GATEWAYS, QUEUES, RULES
from tests.consoles import SandboxConsole, SimulatorConsole
from tests.processes import Process, RunFailed, children, pause

UNLIMITED = 100_000
"""Sessions, and sessions per second, of the simulator."""
AGENTS = 400
"""More than the agent requests under way: few are refused for want of one."""
HOLD_TIME = 7200
"""Seconds that the sandbox holds an agent: longer than any run, so that one that is never freed is found."""
LEASE_TIME = 3.0
SETTINGS = {
    "MAX_CONCURRENT_CALLS": "300",
    "CONTACT_RETRIEVAL_DELAY": "1",
    "RECONCILE_INTERVAL": "2",
    "LEASE_TIME": f"{LEASE_TIME:g}",
    "AGENT_REPLY_TIMEOUT": "12",
    "ESL_CONNECT_DELAY": "1",
    "DB_CONN_TIMEOUT": "2000",
    "HTTP_INTERFACE": "127.0.0.1",
    "HTTP_PORT": "0",
}
"""Short waits, so that much happens; slots for what piles up behind a fault."""
ANSWER = 2.0
"""Seconds for an answer to `GET /readyz` and the like: one that is stopped gives none."""
STOP_WITHIN = 15.0
"""Seconds for a process to end; the dialer itself promises 10."""
RESTART_LIMIT = 60.0
"""Seconds for PostgreSQL to be back; recovery is part of it."""


@frozen
class Plan:
    """What is asked for. `duration`, in seconds, ends a run sooner than its contacts do; 0: it does not."""

    contacts: int = 100_000
    faults: int = 1000
    seed: int = 1
    dialers: int = 3
    duration: float = 0.0
    rate: float = 60.0
    fsync: bool = False
    policy: str = "hold"
    keep: bool = False


@define
class Dialer:
    """One DIALER_ID and the process that has it, if one does."""

    name: str
    lock: Lock = field(factory=Lock)
    """Held by who kills, stops or starts it: one at a time."""
    process: Process | None = None
    url: str | None = None
    """Where it serves HTTP; None while it does not."""
    ready: list[float] = field(factory=list)
    """When it was asked whether it is ready, each time that it was."""


class World:
    """The parts of one run below `folder`. The database is started by somebody else."""

    vc: SandboxConsole

    def __init__(self, folder: Path, plan: Plan, database_url: str, cancelled: Event) -> None:
        self.folder = folder
        self.plan = plan
        self.cancelled = cancelled
        self.postgres = Postgres(folder / "postgres")
        self.dialers = [Dialer(f"dialer-{number + 1}") for number in range(plan.dialers)]
        self.complaints: list[str] = []
        self.wanted = 0
        """How many contacts may be posted by now."""
        self._database_url = database_url
        self._others: list[Process] = []
        self._simulator_port = 0
        self._vc_url = ""
        self._console: SimulatorConsole | None = None
        self._console_lock = Lock()

    # -- the simulators --------------------------------------------------------------------------------------------

    def open(self) -> None:
        """Start everything but PostgreSQL, and wait until each dialer is ready."""
        rules = self.folder / "rules.json"
        rules.write_text(json.dumps(RULES))
        seed = f"--seed={self.plan.seed}"
        limits = [f"--sps={UNLIMITED}", f"--max-sessions={UNLIMITED}"]
        gateways = [f"--gateway={gateway}" for gateway in GATEWAYS]
        switch = self._start("efswitch", "--port=0", f"--rules={rules}", "--jsoriginate", seed, *limits, *gateways)
        pool = [f"--agents={AGENTS}", f"--hold-time={HOLD_TIME}", f"--queues={','.join(QUEUES)}", "--reply-delay=0.05"]
        vc = self._start("vc", seed, *pool)
        self._simulator_port = int(switch.find(r"simulator listening on \S+:(\d+)\n", self.cancelled))
        self._vc_url = vc.find(r"sandbox listening on (http://\S+)\n", self.cancelled)
        self.vc = SandboxConsole(self._vc_url)
        for dialer in self.dialers:
            self.start_dialer(dialer)
        self.until_ready(self.dialers, 60.0)

    def _start(self, name: str, *arguments: str) -> Process:
        process = Process(name, [sys.executable, "-m", f"dialer.sandbox.{name}", *arguments], self.folder)
        self._others.append(process)
        return process

    def simulator(self, *, again: bool = True, **order: Any) -> dict[str, Any]:
        """Order the simulator something, however often it hangs up meanwhile.

        An order not to be given `again` counts as carried out when its answer is lost: it may well be the cause.
        """
        deadline = time.monotonic() + RESTART_LIMIT
        while True:
            with self._console_lock:
                sent = False
                try:
                    if self._console is None:
                        self._console = SimulatorConsole(self._simulator_port)
                        # One that has used the command is spared by the faults.
                        self._console.order(faults=True)
                    sent = True
                    return self._console.order(**order)
                except OSError:
                    self._hang_up()
                    if sent and not again:
                        return {}
                    if time.monotonic() > deadline or not self._others[0].running:
                        raise RunFailed("the simulator does not answer") from None
            pause(self.cancelled, 0.1)

    def _hang_up(self) -> None:
        if self._console is not None:
            self._console.close()
            self._console = None

    # -- the dialers -----------------------------------------------------------------------------------------------

    def start_dialer(self, dialer: Dialer) -> None:
        """Start it; returns once it serves HTTP, however long PostgreSQL is away."""
        process = dialer.process = Process(
            dialer.name,
            [str(Path(sys.executable).with_name("twistd")), "-n", "--pidfile=", "dialer"],
            self.folder,
            SETTINGS
            | {
                "DB_URL": self._database_url,
                "ESL_IP": f"127.0.0.1:{self._simulator_port}",
                "VOICE_CONNECTOR": self._vc_url,
                "CALLS_PER_SECOND": f"{max(5.0, self.plan.rate * 1.3 / self.plan.dialers):g}",
                "EFSWITCH_DOWN_POLICY": self.plan.policy,
                "DIALER_ID": dialer.name,
            },
        )
        dialer.url = process.find(r"HTTP interface listening on (http://\S+)", self.cancelled)

    def kill(self, dialer: Dialer) -> None:
        """SIGKILL; to be called with its lock."""
        process, dialer.process, dialer.url = dialer.process, None, None
        if process is not None:
            process.kill()

    def end(self, dialer: Dialer) -> float:
        """SIGTERM; how many seconds it took. To be called with its lock."""
        process, dialer.process, dialer.url = dialer.process, None, None
        took = process.stop(STOP_WITHIN) if process is not None else 0.0
        if took is None:
            self.complaints.append(f"{dialer.name} did not end in order within {STOP_WITHIN:g} s")
        return STOP_WITHIN if took is None else took

    def signal(self, dialer: Dialer, number: signal.Signals) -> None:
        """SIGSTOP or SIGCONT."""
        if dialer.process is not None:
            dialer.process.send(number)

    def look(self, dialer: Dialer) -> bool:
        """Ask one whether it is ready; remembers when it was. One that ended by itself is started again, and told."""
        process, url = dialer.process, dialer.url
        if process is None or url is None:
            return False
        if not process.running:
            with dialer.lock:
                if dialer.process is process:
                    self.complaints.append(f"{dialer.name} ended by itself with status {process.status}")
                    self.start_dialer(dialer)
            return False
        asked = time.time()
        with suppress(OSError), urllib.request.urlopen(f"{url}/readyz", timeout=ANSWER):
            dialer.ready.append(asked)
            return True
        return False

    def until_ready(self, dialers: Sequence[Dialer], within: float) -> None:
        """Wait for them all."""
        deadline = time.monotonic() + within
        while waiting := [dialer.name for dialer in dialers if not self.look(dialer)]:
            if time.monotonic() > deadline:
                raise RunFailed(f"not ready within {within:g} s: {', '.join(waiting)}")
            pause(self.cancelled, 0.1)

    def urls(self) -> list[str]:
        """Where the dialers serve, those that do."""
        return [dialer.url for dialer in self.dialers if dialer.url is not None]

    def get(self, url: str) -> Any:
        """What a dialer answers to a GET; None unless 200."""
        with suppress(OSError, ValueError), urllib.request.urlopen(url, timeout=ANSWER) as response:
            return json.load(response)
        return None

    def close(self) -> None:
        """End all processes, the dialers first, in order where they can."""
        self._hang_up()
        mine = [dialer.process for dialer in self.dialers if dialer.process is not None and dialer.process.running]
        for process in mine:
            process.send(signal.SIGCONT)
            process.send(signal.SIGTERM)
        for process in mine:
            process.stop(STOP_WITHIN)
        for process in reversed(self._others):
            process.stop(STOP_WITHIN)
        self._others.clear()


class Postgres:
    """What is done to the embedded PostgreSQL in `folder` behind its owner's back. Each call blocks."""

    def __init__(self, folder: Path) -> None:
        self._programs = Programs(folder, folder / "data")
        self._pid_file = folder / "data" / "postmaster.pid"
        self.lock = Lock()
        """Held by who restarts or freezes it: one at a time."""

    def restart(self, mode: str) -> None:
        """`pg_ctl restart`, with the options that it has; `mode` is fast or immediate."""
        limit = f"{RESTART_LIMIT:g}"
        arguments = ["-D", "data", "-l", "log", "-m", mode, "-w", "-t", limit, "restart"]
        done = self._programs.run("pg_ctl", arguments, RESTART_LIMIT + 5)
        if not done.well:
            raise RunFailed(f"PostgreSQL does not restart: {done.output.strip()}")

    def freeze(self, seconds: float, cancelled: Event) -> None:
        """Stop all its processes for so long."""
        postmaster = int(self._pid_file.read_text().split("\n", 1)[0])
        frozen: list[int] = []
        try:
            # The postmaster first: it makes the others.
            for pid in (postmaster, *children(postmaster)):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGSTOP)
                    frozen.append(pid)
            cancelled.wait(seconds)
        finally:
            for pid in reversed(frozen):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)
