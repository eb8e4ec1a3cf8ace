"""What the others saw: the rows in PostgreSQL, the originates at the simulator, the notifications at the VC."""

from __future__ import annotations

from contextlib import closing
from datetime import datetime
from typing import Any

import psycopg2
from attrs import frozen

from tests.consoles import SandboxConsole, SimulatorConsole

NEVER = 1 << 60
"""A number that no record has."""
AT_ONCE = 1000
"""Records asked for with one request, so that none takes long."""


@frozen
class Row:
    """A contact in the database. `waited` is dial_time less received_time, in seconds."""

    contact_id: str
    status: str
    call_result: str | None
    waited: float | None


@frozen
class Originate:
    """An originate that the simulator got; its clock's Unix seconds."""

    contact_id: str
    at: float
    answered: bool
    ended_at: float | None


@frozen
class Notification:
    """A delivery notification that the VC accepted, when, and the call result it named."""

    contact_id: str
    at: float
    call_result: str


def rows(conninfo: str) -> list[Row]:
    """All contacts, read past the dialer."""
    with closing(psycopg2.connect(conninfo)) as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT id, status, call_result, extract(epoch FROM dial_time - received_time)::double precision"
            " FROM contacts ORDER BY received_time, arrival"
        )
        return [Row(*row) for row in cursor]


class Simulator(SimulatorConsole):
    """A connection to the simulator's event socket, for its records."""

    def count(self) -> int:
        """How many originates there were so far."""
        return int(self.order(records="calls", since=NEVER)["count"])

    def clear(self) -> None:
        """Have it forget its records; their count goes on."""
        self.order(records="clear")

    def originate(self, contact_id: str, number: str, gateway: str) -> None:
        """Place a call of ours, which the dialer will find there."""
        self.ask(f"bgapi originate {{origination_uuid={contact_id}}}sofia/gateway/{gateway}/{number} 1 XML 127.0.0.1")

    def originates(self) -> list[Originate]:
        """All of them, oldest first."""
        found: list[Originate] = []
        since = 0
        while calls := self._records(since):
            since = calls[-1]["serial"] + 1
            found += [
                Originate(call["uuid"], call["at"], call["answered_at"] is not None, call["ended_at"]) for call in calls
            ]
        return found

    def _records(self, since: int) -> list[dict[str, Any]]:
        calls: list[dict[str, Any]] = self.order(records="calls", since=since, limit=AT_ONCE)["calls"]
        return calls


class VoiceConnector(SandboxConsole):
    """The records of the VC sandbox."""

    def notified(self) -> int:
        """How many contacts it was notified of."""
        return len(self.get("summary")["notifications"]["byContact"])

    def violations(self) -> int:
        """How many requests were wrong."""
        return int(self.get("summary")["violations"])

    def notifications(self) -> list[Notification]:
        """All accepted ones, oldest first, repetitions included."""
        found: list[Notification] = []
        after = 0
        while records := self._records(after):
            after = records[-1]["seq"]
            found += [
                Notification(
                    record["body"]["id"],
                    datetime.fromisoformat(record["time"]).timestamp(),
                    record["body"]["callResult"],
                )
                for record in records
                if record["status"] == 200
            ]
        return found

    def _records(self, after: int) -> list[dict[str, Any]]:
        path = f"records?path=/send-delivery-notification&after={after}&limit={AT_ONCE}"
        records: list[dict[str, Any]] = self.get(path)["records"]
        return records
