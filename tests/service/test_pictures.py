"""What the stream of events tells while something is wrong, and while nothing happens."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
import pytest_twisted
from hamcrest import assert_that, contains_string, equal_to, has_entries, has_item, is_, none, starts_with

from dialer.web import pages
from tests.service import shared
from tests.service.shared import Outage
from tests.service.test_pages import LATER, stream
from tests.service.world import World, ivr
from tests.tls.authority import Authority

sure = pytest_twisted.ensureDeferred
logged_failures = shared.logged_failures
server = shared.server
outage = shared.outage
fragile = shared.fragile


@sure
async def test_while_the_database_is_down_the_campaigns_are_shown_as_they_were_and_the_rest_as_it_is(
    fragile: World, outage: Outage
) -> None:
    await fragile.load(ivr(campaignId="kept", startTime=LATER))
    async with stream(fragile) as events:
        facts = (await events.next("whole"))["facts"]
        async with outage.under_way(silent=False):
            # What the parts know of it need not change in one picture.
            while facts["database"]["up"] or "not_ready" not in {alarm["code"] for alarm in facts["alarms"]}:
                facts |= (await events.next("change"))["facts"]
            assert_that(facts["status"]["activeCalls"], is_(none()))
            assert_that(facts["alarms"][0]["message"], contains_string("database"))
            async with stream(fragile) as another:
                whole = await another.next("whole")
                assert_that(whole["campaigns"], has_entries(kept=has_entries(total=1)))
        while not facts["database"]["up"]:
            facts |= (await events.next("change"))["facts"]


@sure
async def test_while_nothing_happens_nothing_is_told_but_that_the_dialer_is_there(
    fragile: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    # More than two pictures are taken in it: no two of them may differ for the time that goes by.
    monkeypatch.setattr(pages, "HEARTBEAT", 2.5)
    await fragile.load(ivr(campaignId="quiet", startTime=LATER), ivr(campaignId="called"))
    async with stream(fragile) as events:
        told = await events.next("whole")
        for _ in range(20):
            told = await events.next("change", "beat")
            if told["event"] == "beat":
                break
        assert_that(told["event"], equal_to("beat"))


@sure
async def test_a_dialer_that_stops_ends_the_stream(fragile: World) -> None:
    async with stream(fragile) as events:
        await events.next("whole")
        await fragile.stop_dialer()
        await fragile.until(lambda: events.ended, "the end of the stream")


@sure
async def test_a_certificate_that_expires_soon_is_among_the_alarms(conninfo: str, tmp_path: Path) -> None:
    certificate, key = Authority(tmp_path).issue(valid_for=timedelta(days=13))
    # This PostgreSQL has no TLS: the certificate is looked at all the same.
    world = World(conninfo, DB_TLS_CERT=certificate, DB_TLS_KEY=key, DB_TLS_MODE="prefer")
    await world.open()
    try:
        await world.start()
        async with stream(world) as events:
            alarms = (await events.next("whole"))["facts"]["alarms"]
        told = starts_with("The certificate of DB_TLS_CERT expires on ")
        assert_that(alarms, has_item(has_entries(code="certificate_expires", message=told, serious=False)))
    finally:
        await world.close()
