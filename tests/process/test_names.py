"""The name of a dialer (DIALER_ID), its lease, and who dies as it is had, taken from one that hangs, or left."""

from __future__ import annotations

import signal

import pytest
import pytest_twisted
from hamcrest import assert_that, has_entries, is_, is_in

from tests.process.crossroads import LONG, Crossroads
from tests.process.dying import Dies, connection, killed, killed_or_cut
from tests.process.points import Point, committed, named, unsent
from tests.process.twistd import EXIT_WITHIN
from tests.service import shared
from tests.service.world import ivr

sure = pytest_twisted.ensureDeferred
logged_failures = shared.logged_failures


async def dials(here: Crossroads) -> None:
    """The dialer calls somebody to the end."""
    contact = ivr()
    await here.load(contact)
    await here.ends_well(contact, "NORMAL_CLEARING")


CLAIM = {
    "before the name is asked for": unsent("lease_claim"),
    "the name is had": committed("lease_claim"),
}


@killed_or_cut
@pytest.mark.parametrize("point", CLAIM.values(), ids=named(CLAIM))
@sure
async def test_the_name_of_a_dialer_is_had_at_once_whoever_dies_as_it_starts(
    here: Crossroads, point: Point, dies: Dies
) -> None:
    assert here.dialer_process is not None
    await here.kill(here.dialer_process)
    reached = point.reached(here)
    await here.run(ready=False, LEASE_TIME="600")
    await dies(here, await reached)
    await here.until_ready()
    await dials(here)


BREAK = {
    "before the session of one that hangs is ended": unsent("lease_break"),
    "the session of one that hangs is ended": committed("lease_break"),
}


@killed_or_cut
@pytest.mark.parametrize("point", BREAK.values(), ids=named(BREAK))
@sure
async def test_the_name_of_a_dialer_that_hangs_is_had_by_the_next_whoever_dies_as_its_session_is_ended(
    here: Crossroads, point: Point, dies: Dies
) -> None:
    hanging = here.dialer_process
    assert hanging is not None
    hanging.send(signal.SIGSTOP)
    here.lease_runs_out()
    reached = point.reached(here)
    await here.run(ready=False)
    await dies(here, await reached)
    await here.until_ready()
    await dials(here)
    await here.kill(hanging)


RELEASE = {
    "before the lease is released": (unsent("lease_release"), True),
    "the lease is released": (committed("lease_release"), False),
}


@killed_or_cut
@pytest.mark.parametrize(("point", "held"), RELEASE.values(), ids=named(RELEASE))
@sure
async def test_a_dialer_that_stops_leaves_its_call_to_the_next_whoever_dies_as_it_releases_its_lease(
    here: Crossroads, point: Point, held: bool, dies: Dies
) -> None:
    stopping = here.dialer_process
    assert stopping is not None
    here.switch.rules = LONG
    contact = ivr()
    await here.load(contact)
    await here.until_slots(1)
    reached = point.reached(here)
    stopping.send(signal.SIGTERM)
    crossing = await reached
    assert_that(here.has_lease(), is_(held))
    if dies is killed:
        await here.kill(stopping)
    else:
        await connection(here, crossing)
        assert_that(await here.ends(stopping, EXIT_WITHIN), is_in((0, -signal.SIGTERM)))
    here.let_all_pass()
    await here.run()
    await here.until_slots(1)
    here.hang_up(contact)
    await here.ends_well(contact, "NORMAL_CLEARING")


TAKE_OVER = {
    "before the taking over is sent": (unsent("take_over"), "dialer-1"),
    "the taking over is committed": (committed("take_over"), "other"),
}


@killed_or_cut
@pytest.mark.parametrize(("point", "owner"), TAKE_OVER.values(), ids=named(TAKE_OVER))
@sure
async def test_a_call_of_a_dead_dialer_is_kept_whoever_dies_as_it_is_taken_over(
    here: Crossroads, point: Point, owner: str, dies: Dies
) -> None:
    assert here.dialer_process is not None
    here.switch.rules = LONG
    contact = ivr()
    await here.load(contact)
    await here.until_slots(1)
    await here.kill(here.dialer_process)
    here.lease_runs_out()
    reached = point.reached(here)
    await here.run(ready=False, DIALER_ID="other", LEASE_TIME="1")
    crossing = await reached
    assert_that(here.stored(contact), has_entries(status="dialed", owner=owner))
    # The next one has the first one's name, and takes over from this one if need be.
    await dies(here, crossing)
    await here.until_ready()
    await here.until_slots(1)
    assert_that(here.stored(contact), has_entries(owner="dialer-1" if dies is killed else "other"))
    here.hang_up(contact)
    await here.ends_well(contact, "NORMAL_CLEARING")
    if dies is connection:
        await here.kill(here.dialer_process)
