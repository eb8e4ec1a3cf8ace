"""Messages on their way to the VC, over real sockets: many at a time, in order, and in nobody's way."""

from __future__ import annotations

from typing import Any

import pytest_twisted
from hamcrest import assert_that, equal_to, has_entries, is_

import dialer.outbox
from tests.service.world import World, agent, ivr

sure = pytest_twisted.ensureDeferred


async def until_ended(world: World, contacts: list[dict[str, Any]]) -> None:
    """Wait until every contact, all of one campaign, was called to its end."""

    async def ended() -> bool:
        campaign = (await world.get(f"/campaign/{contacts[0]['campaignId']}")).body
        return campaign["byStatus"] == {"ended": len(contacts)}

    await world.until(ended, "all calls to end")


def unanswered(world: World) -> set[str]:
    """The contacts of whose notification the VC has not said anything yet."""
    records = world.vc.records(lambda record: record.path == "/send-delivery-notification")
    answered = {record.contact_id for record in records if record.status is not None}
    return {str(record.contact_id) for record in records} - answered


@sure
async def test_a_vc_that_hangs_gets_many_messages_at_a_time_and_holds_up_no_call(world: World) -> None:
    contacts = [ivr() for _ in range(dialer.outbox.PARALLEL + 18)]
    world.vc.behave("notification", "hang")
    await world.start()
    await world.load(*contacts)
    await until_ended(world, contacts)
    await world.until(lambda: len(unanswered(world)) == dialer.outbox.PARALLEL, "as many as may be under way")
    waiting = (await world.get("/notifications?state=waiting&limit=1000")).body["notifications"]
    assert_that({message["contactId"] for message in waiting}, equal_to({contact["id"] for contact in contacts}))
    assert_that((await world.get("/status")).body, has_entries(activeCalls=0))


@sure
async def test_messages_that_the_vc_does_not_answer_hold_up_no_others(world: World) -> None:
    contacts = [ivr() for _ in range(40)]
    world.vc.behave("notification", "hang", next=10)
    await world.start()
    await world.load(*contacts)
    await world.until(lambda: world.vc.summary()["notifications"]["unique"] == len(contacts), "every first try")
    notifications = world.vc.summary()["notifications"]
    assert_that(notifications, has_entries(unanswered=10, duplicates=0))


@sure
async def test_the_messages_of_each_contact_arrive_in_their_order_while_those_of_others_pass(world: World) -> None:
    contacts = [agent(gatewayId="gw-none", customerNumber=f"+44770090{number:04}") for number in range(8)]
    # Two of the first messages have to be tried again; their contacts' second ones wait for them.
    world.vc.behave("endChat", "refuse", next=2)
    await world.start()
    await world.load(*contacts)
    for contact in contacts:
        await world.until_told(contact)
    tried_again = 0
    for contact in contacts:
        records = world.vc.records(lambda record, c=contact: about(record.body) in (c["id"], c["customerNumber"]))
        told = [(record.path, record.status) for record in records]
        refused = told.count(("/end-chat", 503))
        tried_again += refused
        expected = [("/end-chat", 503)] * refused + [("/end-chat", 200), ("/send-delivery-notification", 200)]
        assert_that(told, equal_to(expected))
    assert_that(tried_again, is_(2))


def about(body: dict[str, Any]) -> str | None:
    """The contact or the customer that a body names."""
    return body.get("id") or body.get("customerId")
