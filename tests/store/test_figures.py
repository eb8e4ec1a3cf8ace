"""The figures that only the database knows, and that they are not counted row by row."""

from __future__ import annotations

from contextlib import closing

import psycopg2
import pytest_twisted
from hamcrest import assert_that, contains_string, equal_to, matches_regexp, not_

from dialer.store.figures import FiguresStore
from dialer.store.outbox import Backlog, OutboxStore
from dialer.store.queries import sql
from tests.store import tables as shared
from tests.store.tables import Tables

sure = pytest_twisted.ensureDeferred
one_database = shared.one_database
conninfo = shared.conninfo
tables = shared.tables


def store(tables: Tables, owner: str = "me") -> FiguresStore:
    return FiguresStore(tables.database, OutboxStore(tables.database), owner=owner, webhooks=["crm.example:443"])


@sure
async def test_contacts_are_counted_by_type_and_status_and_the_active_ones_of_this_dialer(tables: Tables) -> None:
    await tables.put("c1", campaign_id="k1")
    await tables.put("c2", campaign_id="k2")
    await tables.put("c3", campaign_type="AGENT", status="agent_pending", owner="me")
    await tables.put("c4", status="dialed", owner="me")
    await tables.put("c5", status="dialed", owner="another")
    await tables.put("c6", status="ended", call_result="USER_BUSY", owner=None)
    figures = await store(tables).read()
    assert_that(
        dict(figures.contacts),
        equal_to(
            {
                ("IVR", "pending"): 2,
                ("AGENT", "agent_pending"): 1,
                ("IVR", "dialed"): 2,
                ("IVR", "ended"): 1,
            }
        ),
    )
    assert_that(figures.active, equal_to(2))
    assert_that(figures.messages, equal_to({"notification": Backlog(), "end_chat": Backlog()}))
    assert_that(figures.webhooks, equal_to({"crm.example:443": Backlog()}))


@sure
async def test_an_empty_database_has_no_figures(tables: Tables) -> None:
    figures = await store(tables).read()
    assert_that((dict(figures.contacts), figures.active), equal_to(({}, 0)))


@sure
async def test_no_contact_is_read_to_count_them(tables: Tables, conninfo: str) -> None:
    await tables.run(
        "INSERT INTO contacts (id, customer_number, campaign_type, gateway_id, campaign_id, status, received_time)"
        " SELECT 'm' || i, '+15550001', 'IVR', 'gw', 'k', 'pending', now() FROM generate_series(1, 5000) AS i"
    )
    figures = await store(tables).read()
    assert_that(figures.contacts[("IVR", "pending")], equal_to(5000))
    with closing(psycopg2.connect(conninfo)) as connection, connection.cursor() as cursor:
        cursor.execute("EXPLAIN " + sql("figures"), {"owner": "me"})
        plan = "\n".join(row[0] for row in cursor.fetchall())
    assert_that(plan, contains_string("tally_changes"))
    assert_that(plan, not_(matches_regexp(" on contacts| using contacts_")))
