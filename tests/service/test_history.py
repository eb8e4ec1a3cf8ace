"""What `GET /contact/{id}/history` tells of contacts on their ways, over real sockets."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from unittest.mock import patch

import pytest_twisted
from hamcrest import assert_that, contains_exactly, equal_to, has_entries, has_items, is_

from dialer.sandbox.efswitch import Rule, Rules
from dialer.store.contacts import ContactStore
from tests.service.shared import logged_failures, world
from tests.service.world import World, agent, ivr

__all__ = ["logged_failures", "world"]

sure = pytest_twisted.ensureDeferred

ENVIRONMENT: dict[str, str] = {"MAX_CONCURRENT_CALLS": "5"}


async def history(world: World, contact: dict[str, Any], *last: str) -> list[dict[str, Any]]:
    """The lines of a contact's history once these events are in it."""

    async def told() -> list[dict[str, Any]] | None:
        reply = await world.get(f"/contact/{contact['id']}/history")
        assert_that((reply.status, reply.body["id"]), equal_to((200, contact["id"])))
        lines: list[dict[str, Any]] = reply.body["history"]
        return lines if set(last) <= {line["event"] for line in lines} else None

    found: list[dict[str, Any]] = await world.until(told, f"a history with {last}")
    return found


def events(lines: list[dict[str, Any]]) -> list[str]:
    return [line["event"] for line in lines]


@sure
async def test_an_ivr_call_is_told_from_its_arrival_to_the_notification(world: World) -> None:
    # Its end comes once the answer is written: that is told by how long ago it was, and so a little late.
    rules, world.switch.rules = world.switch.rules, Rules([Rule(ring=0.01, talk=3600)])
    contact = ivr()
    await world.load(contact)
    await history(world, contact, "sent", "answered")
    world.switch.rules = rules
    world.switch.calls.kill(contact["id"], "NORMAL_CLEARING")
    await world.until_told(contact)
    lines = await history(world, contact, "notification_delivered")
    assert_that(
        events(lines), contains_exactly("received", "taken", "sent", "answered", "ended", "notification_delivered")
    )
    switch = world.switch.address()
    assert_that(
        lines[1],
        has_entries(event="taken", taking=1, dialer="dialer-1", detail=f"{switch.host}:{switch.port}"),
    )
    assert_that(lines[4], has_entries(event="ended", taking=1, dialer="dialer-1", detail="NORMAL_CLEARING"))
    assert_that(lines[5], has_entries(detail="NORMAL_CLEARING, 1 tries"))
    times = [datetime.fromisoformat(line["time"]) for line in lines]
    assert_that(times, equal_to(sorted(times)))


@sure
async def test_an_agent_call_tells_of_its_agent_too(world: World) -> None:
    contact = agent()
    await world.load(contact)
    await world.until_told(contact)
    lines = await history(world, contact, "notification_delivered", "sent", "bridged")
    assert_that(
        events(lines),
        has_items("received", "taken", "agent_requested", "agent_reserved", "sent", "answered", "bridged", "ended"),
    )


@sure
async def test_a_return_to_the_queue_tells_why(world: World) -> None:
    world.switch.set_gateway("gw-2", "DOWN")
    contact = agent(gatewayId="gw-2")
    await world.load(contact)
    lines = await history(world, contact, "returned", "end_chat_delivered")
    returned = next(line for line in lines if line["event"] == "returned")
    assert_that(returned, has_entries(dialer="dialer-1", detail="gateway gw-2 down"))
    world.switch.set_gateway("gw-2", "UP")
    await world.until_told(contact)


@sure
async def test_a_refusal_is_told_with_the_words_of_the_switch(world: World) -> None:
    before, world.switch.limits.sessions = world.switch.limits.sessions, 0
    contact = ivr()
    apply = ContactStore.apply

    async def once_it_is_written(store: ContactStore, changes: Any) -> Any:
        # The refusal is told by how long ago it was, and so a little late.
        await history(world, contact, "refused")
        return await apply(store, changes)

    with patch.object(ContactStore, "apply", once_it_is_written):
        await world.load(contact)
        lines = await history(world, contact, "refused", "returned")
    told = [(line["event"], line["detail"]) for line in lines if line["event"] in ("refused", "returned")]
    # It is tried again soon, and refused again.
    assert_that(
        told[:2],
        equal_to([("refused", "DESTINATION_OUT_OF_ORDER"), ("returned", "DESTINATION_OUT_OF_ORDER")]),
    )
    world.switch.limits.sessions = before
    await world.until_told(contact)


@sure
async def test_a_contact_that_was_removed_still_has_its_history(world: World) -> None:
    rules, world.switch.rules = world.switch.rules, Rules([Rule(outcome="no_answer", ring=60)])
    contact = ivr(campaignId="removed", gatewayId="gw-2")
    await world.load(contact)
    await world.until_status(contact, "dialed")
    await world.post("/campaign/removed/purge")
    world.switch.limits.sessions, sessions = 0, world.switch.limits.sessions
    world.switch.calls.kill(contact["id"], "NORMAL_CLEARING")
    await world.until_told(contact)
    world.switch.limits.sessions, world.switch.rules = sessions, rules
    assert_that(events(await history(world, contact)), has_items("taken", "campaign_purge", "ended"))


@sure
async def test_nothing_is_known_of_a_contact_that_never_was(world: World) -> None:
    for path in ("/contact/nobody/history", "/contact/a%00b/history"):
        reply = await world.get(path)
        assert_that((reply.status, reply.body["error"]["field"]), is_((404, "id")))
