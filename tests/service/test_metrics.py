"""What Prometheus gets from a dialer at work, over real HTTP."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest_twisted
from attrs import define
from hamcrest import (
    assert_that,
    contains_string,
    empty,
    ends_with,
    equal_to,
    greater_than,
    has_entries,
    is_,
    less_than,
    not_,
    starts_with,
)
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_text

from dialer.metrics import catalogue
from dialer.metrics.catalogue import CATALOGUE
from dialer.sandbox.efswitch import Rule, Rules
from dialer.tls.pem import read_identity
from tests.service import shared
from tests.service.world import World, agent, ivr
from tests.tls.authority import Authority

sure = pytest_twisted.ensureDeferred

ELSEWHERE = (
    catalogue.SLOWED,
    catalogue.WEBHOOKS,
    catalogue.WEBHOOKS_OLDEST,
    catalogue.WEBHOOK_DELIVERIES,
    catalogue.CERTIFICATE_EXPIRES,
)
"""Of these there is nothing here: no switch refuses, nobody receives webhooks, and nothing has a certificate."""
logged_failures = shared.logged_failures
world = shared.world

ENVIRONMENT: dict[str, str] = {"MAX_CONCURRENT_CALLS": "7"}


@define
class Page:
    """A scraped page."""

    families: dict[str, Any]
    text: str

    def value(self, name: str, **labels: str) -> float | None:
        """The value of one series; None when there is no such."""
        found = [
            sample.value
            for family in self.families.values()
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        ]
        assert len(found) <= 1, f"{name} {labels} is not one series"
        return found[0] if found else None

    def total(self, name: str, **labels: str) -> float:
        """The sum of all series with these labels."""
        return sum(
            sample.value
            for family in self.families.values()
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )


async def scrape(world: World) -> Page:
    """The page as it is now."""
    reply = await world.get("/metrics")
    assert_that(reply.status, is_(200), str(reply))
    assert_that(reply.headers.getRawHeaders("Content-Type")[0], starts_with("text/plain; version=0.0.4"))
    return Page({family.name: family for family in read_text(reply.body)}, reply.body)


async def difference(world: World, before: Page, name: str, **labels: str) -> float:
    """How much more there is than before."""
    return (await scrape(world)).total(name, **labels) - before.total(name, **labels)


async def dialed_to_their_end(world: World, *contacts: dict[str, Any]) -> None:
    await world.load(*contacts)
    for contact in contacts:
        await world.until_told(contact)


@sure
async def test_every_metric_is_exported_with_its_kind_and_labels(world: World) -> None:
    await dialed_to_their_end(world, ivr(), agent(customerNumber="+447700900456"))
    page = await scrape(world)
    for metric in CATALOGUE:
        # Prometheus's own parser takes the ending off a counter's name.
        family = page.families[metric.name.removesuffix("_total")]
        assert_that(family.type, equal_to(metric.kind), metric.name)
        assert_that(family.documentation, equal_to(metric.meaning))
        labels = {name for sample in family.samples for name in sample.labels} - {"le"}
        if metric in ELSEWHERE:
            assert_that(family.samples, is_(empty()))
        else:
            assert_that(labels, equal_to(set(metric.labels)), metric.name)
    ours = {name for name in page.families if name.startswith("dialer_")}
    assert_that(ours, equal_to({metric.name.removesuffix("_total") for metric in CATALOGUE}))
    assert_that(page.value("process_resident_memory_bytes"), greater_than(1e6))


@sure
async def test_who_accepts_openmetrics_gets_it(world: World) -> None:
    accept = {"Accept": "application/openmetrics-text; version=1.0.0, text/plain;q=0.5"}
    reply = await world.request("GET", "/metrics", headers=accept)
    assert_that(
        reply.headers.getRawHeaders("Content-Type")[0], starts_with("application/openmetrics-text; version=1.0.0")
    )
    assert_that(reply.body, ends_with("# EOF\n"))
    families = {family.name: family for family in read_openmetrics(reply.body)}
    assert_that(families["dialer_dial_attempts"].type, equal_to("counter"))
    assert_that(families["dialer_ready"].samples[0].value, equal_to(1))


@sure
async def test_calls_are_counted_by_what_became_of_them(world: World) -> None:
    before = await scrape(world)
    world.switch.rules = Rules(
        [Rule(number=".*5", outcome="busy", ring=0.15), Rule(ring=0.01, talk=0.12, agent_ring=0.01)]
    )
    busy = [ivr(customerNumber=f"+44770090{n}5") for n in (100, 101)]
    await dialed_to_their_end(world, *busy, agent(customerNumber="+447700901006"), ivr(gatewayId="gw-none"))
    after = await scrape(world)

    def more(name: str, **labels: str) -> float:
        return after.total(name, **labels) - before.total(name, **labels)

    name = world.dialer._parts.fleet.switches[0].name
    assert_that(more("dialer_dial_attempts_total", campaign_type="IVR", switch=name), equal_to(2))
    assert_that(more("dialer_dial_attempts_total", campaign_type="AGENT", switch=name), equal_to(1))
    assert_that(more("dialer_outcomes_total", campaign_type="IVR", result="USER_BUSY"), equal_to(2))
    assert_that(more("dialer_outcomes_total", campaign_type="IVR", result="INVALID_GATEWAY"), equal_to(1))
    assert_that(more("dialer_outcomes_total", campaign_type="AGENT", result="NORMAL_CLEARING"), equal_to(1))
    assert_that(more("dialer_agent_requests_total", answer="accepted"), equal_to(1))
    assert_that(more("dialer_agent_replies_total", agent="reserved"), equal_to(1))
    assert_that(more("dialer_ring_duration_seconds_count", campaign_type="IVR", answered="no"), equal_to(2))
    assert_that(more("dialer_ring_duration_seconds_bucket", campaign_type="IVR", answered="no", le="0.1"), equal_to(0))
    assert_that(more("dialer_ring_duration_seconds_bucket", campaign_type="IVR", answered="no", le="10.0"), equal_to(2))
    assert_that(more("dialer_call_duration_seconds_count", campaign_type="AGENT"), equal_to(1))
    assert_that(more("dialer_call_duration_seconds_bucket", campaign_type="AGENT", le="0.1"), equal_to(0))
    assert_that(more("dialer_throttle_wait_seconds_count", turn="call"), equal_to(3))
    assert_that(more("dialer_throttle_wait_seconds_count", turn="agent_request"), equal_to(1))
    assert_that(more("dialer_selection_seconds_count"), greater_than(0))
    assert_that(more("dialer_esl_events_total", switch=name, event="BACKGROUND_JOB"), equal_to(3))
    assert_that(more("dialer_deliveries_total", outcome="delivered"), greater_than(2))


@sure
async def test_slots_and_contacts_are_those_of_the_database(world: World) -> None:
    world.switch.rules = Rules([Rule(ring=0.01, talk=30)])
    talking = [ivr(campaignId="kept-up", customerNumber=f"+4477009020{n}0") for n in range(3)]
    waiting = ivr(campaignId="stopped-one", startTime="2031-01-01T09:00:00Z")
    before = await scrape(world)
    await world.load(*talking, waiting)
    for contact in talking:
        await world.until(lambda contact=contact: world.attempts(contact))
        await world.until_status(contact, "dialed")
    await world.post("/campaign/stopped-one/stop")
    page = await scrape(world)
    assert_that([page.value(f"dialer_slots{which}") for which in ("", "_used", "_free")], equal_to([7, 3, 4]))
    assert_that(page.value("dialer_calls"), equal_to(3))
    for status, more in {"dialed": 3, "stopped": 1, "pending": 0}.items():
        was = before.value("dialer_contacts", campaign_type="IVR", status=status)
        assert_that(page.value("dialer_contacts", campaign_type="IVR", status=status), equal_to(was + more), status)
    for name in ("kept-up", "stopped-one", talking[0]["id"], talking[0]["customerNumber"], "gw-1"):
        assert_that(page.text, not_(contains_string(name)))
    world.switch.calls.kill_all("NORMAL_CLEARING")
    for contact in talking:
        await world.until_told(contact)
    assert_that((await scrape(world)).value("dialer_slots_free"), equal_to(7))


@sure
async def test_requests_are_counted_by_the_path_as_declared_and_never_by_the_one_that_was_asked_for(
    world: World,
) -> None:
    before = await scrape(world)
    await world.get("/contact/secret-1")
    await world.get("/contact/secret-2")
    await world.get("/secret-path")
    await world.get("/%ff-secret")
    await world.post("/status")
    await world.request("BREW", "/secret-pot")
    await world.request("POST", "/contact", data=b"{", headers={"Content-Type": "application/json"})
    after = await scrape(world)
    for labels, number in [
        ({"method": "GET", "route": "/contact/{contact_id}", "status": "404"}, 2),
        ({"method": "GET", "route": "none", "status": "404"}, 2),
        ({"method": "POST", "route": "none", "status": "405"}, 1),
        ({"method": "OTHER", "route": "none"}, 1),
        ({"method": "POST", "route": "/contact", "status": "400"}, 1),
        ({"method": "GET", "route": "/metrics", "status": "200"}, 1),
    ]:
        counted = after.total("dialer_http_requests_total", **labels)
        assert_that(counted - before.total("dialer_http_requests_total", **labels), equal_to(number), str(labels))
    labels = {"method": "GET", "route": "/contact/{contact_id}"}
    assert_that(after.value("dialer_http_request_duration_seconds_count", **labels), greater_than(1))
    assert_that(after.text, not_(contains_string("secret")))


@sure
async def test_events_that_repeat_are_counted_and_change_nothing(world: World) -> None:
    before = await scrape(world)
    world.switch.rules = Rules([Rule(ring=0.01, talk=0.05)])
    world.switch.faults.repeat = {"CHANNEL_HANGUP_COMPLETE": 1.0, "CHANNEL_ANSWER": 1.0}
    contact = ivr(customerNumber="+447700903000")
    await dialed_to_their_end(world, contact)
    world.switch.clear_faults()
    repeated = {"CHANNEL_HANGUP_COMPLETE": 1, "CHANNEL_ANSWER": 1, "CHANNEL_BRIDGE": 0}
    for event, number in repeated.items():
        assert_that(
            await difference(world, before, "dialer_esl_events_repeated_total", event=event), equal_to(number), event
        )
    assert_that(
        await difference(world, before, "dialer_outcomes_total", campaign_type="IVR", result="NORMAL_CLEARING"),
        equal_to(1),
    )


@sure
async def test_what_the_vc_lacks_is_counted_with_its_age(world: World) -> None:
    world.switch.rules = Rules([Rule(ring=0.01, talk=0.01)])
    world.vc.behave("notification", "refuse", status=503)
    contact = ivr(customerNumber="+447700904000")
    await world.load(contact)
    await world.until_status(contact, "ended")

    async def waits() -> Page | None:
        page = await scrape(world)
        # That the VC has those of the tests before may be written a moment later.
        one = page.value("dialer_notifications", kind="notification", state="waiting") == 1
        return page if one and page.value("dialer_notifications_oldest_seconds") else None

    page = await world.until(waits, "one that waits")
    assert_that(page.value("dialer_notifications", kind="notification", state="parked"), equal_to(0))
    assert_that(page.value("dialer_notifications_oldest_seconds"), less_than(60))
    world.vc.behave("notification", "accept")
    await world.until_told(contact)

    async def delivered() -> bool:
        page = await scrape(world)
        return (
            page.value("dialer_notifications", kind="notification", state="waiting"),
            page.value("dialer_notifications_oldest_seconds"),
        ) == (0, 0)

    await world.until(delivered)


@sure
async def test_a_switch_that_is_gone_and_comes_back_shows_in_its_state_and_its_reconnects(world: World) -> None:
    before = await scrape(world)
    switch = {"switch": world.dialer._parts.fleet.switches[0].name}
    assert_that(before.value("dialer_esl_ready", **switch), equal_to(1))
    world.switch.shut_down(now=True)
    await world.until_ready(False)
    page = await scrape(world)
    down = {name: page.value(name, **switch) for name in ("dialer_esl_connected", "dialer_esl_ready")}
    assert_that(down | {"ready": page.value("dialer_ready")}, has_entries(dict.fromkeys((*down, "ready"), 0.0)))
    world.switch.restart()
    await world.until_ready()
    page = await scrape(world)
    assert_that([page.value("dialer_esl_connected", **switch), page.value("dialer_ready")], equal_to([1, 1]))
    assert_that(page.total("dialer_esl_reconnects_total") - before.total("dialer_esl_reconnects_total"), equal_to(1))


@sure
async def test_a_certificate_of_the_dialers_own_is_exported_with_its_end(conninfo: str, tmp_path: Path) -> None:
    certificate, key = Authority(tmp_path).issue()
    # This PostgreSQL has no TLS: the certificate is looked at all the same.
    world = World(conninfo, DB_TLS_CERT=certificate, DB_TLS_KEY=key, DB_TLS_MODE="prefer")
    await world.open()
    try:
        await world.start()
        value = (await scrape(world)).value(
            "dialer_tls_certificate_expires_timestamp_seconds", certificate="DB_TLS_CERT"
        )
        assert_that(value, equal_to(read_identity(certificate, key).expires.timestamp()))
    finally:
        await world.close()
