"""Each row of the failover table of the requirement, over real sockets, and that the dialer recovers by itself."""

from __future__ import annotations

from collections.abc import Awaitable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import pytest_twisted
from hamcrest import assert_that, contains_exactly, empty, has_entries, has_length, is_, less_than, none
from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults

from dialer.sandbox.efswitch import Rule, Rules
from dialer.sandbox.vc import VoiceConnector
from dialer.store.contacts import ContactStore
from tests.service import shared
from tests.service.shared import SLACK, TIMEOUT, Outage, listening, stopwatch
from tests.service.world import Reply, World, agent, ivr

sure = pytest_twisted.ensureDeferred
server = shared.server
outage = shared.outage
fragile = shared.fragile


CONTROLS = ("start", "stop", "purge")


async def together(*requests: Awaitable[Reply]) -> list[Reply]:
    """The answers to requests that are made at once."""
    return await gatherResults([Deferred.fromCoroutine(request) for request in requests], consumeErrors=True)


def soon(seconds: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()


async def is_dialed_to_its_end(world: World, contact: dict[str, Any]) -> None:
    """The contact is called once, and the VC hears how it ended."""
    assert_that(await world.until_told(contact), has_entries(callResult="NORMAL_CLEARING"))
    assert_that(world.attempts(contact), has_length(1))


def says_service_unavailable(reply: Reply) -> None:
    assert_that((reply.status, reply.body["error"]["code"]), is_((503, "database_down")))
    assert_that(int(reply.headers.getRawHeaders("Retry-After")[0]) > 0)


# The voice connector is down and the agent reservation request cannot be sent to it.


@sure
async def test_while_the_vc_is_down_an_agent_contact_stays_pending_and_is_tried_again_until_the_vc_is_back(
    world: World,
) -> None:
    port = int(world.vc.url.rpartition(":")[2])
    await world.start()
    await world.until_ready()
    await world.vc.stop()
    contact = agent()
    with listening() as heard:
        await world.load(contact)
        phrase = f"UNABLE TO REQUEST AGENT FROM VOICE CONNECTOR FOR CALL ID {contact['id']}"
        await world.until(lambda: len(heard.lines(phrase)) >= 2, "a second try")
    stored = await world.until_status(contact, "pending")
    assert_that(stored, has_entries(callResult=none(), dialTime=none()))
    assert_that(world.attempts(contact), is_(empty()))
    world.vc = VoiceConnector(reactor, dialer_url=world.url, reply_delay=0.01)
    world.vc.listen(port=port)
    await is_dialed_to_its_end(world, contact)
    assert_that(world.end_chats(contact), is_(empty()))


# The database is down and dialer cannot retrieve contacts.


@sure
async def test_while_the_database_is_down_nothing_is_dialed_and_the_next_cycle_after_it_is_back_dials(
    fragile: World, outage: Outage
) -> None:
    # Nobody is dialed before the outage, however long it takes to begin.
    fragile.switch.set_gateway("gw-1", "DOWN")
    contacts = [ivr(startTime=soon(1)), agent(startTime=soon(1), customerNumber="+447700900456")]
    await fragile.load(*contacts)
    with listening() as heard:
        await outage.begin()
        await fragile.until_ready(False)
        fragile.switch.set_gateway("gw-1", "UP")
        # Its time comes while it cannot be read, and several cycles go by.
        await fragile.until(lambda: datetime.now(UTC) > datetime.fromisoformat(contacts[0]["startTime"]))
        await fragile.until(lambda: heard.lines("DATABASE CONNECTION ERROR"))
    assert_that((await fragile.get("/healthz")).status, is_(200))
    for reply in await together(
        *map(fragile.get, ("/status", "/campaigns", "/contact/c1", "/notifications?state=parked")),
        fragile.post("/notifications/1/retry"),
        fragile.post("/contact", ivr()),
    ):
        says_service_unavailable(reply)
    assert_that(fragile.switch.records.count, is_(0))
    await outage.end()
    for contact in contacts:
        await is_dialed_to_its_end(fragile, contact)
    await fragile.until_ready()


@sure
async def test_a_call_that_ends_while_the_database_is_down_keeps_its_cause_until_it_is_back(
    fragile: World, outage: Outage
) -> None:
    fragile.switch.rules = Rules([Rule(ring=600)])
    contact = ivr()
    await fragile.load(contact)
    await fragile.until_status(contact, "dialed")
    (attempt,) = await fragile.until(lambda: fragile.attempts(contact))
    await outage.begin()
    fragile.switch.calls.kill(contact["id"], "USER_BUSY")
    await fragile.until(lambda: attempt.ended_at, "the end of the call")
    await outage.end()
    assert_that(await fragile.until_told(contact), has_entries(callResult="USER_BUSY"))
    assert_that(await fragile.contact(contact), has_entries(status="ended", callResult="USER_BUSY"))
    assert_that(fragile.attempts(contact), has_length(1))


# EFSwitch gateway is invalid.


@sure
async def test_an_invalid_gateway_fails_its_contacts_for_good_and_no_others(world: World) -> None:
    await world.start()
    wrong = [ivr(gatewayId="gw-none"), agent(gatewayId="gw-none", customerNumber="+447700900456")]
    right = ivr(customerNumber="+447700900789")
    await world.load(*wrong, right)
    for contact in wrong:
        assert_that(await world.until_told(contact), has_entries(callResult="INVALID_GATEWAY"))
        assert_that(await world.contact(contact), has_entries(status="failed", callResult="Invalid Gateway"))
    await is_dialed_to_its_end(world, right)
    world.switch.set_gateway("gw-none", "UP")
    # EFSwitch's answer of a moment ago may be used for a second.
    later = ivr(gatewayId="gw-none", startTime=soon(1))
    await world.load(later)
    await is_dialed_to_its_end(world, later)
    for contact in wrong:
        assert_that(await world.contact(contact), has_entries(status="failed"))
        assert_that(world.attempts(contact), is_(empty()))
        assert_that(world.notifications(contact), has_length(1))


# EFSwitch gateway is down.


@sure
async def test_a_gateway_that_is_down_leaves_its_contacts_pending_until_it_is_up_and_holds_up_no_others(
    world: World,
) -> None:
    world.switch.set_gateway("gw-1", "DOWN")
    await world.start()
    held = [ivr(), agent(customerNumber="+447700900456")]
    other = ivr(gatewayId="gw-2", customerNumber="+447700900789")
    with listening() as heard:
        await world.load(*held, other)
        await is_dialed_to_its_end(world, other)
        for contact in held:
            await world.until(lambda contact=contact: heard.lines(f"GATEWAY DOWN gw-1 of contact {contact['id']}"))
            assert_that(await world.until_status(contact, "pending"), has_entries(callResult=none()))
            assert_that(world.attempts(contact) + world.notifications(contact), is_(empty()))
    world.switch.set_gateway("gw-1", "UP")
    for contact in held:
        await is_dialed_to_its_end(world, contact)


# EFSwitch is down and call command cant be sent.


@sure
async def test_while_efswitch_is_down_a_contact_fails_and_those_posted_after_it_is_back_are_dialed(
    world: World,
) -> None:
    await world.start()
    await world.until_ready()
    world.switch.shut_down(now=True)
    await world.until_ready(False)
    lost, waiting = ivr(), agent(customerNumber="+447700900456")
    with listening() as heard:
        await world.load(lost, waiting)
        assert_that(await world.until_told(lost), has_entries(callResult="EFSWITCH_DOWN"))
        # Of the switch itself it says so each time that it cannot be reached for another reason.
        assert_that(heard.lines(f"NO EFSWITCH CONNECTION for contact {lost['id']}"), has_length(1))
    assert_that(await world.contact(lost), has_entries(status="failed", callResult="EFSwitch Down"))
    assert_that(await world.contact(waiting), has_entries(status="pending"))
    world.switch.restart()
    await world.until_ready()
    later = ivr(customerNumber="+447700900789")
    await world.load(later)
    for contact in (later, waiting):
        await is_dialed_to_its_end(world, contact)
    assert_that(await world.contact(lost), has_entries(status="failed"))
    assert_that(world.attempts(lost), is_(empty()))


# Campaign manager sends campaign control command to dialer, but database is down.


@pytest.mark.parametrize("silent", [False, True], ids=["stopped", "not_answering"])
@sure
async def test_campaign_control_without_the_database_is_answered_503_in_time_and_works_again_after_it_is_back(
    fragile: World, outage: Outage, silent: bool
) -> None:
    contacts = {control: ivr(campaignId=f"campaign-{control}", startTime=soon(600)) for control in CONTROLS}
    await fragile.load(*contacts.values())
    async with outage.under_way(silent=silent):
        with stopwatch() as took:
            for reply in await together(
                *(fragile.post(f"/campaign/campaign-{control}/{control}") for control in CONTROLS)
            ):
                says_service_unavailable(reply)
        assert_that(took[0], is_(less_than(TIMEOUT + SLACK)))
    await fragile.until_ready()
    for control in CONTROLS:
        # A server that was frozen may have done it since, of which its answer could not tell.
        again = await fragile.post(f"/campaign/campaign-{control}/{control}")
        assert_that(again.status, is_(404 if silent and control == "purge" and again.status == 404 else 200))
    assert_that((await fragile.get(f"/contact/{contacts['purge']['id']}")).status, is_(404))
    assert_that(await fragile.contact(contacts["stop"]), has_entries(status="stopped"))
    assert_that(await fragile.contact(contacts["start"]), has_entries(status="pending"))


# Campaign manager sends campaign control command to dialer, but no entries with supplied campaign ID are found.


@sure
async def test_campaign_control_of_a_campaign_without_contacts_is_answered_404_until_it_has_one(world: World) -> None:
    await world.start()
    await world.load(ivr(campaignId="another", startTime=soon(600)))
    for control in ("start", "stop", "purge"):
        reply = await world.post(f"/campaign/unknown/{control}")
        assert_that((reply.status, reply.body["error"]["code"]), is_((404, "not_found")))
    assert_that((await world.get("/campaign/unknown")).status, is_(404))
    assert_that((await world.get("/campaign/another")).body["byStatus"], is_({"pending": 1}))
    await world.load(ivr(campaignId="unknown", startTime=soon(600)))
    assert_that((await world.post("/campaign/unknown/stop")).body, is_({"campaignId": "unknown", "contacts": 1}))


@sure
async def test_campaign_control_finds_a_campaign_by_contacts_in_any_state(world: World) -> None:
    await world.start()
    contact = ivr()
    await world.load(contact)
    await world.until_status(contact, "ended")
    for control in ("start", "stop", "purge"):
        reply = await world.post(f"/campaign/campaign-1/{control}")
        assert_that((reply.status, reply.body), is_((200, {"campaignId": "campaign-1", "contacts": 0})))


# Voice connector sends agent details to dialer but database is down.


@pytest.mark.parametrize("silent", [False, True], ids=["stopped", "not_answering"])
@sure
async def test_agent_details_without_the_database_are_answered_503_and_sent_again_they_are_acted_on(
    fragile: World, outage: Outage, silent: bool
) -> None:
    fragile.vc.behave("reply", "silent")
    contact = agent()
    await fragile.load(contact)
    await fragile.until_status(contact, "agent_pending")
    details = {"uuid": contact["id"], "agent": "1005", "queue": "Sales"}
    async with outage.under_way(silent=silent):
        with stopwatch() as took:
            says_service_unavailable(await fragile.post("/agent", details))
        assert_that(took[0], is_(less_than(TIMEOUT + SLACK)))
    await fragile.until_ready()
    assert_that(fragile.attempts(contact), is_(empty()))
    reply = await fragile.post("/agent", details)
    assert_that((reply.status, reply.body["status"]), is_((200, "dialed")))
    await is_dialed_to_its_end(fragile, contact)
    assert_that(fragile.end_chats(contact), is_(empty()))


@sure
async def test_a_vc_that_repeats_its_agent_details_through_an_outage_has_its_customer_called_once(
    fragile: World, outage: Outage
) -> None:
    # It finds the dialer once that has no database, however long that takes.
    url, fragile.vc.dialer_url = fragile.vc.dialer_url, None
    contact = agent()
    await fragile.load(contact)
    await fragile.until_status(contact, "agent_pending")
    await outage.begin()
    fragile.vc.dialer_url = url
    await fragile.vc.when(lambda record: record.direction == "out" and record.status == 503)
    await outage.end()
    await is_dialed_to_its_end(fragile, contact)
    tries = fragile.vc.records(lambda record: record.direction == "out" and record.status is not None)
    assert_that([record.status for record in tries][-1], is_(200))
    assert_that({record.status for record in tries[:-1]}, is_({503}))


# Voice connector sends agent details to dialer but an unexpected error occurs e.g. EFSwitch is down.


@sure
async def test_agent_details_while_efswitch_is_down_are_answered_500_and_the_next_contact_is_dialed_when_it_is_back(
    world: World,
) -> None:
    world.vc.behave("reply", "silent", next=1)
    await world.start()
    contact = agent()
    await world.load(contact)
    await world.until_status(contact, "agent_pending")
    world.switch.shut_down(now=True)
    await world.until_ready(False)
    reply = await world.post("/agent", {"uuid": contact["id"], "agent": "1005", "queue": "Sales"})
    assert_that((reply.status, reply.body["error"]["code"]), is_((500, "efswitch_down")))
    assert_that(await world.contact(contact), has_entries(status="failed", callResult="EFSwitch Down"))
    assert_that(await world.until_told(contact), has_entries(callResult="EFSWITCH_DOWN"))
    await world.until(lambda: world.end_chats(contact), "END_CHAT")
    world.switch.restart()
    await world.until_ready()
    later = agent()
    await world.load(later)
    await is_dialed_to_its_end(world, later)
    assert_that(world.attempts(contact), is_(empty()))
    assert_that(world.end_chats(contact), has_length(1))


@sure
async def test_agent_details_whose_command_is_cut_off_are_answered_500_and_the_call_is_not_made_twice(
    world: World,
) -> None:
    world.vc.behave("reply", "silent", next=1)
    world.switch.rules = Rules([Rule(ring=0.01, talk=600, agent_ring=0.01)])
    await world.start()
    contact = agent()
    await world.load(contact)
    await world.until_status(contact, "agent_pending")
    world.switch.faults.cut_after = 1
    details = {"uuid": contact["id"], "agent": "1005", "queue": "Sales"}
    reply = await world.post("/agent", details)
    assert_that((reply.status, reply.body["error"]["code"]), is_((500, "efswitch_down")))
    # The VC may send it again: it was acted on.
    again = await world.post("/agent", details)
    assert_that((again.status, again.body["status"]), is_((200, "dialed")))
    await world.until_ready()
    (attempt,) = world.attempts(contact)
    await world.until(lambda: attempt.bridged_at, "the bridge")
    world.switch.calls.kill(contact["id"], "NORMAL_CLEARING")
    await is_dialed_to_its_end(world, contact)
    assert_that(world.end_chats(contact), is_(empty()))


@sure
async def test_agent_details_that_meet_an_unforeseen_error_are_answered_500_in_json(
    world: World, monkeypatch: pytest.MonkeyPatch, logged_failures: Any
) -> None:
    world.vc.behave("reply", "silent")
    await world.start()
    contact = agent()
    await world.load(contact)
    await world.until_status(contact, "agent_pending")
    details = {"uuid": contact["id"], "agent": "1005", "queue": "Sales"}

    async def fail(*arguments: Any) -> None:
        raise ArithmeticError("secret detail")

    with monkeypatch.context() as broken:
        broken.setattr(ContactStore, "get", fail)
        reply = await world.post("/agent", details)
    assert_that((reply.status, sorted(reply.body["error"])), is_((500, ["code", "field", "message"])))
    assert_that("secret" in str(reply.body), is_(False))
    assert_that(logged_failures.flush(ArithmeticError), has_length(1))
    again = await world.post("/agent", details)
    assert_that((again.status, again.body["status"]), is_((200, "dialed")))
    assert_that([attempt.uuid for attempt in world.attempts(contact)], contains_exactly(contact["id"]))
