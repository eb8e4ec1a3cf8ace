"""The event socket of a real FreeSWITCH goes away, or the whole switch does, while calls are up."""

from __future__ import annotations

from typing import Any

import pytest_twisted
from hamcrest import assert_that, contains_string, empty, has_entries, has_length, is_

from tests.freeswitch.customers import Manner
from tests.freeswitch.test_flows import told
from tests.freeswitch.wire import Wire
from tests.freeswitch.world import World
from tests.service.world import agent, ivr

sure = pytest_twisted.ensureDeferred


async def answered(world: World, contact: dict[str, Any]) -> None:
    """Load a contact and wait until its customer talks."""
    await world.load(contact)
    await world.until_leg(contact["customerNumber"], "answered")


@sure
async def test_calls_go_on_while_the_event_socket_is_reloaded_and_their_ends_are_seen(world: World) -> None:
    await world.start()
    contacts = [world.for_customer(ivr, Manner(talk=None)) for _ in range(3)]
    for contact in contacts:
        await answered(world, contact)
    await world.control.bgapi("reload mod_event_socket")
    await world.until_ready(False)
    await world.until_ready()
    for contact in contacts:
        assert_that(await world.contact(contact), has_entries(status="dialed"))
        world.customers.hang_up(contact["customerNumber"])
        assert_that(await world.until_told(contact), told(contact, "NORMAL_CLEARING"))
        assert_that(world.legs(contact), has_length(1))


@sure
async def test_an_end_missed_while_the_event_socket_was_away_is_found_and_a_live_call_is_not_ended(
    world: World, wire: Wire
) -> None:
    await world.start(ESL_IP=wire.address)
    missed, bridged, live = (world.for_customer(kind, Manner(talk=None)) for kind in (ivr, agent, ivr))
    for contact in (missed, bridged, live):
        await answered(world, contact)
    await world.until_bridged(bridged)
    await wire.cut()
    await world.until_ready(False)
    await world.control.bgapi("reload mod_event_socket")
    for contact in (missed, bridged):
        world.customers.hang_up(contact["customerNumber"])

    async def both_gone() -> bool:
        try:
            return not (await world.control.exists(missed["id"]) or await world.control.exists(bridged["id"]))
        except Exception:
            return False  # the event socket is not back yet

    await world.until(both_gone, "end of the calls")
    wire.mend()
    for contact in (missed, bridged):
        assert_that(await world.until_told(contact), told(contact, "UNKNOWN"))
        assert_that(world.end_chats(contact), is_(empty()))
    assert_that(await world.contact(live), has_entries(status="dialed"))
    world.customers.hang_up(live["customerNumber"])
    assert_that(await world.until_told(live), told(live, "NORMAL_CLEARING"))


@sure
async def test_a_dialer_that_starts_again_finds_its_live_call_and_the_one_that_ended_meanwhile(world: World) -> None:
    await world.start()
    live, missed = (world.for_customer(ivr, Manner(talk=None)) for _ in range(2))
    for contact in (live, missed):
        await answered(world, contact)
    await world.stop_dialer()
    world.customers.hang_up(missed["customerNumber"])
    await world.until_gone(missed["id"])
    await world.start()
    assert_that(await world.until_told(missed), told(missed, "UNKNOWN"))
    assert_that(await world.contact(live), has_entries(status="dialed"))
    world.customers.hang_up(live["customerNumber"])
    assert_that(await world.until_told(live), told(live, "NORMAL_CLEARING"))
    assert_that([len(world.legs(contact)) for contact in (live, missed)], is_([1, 1]))


@sure
async def test_a_wrong_password_is_told_apart_and_shown(world: World) -> None:
    await super(World, world).start(ESL_PASSWORD="not-the-password")
    await world.until_ready(False)
    reasons = " ".join((await world.get("/readyz")).body["reasons"])
    assert_that(reasons, contains_string("ESL_PASSWORD"))
    assert_that((await world.get("/status")).body, has_entries(efswitch="down"))


@sure
async def test_a_switch_stopped_in_mid_call_ends_each_call_with_that_cause_and_is_dialed_through_again(
    world: World,
) -> None:
    world.vc.behave("reply", "silent")
    world.customers.manners["1006"] = Manner(ring=None)
    await world.start(CONTACT_RETRIEVAL_DELAY="1", EFSWITCH_DOWN_POLICY="hold")
    talks = world.for_customer(ivr, Manner(talk=None))
    rings = world.for_customer(ivr, Manner(ring=None))
    bridged, waits = (world.for_customer(agent, Manner(talk=None)) for _ in range(2))
    await world.load(talks, rings, bridged, waits)
    for contact, extension in ((bridged, "1005"), (waits, "1006")):
        await world.until_status(contact, "agent_pending")
        await world.post("/agent", {"uuid": contact["id"], "agent": extension, "queue": "Sales"})
    await world.until_leg(talks["customerNumber"], "answered")
    await world.until_leg(rings["customerNumber"], "ringing")
    await world.until_leg("1006", "ringing")
    await world.until_bridged(bridged)
    await world.control.fsctl("shutdown restart")
    for contact in (talks, rings, bridged, waits):
        assert_that(await world.until_told(contact), told(contact, "SYSTEM_SHUTDOWN"))
    await world.until(lambda: world.end_chats(waits), "END_CHAT")
    assert_that([world.end_chats(contact) for contact in (talks, rings, bridged)], is_([[], [], []]))
    await world.until_ready(False)
    later = world.for_customer(ivr, Manner(talk=0.3))
    await world.load(later)
    await world.until_ready()
    assert_that(await world.until_told(later), told(later, "NORMAL_CLEARING"))
    assert_that([len(world.legs(contact)) for contact in (talks, rings, bridged, waits)], is_([1, 1, 1, 1]))


@sure
async def test_a_switch_that_stops_without_a_word_to_the_dialer_leaves_calls_that_are_found_gone(
    world: World, wire: Wire
) -> None:
    await world.start(ESL_IP=wire.address, EFSWITCH_DOWN_POLICY="hold")
    talks, bridged = (world.for_customer(kind, Manner(talk=None)) for kind in (ivr, agent))
    for contact in (talks, bridged):
        await answered(world, contact)
    await world.until_bridged(bridged)
    await wire.cut()
    await world.control.fsctl("shutdown restart")
    await world.until_leg(talks["customerNumber"], "ended")
    wire.mend()
    for contact in (talks, bridged):
        assert_that(await world.until_told(contact), told(contact, "UNKNOWN"))
    assert_that(world.end_chats(bridged), is_(empty()))
    await world.until_ready()
