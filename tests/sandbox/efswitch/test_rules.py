"""Rules, gateways and limits by themselves."""

from __future__ import annotations

import json
from pathlib import Path

from hamcrest import (
    assert_that,
    calling,
    close_to,
    contains_exactly,
    contains_string,
    equal_to,
    greater_than,
    has_entries,
    is_not,
    less_than_or_equal_to,
    none,
    raises,
)

from dialer.sandbox.efswitch import Gateway, Outcome, Rule, Rules
from dialer.sandbox.efswitch.gateways import MAX_MADE_UP, Gateways
from dialer.sandbox.efswitch.limits import Limits


def test_the_first_rule_that_matches_the_whole_number_and_gateway_decides() -> None:
    rules = Rules(
        [
            Rule(number="1.*", gateway="a", outcome=Outcome.BUSY),
            Rule(number="1.*", outcome=Outcome.REJECTED),
            Rule(gateway="b", outcome=Outcome.SILENT),
            Rule(outcome=Outcome.UNALLOCATED),
        ]
    )
    calls = [("12", "a"), ("12", "b"), ("21", "b"), ("21", "a")]
    assert_that(
        [rules.choose(number, gateway).outcome for number, gateway in calls],
        contains_exactly(Outcome.BUSY, Outcome.REJECTED, Outcome.SILENT, Outcome.UNALLOCATED),
    )


def test_without_a_matching_rule_the_weights_decide() -> None:
    rules = Rules([Rule(outcome=Outcome.BUSY, weight=3), Rule(weight=1)], seed=1)
    outcomes = [rules.choose("1", "a").outcome for _ in range(1000)]
    assert_that(outcomes.count(Outcome.BUSY), close_to(750, 60))


def test_times_are_fixed_or_drawn_from_their_range() -> None:
    rules = Rules([Rule(ring=2, talk=(1, 3))], seed=1)
    plans = [rules.choose("1", "a") for _ in range(100)]
    assert_that({plan.ring for plan in plans}, equal_to({2.0}))
    assert_that(min(plan.talk for plan in plans), greater_than(1))
    assert_that(max(plan.talk for plan in plans), less_than_or_equal_to(3))


def test_rules_come_from_a_file_and_go_back_to_json(tmp_path: Path) -> None:
    path = tmp_path / "rules.json"
    path.write_text(json.dumps([{"number": "1", "outcome": "busy", "ring": [1, 2], "early_media": True}]))
    rule = Rules.from_file(path).rules[0]
    assert_that(rule, equal_to(Rule(number="1", outcome=Outcome.BUSY, ring=(1, 2), early_media=True)))
    assert_that(Rule.from_json(rule.to_json()), equal_to(rule))


def test_a_name_that_no_rule_has_is_refused() -> None:
    assert_that(calling(Rule.from_json).with_args({"outcom": "busy"}), raises(ValueError, "outcom"))


def test_any_gateway_is_up_until_it_is_said_to_be_down() -> None:
    gateways = Gateways("any", started=0)
    assert_that(gateways.show("gw1", 10), contains_string("Status  \tUP\n"))
    gateways.put("gw1", "down")
    assert_that(gateways.show("gw1", 10), contains_string("Status  \tDOWN\n"))
    gateways.put("gw1", "UP (ping)")
    assert_that(gateways.show("gw1", 10), contains_string("Status  \tUP (ping)\n"))


def test_no_more_than_so_many_made_up_gateways_are_remembered() -> None:
    gateways = Gateways("any", started=0)
    for number in range(MAX_MADE_UP + 5):
        assert_that(gateways.get(f"gw{number}"), is_not(none()))
    assert_that(len(gateways.names(up=True).split()), equal_to(MAX_MADE_UP))


def test_gateways_count_their_calls() -> None:
    gateways = Gateways([Gateway(name="gw1", calls=3, failed=1)], started=0)
    assert_that(gateways.show("gw1", 0), contains_string("CallsOUT\t3\nFailedCallsIN\t0\nFailedCallsOUT\t1\n"))
    assert_that(gateways.listing(), contains_string("Outbound(Failed/Total):1/3"))


def test_sessions_are_counted_by_the_second_since_the_start() -> None:
    limits = Limits(per_second=3, sessions=10)
    admitted = [limits.admit(0, seconds) for seconds in (0, 0.5, 0.9, 1.0, 1.1, 1.2)]
    assert_that(admitted, equal_to([True, True, False, True, True, False]))
    assert_that({"total": limits.total, "peak": limits.peak_per_second}, has_entries(total=4, peak=2))
