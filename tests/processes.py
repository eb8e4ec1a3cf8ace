"""The processes of a run: started with their logs in files, found by what they log, measured, and ended."""

from __future__ import annotations

import json
import os
import re
import subprocess
import tempfile
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from threading import Event
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import react

ROOT = Path(__file__).parents[1]
_INHERITED = ("PATH", "HOME", "TMPDIR", "LANG", "LC_ALL")
"""Of the environment; whatever configures a dialer must not come in from outside."""
_TICKS = os.sysconf("SC_CLK_TCK")


class RunFailed(Exception):
    """The run could not be carried through; says why."""


class Interrupted(RunFailed):
    """The run was called off."""


class Process:
    """A child process that logs into a file of its own; signals of the terminal do not reach it.

    One that is started again under its old name goes on with the file.
    """

    def __init__(
        self, name: str, command: Sequence[str], folder: Path, environment: Mapping[str, str] | None = None
    ) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        self._logged_before = self.log.stat().st_size if self.log.exists() else 0
        inherited = {key: os.environ[key] for key in _INHERITED if key in os.environ}
        with self.log.open("ab") as file:
            self._child = subprocess.Popen(
                command,
                cwd=ROOT,
                env={**inherited, "PYTHONUNBUFFERED": "1", **(environment or {})},
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """The process id."""
        return self._child.pid

    @property
    def running(self) -> bool:
        """Whether it has not ended by itself."""
        return self._child.poll() is None

    def find(self, pattern: str, cancelled: Event, within: float = 60.0) -> str:
        """The first group of `pattern` in what it logs, waited for at most so many seconds."""
        deadline = time.monotonic() + within
        while True:
            logged = self.log.read_bytes()[self._logged_before :].decode(errors="replace")
            if found := re.search(pattern, logged):
                return found[1]
            if not self.running:
                raise RunFailed(f"{self.name} ended with status {self._child.returncode}")
            if time.monotonic() > deadline:
                raise RunFailed(f"{self.name} did not log {pattern!r} within {within:g} s")
            pause(cancelled, 0.05)

    @property
    def status(self) -> int | None:
        """Its exit status; None while it runs."""
        return self._child.poll()

    def send(self, signal_number: int) -> None:
        """Send it a signal; nothing happens when it has ended."""
        self._child.send_signal(signal_number)

    def kill(self) -> None:
        """End it at once, and bury it."""
        self._child.kill()
        self._child.wait()

    def cpu(self) -> float:
        """Seconds of processor time that it has used."""
        return cpu_seconds(self.pid)

    def stop(self, within: float) -> float | None:
        """Ask it to end and wait; how many seconds that took, None when it had to be killed or ended with an error."""
        began = time.monotonic()
        if self.running:
            self._child.terminate()
        try:
            status = self._child.wait(within)
        except subprocess.TimeoutExpired:
            self.kill()
            return None
        # The simulators end by the signal itself, or in order.
        return time.monotonic() - began if status in (0, -15) else None


def output(command: Sequence[str], cancelled: Event, *, within: float) -> Any:
    """Run a program to its end, at most so many seconds; the JSON that it prints. Raises RunFailed when it fails."""
    with tempfile.TemporaryDirectory(prefix="dialer-bench-") as name:
        program = Process("output", command, Path(name))
        try:
            deadline = time.monotonic() + within
            while program.running:
                if time.monotonic() > deadline:
                    raise RunFailed(f"{' '.join(command)} took more than {within:g} s")
                pause(cancelled, 0.05)
            printed = program.log.read_text(encoding="utf-8", errors="replace")
            try:
                return json.loads(printed)
            except ValueError:
                raise RunFailed(f"{' '.join(command)} failed: {printed.strip()[-500:]}") from None
        finally:
            program.stop(5)


def run_to_its_end(work: Callable[[Any, Event], Coroutine[Any, Any, None]]) -> None:
    """Run `work(reactor, cancelled)` as the whole program; a signal sets `cancelled`, and what was started is ended."""

    def go(reactor: Any) -> Deferred[None]:
        cancelled = Event()
        ended = Deferred.fromCoroutine(work(reactor, cancelled))
        over: Deferred[None] = Deferred()

        def tell(result: object) -> object:
            over.callback(None)
            return result

        def call_off() -> Deferred[None]:
            cancelled.set()
            return over

        reactor.addSystemEventTrigger("before", "shutdown", call_off)
        return ended.addBoth(tell)

    react(go)


def pause(cancelled: Event, seconds: float) -> None:
    """Wait, unless the run is called off: then raises Interrupted."""
    if cancelled.wait(max(0.0, seconds)):
        raise Interrupted("the run was called off")


def cpu_seconds(pid: int) -> float:
    """Seconds of processor time used by a process; 0 when there is none."""
    user, system, _, _ = _times(pid)[1]
    return user + system


def cpu_seconds_of_family(pid: int) -> float:
    """The same of a process and all its children, those that have ended included."""
    return sum(_times(pid)[1]) + sum(cpu_seconds(child) for child in children(pid))


def children(pid: int) -> list[int]:
    """The children of a process that run now."""
    running = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    return [each for each in running if _times(each)[0] == pid]


def _times(pid: int) -> tuple[int, tuple[float, float, float, float]]:
    """Parent, and seconds: user, system, and both of children that ended (proc(5), fields 4 and 14 to 17)."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return 0, (0.0, 0.0, 0.0, 0.0)
    # The name in brackets may hold anything.
    fields = text.rpartition(")")[2].split()
    user, system, user_of_children, system_of_children = (int(field) / _TICKS for field in fields[11:15])
    return int(fields[1]), (user, system, user_of_children, system_of_children)
