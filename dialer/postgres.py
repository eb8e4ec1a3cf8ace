"""The embedded PostgreSQL: a server of our own below one folder, reached through a unix socket and by nobody else.

As root, where PostgreSQL refuses to run, the server is another user that may still enter the folders on the way.
"""

from __future__ import annotations

import fcntl
import os
import re
import shlex
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import psycopg2
from attrs import frozen
from psycopg2.extensions import make_dsn
from twisted.internet.defer import Deferred, DeferredLock
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger

from dialer.postgres_programs import Done, PostgresFailed, PostgresInterrupted, Programs

__all__ = ["EmbeddedPostgres", "PostgresFailed"]

T = TypeVar("T")

DATABASE = "dialer"
USER = "dialer"
PORT = 5432
"""Only names the socket file: there is no TCP."""

LONGEST_SOCKET = 107
"""Bytes of a unix socket's path, by `sockaddr_un`."""

INITDB_LIMIT = 120
START_LIMIT = 60
"""Seconds; recovery after a crash is part of a start."""
FAST_STOP_LIMIT = 3
IMMEDIATE_STOP_LIMIT = 1
"""Seconds; together well below the 10 s that a dialer has to exit."""
ANSWER_LIMIT = 6
"""Seconds in which a server that was left running answers."""
LOG_SIZE = 1 << 20
"""Bytes after which the next start sets the log aside."""

SETTINGS: Mapping[str, str] = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "50",
    "shared_buffers": "64MB",
    "max_wal_size": "256MB",
    "synchronous_commit": "on",
    "fsync": "on",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] ",
}

# A folder that needs no quoting on its way through a shell, the server's list syntax and a conninfo.
_PLAIN = re.compile(r"[\w./+@-]+", re.ASCII)
_TEMPORARY = "dialer-pg-"


@frozen
class _Postmaster:
    pid: int
    port: int
    sockets: Path


class EmbeddedPostgres:
    """One PostgreSQL server on one folder, ours alone while it runs.

    `options` are settings of the server that replace those in SETTINGS. The data survive `stop()`, `start()` again and
    a killed dialer, whose server is taken over.
    """

    log = Logger()

    def __init__(self, reactor: Any, folder: Path, *, options: Mapping[str, str] | None = None) -> None:
        self._reactor = reactor
        self._folder = Path(os.path.abspath(folder))
        self._data = self._folder / "data"
        self._log_file = self._folder / "log"
        self._options = {**SETTINGS, **(options or {})}
        self._one_at_a_time = DeferredLock()
        self._guard: int | None = None
        self._sockets: Path | None = None
        self._programs = Programs(self._folder, self._data)
        self._starting = False

    async def start(self) -> str:
        """Run the server; a libpq conninfo of its database. Fails with PostgresFailed."""
        return await self._in_thread(self._start)

    async def stop(self) -> None:
        """Stop the server, in at most 7 s; what was committed is kept. Nothing happens when it does not run.

        A start under way is interrupted, and fails.
        """
        if self._starting:
            self._programs.interrupt()
        await self._in_thread(self._stop)

    @property
    def pid(self) -> int | None:
        """The process id of the running server."""
        postmaster = self._postmaster()
        return postmaster.pid if postmaster else None

    def _in_thread(self, work: Callable[[], T]) -> Deferred[T]:
        # One at a time: a stop that comes while the server starts waits for the start, so nothing is left running.
        return self._one_at_a_time.run(deferToThreadPool, self._reactor, self._reactor.getThreadPool(), work)

    # What follows runs in a thread.

    def _start(self) -> str:
        if self._guard is not None:
            raise PostgresFailed(f"the embedded PostgreSQL in {self._folder} is already started")
        self._starting = True
        try:
            self._lock()
            if not self._data.exists():
                self._initialise()
            return self._ensure_database(self._adopt() or self._run())
        except BaseException as error:
            self._stop()
            if isinstance(error, (OSError, psycopg2.Error)):
                raise PostgresFailed(_one_line(f"the embedded PostgreSQL in {self._folder}: {error}")) from error
            raise
        finally:
            self._starting = False

    def _lock(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        guard = os.open(self._folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(guard, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(guard)
            raise PostgresFailed(f"another dialer uses the embedded PostgreSQL in {self._folder}") from None
        self._guard = guard

    def _unlock(self) -> None:
        if self._guard is not None:
            os.close(self._guard)
            self._guard = None

    def _initialise(self) -> None:
        """Make the data folder, whole or not at all: under another name first."""
        for half_done in self._folder.glob("data.new-*"):
            shutil.rmtree(half_done, ignore_errors=True)
        new = self._folder / f"data.new-{os.urandom(4).hex()}"
        # C: sorted by code point, as Python sorts, and present on every machine.
        arguments = ["-D", new.name, "-U", USER, "-A", "trust", "-E", "UTF8", "--locale=C", "--no-instructions"]
        if self._options["fsync"] == "off":
            arguments.append("--no-sync")
        self.log.info("creating a PostgreSQL database in {folder}", folder=self._folder)
        try:
            done = self._programs.run("initdb", arguments, INITDB_LIMIT)
            if not done.well:
                raise PostgresFailed(f"initdb in {self._folder} failed: {_last_lines(done.output)}")
            new.rename(self._data)
        finally:
            shutil.rmtree(new, ignore_errors=True)

    def _adopt(self) -> _Postmaster | None:
        """The server that a killed dialer left running, if it answers; one that does not is stopped."""
        found = self._postmaster()
        if found is None:
            self._tidy_up()
            return None
        self._sockets = found.sockets
        deadline = time.monotonic() + ANSWER_LIMIT
        while time.monotonic() < deadline and self._postmaster() is not None:
            try:
                psycopg2.connect(self._conninfo(found, "postgres")).close()
            except psycopg2.Error:
                time.sleep(0.1)
            else:
                self.log.info("taking over the PostgreSQL in {folder}, pid {pid}", folder=self._folder, pid=found.pid)
                return found
        self._halt()
        return None

    def _run(self) -> _Postmaster:
        sockets = self._socket_folder()
        written = self._log_file.stat().st_size if self._log_file.exists() else 0
        if written > LOG_SIZE:
            self._log_file.replace(self._log_file.with_suffix(".1"))
            written = 0
        settings = {**self._options, "unix_socket_directories": str(sockets), "port": str(PORT)}
        options = " ".join(f"-c {shlex.quote(f'{name}={value}')}" for name, value in settings.items())
        arguments = ["-D", "data", "-l", "log", "-w", "-t", str(START_LIMIT), "-o", options, "start"]
        done = self._pg_ctl_start(arguments, written)
        postmaster = self._postmaster()
        if not done.well or postmaster is None:
            said = _last_lines(self._logged(written) or done.output)
            raise PostgresFailed(f"PostgreSQL in {self._folder} does not start: {said}")
        return postmaster

    def _logged(self, since: int) -> str:
        return self._log_file.read_bytes()[since:].decode(errors="replace") if self._log_file.exists() else ""

    def _pg_ctl_start(self, arguments: list[str], written: int) -> Done:
        deadline = time.monotonic() + ANSWER_LIMIT
        while True:
            try:
                done = self._programs.run("pg_ctl", arguments, START_LIMIT + 10)
            except PostgresInterrupted:
                # The server may have been started just now: it is found, and stopped, once it has named itself.
                _until(lambda: self._postmaster() is not None, 1)
                raise
            # What a killed server left behind dies by itself, soon.
            if done.well or "still in use" not in self._logged(written) or time.monotonic() > deadline:
                return done
            time.sleep(0.2)

    def _ensure_database(self, postmaster: _Postmaster) -> str:
        connection = psycopg2.connect(self._conninfo(postmaster, "postgres"))
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute("SELECT FROM pg_database WHERE datname = %s", [DATABASE])
                if not cursor.rowcount:
                    cursor.execute(f"CREATE DATABASE {DATABASE}")
        finally:
            connection.close()
        return self._conninfo(postmaster, DATABASE)

    @staticmethod
    def _conninfo(postmaster: _Postmaster, database: str) -> str:
        where = {"host": str(postmaster.sockets), "port": postmaster.port, "user": USER, "dbname": database}
        return str(make_dsn(**where, connect_timeout=ANSWER_LIMIT // 2))

    def _stop(self) -> None:
        if self._guard is None:
            return
        try:
            self._halt()
        finally:
            self._unlock()

    def _halt(self) -> None:
        """Stop the server: politely, at once, by force."""
        self._programs.resume()
        self._starting = False
        for mode, limit in (("fast", FAST_STOP_LIMIT), ("immediate", IMMEDIATE_STOP_LIMIT)):
            if self._postmaster() is None:
                break
            self._programs.run("pg_ctl", ["-D", "data", "-m", mode, "-w", "-t", str(limit), "stop"], limit + 1)
        if (stuck := self._postmaster()) is not None:
            self.log.warn("killing the PostgreSQL in {folder}: it does not stop", folder=self._folder)
            os.kill(stuck.pid, signal.SIGKILL)
            _until(lambda: self._postmaster() is None, 1)
        self._tidy_up()

    def _tidy_up(self) -> None:
        """Remove what a server that no longer runs left: its sockets, and a pid that is another process's now."""
        left = _read_pid_file(self._data / "postmaster.pid")
        for sockets in (left.sockets if left else None, self._sockets):
            if sockets is not None and sockets.name.startswith(_TEMPORARY):
                shutil.rmtree(sockets, ignore_errors=True)
            elif sockets is not None:
                # A lock file here names a process too, and one that nobody has buried yet would count as alive.
                for file in sockets.glob(".s.PGSQL.*"):
                    file.unlink(missing_ok=True)
        if left is not None and Path(f"/proc/{left.pid}").exists() and not _serves(left):
            (self._data / "postmaster.pid").unlink(missing_ok=True)
        self._sockets = None

    def _postmaster(self) -> _Postmaster | None:
        """The server that runs on this folder."""
        found = _read_pid_file(self._data / "postmaster.pid")
        return found if found is not None and _serves(found) else None

    def _socket_folder(self) -> Path:
        """A folder that only the server's user may enter, with a path that fits a socket's address."""
        sockets = self._folder / "socket"
        if _fits(sockets):
            sockets.mkdir(mode=0o700, exist_ok=True)
            sockets.chmod(0o700)
        else:
            sample = Path(tempfile.gettempdir()) / f"{_TEMPORARY}12345678"
            sockets = Path(tempfile.mkdtemp(prefix=_TEMPORARY, dir=None if _fits(sample) else "/tmp"))  # noqa: S108
        if (user := self._programs.other_user) is not None:
            os.chown(sockets, user, -1)
        self._sockets = sockets
        return sockets


def _fits(folder: Path) -> bool:
    socket = os.fsencode(folder / f".s.PGSQL.{PORT}")
    return len(socket) <= LONGEST_SOCKET and _PLAIN.fullmatch(str(folder)) is not None


def _read_pid_file(path: Path) -> _Postmaster | None:
    """The file's fields by position: pid, data folder, start time, port, socket folder; None without the first ones."""
    try:
        pid, _data, _started, port, sockets = path.read_text(encoding="utf-8", errors="replace").splitlines()[:5]
        return _Postmaster(int(pid), int(port), Path(sockets))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None


def _serves(postmaster: _Postmaster) -> bool:
    """Whether that process is the server that wrote the file, not one that got its number later or its remains."""
    try:
        arguments = Path(f"/proc/{postmaster.pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return b"unix_socket_directories=" + os.fsencode(postmaster.sockets) in arguments


def _until(condition: Callable[[], bool], limit: float) -> None:
    deadline = time.monotonic() + limit
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)


def _last_lines(text: str, lines: int = 3) -> str:
    return _one_line("; ".join(line for line in text.splitlines()[-lines:] if line.strip())) or "without a word"


def _one_line(text: str) -> str:
    return " ".join(text.split())
