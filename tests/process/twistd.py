"""Real processes of `twistd -n dialer`, as an operator starts them: with an environment and nothing else."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

TWISTD = (str(Path(sys.executable).parent / "twistd"),)
"""The program that the set-up installed."""

EXIT_WITHIN = 10.0
"""Seconds in which a dialer exits after SIGTERM (SPEC 1)."""

_SHOWN = 15_000
"""Characters of a log that a failure shows, from its end."""

_LISTENING = re.compile(r'HTTP interface listening on (http://[^\s"]+)')


def clean_environment() -> dict[str, str]:
    """What a process needs whatever it does. No setting of the tests' own environment gets through."""
    return {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}


class Twistd:
    """One process, with its output in files below `folder`, which is its working directory unless `cwd` is.

    `log` is the file that it logs to, for one whose stdout is not its log.
    """

    def __init__(
        self,
        name: str,
        folder: Path,
        environment: Mapping[str, str],
        *,
        cwd: Path | None = None,
        log: Path | None = None,
        program: Sequence[str] = TWISTD,
    ) -> None:
        self.name = name
        self.cwd = cwd or folder
        self._stdout = folder / f"{name}.out"
        self._stderr = folder / f"{name}.err"
        self._log = log or self._stdout
        self._logged_before = len(self._read(self._log))
        with self._stdout.open("wb") as out, self._stderr.open("wb") as err:
            self._process = subprocess.Popen(
                [*program, "-n", "--pidfile=", "dialer"],
                cwd=self.cwd,
                env=clean_environment() | dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
            )

    @staticmethod
    def _read(file: Path) -> str:
        return file.read_text(encoding="utf-8", errors="replace") if file.exists() else ""

    @property
    def out(self) -> str:
        """What it has written to stdout: the log, but when it shows the samples' progress there."""
        return self._read(self._stdout)

    @property
    def err(self) -> str:
        """What it has written to stderr."""
        return self._read(self._stderr)

    @property
    def log(self) -> str:
        """What it has logged, without what one before it has."""
        return self._read(self._log)[self._logged_before :]

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def status(self) -> int | None:
        """Its exit status; None while it runs."""
        return self._process.poll()

    def send(self, signal_number: int) -> None:
        """Send it a signal."""
        self._process.send_signal(signal_number)

    def wait(self, seconds: float) -> int:
        """Block until it has ended by itself; its exit status. One that takes longer is killed, and TimeoutExpired."""
        try:
            return self._process.wait(seconds)
        finally:
            self.kill()

    def kill(self) -> None:
        """End it whatever it does, and bury it."""
        if self._process.poll() is not None:
            return
        if (self.cwd / "var").exists():
            # Killed at once it would leave its PostgreSQL running.
            self._process.send_signal(signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(EXIT_WITHIN)
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def url(self) -> str | None:
        """Where it says that it serves HTTP; None before it does."""
        found = _LISTENING.search(self.log)
        return found[1] if found else None

    def report(self) -> str:
        """What a failure shows of it."""
        return f"---- {self.name}, exit status {self.status}\n{self.out[-_SHOWN:]}\n-- stderr\n{self.err[-_SHOWN:]}\n"
