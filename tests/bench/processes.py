"""The processes of a run: started with their logs in files, found by what they log, measured, and stopped."""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import Event

ROOT = Path(__file__).parents[2]
_INHERITED = ("PATH", "HOME", "TMPDIR", "LANG", "LC_ALL")
"""Of the environment; whatever configures a dialer must not come in from outside."""
_TICKS = os.sysconf("SC_CLK_TCK")


class BenchFailed(Exception):
    """The run could not be carried through; says why."""


class Interrupted(BenchFailed):
    """The run was called off."""


class Process:
    """A child process that logs into a file of its own; signals of the terminal do not reach it."""

    def __init__(
        self, name: str, command: Sequence[str], folder: Path, environment: Mapping[str, str] | None = None
    ) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        inherited = {key: os.environ[key] for key in _INHERITED if key in os.environ}
        with self.log.open("wb") as file:
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
        """The first group of `pattern` in its log, waited for at most so many seconds."""
        deadline = time.monotonic() + within
        while True:
            if found := re.search(pattern, self.log.read_text(encoding="utf-8", errors="replace")):
                return found[1]
            if not self.running:
                raise BenchFailed(f"{self.name} ended with status {self._child.returncode}")
            if time.monotonic() > deadline:
                raise BenchFailed(f"{self.name} did not log {pattern!r} within {within:g} s")
            pause(cancelled, 0.05)

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
            self._child.kill()
            self._child.wait(5)
            return None
        # The simulators end by the signal itself, or in order.
        return time.monotonic() - began if status in (0, -15) else None


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
    total = sum(_times(pid)[1])
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            parent, (user, system, _, _) = _times(int(entry.name))
            if parent == pid:
                total += user + system
    return total


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
