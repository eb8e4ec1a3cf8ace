"""Each row of the table of states and outcomes (SPEC 6), over real sockets."""

from __future__ import annotations

from typing import Any

import pytest
import pytest_twisted
from hamcrest import assert_that, contains_exactly, empty, equal_to, has_entries, has_length, is_, none, not_none

from dialer import reconcile
from dialer.sandbox.efswitch import Rule, Rules
from tests.service.world import World, agent, ivr

pytestmark = pytest.mark.usefixtures("quick_to_give_up")
sure = pytest_twisted.ensureDeferred


@pytest.fixture
def quick_to_give_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A call that is gone is given up after two short looks, not after ten seconds."""
    monkeypatch.setattr(reconcile, "APART", 0.2)
    monkeypatch.setattr(reconcile, "YOUNGEST", 0.5)


def told(contact: dict[str, Any], result: str) -> Any:
    """The delivery notification that SPEC 4 writes."""
    return equal_to(
        {
            "id": contact["id"],
            "serviceId": "1218",
            "customerNum": contact["customerNumber"],
            "callResult": result,
        }
    )


# pending -> dialed -> ended


@sure
async def test_an_ivr_contact_is_dialed_and_its_hangup_cause_is_stored_and_told(world: World) -> None:
    await world.start()
    contact = ivr()
    await world.load(contact)
    assert_that(await world.until_told(contact), told(contact, "NORMAL_CLEARING"))
    stored = await world.contact(contact)
    assert_that(stored, has_entries(status="ended", callResult="NORMAL_CLEARING", dialTime=not_none()))
    (attempt,) = world.attempts(contact)
    assert_that((attempt.number, attempt.gateway, attempt.extension), is_(("+447700900123", "gw-1", "*9664")))


@sure
async def test_an_agent_contact_waits_for_its_agent_and_is_then_dialed_with_the_agents_extension(world: World) -> None:
    await world.start()
    contact = agent()
    await world.load(contact)
    assert_that(await world.until_told(contact), told(contact, "NORMAL_CLEARING"))
    (attempt,) = world.attempts(contact)
    assert_that(attempt.variables, has_entries({"sip_h_X-queue": "Sales", "sip_h_X-queueType": "NAME"}))
    assert_that(attempt.variables["sip_h_X-agentExtension"], is_(attempt.variables["origination_caller_id_number"]))
    assert_that(world.end_chats(contact), is_(empty()))


@pytest.mark.parametrize(
    ("outcome", "cause"),
    [
        ("busy", "USER_BUSY"),
        ("unallocated", "UNALLOCATED_NUMBER"),
        ("rejected", "CALL_REJECTED"),
        ("not_reached", "NO_USER_RESPONSE"),
        ("unavailable", "NORMAL_TEMPORARY_FAILURE"),
        ("no_answer", "NO_ANSWER"),
    ],
)
@sure
async def test_a_call_that_is_not_answered_ends_with_its_cause_and_no_end_chat(
    world: World, outcome: str, cause: str
) -> None:
    world.switch.rules = Rules([Rule(outcome=outcome, ring=0.02)])
    await world.start()
    contact = agent()
    await world.load(contact)
    assert_that(await world.until_told(contact), told(contact, cause))
    assert_that(world.end_chats(contact), is_(empty()))


@sure
async def test_a_customer_who_drops_before_the_bridge_ends_the_chat_of_the_agent(world: World) -> None:
    world.switch.rules = Rules([Rule(outcome="dropped_before_bridge", ring=0.01, talk=0.05, bridge_delay=5)])
    await world.start()
    contact = agent()
    await world.load(contact)
    assert_that(await world.until_told(contact), told(contact, "NORMAL_CLEARING"))
    assert_that(
        world.end_chats(contact),
        contains_exactly({"customerId": contact["customerNumber"], "serviceId": "1218"}),
    )


# the agent request


@sure
async def test_a_refused_agent_request_leaves_the_contact_pending(world: World) -> None:
    world.vc.behave("request", "refuse", next=1)
    await world.start(CONTACT_RETRIEVAL_DELAY="60")
    contact = agent()
    await world.load(contact)
    await world.vc.when(lambda record: record.path == "/request-agent")
    stored = await world.until_status(contact, "pending")
    assert_that(stored, has_entries(dialTime=none(), callResult=none()))
    assert_that(world.notifications(contact) + world.end_chats(contact), is_(empty()))


@sure
async def test_an_unanswered_agent_request_leaves_the_contact_waiting_for_its_agent(world: World) -> None:
    world.vc.behave("request", "hang", next=1)
    world.vc.behave("reply", "late", next=1, delay=0.5)
    await world.start()
    contact = agent()
    await world.load(contact)
    await world.until_status(contact, "agent_pending")
    assert_that(await world.until_told(contact), told(contact, "NORMAL_CLEARING"))


@sure
async def test_no_agent_puts_the_contact_back_into_its_queue_and_it_is_tried_again(world: World) -> None:
    world.vc.behave("reply", "no_agent", next=1)
    await world.start()
    contact = agent()
    await world.load(contact)
    assert_that(await world.until_told(contact), told(contact, "NORMAL_CLEARING"))
    requests = world.vc.records(lambda record: record.path == "/request-agent" and record.direction == "in")
    assert_that(requests, has_length(2))


@sure
async def test_no_reply_within_the_timeout_puts_the_contact_back_into_its_queue(world: World) -> None:
    world.vc.behave("reply", "silent", next=1)
    await world.start(AGENT_REPLY_TIMEOUT="0.4", RECONCILE_INTERVAL="0.1")
    contact = agent()
    await world.load(contact)
    await world.until_status(contact, "agent_pending")
    assert_that(await world.until_told(contact), told(contact, "NORMAL_CLEARING"))


@sure
async def test_an_agent_reserved_after_the_end_time_is_freed_and_the_contact_expires(world: World) -> None:
    world.vc.behave("reply", "late", delay=1.5)
    await world.start()
    contact = agent(endTime=in_seconds(1))
    await world.load(contact)
    assert_that(await world.until_told(contact), told(contact, "EXPIRED"))
    assert_that(await world.contact(contact), has_entries(status="failed", callResult="Expired"))
    await world.until(lambda: world.end_chats(contact), "END_CHAT")
    assert_that(world.attempts(contact), is_(empty()))


@sure
async def test_a_contact_that_waits_past_its_end_time_expires_and_is_told(world: World) -> None:
    contact = ivr(endTime=in_seconds(0.2), startTime=in_seconds(0.1))
    world.switch.gateways.put("gw-1", "down")
    await world.start()
    await world.load(contact)
    assert_that(await world.until_told(contact), told(contact, "EXPIRED"))
    assert_that(await world.contact(contact), has_entries(status="failed", callResult="Expired"))


# gateways


@pytest.mark.parametrize("kind", [ivr, agent])
@sure
async def test_a_gateway_unknown_to_efswitch_fails_the_contact(world: World, kind: Any) -> None:
    world.switch.gateways.put("gw-1", None)
    await world.start()
    contact = kind()
    await world.load(contact)
    assert_that(await world.until_told(contact), told(contact, "INVALID_GATEWAY"))
    assert_that(await world.contact(contact), has_entries(status="failed", callResult="Invalid Gateway"))
    assert_that(world.attempts(contact), is_(empty()))
    await world.until(lambda: len(world.end_chats(contact)) == (kind is agent), "END_CHAT")


@pytest.mark.parametrize("kind", [ivr, agent])
@sure
async def test_a_gateway_that_is_down_puts_the_contact_back_until_it_is_up(world: World, kind: Any) -> None:
    world.switch.gateways.put("gw-1", "down")
    await world.start()
    contact = kind()
    await world.load(contact)
    if kind is agent:
        await world.until(lambda: world.end_chats(contact), "END_CHAT")
    stored = await world.until_status(contact, "pending")
    assert_that(stored, has_entries(callResult=none()))
    assert_that(world.attempts(contact), is_(empty()))
    world.switch.gateways.put("gw-1", "up")
    assert_that(await world.until_told(contact), told(contact, "NORMAL_CLEARING"))
