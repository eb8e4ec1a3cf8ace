"""A `contacts` table of the published product is taken over in place, its rows kept (SPEC 7)."""

from __future__ import annotations

from contextlib import closing
from random import Random
from typing import Any

import psycopg2
import pytest
import pytest_twisted
from hamcrest import assert_that, contains_exactly, equal_to, has_entries, is_, none, not_none
from psycopg2.extensions import make_dsn

from dialer.contact import CampaignType, Status
from dialer.store.contacts import ContactStore
from dialer.store.database import Database
from dialer.store.migrate import migrate
from dialer.store.queue import QueueStore, Wanted

OLD = """
CREATE TABLE contacts (
    id varchar(40) PRIMARY KEY, customer_number varchar(20) NOT NULL, campaign_type varchar(20) NOT NULL,
    gateway_id varchar(40) NOT NULL, campaign_id varchar(40) NOT NULL, ivr varchar(20), status varchar(20),
    call_result varchar(40), received_time timestamptz, dial_time timestamptz, start_time timestamptz,
    end_time timestamptz, campaign_contact_id varchar(40), priority integer, dialing_mode varchar(20),
    routing_mode varchar(20), resource_id varchar(40), queue_name varchar(20)
    {newer}
);
INSERT INTO contacts (id, customer_number, campaign_type, gateway_id, campaign_id, status, call_result, received_time,
                      dial_time {newer_names})
VALUES ('waiting', '+1', 'IVR', 'gw', 'k', 'pending', NULL, '2026-01-02T00:00:00Z', NULL {newer_values}),
       ('earlier', '+2', 'IVR', 'gw', 'k', 'pending', NULL, '2026-01-01T00:00:00Z', NULL {newer_values}),
       ('nothing', '+3', 'IVR', 'gw', 'k', NULL, NULL, NULL, NULL {newer_values}),
       ('unclear', '+4', 'IVR', 'gw', 'k', NULL, NULL, NULL, '2026-01-01T00:00:00Z' {newer_values}),
       ('reserving', '+5', 'AGENT', 'gw', 'k', 'agent_pending', NULL, '2026-01-01T00:00:00Z', NULL {newer_values}),
       ('talking', '+6', 'IVR', 'gw', 'k', 'dialed', NULL, '2026-01-01T00:00:00Z', '2026-01-01T01:00:00Z'
                      {newer_values}),
       ('done', '+7', 'IVR', 'gw', 'k', 'ended', 'NORMAL_CLEARING', '2026-01-01T00:00:00Z', NULL {newer_values})
"""

NEWER = {
    "newer": ", tenant_id varchar(40) NOT NULL, scheduling_metadata text",
    "newer_names": ", tenant_id, scheduling_metadata",
    "newer_values": ", 'tenant-1', '{{\"a\": 1}}'",
}
OLDER = {"newer": "", "newer_names": "", "newer_values": ""}


@pytest.fixture
def empty(postgres: str) -> Any:
    """The conninfo of a database with nothing in it."""
    with closing(psycopg2.connect(postgres)) as connection:
        connection.autocommit = True
        connection.cursor().execute("DROP DATABASE IF EXISTS of_the_product WITH (FORCE)")
        connection.cursor().execute("CREATE DATABASE of_the_product")
    return make_dsn(postgres, dbname="of_the_product")


def prepare(conninfo: str, version: dict[str, str]) -> None:
    with closing(psycopg2.connect(conninfo)) as connection, connection:
        connection.cursor().execute(OLD.format(**{name: text.format() for name, text in version.items()}))


@pytest.mark.parametrize("version", [OLDER, NEWER], ids=["older", "newer"])
@pytest_twisted.ensureDeferred
async def test_the_rows_are_kept_and_go_on_from_where_they_were(
    reactor: Any, empty: str, version: dict[str, str]
) -> None:
    prepare(empty, version)
    await migrate(reactor, empty)
    await migrate(reactor, empty)  # a second start changes nothing
    database = Database(reactor, empty, timeout=5, application_name="test", random=Random(1))
    database.startService()
    try:
        store = ContactStore(reactor, database, owner="d", instance="00000000-0000-0000-0000-00000000000d", hold=20)
        rows = await database.run("SELECT * FROM contacts")
        statuses = {row["id"]: row["status"] for row in rows}
        assert_that(
            statuses,
            equal_to(
                {
                    "waiting": "pending",
                    "earlier": "pending",
                    "nothing": "pending",
                    # Handed to EFSwitch by the product, as far as anybody can tell: it is asked, not dialed again.
                    "unclear": "dialed",
                    "reserving": "agent_pending",
                    "talking": "dialed",
                    "done": "ended",
                }
            ),
        )
        done = await store.get("done")
        assert done is not None
        assert_that((done.status, done.call_result, done.customer_number), is_((Status.ENDED, "NORMAL_CLEARING", "+7")))
        chosen = await QueueStore(database, "me").choose(Wanted(9, 9, [CampaignType.IVR]))
        assert_that([each.id for each in chosen], contains_exactly("earlier", "waiting", "nothing"))
        kept = {row["id"]: row for row in rows}
        assert_that(kept["waiting"], has_entries(tenant_id="tenant-1" if version is NEWER else none()))
        assert_that(kept["unclear"], has_entries(received_time=not_none(), dial_time=not_none(), ended_time=none()))
        assert_that(kept["done"]["ended_time"], equal_to(kept["done"]["received_time"]))
    finally:
        await database.stopService()


@pytest_twisted.ensureDeferred
async def test_what_the_product_had_under_way_is_taken_over_like_that_of_a_dead_dialer(
    reactor: Any, empty: str
) -> None:
    prepare(empty, NEWER)
    await migrate(reactor, empty)
    database = Database(reactor, empty, timeout=5, application_name="test", random=Random(1))
    database.startService()
    try:
        instance = "00000000-0000-0000-0000-00000000000d"
        await database.run(
            "INSERT INTO dialers (id, instance, lease_until) VALUES ('d', %(instance)s, now() + interval '1 minute')",
            {"instance": instance},
        )
        store = ContactStore(reactor, database, owner="d", instance=instance, hold=20)
        held = sorted(each.contact.id for each in await store.take_over())
        assert_that(held, contains_exactly("reserving", "talking", "unclear"))
    finally:
        await database.stopService()
