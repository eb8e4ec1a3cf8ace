"""The contacts of a test, as rows and through stores, on one database that is emptied for each test."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Collection, Iterator
from contextlib import closing
from random import Random
from typing import Any
from uuid import uuid4

import psycopg2
import pytest
import pytest_twisted
from psycopg2.extensions import make_dsn
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from dialer.contact import CampaignType, Contact, DialingMode, NewContact, RoutingMode, Status
from dialer.store.contacts import Change, ContactStore
from dialer.store.database import Database
from dialer.store.queue import QueueStore, Wanted
from tests.conftest import TEMPLATE

HOLD = 20.0
"""Seconds for which a contact that went back to pending is not eligible."""

SWITCH = "pbx:8021"

TABLES = "contacts, outbox, dialers, contact_events, campaign_controls"

FACTS = """
SELECT *, hold_until - now() AS hold, now() - dial_time AS dialed_ago FROM contacts WHERE id = %(id)s
"""


@pytest.fixture(scope="module")
def one_database(postgres: str) -> Iterator[str]:
    """The conninfo of a database that the tests of a module share: making one takes longer than most of them."""
    name = f"shared_{uuid4().hex}"
    with closing(psycopg2.connect(postgres)) as connection:
        connection.autocommit = True
        connection.cursor().execute(f"CREATE DATABASE {name} TEMPLATE {TEMPLATE}")
        yield make_dsn(postgres, dbname=name)
        connection.cursor().execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def conninfo(one_database: str) -> str:
    """In place of a database for each test."""
    with closing(psycopg2.connect(one_database)) as connection, connection:
        connection.cursor().execute(f"TRUNCATE {TABLES} RESTART IDENTITY")
    return one_database


BOTH = [CampaignType.IVR, CampaignType.AGENT]


class Tables:
    """The tables behind the stores."""

    def __init__(self, reactor: Any, conninfo: str, database: Database) -> None:
        self.reactor = reactor
        self._conninfo = conninfo
        self.database = database
        self._pools: list[Database] = []

    async def run(self, query: str, **params: Any) -> list[dict[str, Any]]:
        return await self.database.run(query, params)

    async def pool(self) -> Database:
        """Connections of another process."""
        pool = Database(self.reactor, self._conninfo, timeout=5, application_name="other", random=Random(2))
        pool.startService()
        await pool.ready()
        self._pools.append(pool)
        return pool

    async def dialer(
        self, owner: str = "me", *, lease: float | None = 60, database: Any = None, **options: Any
    ) -> ContactStore:
        """The store of a process with a lease of so many seconds (none: it never had one)."""
        instance = str(uuid4())
        if lease is not None:
            await self.run(
                "INSERT INTO dialers (id, instance, lease_until)"
                " VALUES (%(owner)s, %(instance)s, now() + %(lease)s * interval '1 second')",
                owner=owner,
                instance=instance,
                lease=lease,
            )
        return ContactStore(
            self.reactor, database or self.database, owner=owner, instance=instance, hold=HOLD, **options
        )

    async def eligible(self, *, avoid: Collection[str] = (), slots: int = 1000) -> list[str]:
        """The ids of all that may be taken now, as they are chosen for so many slots."""
        wanted = Wanted(slots, slots, BOTH, avoid)
        return [contact.id for contact in await QueueStore(self.database, "nobody").choose(wanted)]

    async def end_lease(self, owner: str) -> None:
        await self.run("UPDATE dialers SET lease_until = now() WHERE id = %(owner)s", owner=owner)

    async def put(self, contact_id: str = "c1", **columns: Any) -> Contact:
        """A row; columns not given are those of a pending IVR contact. Intervals from now as `start=-5` in seconds."""
        row: dict[str, Any] = {
            "id": contact_id,
            "customer_number": "+15550001",
            "campaign_type": "IVR",
            "gateway_id": "gw",
            "campaign_id": "k",
            "status": "pending",
        } | columns
        moments = {name: row.pop(name) for name in list(row) if name in ("start_time", "end_time", "hold_until")}
        await self.run(
            f"INSERT INTO contacts ({', '.join(row)})"
            f" SELECT {', '.join(row)} FROM json_populate_record(NULL::contacts, %(row)s)",
            row=json.dumps(row),
        )
        for name, seconds in moments.items():
            await self.run(
                f"UPDATE contacts SET {name} = now() + %(s)s * interval '1 second' WHERE id = %(id)s",
                s=seconds,
                id=contact_id,
            )
        return await self.get(contact_id)

    async def active(self, contact_id: str = "c1", status: Status = Status.DIALED, **columns: Any) -> Contact:
        """A contact that dialer `me` holds."""
        held = {"status": status, "taking": 1, "owner": "me"}
        times = {"dial_time": "now", "switch": SWITCH} if status is Status.DIALED else {"agent_time": "now"}
        return await self.put(contact_id, **(held | times | columns))

    async def get(self, contact_id: str = "c1") -> Contact:
        found = await ContactStore(self.reactor, self.database, owner="", instance="", hold=0).get(contact_id)
        assert found is not None, f"there is no contact {contact_id}"
        return found

    async def row(self, contact_id: str = "c1") -> dict[str, Any]:
        """All columns, and `hold` and `dialed_ago` as intervals from now."""
        (row,) = await self.run(FACTS, id=contact_id)
        return row

    async def ids(self) -> list[str]:
        return [row["id"] for row in await self.run("SELECT id FROM contacts ORDER BY arrival")]

    async def outbox(self) -> list[tuple[str, str, str | None]]:
        """What the VC is to be told: contact, kind and call result, in the order in which it is told."""
        rows = await self.run("SELECT contact_id, kind, call_result FROM outbox ORDER BY id")
        return [(row["contact_id"], row["kind"], row["call_result"]) for row in rows]

    async def until_waiting(self, statements: int = 1) -> None:
        """Until so many statements wait for a lock."""
        for _ in range(500):
            (row,) = await self.run(
                "SELECT count(*) AS n FROM pg_stat_activity"
                " WHERE datname = current_database() AND wait_event_type = 'Lock'"
            )
            if row["n"] >= statements:
                return
            await deferLater(self.reactor, 0.01)
        raise AssertionError("no statement waits for a lock")

    async def close(self) -> None:
        for pool in self._pools:
            await pool.stopService()


class Held:
    """A transaction of somebody else that has run `query` and is neither committed nor rolled back yet."""

    def __init__(self, database: Database, query: str, **params: Any) -> None:
        self.locked: Deferred[None] = Deferred()
        self._go: Deferred[None] = Deferred()

        async def work(run: Any) -> None:
            await run(query, params)
            self.locked.callback(None)
            await self._go

        self._over = Deferred.fromCoroutine(database.transaction(work))

    async def commit(self) -> None:
        self._go.callback(None)
        await self._over


def change(contact: Contact, to: Status, result: str | None = None, **more: Any) -> Change:
    """From the state that a contact has."""
    return Change(contact.id, contact.taking, contact.status, to, result, **more)


def posted(contact_id: str = "c1", **fields: Any) -> NewContact:
    """An AGENT contact with every field, as it was posted."""
    values: dict[str, Any] = {
        "id": contact_id,
        "customer_number": "+15550001",
        "campaign_type": CampaignType.AGENT,
        "gateway_id": "gw-1",
        "campaign_id": "k",
        "campaign_contact_id": "cc-1",
        "priority": 3,
        "ivr": "*1",
        "dialing_mode": DialingMode.PROGRESSIVE,
        "routing_mode": RoutingMode.QUEUE,
        "resource_id": "r-1",
        "queue_name": "Sales, 'north'",
        "tenant_id": "t-1",
        "scheduling_metadata": '{"a":"ü"}',
    }
    return NewContact(**(values | fields))


def at_once(work: Callable[[], Any]) -> Deferred[Any]:
    """A coroutine, begun."""
    return Deferred.fromCoroutine(work())


@pytest_twisted.async_yield_fixture
async def tables(reactor: Any, conninfo: str, database: Database) -> AsyncIterator[Tables]:
    """The tables, empty."""
    tables = Tables(reactor, conninfo, database)
    yield tables
    await tables.close()
