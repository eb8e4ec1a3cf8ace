"""What the sessions of PostgreSQL wait for, sampled."""

from __future__ import annotations

from collections import Counter
from contextlib import closing
from threading import Event, Thread
from typing import Self

import psycopg2

EVERY = 0.05
"""Seconds between two samples; one is a look at less than a hundred rows of shared memory."""

_ACTIVE = """
SELECT COALESCE(wait_event_type || ':' || wait_event, 'running'), count(*)
FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND state = 'active'
GROUP BY 1
"""


class Waits:
    """Samples while its block runs. `seen` counts sessions by what they waited for, `samples` the looks."""

    def __init__(self, conninfo: str) -> None:
        self._conninfo = conninfo
        self._over = Event()
        self._thread = Thread(target=self._sample)
        self.seen: Counter[str] = Counter()
        self.samples = 0

    def share(self, kind: str) -> float:
        """Sessions that waited for this kind (such as `Lock`) at a moment, on the average."""
        found = sum(count for name, count in self.seen.items() if name.partition(":")[0] == kind)
        return found / max(1, self.samples)

    def __enter__(self) -> Self:
        """Begin."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End."""
        self._over.set()
        self._thread.join()

    def _sample(self) -> None:
        with closing(psycopg2.connect(self._conninfo)) as connection:
            connection.autocommit = True
            cursor = connection.cursor()
            while not self._over.wait(EVERY):
                cursor.execute(_ACTIVE)
                self.seen.update(dict(cursor.fetchall()))
                self.samples += 1
