"""What is posted against the rules, and text that would mean something to EFSwitch, end to end.

The values are those of `tests.web.posted`; here they go through HTTP, PostgreSQL and the event socket.
"""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
import pytest_twisted
from hamcrest import assert_that, empty, equal_to, greater_than, has_entries, is_
from twisted.internet.defer import Deferred, gatherResults

from dialer.sandbox.efswitch import Rule, Rules
from tests.service import shared
from tests.service.world import Reply, World, agent, ivr
from tests.web.posted import GOOD_QUEUES, HOSTILE, HOSTILE_TO_A_QUEUE, REPLY_RULES, RULES, in_seed_names

sure = pytest_twisted.ensureDeferred
logged_failures = shared.logged_failures
world = shared.world

ENVIRONMENT = {"CONTACT_RETRIEVAL_DELAY": "60", "MAX_CONCURRENT_CALLS": "1000", "CALLS_PER_SECOND": "1000"}

LATER = "2099-01-01T00:00:00Z"
REQUIRED = ("id", "customerNumber", "campaignType", "gatewayId", "campaignId")
ABSENT = object()
_numbers = itertools.count(447700920000)

TEXTS = list(dict.fromkeys([*HOSTILE, *HOSTILE_TO_A_QUEUE, *GOOD_QUEUES, "%", "100%_%41", "%0a%0a", "\\n", "$1",
                            "`id`", '"', "a'", "'", "''", "{}", "{{", "ARRAY::a|:b", "ARRAY::a", "a,", ",",
                            "\u0663\u0664", ",origination_uuid=x", "\uff11\uff12", "\u0967", "a=b", "=", "^^:a=1", "|",
                            "&park()", "a\x00b", "\n\nbgapi status"]))  # fmt: skip
"""Texts that mean something to a shell, a URL, PostgreSQL, or FreeSWITCH in one of its three readings."""


@pytest.fixture(autouse=True)
def quiet(world: World) -> Any:
    """Calls that end soon, and a VC that leaves the replies to the test."""
    world.switch.calls.gateways.put("a", "UP")
    world.switch.rules = Rules([Rule(ring=0.01, talk=0.01, agent_ring=0.01)])
    world.vc.behaviours.reset()
    world.vc.behave("reply", "silent")


def number() -> str:
    return f"+{next(_numbers)}"


def later(**fields: Any) -> dict[str, Any]:
    """A contact that would be called long after these tests."""
    return ivr(**({"startTime": LATER, "campaignId": "bystanders"} | fields))


def bad(field: str, value: Any, **others: Any) -> dict[str, Any]:
    contact = later(**others)
    if value is ABSENT:
        del contact[field]
    else:
        contact[field] = value
    return contact


async def post(world: World, path: str, body: Any) -> Reply:
    # As ASCII with escapes: so a lone surrogate and NUL travel, too.
    return await world.request(
        "POST", path, data=json.dumps(body).encode(), headers={"Content-Type": "application/json"}
    )


async def at_once(*requests: Any) -> list[Any]:
    return await gatherResults([Deferred.fromCoroutine(request) for request in requests], consumeErrors=True)


def named(value: Any, field: str) -> str | None:
    """The field that a refusal names: none for a lone surrogate, which cannot be said in JSON at all."""
    return None if any(mark in json.dumps(value) for mark in ("\\ud800", "\\udfff")) else field


def refusal(reply: Reply) -> tuple[int, Any, Any]:
    error = reply.body["error"]
    assert_that(set(reply.body), equal_to({"error"}))
    return reply.status, error["field"], error.get("index")


async def nothing_is_stored(world: World) -> None:
    """None but those that other tests stored on purpose."""
    listed = (await world.get("/campaigns")).body["campaigns"]
    assert_that([entry for entry in listed if entry["campaignId"] == "bystanders"], is_(empty()))


CASES = {field: [(value, {}) for value in values] for field, (_, values) in RULES.items()}
for required in REQUIRED:
    CASES[required] += [(None, {}), (ABSENT, {})]
AGENTS = {"campaignType": "AGENT", "dialingMode": "PROGRESSIVE", "routingMode": "QUEUE", "queueName": "Sales"}
CASES["dialingMode"] += [(None, AGENTS), ("", AGENTS), (ABSENT, AGENTS)]
CASES["routingMode"] += [(None, AGENTS), ("", AGENTS), (ABSENT, AGENTS)]
CASES["resourceId"] += [
    (value, AGENTS | other)
    for value in (None, "")
    for other in ({"routingMode": "AGENT"}, {"routingMode": "AGENT", "queueName": None}, {"queueName": None})
]
CASES["endTime"] += [("2098-12-31T23:59:59Z", {}), ("2099-01-01T00:00:00+00:01", {})]


def test_every_field_has_its_cases() -> None:
    assert_that(min(len(cases) for cases in CASES.values()), is_(greater_than(5)))


@pytest.mark.parametrize("field", CASES)
@sure
async def test_a_value_against_its_rule_is_refused_by_name_and_in_a_list_by_index_and_nothing_is_stored(
    world: World, field: str
) -> None:
    async def tried(value: Any, others: dict[str, Any]) -> None:
        contact = bad(field, value, **others)
        expected = named(value, field) if value is not ABSENT else field
        seed = in_seed_names(contact)
        listed = [later(), later(), contact, later()]
        for path, body, index in (("/contact", contact, None), ("/contact", seed, None), ("/contacts", listed, 2)):
            reply = await post(world, path, body)
            # What is no JSON has no entries yet.
            place = index if expected else None
            assert_that(refusal(reply), equal_to((400, expected, place)), f"{path} {field}={value!r}")

    for step in range(0, len(CASES[field]), 10):
        await at_once(*(tried(*case) for case in CASES[field][step : step + 10]))
    await nothing_is_stored(world)


@pytest.mark.parametrize("field", RULES)
@sure
async def test_a_value_within_its_rule_is_stored_and_shown_as_it_was_posted(world: World, field: str) -> None:
    for value in RULES[field][0]:
        fields = {"campaignId": "kept", "startTime": LATER}
        if field == "startTime":
            # One that is over already: nobody is called.
            fields["gatewayId"] = "gw-none"
        if field == "endTime":
            del fields["startTime"]
            fields["gatewayId"] = "gw-none"
        contact = ivr(**(fields | {field: value}))
        reply = await post(world, "/contacts", [contact])
        assert_that((reply.status, reply.body), equal_to((200, {"accepted": 1, "duplicates": 0})), repr(value))
        shown = await world.contact(contact)
        if field not in ("startTime", "endTime"):
            assert_that(shown, has_entries({field: value}))
        # The same again, as it is shown, is the same contact: whatever PostgreSQL made of it.
        assert_that((await post(world, "/contact", shown)).body, is_({"accepted": 0, "duplicates": 1}), repr(value))
    await world.post("/campaign/kept/purge")


@pytest.mark.parametrize("field", REPLY_RULES)
@sure
async def test_a_reply_against_its_rules_is_refused_by_name_and_its_contact_goes_on_waiting(
    world: World, field: str
) -> None:
    contact = agent(customerNumber=number(), campaignId="replies")
    await world.load(contact)
    await world.until_status(contact, "agent_pending")

    async def tried(value: Any) -> None:
        body = {"uuid": contact["id"], "agent": "1005", "queue": "Sales"} | {field: value}
        for path in ("/agent", "/agent;"):
            assert_that(refusal(await post(world, path, body)), equal_to((400, named(value, field), None)), repr(value))

    values = [value for value in REPLY_RULES[field][1] if field == "uuid" or value != ""]
    for step in range(0, len(values), 10):
        await at_once(*(tried(value) for value in values[step : step + 10]))
    assert_that(await world.contact(contact), has_entries(status="agent_pending"))
    assert_that((world.attempts(contact), world.end_chats(contact)), is_(([], [])))


# What reaches EFSwitch: for each field, how a contact is made with the text in it, and where it must come out.

AT_EFSWITCH = {
    "id": (ivr, lambda attempt: (attempt.uuid, attempt.variables["origination_uuid"])),
    "customerNumber": (ivr, lambda attempt: (attempt.number,)),
    "gatewayId": (ivr, lambda attempt: (attempt.gateway,)),
    "ivr": (
        ivr,
        lambda attempt: (
            attempt.extension,
            attempt.variables["origination_caller_id_name"],
            attempt.variables["origination_caller_id_number"],
        ),
    ),
    "queueName": (agent, lambda attempt: (attempt.variables["sip_h_X-queue"],)),
    "resourceId": (agent, lambda attempt: (attempt.variables["sip_h_X-queue"],)),
    "agent": (
        agent,
        lambda attempt: (
            attempt.variables["sip_h_X-agentExtension"],
            attempt.variables["origination_caller_id_name"],
            attempt.variables["origination_caller_id_number"],
        ),
    ),
    "queue": (agent, lambda attempt: (attempt.variables["sip_h_X-queue"],)),
}
OUR_VARIABLES = {
    ivr: {"session_in_hangup_hook", "domain_name", "record_session", "origination_caller_id_name",
          "origination_caller_id_number", "call_direction", "origination_uuid"},
    agent: {"ignore_early_media", "session_in_hangup_hook", "sip_h_X-Destination-Number", "sip_h_X-CallType",
            "customer_number", "sip_h_X-CALL-VARIABLE0", "sip_h_X-Call-Id", "domain_name", "record_session",
            "call_direction", "sip_h_X-queueType", "sip_h_X-queue", "origination_uuid", "origination_caller_id_name",
            "origination_caller_id_number", "sip_h_X-agentExtension"},
}  # fmt: skip


@pytest.mark.parametrize("field", AT_EFSWITCH)
@sure
async def test_a_text_that_efswitch_gets_is_refused_or_arrives_exactly_as_it_was_sent(world: World, field: str) -> None:
    kind, found = AT_EFSWITCH[field]
    texts = [*TEXTS, *(RULES.get(field) or REPLY_RULES[field])[0]]
    before = world.switch.records.count
    arrived: list[str] = []

    async def tried(text: str) -> None:
        reply: dict[str, Any] = {"agent": "1005"}
        contact = kind(customerNumber=number(), campaignId="hostile")
        if field in ("agent", "queue"):
            reply |= {field: text}
        else:
            contact[field] = text
        if field == "resourceId":
            contact["queueName"] = None
        if field == "gatewayId" and text.isascii() and text.isprintable():
            world.switch.calls.gateways.put(text, "UP")
        posted = await post(world, "/contact", contact)
        if posted.status != 200:
            assert_that(refusal(posted), equal_to((400, named(text, field), None)), repr(text))
            return
        if kind is agent:
            await world.until_status(contact, "agent_pending")
            answered = await post(world, "/agent", {"uuid": contact["id"]} | reply)
            if answered.status != 200:
                assert_that(refusal(answered), equal_to((400, named(text, field), None)), repr(text))
                await post(world, "/agent", {"uuid": contact["id"], "agent": ""})
                return
        await world.until(lambda: world.attempts(contact), f"the call for {text!r}")
        (attempt,) = world.attempts(contact)
        assert_that(set(found(attempt)), equal_to({text}), repr(text))
        assert_that(set(attempt.variables), equal_to(OUR_VARIABLES[kind]), repr(text))
        assert_that((attempt.uuid, attempt.number), equal_to((contact["id"], contact["customerNumber"])), repr(text))
        assert_that(attempt.gateway, equal_to(contact["gatewayId"]))
        arrived.append(text)

    for step in range(0, len(texts), 10):
        await at_once(*(tried(text) for text in texts[step : step + 10]))
    # Nothing was dialed but what was posted.
    assert_that(world.switch.records.count - before, equal_to(len(arrived)))
    assert_that(set((RULES.get(field) or REPLY_RULES[field])[0]) - set(arrived), is_(empty()))
