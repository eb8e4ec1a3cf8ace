"""What the others saw: the rows in PostgreSQL, the originates at the simulator, the notifications at the VC."""

from __future__ import annotations

import json
import socket
import urllib.request
from contextlib import closing
from datetime import datetime
from typing import Any

import psycopg2
from attrs import frozen

TIMEOUT = 10.0
"""Seconds for an answer."""
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


class Simulator:
    """A connection to the simulator's event socket, for its records."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), TIMEOUT)
        self._file = self._socket.makefile("rb")
        self._read()
        self._ask("auth ClueCon")

    def close(self) -> None:
        """Hang up."""
        self._file.close()
        self._socket.close()

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
        order = {"records": "calls", "since": since, "limit": AT_ONCE}
        calls: list[dict[str, Any]] = json.loads(self._ask(f"api simulator {json.dumps(order)}"))["calls"]
        return calls

    def _ask(self, command: str) -> str:
        self._socket.sendall(f"{command}\n\n".encode())
        return self._read()

    def _read(self) -> str:
        length = 0
        while line := self._file.readline().strip():
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        return self._file.read(length).decode()


class VoiceConnector:
    """The records of the VC sandbox."""

    def __init__(self, url: str) -> None:
        self._url = url

    def notified(self) -> int:
        """How many contacts it was notified of."""
        return len(self._get("/sandbox/summary")["notifications"]["byContact"])

    def violations(self) -> int:
        """How many requests were wrong."""
        return int(self._get("/sandbox/summary")["violations"])

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
        path = f"/sandbox/records?path=/send-delivery-notification&after={after}&limit={AT_ONCE}"
        records: list[dict[str, Any]] = self._get(path)["records"]
        return records

    def _get(self, path: str) -> Any:
        with urllib.request.urlopen(self._url + path, timeout=TIMEOUT) as response:
            return json.load(response)
