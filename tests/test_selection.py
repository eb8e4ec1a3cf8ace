"""The shares of the free slots, held against a slot-by-slot simulation on single contacts."""

from __future__ import annotations

import random
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any
from zlib import crc32

import pytest
from attrs import evolve
from hamcrest import (
    assert_that,
    calling,
    contains_exactly,
    empty,
    equal_to,
    greater_than_or_equal_to,
    has_length,
    is_,
    less_than,
    raises,
)
from hypothesis import given
from hypothesis import strategies as st

from dialer.contact import CampaignType, Contact
from dialer.selection import CampaignQueue, Share, allocate, own_first, own_of_each

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)

# -- the oracle: a table of contacts, looked through once for every single slot ---------------------------------------


def is_eligible(contact: dict[str, Any]) -> bool:
    if contact["status"] != "pending":
        return False
    if contact["start_time"] is not None and contact["start_time"] > NOW:
        return False
    return contact["end_time"] is None or contact["end_time"] >= NOW


def waiting(table: list[dict[str, Any]], campaign: str) -> list[dict[str, Any]]:
    mine = [contact for contact in table if contact["campaign"] == campaign and is_eligible(contact)]
    return sorted(mine, key=lambda contact: (contact["received_time"], contact["arrival"]))


def simulate(table: list[dict[str, Any]], slots: int, early: bool, capacity: int) -> list[dict[str, Any]]:
    """The contacts in dialing order."""
    names = {contact["campaign"] for contact in table if is_eligible(contact)}
    size = {name: len(waiting(table, name)) for name in names}
    age = {name: waiting(table, name)[0]["received_time"] for name in names}
    plain = sorted(names, key=lambda name: (size[name], age[name], name))
    idle_first = early and capacity > len(names)
    if not idle_first and slots <= len(names):
        heads = [waiting(table, name)[0] for name in names]
        return sorted(heads, key=lambda contact: (contact["received_time"], contact["arrival"]))[: max(0, slots)]
    order = plain
    if idle_first:
        active = {contact["campaign"] for contact in table if contact["status"] in ("agent_pending", "dialed")}
        order = [name for name in plain if name not in active] + [name for name in plain if name in active]
    taken: Counter[str] = Counter()
    for _ in range(max(0, slots)):
        without = [name for name in order if taken[name] == 0]
        unfinished = [name for name in plain if taken[name] < size[name]]
        if without:
            taken[without[0]] += 1
        elif unfinished:
            taken[unfinished[0]] += 1
    return [contact for name in order for contact in waiting(table, name)[: taken[name]]]


def queues_of(table: list[dict[str, Any]]) -> list[CampaignQueue]:
    """What a store would say about the table, in no particular order."""
    found = []
    for name in {contact["campaign"] for contact in table}:
        mine = waiting(table, name)
        if mine:
            busy = any(c["campaign"] == name and c["status"] in ("agent_pending", "dialed") for c in table)
            found.append(CampaignQueue(name, len(mine), mine[0]["received_time"], mine[0]["arrival"], busy))
    return found


def contacts_of(table: list[dict[str, Any]], shares: list[Share]) -> list[dict[str, Any]]:
    return [contact for share in shares for contact in waiting(table, share.campaign_id)[: share.contacts]]


moments = st.integers(-3, 3).map(lambda minutes: NOW + timedelta(minutes=minutes))
tables = st.lists(
    st.fixed_dictionaries(
        {
            "campaign": st.sampled_from("ABCDEFG"),
            "received_time": moments,
            "status": st.sampled_from(["pending"] * 5 + ["agent_pending", "dialed", "ended", "stopped", "failed"]),
            "start_time": st.none() | moments,
            "end_time": st.none() | moments,
        }
    ),
    max_size=40,
).map(lambda rows: [{**row, "arrival": arrival} for arrival, row in enumerate(rows)])


@given(table=tables, slots=st.integers(-2, 45), early=st.booleans(), capacity=st.integers(1, 45))
def test_the_shares_are_those_of_a_simulation_that_gives_one_slot_after_the_other(
    table: list[dict[str, Any]], slots: int, early: bool, capacity: int
) -> None:
    shares = allocate(queues_of(table), slots, early=early, capacity=capacity)
    assert_that(contacts_of(table, shares), equal_to(simulate(table, slots, early, capacity)))


@given(
    table=tables, slots=st.integers(-2, 45), early=st.booleans(), capacity=st.integers(1, 45), dialers=st.integers(1, 5)
)
def test_no_slot_stays_free_while_a_contact_waits_unless_each_campaign_gets_just_one(
    table: list[dict[str, Any]], slots: int, early: bool, capacity: int, dialers: int
) -> None:
    queues = queues_of(table)
    shares = allocate(queues, slots, early=early, capacity=capacity, dialers=dialers)
    given_out = sum(share.contacts for share in shares)
    assert_that(given_out, equal_to(max(0, min(slots, sum(queue.eligible for queue in queues)))))
    assert_that(len({share.campaign_id for share in shares}), equal_to(len(shares)))
    assert_that(all(share.contacts >= 1 for share in shares), is_(True))


@given(table=tables, slots=st.integers(0, 45), early=st.booleans(), capacity=st.integers(1, 45), data=st.data())
def test_the_same_queues_in_any_order_give_the_same_list(
    table: list[dict[str, Any]], slots: int, early: bool, capacity: int, data: st.DataObject
) -> None:
    queues = queues_of(table)
    shuffled = data.draw(st.permutations(queues))
    assert_that(
        allocate(iter(shuffled), slots, early=early, capacity=capacity),
        equal_to(allocate(queues, slots, early=early, capacity=capacity)),
    )


# -- the sentences of the dialing flow ---------------------------------------------------------------------------------


def queue(campaign: str, eligible: int, age: int = 0, arrival: int = 0, busy: bool = False) -> CampaignQueue:
    """A queue whose oldest contact was received `age` minutes ago."""
    return CampaignQueue(campaign, eligible, NOW - timedelta(minutes=age), arrival, busy)


def test_at_least_one_contact_is_picked_from_each_campaign_when_there_are_more_slots() -> None:
    shares = allocate([queue("big", 100, age=9), queue("mid", 50), queue("small", 2)], 4, capacity=10)
    assert_that(shares, contains_exactly(Share("small", 2), Share("mid", 1), Share("big", 1)))


def test_the_campaign_with_the_least_contacts_is_preferred_and_dialed_first() -> None:
    shares = allocate([queue("big", 8), queue("small", 3)], 6, capacity=10)
    assert_that(shares, contains_exactly(Share("small", 3), Share("big", 3)))


def test_a_campaign_takes_all_it_has_before_the_next_gets_a_second() -> None:
    shares = allocate([queue("a", 4), queue("b", 5), queue("c", 6)], 9, capacity=10)
    assert_that(shares, contains_exactly(Share("a", 4), Share("b", 4), Share("c", 1)))


def test_campaigns_of_the_same_size_go_by_their_oldest_contact_and_then_by_their_id() -> None:
    shares = allocate([queue("b", 2, age=1), queue("a", 2, age=1), queue("c", 2, age=5)], 4, capacity=10)
    assert_that(shares, contains_exactly(Share("c", 2), Share("a", 1), Share("b", 1)))


def test_as_many_slots_as_campaigns_give_the_oldest_contact_of_each_oldest_first() -> None:
    shares = allocate([queue("small", 1, age=1), queue("big", 90, age=5), queue("mid", 7, age=3)], 3, capacity=10)
    assert_that(shares, contains_exactly(Share("big", 1), Share("mid", 1), Share("small", 1)))


def test_with_fewer_slots_than_campaigns_only_the_oldest_are_picked() -> None:
    shares = allocate([queue("a", 1, age=1), queue("b", 90, age=5), queue("c", 7, age=3)], 2, capacity=10)
    assert_that(shares, contains_exactly(Share("b", 1), Share("c", 1)))


def test_contacts_received_at_the_same_time_go_by_arrival() -> None:
    shares = allocate([queue("a", 1, arrival=12), queue("b", 1, arrival=3), queue("c", 1, arrival=7)], 2, capacity=10)
    assert_that(shares, contains_exactly(Share("b", 1), Share("c", 1)))


def test_more_slots_than_contacts_take_everything() -> None:
    shares = allocate([queue("a", 2), queue("b", 3)], 50, capacity=50)
    assert_that(shares, contains_exactly(Share("a", 2), Share("b", 3)))


def test_an_early_cycle_serves_the_campaign_without_an_active_contact() -> None:
    queues = [queue("small", 1, age=9, busy=True), queue("big", 500), queue("mid", 20, busy=True)]
    assert_that(allocate(queues, 1, early=True, capacity=10), contains_exactly(Share("big", 1)))


def test_an_early_cycle_with_every_campaign_at_work_prefers_the_smallest() -> None:
    queues = [queue("old", 30, age=9, busy=True), queue("small", 4, busy=True)]
    assert_that(allocate(queues, 1, early=True, capacity=10), contains_exactly(Share("small", 1)))


def test_what_an_early_cycle_has_left_goes_to_the_smallest_campaign() -> None:
    queues = [queue("small", 3, busy=True), queue("idle", 9)]
    assert_that(
        allocate(queues, 4, early=True, capacity=10),
        contains_exactly(Share("idle", 1), Share("small", 3)),
    )


def test_an_early_cycle_is_like_any_other_when_there_are_as_many_campaigns_as_call_slots() -> None:
    queues = [queue("old", 30, age=9, busy=True), queue("idle", 4)]
    assert_that(allocate(queues, 1, early=True, capacity=2), contains_exactly(Share("old", 1)))


@pytest.mark.parametrize("slots", [0, -1, -7])
@pytest.mark.parametrize("early", [False, True])
def test_without_a_free_slot_nothing_is_dialed(slots: int, early: bool) -> None:
    assert_that(allocate([queue("a", 3)], slots, early=early, capacity=10), is_(empty()))


@pytest.mark.parametrize("early", [False, True])
def test_without_campaigns_nothing_is_dialed(early: bool) -> None:
    assert_that(allocate([], 5, early=early, capacity=10), is_(empty()))


@pytest.mark.parametrize("eligible", [0, -1])
def test_a_queue_without_an_eligible_contact_is_refused(eligible: int) -> None:
    assert_that(calling(queue).with_args("a", eligible), raises(ValueError, "eligible"))


def test_a_queue_with_a_time_without_zone_is_refused() -> None:
    assert_that(calling(CampaignQueue).with_args("a", 1, NOW.replace(tzinfo=None), 0), raises(ValueError, "time zone"))


class Counted(str):
    """A campaign id that counts how often it is compared."""

    __slots__ = ()
    comparisons = 0

    def __lt__(self, other: str) -> bool:
        Counted.comparisons += 1
        return str.__lt__(self, other)

    def __eq__(self, other: object) -> bool:
        Counted.comparisons += 1
        return str.__eq__(self, other)

    __hash__ = str.__hash__


@pytest.mark.parametrize(("slots", "early"), [(1500, False), (1500, True), (500, False), (500, True)])
def test_a_thousand_campaigns_are_sorted_a_few_times_not_compared_with_each_other(slots: int, early: bool) -> None:
    names = [f"{number:04}" for number in range(1000)]
    random.Random(7).shuffle(names)
    # Everything else is equal, so that each comparison of two queues comes down to their ids.
    queues = [CampaignQueue(Counted(name), 2, NOW, 0) for name in names]
    Counted.comparisons = 0
    shares = allocate(queues, slots, early=early, capacity=5000)
    assert_that(sum(share.contacts for share in shares), equal_to(slots))
    assert_that(Counted.comparisons, is_(less_than(8 * 1000 * 10)))


# -- several dialers ---------------------------------------------------------------------------------------------------


def chosen(count: int) -> list[Contact]:
    return [
        Contact(id=f"c{n}", customer_number="1", campaign_type=CampaignType.IVR, gateway_id="gw", campaign_id="k")
        for n in range(count)
    ]


@given(count=st.integers(0, 60), of=st.integers(1, 5))
def test_dialers_that_share_a_queue_begin_with_parts_of_it_that_have_nothing_in_common(count: int, of: int) -> None:
    contacts = chosen(count)
    begun: list[str] = []
    for which in range(of):
        order = own_first(contacts, which, of)
        assert_that(sorted(c.id for c in order), equal_to(sorted(c.id for c in contacts)))
        own = [c for c in order if crc32(c.id.encode()) % of == which]
        assert_that(order[: len(own)], equal_to(own))
        # In each of the two parts the order is that of the choice.
        places = [contacts.index(c) for c in order]
        for part in (places[: len(own)], places[len(own) :]):
            assert_that(part, equal_to(sorted(part)))
        begun += [c.id for c in own]
    assert_that(sorted(begun), equal_to(sorted(c.id for c in contacts)))


def test_each_of_several_dialers_goes_on_to_the_next_campaign_after_its_part_of_the_smaller_one() -> None:
    queues = [queue("big", 900), queue("mid", 82), queue("small", 40)]
    shares = allocate(queues, 100, capacity=100, dialers=4)
    assert_that(shares, contains_exactly(Share("small", 10), Share("mid", 21), Share("big", 69)))


def test_slots_that_are_left_over_when_each_dialer_has_its_part_go_to_the_smallest_campaign_again() -> None:
    queues = [queue("big", 60), queue("small", 12)]
    shares = allocate(queues, 30, capacity=30, dialers=4)
    assert_that(shares, contains_exactly(Share("small", 12), Share("big", 18)))


def test_a_dialer_alone_keeps_the_order_of_the_choice() -> None:
    assert_that(own_first(chosen(9), 0, 1), equal_to(chosen(9)))


def heads(size: dict[str, int]) -> dict[str, list[Contact]]:
    return {
        name: [evolve(contact, id=f"{name}-{n}", campaign_id=name) for n, contact in enumerate(chosen(size[name]))]
        for name in size
    }


@given(
    shares=st.dictionaries(st.sampled_from("abc"), st.integers(1, 20), min_size=1),
    size=st.integers(0, 100),
    of=st.integers(1, 5),
)
def test_each_of_several_dialers_gets_as_many_of_each_queue_as_are_its_share_or_as_there_are_for_it(
    shares: dict[str, int], size: int, of: int
) -> None:
    wanted = [Share(name, contacts) for name, contacts in shares.items()]
    looked_at = heads({name: min(size, contacts * of) for name, contacts in shares.items()})
    for which in range(of):
        chosen_ones = own_of_each(looked_at, wanted, which, of)
        for name, contacts in shares.items():
            queue = [each.id for each in looked_at[name]]
            mine = [each for each in queue if crc32(each.encode()) % of == which]
            others_at_the_head = [each for each in queue[:contacts] if each not in mine]
            got = [each.id for each in chosen_ones if each.campaign_id == name]
            assert_that(got, equal_to((mine + others_at_the_head)[:contacts]))
            assert_that(len(got), greater_than_or_equal_to(min(contacts, len(queue[:contacts]))))


def test_a_dialer_alone_gets_the_heads() -> None:
    looked_at = heads({"a": 3, "b": 2})
    assert_that(own_of_each(looked_at, [Share("a", 3), Share("b", 2)], 0, 1), equal_to(looked_at["a"] + looked_at["b"]))


def test_what_is_left_to_another_dialer_that_does_not_take_it_is_taken_when_it_is_first_in_line() -> None:
    queue = [contact.id for contact in heads({"a": 40})["a"]]
    dialed: list[str] = []
    while queue:
        waiting = [evolve(contact, id=each) for contact, each in zip(chosen(8), queue, strict=False)]
        taken = [each.id for each in own_of_each({"a": waiting}, [Share("a", 4)], 0, 2)]
        assert_that(taken, has_length(min(4, len(queue))))
        dialed += taken
        queue = [each for each in queue if each not in taken]
    # Nobody is overtaken by more than some eight others.
    places = [int(each.removeprefix("a-")) for each in dialed]
    assert_that(max(when - place for when, place in enumerate(places)), less_than(13))
