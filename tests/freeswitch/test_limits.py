"""What a real FreeSWITCH refuses for limits of its own, without any channel and therefore without any hangup event."""

from __future__ import annotations

from typing import Any

import pytest
import pytest_twisted
from hamcrest import assert_that, empty, greater_than, has_entries, has_length, is_, none

from tests.freeswitch.customers import Manner
from tests.freeswitch.test_flows import told
from tests.freeswitch.world import World
from tests.service.world import agent, ivr

sure = pytest_twisted.ensureDeferred


async def refusals(world: World) -> list[Any]:
    """The background jobs refused for a limit so far."""
    return [job for job in world.control.events if "DESTINATION_OUT_OF_ORDER" in job.body]


@sure
async def test_over_sessions_per_second_every_contact_is_called_once_and_its_true_result_stored(world: World) -> None:
    await world.control.fsctl("sps 5")
    await world.control.listen("BACKGROUND_JOB")
    await world.start(CALLS_PER_SECOND="20", MAX_CONCURRENT_CALLS="30", CONTACT_RETRIEVAL_DELAY="1")
    contacts = [
        (world.for_customer(ivr, manner), cause)
        for _ in range(15)
        for manner, cause in [(Manner(talk=0.3), "NORMAL_CLEARING"), (Manner(status=486), "USER_BUSY")]
    ]
    await world.load(*(contact for contact, _ in contacts))
    for contact, cause in contacts:
        assert_that(await world.until_told(contact), told(contact, cause))
    assert_that([len(world.legs(contact)) for contact, _ in contacts], is_([1] * len(contacts)))
    refused = len(await refusals(world))
    # It slows down: 20 a second against a limit of 5 would have been refused about four times as often as taken.
    assert_that(refused, is_(greater_than(0)))
    assert_that(refused < 2 * len(contacts), is_(True), f"{refused} refusals for {len(contacts)} contacts")


@sure
async def test_over_max_sessions_contacts_wait_for_a_session_and_are_called_once(world: World) -> None:
    await world.control.fsctl("max_sessions 2")
    await world.control.listen("BACKGROUND_JOB")
    await world.start(CONTACT_RETRIEVAL_DELAY="1")
    contacts = [world.for_customer(ivr, Manner(talk=1)) for _ in range(6)]
    await world.load(*contacts)
    for contact in contacts:
        assert_that(await world.until_told(contact), told(contact, "NORMAL_CLEARING"))
    assert_that([len(world.legs(contact)) for contact in contacts], is_([1] * 6))
    assert_that(await refusals(world), has_length(greater_than(0)))


@pytest.mark.parametrize("kind", [ivr, agent])
@sure
async def test_a_paused_switch_puts_contacts_back_and_they_are_called_when_it_goes_on(world: World, kind: Any) -> None:
    await world.control.fsctl("pause outbound")
    await world.control.listen("BACKGROUND_JOB", "CHANNEL_HANGUP_COMPLETE")
    await world.start(CONTACT_RETRIEVAL_DELAY="3")
    contact = world.for_customer(kind, Manner(talk=0.3))
    await world.load(contact)
    await world.until(lambda: refusals(world), "refusal")
    assert_that(await world.until_status(contact, "pending"), has_entries(dialTime=none(), callResult=none()))
    await world.until(lambda: bool(world.end_chats(contact)) == (kind is agent), "END_CHAT")
    assert_that(world.control.seen("CHANNEL_HANGUP_COMPLETE", contact["id"]), is_(empty()))
    await world.control.fsctl("resume outbound")
    assert_that(await world.until_told(contact), told(contact, "NORMAL_CLEARING"))
    assert_that(world.legs(contact), has_length(1))


@sure
async def test_an_agent_leg_over_max_sessions_ends_the_call_and_the_chat(world: World) -> None:
    await world.control.fsctl("max_sessions 1")
    await world.start()
    contact = world.for_customer(agent, Manner(talk=None))
    await world.load(contact)
    assert_that(await world.until_told(contact), told(contact, "DESTINATION_OUT_OF_ORDER"))
    await world.until(lambda: world.end_chats(contact), "END_CHAT")
    assert_that(await world.contact(contact), has_entries(status="ended"))


@sure
async def test_a_call_that_the_switch_already_has_is_not_taken_for_refused(world: World) -> None:
    """As after a dialer that died with the command sent, and was never told of it."""
    await world.control.listen("BACKGROUND_JOB")
    await world.start()
    contact = world.for_customer(ivr, Manner(talk=None))
    gateway = world.control.address.gateway
    number = contact["customerNumber"]
    await world.control.bgapi(f"originate {{origination_uuid={contact['id']}}}sofia/gateway/{gateway}/{number} &park")
    await world.until_leg(number, "answered")
    await world.load(contact)
    await world.until(lambda: refusals(world), "refusal of the duplicate")
    await world.until_status(contact, "dialed")
    # By the end of another call of two seconds the refusal has been looked into.
    other = world.for_customer(ivr, Manner(talk=2))
    await world.load(other)
    await world.until_told(other)
    assert_that(await world.contact(contact), has_entries(status="dialed"))
    assert_that(world.legs(contact), has_length(1))
    world.customers.hang_up(number)
    assert_that(await world.until_told(contact), told(contact, "NORMAL_CLEARING"))
