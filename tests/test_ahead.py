"""How many may be ahead of their turn."""

from __future__ import annotations

from hamcrest import assert_that, contains_exactly, equal_to, instance_of
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, Deferred

from dialer.ahead import Ahead
from tests.esl.support import error_of


class Queue:
    """Those who ask for a place, by number, and those who got one, in the order in which they did."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.ahead = Ahead(lambda: self.most)
        self.admitted: list[int] = []
        self.asked: list[Deferred[None]] = []

    def ask(self, count: int = 1) -> None:
        for _ in range(count):
            number = len(self.asked)
            self.asked.append(self.ahead.acquire())
            self.asked[-1].addCallback(lambda _, number=number: self.admitted.append(number))

    def release(self, count: int = 1) -> None:
        for _ in range(count):
            self.ahead.release()


def test_there_are_so_many_places_and_no_more() -> None:
    queue = Queue(4)
    queue.ask(6)
    assert_that(queue.admitted, contains_exactly(0, 1, 2, 3))


def test_once_all_are_taken_none_is_given_before_half_of_them_are_free() -> None:
    queue = Queue(4)
    queue.ask(7)
    queue.release()
    assert_that(queue.admitted, contains_exactly(0, 1, 2, 3))
    queue.release()
    assert_that(queue.admitted, contains_exactly(0, 1, 2, 3, 4, 5))
    queue.release()
    assert_that(queue.admitted, contains_exactly(0, 1, 2, 3, 4, 5))
    queue.release()
    assert_that(queue.admitted, contains_exactly(0, 1, 2, 3, 4, 5, 6))


def test_a_place_is_given_at_once_while_there_was_always_one_left() -> None:
    queue = Queue(3)
    for number in range(5):
        queue.ask(2)
        queue.release(2)
        assert_that(queue.admitted, equal_to([*range(2 * number + 2)]))


def test_who_comes_while_half_of_them_are_not_free_yet_waits_though_a_place_is() -> None:
    queue = Queue(4)
    queue.ask(4)
    queue.release()
    queue.ask()
    assert_that(queue.admitted, contains_exactly(0, 1, 2, 3))
    queue.release()
    assert_that(queue.admitted, contains_exactly(0, 1, 2, 3, 4))


def test_how_many_places_there_are_may_change_while_they_are_taken() -> None:
    queue = Queue(2)
    queue.ask(2)
    queue.most = 4
    queue.ask()
    assert_that(queue.admitted, contains_exactly(0, 1))
    queue.release()
    assert_that(queue.admitted, contains_exactly(0, 1, 2))
    queue.ask(3)
    assert_that(queue.admitted, contains_exactly(0, 1, 2, 3, 4))
    queue.most = 2
    queue.release(2)
    assert_that(queue.admitted, contains_exactly(0, 1, 2, 3, 4))
    queue.release()
    assert_that(queue.admitted, contains_exactly(0, 1, 2, 3, 4, 5))


def test_half_of_an_odd_number_is_the_smaller_half() -> None:
    queue = Queue(5)
    queue.ask(10)
    queue.release(2)
    assert_that(queue.admitted, contains_exactly(*range(5)))
    queue.release()
    assert_that(queue.admitted, contains_exactly(*range(8)))


def test_places_go_to_those_who_wait_in_their_order_and_before_those_who_come() -> None:
    queue = Queue(2)
    queue.ask(4)
    queue.asked[2].addCallback(lambda _: queue.ask())
    queue.release(2)
    assert_that(queue.admitted, contains_exactly(0, 1, 2, 3))
    queue.release(2)
    assert_that(queue.admitted, contains_exactly(0, 1, 2, 3, 4))


def test_who_gives_up_waiting_is_passed_over() -> None:
    queue = Queue(2)
    queue.ask(5)
    queue.asked[2].cancel()
    assert_that(error_of(queue.asked[2]), instance_of(CancelledError))
    queue.release()
    assert_that(queue.admitted, contains_exactly(0, 1, 3))


def test_when_all_who_wait_give_up_the_places_are_there_for_the_next() -> None:
    queue = Queue(2)
    queue.ask(3)
    queue.asked[2].cancel()
    error_of(queue.asked[2])
    queue.release(2)
    queue.ask(3)
    assert_that(queue.admitted, contains_exactly(0, 1, 3, 4))


def test_one_place_goes_from_one_to_the_next() -> None:
    queue = Queue(1)
    queue.ask(3)
    for admitted in ([0], [0, 1], [0, 1, 2]):
        assert_that(queue.admitted, equal_to(admitted))
        queue.release()
    queue.ask()
    assert_that(queue.admitted, equal_to([0, 1, 2, 3]))


def test_who_gives_the_place_back_at_once_lets_the_next_in() -> None:
    queue = Queue(2)
    queue.ask(6)
    for waiting in queue.asked[2:]:
        waiting.addCallback(lambda _: queue.ahead.release())
    queue.release()
    assert_that(queue.admitted, contains_exactly(0, 1, 2, 3, 4, 5))


@given(most=st.integers(1, 8), deeds=st.lists(st.sampled_from(["ask", "release", "give up"]), max_size=80))
def test_whatever_is_done_all_who_wait_are_admitted_in_order_and_never_more_than_the_most(
    most: int, deeds: list[str]
) -> None:
    queue = Queue(most)
    released = 0
    given_up: set[int] = set()
    for deed in deeds:
        waiting = [number for number, asked in enumerate(queue.asked) if not asked.called]
        if deed == "ask":
            queue.ask()
        elif deed == "release" and released < len(queue.admitted):
            queue.release()
            released += 1
        elif deed == "give up" and waiting:
            queue.asked[waiting[0]].cancel()
            error_of(queue.asked[waiting[0]])
            given_up.add(waiting[0])
        assert len(queue.admitted) - released <= most
    while any(not asked.called for asked in queue.asked):
        assert released < len(queue.admitted), "all places are free, and somebody waits"
        queue.release()
        released += 1
    assert_that(queue.admitted, equal_to([n for n in range(len(queue.asked)) if n not in given_up]))
