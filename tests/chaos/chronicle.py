"""Keeps what the simulator and the VC sandbox recorded, drained before they forget it, and what is in the database."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg2

from tests.chaos.verdict import Message, Originate, Row, Told
from tests.chaos.world import World

AT_ONCE = 2000
"""Records asked for with one request, so that none takes long."""
SHOWN = 200
"""Characters kept of an answer."""
TRACEBACKS = 5
"""Shown of each dialer."""
_ERROR = re.compile(r"^\s*[\w.]*(?:Error|Exception|Lost|Done|Exit)\b.*$", re.MULTILINE)
_SENT = re.compile(r"CALLED THE CUSTOMER of contact (\S+) of campaign \S+ through")


class Chronicle:
    """The simulators' records of a run. Not for several threads at once."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._by_serial: dict[int, Originate] = {}
        self._since = 0
        self._after = 0
        self.told: list[Told] = []
        self.notified: set[str] = set()

    @property
    def originates(self) -> list[Originate]:
        """All of them so far; a call that was under way when last looked at is not over yet."""
        return list(self._by_serial.values())

    def drain_simulator(self) -> None:
        """Fetch the calls that are new, and those that were not over yet."""
        since = self._since
        while calls := self._world.simulator(records="calls", since=since, limit=AT_ONCE)["calls"]:
            if since not in self._by_serial and calls[0]["serial"] > since:
                self._world.complaints.append(f"the simulator has forgotten originates from {since} on")
            since = calls[-1]["serial"] + 1
            self._by_serial.update((call["serial"], _originate(call)) for call in calls)
        # A call that goes on is read again.
        while (each := self._by_serial.get(self._since)) and (each.refused is not None or each.ended_at is not None):
            self._since += 1

    def drain_sandbox(self) -> None:
        """Fetch the requests that are new."""
        while records := self._world.vc.get(f"records?after={self._after}&limit={AT_ONCE}")["records"]:
            if records[0]["seq"] > self._after + 1:
                self._world.complaints.append(f"the sandbox has forgotten records from {self._after + 1} on")
            self._after = records[-1]["seq"]
            self.told += [_told(record) for record in records]
            self.notified |= {
                record["body"]["id"]
                for record in records
                if record["path"] == "/send-delivery-notification" and record["status"] == 200
            }


def _originate(call: dict[str, Any]) -> Originate:
    return Originate(
        call["serial"],
        call["uuid"],
        call["at"],
        call["refused"],
        call["answered_at"] is not None,
        call["ended_at"],
        call["cause"],
        call["vanished"],
        call["variables"].get("sip_h_X-agentExtension", ""),
    )


def _told(record: dict[str, Any]) -> Told:
    body = record["body"] if isinstance(record["body"], dict) else {}
    return Told(
        datetime.fromisoformat(record["time"]).timestamp(),
        record["path"],
        body.get("id") or body.get("uuid") or body.get("callUid") or body.get("customerId") or "",
        body.get("callResult") or body.get("agent") or "",
        record["headers"].get("idempotency-key", ""),
        record["status"],
        record["behaviour"],
        (record["violation"] or record["error"] or record["response"] or "")[:SHOWN],
    )


# -- the database --------------------------------------------------------------------------------------------------


def rows(conninfo: str) -> dict[str, Row]:
    """All contacts, read past the dialers."""
    found = _query(
        conninfo,
        "SELECT id, status, call_result, taking, owner, extract(epoch FROM dial_time)::float8 FROM contacts",
    )
    return {row[0]: Row(*row) for row in found}


def outbox(conninfo: str) -> list[Message]:
    """All messages for the VC, in the order in which they were written."""
    statement = (
        "SELECT contact_id, kind, idempotency_key::text, state, call_result,"
        " extract(epoch FROM created_time)::float8 FROM outbox ORDER BY id"
    )
    return [Message(*row) for row in _query(conninfo, statement)]


def unfinished(conninfo: str) -> tuple[int, int]:
    """Contacts that are not terminal, and messages that wait."""
    (row,) = _query(
        conninfo,
        "SELECT (SELECT count(*) FROM contacts WHERE status NOT IN ('ended', 'failed')),"
        " (SELECT count(*) FROM outbox WHERE state = 'waiting')",
    )
    return row[0], row[1]


def locked(conninfo: str) -> int:
    """How many contacts and messages cannot be locked at once."""
    statement = (
        "SELECT sum(missing) FROM ("
        "SELECT count(*) - (SELECT count(*) FROM (SELECT FROM contacts FOR UPDATE SKIP LOCKED) AS free) AS missing"
        " FROM contacts UNION ALL "
        "SELECT count(*) - (SELECT count(*) FROM (SELECT FROM outbox FOR UPDATE SKIP LOCKED) AS free)"
        " FROM outbox) AS counted"
    )
    (row,) = _query(conninfo, statement)
    return int(row[0])


def _query(conninfo: str, statement: str) -> list[tuple[Any, ...]]:
    with closing(psycopg2.connect(conninfo)) as connection, connection.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchall()


# -- the logs ------------------------------------------------------------------------------------------------------


def senders(folder: Path, names: Sequence[str]) -> dict[str, str]:
    """By contact, the dialer that logged that it sent its command; none for a contact of which several say so."""
    found: dict[str, set[str]] = defaultdict(set)
    for name in names:
        with (folder / f"{name}.log").open(encoding="utf-8", errors="replace") as log:
            for line in log:
                if match := _SENT.search(line):
                    found[match[1]].add(name)
    return {contact_id: next(iter(those)) for contact_id, those in found.items() if len(those) == 1}


def tracebacks(folder: Path, names: Sequence[str]) -> list[str]:
    """What the dialers met that they do not know: the error of each traceback, a few of each dialer."""
    found: list[str] = []
    for name in names:
        text = (folder / f"{name}.log").read_text(encoding="utf-8", errors="replace")
        # One that another part of Twisted logs is a single line with its own line ends spelled out.
        for part in text.replace("\\n", "\n  ").split("Traceback (most recent call last):")[1:][:TRACEBACKS]:
            error = _ERROR.search(part)
            found.append(f"{name} logged a traceback: {error[0].strip() if error else part[:SHOWN]}")
    return found
