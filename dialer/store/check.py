"""What `dialer check` asks of the database; nothing of it changes anything."""

from __future__ import annotations

from collections.abc import Mapping

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


@frozen
class Waiting:
    """How many contacts are pending, all together and for each of some gateways, and how many gateways are left out."""

    gateways: Mapping[str, int]
    left_out: int
    contacts: int


class CheckStore:
    """Fails with DatabaseDown."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def server(self) -> Server:
        """What there is."""
        (row,) = await self._database.run(sql("check_server"))
        return Server(**row)

    async def waiting(self, limit: int) -> Waiting:
        """The pending contacts, and so many of the gateways that they name: those that most of them do."""
        rows = await self._database.run(sql("check_gateways"), {"limit": limit})
        if not rows:
            return Waiting({}, 0, 0)
        gateways = {row["gateway_id"]: row["contacts"] for row in rows}
        return Waiting(gateways, rows[0]["all_gateways"] - len(rows), rows[0]["all_contacts"])
