"""The description of the interface as it is served, and the page of it."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from typing import Any

import pytest
import pytest_twisted
from attrs import Factory, define
from hamcrest import (
    assert_that,
    contains_string,
    empty,
    equal_to,
    greater_than,
    has_item,
    has_length,
    is_,
    is_in,
    not_,
    starts_with,
)

from dialer.web.page import render
from tests.service import shared
from tests.service.world import World, agent
from tests.web.contract import contract

sure = pytest_twisted.ensureDeferred
logged_failures = shared.logged_failures
world = shared.world

ENVIRONMENT: dict[str, str] = {}


@define
class Page(HTMLParser):
    """The elements of a page, and where its links go."""

    elements: list[tuple[str, dict[str, str | None]]] = Factory(list)
    text: str = ""

    def __attrs_pre_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def values(self, name: str) -> list[str]:
        """All values of an attribute, whatever has it."""
        return [value for _, attributes in self.elements if (value := attributes.get(name)) is not None]

    @classmethod
    def of(cls, html: str) -> Page:
        page = cls()
        page.feed(html)
        page.close()
        return page


async def served(world: World, path: str, content_type: str) -> Any:
    reply = await world.get(path)
    assert_that(reply.status, is_(200))
    assert_that(reply.headers.getRawHeaders("content-type"), equal_to([content_type]))
    assert_that(reply.headers.getRawHeaders("x-content-type-options"), equal_to(["nosniff"]))
    return reply


@sure
async def test_the_document_is_served_as_it_was_made(world: World) -> None:
    reply = await served(world, "/openapi.json", "application/json; charset=utf-8")
    assert_that(json.dumps(reply.body), equal_to(json.dumps(contract().document)))


@sure
async def test_the_page_names_every_path_every_webhook_and_every_schema(world: World) -> None:
    page = Page.of((await served(world, "/docs", "text/html; charset=utf-8")).body)
    for path, methods in contract().document["paths"].items():
        for method in methods:
            assert_that(page.text, contains_string(f"{method.upper()} {path}"))
    for name in contract().document["webhooks"]:
        assert_that(page.text, contains_string(name))
    for name, schema in contract().document["components"]["schemas"].items():
        assert_that(page.values("id"), has_item(f"schema-{name}"))
        for field in schema.get("properties", ()):
            assert_that(page.text, contains_string(field))
    assert_that(page.values("name"), has_item("viewport"))


@sure
async def test_the_page_needs_no_script_no_inline_style_and_no_other_host(world: World) -> None:
    reply = await world.get("/docs")
    (policy,) = reply.headers.getRawHeaders("content-security-policy")
    assert_that(policy, starts_with("default-src 'none'; style-src 'self';"))
    assert_that(policy, not_(contains_string("unsafe")))
    page = Page.of(reply.body)
    tags = {tag for tag, _ in page.elements}
    assert_that(tags & {"script", "style", "img", "iframe", "object", "embed", "form", "base"}, is_(empty()))
    attributes = {name for _, attributes in page.elements for name in attributes}
    assert_that([name for name in attributes if name.startswith("on") or name in ("style", "src")], is_(empty()))
    links = {link for link in page.values("href") if not link.startswith("#")}
    assert_that(links, equal_to({"docs/style.css", "openapi.json"}))


@sure
async def test_each_link_within_the_page_leads_somewhere_and_each_place_is_there_once(world: World) -> None:
    page = Page.of((await world.get("/docs")).body)
    places = page.values("id")
    assert_that(places, has_length(len(set(places))))
    within = [link.removeprefix("#") for link in page.values("href") if link.startswith("#")]
    assert_that(within, has_length(greater_than(60)))
    for link in within:
        assert_that(link, is_in(places))


@sure
async def test_the_style_sheet_is_served_and_knows_the_dark_and_narrow_screens(world: World) -> None:
    style = (await served(world, "/docs/style.css", "text/css; charset=utf-8")).body
    assert_that(style, contains_string("prefers-color-scheme: dark"))
    assert_that(style, contains_string("min-width"))
    assert_that(re.findall(r"url\(|@import|//", style), is_(empty()))


def test_text_that_tries_to_be_html_stays_text_on_the_page() -> None:
    hostile = "<script>alert(1)</script><img src=x onerror=alert(1)> [x](javascript:alert(1))"
    document = json.loads(json.dumps(contract().document))
    document["info"]["description"] = hostile
    document["paths"]["/contact"]["post"]["summary"] = hostile
    document["components"]["schemas"]["Contact"]["description"] = hostile
    document["components"]["schemas"]["Contact"]["properties"]["id"]["pattern"] = hostile
    document["components"]["schemas"]["Contact"]["examples"] = [{"id": hostile}]
    page = Page.of(render(document))
    assert_that({tag for tag, _ in page.elements} & {"script", "img"}, is_(empty()))
    assert_that([link for link in page.values("href") if link.startswith("javascript")], is_(empty()))
    assert_that(page.text.count("<script>alert(1)</script>"), is_(5))


@sure
async def test_what_the_voice_connector_gets_is_what_is_described(world: World) -> None:
    contact = agent(tenantId="tenant-1", priority=7)
    await world.load(contact)
    await world.until_told(contact)
    gone = agent(gatewayId="nowhere", customerNumber="+447700900999")
    await world.load(gone)
    await world.until_told(gone)
    await world.until(lambda: world.end_chats(gone), "the END_CHAT")
    records = world.vc.records(lambda record: record.direction == "in")
    described = {f"/{name}" for name in contract().document["webhooks"]}
    # The VC does not get it: tests/service/test_webhooks.py.
    assert_that({record.path for record in records}, equal_to(described - {"/contact-event"}))
    for record in records:
        contract().sent(record.path, record.headers, record.body)
        with pytest.raises(AssertionError):
            contract().sent(record.path, record.headers, record.body | {"more": 1})
