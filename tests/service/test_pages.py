"""What stands behind the pages, over real HTTP: the pages themselves, the stream of events, contacts in pages."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from hamcrest import (
    assert_that,
    contains_string,
    empty,
    equal_to,
    greater_than,
    has_entries,
    has_key,
    has_length,
    is_,
    matches_regexp,
    not_,
)
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint, connectProtocol
from twisted.internet.protocol import Protocol

import dialer.web
from dialer import live
from tests.service import shared
from tests.service.world import Reply, World, ivr

sure = pytest_twisted.ensureDeferred
logged_failures = shared.logged_failures
world = shared.world

ENVIRONMENT: dict[str, str] = {}

STATIC = Path(dialer.web.__file__).parent / "static"
LATER = "2031-01-01T09:00:00Z"


def header(reply: Reply, name: str) -> str:
    """The value of a header that is there once."""
    (value,) = reply.headers.getRawHeaders(name)
    return str(value)


# the pages


@pytest.mark.parametrize("path", ["/", "/ui/campaign/spring", "/ui/contact/c1", "/ui/static/api.js"])
@sure
async def test_every_file_says_what_a_browser_may_do_with_it(world: World, path: str) -> None:
    reply = await world.get(path)
    assert_that(reply.status, is_(200))
    policy = dict(part.strip().split(" ", 1) for part in header(reply, "Content-Security-Policy").split(";"))
    assert_that(policy, has_entries({"default-src": "'self'", "frame-ancestors": "'none'", "object-src": "'none'"}))
    assert_that(" ".join(policy.values()), not_(contains_string("unsafe")))
    assert_that(header(reply, "X-Content-Type-Options"), is_("nosniff"))
    assert_that(header(reply, "Referrer-Policy"), is_("no-referrer"))
    assert_that(header(reply, "Cache-Control"), is_("no-cache"))


@sure
async def test_a_browser_that_has_a_file_is_not_sent_it_again(world: World) -> None:
    tag = header(await world.get("/ui/static/style.css"), "ETag")
    again = await world.request("GET", "/ui/static/style.css", headers={"If-None-Match": tag})
    assert_that((again.status, again.body), equal_to((304, "")))
    other = await world.request("GET", "/ui/static/style.css", headers={"If-None-Match": '"other"'})
    assert_that(other.status, is_(200))


@pytest.mark.parametrize("name", sorted(file.name for file in STATIC.iterdir()))
def test_no_file_names_another_host_or_has_script_style_or_markup_in_the_wrong_place(name: str) -> None:
    text = (STATIC / name).read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
    assert_that(re.findall(r"(?:https?:)?//[\w.]+\.\w+", text), empty())
    if name.endswith(".html"):
        assert_that(re.findall(r"<style|<script(?![^>]* src=)|\son\w+=|\sstyle=", text), empty())
    if name.endswith(".js"):
        assert_that(re.findall(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", text), empty())


@pytest.mark.parametrize("name", sorted(file.name for file in STATIC.glob("*.js") if file.name != "api.js"))
def test_one_module_alone_speaks_to_the_dialer(name: str) -> None:
    text = (STATIC / name).read_text(encoding="utf-8")
    assert_that(re.findall(r"\bfetch\(|new EventSource|XMLHttpRequest", text), empty())


@pytest.mark.parametrize("name", ["nothing.js", "dashboard.html", "..%2fpages.py", "%2e%2e"])
@sure
async def test_what_is_no_file_of_the_pages_is_not_found(world: World, name: str) -> None:
    assert_that((await world.get(f"/ui/static/{name}")).status, is_(404))


# the events


class Events(Protocol):
    """A client of the stream; `next` fires with the next event that has come."""

    def __init__(self) -> None:
        self._text = b""
        self._waiting: list[Deferred[None]] = []
        self.head = ""
        self.ended = False

    def dataReceived(self, data: bytes) -> None:
        self._text += data
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            each.callback(None)

    def connectionLost(self, reason: Any = None) -> None:
        self.ended = True

    async def block(self, end: bytes = b"\n\n") -> str:
        while end not in self._text:
            self._waiting.append(Deferred())
            await self._waiting[-1]
        found, _, self._text = self._text.partition(end)
        return found.decode()

    async def next(self, *names: str) -> dict[str, Any]:
        """The value of the next event of one of these names."""
        while True:
            block = await self.block()
            if (found := re.search(r"event: (\w+)\ndata: (.*)$", block)) and found[1] in names:
                return dict(json.loads(found[2]), event=found[1])


@asynccontextmanager
async def stream(world: World) -> AsyncIterator[Events]:
    """A client that reads the stream."""
    port = world.dialer.port.getHost().port
    events: Any = await connectProtocol(HostnameEndpoint(reactor, "127.0.0.1", port), Events())
    events.transport.write(b"GET /events HTTP/1.1\r\nHost: dialer\r\n\r\n")
    events.head = await events.block(b"\r\n\r\n")
    try:
        yield events
    finally:
        events.transport.abortConnection()


@sure
async def test_the_stream_tells_everything_first_and_then_what_changes(world: World) -> None:
    await world.load(ivr(campaignId="told", startTime=LATER))
    async with stream(world) as events:
        assert_that(events.head, contains_string("text/event-stream"))
        assert_that(events.head, contains_string("no-store"))
        assert_that(await events.block(), matches_regexp(r"retry: \d+$"))
        whole = await events.next("whole")
        assert_that(whole["campaigns"], has_entries(told=has_entries(total=1, byStatus={"pending": 1})))
        facts = ("dialer", "status", "rate", "switches", "gateways", "voiceConnector", "alarms", "outcomes", "database")
        for fact in facts:
            assert_that(whole["facts"], has_key(fact))
        await world.post("/campaign/told/stop")
        while "told" not in (change := await events.next("change"))["campaigns"]:
            pass
        assert_that(change["campaigns"]["told"]["byStatus"], equal_to({"stopped": 1}))


@sure
async def test_the_stream_says_that_a_campaign_is_gone(world: World) -> None:
    await world.load(ivr(campaignId="purged", startTime=LATER))
    async with stream(world) as events:
        await events.next("whole")
        await world.post("/campaign/purged/purge")
        while "purged" not in (await events.next("change"))["gone"]:
            pass


@sure
async def test_as_many_as_may_look_are_served_and_the_next_is_told_to_come_later(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "MOST", 2)
    async with stream(world) as one, stream(world) as other:
        reply = await world.get("/events")
        assert_that((await one.next("whole"))["event"], equal_to((await other.next("whole"))["event"]))
    assert_that((reply.status, reply.body["error"]["code"]), equal_to((503, "too_many")))


@sure
async def test_who_reads_nothing_costs_no_more_than_one_event_and_nobody_else_waits(world: World) -> None:
    # Large enough that what the sockets hold is less than one event.
    await world.load(*(ivr(campaignId=f"wide-{n:04}", startTime=LATER) for n in range(1000)))
    async with stream(world) as slow, stream(world) as other:
        await other.next("whole")
        slow.transport.pauseProducing()  # type: ignore[union-attr]
        for round_ in range(3):
            await world.load(ivr(campaignId=f"more-{round_}", startTime=LATER))
            while f"more-{round_}" not in (await other.next("change"))["campaigns"]:
                pass
        slow.transport.resumeProducing()  # type: ignore[union-attr]
        known = (await slow.next("whole"))["campaigns"]
        while "more-2" not in known:
            known |= (await slow.next("change"))["campaigns"]
        assert_that(len(known), greater_than(1000))


# contacts in pages


@sure
async def test_a_campaigns_contacts_come_in_pages_by_state_and_result(world: World) -> None:
    ids = [f"page-{n}" for n in range(5)]
    await world.load(*(ivr(campaignId="pages", id=each, startTime=LATER) for each in ids))
    called = ivr(campaignId="pages", id="page-called", campaignContactId="<b>", priority=3)
    await world.load(called)
    await world.until_status(called, "ended")
    path = "/campaign/pages/contacts"
    first = (await world.get(f"{path}?limit=4")).body
    assert_that(([each["id"] for each in first["contacts"]], first["campaignId"]), equal_to((ids[:4], "pages")))
    rest = (await world.get(f"{path}?limit=4&after={first['next']}")).body
    assert_that(([each["id"] for each in rest["contacts"]], rest["next"]), equal_to(([ids[4], "page-called"], None)))
    (ended,) = (await world.get(f"{path}?status=ended&result=NORMAL_CLEARING")).body["contacts"]
    whole = await world.contact(called)
    assert_that({name: whole[name] for name in ended}, equal_to(ended))
    assert_that(ended, has_entries(id="page-called", priority=3, campaignContactId="<b>", status="ended"))
    assert_that((await world.get(f"{path}?status=failed")).body["contacts"], empty())


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("status=removed", "status"),
        ("status=", "status"),
        (f"result={'x' * 41}", "result"),
        ("result=%00", "result"),
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("after=-1", "after"),
        ("after=x", "after"),
    ],
)
@sure
async def test_a_page_that_cannot_be_is_refused(world: World, query: str, field: str) -> None:
    reply = await world.get(f"/campaign/pages/contacts?{query}")
    assert_that((reply.status, reply.body["error"]["field"]), equal_to((400, field)))


@pytest.mark.parametrize("campaign", ["nobody", "%00"])
@sure
async def test_the_contacts_of_a_campaign_that_nobody_knows_are_not_found(world: World, campaign: str) -> None:
    assert_that((await world.get(f"/campaign/{campaign}/contacts")).status, is_(404))


@sure
async def test_the_outcomes_are_told_for_each_minute_of_the_last_hour(world: World) -> None:
    contact = ivr(campaignId="minutes", gatewayId="gw-none")
    await world.load(contact)
    await world.until_status(contact, "failed")

    async def counted() -> bool:
        minutes = (await world.get("/outcomes")).body["minutes"]
        assert_that(minutes, has_length(60))
        return any("Invalid Gateway" in minute["byCallResult"] for minute in minutes)

    await world.until(counted, "its minute")
