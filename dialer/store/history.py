"""The history of contacts in PostgreSQL: what was seen, what was done to campaigns, and all of it told together."""

from __future__ import annotations

from collections.abc import Sequence

from dialer.happenings import Happening, Note
from dialer.store.queries import sql
from dialer.store.share import Asked

LONGEST = 1000
"""Lines of a history that are told, the latest: one that goes back to its queue every 20 s has thousands in a day."""


class HistoryStore:
    """Typed access to `contact_events` and `campaign_controls`; `owner` names this dialer in them.

    All methods fail with DatabaseDown when nothing reached the server and with CommitUnknown when it may have.
    """

    def __init__(self, database: Asked, *, owner: str) -> None:
        self._database = database
        self._owner = owner

    async def add(self, notes: Sequence[Note]) -> None:
        """Write what was seen."""
        seen = {
            "owner": self._owner,
            "contact_ids": [note.contact_id for note in notes],
            "takings": [note.taking for note in notes],
            "agos": [note.ago for note in notes],
            "events": [note.event for note in notes],
            "details": [note.detail for note in notes],
        }
        await self._database.run(sql("add_events"), seen)

    async def controlled(self, campaign_id: str, control: str, contacts: int) -> None:
        """A campaign was started, stopped or purged, which changed so many of its contacts."""
        done = {"campaign_id": campaign_id, "control": control, "contacts": contacts, "owner": self._owner}
        await self._database.run(sql("add_control"), done)

    async def of(self, contact_id: str) -> list[Happening]:
        """What happened to a contact, oldest first, the last LONGEST lines; nothing for one that never was."""
        asked = {"id": contact_id, "limit": LONGEST}
        return [Happening(**row) for row in await self._database.run(sql("history"), asked)]
