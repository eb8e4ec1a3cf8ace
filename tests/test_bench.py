"""The benchmarks: that the published one still runs and finds everything, and their arithmetic. Nothing here is about
time."""

from __future__ import annotations

from importlib import import_module
from itertools import islice
from threading import Event
from typing import Any

import pytest
import pytest_twisted
from hamcrest import (
    assert_that,
    contains_inanyorder,
    contains_string,
    empty,
    ends_with,
    equal_to,
    greater_than,
    has_entries,
    only_contains,
)
from twisted.internet.threads import deferToThread

from tests.bench.__main__ import NAMES
from tests.bench.benchmark import Figure, Round, Target, at_least, at_most, lines, report, shown
from tests.bench.benchmark import table as table_of
from tests.bench.contacts import ivr_contacts, ivr_stream
from tests.bench.evidence import Notification, Originate, Row
from tests.bench.figures import Seen, busiest_second, completeness, most_at_once, spread
from tests.bench.hammer import is_whole
from tests.bench.poster import Posted
from tests.bench.published import Plan, run
from tests.bench.published_table import table
from tests.bench.slots import in_calls
from tests.processes import RunFailed


@pytest_twisted.ensureDeferred
async def test_a_short_run_finds_every_contact_in_every_column(reactor: Any) -> None:
    report = await deferToThread(run, reactor, Plan(contacts=60, rate=60, seed=7), Event())
    assert_that(report["problems"], empty())
    assert_that(report, has_entries(posted=60, stored=60, connected=60, notified=60, missing={}))
    assert_that(table(report).count("60 of 60"), equal_to(4))


@pytest_twisted.ensureDeferred
async def test_a_run_that_is_called_off_ends_at_once(reactor: Any, capfd: pytest.CaptureFixture[str]) -> None:
    cancelled = Event()
    cancelled.set()
    with pytest.raises(RunFailed, match="called off"):
        await deferToThread(run, reactor, Plan(contacts=60), cancelled)
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


def test_of_several_rounds_the_medians_count_and_of_ratios_the_median_of_their_own() -> None:
    rounds = [Round([Figure("calls", value, "/s", reference)]) for value, reference in [(10, 10), (30, 10), (20, 100)]]
    (line,) = lines(rounds)
    assert_that((line.value, line.lowest, line.highest, line.reference), equal_to((20, 10, 30, 10)))
    assert_that(line.ratio, equal_to(1))


@pytest.mark.parametrize(
    ("target", "value", "met"),
    [
        (at_least(300), 300, True),
        (at_least(300), 299, False),
        (at_most(10), 10, True),
        (at_most(10), 11, False),
        (at_least(0.5, ratio=True), 50, True),
        (at_least(0.5, ratio=True), 49, False),
        (at_most(1.5, ratio=True), 151, False),
        (None, 1, None),
    ],
)
def test_a_target_holds_for_the_figure_or_for_its_ratio(target: Target | None, value: float, met: bool | None) -> None:
    (line,) = lines([Round([Figure("calls", value, reference=100, target=target)])])
    assert_that(line.met, equal_to(met))


def test_a_ratio_to_nothing_meets_no_target() -> None:
    (line,) = lines([Round([Figure("calls", 5, reference=0, target=at_least(0.5, ratio=True))])])
    assert_that((line.ratio, line.met), equal_to((None, False)))


def test_a_table_shows_figures_targets_and_what_went_wrong() -> None:
    shown_table = table_of(
        "calls", "About calls.", [Round([Figure("a", 1234.5, "/s", 617.25, at_least(300))], ["2 lost"])]
    )
    assert_that(shown_table, contains_string("1,234 /s"))
    assert_that(shown_table, contains_string("2x"))
    assert_that(shown_table, contains_string("met"))
    assert_that(shown_table, contains_string("PROBLEM: 2 lost"))


def test_a_report_has_every_round_and_the_medians() -> None:
    rounds = [Round([Figure("a", value)], details={"n": value}) for value in (1.0, 3.0)]
    told = report("calls", "About calls.", rounds, {"cores": 2})
    assert_that(told, has_entries(benchmark="calls", cores=2, problems=[]))
    assert_that(told["median"][0], has_entries(what="a", value=2.0, ratio=None, met=None))
    assert_that([each["details"] for each in told["rounds"]], equal_to([{"n": 1.0}, {"n": 3.0}]))


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0"), (0.1234, "0.123"), (49.66, "49.7"), (144.26, "144.3"), (12345.6, "12,346")]
)
def test_numbers_show_what_they_are_good_for(number: float, text: str) -> None:
    assert_that(shown(number), equal_to(text))


def test_slot_seconds_are_those_of_calls_within_the_window_and_a_call_that_is_up_counts_to_its_end() -> None:
    calls = [
        Originate("before", 0.0, True, 4.0),
        Originate("across", 8.0, True, 12.0),
        Originate("within", 12.0, True, 15.0),
        Originate("up", 18.0, True, None),
    ]
    assert_that(in_calls(calls, 10.0, 20.0), equal_to(2.0 + 3.0 + 2.0))


@pytest.mark.parametrize(
    ("answer", "whole"),
    [
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nserver: x\r\n\r\n{}", True),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{", False),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n", False),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", True),
    ],
)
def test_an_answer_is_whole_with_its_length_or_its_last_chunk(answer: bytes, whole: bool) -> None:
    head, _, body = answer.partition(b"\r\n\r\n")
    assert_that(is_whole(head, body), equal_to(whole))


def test_a_stream_spreads_its_contacts_over_campaigns_in_turn() -> None:
    campaigns = [contact["campaignId"] for contact in islice(ivr_stream(1, campaigns=3), 7)]
    assert_that(campaigns, equal_to(["bench-1-0", "bench-1-1", "bench-1-2"] * 2 + ["bench-1-0"]))


@pytest.mark.parametrize("name", NAMES)
def test_every_benchmark_says_in_a_line_what_it_measures_and_how_often(name: str) -> None:
    module = import_module(f"tests.bench.{name}")
    assert_that(module.__doc__.splitlines()[0], ends_with("."))
    assert_that(module.ROUNDS, greater_than(0))
    assert_that(callable(module.measure))
