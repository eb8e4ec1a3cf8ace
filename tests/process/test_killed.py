"""A dialer that is killed between any two steps, and started again under its name: docs/guarantees.md, step by step."""

from __future__ import annotations

from typing import Any

import pytest
import pytest_twisted
from attrs import frozen
from hamcrest import assert_that, has_entries, has_length, is_

from dialer.sandbox.efswitch import Rule, Rules
from tests.process.crossroads import LONG, Crossroads
from tests.process.gate import Passing, asked
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


@frozen
class Death:
    """What is stored when the dialer dies at a point, and what becomes of the contact.

    With `lives` the call is up until the dialer that was started again is told that it has ended; with `lapses` the
    VC never heard of the contact, and AGENT_REPLY_TIMEOUT goes by.
    """

    point: Point
    stored: str
    result: str = "NORMAL_CLEARING"
    calls: int = 1
    lives: bool = False
    lapses: bool = False
    requests: int = 1
    end_chats: int = 0
    posts: int | None = None
    """How often the VC has got what was under way; it knows a repeated one by its key."""
    held: Passing | None = None
    """What the VC says again, and the dialer must not hear before the contact has ended: nothing tells it from news."""


async def dies(here: Crossroads, contact: dict[str, Any], death: Death) -> None:
    """Kill the dialer there, start it again, and check the contact."""
    if death.lives:
        here.switch.rules = LONG
    reached = death.point.reached(here)
    await here.load(contact)
    await reached
    assert here.dialer_process is not None
    await here.kill(here.dialer_process)
    here.let_all_pass()
    if death.held is not None:
        here.http.stop_at(death.held)
    assert_that(here.stored(contact), has_entries(status=death.stored))
    here.claims_run_out()
    if death.lapses:
        here.no_reply_came(contact)

    await here.run()
    if death.lives:
        # Kept, with its slot, and nobody is called again.
        await here.until_slots(1)
        assert_that(here.stored(contact), has_entries(status="dialed", owner="dialer-1"))
        here.hang_up(contact)
    await here.ends_well(contact, death.result, calls=death.calls, end_chats=death.end_chats)


IVR = {
    "before the taking is sent": Death(unsent("take"), "pending"),
    "the taking is committed": Death(committed("take"), "dialed", "UNKNOWN", calls=0),
    "the command is written": Death(COMMAND_WRITTEN, "dialed", "UNKNOWN", calls=0),
    "the command is executed": Death(COMMAND_EXECUTED, "dialed", lives=True),
    "the reply is there": Death(JOB_TOLD, "dialed", lives=True),
    "the call has ended": Death(END_TOLD, "dialed", "UNKNOWN"),
    "before the result is sent": Death(unsent("finish"), "dialed", "UNKNOWN"),
    "the result is committed": Death(committed("finish"), "ended"),
    "the notification is written": Death(not_had(NOTIFICATION), "ended", posts=1),
    "the notification is accepted": Death(accepted(NOTIFICATION), "ended", posts=2),
    "before its delivery is sent": Death(unsent("outbox_delivered"), "ended", posts=2),
    "its delivery is committed": Death(committed("outbox_delivered"), "ended", posts=1),
}


@pytest.mark.parametrize("death", IVR.values(), ids=named(IVR))
@sure
async def test_an_ivr_contact_is_called_once_at_most_and_told_whenever_its_dialer_is_killed(
    here: Crossroads, death: Death
) -> None:
    contact = ivr()
    await dies(here, contact, death)
    if death.posts is not None:
        assert_that(here.notifications(contact), has_length(death.posts))


AGENT = {
    "the taking is committed": Death(committed("take"), "agent_pending", lapses=True),
    "the request is written": Death(not_had(REQUEST), "agent_pending", lapses=True),
    "the request is accepted": Death(accepted(REQUEST), "agent_pending"),
    "before the dialing is sent": Death(unsent("dial_agent"), "agent_pending"),
    "the dialing is committed": Death(committed("dial_agent"), "dialed", "UNKNOWN", calls=0, end_chats=1),
    "the command is written": Death(COMMAND_WRITTEN, "dialed", "UNKNOWN", calls=0, end_chats=1),
    "the command is executed": Death(COMMAND_EXECUTED, "dialed", lives=True),
    "the reply is answered": Death(REPLY_ANSWERED, "dialed", lives=True),
    "before the bridge is sent": Death(unsent("mark_bridged"), "dialed", lives=True),
    "the bridge is committed": Death(committed("mark_bridged"), "dialed", lives=True),
}


@pytest.mark.parametrize("death", AGENT.values(), ids=named(AGENT))
@sure
async def test_an_agent_contact_is_called_once_at_most_and_its_agent_freed_whenever_its_dialer_is_killed(
    here: Crossroads, death: Death
) -> None:
    # Not before the dialer is dead, where it dies before.
    here.vc.behave("reply", "late", delay=0.3)
    contact = agent()
    await dies(here, contact, death)
    assert_that(here.requests(contact), is_(death.requests))
    # Whatever the VC repeats, it has its answer.
    await here.until(lambda: here.vc.summary()["agentReplies"]["underWay"] == 0, "the VC's replies")


NO_AGENT = {
    "before the return is sent": Death(unsent("give_back"), "agent_pending", requests=2),
    "the return is committed": Death(committed("give_back"), "pending", requests=2, held=asked('"agent":""')),
}


@pytest.mark.parametrize("death", NO_AGENT.values(), ids=named(NO_AGENT))
@sure
async def test_a_contact_without_an_agent_goes_back_whenever_its_dialer_is_killed(
    here: Crossroads, death: Death
) -> None:
    here.vc.behave("reply", "no_agent", next=1)
    contact = agent()
    await dies(here, contact, death)
    assert_that(here.requests(contact), is_(death.requests))


DROPPED = {
    "the end chat is written": Death(not_had(END_CHAT), "ended", end_chats=1, posts=1),
    "the end chat is accepted": Death(accepted(END_CHAT), "ended", end_chats=1, posts=2),
}


@pytest.mark.parametrize("death", DROPPED.values(), ids=named(DROPPED))
@sure
async def test_an_end_chat_reaches_the_vc_under_one_key_whenever_its_dialer_is_killed(
    here: Crossroads, death: Death
) -> None:
    here.switch.rules = Rules([Rule(outcome="dropped_before_bridge", ring=0.01, talk=0.05, bridge_delay=5)])
    contact = agent()
    await dies(here, contact, death)
    assert_that(here.end_chats(contact), has_length(death.posts or 0))
