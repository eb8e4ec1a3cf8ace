"""The phrases that operators search for (SPEC 8): each is logged in its situation, with contact and campaign."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from typing import Any

import pytest
import pytest_twisted
from hamcrest import assert_that, contains_string, empty, equal_to, is_not, same_instance
from twisted.logger import globalLogPublisher

from dialer.logs import observer
from dialer.sandbox.efswitch import Rule, Rules
from tests.service import shared
from tests.service.world import World, agent, ivr

sure = pytest_twisted.ensureDeferred
logged_failures = shared.logged_failures
world = shared.world

ENVIRONMENT: dict[str, str] = {}

NUMBER = "+447700900765"


class Lines:
    """The log as text and as JSON."""

    def __init__(self) -> None:
        self.text, self.json = StringIO(), StringIO()

    def of(self, phrase: str) -> list[tuple[str, dict[str, Any]]]:
        """The lines with this phrase, in both forms."""
        text = self.text.getvalue().splitlines()
        objects = [json.loads(line) for line in self.json.getvalue().splitlines()]
        return [(line, each) for line, each in zip(text, objects, strict=True) if phrase in line]


@contextmanager
def log() -> Iterator[Lines]:
    """What the process logs meanwhile."""
    lines = Lines()
    observers = [observer("INFO", lines.text), observer("INFO", lines.json, form="json")]
    for each in observers:
        globalLogPublisher.addObserver(each)
    try:
        yield lines
    finally:
        for each in observers:
            globalLogPublisher.removeObserver(each)


async def says(world: World, lines: Lines, contact: dict[str, Any], *phrases: str) -> None:
    """Each phrase comes once for this contact, and carries it and its campaign in both forms."""
    for phrase in phrases:

        def found(phrase: str = phrase) -> list[tuple[str, dict[str, Any]]]:
            return [(line, each) for line, each in lines.of(phrase) if contact["id"] in line]

        await world.until(found, phrase)
        for line, each in found():
            assert_that(line, contains_string(contact["campaignId"]))
            assert_that((each["contact"], each["campaign"]), equal_to((contact["id"], contact["campaignId"])))


@sure
async def test_a_password_that_efswitch_refuses_is_in_no_event(world: World) -> None:
    first = world.dialer
    with shared.listening() as heard:
        other = await world.start(ESL_PASSWORD="wrong-password", DIALER_ID="dialer-2")
        await world.until(lambda: heard.lines("NO EFSWITCH CONNECTION"))
        await world.stop_dialer(other)
    assert_that(world.dialer, same_instance(first))
    world.vc.dialer_url = world.url
    assert_that([event for event in heard.events if "wrong-password" in repr(event)], empty())


@sure
async def test_a_call_of_an_ivr_campaign(world: World) -> None:
    contact = ivr(campaignId="ivr-1", customerNumber=NUMBER)
    with log() as lines:
        await world.load(contact)
        await world.until_told(contact)
        await says(world, lines, contact, "CAMPAIGN TYPE: IVR", "CALLED THE CUSTOMER")


@sure
async def test_a_call_of_an_agent_campaign(world: World) -> None:
    contact = agent(campaignId="agent-1", customerNumber=NUMBER)
    with log() as lines:
        await world.load(contact)
        await world.until_told(contact)
        await says(
            world,
            lines,
            contact,
            "CAMPAIGN TYPE: AGENT",
            f"AGENT REQUESTED FOR CALL ID {contact['id']}",
            f"RECEIVED RESERVED AGENT INFO FOR CALL ID {contact['id']}",
            f"DIALING AGENT-BASED CONTACT WITH ID {contact['id']}",
            "CALLED THE CUSTOMER",
            f"AGENT-BASED CONTACT WITH ID {contact['id']} SENT TO EFSWITCH",
        )


@pytest.mark.parametrize("kind", [ivr, agent])
@sure
async def test_a_gateway_that_efswitch_does_not_know(world: World, kind: Any) -> None:
    contact = kind(campaignId="invalid-1", gatewayId="gw-none", customerNumber=NUMBER)
    with log() as lines:
        await world.load(contact)
        await world.until_told(contact)
        await says(world, lines, contact, "INVALID GATEWAY gw-none")


@pytest.mark.parametrize("kind", [ivr, agent])
@sure
async def test_a_gateway_that_is_down(world: World, kind: Any) -> None:
    contact = kind(campaignId="down-1", gatewayId="gw-2", customerNumber=NUMBER)
    world.switch.set_gateway("gw-2", "DOWN")
    with log() as lines:
        await world.load(contact)
        await says(world, lines, contact, "GATEWAY DOWN gw-2")
    world.switch.set_gateway("gw-2", "UP")
    await world.until_told(contact)


@sure
async def test_an_agent_request_that_the_vc_does_not_take(world: World) -> None:
    contact = agent(campaignId="unable-1", customerNumber=NUMBER)
    world.vc.behave("request", "refuse", status=500)
    with log() as lines:
        await world.load(contact)
        phrase = f"UNABLE TO REQUEST AGENT FROM VOICE CONNECTOR FOR CALL ID {contact['id']}"
        await says(world, lines, contact, phrase)
    world.vc.behave("request", "accept")
    await world.until_told(contact)


@sure
async def test_no_efswitch(world: World) -> None:
    contact = ivr(campaignId="lost-1", customerNumber=NUMBER)
    with log() as lines:
        world.switch.shut_down(now=True)
        await world.until_ready(False)
        # Of the switch itself, once for each reason: no contact is concerned.
        name = world.dialer._parts.fleet.switches[0].name
        assert_that(lines.of(f"NO EFSWITCH CONNECTION to {name}"), is_not(empty()))
        await world.load(contact)
        await world.until_told(contact)
        await says(world, lines, contact, "NO EFSWITCH CONNECTION for contact")
    world.switch.restart()
    await world.until_ready()


@sure
async def test_no_line_of_all_this_shows_a_number_or_a_password(world: World) -> None:
    world.switch.rules = Rules([Rule(ring=0.01, talk=0.01)])
    contact = ivr(campaignId="quiet-1", customerNumber=NUMBER)
    with log() as lines:
        await world.load(contact)
        await world.until_told(contact)
    everything = lines.text.getvalue() + lines.json.getvalue()
    assert_that([text for text in (NUMBER, "ClueCon") if text in everything], equal_to([]))
