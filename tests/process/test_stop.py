"""Dialers that stop, are killed or freeze in mid-campaign: nothing is lost, nobody is called twice."""

from __future__ import annotations

import signal

import pytest_twisted
from hamcrest import assert_that, greater_than, has_entries, has_length, is_, is_in

from tests.process.campaign import Blind, Campaign
from tests.process.street import Street
from tests.service.world import agent

sure = pytest_twisted.ensureDeferred

SPEED = {
    "MAX_CONCURRENT_CALLS": "46",
    "CALLS_PER_SECOND": "60",
    # A request that died with its dialer never gets a reply.
    "AGENT_REPLY_TIMEOUT": "10",
}
LONG_LEASE = {"LEASE_TIME": "600"}

LOST_WITH_IT = 2.0
"""Seconds before a SIGKILL: an end seen then may not have been stored yet, if the machine is slow."""


async def calls_end(campaign: Campaign, since: float) -> None:
    """Wait until a few calls have ended since then."""

    def ended() -> bool:
        attempts = campaign.street.switch.records.since()
        return sum(attempt.ended_at is not None and attempt.ended_at > since for attempt in attempts) >= 4

    await campaign.street.until(ended, "calls that end")


@sure
async def test_sigterm_in_mid_campaign_and_a_new_start_lose_nothing(street: Street) -> None:
    process = await street.run(**SPEED, **LONG_LEASE)
    campaign = Campaign(street)
    await campaign.load(longest_talk=8)
    await campaign.in_full_swing()

    blind = Blind(campaign.now())
    await street.terminate(process)
    assert_that(campaign.leases(), is_(0))
    left = campaign.by_status()
    assert_that(left["agent_pending"], greater_than(0))
    assert_that(left["dialed"], greater_than(0))
    dialed = street.switch.records.count
    await calls_end(campaign, campaign.now())
    assert_that(street.switch.records.count, is_(dialed), "calls made by nobody")

    process = await street.run(**SPEED, **LONG_LEASE)
    blind.until = campaign.now()
    await campaign.until_told()
    results = await campaign.check(blind)
    assert_that(results["UNKNOWN"], greater_than(0))
    await campaign.check_nothing_held()

    await street.terminate(process)
    assert_that(campaign.leases(), is_(0))


@sure
async def test_a_killed_dialer_starts_again_at_once_and_loses_nothing(street: Street) -> None:
    process = await street.run(**SPEED, **LONG_LEASE)
    campaign = Campaign(street)
    await campaign.load(longest_talk=8)
    await campaign.in_full_swing()

    blind = Blind(campaign.now() - LOST_WITH_IT)
    process.send(signal.SIGKILL)
    assert_that(await street.ends(process), is_(-signal.SIGKILL))
    # Nobody could release it, and it runs for minutes.
    assert_that(campaign.leases(), is_(1))
    await calls_end(campaign, campaign.now())

    await street.run(**SPEED, **LONG_LEASE)
    blind.until = campaign.now()
    await campaign.until_told()
    results = await campaign.check(blind, unsent=True)
    assert_that(results["UNKNOWN"], greater_than(0))
    await campaign.check_nothing_held()


@sure
async def test_an_agent_reserved_while_the_dialer_is_just_starting_is_not_lost(street: Street) -> None:
    street.vc.behave("reply", "silent")
    process = await street.run(**LONG_LEASE)
    contact = agent()
    await street.load(contact)
    await street.until_status(contact, "agent_pending")
    await street.terminate(process)

    # It takes its time to get to know the switch: the reply comes when the database is there, and nothing else.
    street.switch.faults.delay = 0.7
    street.switch.faults_changed()
    await street.run(ready=False, **LONG_LEASE)

    async def stored() -> bool:
        return (await street.get(f"/contact/{contact['id']}")).status == 200

    await street.until(stored, "the database")
    assert_that((await street.get("/readyz")).status, is_(503))
    reply = {"uuid": contact["id"], "agent": "1005", "queue": "Sales"}
    first = await street.post("/agent", reply)
    # Later, or now: but nobody has said that EFSwitch is down.
    assert_that(first.status, is_in((200, 503)), str(first))
    street.switch.clear_faults()
    await street.until_ready()
    assert_that((await street.post("/agent", reply)).status, is_(200))
    assert_that(await street.until_told(contact), has_entries(callResult="NORMAL_CLEARING"))
    assert_that(street.attempts(contact), has_length(1))
