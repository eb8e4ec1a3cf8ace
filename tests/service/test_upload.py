"""Lists of any length over real sockets: counts, rejected rows, what is stored when, and what it holds up."""

from __future__ import annotations

import json
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import pytest_twisted
from hamcrest import (
    assert_that,
    contains_exactly,
    contains_string,
    equal_to,
    greater_than,
    has_entries,
    has_length,
    is_,
    less_than_or_equal_to,
    starts_with,
)
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.threads import deferToThread

from dialer.store.contacts import ADD_AT_ONCE, ContactStore
from dialer.web.incoming import ENOUGH, Incoming
from dialer.web.site import MAX_BODY
from dialer.web.upload import SHOWN
from tests.service import shared
from tests.service.lists import CSV, HEADER, LATER, NDJSON, campaign, rows, upload
from tests.service.shared import Outage
from tests.service.world import World, ivr

sure = pytest_twisted.ensureDeferred
logged_failures = shared.logged_failures
world = shared.world
server = shared.server
outage = shared.outage
fragile = shared.fragile

ENVIRONMENT: dict[str, str] = {}
MIXED = (Path(__file__).parents[1] / "data" / "lists" / "mixed-200.jsonl").read_bytes()


async def stored(world: World, campaign_id: str) -> int:
    """How many contacts of a campaign there are."""
    reply = await world.get(f"/campaign/{campaign_id}")
    return reply.body["total"] if reply.status == 200 else 0


def counts(accepted: int, duplicates: int = 0, *rejected: tuple[int, str | None, str]) -> dict[str, Any]:
    return {
        "accepted": accepted,
        "duplicates": duplicates,
        "rejected": len(rejected),
        "rejectedRows": [{"row": row, "field": name, "message": message} for row, name, message in rejected],
    }


# what is stored, and what is said


@sure
async def test_a_list_as_an_integration_writes_it_is_stored_and_again_is_stored_once(world: World) -> None:
    waiting = b"".join(
        json.dumps(json.loads(line) | {"startTime": LATER}).encode() + b"\n" for line in MIXED.splitlines()
    )
    reply = await upload(world, waiting, NDJSON)
    assert_that((reply.status, reply.body), equal_to((200, counts(200))))
    reply = await upload(world, waiting, NDJSON)
    assert_that((reply.status, reply.body), equal_to((200, counts(0, 200))))
    assert_that(
        await world.contact(json.loads(MIXED.splitlines()[0])["id"]), has_entries(priority=3, queueName="Sales")
    )


@sure
async def test_csv_is_stored_with_each_cell_in_its_field(world: World) -> None:
    name = campaign()
    text = (
        "\ufeffID;Campaign Type;customer_number;gatewayId;Campaign-ID;Priority;dialing_mode;routing mode;queueName;"
        "schedulingMetadata;Start Time;notes\r\n"
        f'{name[:20]}-1;AGENT;0044770;gw-1;{name};7;PREVIEW;QUEUE;Säles;"{{""a"": ""x;y""}}";{LATER};"line\r\nline"\r\n'
    )
    reply = await upload(world, text.encode())
    assert_that((reply.status, reply.body), equal_to((200, counts(1))))
    expected = {
        "customerNumber": "0044770",
        "priority": 7,
        "queueName": "Säles",
        "dialingMode": "PREVIEW",
        "schedulingMetadata": {"a": "x;y"},
        "startTime": LATER,
    }
    assert_that(await world.contact(f"{name[:20]}-1"), has_entries(expected))


@sure
async def test_good_rows_are_stored_whatever_is_wrong_with_others(world: World) -> None:
    name = campaign()
    first, second, third = rows(name, range(3)).splitlines(keepends=True)
    text = [
        HEADER,
        first,
        first.replace(b"-0;", b"-8;").replace(b"+44", b"44+"),
        b'"not closed;1\r\n',
        first.replace(b"gw-1", b"gw-2"),
        second,
        first,
        third[third.index(b";") :],
        third,
    ]
    reply = await upload(world, b"".join(text))
    assert_that(reply.status, equal_to(200))
    number = "customerNumber must be 1 to 20 characters: digits, * or #, with a + at most as the first"
    expected = counts(
        3,
        1,
        (3, "customerNumber", number),
        (4, None, "a quote is not closed"),
        (5, "id", f"contact {name[:30]}-0 exists with other content"),
        (8, "id", "id is required"),
    )
    assert_that(reply.body, equal_to(expected))
    assert_that(await stored(world, name), equal_to(3))


@sure
async def test_rows_that_lack_a_field_have_that_of_the_query(world: World) -> None:
    name = campaign()
    query = {"campaignId": name, "campaignType": "IVR", "gatewayId": "gw-1", "startTime": LATER, "priority": "4"}
    text = f"id,customerNumber,priority\n{name[:20]}-a,1,\n{name[:20]}-b,2,9\n".encode()
    assert_that((await upload(world, text, query=query)).body, equal_to(counts(2)))
    assert_that(await world.contact(f"{name[:20]}-a"), has_entries(priority=4, campaignId=name))
    assert_that(await world.contact(f"{name[:20]}-b"), has_entries(priority=9))
    line = json.dumps({"id": f"{name[:20]}-c", "customerNumber": "3"}).encode()
    assert_that((await upload(world, line, NDJSON, query)).body, equal_to(counts(1)))
    assert_that(await world.contact(f"{name[:20]}-c"), has_entries(priority=4))


@pytest.mark.parametrize(
    ("body", "query", "field", "message"),
    [
        (b"id,id2\na,b\n", {}, "customerNumber", "there is no column for customerNumber"),
        (b"id,ID\n", {}, "id", "two columns hold id: 'id' and 'ID'"),
        (b"", {}, None, "the list is empty: its first line must name the columns"),
        (HEADER, {"campaignType": "FAX"}, "campaignType", "campaignType must be IVR or AGENT"),
        (HEADER, {"priority": "11"}, "priority", "priority must be a whole number from 1 to 10"),
    ],
)
@sure
async def test_a_list_that_cannot_be_read_as_a_whole_is_refused(
    world: World, body: bytes, query: dict[str, str], field: str | None, message: str
) -> None:
    reply = await upload(world, body, query=query)
    assert_that(reply.status, equal_to(400))
    assert_that(reply.body, equal_to({"error": {"code": "invalid", "message": message, "field": field}}))


@sure
async def test_a_list_that_is_packed_or_of_another_type_is_refused(world: World) -> None:
    headers = {"Content-Type": CSV, "Content-Encoding": "gzip"}
    reply = await world.request("POST", "/contacts", data=b"x", headers=headers)
    assert_that((reply.status, reply.body["error"]["field"]), equal_to((415, "Content-Encoding")))
    reply = await upload(world, b"x", "application/xml")
    message = "send application/json or text/csv or application/x-ndjson"
    assert_that((reply.status, reply.body["error"]["message"]), equal_to((415, message)))


@sure
async def test_of_the_rejected_rows_the_first_thousand_are_shown(world: World) -> None:
    reply = await upload(world, b"{}\n" * (SHOWN + 5), NDJSON)
    assert_that((reply.status, reply.body["rejected"]), equal_to((200, SHOWN + 5)))
    assert_that([row["row"] for row in reply.body["rejectedRows"]], equal_to(list(range(1, SHOWN + 1))))


# how it is taken


@sure
async def test_no_more_of_a_list_is_held_than_a_batch_and_two_reads_of_a_socket(world: World) -> None:
    name, many = campaign(), 10_000
    filler = b";" + b"x" * 500 + b"\r\n"
    held: list[int] = []
    batches: list[int] = []
    received, add_each = Incoming.received, ContactStore.add_each

    def receive(self: Incoming, data: bytes) -> None:
        received(self, data)
        held.append(self._size)

    async def add(self: ContactStore, contacts: Any) -> Any:
        batches.append(len(contacts))
        return await add_each(self, contacts)

    async def pieces() -> AsyncIterator[bytes]:
        yield HEADER.replace(b"\n", b";notes\n")
        for first in range(0, many, 1000):
            yield rows(name, range(first, first + 1000)).replace(b"\r\n", filler)

    with patch.object(Incoming, "received", receive), patch.object(ContactStore, "add_each", add):
        reply = await upload(world, pieces())
    assert_that((reply.status, reply.body), equal_to((200, counts(many))))
    assert_that(many * len(filler), greater_than(64 * ENOUGH))
    assert_that(max(held), less_than_or_equal_to(2 * ENOUGH))
    assert_that((max(batches), sum(batches)), equal_to((ADD_AT_ONCE, many)))


@sure
async def test_contacts_are_called_while_a_list_is_still_being_sent(world: World) -> None:
    name = campaign()
    called = ivr(campaignId=campaign())

    async def pieces() -> AsyncIterator[bytes]:
        yield HEADER + rows(name, range(600), "")
        first = {"id": f"{name[:30]}-0"}
        await world.until(lambda: is_known(world, first["id"]), "the first batch")
        await world.load(called)
        await world.until_status(called, "ended")
        await world.until_status(first, "ended")
        yield rows(name, range(600, 700))

    reply = await upload(world, pieces())
    assert_that((reply.status, reply.body), equal_to((200, counts(700))))
    await world.post(f"/campaign/{name}/purge")


async def is_known(world: World, contact_id: str) -> bool:
    return (await world.get(f"/contact/{contact_id}")).status == 200


@sure
async def test_two_that_send_the_same_list_at_once_store_it_once(world: World) -> None:
    name = campaign()
    text = HEADER + rows(name, range(1200))
    backwards = HEADER + rows(name, reversed(range(1200)))
    replies = await gatherResults([Deferred.fromCoroutine(upload(world, each)) for each in (text, backwards, text)])
    assert_that({reply.status for reply in replies}, equal_to({200}))
    assert_that(sum(reply.body["accepted"] for reply in replies), equal_to(1200))
    assert_that(sum(reply.body["duplicates"] for reply in replies), equal_to(2400))
    assert_that(await stored(world, name), equal_to(1200))


@sure
async def test_what_came_before_the_sender_went_away_is_stored_and_the_rest_can_be_sent_again(world: World) -> None:
    name = campaign()
    whole = 2 * ADD_AT_ONCE
    text = HEADER + rows(name, range(whole + 100))
    head = b"POST /contacts HTTP/1.1\r\nHost: x\r\nContent-Type: text/csv\r\nContent-Length: 99999999\r\n\r\n"

    def break_off() -> None:
        with socket.create_connection(("127.0.0.1", world.dialer.port.getHost().port), timeout=10) as connection:
            connection.sendall(head + text)

    with shared.listening() as heard:
        await deferToThread(break_off)
        await world.until(lambda: heard.lines("A list was broken off by its sender"), "the log")
    assert_that(
        heard.lines("A list was broken off"),
        contains_exactly(contains_string(f"after {whole} new contacts, 0 duplicates and 0 rejected rows")),
    )
    assert_that(await stored(world, name), equal_to(whole))
    reply = await upload(world, text)
    assert_that(reply.body, equal_to(counts(100, whole)))


@sure
async def test_a_list_may_be_longer_than_any_other_body(world: World) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield HEADER
        for _ in range(MAX_BODY // 250_000 + 1):
            yield b'"' + b"x" * 249_998 + b"\n"

    reply = await upload(world, pieces())
    assert_that((reply.status, reply.body["accepted"]), equal_to((200, 0)))
    assert_that(reply.body["rejectedRows"][0]["message"], starts_with("a quote is not closed"))


@sure
async def test_a_database_that_goes_away_is_told_with_the_counts_so_far_and_the_list_can_be_sent_again(
    fragile: World, outage: Outage
) -> None:
    name = campaign()

    async def pieces() -> AsyncIterator[bytes]:
        yield HEADER + b"bad\n" + rows(name, range(600))
        await fragile.until(lambda: is_known(fragile, f"{name[:30]}-499"), "the first batch")
        await outage.begin()
        yield rows(name, range(600, 1200))

    reply = await upload(fragile, pieces())
    assert_that(reply.status, is_(503))
    assert_that(reply.headers.getRawHeaders("Retry-After"), has_length(1))
    assert_that(reply.body, has_entries(accepted=500, duplicates=0, rejected=1, rejectedRows=has_length(1)))
    message = "the database cannot be reached; send the list again, nothing is stored twice"
    assert_that(reply.body["error"], equal_to({"code": "database_down", "message": message, "field": None}))
    await outage.end()

    async def again() -> bool:
        reply = await upload(fragile, HEADER + rows(name, range(1200)))
        return reply.status == 200 and reply.body["accepted"] + reply.body["duplicates"] == 1200

    await fragile.until(again, "the database to be back")
    assert_that(await stored(fragile, name), equal_to(1200))
