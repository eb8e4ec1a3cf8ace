"""Two processes with one DIALER_ID: the first was frozen, or lost its session, until the second had the name."""

from __future__ import annotations

import signal
from typing import Any

import pytest_twisted
from hamcrest import assert_that, contains_string, has_length, is_, not_

from tests.process.crossroads import LONG, SHORT, Crossroads
from tests.process.gate import asked
from tests.process.points import committed, unsent
from tests.process.twistd import Twistd
from tests.service import shared
from tests.service.world import agent, ivr

sure = pytest_twisted.ensureDeferred
logged_failures = shared.logged_failures

TWIN = {
    "LEASE_TIME": "1.5",
    # Longer than anybody is frozen: the answer that waited is read.
    "DB_CONN_TIMEOUT": "30000",
}
SECOND = TWIN | {"LEASE_TIME": "600"}
"""It waits for the name as long as its lease is: until the test has taken that from the first, however slow all is."""


class Twins:
    """A dialer, and a second process of its name. Clients ask, and the VC replies to, the one that is `asked_for`."""

    def __init__(self, here: Crossroads, first: Twistd) -> None:
        self.here = here
        self.first = first
        self.second: Twistd | None = None

    def ask(self, process: Twistd) -> None:
        """From now on this one is asked."""
        self.here.dialer_process = process

    async def start_second(self) -> Twistd:
        """The second process, which waits for the name. Its PostgreSQL is not behind the gate."""
        self.second = self.here.spawn(self.here.environment(around=True, **SECOND))
        await self.here.listens(self.second)
        return self.second

    async def says(self, process: Twistd, text: str) -> None:
        """Wait until a process has logged this."""
        await self.here.until(lambda: text in process.log, f"{process.name}: {text}")

    async def freeze_first(self, contact: dict[str, Any]) -> None:
        """Stop the first when it has taken the contact and not sent it, until the second has the name.

        It finds the answer to its taking when it goes on.
        """
        reached = committed("take").reached(self.here)
        await self.here.load(contact)
        crossing = await reached
        self.first.send(signal.SIGSTOP)
        crossing.release()
        await self.start_second()
        await self.here.until_ready()

    async def thaw_first(self, contact: dict[str, Any]) -> None:
        """Let the first go on, until it has noticed."""
        self.first.send(signal.SIGCONT)
        await self.says(self.first, f"Contact {contact['id']} of campaign campaign-1 was not sent")
        await self.says(self.first, "Lease of dialer-1 lost")


@pytest_twisted.async_yield_fixture
async def twins(here: Crossroads) -> Any:
    """The first of the two, at work."""
    assert here.dialer_process is not None
    await here.kill(here.dialer_process)
    built = Twins(here, await here.run(**TWIN))
    yield built
    for process in (built.first, built.second):
        if process is not None:
            process.kill()


@sure
async def test_a_dialer_that_froze_and_lost_its_name_gives_back_what_its_twin_has_not_decided(twins: Twins) -> None:
    here = twins.here
    contact = ivr()
    deciding = here.esl.stop_at(asked(f"uuid_exists {contact['id']}"))
    await twins.freeze_first(contact)
    # The second has the contact, which was taken under its name, and is about to take its call for gone.
    question = await deciding
    await twins.thaw_first(contact)
    await here.until(lambda: here.stored(contact)["status"] == "pending" or here.attempts(contact), "given back")
    question.release()
    await here.ends_well(contact, "NORMAL_CLEARING")
    assert_that(here.stored(contact)["taking"], is_(2))
    assert_that(twins.first.log, not_(contains_string("CALLED THE CUSTOMER")))


@sure
async def test_a_dialer_that_lost_its_name_acts_on_nothing_until_its_twin_is_gone(twins: Twins) -> None:
    here = twins.here
    contact = ivr()
    await twins.freeze_first(contact)
    await here.until_told(contact)
    await twins.thaw_first(contact)
    await here.ends_well(contact, "UNKNOWN", calls=0)

    # It serves who asks, and says what it is; it dials nobody, and has no agent called for.
    twins.ask(twins.first)
    await here.until_ready(False)
    here.vc.behave("reply", "silent", next=1)
    customers = [ivr() for _ in range(10)]
    waiting = agent()
    await here.load(*customers, waiting)
    await here.until(lambda: here.requests(waiting), "the request")
    reply = {"uuid": waiting["id"], "agent": "1005", "queue": "Sales"}
    assert_that((await here.post("/agent", reply)).status, is_(503))
    assert_that(here.attempts(waiting), has_length(0))
    assert twins.second is not None
    twins.ask(twins.second)
    assert_that((await here.post("/agent", reply)).status, is_(200))
    for each in (*customers, waiting):
        await here.ends_well(each, "NORMAL_CLEARING")
    assert_that(twins.first.log, not_(contains_string("CALLED THE CUSTOMER")))

    # The second leaves a call behind: the first has its name again, and the call with it.
    here.switch.rules = LONG
    left = ivr()
    await here.load(left)
    await here.until_slots(1)
    await here.kill(twins.second)
    twins.ask(twins.first)
    await here.until_ready()
    await here.until_slots(1)
    here.hang_up(left)
    await here.ends_well(left, "NORMAL_CLEARING")
    here.switch.rules = SHORT
    again = ivr()
    await here.load(again)
    await here.ends_well(again, "NORMAL_CLEARING")


@sure
async def test_a_dialer_whose_session_went_to_a_waiting_twin_takes_nothing_more_and_finishes_its_calls(
    twins: Twins,
) -> None:
    here = twins.here
    here.switch.rules = LONG
    contact = ivr()
    await here.load(contact)
    await here.until_slots(1)
    second = await twins.start_second()
    twins.ask(twins.first)
    # The first is cut off from its name, and may not ask for it again before the second has it.
    crossing = await unsent("lease_claim").reached(here)
    renewal = unsent("lease_claim").reached(here)
    crossing.cut()
    crossing = await renewal
    twins.ask(second)
    await here.until_ready()
    await here.until_slots(1)
    crossing.release()
    await twins.says(twins.first, "Lease of dialer-1 lost")

    # Both see the end of the call, and write it once.
    here.hang_up(contact)
    await here.ends_well(contact, "NORMAL_CLEARING")
    here.switch.rules = SHORT
    customers = [ivr() for _ in range(10)]
    called = twins.first.log.count("CALLED THE CUSTOMER")
    await here.load(*customers)
    for each in customers:
        await here.ends_well(each, "NORMAL_CLEARING")
        assert_that(here.notifications(each), has_length(1))
    assert_that(twins.first.log.count("CALLED THE CUSTOMER"), is_(called))
