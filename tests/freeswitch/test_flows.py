"""The seed's two flows, from the posted contact to the delivery notification, through a real FreeSWITCH."""

from __future__ import annotations

from typing import Any

import pytest
import pytest_twisted
from hamcrest import assert_that, empty, equal_to, has_entries, has_length, is_, none, not_none

from tests.freeswitch.customers import Manner
from tests.freeswitch.world import World
from tests.service.world import agent, ivr

sure = pytest_twisted.ensureDeferred


def told(contact: dict[str, Any], result: str) -> Any:
    """The delivery notification of a contact with that result."""
    return equal_to(
        {
            "id": contact["id"],
            "serviceId": "1218",
            "customerNum": contact["customerNumber"],
            "callResult": result,
        }
    )


async def send_agent(world: World, contact: dict[str, Any], extension: str, queue: str | None = "Sales") -> None:
    """Play the VC: an agent is reserved for a contact."""
    await world.until_status(contact, "agent_pending")
    reply = await world.post("/agent", {"uuid": contact["id"], "agent": extension, "queue": queue})
    assert_that(reply.status, is_(200))
    assert_that(reply.body, has_entries(id=contact["id"], status="dialed"))


# IVR


@sure
async def test_an_answered_customer_hears_the_default_ivr_and_hangs_up(world: World) -> None:
    await world.start()
    contact = world.for_customer(ivr, Manner(talk=0.5))
    await world.load(contact)
    assert_that(await world.until_told(contact), told(contact, "NORMAL_CLEARING"))
    stored = await world.contact(contact)
    assert_that(stored, has_entries(status="ended", callResult="NORMAL_CLEARING", dialTime=not_none()))
    (leg,) = world.legs(contact)
    assert_that((leg.caller, leg.hung_up_by), is_(("*9664", "customer")))


@sure
async def test_an_ivr_of_the_contact_is_used_and_hangs_up_first(world: World) -> None:
    await world.start()
    contact = world.for_customer(ivr, Manner(talk=None), ivr="1999")
    await world.load(contact)
    assert_that(await world.until_told(contact), told(contact, "NORMAL_CLEARING"))
    (leg,) = world.legs(contact)
    assert_that((leg.caller, leg.hung_up_by), is_(("1999", "switch")))


@sure
async def test_a_call_is_dialed_while_it_lasts_and_its_slot_comes_back(world: World) -> None:
    await world.start(MAX_CONCURRENT_CALLS="1")
    first, second = (world.for_customer(ivr, Manner(talk=None)) for _ in range(2))
    await world.load(first, second)
    await world.until_leg(first["customerNumber"], "answered")
    assert_that(await world.contact(first), has_entries(status="dialed", callResult=none()))
    assert_that((await world.get("/status")).body, has_entries(activeCalls=1, freeSlots=0, efswitch="up"))
    assert_that(world.legs(second), is_(empty()))
    world.customers.hang_up(first["customerNumber"])
    await world.until_leg(second["customerNumber"], "answered")


@pytest.mark.parametrize("number", ["*67", "12#34", "+1555", "00441"])
@sure
async def test_a_number_arrives_at_the_customer_as_it_was_posted(world: World, number: str) -> None:
    await world.start()
    world.customers.manners[number] = Manner(talk=0.1)
    contact = world.for_customer(ivr, customerNumber=number)
    await world.load(contact)
    await world.until_told(contact)
    assert_that(world.legs(contact), has_length(1))


# AGENT


@sure
async def test_an_answered_customer_is_bridged_to_the_agent_who_gets_the_call_s_data(world: World) -> None:
    world.vc.behave("reply", "silent")
    await world.start()
    contact = world.for_customer(agent, Manner(talk=None))
    await world.load(contact)
    await send_agent(world, contact, "1005", "Sales, N = 5% & more")
    await world.until_leg(contact["customerNumber"], "answered")
    seat = await world.until_leg("1005", "answered")
    sent = {name: seat.invite[name] for name in ("X-Call-Id", "X-CALL-VARIABLE0", "X-queueType", "X-queue")}
    assert_that(
        sent,
        equal_to(
            {
                "X-Call-Id": contact["id"],
                "X-CALL-VARIABLE0": contact["id"],
                "X-queueType": "NAME",
                "X-queue": "Sales, N = 5% & more",
            }
        ),
    )
    (leg,) = world.legs(contact)
    assert_that(
        [leg.caller, leg.invite["X-Destination-Number"], leg.invite["X-CallType"], leg.invite["X-agentExtension"]],
        equal_to(["1005", "1218", "PROGRESSIVE", "1005"]),
    )
    await world.until_bridged(contact)
    world.customers.hang_up(contact["customerNumber"])
    assert_that(await world.until_told(contact), told(contact, "NORMAL_CLEARING"))
    assert_that(world.end_chats(contact), is_(empty()))
    await world.until_leg("1005", "ended")


@sure
async def test_an_agent_who_hangs_up_first_ends_the_call(world: World) -> None:
    world.vc.behave("reply", "silent")
    world.customers.manners["1005"] = Manner(talk=0.5)
    await world.start()
    contact = world.for_customer(agent, Manner(talk=None))
    await world.load(contact)
    await send_agent(world, contact, "1005")
    assert_that(await world.until_told(contact), told(contact, "NORMAL_CLEARING"))
    assert_that(world.end_chats(contact), is_(empty()))
    assert_that(world.legs(contact)[0].hung_up_by, is_("switch"))


@sure
async def test_the_voice_connector_s_own_agents_are_reached(world: World) -> None:
    await world.start()
    contacts = [world.for_customer(agent, Manner(talk=0.5)) for _ in range(3)]
    await world.load(*contacts)
    for contact in contacts:
        assert_that(await world.until_told(contact), told(contact, "NORMAL_CLEARING"))
        assert_that(world.end_chats(contact), is_(empty()))


@sure
async def test_a_customer_who_drops_while_the_agent_rings_ends_the_chat(world: World) -> None:
    world.vc.behave("reply", "silent")
    world.customers.manners["1005"] = Manner(ring=None)
    await world.start()
    contact = world.for_customer(agent, Manner(talk=None))
    await world.load(contact)
    await send_agent(world, contact, "1005")
    await world.until_leg("1005", "ringing")
    world.customers.hang_up(contact["customerNumber"])
    assert_that(await world.until_told(contact), told(contact, "NORMAL_CLEARING"))
    await world.until(lambda: world.end_chats(contact), "END_CHAT")
    await world.until_leg("1005", "cancelled")


@sure
async def test_an_agent_s_phone_that_refuses_ends_the_call_and_the_chat(world: World) -> None:
    world.vc.behave("reply", "silent")
    world.customers.manners["1005"] = Manner(status=486)
    await world.start()
    contact = world.for_customer(agent, Manner(talk=None))
    await world.load(contact)
    await send_agent(world, contact, "1005")
    assert_that(await world.until_told(contact), told(contact, "USER_BUSY"))
    await world.until(lambda: world.end_chats(contact), "END_CHAT")
    assert_that(world.legs(contact)[0].answered, is_(True))


@sure
async def test_a_customer_who_never_answers_ends_no_chat(world: World) -> None:
    await world.start()
    contact = world.for_customer(agent, Manner(ring=0.3, status=486))
    await world.load(contact)
    assert_that(await world.until_told(contact), told(contact, "USER_BUSY"))
    await world.until_gone(contact["id"])
    assert_that(world.end_chats(contact), is_(empty()))


@sure
async def test_without_an_agent_nobody_is_called_and_the_contact_is_tried_again(world: World) -> None:
    world.vc.behave("reply", "no_agent", next=1)
    await world.start()
    contact = world.for_customer(agent, Manner(talk=0.3))
    await world.load(contact)
    assert_that(await world.until_told(contact), told(contact, "NORMAL_CLEARING"))
    requests = world.vc.records(lambda record: record.path == "/request-agent" and record.direction == "in")
    assert_that((len(requests), len(world.legs(contact))), is_((2, 1)))
