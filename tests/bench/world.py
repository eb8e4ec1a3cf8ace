"""What a benchmark runs against: PostgreSQL, the simulator, the VC sandbox and dialers, each a process of its own.

For benchmarks, which run in a thread: everything here waits, and a run that is called off ends it with Interrupted.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import Any
from urllib.parse import quote, urlencode

from attrs import define, field, frozen
from psycopg2.extensions import parse_dsn
from twisted.internet.defer import Deferred
from twisted.internet.threads import blockingCallFromThread

from dialer.postgres import EmbeddedPostgres
from tests.bench.contacts import GATEWAYS
from tests.processes import Process, RunFailed, cpu_seconds_of_family, pause

DURABLE = {"fsync": "on", "synchronous_commit": "on"}
UNLIMITED = 1_000_000
"""Sessions, and sessions per second, of the simulator."""
RECORDS = 400_000
"""Records that the simulator and the VC sandbox keep: all of a run, which is checked when it is over."""
LULL = 20.0
"""Seconds without another notification after which no more are waited for."""
LOG_LINES = 30
"""Shown of each log when a run fails."""
STOP_WITHIN = 15.0
"""Seconds for a process to end; the dialer itself promises 10."""


@frozen
class Dialer:
    """A dialer that is ready: its process and the port where it serves HTTP."""

    process: Process
    port: int


@define
class World:
    """The processes of one run, their logs and data below `folder`. Started one by one, stopped by `opened`."""

    reactor: Any
    folder: Path
    cancelled: Event
    postgres: EmbeddedPostgres
    processes: list[Process] = field(factory=list)
    conninfo: str = ""
    simulator_port: int = 0
    vc_url: str = ""

    def start_postgres(self) -> str:
        """Run PostgreSQL; its conninfo."""
        self.conninfo = blockingCallFromThread(self.reactor, Deferred.fromCoroutine, self.postgres.start())
        return self.conninfo

    def start_simulator(self, rules: Sequence[Mapping[str, Any]], *, seed: int = 1) -> int:
        """Run the simulator, with JSoriginate, the gateways of the contacts and no limits; its port."""
        file = self.folder / "rules.json"
        file.write_text(json.dumps(rules))
        switch = self.add(
            "efswitch",
            [
                *(sys.executable, "-m", "dialer.sandbox.efswitch", "--port=0", "--jsoriginate"),
                *(f"--rules={file}", f"--seed={seed}", f"--records={RECORDS}"),
                *(f"--sps={UNLIMITED}", f"--max-sessions={UNLIMITED}"),
                *(f"--gateway={gateway}" for gateway in GATEWAYS),
            ],
        )
        self.simulator_port = int(switch.find(r"simulator listening on \S+:(\d+)\n", self.cancelled))
        return self.simulator_port

    def start_vc(self) -> str:
        """Run the VC sandbox; its base URL."""
        vc = self.add("vc", [sys.executable, "-m", "dialer.sandbox.vc", f"--records={RECORDS}"])
        self.vc_url = vc.find(r"sandbox listening on (http://\S+)\n", self.cancelled)
        return self.vc_url

    def start_dialer(
        self, *, name: str = "dialer", program: Sequence[str] | None = None, ready_within: float = 60.0, **settings: Any
    ) -> Dialer:
        """Run a dialer with these settings (names as in the environment) and wait until it can dial.

        `program` replaces `twistd`.
        """
        command = program or (str(Path(sys.executable).with_name("twistd")),)
        process = self.add(
            name,
            [*command, "-n", "--pidfile=", "dialer"],
            {
                "DB_URL": database_url(self.conninfo),
                "ESL_IP": f"127.0.0.1:{self.simulator_port}",
                "VOICE_CONNECTOR": self.vc_url,
                "HTTP_INTERFACE": "127.0.0.1",
                "HTTP_PORT": "0",
                "DIALER_ID": name,
                **{key: str(value) for key, value in settings.items()},
            },
        )
        port = int(process.find(r"HTTP interface listening on http://\S+:(\d+)\n", self.cancelled))
        _await_ready(port, process, self.cancelled, ready_within)
        return Dialer(process, port)

    def add(self, name: str, command: Sequence[str], environment: Mapping[str, str] | None = None) -> Process:
        """Run any other program; its log is in `folder`."""
        process = Process(name, command, self.folder, environment)
        self.processes.append(process)
        return process

    def cpu(self) -> dict[str, float]:
        """Seconds of processor time used so far, by process; `bench` is this program."""
        used = {process.name: process.cpu() for process in self.processes}
        return {**used, "postgresql": cpu_seconds_of_family(self.postgres.pid or 0), "bench": time.process_time()}

    def pause(self, seconds: float) -> None:
        """Wait, unless the run is called off."""
        pause(self.cancelled, seconds)

    def deaths(self) -> list[str]:
        """Which processes ended by themselves, as problems."""
        return [f"{process.name} died" for process in self.processes if not process.running]

    def stop_one(self, process: Process) -> None:
        """Stop one of the processes before the others. Raises RunFailed when it does not stop in order."""
        self.processes.remove(process)
        if process.stop(STOP_WITHIN) is None:
            raise RunFailed(f"{process.name} did not stop in order")

    def stop(self) -> dict[str, float | None]:
        """Stop the processes, the youngest first; how many seconds each took, None when it had to be killed."""
        took: dict[str, float | None] = {}
        while self.processes:
            process = self.processes[-1]
            took[process.name] = process.stop(STOP_WITHIN)
            self.processes.pop()
        return took

    def print_logs(self) -> None:
        """Show the ends of all logs on stderr."""
        for log in (*sorted(self.folder.glob("*.log")), self.folder / "postgres" / "log"):
            if log.exists():
                tail = "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-LOG_LINES:])
                sys.stderr.write(f"--- the end of {log.name} of {log.parent.name}:\n{tail}\n")


@contextmanager
def opened(
    reactor: Any, cancelled: Event, *, keep: bool = False, postgres: Mapping[str, str] | None = None
) -> Iterator[World]:
    """A world with nothing running in it yet; nothing of it is left in the end. `postgres` are further settings.

    When the block fails the ends of all logs are shown. `keep` keeps the folder, and says where.
    """
    folder = Path(tempfile.mkdtemp(prefix="dialer-bench-"))
    server = EmbeddedPostgres(reactor, folder / "postgres", options={**DURABLE, **(postgres or {})})
    world = World(reactor, folder, cancelled, server)
    try:
        yield world
    except BaseException:
        world.print_logs()
        raise
    finally:
        world.stop()
        blockingCallFromThread(reactor, Deferred.fromCoroutine, server.stop())
        if keep:
            sys.stderr.write(f"Kept: {folder}\n")
        else:
            shutil.rmtree(folder, ignore_errors=True)


def database_url(conninfo: str) -> str:
    """A conninfo as DB_URL takes it."""
    parts = parse_dsn(conninfo)
    return f"postgresql:///{quote(parts.pop('dbname'))}?{urlencode(parts)}"


def _await_ready(port: int, dialer: Process, cancelled: Event, within: float) -> None:
    deadline = time.monotonic() + within
    while dialer.running and time.monotonic() < deadline:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=within).close()
        except urllib.error.URLError:
            pause(cancelled, 0.02)
        else:
            return
    raise RunFailed("the dialer does not become ready")
