"""From the contact and the agent's reply as they are posted to the bytes that EFSwitch gets: read back from these by
FreeSWITCH's own rules, they are exactly what was posted, and there is nothing else.

The reader of `tests.brace_block` was written from what a real FreeSWITCH answered, apart from what writes the commands.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any
from unittest.mock import patch
from uuid import uuid4

import pytest
import pytest_twisted
from attrs import define, field
from hamcrest import assert_that, empty, equal_to, greater_than, is_, is_in
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.threads import blockingCallFromThread, deferToThread

from dialer.sandbox.efswitch import Rule, Rules
from dialer.sandbox.efswitch.connection import Connection
from tests.brace_block import Originate, read_arguments
from tests.hostile.rows import forbidden
from tests.service import shared
from tests.service.world import World
from tests.test_originate import extensions, gateways, likely_text, nasty_text, numbers, resources

sure = pytest_twisted.ensureDeferred
logged_failures = shared.logged_failures
world = shared.world

ENVIRONMENT = {
    "MAX_CONCURRENT_CALLS": "1000",
    "CALLS_PER_SECOND": "1000",
    "RECONCILE_INTERVAL": "60",
    "EFSWITCH_IP": "pbx.example",
}

AT_ONCE = 12
"""Contacts of one example."""

ASKED = re.compile(r"api (sofia status gateway [A-Za-z0-9._-]+|uuid_exists [A-Za-z0-9-]+|show channels as json|status)")
"""What a dialer that dials asks besides."""


@define
class Wire:
    """The blocks that EFSwitch was sent, as bytes."""

    blocks: list[bytes] = field(factory=list)

    def calls(self) -> Iterator[tuple[str, Originate]]:
        """The job and the call of each originate; whatever else was sent is a question."""
        for block in self.blocks:
            text = block.decode("utf-8")
            if not text.startswith("bgapi "):
                assert ASKED.fullmatch(text), f"not a command of ours: {text!r}"
                continue
            command = re.fullmatch(r"bgapi (?:JS)?originate ([^\n]*)\nJob-UUID: ([A-Za-z0-9-]+)\.[0-9]+", text)
            assert command is not None, f"not a command of ours: {text!r}"
            yield command[2], read_arguments(command[1])


@pytest.fixture
def wire(world: World) -> Iterator[Wire]:
    """What goes over the wire, while calls end soon and the test replies for the VC."""
    world.switch.rules = Rules([Rule(ring=0.01, talk=0.01, agent_ring=0.01)])
    world.vc.behave("reply", "silent")
    recorded = Wire()
    execute = Connection._command

    def record(self: Connection, block: bytes) -> None:
        recorded.blocks.append(block)
        execute(self, block)

    with patch.object(Connection, "_command", record):
        yield recorded


any_text = st.none() | likely_text | nasty_text
some = {
    "id": st.builds(lambda tail: f"{uuid4().hex[:20]}{tail}", st.text(st.sampled_from("abXZ09-"), max_size=20)),
    "customerNumber": numbers,
    "gatewayId": gateways,
    "tenantId": st.none() | resources,
    "campaignContactId": any_text,
    "priority": st.none() | st.integers(1, 10),
    "schedulingMetadata": st.none() | st.dictionaries(nasty_text, nasty_text, max_size=2),
}
ivrs = st.fixed_dictionaries({**some, "campaignType": st.just("IVR"), "ivr": st.none() | extensions})
agents = st.fixed_dictionaries(
    {
        **some,
        "campaignType": st.just("AGENT"),
        "dialingMode": st.sampled_from(["PREDICTIVE", "PREVIEW", "PROGRESSIVE"]),
        "routingMode": st.just("QUEUE"),
        "resourceId": st.none() | resources,
        "queueName": any_text,
    }
)
replies = st.fixed_dictionaries({"agent": extensions | nasty_text, "queue": any_text})


def ivr_call(contact: dict[str, Any]) -> Originate:
    """What SPEC 5 says of an IVR contact."""
    number = contact["ivr"] or "*9664"
    variables = {
        "session_in_hangup_hook": "true",
        "domain_name": "pbx.example",
        "record_session": "true",
        "origination_caller_id_name": number,
        "origination_caller_id_number": number,
        "call_direction": "outbound",
        "origination_uuid": contact["id"],
    }
    destination = f"sofia/gateway/{contact['gatewayId']}/{contact['customerNumber']}"
    return Originate(tuple(variables.items()), destination, (number, "XML", "pbx.example"))


def agent_call(contact: dict[str, Any], reply: dict[str, Any]) -> Originate:
    """What SPEC 5 says of an AGENT contact whose agent was reserved."""
    name = reply["queue"] or contact["queueName"]
    variables = {
        "ignore_early_media": "true",
        "session_in_hangup_hook": "true",
        "sip_h_X-Destination-Number": "1218",
        "sip_h_X-CallType": "PROGRESSIVE",
        "customer_number": contact["customerNumber"],
        "sip_h_X-CALL-VARIABLE0": contact["id"],
        "sip_h_X-Call-Id": contact["id"],
        "domain_name": "pbx.example",
        "record_session": "true",
        "call_direction": "outbound",
        "sip_h_X-queueType": "NAME" if name else "ID",
        "sip_h_X-queue": name or contact["resourceId"],
        "origination_uuid": contact["id"],
        "origination_caller_id_name": reply["agent"],
        "origination_caller_id_number": reply["agent"],
        "sip_h_X-agentExtension": reply["agent"],
    }
    destination = f"sofia/gateway/{contact['gatewayId']}/{contact['customerNumber']}"
    return Originate(tuple(variables.items()), destination, ("agent", "XML", "pbx.example"))


def agent_request(contact: dict[str, Any]) -> dict[str, Any]:
    """What SPEC 4 says of the request for an agent."""
    return {
        "callingNumber": contact["customerNumber"],
        "callUid": contact["id"],
        "eslHost": contact["tenantId"] or "pbx.example",
        "serviceIdentifier": "1218",
        "direction": "OUTBOUND",
        "callSipId": "",
        "priority": contact["priority"],
        "queue": contact["queueName"] or contact["resourceId"],
        "queueType": "NAME" if contact["queueName"] else "ID",
    }


def requests_for(world: World, contact: dict[str, Any]) -> list[Any]:
    """The requests for an agent that the VC got for a contact."""
    return world.vc.records(
        lambda record: record.path == "/request-agent" and record.body.get("callUid") == contact["id"]
    )


async def posted(world: World, path: str, body: dict[str, Any]) -> int:
    # As ASCII with escapes: so a lone surrogate and NUL travel, too.
    reply = await world.request(
        "POST", path, data=json.dumps(body).encode(), headers={"Content-Type": "application/json"}
    )
    assert_that(reply.status, is_in((200, 400)), repr(reply))
    return reply.status


async def dial(world: World, wire: Wire, contact: dict[str, Any], reply: dict[str, Any]) -> Originate | None:
    """Post a contact, and the reply for its agent; the call that must come of it, None when one of them is refused."""
    world.switch.calls.gateways.put(contact["gatewayId"], "UP")
    # Each has a campaign of its own, so that one that is done with can be taken out of its queue.
    contact = contact | {"campaignId": contact["id"]}
    if await posted(world, "/contact", contact) != 200:
        return None
    if contact["campaignType"] == "IVR":
        expected = ivr_call(contact)
    else:
        await world.until_status(contact, "agent_pending")
        asked = await world.until(lambda: requests_for(world, contact), "the agent request")
        assert_that([each.body for each in asked], equal_to([agent_request(contact)]))
        assert_that([each.headers.get("tenantid") for each in asked], equal_to([contact["tenantId"]]))
        if await posted(world, "/agent", {"uuid": contact["id"], **reply}) != 200 or not reply["agent"]:
            # It waits for another reply, or is back in its queue.
            await world.post(f"/campaign/{contact['id']}/purge")
            await world.post("/agent", {"uuid": contact["id"], "agent": ""})
            return None
        expected = agent_call(contact, reply)
    await world.until_status(contact, "ended")
    return expected


@sure
async def test_what_efswitch_reads_is_what_was_posted_and_nothing_else(world: World, wire: Wire) -> None:
    called = refused = 0

    async def dialed(contacts: list[dict[str, Any]], answers: list[dict[str, Any]]) -> None:
        nonlocal called, refused
        wire.blocks.clear()
        together = zip(contacts, answers, strict=True)
        results = await gatherResults(
            [Deferred.fromCoroutine(dial(world, wire, *each)) for each in together], consumeErrors=True
        )
        expected = {contact["id"]: call for contact, call in zip(contacts, results, strict=True) if call is not None}
        found = list(wire.calls())
        assert_that(dict(found), equal_to(expected))
        assert_that(len(found), equal_to(len(expected)))
        called += len(expected)
        refused += len(contacts) - len(expected)

    @settings(max_examples=max(10, settings().max_examples // 10))
    @given(
        st.lists(ivrs | agents, min_size=AT_ONCE, max_size=AT_ONCE, unique_by=lambda contact: contact["id"]),
        st.lists(replies, min_size=AT_ONCE, max_size=AT_ONCE),
    )
    def examples(contacts: list[dict[str, Any]], answers: list[dict[str, Any]]) -> None:
        blockingCallFromThread(reactor, lambda: Deferred.fromCoroutine(dialed(contacts, answers)))

    await deferToThread(examples)
    # Both sides of the rules were tried.
    assert_that(called, is_(greater_than(20)))
    assert_that(refused, is_(greater_than(20)))
    assert_that(forbidden(world._conninfo), is_(empty()))
