"""The chaos run, short, with everything real; and that its seed decides what happens."""

from __future__ import annotations

import os
from pathlib import Path
from threading import Event
from typing import Any

import pytest
import pytest_twisted
from hamcrest import assert_that, empty, equal_to, greater_than, is_, is_not

from tests.chaos.contacts import batches
from tests.chaos.faults import KINDS, draw
from tests.chaos.report import text
from tests.chaos.run import run
from tests.chaos.world import Plan
from tests.processes import RunFailed

SHORT = Plan(contacts=1200, faults=30, seed=5, dialers=2, duration=25.0, rate=40.0)


@pytest_twisted.ensureDeferred
async def test_in_a_short_storm_nothing_is_lost_and_nobody_is_called_twice(reactor: Any, tmp_path: Path) -> None:
    report = await run(reactor, SHORT, Event(), tmp_path)
    assert_that(report.violations, empty(), text(report))
    assert_that(len(report.faults), greater_than(5))
    assert_that(len(report.evidence.originates), greater_than(100))


@pytest_twisted.ensureDeferred
async def test_a_run_that_is_called_off_ends_at_once_and_leaves_nothing(reactor: Any, tmp_path: Path) -> None:
    cancelled = Event()
    cancelled.set()
    with pytest.raises(RunFailed, match="called off"):
        await run(reactor, SHORT, cancelled, tmp_path)
    assert_that(os.listdir(tmp_path), empty())


def test_the_same_seed_makes_the_same_contacts_and_faults() -> None:
    assert_that(list(batches(200, 1)), equal_to(list(batches(200, 1))))
    assert_that(list(batches(200, 1)), is_not(equal_to(list(batches(200, 2)))))
    drawn = [[draw(seed, number)[0].name for number in range(50)] for seed in (1, 1, 2)]
    assert_that(drawn[0], equal_to(drawn[1]))
    assert_that(drawn[0], is_not(equal_to(drawn[2])))


def test_a_run_of_its_full_length_has_every_fault_and_every_kind_of_contact() -> None:
    assert_that({draw(1, number)[0] for number in range(1000)}, equal_to(set(KINDS)))
    posted = [contact for batch in batches(1000, 1) for contact in batch]
    assert_that(
        {contact["campaignId"] for contact in posted},
        equal_to({f"{k}-{n}" for k in ("ivr", "agent") for n in (1, 2, 3)}),
    )
    assert_that(len({contact["id"] for contact in posted}), is_(1000))
