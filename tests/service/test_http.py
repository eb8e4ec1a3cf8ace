"""The HTTP interface (SPEC 3) over real sockets: every answer that is an error, and the shape of those that are not."""

from __future__ import annotations

import json
import re
import socket
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
import pytest_twisted
from hamcrest import (
    assert_that,
    contains_string,
    empty,
    equal_to,
    greater_than,
    has_entries,
    has_item,
    has_length,
    is_,
    matches_regexp,
    not_,
)
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.threads import deferToThread

from dialer.sandbox.efswitch import Rule, Rules
from dialer.web.site import MAX_BODY
from tests.service import shared
from tests.service.shared import listening
from tests.service.world import Reply, World, agent, ivr
from tests.web.posted import in_seed_names

sure = pytest_twisted.ensureDeferred
logged_failures = shared.logged_failures
world = shared.world

ENVIRONMENT = {
    "MAX_CONCURRENT_CALLS": "7",
    "CALLS_PER_SECOND": "150.5",
    # A long list is stored in one transaction, which may take long on a busy machine.
    "DB_CONN_TIMEOUT": "30000",
}

LATER = "2099-01-01T00:00:00Z"
JSON = {"Content-Type": "application/json"}
JSON_LINES = ["Content-Type: application/json"]


def waiting(**fields: Any) -> dict[str, Any]:
    """A contact that is not called in these tests."""
    return ivr(**({"startTime": LATER} | fields))


def campaign() -> str:
    return f"c-{uuid4()}"


def is_error(reply: Reply, status: int, code: str, field: str | None = None, **more: Any) -> None:
    """The whole of an error, as every error is shaped."""
    assert_that(reply.status, equal_to(status))
    assert_that(reply.headers.getRawHeaders("Content-Type"), equal_to(["application/json; charset=utf-8"]))
    assert_that(set(reply.body), equal_to({"error"}))
    error = dict(reply.body["error"])
    message = error.pop("message")
    assert_that(error, equal_to({"code": code, "field": field} | more))
    assert_that(message, matches_regexp(r"\A[^\n<>]+\Z"))
    assert_that(message, not_(contains_string("Traceback")))


async def is_unknown(world: World, *contacts: dict[str, Any]) -> None:
    for contact in contacts:
        is_error(await world.get(f"/contact/{contact['id']}"), 404, "not_found", "id")


def speak(port: int, *pieces: bytes) -> bytes:
    """Say this to the dialer, bare; all that it answers until it closes. Runs in a thread."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        for piece in pieces:
            connection.sendall(piece)
        heard = b""
        while more := connection.recv(65536):
            heard += more
        return heard


async def raw(world: World, *pieces: bytes) -> Reply:
    """The answer to bytes that no HTTP client would send."""
    heard = await deferToThread(speak, world.dialer.port.getHost().port, *pieces)
    head, _, body = heard.partition(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines)
    if headers.get("transfer-encoding") == "chunked":
        body = re.sub(rb"(?:\A|\r\n)[0-9a-f]+\r\n", b"", body).removesuffix(b"\r\n")

    class Headers:
        @staticmethod
        def getRawHeaders(name: str) -> list[str] | None:
            return [headers[name.lower()]] if name.lower() in headers else None

    return Reply(int(status.split()[1]), json.loads(body), Headers)


def head(line: str, *headers: str) -> bytes:
    return "\r\n".join([line, "Host: dialer", "Connection: close", *headers, "", ""]).encode("latin-1")


# 400: what is not JSON, or not the JSON that is wanted


@pytest.mark.parametrize("path", ["/contact", "/contacts", "/agent", "/agent;"])
@pytest.mark.parametrize("body", [b"", b"{", b"{'id': 1}", b"\xff", b"[1,]", b"[" * 3000, b'{"a": NaN}', b"\x00"])
@sure
async def test_a_body_that_is_not_json_is_refused(world: World, path: str, body: bytes) -> None:
    is_error(await world.request("POST", path, data=body, headers=JSON), 400, "invalid")


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/contact", []),
        ("/contact", [{}]),
        ("/contact", "x"),
        ("/contact", 1),
        ("/contacts", {}),
        ("/contacts", {"contacts": []}),
        ("/contacts", "x"),
        ("/agent", []),
        ("/agent;", 1),
    ],
)
@sure
async def test_json_of_another_shape_is_refused(world: World, path: str, body: Any) -> None:
    is_error(await world.post(path, body), 400, "invalid")


@sure
async def test_an_entry_that_is_no_contact_is_refused_by_its_index(world: World) -> None:
    first = waiting()
    is_error(await world.post("/contacts", [first, 7]), 400, "invalid", index=1)
    await is_unknown(world, first)


# 413


@pytest.mark.parametrize("path", ["/contact", "/contacts", "/agent", "/no/such/path"])
@sure
async def test_an_announced_length_of_more_than_32_mib_is_refused_before_it_is_sent(world: World, path: str) -> None:
    announced = head(f"POST {path} HTTP/1.1", "Content-Type: application/json", f"Content-Length: {MAX_BODY + 1}")
    is_error(await raw(world, announced), 413, "too_large")


@sure
async def test_a_client_that_asks_before_it_sends_too_much_is_not_told_to_go_on(world: World) -> None:
    asked = head("POST /contacts HTTP/1.1", *JSON_LINES, f"Content-Length: {MAX_BODY + 1}", "Expect: 100-continue")
    is_error(await raw(world, asked), 413, "too_large")


@sure
async def test_a_client_that_sends_too_much_all_the_same_still_gets_its_answer(world: World) -> None:
    body = b" " * (MAX_BODY + 1)
    is_error(await world.request("POST", "/contacts", data=body, headers=JSON), 413, "too_large")
    announced = head("POST /contacts HTTP/1.1", *JSON_LINES, f"Content-Length: {len(body)}")
    is_error(await raw(world, announced, body), 413, "too_large")


@sure
async def test_more_than_32_mib_in_chunks_is_refused(world: World) -> None:
    start = head("POST /contacts HTTP/1.1", *JSON_LINES, "Transfer-Encoding: chunked")
    chunk = b"100000\r\n" + b" " * 2**20 + b"\r\n"
    is_error(await raw(world, start, *[chunk] * 33, b"0\r\n\r\n"), 413, "too_large")


@sure
async def test_a_body_without_end_is_cut_off(world: World) -> None:
    start = head("POST /contacts HTTP/1.1", *JSON_LINES, "Transfer-Encoding: chunked")
    chunk = b"1000000\r\n" + b" " * 2**24 + b"\r\n"
    with pytest.raises(OSError, match=r"reset|pipe"):
        await deferToThread(speak, world.dialer.port.getHost().port, start, *[chunk] * 20)
    assert_that((await world.get("/healthz")).status, is_(200))


@sure
async def test_a_body_of_32_mib_is_read(world: World) -> None:
    contact = waiting()
    body = json.dumps([contact]).encode().ljust(MAX_BODY)
    reply = await world.request("POST", "/contacts", data=body, headers=JSON)
    assert_that((reply.status, reply.body), is_((200, {"accepted": 1, "duplicates": 0})))


# 415


@pytest.mark.parametrize(
    "kind",
    [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data",
        "multipart/form-data; boundary=x",
        "application/xml",
        "application/json-patch+json",
        "x",
    ],
)
@pytest.mark.parametrize("path", ["/contact", "/contacts", "/agent", "/agent;"])
@sure
async def test_another_content_type_is_refused_whatever_the_body(world: World, path: str, kind: str) -> None:
    reply = await world.request("POST", path, data=b'{"a": 1}', headers={"Content-Type": kind})
    is_error(reply, 415, "unsupported_media_type", "Content-Type")


@pytest.mark.parametrize("kind", ["application/json", "application/json; charset=utf-8", "Application/JSON;x=y"])
@sure
async def test_json_may_be_announced_with_parameters_and_in_any_case(world: World, kind: str) -> None:
    reply = await world.request("POST", "/contacts", data=b"[]", headers={"Content-Type": kind})
    assert_that((reply.status, reply.body), is_((200, {"accepted": 0, "duplicates": 0})))


# 404 and 405


@pytest.mark.parametrize(
    "path",
    [
        "/contact/a/b",
        "/contacts/x",
        "/agents",
        "/campaign",
        "/campaign/",
        "/campaign/x/pause",
        "/campaign/x/start/",
        "/status/",
        "/favicon.ico",
        "/%ff",
        "/contact/%c3%28",
        "/campaign/%ff/stop",
        "/campaign/a%2Fb/stop",
        "/..%2f..%2fetc/passwd",
        "/<script>",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
@sure
async def test_an_unknown_path_is_answered_in_json(world: World, method: str, path: str) -> None:
    is_error(await raw(world, head(f"{method} {path} HTTP/1.1", "Content-Length: 0")), 404, "not_found")


ALLOWED = {
    "/contact": {"POST"},
    "/contacts": {"POST"},
    "/contact/x": {"GET", "HEAD"},
    "/agent": {"POST"},
    "/agent;": {"POST"},
    "/campaigns": {"GET", "HEAD"},
    "/campaign/x": {"GET", "HEAD"},
    "/campaign/x/start": {"POST"},
    "/campaign/x/stop": {"POST"},
    "/campaign/x/purge": {"POST"},
    "/status": {"GET", "HEAD"},
    "/healthz": {"GET", "HEAD"},
    "/readyz": {"GET", "HEAD"},
}


@pytest.mark.parametrize("path", ALLOWED)
@sure
async def test_a_wrong_method_is_answered_with_those_that_are_allowed(world: World, path: str) -> None:
    for method in {"GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "BREW"} - ALLOWED[path]:
        reply = await world.request(method, path)
        is_error(reply, 405, "method_not_allowed")
        (allow,) = reply.headers.getRawHeaders("Allow")
        assert_that(set(allow.split(", ")), equal_to(ALLOWED[path]))


@pytest.mark.parametrize("host", ["a..b", "x" * 70 + ".example", "\xff\xfe", "[::1]:8080", "my_dialer:abc", ""])
@sure
async def test_any_host_header_is_answered(world: World, host: str) -> None:
    request = f"GET /healthz HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode("latin-1")
    assert_that((await raw(world, request)).status, is_(200))


@pytest.mark.parametrize("contact_id", ["x", "%00", "a%00b", "x" * 500, "%F0%9F%98%80", "%27%20OR%201=1--", "a;b"])
@sure
async def test_an_unknown_contact_or_campaign_is_answered_404(world: World, contact_id: str) -> None:
    is_error(await world.get(f"/contact/{contact_id}"), 404, "not_found", "id")
    is_error(await world.get(f"/campaign/{contact_id}"), 404, "not_found", "campaignId")
    for control in ("start", "stop", "purge"):
        is_error(await world.post(f"/campaign/{contact_id}/{control}"), 404, "not_found", "campaignId")


# duplicates and conflicts


@pytest.mark.parametrize("kind", [waiting, agent])
@sure
async def test_the_same_contact_again_is_a_duplicate_and_stored_once(world: World, kind: Any) -> None:
    name = campaign()
    contact = kind(
        campaignId=name,
        startTime=LATER,
        endTime="2099-01-01T01:00:00+01:00",
        priority=3,
        campaignContactId="x",
        tenantId="t:1",
        schedulingMetadata={"b": [1, None], "a": "ä"},
    )
    assert_that((await world.post("/contact", contact)).body, is_({"accepted": 1, "duplicates": 0}))
    same = in_seed_names(contact) | {
        "start_time": "2099-01-01T02:00:00+02:00",
        "scheduling_metadata": {"a": "ä", "b": [1, None]},
        "status": "ended",
        "unknown": 1,
        "ivr": None,
    }
    for again in (contact, same):
        assert_that((await world.post("/contact", again)).body, is_({"accepted": 0, "duplicates": 1}))
        assert_that((await world.post("/contacts", [again])).body, is_({"accepted": 0, "duplicates": 1}))
    new = waiting(campaignId=name)
    mixed = await world.post("/contacts", [contact, new, same, new])
    assert_that((mixed.status, mixed.body), is_((200, {"accepted": 1, "duplicates": 3})))
    assert_that((await world.get(f"/campaign/{name}")).body["total"], is_(2))


@sure
async def test_a_contact_that_has_moved_on_is_still_a_duplicate(world: World) -> None:
    contact = ivr()
    await world.load(contact)
    await world.until_status(contact, "ended")
    assert_that((await world.post("/contact", contact)).body, is_({"accepted": 0, "duplicates": 1}))
    assert_that(world.attempts(contact), has_length(1))


CHANGES = {
    "customerNumber": "+1",
    "campaignType": "IVR",
    "gatewayId": "gw-9",
    "campaignId": "other",
    "campaignContactId": "other",
    "startTime": "2099-01-01T00:00:01Z",
    "endTime": None,
    "priority": 4,
    "ivr": "1",
    "dialingMode": "PREVIEW",
    "routingMode": "AGENT",
    "resourceId": "other",
    "queueName": "Other",
    "tenantId": None,
    "schedulingMetadata": {"a": 2},
}


@pytest.mark.parametrize("field", CHANGES)
@sure
async def test_the_same_id_with_other_content_is_a_conflict_whatever_differs(world: World, field: str) -> None:
    contact = agent(
        startTime=LATER,
        endTime="2099-02-01T00:00:00Z",
        priority=3,
        campaignContactId="x",
        tenantId="t",
        resourceId="r",
        schedulingMetadata={"a": 1},
    )
    await world.load(contact)
    other = contact | {field: CHANGES[field]}
    new = waiting()
    is_error(await world.post("/contact", other), 409, "conflict", "id")
    is_error(await world.post("/contacts", [new, other]), 409, "conflict", "id", index=1)
    await is_unknown(world, new)
    assert_that((await world.post("/contact", contact)).body, is_({"accepted": 0, "duplicates": 1}))


@sure
async def test_an_id_with_two_contents_in_one_list_is_refused_and_nothing_is_stored(world: World) -> None:
    first, second = waiting(), waiting()
    reply = await world.post("/contacts", [first, second, first | {"priority": 1}])
    is_error(reply, 400, "invalid", "id", index=2)
    await is_unknown(world, first, second)


@sure
async def test_the_same_contacts_posted_at_once_are_stored_once(world: World) -> None:
    name = campaign()
    contacts = [waiting(campaignId=name) for _ in range(30)]
    posts = [world.post("/contacts", contacts[::step]) for step in (1, -1, 1, -1)]
    posts += [world.post("/contact", contact) for contact in contacts[:5]]
    replies = await gatherResults([Deferred.fromCoroutine(post) for post in posts], consumeErrors=True)
    assert_that([reply.status for reply in replies], equal_to([200] * len(posts)))
    assert_that(sum(reply.body["accepted"] for reply in replies), is_(30))
    assert_that((await world.get(f"/campaign/{name}")).body["byStatus"], is_({"pending": 30}))


# lists


@sure
async def test_a_list_of_ten_thousand_is_stored_whole_while_others_are_served_and_one_more_is_refused(
    world: World,
) -> None:
    name = campaign()
    contacts = [waiting(campaignId=name) for _ in range(10_000)]
    posted = Deferred.fromCoroutine(world.post("/contacts", contacts))
    served = 0
    while not posted.called:
        assert_that((await world.get("/healthz")).status, is_(200))
        served += 1
    reply = await posted
    assert_that((reply.status, reply.body), is_((200, {"accepted": 10_000, "duplicates": 0})))
    assert_that(served, is_(greater_than(3)))
    assert_that((await world.get(f"/campaign/{name}")).body["byStatus"], is_({"pending": 10_000}))
    is_error(await world.post("/contacts", [*contacts, waiting()]), 400, "invalid")
    assert_that((await world.post(f"/campaign/{name}/purge")).body, is_({"campaignId": name, "contacts": 10_000}))
    is_error(await world.get(f"/campaign/{name}"), 404, "not_found", "campaignId")


@pytest.mark.parametrize("place", [0, 1, 150, 299])
@sure
async def test_a_list_with_one_bad_row_stores_nothing(world: World, place: int) -> None:
    name = campaign()
    contacts = [waiting(campaignId=name) for _ in range(300)]
    contacts[place]["gatewayId"] = "a b"
    is_error(await world.post("/contacts", contacts), 400, "invalid", "gatewayId", index=place)
    is_error(await world.get(f"/campaign/{name}"), 404, "not_found", "campaignId")


# how a contact is shown

FIELDS = {
    "id",
    "customerNumber",
    "campaignType",
    "gatewayId",
    "campaignId",
    "campaignContactId",
    "startTime",
    "endTime",
    "priority",
    "ivr",
    "dialingMode",
    "routingMode",
    "resourceId",
    "queueName",
    "tenantId",
    "schedulingMetadata",
    "status",
    "callResult",
    "receivedTime",
    "dialTime",
    "endedTime",
}
ISO_UTC = r"\A\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z\Z"


@sure
async def test_a_contact_is_shown_with_every_field_and_times_in_utc(world: World) -> None:
    posted = agent(
        startTime="2099-01-01T01:30:00.25+01:30",
        endTime="20990201T000000Z",
        priority=7,
        campaignContactId="cc é",
        resourceId="r:1",
        tenantId="t:1",
        ivr="*1",
        schedulingMetadata={"a": [1.5, {"b": None}]},
    )
    before = datetime.now(UTC)
    await world.load(posted)
    shown = await world.contact(posted)
    assert_that(set(shown), equal_to(FIELDS))
    own = {"status": "pending", "callResult": None, "dialTime": None, "endedTime": None}
    times = {"startTime": "2099-01-01T00:00:00.250000Z", "endTime": "2099-02-01T00:00:00Z"}
    assert_that(shown, has_entries(posted | own | times))
    assert_that(shown["receivedTime"], matches_regexp(ISO_UTC))
    received = datetime.fromisoformat(shown["receivedTime"])
    assert_that(before <= received <= datetime.now(UTC), is_(True), shown["receivedTime"])
    assert_that((await world.post("/contact", shown)).body, is_({"accepted": 0, "duplicates": 1}))


@sure
async def test_a_contact_posted_in_snake_case_is_shown_in_camel_case(world: World) -> None:
    posted = agent(startTime=LATER, resourceId="r", tenantId="t", campaignContactId="x", schedulingMetadata={"a": 1})
    seed = in_seed_names(posted)
    assert_that(set(seed) & {"customerNumber", "dialingMode", "startTime"}, is_(empty()))
    assert_that((await world.post("/contact", seed)).body, is_({"accepted": 1, "duplicates": 0}))
    shown = await world.contact(posted)
    assert_that(set(shown), equal_to(FIELDS))
    assert_that(shown, has_entries(posted))


@sure
async def test_what_belongs_to_the_dialer_is_ignored_when_posted(world: World) -> None:
    posted = waiting(status="ended", callResult="X", receivedTime="2000-01-01T00:00:00Z", dialTime=7, taking=3, owner=1)
    await world.load(posted)
    shown = await world.contact(posted)
    assert_that(shown, has_entries(status="pending", callResult=None, dialTime=None))
    assert_that(shown["receivedTime"], matches_regexp(r"\A20[2-9]"))


@sure
async def test_a_contact_that_was_called_shows_when(world: World) -> None:
    contact = ivr()
    await world.load(contact)
    shown = await world.until_status(contact, "ended")
    assert_that(shown["dialTime"], matches_regexp(ISO_UTC))
    assert_that(shown["endedTime"], matches_regexp(ISO_UTC))
    times = [datetime.fromisoformat(shown[name]) for name in ("receivedTime", "dialTime", "endedTime")]
    assert_that(times, equal_to(sorted(times)))
    assert_that(shown["callResult"], is_("NORMAL_CLEARING"))


# campaigns


@sure
async def test_campaigns_are_counted_by_status_and_by_call_result(world: World) -> None:
    name, other = campaign(), campaign()
    called = [ivr(campaignId=name), ivr(campaignId=name, gatewayId="gw-none")]
    await world.load(*called, *(waiting(campaignId=name) for _ in range(3)), waiting(campaignId=other))
    await world.until_status(called[0], "ended")
    await world.until_status(called[1], "failed")
    expected = {
        "campaignId": name,
        "total": 5,
        "byStatus": {"pending": 3, "ended": 1, "failed": 1},
        "byCallResult": {"NORMAL_CLEARING": 1, "Invalid Gateway": 1},
    }
    assert_that((await world.get(f"/campaign/{name}")).body, equal_to(expected))
    listed = (await world.get("/campaigns")).body
    assert_that(set(listed), equal_to({"campaigns"}))
    assert_that(listed["campaigns"], has_item(expected))
    names = [entry["campaignId"] for entry in listed["campaigns"]]
    assert_that((len(names), other in names), is_((len(set(names)), True)))
    assert_that({tuple(sorted(entry)) for entry in listed["campaigns"]}, is_({tuple(sorted(expected))}))


@sure
async def test_start_stop_and_purge_tell_how_many_contacts_changed(world: World) -> None:
    name = campaign()
    done = ivr(campaignId=name)
    await world.load(done, *(waiting(campaignId=name) for _ in range(4)))
    await world.until_status(done, "ended")

    async def control(what: str) -> Any:
        reply = await world.post(f"/campaign/{name}/{what}")
        assert_that(reply.status, is_(200))
        assert_that(reply.body, has_entries(campaignId=name))
        return reply.body["contacts"]

    changed = [(what, await control(what)) for what in ("start", "stop", "stop", "purge", "start", "purge", "purge")]
    assert_that(
        changed,
        equal_to([("start", 0), ("stop", 4), ("stop", 0), ("purge", 0), ("start", 4), ("purge", 4), ("purge", 0)]),
    )
    assert_that((await world.get(f"/campaign/{name}")).body["byStatus"], is_({"ended": 1}))


@sure
async def test_a_campaign_may_have_any_name_that_contacts_may_have(world: World) -> None:
    name = "A.1_b:2-" + "z" * 32
    await world.load(waiting(campaignId=name))
    for path in (name, name.replace(":", "%3A")):
        assert_that((await world.get(f"/campaign/{path}")).body["campaignId"], is_(name))
    assert_that((await world.post(f"/campaign/{name}/purge")).body["contacts"], is_(1))


# status


@sure
async def test_status_counts_the_calls_under_way_and_says_what_is_up(world: World) -> None:
    await world.until(lambda: idle(world), "nothing under way")
    usual, world.switch.rules = world.switch.rules, Rules([Rule(ring=60)])
    world.vc.behave("reply", "silent")
    try:
        contacts = [ivr(), ivr(), agent(customerNumber="+447700900456"), waiting()]
        await world.load(*contacts)
        for contact in contacts[:2]:
            await world.until_status(contact, "dialed")
        await world.until_status(contacts[2], "agent_pending")
        reply = await world.get("/status")
        assert_that(reply.status, is_(200))
        assert_that(
            reply.body,
            has_entries(
                maxConcurrentCalls=7,
                activeCalls=3,
                freeSlots=4,
                callsPerSecond=150.5,
                database="up",
                efswitch="up",
                voiceConnector="up",
                totalActiveCalls=3,
            ),
        )
    finally:
        world.switch.rules = usual
        world.vc.behaviours.reset()
        world.switch.calls.kill_all("NORMAL_CLEARING")
    assert_that((await world.post("/agent", {"uuid": contacts[2]["id"], "agent": ""})).status, is_(200))
    await world.until(lambda: idle(world), "the slots to be free again")


async def idle(world: World) -> bool:
    body = (await world.get("/status")).body
    return (body["activeCalls"], body["freeSlots"], body["totalActiveCalls"]) == (0, 7, 0)


@sure
async def test_a_healthy_dialer_that_can_dial_says_so(world: World) -> None:
    assert_that((await world.get("/healthz")).status, is_(200))
    reply = await world.get("/readyz")
    assert_that((reply.status, reply.body), is_((200, {"ready": True, "reasons": []})))


@sure
async def test_readyz_and_status_tell_of_a_switch_that_is_gone_and_of_its_return(world: World) -> None:
    address = f"127.0.0.1:{world.switch_port.getHost().port}"
    world.switch.shut_down(now=True)
    await world.until_ready(False)
    reply = await world.get("/readyz")
    assert_that(reply.body["ready"], is_(False))
    (reason,) = reply.body["reasons"]
    assert_that(reason, contains_string(address))
    assert_that((await world.get("/status")).body, has_entries(efswitch="down", database="up"))
    assert_that((await world.get("/healthz")).status, is_(200))
    world.switch.restart()
    await world.until_ready()
    assert_that((await world.get("/status")).body, has_entries(efswitch="up"))


# a client that goes away


async def gone_after(world: World, *pieces: bytes, abort: bool = False) -> None:
    """Send these bytes, then close without waiting for an answer."""

    def say() -> None:
        with socket.create_connection(("127.0.0.1", world.dialer.port.getHost().port), timeout=10) as connection:
            for piece in pieces:
                connection.sendall(piece)
            if abort:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    await deferToThread(say)


@pytest.mark.parametrize("abort", [False, True], ids=["closed", "reset"])
@sure
async def test_a_client_that_goes_away_in_mid_body_stores_nothing_and_is_no_error(world: World, abort: bool) -> None:
    contact = waiting()
    body = json.dumps([contact]).encode()
    with listening() as heard:
        await gone_after(
            world, head("POST /contacts HTTP/1.1", *JSON_LINES, f"Content-Length: {len(body) + 1}"), body, abort=abort
        )
        chunked = b"%x\r\n%s\r\n" % (len(body), body)
        await gone_after(
            world, head("POST /contacts HTTP/1.1", *JSON_LINES, "Transfer-Encoding: chunked"), chunked, abort=abort
        )
        await is_unknown(world, contact)
    assert_that(heard.errors(), is_(empty()))


@sure
async def test_what_a_client_sent_whole_is_done_whole_though_it_does_not_wait_for_the_answer(world: World) -> None:
    name = campaign()
    contacts = [waiting(campaignId=name) for _ in range(2_000)]
    body = json.dumps(contacts).encode()
    with listening() as heard:
        await gone_after(world, head("POST /contacts HTTP/1.1", *JSON_LINES, f"Content-Length: {len(body)}"), body)

        async def counted() -> Any:
            reply = await world.get(f"/campaign/{name}")
            assert_that(reply.body, is_(reply.body if reply.status == 404 else has_entries(total=2_000)))
            return reply.status == 200

        await world.until(counted, "the list")
        await gone_after(world, head(f"POST /campaign/{name}/purge HTTP/1.1", "Content-Length: 0"))

        async def purged() -> bool:
            return (await world.get(f"/campaign/{name}")).status == 404

        await world.until(purged, "the purge")
    assert_that(heard.errors(), is_(empty()))


@sure
async def test_a_vc_that_does_not_wait_for_the_answer_to_its_reply_has_it_acted_on_once(world: World) -> None:
    world.vc.behave("reply", "silent", next=1)
    contact = agent()
    await world.load(contact)
    await world.until_status(contact, "agent_pending")
    world.switch.faults.delay = 0.1
    body = json.dumps({"uuid": contact["id"], "agent": "1005", "queue": "Sales"}).encode()
    with listening() as heard:
        await gone_after(world, head("POST /agent HTTP/1.1", *JSON_LINES, f"Content-Length: {len(body)}"), body)
        await world.until_told(contact)
        world.switch.faults.delay = 0.0
        again = await world.request("POST", "/agent", data=body, headers=JSON)
    assert_that((again.status, again.body["status"]), is_((200, "ended")))
    assert_that(world.attempts(contact), has_length(1))
    assert_that((heard.errors(), world.end_chats(contact)), is_(([], [])))


@sure
async def test_requests_on_one_connection_are_answered_one_after_the_other(world: World) -> None:
    ask = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
    last = head("GET /nowhere HTTP/1.1")
    heard = await deferToThread(speak, world.dialer.port.getHost().port, ask + ask + last)
    assert_that(re.findall(rb"HTTP/1.1 (\d+)", heard), is_([b"200", b"200", b"404"]))
