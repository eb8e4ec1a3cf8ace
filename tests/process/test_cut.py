"""A dialer that lives on while what it works with dies between any two steps: docs/guarantees.md, step by step."""

from __future__ import annotations

from typing import Any

import pytest
import pytest_twisted
from attrs import frozen
from hamcrest import assert_that, has_length, is_, is_in

from dialer.sandbox.efswitch import Rule, Rules
from tests.process.crossroads import LONG, Crossroads
from tests.process.dying import Dies, connection, postgresql
from tests.process.points import (
    COMMAND_EXECUTED,
    COMMAND_WRITTEN,
    END_CHAT,
    END_TOLD,
    JOB_TOLD,
    NOTIFICATION,
    REPLY_ANSWERED,
    REQUEST,
    Point,
    accepted,
    committed,
    named,
    not_had,
    unsent,
)
from tests.service import shared
from tests.service.world import agent, ivr

sure = pytest_twisted.ensureDeferred
logged_failures = shared.logged_failures


async def until_over(here: Crossroads, contact: dict[str, Any], point: Point, dies: Dies) -> None:
    """Post a contact, and have that die at the point."""
    reached = point.reached(here)
    await here.load(contact)
    await dies(here, await reached)


DATABASE = {
    "before the taking is sent": unsent("take"),
    "the taking is committed": committed("take"),
    "before the result is sent": unsent("finish"),
    "the result is committed": committed("finish"),
    "before its delivery is sent": unsent("outbox_delivered"),
    "its delivery is committed": committed("outbox_delivered"),
}


@pytest.mark.parametrize("dies", [connection, postgresql], ids=["connection", "postgresql"])
@pytest.mark.parametrize("point", DATABASE.values(), ids=named(DATABASE))
@sure
async def test_an_ivr_contact_is_called_once_and_told_once_whenever_postgresql_dies(
    here: Crossroads, point: Point, dies: Dies
) -> None:
    contact = ivr()
    await until_over(here, contact, point, dies)
    if point is DATABASE["the result is committed"]:
        # And its notification claimed with it.
        here.claims_run_out()
    await here.ends_well(contact, "NORMAL_CLEARING")
    assert_that(here.notifications(contact), has_length(1))


AGENT = {
    "before the taking is sent": unsent("take"),
    "the taking is committed": committed("take"),
    "before the dialing is sent": unsent("dial_agent"),
    "the dialing is committed": committed("dial_agent"),
    "before the bridge is sent": unsent("mark_bridged"),
    "the bridge is committed": committed("mark_bridged"),
}


@pytest.mark.parametrize("dies", [connection, postgresql], ids=["connection", "postgresql"])
@pytest.mark.parametrize("point", AGENT.values(), ids=named(AGENT))
@sure
async def test_an_agent_contact_is_called_once_and_no_agent_is_left_waiting_whenever_postgresql_dies(
    here: Crossroads, point: Point, dies: Dies
) -> None:
    contact = agent()
    await until_over(here, contact, point, dies)
    await here.until_told(contact)
    # Only a dialing that PostgreSQL could not confirm in time is undone: the agent is freed, and another one asked for.
    undone = here.requests(contact) - 1
    assert_that(undone, is_in((0, 1) if point is AGENT["the dialing is committed"] else (0,)))
    await here.ends_well(contact, "NORMAL_CLEARING", end_chats=undone)
    await here.until(lambda: here.vc.summary()["agentReplies"]["underWay"] == 0, "the VC's replies")


NO_AGENT = {
    "before the return is sent": unsent("give_back"),
    "the return is committed": committed("give_back"),
}


@pytest.mark.parametrize("point", NO_AGENT.values(), ids=named(NO_AGENT))
@sure
async def test_a_contact_without_an_agent_goes_back_once_whenever_postgresql_dies(
    here: Crossroads, point: Point
) -> None:
    here.vc.behave("reply", "no_agent", next=1)
    contact = agent()
    await until_over(here, contact, point, connection)
    await here.ends_well(contact, "NORMAL_CLEARING")
    assert_that(here.requests(contact), is_(2))
    assert_that(here.stored(contact)["taking"], is_(2))


@pytest.mark.parametrize("point", [unsent("lease_claim"), committed("lease_claim")], ids=["unsent", "committed"])
@sure
async def test_a_lease_whose_renewal_is_lost_is_renewed_and_the_dialer_goes_on(here: Crossroads, point: Point) -> None:
    await connection(here, await point.reached(here))
    contact = ivr()
    await here.load(contact)
    await here.ends_well(contact, "NORMAL_CLEARING")


@frozen
class Lost:
    """What is stored of a call at whose point the connection to EFSwitch breaks."""

    point: Point
    result: str = "NORMAL_CLEARING"
    calls: int = 1
    lives: bool = False


EFSWITCH = {
    "the command is written": Lost(COMMAND_WRITTEN, "UNKNOWN", calls=0),
    "the command is executed": Lost(COMMAND_EXECUTED, lives=True),
    "the reply is there": Lost(JOB_TOLD, lives=True),
    "the call has ended": Lost(END_TOLD, "UNKNOWN"),
}


@pytest.mark.parametrize("kind", [ivr, agent])
@pytest.mark.parametrize("lost", EFSWITCH.values(), ids=named(EFSWITCH))
@sure
async def test_nobody_is_called_again_whenever_the_connection_to_efswitch_breaks(
    here: Crossroads, lost: Lost, kind: Any
) -> None:
    if lost.lives:
        here.switch.rules = LONG
    contact = kind()
    await until_over(here, contact, lost.point, connection)
    if lost.lives:
        await here.until_ready()
        await here.until_slots(1)
        here.hang_up(contact)
    never_called = kind is agent and not lost.calls
    await here.ends_well(contact, lost.result, calls=lost.calls, end_chats=int(never_called))


TOLD = {
    "the notification is written": (not_had(NOTIFICATION), 1),
    "the notification is accepted": (accepted(NOTIFICATION), 2),
}


@pytest.mark.parametrize(("point", "posts"), TOLD.values(), ids=named(TOLD))
@sure
async def test_a_notification_is_repeated_under_its_key_whenever_the_connection_to_the_vc_breaks(
    here: Crossroads, point: Point, posts: int
) -> None:
    contact = ivr()
    await until_over(here, contact, point, connection)
    await here.ends_well(contact, "NORMAL_CLEARING")
    assert_that(here.notifications(contact), has_length(posts))


DROPPED = {
    "the end chat is written": (not_had(END_CHAT), 1),
    "the end chat is accepted": (accepted(END_CHAT), 2),
}


@pytest.mark.parametrize(("point", "posts"), DROPPED.values(), ids=named(DROPPED))
@sure
async def test_an_end_chat_is_repeated_under_its_key_whenever_the_connection_to_the_vc_breaks(
    here: Crossroads, point: Point, posts: int
) -> None:
    here.switch.rules = Rules([Rule(outcome="dropped_before_bridge", ring=0.01, talk=0.05, bridge_delay=5)])
    contact = agent()
    await until_over(here, contact, point, connection)
    await here.ends_well(contact, "NORMAL_CLEARING", end_chats=1)
    assert_that(here.end_chats(contact), has_length(posts))


ASKED = {
    "the request is written": (not_had(REQUEST), True),
    "the request is accepted": (accepted(REQUEST), False),
    "the reply is answered": (REPLY_ANSWERED, False),
}


@pytest.mark.parametrize(("point", "lapses"), ASKED.values(), ids=named(ASKED))
@sure
async def test_an_agent_is_reserved_once_whenever_the_connection_to_the_vc_breaks(
    here: Crossroads, point: Point, lapses: bool
) -> None:
    contact = agent()
    await until_over(here, contact, point, connection)
    if lapses:
        # It may have it: it is not asked again before.
        assert_that(here.stored(contact)["status"], is_("agent_pending"))
        here.no_reply_came(contact)
    await here.ends_well(contact, "NORMAL_CLEARING")
    assert_that(here.requests(contact), is_(1))
