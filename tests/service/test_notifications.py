"""What the VC does not have, over real HTTP: listed, and sent again when somebody says so."""

from __future__ import annotations

from typing import Any

import pytest
import pytest_twisted
from hamcrest import (
    assert_that,
    contains_exactly,
    contains_string,
    equal_to,
    has_entries,
    has_length,
    is_,
    matches_regexp,
    none,
)

from dialer.web.notifications import LARGEST_PAGE
from dialer.web.query import LARGEST_ID
from tests.service import shared
from tests.service.world import Reply, World, agent, ivr

sure = pytest_twisted.ensureDeferred
logged_failures = shared.logged_failures
world = shared.world

ENVIRONMENT: dict[str, str] = {}

ISO_UTC = r"\A\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z\Z"


async def listed(world: World, query: str = "") -> list[dict[str, Any]]:
    """One page."""
    reply = await world.get(f"/notifications{query}")
    assert_that(reply.status, is_(200), str(reply))
    return reply.body["notifications"]


async def until_listed(world: World, state: str, *contacts: dict[str, Any]) -> list[dict[str, Any]]:
    """Wait until each of these contacts has a message in this state; those messages, by id."""
    ids = {contact["id"] for contact in contacts}

    async def found() -> list[dict[str, Any]]:
        messages = [m for m in await listed(world, f"?state={state}&limit=1000") if m["contactId"] in ids]
        return messages if {message["contactId"] for message in messages} == ids else []

    return await world.until(found, f"a {state} message of each")


async def parked(world: World, *contacts: dict[str, Any]) -> list[dict[str, Any]]:
    """The messages of these contacts, which the VC has refused for good."""
    world.vc.behave("notification", "refuse", status=400)
    await world.load(*contacts)
    messages = await until_listed(world, "parked", *contacts)
    world.vc.behave("notification", "accept")
    return messages


def keys(world: World, contact: dict[str, Any]) -> list[str]:
    """The Idempotency-Key of each notification of a contact that reached the VC, taken or not."""
    told = world.vc.records(lambda r: r.path == "/send-delivery-notification" and r.contact_id == contact["id"])
    return [record.headers["idempotency-key"] for record in told]


def is_refused(reply: Reply, status: int, code: str, field: str, says: str) -> None:
    assert_that(reply.status, is_(status))
    assert_that(reply.body["error"], has_entries(code=code, field=field, message=contains_string(says)))


# listing


@sure
async def test_a_notification_that_the_vc_refused_is_listed_with_all_that_is_known(world: World) -> None:
    contact = ivr(campaignId="refused")
    (message,) = await parked(world, contact)
    assert_that(
        message,
        equal_to(
            {
                "id": message["id"],
                "contactId": contact["id"],
                "campaignId": "refused",
                "kind": "notification",
                "customerNumber": contact["customerNumber"],
                "callResult": "NORMAL_CLEARING",
                "state": "parked",
                "attempts": 1,
                "createdTime": message["createdTime"],
                "nextTime": None,
                "lastError": "HTTP 400",
                "event": None,
                "destination": None,
            }
        ),
    )
    assert_that(message["createdTime"], matches_regexp(ISO_UTC))


@sure
async def test_a_notification_that_waits_is_listed_with_the_time_of_its_next_try(world: World) -> None:
    contact = ivr()
    world.vc.behave("notification", "refuse", status=503, next=1)
    await world.load(contact)
    (message,) = await until_listed(world, "waiting", contact)
    assert_that(message, has_entries(state="waiting", nextTime=matches_regexp(ISO_UTC)))
    await world.until_told(contact)


@sure
async def test_the_state_says_which_are_listed_and_without_it_all_that_the_vc_does_not_have(world: World) -> None:
    refused, waits, told = ivr(), ivr(), ivr()
    await parked(world, refused)
    await world.load(told)
    await world.until_told(told)

    async def confirmed() -> bool:
        return told["id"] not in {message["contactId"] for message in await listed(world, "?limit=1000")}

    await world.until(confirmed, "what the VC took to be written")
    world.vc.behave("notification", "refuse", status=503)
    await world.load(waits)
    await until_listed(world, "waiting", waits)

    async def contacts(query: str) -> set[str]:
        return {m["contactId"] for m in await listed(world, query)} & {c["id"] for c in (refused, waits, told)}

    assert_that(await contacts("?state=parked"), equal_to({refused["id"]}))
    assert_that(await contacts("?state=waiting"), equal_to({waits["id"]}))
    assert_that(await contacts(""), equal_to({refused["id"], waits["id"]}))
    world.vc.behave("notification", "accept")
    # Nothing is left that might meet what the next test has the VC do.
    await world.vc.when(lambda record: record.contact_id == waits["id"] and record.status == 200)


@sure
async def test_pages_follow_one_another_by_id_until_there_is_no_next(world: World) -> None:
    contacts = [ivr() for _ in range(5)]
    messages = await parked(world, *contacts)
    pages = []
    after = messages[0]["id"] - 1
    while after is not None:
        page = (await world.get(f"/notifications?state=parked&limit=2&after={after}")).body
        pages.append([message["id"] for message in page["notifications"]])
        assert_that(page["next"], is_(pages[-1][-1] if len(pages) < 3 else None))
        after = page["next"]
    assert_that([len(page) for page in pages], contains_exactly(2, 2, 1))
    assert_that([number for page in pages for number in page], equal_to([message["id"] for message in messages]))


@sure
async def test_a_message_outlives_its_contact(world: World) -> None:
    contact = ivr()
    await parked(world, contact)
    shared.administer(world._conninfo, f"DELETE FROM contacts WHERE id = '{contact['id']}'")
    (message,) = await until_listed(world, "parked", contact)
    assert_that(message["campaignId"], none())


@pytest.mark.parametrize(
    ("query", "field", "says"),
    [
        ("state=delivered", "state", "waiting or parked"),
        ("state=", "state", "waiting or parked"),
        ("state=parked&state=waiting", "state", "once"),
        ("limit=0", "limit", f"from 1 to {LARGEST_PAGE}"),
        (f"limit={LARGEST_PAGE + 1}", "limit", f"from 1 to {LARGEST_PAGE}"),
        ("limit=ten", "limit", "whole number"),
        ("limit=", "limit", "whole number"),
        ("limit=1.5", "limit", "whole number"),
        ("limit=-1", "limit", "whole number"),
        ("limit=%D9%A3", "limit", "whole number"),
        ("after=-1", "after", "whole number"),
        ("after=x", "after", "whole number"),
        (f"after={LARGEST_ID + 1}", "after", "whole number"),
        (f"after={'9' * 5000}", "after", "whole number"),
        ("after=1%00", "after", "whole number"),
    ],
)
@sure
async def test_a_query_that_makes_no_sense_is_refused_by_the_name_of_its_parameter(
    world: World, query: str, field: str, says: str
) -> None:
    is_refused(await world.get(f"/notifications?{query}"), 400, "invalid", field, says)


@sure
async def test_the_largest_values_and_unknown_parameters_are_fine(world: World) -> None:
    reply = await world.get(f"/notifications?limit={LARGEST_PAGE}&after={LARGEST_ID}&colour=red")
    assert_that(reply.body, equal_to({"notifications": [], "next": None}))


# sending again


@sure
async def test_a_parked_notification_is_sent_again_on_request_with_its_old_key(world: World) -> None:
    contact = ivr()
    (message,) = await parked(world, contact)
    reply = await world.post(f"/notifications/{message['id']}/retry")
    assert_that(reply.status, is_(200))
    resent = {"state": "waiting", "nextTime": reply.body["nextTime"]}
    assert_that(reply.body, equal_to(message | resent))
    assert_that(reply.body["nextTime"], matches_regexp(ISO_UTC))
    await world.until(lambda: len(keys(world, contact)) == 2, "the second try")
    assert_that(set(keys(world, contact)), has_length(1))

    async def gone() -> bool:
        return not [m for m in await listed(world, f"?after={message['id'] - 1}&limit=1") if m["id"] == message["id"]]

    await world.until(gone, "the message to be delivered")


@sure
async def test_a_notification_that_is_not_parked_is_not_sent_again(world: World) -> None:
    contact = ivr()
    (message,) = await parked(world, contact)
    world.vc.behave("notification", "hang", next=1)
    path = f"/notifications/{message['id']}/retry"
    assert_that((await world.post(path)).status, is_(200))
    is_refused(await world.post(path), 409, "not_resendable", "id", "is not parked: it is waiting")
    shared.administer(world._conninfo, "UPDATE outbox SET state = 'delivered', delivered_time = now()")
    is_refused(await world.post(path), 409, "not_resendable", "id", "is not parked: it is delivered")


@sure
async def test_an_end_chat_is_listed_but_never_sent_again(world: World) -> None:
    contact = agent(gatewayId="gw-none", customerNumber="+447700900777")
    world.vc.behave("endChat", "refuse", status=400, next=1)
    await world.load(contact)
    (message,) = await until_listed(world, "parked", contact)
    assert_that(message, has_entries(kind="end_chat", callResult=None, customerNumber=contact["customerNumber"]))
    reply = await world.post(f"/notifications/{message['id']}/retry")
    is_refused(reply, 409, "not_resendable", "id", "would close the customer's next chat")
    assert_that(await until_listed(world, "parked", contact), contains_exactly(message))
    # The notification comes after it. It is told of, and nothing that somebody could mend.
    await world.until_told(contact)

    async def all_sent() -> dict[str, Any] | None:
        told: dict[str, Any] = (await world.get("/status")).body["notifications"]
        return told if told["waiting"] == 0 else None

    told = await world.until(all_sent, "the notification confirmed")
    assert_that(told, has_entries(waiting=0, parked=0, endChatsParked=1))


@pytest.mark.parametrize("number", ["0", "999999999", str(LARGEST_ID + 1), "9" * 5000, "-1", "one", "1.5", "%D9%A3"])
@sure
async def test_a_message_that_is_not_known_cannot_be_sent_again(world: World, number: str) -> None:
    is_refused(await world.post(f"/notifications/{number}/retry"), 404, "not_found", "id", "there is no notification")
