"""`twistd`, watched: how long each turn of the reactor took, when originates were written, which statements were run.

Usage: python -m tests.bench.probed FILE, then as twistd. What was seen is written to FILE when the process stops.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import time
from collections import Counter, deque
from pathlib import Path
from typing import Any

from twisted.internet import reactor as _reactor
from twisted.scripts.twistd import run

from dialer.esl.session import Session
from dialer.store.link import Link
from dialer.store.queries import sql
from tests.processes import ROOT

reactor: Any = _reactor
"""The platform's own: epoll."""
LONG = 0.002
"""Seconds from which on a turn of the reactor is kept."""
KEPT = 200_000
"""Long turns, and originates, that are kept: a hundred a second for half an hour."""

turns: deque[tuple[float, float, float]] = deque(maxlen=KEPT)
"""When a long turn ended (Unix seconds), how long it took, and how much of that was processor time."""
collections: deque[tuple[float, float, int]] = deque(maxlen=KEPT)
"""When a long look for garbage ended (Unix seconds), its processor time, and the generation that was looked through."""
sent: deque[float] = deque(maxlen=KEPT)
"""When each originate was written, Unix seconds."""
statements: Counter[str] = Counter()


class Epoll:
    """The reactor's poller; between the end of one poll and the begin of the next, the reactor is busy."""

    def __init__(self, poller: Any) -> None:
        self._poller = poller
        self._woken = time.monotonic()
        self._used = time.thread_time()

    def poll(self, *arguments: Any) -> Any:
        """Note the turn that ends now, and wait."""
        took = time.monotonic() - self._woken
        if took >= LONG:
            turns.append((time.time(), took, time.thread_time() - self._used))
        try:
            return self._poller.poll(*arguments)
        finally:
            self._woken, self._used = time.monotonic(), time.thread_time()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._poller, name)


class Collections:
    """How long the garbage collector takes."""

    def __init__(self) -> None:
        self._began = 0.0

    def __call__(self, phase: str, info: dict[str, int]) -> None:
        """For `gc.callbacks`."""
        if phase == "start":
            self._began = time.thread_time()
        elif (took := time.thread_time() - self._began) >= LONG / 2:
            collections.append((time.time(), took, info["generation"]))


def watch() -> None:
    """Watch the reactor and the garbage collector, and wrap the two calls that are noted."""
    gc.callbacks.append(Collections())
    reactor._poller = Epoll(reactor._poller)
    names = {sql(file.stem): file.stem for file in (ROOT / "sql" / "queries").glob("*.sql")}
    execute, originate = Link.execute, Session.originate

    async def noted_execute(link: Link, query: str, params: Any = None) -> Any:
        statements[names.get(query, query)] += 1
        return await execute(link, query, params)

    async def noted_originate(session: Session, arguments: str, job_id: str) -> str:
        sent.append(time.time())
        return await originate(session, arguments, job_id)

    Link.execute = noted_execute  # type: ignore[method-assign]
    Session.originate = noted_originate  # type: ignore[method-assign]


def write(file: Path) -> None:
    """Write what was seen, whole or not at all."""
    seen = {"turns": list(turns), "collections": list(collections), "sent": list(sent), "statements": dict(statements)}
    new = file.with_suffix(".new")
    new.write_text(json.dumps(seen))
    os.replace(new, file)


def main() -> None:
    """Run twistd with the rest of the command line."""
    file = Path(sys.argv[1])
    watch()
    reactor.addSystemEventTrigger("after", "shutdown", write, file)
    sys.argv = ["twistd", *sys.argv[2:]]
    run()


if __name__ == "__main__":
    main()
