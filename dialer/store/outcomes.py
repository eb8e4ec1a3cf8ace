"""How contacts ended, counted by minute."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

from dialer.store.queries import sql
from dialer.store.share import Asked

Counts = Mapping[str, int]
"""Contacts by call result."""


class Span(NamedTuple):
    """A span of minutes: the minute that it is by the database's clock, and by how long ago those that something
    ended in were."""

    minute: datetime
    counts: Mapping[int, Counts]


class OutcomeStore:
    """Counts what ended, of all dialers on this database; fails with DatabaseDown."""

    def __init__(self, database: Asked) -> None:
        self._database = database

    async def count(self, *, oldest: int, latest: int) -> Span:
        """The minutes from `oldest` ago up to `latest` ago, 0 being the one that it is."""
        rows = await self._database.run(sql("outcomes"), {"oldest": oldest, "latest": latest})
        counts: dict[int, dict[str, int]] = {}
        for row in rows:
            if row["ago"] is not None:
                counts.setdefault(row["ago"], {})[row["call_result"] or ""] = row["contacts"]
        return Span(rows[0]["now"], counts)
