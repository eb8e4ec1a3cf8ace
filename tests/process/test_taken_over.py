"""Two dialers, one of which is killed, frozen or cut off between two steps: docs/guarantees.md, step by step."""

from __future__ import annotations

import signal
import time
from typing import Any

import pytest
import pytest_twisted
from attrs import frozen
from hamcrest import assert_that, has_entries, has_length, is_, less_than

from tests.process.crossroads import LONG, SHORT, Crossroads
from tests.process.gate import Crossing, asked
from tests.process.points import (
    COMMAND_EXECUTED,
    END_TOLD,
    NOTIFICATION,
    REQUEST,
    Point,
    accepted,
    committed,
    named,
    unsent,
)
from tests.process.twistd import Twistd
from tests.service import shared
from tests.service.world import agent, ivr

sure = pytest_twisted.ensureDeferred
logged_failures = shared.logged_failures

LEASE_TIME = 1.5
RECONCILE_INTERVAL = 0.3
SLACK = 15.0
"""Seconds that a slow machine may take for what takes no time: far less than for ever."""

LEASED = {
    "LEASE_TIME": str(LEASE_TIME),
    "RECONCILE_INTERVAL": str(RECONCILE_INTERVAL),
    # Longer than anybody is frozen: the answer that waited is read.
    "DB_CONN_TIMEOUT": "30000",
}
VICTIM = LEASED | {"DIALER_ID": "victim"}


class Pair:
    """A dialer that stays, with its only slot taken, and one that the test deals with."""

    def __init__(self, here: Crossroads, staying: Twistd, victim: Twistd) -> None:
        self.here = here
        self.staying = staying
        self.victim = victim

    async def reach(self, contact: dict[str, Any], point: Point) -> Crossing:
        """Have the victim come to this point with the contact."""
        reached = point.reached(self.here)
        await self.here.load(contact)
        return await reached

    def ask_the_other(self) -> None:
        """From now on the one that stays is asked, and gets the VC's replies."""
        self.here.dialer_process = self.staying

    async def until_taken_over(self, contact: dict[str, Any]) -> None:
        """Wait until the contact is that of the dialer that stays, or ended."""

        def taken_over() -> bool:
            row = self.here.stored(contact)
            return row["owner"] == "staying" or row["status"] == "ended"

        await self.here.until(taken_over, "taken over")

    async def freeze(self, contact: dict[str, Any], point: Point, *, late: bool = False) -> Crossing:
        """Stop the victim at the point, and wait until the contact is not its own.

        It finds what was held back when it goes on, unless that is to be `late`.
        """
        crossing = await self.reach(contact, point)
        self.victim.send(signal.SIGSTOP)
        if not late:
            crossing.release()
        self.ask_the_other()
        await self.until_taken_over(contact)
        return crossing

    async def thaw(self, says: str) -> None:
        """Let the victim go on, and wait until it has said this."""
        self.victim.send(signal.SIGCONT)
        await self.here.until(lambda: says in self.victim.log, f"victim: {says}")

    async def dials_again(self) -> None:
        """Wait until the victim, which alone has a free slot, has called somebody to the end."""
        self.here.switch.rules = SHORT
        contact = ivr(customerNumber="+447700900789")
        await self.here.load(contact)
        await self.here.until_told(contact)


@pytest_twisted.async_yield_fixture
async def pair(crossroads: Crossroads) -> Any:
    """The one that stays serves the whole module; the other is new if the test before has ended it."""
    here = crossroads
    here.let_all_pass()
    here.vc.reset()
    if not here.processes:
        here.switch.rules = LONG
        standing = ivr()
        # Nobody is to take its call over, however slow the machine is: its lease lasts.
        lasting = LEASED | {"LEASE_TIME": "600"}
        await here.run(around=True, DIALER_ID="staying", MAX_CONCURRENT_CALLS="1", **lasting)
        await here.load(standing)
        await here.until_slots(1)
        here.standing = 1
    staying = here.processes[0]
    victims = [process for process in here.processes[1:] if process.status is None]
    here.switch.rules = SHORT
    if victims:
        here.dialer_process = victims[0]
        await here.until_ready()
    else:
        await here.run(**VICTIM)
    yield Pair(here, staying, here.processes[-1])
    here.processes[-1].send(signal.SIGCONT)
    here.let_all_pass()


@frozen
class Death:
    """What becomes of a contact whose dialer is killed at a point, in the hands of the other."""

    kind: Any
    point: Point
    result: str = "NORMAL_CLEARING"
    calls: int = 1
    lives: bool = False
    end_chats: int = 0
    posts: int = 1


DEATHS = {
    "the taking is committed": Death(ivr, committed("take"), "UNKNOWN", calls=0),
    "the command is executed": Death(ivr, COMMAND_EXECUTED, lives=True),
    # The other one sees how a call ends, whosever it is.
    "the call has ended": Death(ivr, END_TOLD),
    "before the result is sent": Death(ivr, unsent("finish")),
    "the notification is accepted": Death(ivr, accepted(NOTIFICATION), posts=2),
    "the agent request is accepted": Death(agent, accepted(REQUEST)),
    "before the dialing is sent": Death(agent, unsent("dial_agent")),
    "the dialing is committed": Death(agent, committed("dial_agent"), "UNKNOWN", calls=0, end_chats=1),
    "the agents command is executed": Death(agent, COMMAND_EXECUTED, lives=True),
}


@pytest.mark.parametrize("death", DEATHS.values(), ids=named(DEATHS))
@sure
async def test_what_a_killed_dialer_held_is_taken_over_in_time_and_nobody_is_called_twice(
    pair: Pair, death: Death
) -> None:
    here = pair.here
    here.vc.behave("reply", "late", delay=0.3)
    if death.lives:
        here.switch.rules = LONG
    contact = death.kind()
    await pair.reach(contact, death.point)
    await here.kill(pair.victim)
    pair.ask_the_other()
    here.let_all_pass()
    here.claims_run_out()
    began = time.monotonic()
    await pair.until_taken_over(contact)
    assert_that(time.monotonic() - began, is_(less_than(LEASE_TIME + RECONCILE_INTERVAL + SLACK)))
    if death.lives:
        await here.until_slots(2)
        here.hang_up(contact)
    await here.ends_well(contact, death.result, calls=death.calls, end_chats=death.end_chats)
    assert_that(here.notifications(contact), has_length(death.posts))
    if death.kind is agent:
        assert_that(here.requests(contact), is_(1))


@sure
async def test_a_dialer_that_froze_before_it_sent_a_command_gives_the_contact_back_if_nobody_has_decided(
    pair: Pair,
) -> None:
    contact = ivr()
    deciding = pair.here.esl.stop_at(asked(f"uuid_exists {contact['id']}"))
    await pair.freeze(contact, committed("take"))
    # The other one is just asking whether it may take it for gone.
    question = await deciding
    await pair.thaw(f"Contact {contact['id']} of campaign campaign-1 was not sent")
    # It has decided, and it is written: until then the other might still end it.
    await pair.here.until(lambda: pair.here.history(contact, "returned"), "given back")
    question.release()
    await pair.here.ends_well(contact, "NORMAL_CLEARING")
    assert_that(pair.here.stored(contact)["taking"], is_(2))


@pytest.mark.parametrize("late", [False, True], ids=["answer_there", "answer_late"])
@sure
async def test_a_dialer_that_froze_before_it_sent_a_command_changes_nothing_that_was_decided(
    pair: Pair, late: bool
) -> None:
    contact = ivr()
    crossing = await pair.freeze(contact, committed("take"), late=late)
    await pair.here.until_told(contact)
    if late:
        # It has its lease again by the time that it hears of what it took.
        pair.victim.send(signal.SIGCONT)
        await pair.here.until(lambda: pair.here.has_lease("victim"), "the lease of the victim")
        crossing.release()
    await pair.thaw(f"Contact {contact['id']} of campaign campaign-1 was not sent")
    await pair.here.ends_well(contact, "UNKNOWN", calls=0)


@sure
async def test_a_dialer_that_froze_before_it_called_for_an_agent_frees_nobody_twice(pair: Pair) -> None:
    contact = agent()
    await pair.freeze(contact, committed("dial_agent"))
    await pair.here.until_told(contact)
    await pair.thaw(f"Contact {contact['id']} of campaign campaign-1 was not sent")
    await pair.here.ends_well(contact, "UNKNOWN", calls=0, end_chats=1)
    await pair.here.until(lambda: pair.here.vc.summary()["agentReplies"]["underWay"] == 0, "the VC's reply")


@sure
async def test_a_dialer_that_froze_before_it_asked_for_an_agent_does_not_ask(pair: Pair) -> None:
    contact = agent()
    await pair.freeze(contact, committed("take"))
    assert_that(pair.here.stored(contact), has_entries(status="agent_pending", owner="staying"))
    await pair.thaw(f"No agent requested for contact {contact['id']}")
    await pair.here.ends_well(contact, "NORMAL_CLEARING")
    assert_that(pair.here.requests(contact), is_(1))


@sure
async def test_a_dialer_that_froze_in_a_call_finds_its_end_written(pair: Pair) -> None:
    pair.here.switch.rules = LONG
    contact = ivr()
    await pair.freeze(contact, COMMAND_EXECUTED)
    pair.here.hang_up(contact)
    await pair.here.until_told(contact)
    await pair.thaw(f"Contact {contact['id']} of campaign campaign-1 ended NORMAL_CLEARING")
    await pair.dials_again()
    await pair.here.ends_well(contact, "NORMAL_CLEARING")
    assert_that(pair.here.notifications(contact), has_length(1))


@sure
async def test_a_dialer_that_froze_with_a_notification_repeats_it_under_its_key(pair: Pair) -> None:
    contact = ivr()
    await pair.freeze(contact, committed("finish"))
    pair.here.claims_run_out()
    await pair.here.until_told(contact)
    pair.victim.send(signal.SIGCONT)
    await pair.here.until(lambda: len(pair.here.notifications(contact)) == 2, "the repetition")
    await pair.here.ends_well(contact, "NORMAL_CLEARING")


@sure
async def test_a_dialer_cut_off_from_postgresql_leaves_its_contacts_to_the_other_and_dials_again_afterwards(
    pair: Pair,
) -> None:
    here = pair.here
    await here.kill(pair.victim)
    # Not that it is cut off before, on a slow machine.
    pair.victim = await here.run(**VICTIM | {"DB_CONN_TIMEOUT": "3000"})
    here.switch.rules = LONG
    here.vc.behave("reply", "silent", next=1)
    contact, waiting = ivr(), agent(customerNumber="+447700900456")
    await here.load(contact, waiting)
    await here.until(lambda: here.attempts(contact), "the call")
    await here.until(lambda: here.requests(waiting), "the request")

    here.database.swallow()
    reply = {"uuid": waiting["id"], "agent": "1005", "queue": "Sales"}
    assert_that((await here.post("/agent", reply)).status, is_(503))
    await pair.until_taken_over(contact)
    await pair.until_taken_over(waiting)
    here.hang_up(contact)
    # Both have seen it, and one can write it.
    await here.until_told(contact)

    here.database.open()
    await here.until_ready()
    # Any dialer takes the reply, whoever asked, once its lease holds for PostgreSQL too.
    here.switch.rules = SHORT

    async def acted_on() -> bool:
        return (await here.post("/agent", reply)).status == 200

    await here.until(acted_on, "the reply acted on")
    await pair.dials_again()
    for each in (contact, waiting):
        await here.ends_well(each, "NORMAL_CLEARING")
        assert_that(here.notifications(each), has_length(1))
    await here.kill(pair.victim)


@sure
async def test_a_dialer_cut_off_as_it_took_a_contact_does_not_call_when_another_has_it(pair: Pair) -> None:
    contact = ivr()
    await pair.reach(contact, committed("take"))
    pair.here.database.swallow()
    await pair.until_taken_over(contact)
    await pair.here.until_told(contact)
    pair.here.let_all_pass()
    await pair.here.until_ready()
    await pair.dials_again()
    await pair.here.ends_well(contact, "UNKNOWN", calls=0)
