"""A dialer that removes what is old while it does everything else."""

from __future__ import annotations

from contextlib import closing

import psycopg2
import pytest
import pytest_twisted
from hamcrest import assert_that, empty, equal_to, has_entries, is_

from dialer import retention as service
from dialer.store import retention as store
from tests.service import shared
from tests.service.shared import Outage, administer, listening
from tests.service.world import World, ivr

sure = pytest_twisted.ensureDeferred
server = shared.server
outage = shared.outage

OLD = """
INSERT INTO contacts (id, customer_number, campaign_type, gateway_id, campaign_id, status, call_result, ended_time)
SELECT 'old-' || n, '+1', 'IVR', 'gw-1', 'old', 'ended', 'NO_ANSWER', now() - interval '91 days'
FROM generate_series(1, 50) AS n;
INSERT INTO outbox (contact_id, kind, customer_number, call_result, state, created_time, delivered_time)
SELECT id, 'notification', '+1', 'NO_ANSWER', 'delivered', ended_time, ended_time FROM contacts;
"""


def left(conninfo: str) -> tuple[int, int]:
    """How many old contacts there are, and messages about them."""
    with closing(psycopg2.connect(conninfo)) as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT (SELECT count(*) FROM contacts WHERE id LIKE 'old-%'),"
            " (SELECT count(*) FROM outbox WHERE contact_id LIKE 'old-%')"
        )
        contacts, messages = cursor.fetchone()
        return contacts, messages


@pytest.fixture(autouse=True)
def one_row_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "PAGE", 1)
    monkeypatch.setattr(service, "PAUSE", 0.01)


@sure
async def test_what_is_older_than_90_days_is_gone_soon_after_the_start_and_the_rest_stays(
    world: World, conninfo: str
) -> None:
    administer(conninfo, OLD)
    await world.start()
    contact = ivr()
    await world.load(contact)
    await world.until_told(contact)
    await world.until(lambda: left(conninfo) == (0, 0), "everything old removed")
    assert_that(await world.contact(contact), has_entries(status="ended"))
    assert_that(
        [count["campaignId"] for count in (await world.get("/campaigns")).body["campaigns"]], is_(["campaign-1"])
    )
    assert_that((await world.get("/campaign/old")).status, is_(404))


@sure
async def test_with_retention_days_0_everything_is_kept(world: World, conninfo: str) -> None:
    administer(conninfo, OLD)
    await world.start(RETENTION_DAYS="0")
    contact = ivr()
    await world.load(contact)
    await world.until_told(contact)
    assert_that(left(conninfo), equal_to((50, 50)))


@sure
async def test_a_dialer_that_stops_in_the_middle_leaves_the_rest_to_the_next_start(
    world: World, conninfo: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    administer(conninfo, OLD)
    with monkeypatch.context() as slow:
        slow.setattr(service, "PAUSE", 0.1)
        await world.start()
        await world.until(lambda: left(conninfo)[0] < 50, "the first one removed")
        with listening() as heard:
            await world.stop_dialer()
        assert_that(heard.errors(), is_(empty()))
    assert_that(left(conninfo)[1], is_(50))
    await world.start()
    await world.until(lambda: left(conninfo) == (0, 0), "everything old removed")


@sure
async def test_an_outage_of_the_database_only_delays_it(outage: Outage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "AGAIN", 0.2)
    monkeypatch.setattr(service, "PAUSE", 0.05)
    world = World(outage.conninfo, DB_CONN_TIMEOUT="500")
    await world.open()
    try:
        await world.start(RETENTION_DAYS="0")
        await world.stop_dialer()
        administer(outage.conninfo, OLD)
        with listening() as heard:
            await world.start()
            await world.until(lambda: left(outage.conninfo)[0] < 50, "the first one removed")
            await outage.begin()
            await world.until(lambda: heard.lines("Old contacts stay for now"), "the purge to notice")
            await outage.end()
            await world.until(lambda: left(outage.conninfo) == (0, 0), "everything old removed")
        assert_that(heard.lines("Old contacts were not removed"), is_(empty()))
    finally:
        await world.close()
