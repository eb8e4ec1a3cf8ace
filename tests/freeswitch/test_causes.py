"""Every way in which a call through a real FreeSWITCH can end, and what the dialer makes of it."""

from __future__ import annotations

from typing import Any

import pytest
import pytest_twisted
from hamcrest import assert_that, empty, has_entries, has_length, is_, less_than

from tests.freeswitch.customers import Manner
from tests.freeswitch.test_flows import told
from tests.freeswitch.world import World
from tests.service.world import agent, ivr

sure = pytest_twisted.ensureDeferred

REFUSALS = {
    486: "USER_BUSY",
    404: "UNALLOCATED_NUMBER",
    503: "NORMAL_TEMPORARY_FAILURE",
    603: "CALL_REJECTED",
    480: "NO_USER_RESPONSE",
}
"""The hangup cause that FreeSWITCH makes of a SIP status."""


@pytest.mark.parametrize("kind", [ivr, agent])
@sure
async def test_each_refusal_of_the_customer_s_side_becomes_its_hangup_cause(world: World, kind: Any) -> None:
    await world.start()
    contacts = {status: world.for_customer(kind, Manner(status=status)) for status in REFUSALS}
    await world.load(*contacts.values())
    for status, cause in REFUSALS.items():
        assert_that(await world.until_told(contacts[status]), told(contacts[status], cause))
        assert_that(await world.contact(contacts[status]), has_entries(status="ended", callResult=cause))
        assert_that(world.legs(contacts[status]), has_length(1))
    assert_that([chat for contact in contacts.values() for chat in world.end_chats(contact)], is_(empty()))


@pytest.mark.parametrize("kind", [ivr, agent])
@sure
async def test_early_media_before_a_refusal_is_no_answer_and_no_success(world: World, kind: Any) -> None:
    await world.start()
    contact = world.for_customer(kind, Manner(ring=0.5, early_media=True, status=486))
    await world.load(contact)
    assert_that(await world.until_told(contact), told(contact, "USER_BUSY"))
    assert_that(world.end_chats(contact), is_(empty()))


@pytest.mark.parametrize("kind", [ivr, agent])
@sure
async def test_a_customer_who_lets_it_ring_for_a_minute_did_not_answer(world: World, kind: Any) -> None:
    await world.start()
    contact = world.for_customer(kind, Manner(ring=None))
    await world.load(contact)
    assert_that(await world.until_told(contact), told(contact, "NO_ANSWER"))
    assert_that(world.end_chats(contact), is_(empty()))
    await world.until_leg(contact["customerNumber"], "cancelled")


@pytest.mark.parametrize(
    ("kill", "cause"),
    [("", "NORMAL_CLEARING"), ("CALL_REJECTED", "CALL_REJECTED"), ("ALLOTTED_TIMEOUT", "ALLOTTED_TIMEOUT")],
)
@sure
async def test_a_call_killed_at_the_switch_has_the_cause_that_was_given(world: World, kill: str, cause: str) -> None:
    await world.start()
    contact = world.for_customer(ivr, Manner(talk=None))
    await world.load(contact)
    await world.until_leg(contact["customerNumber"], "answered")
    await world.control.api(f"uuid_kill {contact['id']} {kill}")
    assert_that(await world.until_told(contact), told(contact, cause))


@sure
async def test_a_call_killed_while_it_rings_was_not_answered(world: World) -> None:
    await world.start()
    contact = world.for_customer(ivr, Manner(ring=None))
    await world.load(contact)
    await world.until_leg(contact["customerNumber"], "ringing")
    await world.control.api(f"uuid_kill {contact['id']}")
    assert_that(await world.until_told(contact), told(contact, "NO_ANSWER"))


@sure
async def test_a_reserved_agent_is_freed_when_the_answered_call_is_killed_before_the_bridge(world: World) -> None:
    world.vc.behave("reply", "silent")
    world.customers.manners["1005"] = Manner(ring=None)
    await world.start()
    contact = world.for_customer(agent, Manner(talk=None))
    await world.load(contact)
    await world.until_status(contact, "agent_pending")
    await world.post("/agent", {"uuid": contact["id"], "agent": "1005", "queue": "Sales"})
    await world.until_leg("1005", "ringing")
    await world.control.api(f"uuid_kill {contact['id']} NORMAL_CLEARING")
    assert_that(await world.until_told(contact), told(contact, "NORMAL_CLEARING"))
    await world.until(lambda: world.end_chats(contact), "END_CHAT")


@sure
async def test_a_gateway_behind_which_nobody_listens_is_a_temporary_failure_until_its_ping_fails(world: World) -> None:
    await world.start()
    pings = world.customers.pings
    await world.until(lambda: world.customers.pings > pings, "ping")
    # The next ping is five seconds away: until then the switch takes the gateway for up.
    await world.customers.stop()
    contact = world.for_customer(ivr)
    await world.load(contact)
    assert_that(await world.until_told(contact), told(contact, "NORMAL_TEMPORARY_FAILURE"))


@sure
async def test_a_burst_of_all_kinds_of_customers_ends_with_each_one_s_true_result(world: World) -> None:
    await world.start(MAX_CONCURRENT_CALLS="20", CALLS_PER_SECOND="15")
    kinds = [(Manner(status=status), cause) for status, cause in REFUSALS.items()]
    kinds += [(Manner(talk=0.1), "NORMAL_CLEARING"), (Manner(ring=0, talk=0.2), "NORMAL_CLEARING")]
    contacts = [(world.for_customer(ivr, manner), cause) for _ in range(10) for manner, cause in kinds]
    await world.load(*(contact for contact, _ in contacts))
    for contact, cause in contacts:
        assert_that(await world.until_told(contact), told(contact, cause))
    assert_that([len(world.legs(contact)) for contact, _ in contacts], is_([1] * len(contacts)))
    assert_that(max(len(world.notifications(contact)) for contact, _ in contacts), is_(less_than(2)))
