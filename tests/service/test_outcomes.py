"""Each row of the table of states and outcomes (SPEC 6), over real sockets."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import patch

import pytest
import pytest_twisted
from hamcrest import (
    assert_that,
    contains_exactly,
    contains_string,
    empty,
    equal_to,
    has_entries,
    has_length,
    is_,
    matches_regexp,
    none,
    not_none,
)

from dialer import placing, reconcile
from dialer.esl import gateways
from dialer.esl.switch import Switch
from dialer.sandbox.efswitch import Rule, Rules
from tests.service.shared import listening
from tests.service.world import World, agent, ivr

sure = pytest_twisted.ensureDeferred


@pytest.fixture
def quick_to_give_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A call that is gone is given up after two short looks, not after ten seconds."""
    monkeypatch.setattr(reconcile, "APART", 0.2)
    monkeypatch.setattr(reconcile, "YOUNGEST", 0.5)


def in_seconds(seconds: float) -> str:
    """A time from now on, as it is posted."""
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()


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
    world.vc.behave("reply", "silent", next=1)
    await world.start()
    contact = agent()
    await world.load(contact)
    await world.vc.when(lambda record: record.path == "/request-agent")
    assert_that(await world.contact(contact), has_entries(status="agent_pending"))
    reply = await world.post("/agent", {"uuid": contact["id"], "agent": "1005", "queue": "Sales"})
    assert_that((reply.status, reply.body["status"]), is_((200, "dialed")))
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
    assert_that(await world.until_told(contact), told(contact, "NORMAL_CLEARING"))
    # It was asked for once more, and had waited in between.
    requests = world.vc.records(lambda record: record.path == "/request-agent" and record.direction == "in")
    assert_that(requests, has_length(2))
    lines = (await world.get(f"/contact/{contact['id']}/history")).body["history"]
    moved = [(line["event"], line["taking"]) for line in lines if line["event"] in ("taken", "returned")]
    assert_that(moved, contains_exactly(("taken", 1), ("returned", 1), ("taken", 2)))


@sure
async def test_an_agent_reserved_after_the_end_time_is_freed_and_the_contact_expires(world: World) -> None:
    world.vc.behave("reply", "silent")
    await world.start()
    contact = agent(endTime=in_seconds(600))
    await world.load(contact)
    await world.until_status(contact, "agent_pending")
    # It goes by.
    await world.execute("UPDATE contacts SET end_time = now() - interval '1 second' WHERE id = %s", contact["id"])
    reply = await world.post("/agent", {"uuid": contact["id"], "agent": "1005", "queue": "Sales"})
    assert_that(reply.status, is_(200), str(reply))
    assert_that(await world.until_told(contact), told(contact, "EXPIRED"))
    assert_that(await world.contact(contact), has_entries(status="failed", callResult="Expired"))
    await world.until(lambda: world.end_chats(contact), "END_CHAT")
    assert_that(world.attempts(contact), is_(empty()))


@sure
async def test_a_contact_that_waits_past_its_end_time_expires_and_is_told(world: World) -> None:
    contact = ivr(endTime=in_seconds(0.2), startTime=in_seconds(0.1))
    world.switch.set_gateway("gw-1", "DOWN")
    await world.start()
    await world.load(contact)
    assert_that(await world.until_told(contact), told(contact, "EXPIRED"))
    assert_that(await world.contact(contact), has_entries(status="failed", callResult="Expired"))


# gateways


@pytest.mark.parametrize("kind", [ivr, agent])
@sure
async def test_a_gateway_unknown_to_efswitch_fails_the_contact(world: World, kind: Any) -> None:
    await world.start()
    contact = kind(gatewayId="gw-unknown")
    await world.load(contact)
    assert_that(await world.until_told(contact), told(contact, "INVALID_GATEWAY"))
    assert_that(await world.contact(contact), has_entries(status="failed", callResult="Invalid Gateway"))
    assert_that(world.attempts(contact), is_(empty()))
    await world.until(lambda: len(world.end_chats(contact)) == (kind is agent), "END_CHAT")


@pytest.mark.parametrize("kind", [ivr, agent])
@sure
async def test_a_gateway_that_is_down_puts_the_contact_back_until_it_is_up(world: World, kind: Any) -> None:
    world.switch.set_gateway("gw-1", "DOWN")
    await world.start()
    contact = kind()
    await world.load(contact)
    if kind is agent:
        await world.until(lambda: world.end_chats(contact), "END_CHAT")
    stored = await world.until_status(contact, "pending")
    assert_that(stored, has_entries(callResult=none()))
    assert_that(world.attempts(contact), is_(empty()))
    world.switch.set_gateway("gw-1", "UP")
    assert_that(await world.until_told(contact), told(contact, "NORMAL_CLEARING"))


# EFSwitch down


@pytest.mark.parametrize("kind", [ivr, agent])
@sure
async def test_while_efswitch_is_down_an_ivr_contact_fails_and_an_agent_is_not_reserved_in_vain(
    world: World, kind: Any
) -> None:
    world.switch.shut_down(now=True)
    await world.start()
    contact = kind()
    await world.load(contact)
    if kind is ivr:
        assert_that(await world.until_told(contact), told(contact, "EFSWITCH_DOWN"))
        assert_that(await world.contact(contact), has_entries(status="failed", callResult="EFSwitch Down"))
    else:
        other = ivr()
        await world.load(other)
        await world.until_told(other)
        assert_that(await world.contact(contact), has_entries(status="pending"))
        assert_that(world.vc.records(lambda record: record.path == "/request-agent"), is_(empty()))


@sure
async def test_an_outage_does_not_burn_the_list_faster_than_a_cycle_takes_slots(world: World) -> None:
    world.switch.shut_down(now=True)
    await world.start(MAX_CONCURRENT_CALLS="2", CONTACT_RETRIEVAL_DELAY="60")
    contacts = [ivr() for _ in range(9)]
    await world.load(*contacts)
    await world.until(lambda: len(world.vc.records(lambda r: r.path == "/send-delivery-notification")) == 2)
    await world.load(ivr())
    campaign = (await world.get("/campaign/campaign-1")).body
    assert_that(campaign["byStatus"], equal_to({"failed": 2, "pending": 8}))


@sure
async def test_with_hold_nothing_is_taken_while_efswitch_is_down_and_all_is_dialed_when_it_is_back(
    world: World,
) -> None:
    await world.start(EFSWITCH_DOWN_POLICY="hold")
    world.switch.shut_down(now=True)
    await world.until_ready(False)
    contacts = [ivr(), agent()]
    await world.load(*contacts)
    world.switch.restart()
    for contact in contacts:
        assert_that(await world.until_told(contact), told(contact, "NORMAL_CLEARING"))
        assert_that(world.attempts(contact), has_length(1))


@pytest.mark.parametrize(
    ("policy", "status", "result"), [("fail", "failed", "EFSwitch Down"), ("hold", "pending", None)]
)
@sure
async def test_an_agent_reserved_while_efswitch_goes_down_is_freed_and_the_reply_gets_500(
    world: World, policy: str, status: str, result: str | None
) -> None:
    world.vc.behave("reply", "silent")
    await world.start(EFSWITCH_DOWN_POLICY=policy)
    contact = agent()
    await world.load(contact)
    await world.until_status(contact, "agent_pending")
    world.switch.shut_down(now=True)
    await world.until_ready(False)
    reply = await world.post("/agent", {"uuid": contact["id"], "agent": "1005", "queue": "Sales"})
    assert_that((reply.status, reply.body["error"]["code"]), is_((500, "efswitch_down")))
    assert_that(await world.contact(contact), has_entries(status=status, callResult=result))
    await world.until(lambda: world.end_chats(contact), "END_CHAT")
    if policy == "fail":
        assert_that(await world.until_told(contact), told(contact, "EFSWITCH_DOWN"))


# the connection is lost around the command


@pytest.mark.usefixtures("quick_to_give_up")
@sure
async def test_a_command_whose_reply_was_lost_stays_dialed_and_its_end_is_still_found(world: World) -> None:
    world.switch.rules = Rules([Rule(ring=0.01, talk=600)])
    await world.start()
    await world.until_ready()
    world.switch.faults.cut_after = 1
    contact = ivr()
    with listening() as heard:
        await world.load(contact)
        await world.until(lambda: heard.lines(f"lost before it answered for contact {contact['id']}"), "the loss")
    await world.until_ready()
    (attempt,) = world.attempts(contact)
    await world.until(lambda: attempt.answered_at, "the customer to answer")
    assert_that(await world.contact(contact), has_entries(status="dialed"))
    world.switch.calls.kill(contact["id"], "NORMAL_CLEARING")
    assert_that(await world.until_told(contact), told(contact, "NORMAL_CLEARING"))
    assert_that(world.attempts(contact), has_length(1))


@pytest.mark.usefixtures("quick_to_give_up")
@sure
async def test_a_call_that_is_gone_and_whose_end_nobody_saw_ends_as_unknown(world: World) -> None:
    world.switch.faults.lose["CHANNEL_HANGUP_COMPLETE"] = 1.0
    await world.start()
    contacts = [ivr(), agent(customerNumber="+447700900999")]
    await world.load(*contacts)
    for contact in contacts:
        assert_that(await world.until_told(contact), told(contact, "UNKNOWN"))
        assert_that(await world.contact(contact), has_entries(status="ended", callResult="UNKNOWN"))
        assert_that(world.attempts(contact), has_length(1))
    # This one was bridged, and the bridge was seen: no agent waits.
    assert_that(world.end_chats(contacts[1]), is_(empty()))


@pytest.mark.usefixtures("quick_to_give_up")
@sure
async def test_an_agent_call_that_is_gone_before_a_bridge_was_seen_ends_the_chat(world: World) -> None:
    world.switch.rules = Rules([Rule(ring=60)])
    await world.start()
    contact = agent()
    await world.load(contact)
    await world.until_status(contact, "dialed")
    world.switch.restart()
    assert_that(await world.until_told(contact), told(contact, "UNKNOWN"))
    await world.until(lambda: world.end_chats(contact), "END_CHAT")


@pytest.mark.usefixtures("quick_to_give_up")
@sure
async def test_a_live_call_is_never_taken_for_gone(world: World) -> None:
    world.switch.rules = Rules([Rule(ring=0.01, talk=600)])
    await world.start(RECONCILE_INTERVAL="0.1")
    contact = ivr()
    await world.load(contact)
    (attempt,) = await world.until(lambda: world.attempts(contact), "the call")
    await world.until(lambda: attempt.answered_at, "the customer to answer")
    live_calls, looks = Switch.live_calls, []

    async def looked(switch: Switch) -> Any:
        live = await live_calls(switch)
        looks.append(contact["id"] in live)
        return live

    with patch.object(Switch, "live_calls", looked):
        world.switch.reload_event_socket()
        # One that is gone would have been given up long before.
        await world.until(lambda: len(looks) >= 20, "many looks")
    assert_that(set(looks), equal_to({True}))
    assert_that(await world.contact(contact), has_entries(status="dialed"))
    world.switch.calls.kill(contact["id"], "NORMAL_CLEARING")
    assert_that(await world.until_told(contact), told(contact, "NORMAL_CLEARING"))


# refused without any channel


@pytest.fixture
def slow_to_ask_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was told of a gateway holds for longer than a second, however slow the machine is."""
    monkeypatch.setattr(gateways, "FRESH", 60.0)
    monkeypatch.setattr(placing, "FRESH", 60.0)


async def ask_for_gateway(world: World) -> None:
    """Make the dialer ask for gw-1 now: for a while it will not ask again."""
    contact = ivr(customerNumber="+447700900111")
    await world.load(contact)
    await world.until_status(contact, "dialed", "ended")


@pytest.mark.usefixtures("slow_to_ask_again")
@pytest.mark.parametrize("kind", [ivr, agent])
@sure
async def test_a_gateway_that_vanished_after_it_was_asked_for_fails_the_contact(world: World, kind: Any) -> None:
    await world.start()
    await ask_for_gateway(world)
    world.switch.calls.gateways.remove("gw-1")
    contact = kind()
    await world.load(contact)
    assert_that(await world.until_told(contact), told(contact, "INVALID_GATEWAY"))
    assert_that(await world.contact(contact), has_entries(status="failed", callResult="Invalid Gateway"))
    await world.until(lambda: len(world.end_chats(contact)) == (kind is agent), "END_CHAT")


@pytest.mark.usefixtures("slow_to_ask_again")
@pytest.mark.parametrize("kind", [ivr, agent])
@sure
async def test_a_gateway_that_went_down_after_it_was_asked_for_puts_the_contact_back(world: World, kind: Any) -> None:
    await world.start()
    await ask_for_gateway(world)
    world.switch.set_gateway("gw-1", "DOWN")
    contact = kind()
    await world.load(contact)
    await world.until(lambda: world.attempts(contact), "attempt")
    await world.until_status(contact, "pending")
    if kind is agent:
        await world.until(lambda: world.end_chats(contact), "END_CHAT")
    world.switch.set_gateway("gw-1", "UP")
    assert_that(await world.until_told(contact), told(contact, "NORMAL_CLEARING"))
    *refused, last = [attempt.refused for attempt in world.attempts(contact)]
    assert_that((set(refused), last), equal_to(({"GATEWAY_DOWN"}, None)))


@pytest.mark.parametrize("kind", [ivr, agent])
@sure
async def test_a_switch_over_its_own_limits_puts_the_contact_back_and_it_is_called_later(
    world: World, kind: Any
) -> None:
    world.switch.limits.sessions = 0
    await world.start()
    contact = kind()
    await world.load(contact)
    await world.until(lambda: world.attempts(contact), "attempt")
    await world.until_status(contact, "pending", "agent_pending")
    if kind is agent:
        await world.until(lambda: world.end_chats(contact), "END_CHAT")
    assert_that(world.notifications(contact), is_(empty()))
    world.switch.limits.sessions = 100
    assert_that(await world.until_told(contact), told(contact, "NORMAL_CLEARING"))


@sure
async def test_a_switch_without_the_originate_command_is_not_used_and_readyz_and_the_explanation_say_why(
    world: World,
) -> None:
    await world.start(ORIGINATE_COMMAND="JSoriginate")
    contact = agent()
    await world.load(contact)
    await world.until_ready(False)
    await world.until(lambda: world.end_chats(contact), "END_CHAT")
    assert_that(await world.contact(contact), has_entries(status="pending", callResult=none()))
    reasons = (await world.get("/readyz")).body["reasons"]
    assert_that(" ".join(reasons), contains_string("originate command"))
    (reason, *_) = (await world.get("/explain")).body["reasons"]
    message = (
        r"\AEFSwitch \S+ is connected but not used since [^:]+:\d\d:\d\d UTC: it does not know the originate command"
    )
    assert_that(reason, has_entries(code="efswitch_not_used", message=matches_regexp(message)))


@pytest.mark.parametrize("kind", [ivr, agent])
@sure
async def test_any_other_refusal_without_a_channel_ends_the_contact_with_its_text(world: World, kind: Any) -> None:
    await world.start()
    contact = kind()
    refuse_everything(world, "-ERR CHAN_NOT_IMPLEMENTED\n")
    await world.load(contact)
    assert_that(await world.until_told(contact), told(contact, "CHAN_NOT_IMPLEMENTED"))
    assert_that(await world.contact(contact), has_entries(status="ended", callResult="CHAN_NOT_IMPLEMENTED"))
    await world.until(lambda: len(world.end_chats(contact)) == (kind is agent), "END_CHAT")


def refuse_everything(world: World, answer: str) -> None:
    """Answer every originate with a refusal that our simulator would never make of a well-formed command."""

    def originate(command: str, argument: str, connection: Any, done: Any) -> None:
        done(answer)

    world.switch.calls.originate = originate


# campaign control while a contact is under way


@pytest.mark.parametrize(("control", "status"), [("stop", "stopped"), ("purge", "removed")])
@sure
async def test_what_comes_back_to_a_campaign_stopped_or_purged_meanwhile_is_stopped_or_removed(
    world: World, control: str, status: str
) -> None:
    world.vc.behave("reply", "silent")
    await world.start()
    contact = agent()
    await world.load(contact)
    await world.until_status(contact, "agent_pending")
    assert_that((await world.post(f"/campaign/campaign-1/{control}")).body["contacts"], is_(0))
    reply = await world.post("/agent", {"uuid": contact["id"], "agent": "", "queue": None})
    assert_that(reply.status, is_(200))
    if status == "removed":
        assert_that((await world.get(f"/contact/{contact['id']}")).status, is_(404))
    else:
        assert_that(await world.contact(contact), has_entries(status="stopped"))
        await world.post("/campaign/campaign-1/start")
        world.vc.behave("reply", "accept")
        assert_that(await world.until_told(contact), told(contact, "NORMAL_CLEARING"))


@sure
async def test_stop_start_and_purge_move_what_waits(world: World) -> None:
    await world.start()
    contacts = [ivr(startTime=in_seconds(600)) for _ in range(3)]
    await world.load(*contacts)
    for control, status in [("stop", "stopped"), ("start", "pending")]:
        assert_that(
            (await world.post(f"/campaign/campaign-1/{control}")).body,
            equal_to({"campaignId": "campaign-1", "contacts": 3}),
        )
        assert_that(await world.contact(contacts[0]), has_entries(status=status))
    assert_that((await world.post("/campaign/campaign-1/purge")).body["contacts"], is_(3))
    assert_that((await world.get(f"/contact/{contacts[0]['id']}")).status, is_(404))
