"""What `dialer check` asks of the database; nothing of it changes anything."""

from __future__ import annotations

from attrs import frozen

from dialer.store.database import Database
from dialer.store.queries import sql


@frozen
class Server:
    """A PostgreSQL as one of its databases shows it. `version` is as PostgreSQL counts them: 130000 for 13.0."""

    version: int
    version_name: str
    standby: bool
    name: str
    may_create: bool
    has_contacts: bool
    has_tally: bool


class CheckStore:
    """Fails with DatabaseDown."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def server(self) -> Server:
        """What there is."""
        (row,) = await self._database.run(sql("check_server"))
        return Server(**row)

    async def gateways(self, limit: int) -> dict[str, int]:
        """The gateways that pending contacts name, and how many contacts do; the first so many."""
        return {
            row["gateway_id"]: row["contacts"]
            for row in await self._database.run(sql("check_gateways"), {"limit": limit})
        }
