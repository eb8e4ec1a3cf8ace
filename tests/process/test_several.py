"""Dialers that share a database: each contact is one dialer's, and what one leaves behind is another's."""

from __future__ import annotations

import signal

import pytest_twisted
from hamcrest import assert_that, is_, not_

from tests.process.campaign import Campaign
from tests.process.street import Street

sure = pytest_twisted.ensureDeferred

HALF = {"MAX_CONCURRENT_CALLS": "23", "CALLS_PER_SECOND": "30", "AGENT_REPLY_TIMEOUT": "30"}


@sure
async def test_two_dialers_share_a_campaign_and_one_that_leaves_hands_over_at_once(street: Street) -> None:
    leaving = await street.run(**HALF, LEASE_TIME="600", DIALER_ID="leaving")
    await street.run(**HALF, LEASE_TIME="600", DIALER_ID="staying")
    campaign = Campaign(street)
    await campaign.load(longest_talk=4)
    await campaign.in_full_swing("leaving", "staying")

    await street.terminate(leaving)
    await street.until(lambda: campaign.held_by("leaving") == 0, "what the leaving dialer held is the other's")

    await campaign.until_told()
    # There was always a dialer to see how a call ended.
    results = await campaign.check()
    assert_that(results["UNKNOWN"], is_(0))
    assert_that(campaign.connections(), is_(2))
    await campaign.check_nothing_held()


@sure
async def test_a_dialer_that_froze_beyond_its_lease_and_comes_back_calls_nobody_twice(street: Street) -> None:
    staying = await street.run(**HALF, LEASE_TIME="600", DIALER_ID="staying")
    # The VC replies to the one that will freeze, and once more to the one that stays.
    freezing = await street.run(**HALF, LEASE_TIME="1", DIALER_ID="freezing")
    campaign = Campaign(street)
    street.vc.behave("reply", "twice", delay=1.5)
    await campaign.load(longest_talk=4)
    await campaign.in_full_swing("staying", "freezing")

    freezing.send(signal.SIGSTOP)
    # So many at least wait for their turn, and are called whether what it held is the other's by then or not.
    called = street.switch.records.count
    assert_that(staying.url(), is_(not_(freezing.url())))
    street.vc.dialer_url = staying.url()
    await street.until(lambda: campaign.held_by("freezing") == 0, "what the frozen dialer held is the other's")
    await street.until(lambda: street.switch.records.count >= called + 5, "the other dialer's calls")
    freezing.send(signal.SIGCONT)

    await campaign.until_told()
    results = await campaign.check()
    assert_that(results["UNKNOWN"], is_(0))
    await campaign.check_nothing_held(processes=2)
    await street.terminate(freezing)
    await street.terminate(staying)
