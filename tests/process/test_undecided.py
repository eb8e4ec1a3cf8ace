"""What is asked when it is not known what became of a contact, and who dies before the answer is there."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
import pytest_twisted
from attrs import frozen
from hamcrest import assert_that, has_entries, has_length, is_

from tests.process.crossroads import Crossroads
from tests.process.dying import Dies, connection, killed_or_cut
from tests.process.gate import answered, asked
from tests.process.points import COMMAND_WRITTEN, Point, committed, named, unsent
from tests.service import shared
from tests.service.world import agent, ivr

sure = pytest_twisted.ensureDeferred
logged_failures = shared.logged_failures


# -- PostgreSQL: was the taking committed? -----------------------------------------------------------------------------


@frozen
class Doubt:
    """Where the answer to a taking is lost, where the question what became of it is stopped, and what is stored then.

    `killed` is what becomes of the contact when the dialer is killed there; one that lives calls, in a later taking.
    """

    taking: Point
    question: Point
    stored: str
    killed: str = "NORMAL_CLEARING"

    @property
    def calls_if_killed(self) -> int:
        return int(self.killed != "UNKNOWN")


DOUBTS = {
    "before the voiding of an unmade taking is sent": Doubt(unsent("take"), unsent("claim_void"), "pending"),
    "the voiding of an unmade taking is committed": Doubt(unsent("take"), committed("claim_void"), "pending"),
    "before the voiding of a made taking is sent": Doubt(
        committed("take"), unsent("claim_void"), "dialed", killed="UNKNOWN"
    ),
    "the made taking was not voided": Doubt(committed("take"), committed("claim_void"), "dialed", killed="UNKNOWN"),
}


@killed_or_cut
@pytest.mark.parametrize("doubt", DOUBTS.values(), ids=named(DOUBTS))
@sure
async def test_a_contact_whose_taking_is_in_doubt_is_called_once_at_most_whoever_dies_as_that_is_asked(
    here: Crossroads, doubt: Doubt, dies: Dies
) -> None:
    taken = doubt.taking.reached(here)
    contact = ivr()
    await here.load(contact)
    crossing = await taken
    question = doubt.question.reached(here)
    await connection(here, crossing)
    asking = await question
    assert_that(here.stored(contact), has_entries(status=doubt.stored))
    await dies(here, asking)
    if dies is connection:
        # It asks until it is told, and undoes what nobody knew of in time.
        await here.ends_well(contact, "NORMAL_CLEARING")
        assert_that(here.stored(contact)["taking"], is_(2))
    else:
        await here.ends_well(contact, doubt.killed, calls=doubt.calls_if_killed)
    assert_that(here.notifications(contact), has_length(1))


# -- EFSwitch: is its gateway up? has it the call? ---------------------------------------------------------------------

GATEWAYS = {"the gateway is asked for": Point("esl", (asked("api sofia status gateway"),))}


@killed_or_cut
@pytest.mark.parametrize("kind", [ivr, agent])
@pytest.mark.parametrize("point", GATEWAYS.values(), ids=named(GATEWAYS))
@sure
async def test_a_contact_whose_gateway_is_just_asked_for_is_called_once_or_not_at_all_whoever_dies(
    here: Crossroads, point: Point, dies: Dies, kind: Any
) -> None:
    # One of which no earlier answer is remembered.
    gateway = f"gw-{uuid4()}"
    here.switch.calls.gateways.put(gateway, "UP")
    reached = point.reached(here)
    contact = kind(gatewayId=gateway)
    await here.load(contact)
    crossing = await reached
    assert_that(here.stored(contact), has_entries(status="pending" if kind is ivr else "agent_pending"))
    await dies(here, crossing)
    if dies is connection:
        # Nothing was sent, and no EFSwitch is connected: as EFSWITCH_DOWN_POLICY says.
        await here.ends_well(contact, "EFSwitch Down", calls=0, end_chats=int(kind is agent), status="failed")
    else:
        await here.ends_well(contact, "NORMAL_CLEARING")


LOOKING = {
    "the live calls are asked for": Point("esl", (asked("api show channels"),)),
    "the call is told to be gone": Point("esl", (asked("api uuid_exists"), answered("false"))),
}


@killed_or_cut
@pytest.mark.parametrize("point", LOOKING.values(), ids=named(LOOKING))
@sure
async def test_a_call_that_is_just_looked_for_ends_unknown_once_whoever_dies(
    here: Crossroads, point: Point, dies: Dies
) -> None:
    reached = COMMAND_WRITTEN.reached(here)
    contact = ivr()
    await here.load(contact)
    crossing = await reached
    looking = point.reached(here)
    await connection(here, crossing)
    looked = await looking
    assert_that(here.stored(contact), has_entries(status="dialed"))
    await dies(here, looked)
    await here.ends_well(contact, "UNKNOWN", calls=0)
    assert_that(here.notifications(contact), has_length(1))
