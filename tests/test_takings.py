"""The takings under way: what is told of them, and when all are done."""

from __future__ import annotations

from typing import Any

import pytest
from hamcrest import assert_that, contains_exactly, equal_to, instance_of, is_, none, same_instance
from twisted.internet.defer import Deferred

from dialer.contact import Contact
from dialer.store.database import DatabaseDown
from dialer.takings import Takings
from tests.calling import contact
from tests.esl.support import error_of, result_of

Taken = Deferred[Contact | None]


@pytest.fixture
def takings() -> Takings:
    return Takings()


def begin(takings: Takings, taken: Taken) -> Deferred[Any]:
    """Run a taking that ends as `taken` does."""

    async def taking() -> Contact | None:
        return await taken

    return Deferred.fromCoroutine(takings.run(contact(), taking()))


def settled(takings: Takings) -> Deferred[list[str]]:
    return Deferred.fromCoroutine(takings.settled())


def test_where_none_is_under_way_all_are_done_and_none_was_missed(takings: Takings) -> None:
    assert_that(result_of(settled(takings)), equal_to([]))


def test_who_runs_a_taking_gets_the_contact_as_taken(takings: Takings) -> None:
    taken: Taken = Deferred()
    running = begin(takings, taken)
    assert_that(running.called, is_(False))
    dialed = contact()
    taken.callback(dialed)
    assert_that(result_of(running), same_instance(dialed))


def test_takings_are_done_when_the_last_of_them_is_also_of_those_that_began_meanwhile(takings: Takings) -> None:
    first, second, third = Deferred(), Deferred(), Deferred()
    begin(takings, first)
    begin(takings, second)
    done = settled(takings)
    second.callback(contact())
    begin(takings, third)
    first.callback(contact())
    assert_that(done.called, is_(False))
    third.callback(contact())
    assert_that(result_of(done), equal_to([]))


def test_contacts_that_were_missed_are_told_once(takings: Takings) -> None:
    ends: list[Taken] = [Deferred() for _ in range(3)]
    running = [begin(takings, end) for end in ends]
    for end, taken in zip(ends, [None, contact(), None], strict=True):
        end.callback(taken)
    assert_that([result_of(each) for each in running], contains_exactly(None, contact(), None))
    assert_that([result_of(settled(takings)) for _ in range(2)], contains_exactly(["c1", "c1"], []))


def test_a_contact_that_is_missed_while_somebody_waits_is_told_to_him(takings: Takings) -> None:
    taken: Taken = Deferred()
    begin(takings, taken)
    done = settled(takings)
    taken.callback(None)
    assert_that(result_of(done), equal_to(["c1"]))


def test_a_taking_that_fails_is_trouble_until_it_is_told_once(takings: Takings) -> None:
    taken: Taken = Deferred()
    running = begin(takings, taken)
    assert_that(takings.trouble, none())
    down = DatabaseDown("down")
    taken.errback(down)
    assert_that((error_of(running), takings.trouble), contains_exactly(same_instance(down), same_instance(down)))
    assert_that(error_of(settled(takings)), same_instance(down))
    assert_that((takings.trouble, result_of(settled(takings))), equal_to((None, [])))


def test_a_taking_that_fails_is_told_only_when_all_are_done_and_those_missed_with_it_are_told_with_it(
    takings: Takings,
) -> None:
    fails, misses = Deferred(), Deferred()
    begin(takings, fails).addErrback(lambda failure: failure.trap(DatabaseDown))
    begin(takings, misses)
    done = settled(takings)
    fails.errback(DatabaseDown("down"))
    assert_that(done.called, is_(False))
    misses.callback(None)
    assert_that(error_of(done), instance_of(DatabaseDown))
    assert_that(result_of(settled(takings)), equal_to([]))


def test_a_fault_is_only_for_who_ran_the_taking(takings: Takings) -> None:
    taken: Taken = Deferred()
    running = begin(takings, taken)
    done = settled(takings)
    taken.errback(ValueError("a fault"))
    assert_that(error_of(running), instance_of(ValueError))
    assert_that((takings.trouble, result_of(done)), equal_to((None, [])))
