"""The benchmark, short: that it still runs and finds everything. Nothing here is about time."""

from __future__ import annotations

from threading import Event
from typing import Any

import pytest
import pytest_twisted
from hamcrest import assert_that, contains_inanyorder, empty, equal_to, has_entries, only_contains

from tests.bench.contacts import ivr_contacts
from tests.bench.evidence import Notification, Originate, Row
from tests.bench.figures import Seen, busiest_second, completeness, most_at_once, spread
from tests.bench.poster import Posted
from tests.bench.run import Plan, run
from tests.bench.table import table
from tests.processes import RunFailed


@pytest_twisted.ensureDeferred
async def test_a_short_run_finds_every_contact_in_every_column(reactor: Any) -> None:
    report = await run(reactor, Plan(contacts=60, rate=60, seed=7), Event())
    assert_that(report["problems"], empty())
    assert_that(report, has_entries(posted=60, stored=60, connected=60, notified=60, missing={}))
    assert_that(table(report).count("60 of 60"), equal_to(4))


@pytest_twisted.ensureDeferred
async def test_a_run_that_is_called_off_ends_at_once(reactor: Any, capfd: pytest.CaptureFixture[str]) -> None:
    cancelled = Event()
    cancelled.set()
    with pytest.raises(RunFailed, match="called off"):
        await run(reactor, Plan(contacts=60), cancelled)
    assert_that("the end of efswitch.log" in capfd.readouterr().err)


def test_the_same_seed_makes_the_same_contacts_and_another_one_others() -> None:
    assert_that(ivr_contacts(50, 1), equal_to(ivr_contacts(50, 1)))
    ids = [contact["id"] for seed in (1, 2) for contact in ivr_contacts(2000, seed)]
    assert_that(len(set(ids)), equal_to(4000))
    made = ivr_contacts(2000, 1)
    assert_that({contact["ivr"] for contact in made}, contains_inanyorder(None, "1218"))
    assert_that(len({contact["gatewayId"] for contact in made}), equal_to(2))


def _seen(**what: Any) -> Seen:
    whole = {
        "posted": [Posted("a", 200, 0.01, 0.0)],
        "rows": [Row("a", "ended", "NORMAL_CLEARING", 0.1)],
        "originates": [Originate("a", 1.0, True, 2.0)],
        "notifications": [Notification("a", 3.0, "NORMAL_CLEARING")],
    }
    return Seen(**(whole | what))


def test_what_everybody_saw_once_is_complete() -> None:
    assert_that(completeness(["a"], _seen()).values(), only_contains(empty()))
    twice_told = [Notification("a", 3.0, "NORMAL_CLEARING"), Notification("a", 4.0, "NORMAL_CLEARING")]
    assert_that(completeness(["a"], _seen(notifications=twice_told)).values(), only_contains(empty()))


@pytest.mark.parametrize(
    ("column", "what"),
    [
        ("posted", {"posted": [Posted("a", 503, 0.01, 0.0)]}),
        ("posted", {"posted": [Posted("a", None, 10.0, 0.0)]}),
        ("stored", {"rows": []}),
        ("connected", {"originates": []}),
        ("connected", {"originates": [Originate("a", 1.0, True, 2.0)] * 2}),
        ("connected", {"originates": [Originate("a", 1.0, False, 2.0)]}),
        ("notified", {"notifications": []}),
        ("notified", {"notifications": [Notification("a", 3.0, "USER_BUSY")]}),
        ("notified", {"rows": [Row("a", "dialed", None, 0.1)]}),
    ],
)
def test_what_one_of_them_did_not_see_is_missing_there(column: str, what: dict[str, Any]) -> None:
    assert_that(completeness(["a"], _seen(**what))[column], equal_to(["a"]))


def test_a_call_that_nobody_asked_for_is_told() -> None:
    stray = [Originate("a", 1.0, True, 2.0), Originate("b", 1.0, True, 2.0)]
    assert_that(completeness(["a"], _seen(originates=stray))["unexpected"], equal_to(["b"]))


def test_the_busiest_second_is_counted_wherever_it_begins() -> None:
    assert_that(busiest_second([]), equal_to(0))
    assert_that(busiest_second([0.0, 1.0, 2.0]), equal_to(1))
    assert_that(busiest_second([0.0, 0.9, 1.1, 1.8, 5.0]), equal_to(3))


def test_calls_that_meet_are_at_once() -> None:
    calls = [Originate("a", 1.0, True, 3.0), Originate("b", 2.0, True, None), Originate("c", 3.0, True, 4.0)]
    assert_that(most_at_once(calls), equal_to(2))


def test_percentiles_are_values_that_occurred() -> None:
    assert_that(spread([]), equal_to({"median": 0.0, "p95": 0.0, "p99": 0.0, "max": 0.0}))
    assert_that(spread(range(1, 101)), equal_to({"median": 50, "p95": 95, "p99": 99, "max": 100}))
    assert_that(spread([1, 2, 3]), equal_to({"median": 2, "p95": 3, "p99": 3, "max": 3}))
