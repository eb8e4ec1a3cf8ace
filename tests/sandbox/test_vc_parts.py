"""The parts of the voice connector sandbox that need no socket."""

from __future__ import annotations

from datetime import UTC, datetime
from random import Random
from typing import Any

import pytest
from hamcrest import assert_that, contains_exactly, contains_string, equal_to, has_entries, is_, none
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock

from dialer.sandbox.vc import Rule
from dialer.sandbox.vc.agents import FIRST_EXTENSION, AgentPool
from dialer.sandbox.vc.behaviour import Behaviours, Channel
from dialer.sandbox.vc.bodies import CHECKS, DELIVERY_NOTIFICATION, END_CHAT, REQUEST_AGENT
from dialer.sandbox.vc.ledger import Ledger, Record
from dialer.sandbox.vc.replies import LONGEST_WAIT, MAX_ATTEMPTS, wait_after

REQUEST: dict[str, Any] = {
    "callingNumber": "+447700900001",
    "callUid": "c-1",
    "eslHost": "127.0.0.1",
    "serviceIdentifier": "1218",
    "direction": "OUTBOUND",
    "callSipId": "",
    "priority": 3,
    "queue": "Sales",
    "queueType": "NAME",
}
NOTIFICATION = {"id": "c-1", "serviceId": "1218", "customerNum": "+447700900001", "callResult": "NORMAL_CLEARING"}
CHAT = {"customerId": "+447700900001", "serviceId": "1218"}
RIGHT = {REQUEST_AGENT: REQUEST, DELIVERY_NOTIFICATION: NOTIFICATION, END_CHAT: CHAT}
KEY = {"idempotency-key": "k-1"}


def pool(size: int = 2, queues: tuple[str, ...] = ("Sales", "Support")) -> tuple[AgentPool, Clock]:
    clock = Clock()
    return AgentPool(clock.seconds, size, queues, hold_time=60.0), clock


@pytest.mark.parametrize("path", RIGHT)
def test_the_exact_body_is_accepted(path: str) -> None:
    assert_that(CHECKS[path](RIGHT[path], KEY), is_(none()))


@pytest.mark.parametrize(("path", "name"), [(path, name) for path, body in RIGHT.items() for name in body])
def test_a_body_that_lacks_a_field_is_refused_by_its_name(path: str, name: str) -> None:
    body = {key: value for key, value in RIGHT[path].items() if key != name}
    assert_that(CHECKS[path](body, KEY), equal_to(f"{name} is missing"))


@pytest.mark.parametrize("path", RIGHT)
def test_a_field_too_many_is_refused_by_its_name(path: str) -> None:
    assert_that(CHECKS[path]({**RIGHT[path], "extra": 1}, KEY), equal_to("extra does not belong here"))


@pytest.mark.parametrize(
    ("path", "name", "value"),
    [
        (REQUEST_AGENT, "direction", "INBOUND"),
        (REQUEST_AGENT, "callSipId", None),
        (REQUEST_AGENT, "serviceIdentifier", 1218),
        (REQUEST_AGENT, "priority", "3"),
        (REQUEST_AGENT, "priority", 11),
        (REQUEST_AGENT, "priority", True),
        (REQUEST_AGENT, "queueType", "QUEUE"),
        (REQUEST_AGENT, "queue", None),
        (REQUEST_AGENT, "callingNumber", "0770 0900"),
        (DELIVERY_NOTIFICATION, "callResult", "Invalid Gateway"),
        (DELIVERY_NOTIFICATION, "callResult", None),
        (END_CHAT, "customerId", ""),
    ],
)
def test_a_wrong_value_is_refused_by_its_field(path: str, name: str, value: object) -> None:
    assert_that(CHECKS[path]({**RIGHT[path], name: value}, KEY), contains_string(f"{name} is wrong"))


@pytest.mark.parametrize("path", [DELIVERY_NOTIFICATION, END_CHAT])
def test_what_is_sent_until_accepted_needs_an_idempotency_key(path: str) -> None:
    assert_that(CHECKS[path](RIGHT[path], {}), equal_to("the header Idempotency-Key is missing"))


def test_an_agent_request_of_a_tenant_names_the_tenant_as_its_host() -> None:
    check = CHECKS[REQUEST_AGENT]
    assert_that(check({**REQUEST, "eslHost": "acme"}, {"tenantid": "acme"}), is_(none()))
    assert_that(check(REQUEST, {"tenantid": "acme"}), contains_string("eslHost is not the tenant"))


def test_agents_are_reserved_longest_idle_first_and_none_twice() -> None:
    agents, _ = pool()
    first = [agents.reserve(contact, "1") for contact in ("a", "b", "c")]
    agents.release_contact("b")
    agents.release_contact("a")
    assert_that(first, contains_exactly("1001", "1002", None))
    assert_that([agents.reserve("d", "1"), agents.reserve("e", "1")], contains_exactly("1002", "1001"))


def test_a_contact_that_asks_again_keeps_its_agent() -> None:
    agents, _ = pool()
    assert_that([agents.reserve("a", "1"), agents.reserve("a", "1"), agents.free], contains_exactly("1001", "1001", 1))


def test_ending_the_chat_of_a_customer_frees_all_agents_held_for_that_customer() -> None:
    agents, _ = pool(3)
    for contact, customer in (("a", "1"), ("b", "2"), ("c", "1")):
        agents.reserve(contact, customer)
    assert_that([agents.release_customer("1"), agents.free], contains_exactly(2, 2))


def test_an_agent_held_for_too_long_is_free_again() -> None:
    agents, clock = pool(1)
    agents.reserve("a", "1")
    clock.advance(59)
    held = agents.free
    clock.advance(1)
    assert_that([held, agents.free, agents.reserve("b", "1")], contains_exactly(0, 1, "1001"))


def test_an_agent_beyond_a_smaller_pool_leaves_when_released() -> None:
    agents, _ = pool(2)
    agents.reserve("a", "1"), agents.reserve("b", "1")
    agents.resize(1)
    agents.release_contact("b")
    agents.release_contact("a")
    assert_that([agents.free, agents.reserve("c", "1"), agents.reserve("d", "1")], contains_exactly(1, "1001", None))


@given(st.lists(st.tuples(st.sampled_from("rcks"), st.integers(0, 5)), max_size=60))
def test_the_pool_never_gains_loses_or_shares_an_agent(steps: list[tuple[str, int]]) -> None:
    agents, clock = pool(3)
    for what, n in steps:
        if what == "r":
            agents.reserve(f"c{n}", f"{n % 3}")
        elif what == "c":
            agents.release_customer(f"{n % 3}")
        elif what == "k":
            agents.release_contact(f"c{n}")
        else:
            clock.advance(n * 10)
            agents.resize(3 + n % 2)
        held = {reservation.agent for reservation in agents.held}
        assert len(held) == len(agents.held)
        within = [agent for agent in held if int(agent) < FIRST_EXTENSION + agents.size]
        assert agents.free + len(within) == agents.size


def test_an_agent_is_at_home_in_one_of_the_queues_in_turn() -> None:
    agents, _ = pool(3)
    assert_that([agents.home_queue(a) for a in ("1001", "1002", "1003")], contains_exactly("Sales", "Support", "Sales"))
    assert_that(pool(1, ())[0].home_queue("1001"), is_(none()))


def test_another_agent_is_a_free_one_or_one_of_no_pool() -> None:
    agents, _ = pool(2)
    first = agents.reserve("a", "1")
    assert first is not None
    free = agents.another(first)
    agents.reserve("b", "1")
    assert_that([free, agents.another(first)], contains_exactly("1002", "1003"))


def modes(behaviours: Behaviours, channel: Channel, occasions: int) -> list[str | None]:
    rules = [behaviours.take(channel) for _ in range(occasions)]
    return [None if rule is None else rule.mode for rule in rules]


def test_counted_rules_go_first_in_their_order_and_then_the_standing_one() -> None:
    behaviours = Behaviours(Random(1))
    behaviours.add(
        Rule("request", "slow"),
        Rule("request", "refuse", next=2),
        Rule("request", "accept", next=1),
        Rule("request", "hang", next=1),
    )
    assert_that(
        modes(behaviours, Channel.REQUEST, 6), contains_exactly("refuse", "refuse", None, "hang", "slow", "slow")
    )


def test_a_rule_of_one_channel_leaves_the_others_alone() -> None:
    behaviours = Behaviours(Random(1))
    behaviours.add(Rule("reply", "no_agent"))
    assert_that(modes(behaviours, Channel.REQUEST, 1), contains_exactly(None))


def test_a_fraction_hits_about_that_share_and_the_same_occasions_for_a_seed() -> None:
    runs = []
    for _ in range(2):
        behaviours = Behaviours(Random(7))
        behaviours.add(Rule("notification", "refuse", fraction=0.3))
        runs.append(modes(behaviours, Channel.NOTIFICATION, 1000))
    assert runs[0] == runs[1]
    assert 250 < runs[0].count("refuse") < 350


def test_accept_without_a_count_ends_the_rules_of_its_channel() -> None:
    behaviours = Behaviours(Random(1))
    behaviours.add(Rule("reply", "late"), Rule("reply", "silent", next=3), Rule("reply", "accept"))
    assert_that(modes(behaviours, Channel.REPLY, 1), contains_exactly(None))


@pytest.mark.parametrize(
    ("channel", "fields", "reason"),
    [
        ("nothing", {"mode": "accept"}, "nothing"),
        ("request", {"mode": "twice"}, "mode of request"),
        ("reply", {"mode": "refuse"}, "mode of reply"),
        ("reply", {"mode": []}, "mode of reply"),
        ("request", {"mode": "refuse", "next": 0}, "next"),
        ("request", {"mode": "refuse", "next": True}, "next"),
        ("request", {"mode": "refuse", "fraction": 1.5}, "fraction"),
        ("request", {"mode": "refuse", "fraction": 0.5, "next": 2}, "exclude"),
        ("request", {"mode": "refuse", "status": 200}, "status"),
        ("request", {"mode": "slow", "delay": -1}, "delay"),
        ("request", {"mode": "slow", "dealy": 1}, "dealy"),
        ("request", {"status": 500}, "mode"),
        ("request", "refuse", "mode"),
    ],
)
def test_a_rule_that_makes_no_sense_is_refused_by_its_field(channel: str, fields: object, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        Rule.from_json(channel, fields)


def test_too_many_waiting_rules_are_refused_and_none_of_them_added() -> None:
    behaviours = Behaviours(Random(1))
    with pytest.raises(ValueError, match="would wait"):
        behaviours.add(*(Rule("reply", "silent", next=1) for _ in range(101)))
    assert_that(behaviours.as_json(), has_entries(reply=[]))


@given(st.integers(1, MAX_ATTEMPTS), st.integers())
def test_waits_between_tries_grow_to_their_bound(attempt: int, seed: int) -> None:
    wait = wait_after(attempt, Random(seed))
    assert 0.2 <= wait <= LONGEST_WAIT
    if attempt > 1:
        assert wait >= wait_after(attempt - 1, Random(seed))


def test_of_more_records_than_are_kept_the_oldest_are_dropped() -> None:
    ledger = Ledger(bound=2)
    for path in "abc":
        ledger.add(Record(time=datetime.now(UTC), direction="in", path=path, headers={}, body=None))
    assert_that([record.path for record in ledger], contains_exactly("b", "c"))
    assert_that(ledger.dropped, equal_to(1))
