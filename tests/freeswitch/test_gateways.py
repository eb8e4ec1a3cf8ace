"""Gateways of a real FreeSWITCH: up, down, unknown, and changed just after the dialer asked."""

from __future__ import annotations

from typing import Any

import pytest
import pytest_twisted
from hamcrest import assert_that, empty, has_entries, has_length, is_, none

from tests.freeswitch.customers import Manner
from tests.freeswitch.test_flows import told
from tests.freeswitch.world import World
from tests.service.world import agent, ivr

sure = pytest_twisted.ensureDeferred


@pytest.fixture
def trusting(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the dialer knows of a gateway is not asked for again, so that it can be wrong."""
    monkeypatch.setattr("dialer.esl.gateways.FRESH", 600.0)
    monkeypatch.setattr("dialer.placing.FRESH", 600.0)


async def ask(world: World) -> None:
    """Have the dialer ask for the gateway."""
    contact = world.for_customer(ivr, Manner(talk=0.1))
    await world.load(contact)
    await world.until_told(contact)


@pytest.mark.parametrize("kind", [ivr, agent])
@sure
async def test_a_gateway_unknown_to_the_switch_fails_the_contact(world: World, kind: Any) -> None:
    await world.start()
    contact = world.for_customer(kind, gatewayId="11111111-2222-4333-8444-555555555555")
    await world.load(contact)
    assert_that(await world.until_told(contact), told(contact, "INVALID_GATEWAY"))
    assert_that(await world.contact(contact), has_entries(status="failed", callResult="Invalid Gateway"))
    await world.until(lambda: len(world.end_chats(contact)) == (kind is agent), "END_CHAT")


@sure
async def test_while_the_gateway_is_down_contacts_wait_and_they_are_called_when_it_is_up(world: World) -> None:
    await world.start()
    await world.customers.stop()
    await world.until_gateway("DOWN")
    contacts = [world.for_customer(kind, Manner(talk=0.1)) for kind in (ivr, agent)]
    await world.load(*contacts)
    await world.until(lambda: world.end_chats(contacts[1]), "END_CHAT")
    for contact in contacts:
        assert_that(await world.until_status(contact, "pending"), has_entries(dialTime=none(), callResult=none()))
        assert_that(world.notifications(contact), is_(empty()))
    assert_that((await world.get("/readyz")).status, is_(200))
    world.customers.listen()
    for contact in contacts:
        assert_that(await world.until_told(contact), told(contact, "NORMAL_CLEARING"))
        assert_that(world.legs(contact), has_length(1))


@pytest.mark.usefixtures("trusting")
@pytest.mark.parametrize("kind", [ivr, agent])
@sure
async def test_a_gateway_that_went_down_after_it_was_asked_for_puts_the_contact_back(world: World, kind: Any) -> None:
    await world.start(CONTACT_RETRIEVAL_DELAY="2")
    await ask(world)
    await world.customers.stop()
    await world.until_gateway("DOWN")
    await world.control.listen("CHANNEL_HANGUP_COMPLETE", "BACKGROUND_JOB")
    contact = world.for_customer(kind, Manner(talk=0.1))
    await world.load(contact)
    await world.until(lambda: refusals(world, "GATEWAY_DOWN"), "refusal")
    assert_that(await world.until_status(contact, "pending"), has_entries(dialTime=none()))
    await world.until(lambda: bool(world.end_chats(contact)) == (kind is agent), "END_CHAT")
    assert_that(world.control.seen("CHANNEL_HANGUP_COMPLETE", contact["id"]), is_(empty()))
    world.customers.listen()
    assert_that(await world.until_told(contact), told(contact, "NORMAL_CLEARING"))


@pytest.mark.usefixtures("trusting")
@pytest.mark.parametrize("kind", [ivr, agent])
@sure
async def test_a_gateway_that_vanished_after_it_was_asked_for_fails_the_contact(world: World, kind: Any) -> None:
    await world.start()
    await ask(world)
    gateway = await world.control.gateway()
    await world.control.api(f"sofia profile {gateway['Profile']} killgw {gateway['Name']}")
    try:
        await world.until(lambda: gone(world), "end of the gateway")
        contact = world.for_customer(kind)
        await world.load(contact)
        assert_that(await world.until_told(contact), told(contact, "INVALID_GATEWAY"))
        assert_that(await world.contact(contact), has_entries(status="failed", callResult="Invalid Gateway"))
        await world.until(lambda: len(world.end_chats(contact)) == (kind is agent), "END_CHAT")
    finally:
        await world.control.api(f"sofia profile {gateway['Profile']} rescan")
        await world.until_gateway("UP")


async def gone(world: World) -> bool:
    """Whether the switch has forgotten the gateway."""
    return not await world.control.gateway()


def refusals(world: World, cause: str) -> list[Any]:
    """The background jobs that ended so."""
    return [job for job in world.control.events if job.name == "BACKGROUND_JOB" and cause in job.body]
