"""EFSwitch's own limits, and several switches (the dialer spares the one and spreads over the others)."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import pytest_twisted
from hamcrest import assert_that, equal_to, has_entries, is_, less_than
from twisted.internet import reactor

from dialer import reconcile
from dialer.sandbox.efswitch import EFSwitch, Rule, Rules
from tests.service.world import World, agent, ivr

sure = pytest_twisted.ensureDeferred

CAUSES = {"answered": "NORMAL_CLEARING", "busy": "USER_BUSY", "rejected": "CALL_REJECTED"}


def by_last_digit() -> Rules:
    """An outcome for each last digit of the number."""
    return Rules(
        [
            Rule(number=".*[0-3]", outcome="busy", ring=0.01),
            Rule(number=".*[4-6]", outcome="rejected", ring=0.01),
            Rule(ring=0.01, talk=0.05),
        ]
    )


def cause_of(contact: dict[str, Any]) -> str:
    digit = int(contact["customerNumber"][-1])
    return CAUSES["busy" if digit <= 3 else "rejected" if digit <= 6 else "answered"]


@sure
async def test_a_switch_of_five_sessions_per_second_calls_everybody_once_though_twenty_are_configured(
    world: World,
) -> None:
    world.switch.rules = by_last_digit()
    world.switch.limits.per_second = 5
    await world.start(CALLS_PER_SECOND="20", MAX_CONCURRENT_CALLS="40")
    contacts = [ivr(customerNumber=f"+4477009000{n:02}") for n in range(30)]
    await world.load(*contacts)
    for contact in contacts:
        told = await world.until_told(contact)
        assert_that(told["callResult"], is_(cause_of(contact)))
        attempts = world.attempts(contact)
        assert_that([each.cause for each in attempts if each.refused is None], equal_to([cause_of(contact)]))
        assert_that({each.refused for each in attempts} - {None, "DESTINATION_OUT_OF_ORDER"}, is_(set()))
    refused = sum(each.refused is not None for each in world.switch.records.since())
    # A switch that answered each refusal with the next attempt would be asked far more often than it has contacts.
    assert_that(refused, less_than(len(contacts)))


@pytest_twisted.async_yield_fixture
async def second() -> Any:
    """A second switch."""
    switch = EFSwitch(
        reactor,
        rules=Rules([Rule(ring=0.01, talk=0.4, agent_ring=0.01)]),
        sessions_per_second=1000,
        gateways={"gw-1": "UP", "gw-3": "UP", "agents": "UP"},
    )
    port = await switch.listen(reactor)
    switch.where = f"127.0.0.1:{port.getHost().port}"
    yield switch
    await switch.stop()


def both(world: World, second: EFSwitch) -> str:
    """ESL_IP for two switches."""
    return f"127.0.0.1:{world.switch_port.getHost().port},{second.where}"


async def until_all_ready(world: World) -> None:
    """Wait until every switch may be called through."""

    async def ready() -> bool:
        return all(switch["ready"] for switch in (await world.get("/status")).body["switches"])

    await world.until(ready, "both switches ready")


@sure
async def test_calls_are_shared_evenly_by_the_switches_that_have_the_gateway_up(world: World, second: EFSwitch) -> None:
    # Nobody hangs up before all slots are taken: who is called next, and where, depends on who has.
    world.switch.rules = second.rules = Rules([Rule(ring=0.01, talk=600)])
    await world.start(ESL_IP=both(world, second), MAX_CONCURRENT_CALLS="10")
    await until_all_ready(world)
    contacts = [ivr(customerNumber=f"+4477009001{n:02}") for n in range(20)]
    await world.load(*contacts)

    def called() -> int:
        return sum(each.answered_at is not None for switch in (world.switch, second) for each in switch.records.since())

    for calls in (10, 20):
        await world.until(lambda calls=calls: called() == calls, f"{calls} calls")
        for switch in (world.switch, second):
            switch.calls.kill_all("NORMAL_CLEARING")
    for contact in contacts:
        await world.until_told(contact)
    shares = Counter({"first": world.switch.records.count, "second": second.records.count})
    assert_that(shares, equal_to(Counter(first=10, second=10)))


@sure
async def test_each_gateway_is_used_where_it_is_known_and_up(world: World, second: EFSwitch) -> None:
    await world.start(ESL_IP=both(world, second))
    await until_all_ready(world)
    only_first, only_second, nowhere = ivr(gatewayId="gw-2"), agent(gatewayId="gw-3"), ivr(gatewayId="gw-4")
    await world.load(only_first, only_second, nowhere)
    assert_that((await world.until_told(only_first))["callResult"], is_("NORMAL_CLEARING"))
    assert_that((await world.until_told(only_second))["callResult"], is_("NORMAL_CLEARING"))
    assert_that((await world.until_told(nowhere))["callResult"], is_("INVALID_GATEWAY"))
    assert_that([each.gateway for each in world.switch.records.since()], equal_to(["gw-2"]))
    assert_that([each.gateway for each in second.records.since()], equal_to(["gw-3"]))


@sure
async def test_one_switch_that_goes_down_affects_only_its_own_calls(
    world: World, second: EFSwitch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconcile, "APART", 0.2)
    monkeypatch.setattr(reconcile, "YOUNGEST", 0.5)
    world.switch.rules = second.rules = Rules([Rule(ring=0.01, talk=600)])
    await world.start(ESL_IP=both(world, second), MAX_CONCURRENT_CALLS="4")
    await until_all_ready(world)
    contacts = [ivr(customerNumber=f"+4477009002{n:02}") for n in range(4)]
    await world.load(*contacts)
    for contact in contacts:
        await world.until_status(contact, "dialed")

    def answered() -> int:
        return sum(each.answered_at is not None for switch in (world.switch, second) for each in switch.records.since())

    await world.until(lambda: answered() == 4, "four calls")
    lost = {each.uuid for each in second.records.since()}
    second.restart(downtime=0.5)
    # Those first that are found gone: the others are still up then.
    for contact in sorted(contacts, key=lambda contact: contact["id"] not in lost):
        expected = "UNKNOWN"
        if contact["id"] not in lost:
            world.switch.calls.kill(contact["id"], "NORMAL_CLEARING")
            expected = "NORMAL_CLEARING"
        assert_that((await world.until_told(contact))["callResult"], is_(expected))
        assert_that(await world.contact(contact), has_entries(status="ended"))
