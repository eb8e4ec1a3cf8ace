"""Why nothing is dialing: each reason is brought about on a whole dialer, and seen in what it answers."""

from __future__ import annotations

import itertools
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg2
import pytest_twisted
from hamcrest import (
    assert_that,
    contains_string,
    equal_to,
    has_entries,
    is_,
    matches_regexp,
    none,
    not_none,
    starts_with,
)
from twisted.internet.threads import deferToThread

from dialer.sandbox.efswitch import Rule, Rules
from tests.service import shared
from tests.service.shared import comparing
from tests.service.world import World, agent, ivr

sure = pytest_twisted.ensureDeferred
logged_failures = shared.logged_failures
world = shared.world

SLOTS = 4
ENVIRONMENT = {
    "MAX_CONCURRENT_CALLS": str(SLOTS),
    "CALLS_PER_SECOND": "10",
    "EFSWITCH_DOWN_POLICY": "hold",
    "AGENT_REPLY_TIMEOUT": "1",
    # It is lost to another session once it is to be renewed.
    "LEASE_TIME": "3",
}

_names = (f"explained-{number}" for number in itertools.count(1))
_numbers = itertools.count(447700910000)
TIME = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC"
LONG = Rules([Rule(ring=0.01, talk=30)])
SHORT = Rules([Rule(ring=0.01, talk=0.05, agent_ring=0.01)])


def many(make: Any, count: int, **fields: Any) -> list[dict[str, Any]]:
    """Contacts with numbers of their own."""
    return [make(customerNumber=f"+{next(_numbers)}", **fields) for _ in range(count)]


async def explained(world: World, campaign: str | None = None) -> dict[str, Any]:
    """The answer for a campaign, or for all."""
    reply = await world.get("/explain" if campaign is None else f"/campaign/{campaign}/explain")
    assert_that(reply.status, is_(200), reply)
    return reply.body


async def until_told(world: World, code: str, campaign: str | None = None) -> tuple[dict[str, Any], dict[str, Any]]:
    """Wait until the first reason has this code; the reason, and the whole answer."""
    latest: dict[str, Any] = {}

    async def first() -> bool:
        latest.update(await explained(world, campaign))
        return bool(latest["reasons"][0]["code"] == code)

    try:
        await world.until(first, f"reason {code}")
    except AssertionError as error:
        raise AssertionError(f"{error}; it is {latest}") from None
    return latest["reasons"][0], latest


def codes(answer: dict[str, Any]) -> list[str]:
    return [reason["code"] for reason in answer["reasons"]]


async def end(world: World, *campaigns: str) -> None:
    """Leave nothing to be dialed behind."""
    world.switch.rules = SHORT
    for channel in ("request", "reply", "endChat"):
        world.vc.behave(channel, "accept")
    for campaign in campaigns:
        await world.post(f"/campaign/{campaign}/purge")

    async def over() -> bool:
        return (
            codes(await explained(world))[0] == "queue_empty" and (await world.get("/status")).body["activeCalls"] == 0
        )

    await world.until(over, "nothing left")


def is_since(answer: dict[str, Any], text: str) -> None:
    """The reason says since when in both forms."""
    assert_that(answer["since"], matches_regexp(r"\A\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z\Z"))
    assert_that(answer["message"], contains_string(text + " since " + answer["since"].replace("T", " ")[:19] + " UTC"))


# -- the queue


@sure
async def test_an_empty_queue_is_said_to_be_empty_in_an_answer_of_the_fixed_shape(world: World) -> None:
    reason = {"code": "queue_empty", "message": "No contact is waiting to be dialed.", "since": None}
    assert_that(await explained(world), equal_to({"dialing": False, "reasons": [reason], "next": None}))


@sure
async def test_a_campaign_of_which_nothing_is_left_says_what_became_of_its_contacts(world: World) -> None:
    campaign = next(_names)
    contacts = many(ivr, 2, campaignId=campaign)
    await world.load(*contacts)
    for contact in contacts:
        await world.until_status(contact, "ended")
    reason = {
        "code": "queue_empty",
        "message": f"No contact of campaign {campaign} is waiting to be dialed: 2 ended.",
        "since": None,
    }
    expected = {"campaignId": campaign, "dialing": False, "reasons": [reason], "next": None}
    assert_that(await explained(world, campaign), equal_to(expected))


@sure
async def test_a_campaign_that_nobody_knows_is_not_found(world: World) -> None:
    for path in ("nobody", "a%00b"):
        reply = await world.get(f"/campaign/{path}/explain")
        assert_that(reply.status, is_(404))
        assert_that(reply.body["error"], has_entries(code="not_found", field="campaignId"))


@sure
async def test_a_stopped_campaign_is_said_to_be_stopped_and_so_is_all_when_nothing_else_waits(world: World) -> None:
    campaign = next(_names)
    await world.load(*many(ivr, 3, campaignId=campaign, startTime=in_an_hour()))
    await world.post(f"/campaign/{campaign}/stop")
    reason, answer = await until_told(world, "all_stopped", campaign)
    assert_that(reason["message"], is_(f"Campaign {campaign} is stopped: 3 contacts wait for its start."))
    assert_that(answer["dialing"], is_(False))
    reason, _ = await until_told(world, "all_stopped")
    assert_that(reason["message"], is_("All that waits is stopped: 3 contacts of 1 campaign."))
    await world.post(f"/campaign/{campaign}/start")
    await until_told(world, "outside_times", campaign)
    await end(world, campaign)


def in_an_hour() -> str:
    return (datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1)).isoformat()


@sure
async def test_a_campaign_outside_its_times_says_when_the_next_contact_opens(world: World) -> None:
    campaign = next(_names)
    opens = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1)
    times = [opens + timedelta(hours=1), opens]
    await world.load(
        *(
            contact | {"startTime": time.isoformat()}
            for contact, time in zip(many(ivr, 2, campaignId=campaign), times, strict=True)
        )
    )
    for about in (campaign, None):
        reason, answer = await until_told(world, "outside_times", about)
        message = f"2 contacts are before their start times: the next opens at {opens:%Y-%m-%d %H:%M:%S} UTC."
        assert_that(reason["message"], is_(message))
        assert_that(answer, has_entries(dialing=False, next=opens.isoformat().replace("+00:00", "Z")))
    await end(world, campaign)


# -- slots and speed


@sure
async def test_a_full_house_names_the_campaigns_and_the_other_dialers_that_hold_slots(world: World) -> None:
    world.switch.rules = LONG
    campaign, waiting = next(_names), next(_names)
    contacts = many(ivr, SLOTS, campaignId=campaign)
    await world.load(*contacts)
    for contact in contacts:
        await world.until_status(contact, "dialed")
    await world.load(*many(ivr, 2, campaignId=waiting))
    await deferToThread(other_dialer_calls, world, "explained-elsewhere")
    reason, _ = await until_told(world, "no_free_slots", waiting)
    message = f"All 4 slots are in use: 4 by campaign {campaign}. Other dialers hold 1 (dialer-2) more."
    assert_that(reason["message"], is_(message))
    await deferToThread(execute, world, "DELETE FROM contacts WHERE owner = 'dialer-2'")
    answer = await explained(world)
    assert_that(answer["dialing"], is_(True))
    assert_that(codes(answer), equal_to(["no_free_slots", "dialing"]))
    assert_that(
        answer["reasons"][1]["message"],
        matches_regexp(r"\ADialing: \d+ calls in the last minute, 2 contacts are next\.\Z"),
    )
    world.switch.calls.kill_all("NORMAL_CLEARING")
    await end(world, campaign, waiting)


def execute(world: World, statement: str) -> None:
    with closing(psycopg2.connect(world._conninfo)) as connection, connection:
        connection.cursor().execute(statement)


def other_dialer_calls(world: World, campaign: str) -> None:
    """A dialer that shares the database has a call."""
    execute(
        world,
        "INSERT INTO dialers (id, instance, lease_until)"
        " VALUES ('dialer-2', gen_random_uuid(), now() + interval '1 hour')",
    )
    execute(
        world,
        "INSERT INTO contacts (id, customer_number, campaign_type, gateway_id, campaign_id, status, owner, dial_time)"
        f" VALUES ('elsewhere', '+1', 'IVR', 'gw-1', '{campaign}', 'dialed', 'dialer-2', now())",
    )


@sure
async def test_a_dialing_speed_that_is_the_limit_is_told_with_the_calls_of_the_last_minute(world: World) -> None:
    campaign = next(_names)
    # Enough of them for somebody who looks seldom; the rest is purged.
    await world.load(*many(ivr, 100, campaignId=campaign))

    async def limited() -> Any:
        answer = await explained(world, campaign)
        return answer if codes(answer) == ["throttle", "dialing"] else None

    answer = await world.until(limited, "limited by the speed")
    message = (
        r"\AThe dialing speed is the limit: \d+ calls? in the last minute, 10 calls per second allowed \(CALLS_PER"
    )
    assert_that(answer["dialing"], is_(True))
    assert_that(answer["reasons"][0]["message"], matches_regexp(message))
    await end(world, campaign)


# -- a database that does not take what is written


REFUSE = """
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = 'disk_full';
END $$;
CREATE TRIGGER refuse BEFORE UPDATE ON contacts FOR EACH ROW WHEN (NEW.status = 'dialed') EXECUTE FUNCTION refuse()
"""


@sure
async def test_a_database_that_lets_no_contact_be_taken_is_told_with_its_error(world: World) -> None:
    campaign = next(_names)
    (contact,) = many(ivr, 1, campaignId=campaign)
    await deferToThread(execute, world, REFUSE)
    try:
        await world.load(contact)
        for about in (campaign, None):
            reason, answer = await until_told(world, "database_refuses", about)
            message = "The database does not let contacts be taken: could not extend file: No space left on device"
            assert_that(reason["message"], starts_with(message))
            assert_that(answer["dialing"], is_(False))
    finally:
        await deferToThread(execute, world, "DROP FUNCTION refuse CASCADE")
    await world.until_status(contact, "ended")


# -- gateways


@sure
async def test_a_gateway_that_is_down_is_told_with_the_contacts_that_are_held_back_for_it(world: World) -> None:
    campaign = next(_names)
    world.switch.set_gateway("gw-2", "DOWN")
    (contact,) = many(ivr, 1, campaignId=campaign, gatewayId="gw-2")
    await world.load(contact)
    for about in (campaign, None):
        reason, answer = await until_told(world, "gateway_down", about)
        is_since(reason, "Gateway gw-2 is down")
        assert_that(reason["message"], contains_string(": 1 contact waits for it."))
        assert_that(answer["dialing"], is_(False))

    async def held_back() -> Any:
        answer = await explained(world, campaign)
        return answer if codes(answer) == ["gateway_down", "held_back"] else None

    answer = await world.until(held_back, "held back")
    message = rf"\A1 contact came back to the queue and is held back until {TIME}\.\Z"
    assert_that(answer["reasons"][1]["message"], matches_regexp(message))
    assert_that(answer["next"], not_none())
    world.switch.set_gateway("gw-2", "UP")
    await world.until_status(contact, "ended")
    assert_that(codes(await explained(world, campaign)), equal_to(["queue_empty"]))


@sure
async def test_a_gateway_that_efswitch_does_not_know_is_named_where_it_failed_contacts(world: World) -> None:
    campaign = next(_names)
    (contact,) = many(ivr, 1, campaignId=campaign, gatewayId="gw-unknown")
    await world.load(contact)
    await world.until_status(contact, "failed")
    for about in (campaign, None):
        answer = await explained(world, about)
        assert_that(codes(answer), equal_to(["queue_empty", "gateway_invalid"]))
        is_since(answer["reasons"][1], "Gateway gw-unknown is unknown to EFSwitch")
        assert_that(answer["reasons"][1]["message"], contains_string(f": contacts of campaign {campaign} failed"))


# -- the VC


@sure
async def test_a_vc_that_refuses_agent_requests_is_told_with_its_last_answer(world: World) -> None:
    campaign = next(_names)
    world.vc.behave("request", "refuse", status=502)
    await world.load(*many(agent, 1, campaignId=campaign))
    for about in (campaign, None):
        reason, answer = await until_told(world, "vc_refuses", about)
        is_since(reason, "The VC refuses agent requests")
        assert_that(reason["message"], matches_regexp(r": (\d+) of the last \1 in 10 minutes, the last one: .*502"))
        assert_that(answer["dialing"], is_(False))
    world.vc.behave("request", "accept")
    await until_told(world, "queue_empty", campaign)
    await end(world, campaign)


@sure
async def test_that_no_agent_is_free_is_told_as_a_share_of_the_last_requests(world: World) -> None:
    campaign = next(_names)
    world.vc.behave("reply", "no_agent")
    await world.load(*many(agent, 1, campaignId=campaign))
    reason, answer = await until_told(world, "no_agents", campaign)
    is_since(reason, "No agent is free")
    assert_that(
        reason["message"], matches_regexp(r": (\d+) of the last \1 agent requests in 10 minutes found none\.\Z")
    )
    assert_that(answer["dialing"], is_(False))
    await end(world, campaign)


@sure
async def test_a_vc_that_does_not_reply_in_time_is_told_as_a_share_of_the_last_requests(world: World) -> None:
    campaign = next(_names)
    world.vc.behave("reply", "silent")
    await world.load(*many(agent, 1, campaignId=campaign))
    await until_told(world, "queue_empty", campaign)  # it has been asked for
    reason, _ = await until_told(world, "no_agent_reply", campaign)
    is_since(reason, "The VC does not reply to agent requests")
    assert_that(reason["message"], matches_regexp(r": (\d+) of the last \1 in 10 minutes had no reply in time\.\Z"))
    await end(world, campaign)


@sure
async def test_agent_requests_that_wait_for_their_turn_are_told_with_the_speed(world: World) -> None:
    campaign = next(_names)
    world.vc.behave("reply", "no_agent")
    await world.load(*many(agent, 30, campaignId=campaign))

    async def waits() -> Any:
        reasons = (await explained(world, campaign))["reasons"]
        return next((reason for reason in reasons if reason["code"] == "request_throttle"), None)

    reason = await world.until(waits, "agent requests to wait")
    message = "Agent requests wait for their turn: 10 per second allowed (CALLS_PER_SECOND)."
    assert_that(reason, equal_to({"code": "request_throttle", "message": message, "since": None}))
    await end(world, campaign)


@sure
async def test_a_number_whose_end_chat_the_vc_has_not_taken_yet_is_said_to_wait_for_it(world: World) -> None:
    campaign, other = next(_names), next(_names)
    world.vc.behave("endChat", "refuse")
    (first,) = many(agent, 1, campaignId=other, gatewayId="gw-none")
    await world.load(first)
    await world.until_status(first, "failed")
    await world.load(ivr(customerNumber=first["customerNumber"], campaignId=campaign))
    reason, answer = await until_told(world, "end_chat_under_way", campaign)
    assert_that(
        reason["message"],
        matches_regexp(rf"\A1 contact waits for the VC to take the END_CHAT of its number, under way since {TIME}\.\Z"),
    )
    assert_that(reason["since"], not_none())
    assert_that(answer["next"], none())
    await end(world, campaign)


# -- the lease and EFSwitch


@sure
async def test_a_lease_that_another_session_has_is_told_until_it_is_back(world: World) -> None:
    campaign = next(_names)
    await world.load(*many(ivr, 1, campaignId=campaign, startTime=in_an_hour()))
    with closing(psycopg2.connect(world._conninfo)) as thief:
        await deferToThread(steal_the_lease, thief)

        async def asked_again() -> Any:
            # Until then it only knows that it could not renew it, if that takes long.
            reason, answer = await until_told(world, "no_lease")
            return (reason, answer) if "another session has the name." in reason["message"] else None

        reason, answer = await world.until(asked_again, "another session with the name")
        is_since(reason, "This dialer has no lease on its name dialer-1")
        assert_that((answer["dialing"], codes(answer)), equal_to((False, ["no_lease", "outside_times"])))
    await until_told(world, "outside_times")
    await end(world, campaign)


def steal_the_lease(thief: Any) -> None:
    """Wait for the lock on the name, and end the session that has it."""
    cursor = thief.cursor()
    cursor.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted"
        " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    )
    cursor.execute("SELECT pg_advisory_lock(hashtextextended('dialer dialer-1', 0))")


@sure
async def test_an_efswitch_that_cannot_be_reached_is_told_with_its_last_error_until_it_is_back(world: World) -> None:
    campaign = next(_names)
    (contact,) = many(ivr, 1, campaignId=campaign)
    (switch,) = (await world.get("/status")).body["switches"]
    name = switch["name"]
    world.switch.shut_down(now=True)
    await world.load(contact)
    for about in (campaign, None):
        reason, answer = await until_told(world, "efswitch_unreachable", about)
        is_since(reason, "is unreachable")
        assert_that(reason["message"], starts_with(f"EFSwitch {name} is unreachable"))
        assert_that(reason["message"], contains_string(" Nothing is taken until it is back."))
        assert_that(answer["dialing"], is_(False))
    world.switch.restart()
    await world.until_status(contact, "ended")
    await until_told(world, "queue_empty")


@sure
async def test_a_switch_whose_calls_are_being_compared_is_told_to_be_not_used_yet(world: World) -> None:
    with comparing(world):
        reason, answer = await until_told(world, "efswitch_not_ready")
        message = r"\AEFSwitch \S+ is not used yet: its live calls are not yet compared with the contacts\.\Z"
        assert_that(reason, has_entries(message=matches_regexp(message), since=not_none()))
        assert_that(answer["dialing"], is_(False))
    await until_told(world, "queue_empty")


@sure
async def test_a_switch_that_is_over_its_own_limits_is_told_with_what_it_gets(world: World) -> None:
    campaign = next(_names)
    world.switch.limits.per_second = 1
    await world.load(*many(ivr, SLOTS, campaignId=campaign))

    async def slowed() -> Any:
        reasons = (await explained(world, campaign))["reasons"]
        return next((reason for reason in reasons if reason["code"] == "switch_slowed"), None)

    reason = await world.until(slowed, "slowed down")
    is_since(reason, "is over its own limits")
    assert_that(reason["message"], matches_regexp(r": it gets [\d.]+ calls? per second instead of 10, until"))
    world.switch.limits.per_second = 1000
    await end(world, campaign)


# the last one: the VC does not come back


@sure
async def test_a_vc_that_cannot_be_reached_is_told_with_the_last_error(world: World) -> None:
    campaign = next(_names)
    await world.vc.stop()
    await world.load(*many(agent, 1, campaignId=campaign))
    for about in (campaign, None):
        reason, answer = await until_told(world, "vc_unreachable", about)
        is_since(reason, "The VC is unreachable")
        assert_that(reason["message"], matches_regexp(r" UTC: .+\. AGENT contacts wait\.\Z"))
        assert_that(answer["dialing"], is_(False))
    await end(world, campaign)
