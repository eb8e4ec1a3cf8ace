"""A campaign's results as a file: every format, every contact once, no formula, by index."""

from __future__ import annotations

import csv
import io
import json
from typing import Any
from unittest.mock import patch

import psycopg2
import pytest
import pytest_twisted
from hamcrest import (
    assert_that,
    contains_exactly,
    equal_to,
    has_entries,
    has_length,
    less_than_or_equal_to,
)

from dialer.store.queries import sql
from dialer.store.results import PAGE, ResultStore
from dialer.web.results import accepted_format
from dialer.web.schema import SHOWN
from tests.service import shared
from tests.service.lists import HEADER, LATER, campaign, rows, upload
from tests.service.world import Reply, World, agent, ivr

sure = pytest_twisted.ensureDeferred
logged_failures = shared.logged_failures
world = shared.world

ENVIRONMENT: dict[str, str] = {}


async def results(world: World, campaign_id: str, query: str = "", accept: str = "*/*") -> Reply:
    return await world.request("GET", f"/campaign/{campaign_id}/results{query}", headers={"Accept": accept})


def table(reply: Reply) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(reply.body, newline="")))


@sure
async def test_all_contacts_are_told_with_what_became_of_them_as_csv_json_and_json_lines(world: World) -> None:
    name = campaign()
    called = ivr(campaignId=name, schedulingMetadata={"a": "ü;\n"})
    waiting = agent(campaignId=name, startTime=LATER, priority=3)
    await world.load(called, waiting)
    await world.until_status(called, "ended")
    told = [await world.contact(called), await world.contact(waiting)]

    reply = await results(world, name)
    assert_that((reply.status, reply.body), equal_to((200, told)))
    assert_that(reply.headers.getRawHeaders("Content-Type"), equal_to(["application/json"]))
    assert_that(reply.headers.getRawHeaders("Content-Disposition"), equal_to([f'attachment; filename="{name}.json"']))

    reply = await results(world, name, accept="application/x-ndjson")
    assert_that([json.loads(line) for line in reply.body.splitlines()], equal_to(told))

    reply = await results(world, name, "?format=csv", accept="application/json")
    assert_that(reply.headers.getRawHeaders("Content-Type"), equal_to(["text/csv; charset=utf-8; header=present"]))
    assert_that(reply.headers.getRawHeaders("Content-Disposition"), equal_to([f'attachment; filename="{name}.csv"']))
    first, second = table(reply)
    assert_that(list(first), equal_to(list(SHOWN)))
    assert_that(first, has_entries(status="ended", callResult="NORMAL_CLEARING", endedTime=told[0]["endedTime"]))
    assert_that(json.loads(first["schedulingMetadata"]), equal_to({"a": "ü;\n"}))
    assert_that(second, has_entries(status="pending", callResult="", priority="3", startTime=LATER))


@sure
async def test_every_contact_is_told_once_and_those_that_come_meanwhile_are_left_out(world: World) -> None:
    name, many = campaign(), 2 * PAGE + 7
    await upload(world, HEADER + rows(name, range(many)))
    page = ResultStore.page
    pages = []

    async def paged(self: ResultStore, *arguments: Any, **asked: Any) -> Any:
        if not pages:
            await upload(world, HEADER + rows(name, range(many, many + 5)))
        pages.append(await page(self, *arguments, **asked))
        return pages[-1]

    with patch.object(ResultStore, "page", paged):
        reply = await results(world, name)
    ids = [contact["id"] for contact in reply.body]
    assert_that(ids, equal_to([f"{name[:30]}-{number}" for number in range(many)]))
    assert_that([len(each.contacts) for each in pages], equal_to([PAGE, PAGE, 7]))


@sure
async def test_those_of_one_status_are_told_alone(world: World) -> None:
    name = campaign()
    called = ivr(campaignId=name)
    await world.load(called, *(ivr(campaignId=name, startTime=LATER) for _ in range(PAGE + 1)))
    await world.until_status(called, "ended")
    reply = await results(world, name, "?status=ended")
    assert_that([contact["id"] for contact in reply.body], contains_exactly(called["id"]))
    assert_that((await results(world, name, "?status=pending")).body, has_length(PAGE + 1))
    assert_that((await results(world, name, "?status=failed")).body, equal_to([]))
    assert_that(table(await results(world, name, "?status=failed&format=csv")), equal_to([]))


@sure
async def test_no_cell_of_the_csv_is_a_formula(world: World) -> None:
    name = campaign()
    await world.load(
        ivr(campaignId=name, startTime=LATER, customerNumber="+1*2", campaignContactId='=HYPERLINK("http://x")'),
        ivr(campaignId=name, startTime=LATER, customerNumber="+447700900123", campaignContactId="@a", ivr="-A1"),
    )
    first, second = table(await results(world, name, "?format=csv"))
    assert_that(first, has_entries(customerNumber="'+1*2", campaignContactId='\'=HYPERLINK("http://x")'))
    assert_that(second, has_entries(customerNumber="+447700900123", campaignContactId="'@a", ivr="'-A1"))
    told = (await results(world, name)).body
    assert_that([contact["customerNumber"] for contact in told], contains_exactly("+1*2", "+447700900123"))


@sure
async def test_results_can_be_uploaded_as_they_are(world: World) -> None:
    name = campaign()
    await world.load(
        ivr(campaignId=name, startTime=LATER, campaignContactId="=1", schedulingMetadata={"a": 1}, priority=2),
        agent(campaignId=name, startTime=LATER),
    )
    reply = await results(world, name, "?format=csv")
    again = await upload(world, reply.body.encode())
    assert_that(again.body, has_entries(accepted=0, duplicates=2, rejected=0))


@pytest.mark.parametrize(
    ("query", "accept", "status", "field"),
    [
        ("?format=xml", "*/*", 400, "format"),
        ("?status=removed", "*/*", 400, "status"),
        ("", "image/png", 406, "Accept"),
    ],
)
@sure
async def test_what_cannot_be_given_is_refused(world: World, query: str, accept: str, status: int, field: str) -> None:
    reply = await results(world, "any", query, accept)
    assert_that((reply.status, reply.body["error"]["field"]), equal_to((status, field)))


@sure
async def test_a_campaign_that_nobody_knows_has_no_results(world: World) -> None:
    for name in ("nobody", "a%00b"):
        reply = await results(world, name)
        assert_that((reply.status, reply.body["error"]["field"]), equal_to((404, "campaignId")))


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        (None, "json"),
        ("", "json"),
        ("*/*", "json"),
        ("text/html,application/xhtml+xml,*/*;q=0.8", "json"),
        ("text/csv", "csv"),
        ("TEXT/CSV; header=present", "csv"),
        ("text/*, application/json;q=0.5", "csv"),
        ("application/json;q=0.5, application/x-ndjson", "ndjson"),
        ("text/csv;q=0, application/json", "json"),
    ],
)
def test_the_most_welcome_format_is_given(accept: str | None, kind: str) -> None:
    assert_that(accepted_format(accept), equal_to(kind))


def test_a_page_is_read_by_index_however_many_contacts_there_are(world: World) -> None:
    with psycopg2.connect(world._conninfo) as connection, connection.cursor() as cursor:
        cursor.execute(
            """INSERT INTO contacts (id, customer_number, campaign_type, gateway_id, campaign_id, start_time)
            SELECT 'e-' || n, '1', 'IVR', 'gw-1', 'explained-' || n %% 2, '2099-01-01'
            FROM generate_series(1, %s) AS n""",
            (10_000,),
        )
        cursor.execute("ANALYZE contacts")
        cursor.execute("SELECT max(arrival) FROM contacts")
        (last,) = cursor.fetchone()
        asked = {"campaign_id": "explained-1", "after": 5000, "upto": last, "status": "ended", "limit": PAGE}
        for query in ("campaign_page", "campaign_last"):
            cursor.execute("EXPLAIN (ANALYZE, FORMAT JSON) " + sql(query), asked)
            (((plan,),),) = (cursor.fetchall(),)
            scans = list(_scans(plan[0]["Plan"]))
            assert_that([scan["Index Name"] for scan in scans], equal_to(["contacts_by_campaign"]))
            assert_that(scans[0]["Actual Rows"], less_than_or_equal_to(PAGE))
        connection.rollback()


def _scans(node: dict[str, Any]) -> Any:
    """The nodes of a plan that read a table."""
    if "Relation Name" in node:
        yield node
    for each in node.get("Plans", ()):
        yield from _scans(each)
