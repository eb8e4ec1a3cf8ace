"""Each answer of POST /agent (SPEC 3), and what goes out before the reply and after it."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime
from typing import Any
from unittest.mock import patch

import pytest
import pytest_twisted
from hamcrest import (
    assert_that,
    contains_exactly,
    contains_inanyorder,
    contains_string,
    equal_to,
    greater_than,
    has_entries,
    has_length,
    is_,
)
from twisted.internet.defer import Deferred, gatherResults

from dialer import placing
from dialer.esl.switch import Switch
from dialer.sandbox.efswitch import Rule, Rules
from tests.service import shared
from tests.service.shared import comparing, listening
from tests.service.world import Reply, World, agent, ivr

sure = pytest_twisted.ensureDeferred
logged_failures = shared.logged_failures
world = shared.world

ENVIRONMENT = {"CONTACT_RETRIEVAL_DELAY": "60", "MAX_CONCURRENT_CALLS": "500", "SERVICE_IDENTIFIER": "svc-1"}
"""What goes back to its queue stays there: a second agent request would be a second story."""

_numbers = itertools.count(447700910000)


@pytest.fixture(autouse=True)
def quiet(world: World) -> Any:
    """Calls that last, gateways that are up, and a VC that leaves the replies to the test."""
    world.switch.rules = Rules([Rule(ring=0.01, talk=0.05, agent_ring=0.01, number=r"\+1.*"), Rule(ring=60)])
    world.vc.behaviours.reset()
    world.vc.behave("reply", "silent")
    for gateway in ("gw-1", "gw-2"):
        world.switch.set_gateway(gateway, "UP")
    yield
    world.switch.faults.delay = 0.0
    world.switch.calls.kill_all("NORMAL_CLEARING")


def customer(**fields: Any) -> dict[str, Any]:
    """An AGENT contact with a number of its own, since an END_CHAT names only that."""
    return agent(**({"customerNumber": f"+{next(_numbers)}"} | fields))


async def waiting(world: World, **fields: Any) -> dict[str, Any]:
    """A contact that waits for its agent."""
    contact = customer(**fields)
    await world.load(contact)
    await world.until_status(contact, "agent_pending")
    return contact


async def send(world: World, contact: dict[str, Any], path: str = "/agent", **fields: Any) -> Reply:
    return await world.post(path, {"uuid": contact["id"], "agent": "1005", "queue": "Sales"} | fields)


def answers(reply: Reply, contact: dict[str, Any], status: str, result: str | None = None) -> None:
    expected = {"id": contact["id"], "status": status, "callResult": result}
    assert_that((reply.status, reply.body), equal_to((200, expected)))


def refuses(reply: Reply, status: int, code: str, field: str | None = None) -> None:
    assert_that((reply.status, reply.body["error"]["code"]), equal_to((status, code)))
    assert_that(reply.body["error"], has_entries(field=field))
    assert_that(set(reply.body), equal_to({"error"}))


async def at_once(*replies: Any) -> list[Reply]:
    return await gatherResults([Deferred.fromCoroutine(reply) for reply in replies], consumeErrors=True)


async def what_was_sent(world: World, contact: dict[str, Any]) -> tuple[int, int, int]:
    """How often the customer was called, END_CHATs and notifications were sent, after all that waits has gone out."""
    last = ivr(gatewayId="gw-none", customerNumber=f"+{next(_numbers)}")
    await world.load(last)
    await world.until_told(last)

    async def all_sent() -> bool:
        # What the last one's message may have overtaken was committed before the answer that the test has had.
        waiting = (await world.get("/notifications?state=waiting&limit=1000")).body["notifications"]
        return contact["id"] not in {message["contactId"] for message in waiting}

    await world.until(all_sent, "all that waits sent")
    return len(world.attempts(contact)), len(world.end_chats(contact)), len(world.notifications(contact))


PATHS = pytest.mark.parametrize("path", ["/agent", "/agent;"])


# 200


@PATHS
@sure
async def test_a_reply_with_an_agent_is_answered_with_the_dialed_contact_once_efswitch_has_the_command(
    world: World, path: str
) -> None:
    contact = await waiting(world)
    with listening() as heard:
        answers(await send(world, contact, path), contact, "dialed")
        assert_that(world.attempts(contact), has_length(1))
        for phrase in (
            f"RECEIVED RESERVED AGENT INFO FOR CALL ID {contact['id']}",
            f"DIALING AGENT-BASED CONTACT WITH ID {contact['id']}",
            f"AGENT-BASED CONTACT WITH ID {contact['id']} SENT TO EFSWITCH",
        ):
            assert_that(heard.lines(phrase), has_length(1))


@PATHS
@pytest.mark.parametrize("nobody", [{"agent": ""}, {"agent": None}, {"agent": "", "queue": None}])
@sure
async def test_a_reply_without_an_agent_is_answered_with_the_pending_contact(
    world: World, path: str, nobody: dict[str, Any]
) -> None:
    contact = await waiting(world)
    answers(await send(world, contact, path, **nobody), contact, "pending")
    assert_that(await what_was_sent(world, contact), is_((0, 0, 0)))


@sure
async def test_a_reply_without_the_field_agent_says_that_there_is_none(world: World) -> None:
    contact = await waiting(world)
    answers(await world.post("/agent", {"uuid": contact["id"]}), contact, "pending")


@sure
async def test_a_reply_for_an_invalid_gateway_is_answered_with_the_failed_contact(world: World) -> None:
    contact = await waiting(world, gatewayId="gw-none")
    answers(await send(world, contact), contact, "failed", "Invalid Gateway")
    assert_that(await what_was_sent(world, contact), is_((0, 1, 1)))


@sure
async def test_a_reply_for_a_gateway_that_is_down_is_answered_with_the_pending_contact(world: World) -> None:
    contact = await waiting(world, gatewayId="gw-2")
    world.switch.set_gateway("gw-2", "DOWN")
    answers(await send(world, contact), contact, "pending")
    assert_that(await what_was_sent(world, contact), is_((0, 1, 0)))


@sure
async def test_fields_that_nobody_expects_and_null_ones_are_tolerated(world: World) -> None:
    contact = await waiting(world)
    reply = await send(world, contact, queue=None, status="RESERVED", id=5, extension={"a": [1]}, agentId=None)
    answers(reply, contact, "dialed")


# 200, repeated


@PATHS
@sure
async def test_a_repeated_reply_for_a_dialed_contact_is_answered_alike_and_sends_nothing(
    world: World, path: str
) -> None:
    contact = await waiting(world)
    for _ in range(3):
        answers(await send(world, contact, path), contact, "dialed")
    assert_that(await what_was_sent(world, contact), is_((1, 0, 0)))


@sure
async def test_a_repeated_reply_for_an_ended_contact_is_answered_with_its_result_and_sends_nothing(
    world: World,
) -> None:
    contact = await waiting(world, customerNumber=f"+1{next(_numbers)}")
    answers(await send(world, contact), contact, "dialed")
    await world.until_told(contact)
    for _ in range(2):
        answers(await send(world, contact), contact, "ended", "NORMAL_CLEARING")
    assert_that(await what_was_sent(world, contact), is_((1, 0, 1)))


@sure
async def test_a_repeated_reply_for_a_failed_contact_is_answered_with_its_result_and_sends_nothing(
    world: World,
) -> None:
    contact = await waiting(world, gatewayId="gw-none")
    for _ in range(2):
        answers(await send(world, contact), contact, "failed", "Invalid Gateway")
    await world.until_told(contact)
    answers(await send(world, contact), contact, "failed", "Invalid Gateway")
    assert_that(await what_was_sent(world, contact), is_((0, 1, 1)))


@sure
async def test_a_repeated_reply_for_a_contact_back_from_a_gateway_that_is_down_sends_nothing_more(
    world: World,
) -> None:
    contact = await waiting(world, gatewayId="gw-2")
    world.switch.set_gateway("gw-2", "DOWN")
    answers(await send(world, contact), contact, "pending")
    await world.until(lambda: world.end_chats(contact), "END_CHAT")
    world.switch.set_gateway("gw-2", "UP")
    for _ in range(2):
        answers(await send(world, contact), contact, "pending")
    assert_that(await what_was_sent(world, contact), is_((0, 1, 0)))


@sure
async def test_a_repeated_reply_for_a_contact_back_from_a_switch_over_its_limits_sends_nothing_more(
    world: World,
) -> None:
    contact = await waiting(world)
    sessions, world.switch.limits.sessions = world.switch.limits.sessions, 0
    try:
        answers(await send(world, contact), contact, "dialed")
        await world.until_status(contact, "pending")
    finally:
        world.switch.limits.sessions = sessions
    answers(await send(world, contact), contact, "pending")
    assert_that(await what_was_sent(world, contact), is_((1, 1, 0)))


@sure
async def test_a_repeated_reply_without_an_agent_is_answered_alike_and_sends_nothing(world: World) -> None:
    contact = await waiting(world)
    for nobody in ("", None, ""):
        answers(await send(world, contact, agent=nobody), contact, "pending")
    assert_that(await what_was_sent(world, contact), is_((0, 0, 0)))


@sure
async def test_identical_replies_at_once_call_the_customer_once_and_are_answered_alike(world: World) -> None:
    contact = await waiting(world)
    world.switch.faults.delay = 0.05
    for reply in await at_once(*(send(world, contact, path) for path in ("/agent", "/agent;", "/agent"))):
        answers(reply, contact, "dialed")
    world.switch.faults.delay = 0.0
    assert_that(await what_was_sent(world, contact), is_((1, 0, 0)))


@sure
async def test_of_two_agents_at_once_one_gets_the_call_and_no_chat_is_ended(world: World) -> None:
    contact = await waiting(world)
    world.switch.faults.delay = 0.05
    replies = await at_once(*(send(world, contact, agent=extension) for extension in ("1005", "1006")))
    world.switch.faults.delay = 0.0
    assert_that([reply.status for reply in replies], contains_inanyorder(200, 409))
    (attempt,) = world.attempts(contact)
    winner = ("1005", "1006")[[reply.status for reply in replies].index(200)]
    assert_that(attempt.variables["sip_h_X-agentExtension"], is_(winner))
    assert_that(await what_was_sent(world, contact), is_((1, 0, 0)))


# 400, 404


@PATHS
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("uuid", None),
        ("uuid", ""),
        ("uuid", "a b"),
        ("uuid", "x" * 41),
        ("uuid", 7),
        ("agent", "10 05"),
        ("agent", "1005,1006"),
        ("agent", "1" * 21),
        ("agent", 1005),
        ("agent", "${a}"),
        ("queue", "it's"),
        ("queue", "a\nb"),
        ("queue", "x" * 21),
        ("queue", ["Sales"]),
    ],
)
@sure
async def test_a_reply_against_the_rules_is_refused_by_the_name_of_the_field(
    world: World, path: str, field: str, value: Any
) -> None:
    reply = await world.post(path, {"uuid": "c-1", "agent": "1005", "queue": "Sales"} | {field: value})
    refuses(reply, 400, "invalid", field)


@sure
async def test_a_reply_that_is_refused_leaves_its_contact_waiting(world: World) -> None:
    contact = await waiting(world)
    refuses(await send(world, contact, queue="a'b"), 400, "invalid", "queue")
    assert_that(await world.contact(contact), has_entries(status="agent_pending"))
    answers(await send(world, contact), contact, "dialed")


@PATHS
@pytest.mark.parametrize("agent_named", ["1005", ""])
@sure
async def test_a_reply_for_an_unknown_contact_is_answered_404(world: World, path: str, agent_named: str) -> None:
    refuses(await world.post(path, {"uuid": "nobody", "agent": agent_named}), 404, "not_found", "uuid")


# 409


@PATHS
@sure
async def test_another_agent_for_a_dialed_contact_is_refused_and_the_customers_chat_goes_on(
    world: World, path: str
) -> None:
    contact = await waiting(world)
    answers(await send(world, contact, path), contact, "dialed")
    for _ in range(2):
        refuses(await send(world, contact, path, agent="1006"), 409, "not_waiting")
    refuses(await send(world, contact, path, agent=""), 409, "not_waiting")
    answers(await send(world, contact, path), contact, "dialed")
    assert_that(await what_was_sent(world, contact), is_((1, 0, 0)))


async def ended(world: World) -> dict[str, Any]:
    contact = await waiting(world, customerNumber=f"+1{next(_numbers)}")
    await send(world, contact)
    await world.until_told(contact)
    return contact


async def pending(world: World) -> dict[str, Any]:
    contact = customer(startTime="2099-01-01T00:00:00Z")
    await world.load(contact)
    return contact


async def back_without_an_agent(world: World) -> dict[str, Any]:
    contact = await waiting(world)
    answers(await send(world, contact, agent=""), contact, "pending")
    return contact


async def stopped(world: World) -> dict[str, Any]:
    contact = await pending(world)
    await world.post(f"/campaign/{contact['campaignId']}/stop")
    assert_that(await world.contact(contact), has_entries(status="stopped"))
    return contact


@pytest.mark.parametrize("state", [ended, pending, back_without_an_agent, stopped])
@sure
async def test_an_agent_for_a_contact_that_does_not_wait_is_refused_and_released_once(world: World, state: Any) -> None:
    contact = await state(world)
    called, chats, told = await what_was_sent(world, contact)
    assert_that(chats, is_(0))
    world.vc.behave("endChat", "slow", delay=0.3)
    for reply in await at_once(*(send(world, contact, agent="1006") for _ in range(2))):
        refuses(reply, 409, "not_waiting")
    refuses(await send(world, contact, agent="1006"), 409, "not_waiting")
    await world.until(lambda: world.end_chats(contact), "END_CHAT")
    assert_that(await what_was_sent(world, contact), is_((called, 1, told)))
    (chat,) = world.end_chats(contact)
    assert_that(chat, equal_to({"customerId": contact["customerNumber"], "serviceId": "svc-1"}))


@pytest.mark.parametrize("state", [ended, pending, stopped])
@sure
async def test_no_agent_for_a_contact_that_does_not_wait_is_refused_and_nobody_is_released(
    world: World, state: Any
) -> None:
    contact = await state(world)
    before = await what_was_sent(world, contact)
    refuses(await send(world, contact, agent=""), 409, "not_waiting")
    assert_that(await what_was_sent(world, contact), is_(before))


# what is sent to EFSwitch


@pytest.mark.parametrize(
    ("fields", "queue", "queue_type", "value"),
    [
        ({"queueName": "Sales"}, "Support", "NAME", "Support"),
        ({"queueName": "Sales"}, None, "NAME", "Sales"),
        ({"queueName": "Sales", "resourceId": "q-7"}, "", "NAME", "Sales"),
        ({"queueName": None, "resourceId": "q-7"}, None, "ID", "q-7"),
        ({"queueName": "", "resourceId": "a-7", "routingMode": "AGENT"}, "", "ID", "a-7"),
        ({"queueName": None, "resourceId": "q-7"}, "Late, but named", "NAME", "Late, but named"),
    ],
)
@sure
async def test_the_queue_is_the_replys_else_the_contacts_by_name_else_by_its_resource_id(
    world: World, fields: dict[str, Any], queue: str | None, queue_type: str, value: str
) -> None:
    contact = await waiting(world, **fields)
    answers(await send(world, contact, queue=queue), contact, "dialed")
    (attempt,) = world.attempts(contact)
    host = world.switch_port.getHost().host
    assert_that((attempt.number, attempt.gateway), is_((contact["customerNumber"], contact["gatewayId"])))
    assert_that(
        attempt.variables,
        equal_to(
            {
                "ignore_early_media": "true",
                "session_in_hangup_hook": "true",
                "sip_h_X-Destination-Number": "svc-1",
                "sip_h_X-CallType": "PROGRESSIVE",
                "customer_number": contact["customerNumber"],
                "sip_h_X-CALL-VARIABLE0": contact["id"],
                "sip_h_X-Call-Id": contact["id"],
                "domain_name": host,
                "record_session": "true",
                "call_direction": "outbound",
                "sip_h_X-queueType": queue_type,
                "sip_h_X-queue": value,
                "origination_uuid": contact["id"],
                "origination_caller_id_name": "1005",
                "origination_caller_id_number": "1005",
                "sip_h_X-agentExtension": "1005",
            }
        ),
    )


# what was sent to the VC before


@pytest.mark.parametrize(
    ("fields", "queue", "queue_type"),
    [
        ({}, "Sales", "NAME"),
        ({"tenantId": "tenant:1"}, "Sales", "NAME"),
        ({"queueName": None, "resourceId": "q-7", "priority": 3}, "q-7", "ID"),
        ({"resourceId": "q-7", "tenantId": "t.2", "priority": 10}, "Sales", "NAME"),
        ({"queueName": None, "resourceId": "a-7", "routingMode": "AGENT", "tenantId": ""}, "a-7", "ID"),
    ],
)
@sure
async def test_the_agent_request_has_the_exact_body_and_the_header_of_the_tenant(
    world: World, fields: dict[str, Any], queue: str, queue_type: str
) -> None:
    contact = await waiting(world, **fields)
    record = await world.vc.when(lambda record: record.direction == "in" and record.contact_id == contact["id"])
    tenant = fields.get("tenantId") or None
    assert_that(
        record.body,
        equal_to(
            {
                "callingNumber": contact["customerNumber"],
                "callUid": contact["id"],
                "eslHost": tenant or world.switch_port.getHost().host,
                "serviceIdentifier": "svc-1",
                "direction": "OUTBOUND",
                "callSipId": "",
                "priority": fields.get("priority"),
                "queue": queue,
                "queueType": queue_type,
            }
        ),
    )
    assert_that((record.path, record.method), is_(("/request-agent", "POST")))
    assert_that(record.headers.get("tenantid"), equal_to(tenant))
    assert_that(record.headers["content-type"], contains_string("application/json"))


@sure
async def test_notification_and_end_chat_carry_the_tenant_too(world: World) -> None:
    contact = await waiting(world, tenantId="tenant:1", gatewayId="gw-none")
    answers(await send(world, contact), contact, "failed", "Invalid Gateway")
    await world.until_told(contact)
    sent = world.vc.records(
        lambda record: (
            record.body.get("id") == contact["id"] or record.body.get("customerId") == contact["customerNumber"]
        )
    )
    assert_that([record.path for record in sent], contains_exactly("/end-chat", "/send-delivery-notification"))
    assert_that([record.headers.get("tenantid") for record in sent], is_(["tenant:1", "tenant:1"]))
    assert_that(len({record.headers["idempotency-key"] for record in sent}), is_(2))


# a campaign purged meanwhile


@pytest.mark.parametrize(("gateway", "agent_named", "freed"), [("gw-1", "", 0), ("gw-2", "1005", 1)])
@sure
async def test_a_reply_that_gives_back_a_contact_whose_campaign_was_purged_is_answered_removed(
    world: World, gateway: str, agent_named: str, freed: int
) -> None:
    contact = await waiting(world, campaignId=f"purged-{gateway}", gatewayId=gateway)
    assert_that((await world.post(f"/campaign/purged-{gateway}/purge")).body["contacts"], is_(0))
    world.switch.set_gateway("gw-2", "DOWN")
    answers(await send(world, contact, agent=agent_named), contact, "removed")
    refuses(await send(world, contact, agent=agent_named), 404, "not_found", field="uuid")
    assert_that(await what_was_sent(world, contact), equal_to((0, freed, 0)))


# while EFSwitch is just being compared


@sure
async def test_a_reply_while_the_live_calls_are_being_compared_is_answered_503_and_acted_on_when_sent_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(placing, "READY_WITHIN", 0.1)
    monkeypatch.setattr(placing, "LOOK_AGAIN", 0.05)
    contact = await waiting(world)
    with comparing(world):
        await until_comparing(world)
        reply = await send(world, contact)
        refuses(reply, 503, "not_ready")
        assert_that(reply.headers.getRawHeaders("Retry-After"), has_length(1))
        assert_that(await world.contact(contact), has_entries(status="agent_pending"))
    await world.until_ready()
    answers(await send(world, contact), contact, "dialed")
    assert_that(await what_was_sent(world, contact), equal_to((1, 0, 0)))


@sure
async def test_a_reply_waits_for_a_comparison_that_is_over_soon(world: World) -> None:
    contact = await waiting(world)
    with comparing(world):
        await until_comparing(world)
        reply = Deferred.fromCoroutine(send(world, contact))
        # What is asked after it is answered before it.
        await world.get("/healthz")
        assert_that(reply.called, is_(False))
    answers(await reply, contact, "dialed")
    assert_that(await what_was_sent(world, contact), equal_to((1, 0, 0)))


async def until_comparing(world: World) -> None:
    """Wait until EFSwitch is connected again and its live calls are being compared."""

    async def comparing() -> bool:
        (switch,) = (await world.get("/status")).body["switches"]
        return "compared" in (switch["reason"] or "")

    await world.until(comparing, "comparing")


# while an END_CHAT is undelivered


@sure
async def test_while_an_end_chat_of_a_number_is_undelivered_nobody_of_that_number_is_taken_but_afterwards(
    world: World,
) -> None:
    world.vc.behave("endChat", "refuse")
    number = f"+1{next(_numbers)}"
    first = await waiting(world, customerNumber=number, gatewayId="gw-none")
    answers(await send(world, first), first, "failed", "Invalid Gateway")
    same = [ivr(customerNumber=number), agent(customerNumber=number)]
    other = ivr(customerNumber=f"+1{next(_numbers)}")
    await world.load(*same, other)
    # One of another number, which came later, has been called and is over.
    await world.until_told(other)
    for contact in same:
        assert_that(await world.contact(contact), has_entries(status="pending"))
    await world.until(lambda: len(world.end_chats(first)) >= 2, "a second try")
    world.vc.behave("endChat", "accept")
    delivered = await world.vc.when(
        lambda record: record.path == "/end-chat" and record.body["customerId"] == number and record.status == 200
    )
    # Its cycle is a minute long: whoever is let go is looked for with the next contact.
    await world.load(ivr(gatewayId="gw-none", customerNumber=f"+{next(_numbers)}"))
    await world.until_told(same[0])
    (attempt,) = world.attempts(same[0])
    assert_that(datetime.fromtimestamp(attempt.at, UTC), is_(greater_than(delivered.time)))
    await world.until_status(same[1], "agent_pending")
    tries = world.vc.records(lambda record: record.path == "/end-chat" and record.body["customerId"] == number)
    assert_that([record.status == 200 for record in tries], equal_to([False] * (len(tries) - 1) + [True]))


# stopping


@sure
async def test_a_reply_while_the_dialer_stops_is_answered_503_and_one_under_way_is_finished(world: World) -> None:
    contact = await waiting(world)
    originate, go_on = Switch.originate, Deferred[None]()

    async def held_back(switch: Switch, *arguments: Any) -> str:
        await go_on
        return await originate(switch, *arguments)

    with patch.object(Switch, "originate", held_back):
        under_way = Deferred.fromCoroutine(send(world, contact))
        await world.until_status(contact, "dialed")
        late = Deferred.fromCoroutine(send(world, contact, agent="1006"))
        await world.get("/healthz")
        stopped = Deferred.fromCoroutine(world.stop_dialer())
        go_on.callback(None)
        answers(await under_way, contact, "dialed")
    reply = await late
    refuses(reply, 503, "stopping")
    assert_that(reply.headers.getRawHeaders("Retry-After"), has_length(1))
    await stopped
    await world.start()
    await world.until_ready()
    assert_that(await world.contact(contact), has_entries(status="dialed"))
    assert_that((len(world.attempts(contact)), world.end_chats(contact)), is_((1, [])))
