"""What EFSwitch sends, when somebody has put something else into it than a cause or a name: on its way into rows,
histories, messages to the VC, the log, a file for a spreadsheet."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Awaitable, Callable, Iterable
from typing import Any
from unittest.mock import patch

import pytest
import pytest_twisted
from hamcrest import (
    assert_that,
    contains_exactly,
    empty,
    equal_to,
    has_entries,
    has_key,
    has_length,
    is_,
)
from twisted.internet.defer import Deferred, gatherResults

from dialer.sandbox.efswitch import Rule, Rules, wire
from dialer.sandbox.efswitch.connection import Connection
from dialer.sandbox.efswitch.gateways import Gateways
from tests.hostile.rows import forbidden
from tests.hostile.texts import FORGED, FORMULA, HOSTILE, log_written
from tests.service import shared
from tests.service.world import World, ivr

sure = pytest_twisted.ensureDeferred
logged_failures = shared.logged_failures
world = shared.world

ENVIRONMENT = {"RECONCILE_INTERVAL": "60", "MAX_CONCURRENT_CALLS": "100"}


def say(world: World, headers: dict[str, Any], body: str | None = None, *, raw: bytes | None = None) -> None:
    """Send an event to the dialer, as JSON that holds whatever it is given, or these very bytes."""
    event = headers | ({} if body is None else {"_body": body})
    content = raw or json.dumps(event).encode()
    frame = b"Content-Length: %d\nContent-Type: text/event-json\n\n%b" % (len(content), content)
    for connection in world.switch.connections:
        connection.send_event(frame)


@pytest.fixture(autouse=True)
def long_calls(world: World) -> None:
    """Calls that end when the test says so, and nobody else."""
    world.switch.rules = Rules([Rule(ring=0.01, talk=600, agent_ring=0.01)])


async def called(world: World, **fields: Any) -> dict[str, Any]:
    contact = ivr(**fields)
    await world.load(contact)
    await world.until_status(contact, "dialed")
    await world.until(lambda: world.attempts(contact), "the call")
    return contact


async def rows_of_csv(world: World, campaign: str) -> list[dict[str, str]]:
    reply = await world.get(f"/campaign/{campaign}/results?format=csv")
    return list(csv.DictReader(io.StringIO(reply.body, newline="")))


async def ended_as(world: World, contact: dict[str, Any]) -> str:
    """The call result, once it is everywhere, and in order everywhere."""
    ended = await world.until_status(contact, "ended")
    result = str(ended["callResult"])
    assert_that(1 <= len(result) <= 40 and result.isprintable(), is_(True), repr(result))
    told = await world.until_told(contact)
    assert_that(told, has_entries(id=contact["id"], callResult=result.upper().replace(" ", "_")))
    history = (await world.get(f"/contact/{contact['id']}/history")).body["history"]
    assert_that([each["detail"] for each in history if each["event"] == "ended"], contains_exactly(result))
    (row,) = [each for each in await rows_of_csv(world, contact["campaignId"]) if each["id"] == contact["id"]]
    cell = row["callResult"]
    assert_that(cell, equal_to(f"'{result}" if FORMULA.match(result) else result))
    counted = (await world.get(f"/campaign/{contact['campaignId']}")).body["byCallResult"]
    assert_that(counted, has_key(result))
    return result


def as_one_line(value: str) -> str:
    """What a text becomes as a call result."""
    plain = "".join(each if each.isprintable() else "?" for each in value.strip()[:40].upper())
    return plain[:40].strip() or "UNKNOWN"


async def at_once(tried: Callable[[Any], Awaitable[None]], values: Iterable[Any]) -> None:
    await gatherResults([Deferred.fromCoroutine(tried(value)) for value in values], consumeErrors=True)


@sure
async def test_whatever_a_hangup_cause_holds_the_call_ends_with_it_on_one_line_everywhere(world: World) -> None:
    async def tried(value: str) -> None:
        contact = await called(world, campaignId="causes")
        say(world, {"Event-Name": "CHANNEL_HANGUP_COMPLETE", "Unique-ID": contact["id"], "Hangup-Cause": value})
        assert_that(await ended_as(world, contact), equal_to(as_one_line(value)))

    with log_written() as written:
        await at_once(tried, HOSTILE.values())
    written.check()
    lines = written.text.getvalue().split("\n")
    assert_that([line for line in lines if " of campaign causes ended " in line], has_length(len(HOSTILE)))
    assert_that(forbidden(world._conninfo), is_(empty()))


@sure
async def test_whatever_a_refusal_holds_the_contact_ends_with_it_on_one_line_everywhere(world: World) -> None:
    world.switch.rules = Rules([Rule(outcome="silent", ring=600)])

    async def tried(contact: dict[str, Any]) -> None:
        say(
            world, {"Event-Name": "BACKGROUND_JOB", "Job-UUID": f"{contact['id']}.1"}, f"-ERR {refusals[contact['id']]}"
        )
        result = await ended_as(world, contact)
        assert_that(result, equal_to(as_one_line(refusals[contact["id"]])))

        async def told() -> list[str]:
            history = (await world.get(f"/contact/{contact['id']}/history")).body["history"]
            return [each["detail"] for each in history if each["event"] == "refused"]

        # It is written apart from the end, and perhaps later.
        assert_that(await world.until(told, "the refusal"), contains_exactly(result))

    with log_written() as written:
        contacts = [await called(world, campaignId="refusals") for _ in HOSTILE]
        refusals = dict(zip([contact["id"] for contact in contacts], HOSTILE.values(), strict=True))
        # As after a refusal: there is no channel of them.
        world.switch.calls.vanish()
        await at_once(tried, contacts)
    written.check()
    assert_that(forbidden(world._conninfo), is_(empty()))


ODD = {
    "no object": b"[]",
    "no JSON": b"\xff\xfe{",
    "a lone surrogate": b'{"Event-Name":"CHANNEL_HANGUP_COMPLETE","Unique-ID":"\\ud800"}',
    "lists without end": b'{"Event-Name":' + b"[" * 1000 + b"]" * 1000 + b"}",
    "objects without end": b'{"Event-Name":"CHANNEL_ANSWER","Unique-ID":' + b'{"a":' * 500 + b"1" + b"}" * 500 + b"}",
    "numbers for texts": b'{"Event-Name":1e400,"Unique-ID":7}',
    "an id with a NUL": b'{"Event-Name":"CHANNEL_HANGUP_COMPLETE","Unique-ID":"a\\u0000b","Hangup-Cause":"USER_BUSY"}',
    "a huge id": b'{"Event-Name":"CHANNEL_HANGUP_COMPLETE","Unique-ID":"' + b"x" * 1_000_000 + b'"}',
    "an unknown event": b'{"Event-Name":"\\u001b[2J\\n","Unique-ID":"c1"}',
    "a job of nobody": b'{"Event-Name":"BACKGROUND_JOB","Job-UUID":"\\u0000.\\n","_body":"-ERR \\u0000"}',
    "a job that is a list": b'{"Event-Name":"BACKGROUND_JOB","Job-UUID":["a",["b"]],"_body":{"a":1}}',
}


@sure
async def test_an_event_that_makes_no_sense_disturbs_neither_the_connection_nor_a_call(world: World) -> None:
    connections = set(world.switch.connections)
    with log_written() as written:
        for raw in ODD.values():
            contact = await called(world, campaignId="odd")
            say(world, {}, raw=raw)
            say(
                world,
                {"Event-Name": "CHANNEL_HANGUP_COMPLETE", "Unique-ID": contact["id"], "Hangup-Cause": "USER_BUSY"},
            )
            assert_that(await ended_as(world, contact), equal_to("USER_BUSY"), repr(raw))
    written.check()
    assert_that(set(world.switch.connections), equal_to(connections))


@sure
async def test_bytes_that_are_not_utf_8_reach_row_log_and_file_as_replacement_characters(world: World) -> None:
    with log_written() as written:
        contact = await called(world, campaignId="bytes")
        head = b'{"Event-Name":"CHANNEL_HANGUP_COMPLETE","Unique-ID":"%b",' % contact["id"].encode()
        say(world, {}, raw=head + b'"Hangup-Cause":"B\xfcSY \xff","variable_sip_h_X":"\xfc"}')
        assert_that(await ended_as(world, contact), equal_to("B\ufffdSY \ufffd"))
    written.check()


@sure
async def test_what_a_switch_says_of_a_gateway_or_of_a_command_is_told_on_one_line(world: World) -> None:
    texts = [text for text in HOSTILE.values() if len(text) < 1000]
    answers = iter(texts)
    with log_written() as written:
        for number, text in enumerate(texts):
            contact = ivr(campaignId="gateways", gatewayId=f"odd-{number}")
            with patch.object(Gateways, "show", lambda *_, text=text: text):
                await world.load(contact)
                line = f'"contact":"{contact["id"]}"'
                await world.until(lambda line=line: line in written.json.getvalue(), "its line")
        with patch.object(
            Connection, "_bgapi", lambda self, *_: self.write(wire.command_reply(f"-ERR {next(answers)}"))
        ):
            refused = ivr(campaignId="gateways")
            await world.load(refused)
            await world.until_status(refused, "ended")
    written.check()
    assert_that((await world.get("/campaign/gateways/explain")).status, equal_to(200))
    await world.post("/campaign/gateways/purge")
    assert_that(forbidden(world._conninfo), is_(empty()))


@pytest.mark.parametrize("text", [f"bye\n{FORGED}\x1b[2J", "\x9b2J<img src=x>", "\u202e" * 500])
@sure
async def test_what_a_switch_says_as_it_leaves_is_told_on_one_line(world: World, text: str) -> None:
    with log_written() as written:
        content = text.encode()
        notice = b"Content-Type: text/disconnect-notice\nContent-Length: %d\n\n%b" % (len(content), content)
        world.switch.drop(notice)
        await world.until(lambda: "NO EFSWITCH CONNECTION" in written.text.getvalue(), "the loss")
        await world.until_ready()
    written.check()
