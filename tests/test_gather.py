"""What comes one by one and is done many at a time, on a clock and with work that the test turns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest
from hamcrest import assert_that, contains_exactly, empty, equal_to, has_length, instance_of, is_
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock

from dialer.gather import Gather
from tests.esl.support import error_of, result_of


class Work:
    """Each batch waits until the test says what becomes of it."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self._under_way: Deferred[None] | None = None

    async def __call__(self, items: Sequence[str]) -> list[str]:
        assert self._under_way is None, "two batches at once"
        self.batches.append(list(items))
        self._under_way = Deferred()
        await self._under_way
        return [item.upper() for item in items]

    def done(self) -> None:
        under_way, self._under_way = self._under_way, None
        assert under_way is not None
        under_way.callback(None)

    def fail(self, error: Exception) -> None:
        under_way, self._under_way = self._under_way, None
        assert under_way is not None
        under_way.errback(error)


class Bench:
    def __init__(self, most: int = 100) -> None:
        self.clock = Clock()
        self.work = Work()
        self.gather = Gather(self.clock, self.work, most=most)

    def put(self, *items: str) -> list[Deferred[str]]:
        return [self.gather.put(item) for item in items]

    def turn(self) -> None:
        self.clock.advance(0)


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    assert_that(bench.clock.getDelayedCalls(), is_(empty()), "timers left")


def test_what_comes_in_one_turn_is_done_together_and_in_order(bench: Bench) -> None:
    done = bench.put("b", "a", "c")
    assert_that(bench.work.batches, empty())
    bench.turn()
    assert_that(bench.work.batches, contains_exactly(["b", "a", "c"]))
    bench.work.done()
    assert_that([result_of(each) for each in done], equal_to(["B", "A", "C"]))


def test_the_answers_come_in_the_order_of_the_questions(bench: Bench) -> None:
    answered: list[str] = []
    for done in bench.put("b", "a", "c"):
        done.addCallback(answered.append)
    bench.turn()
    bench.work.done()
    assert_that(answered, contains_exactly("B", "A", "C"))


def test_the_same_item_twice_is_two_items_of_one_batch(bench: Bench) -> None:
    done = bench.put("a", "a")
    bench.turn()
    bench.work.done()
    assert_that((bench.work.batches, [result_of(each) for each in done]), equal_to(([["a", "a"]], ["A", "A"])))


def test_what_comes_while_a_batch_is_under_way_goes_with_the_next(bench: Bench) -> None:
    bench.put("a")
    bench.turn()
    late = bench.put("b")
    bench.turn()
    late += bench.put("c")
    assert_that(bench.work.batches, contains_exactly(["a"]))
    bench.work.done()
    assert_that(bench.work.batches, contains_exactly(["a"], ["b", "c"]))
    bench.work.done()
    assert_that([result_of(each) for each in late], equal_to(["B", "C"]))


def test_what_an_answer_brings_about_goes_with_the_next(bench: Bench) -> None:
    first, _ = bench.put("a", "b")
    first.addCallback(lambda _: bench.put("c"))
    bench.turn()
    bench.work.done()
    assert_that(bench.work.batches, contains_exactly(["a", "b"], ["c"]))
    bench.work.done()


def test_after_a_quiet_time_it_begins_again(bench: Bench) -> None:
    for item in ("a", "b"):
        (done,) = bench.put(item)
        bench.turn()
        bench.work.done()
        assert_that(result_of(done), is_(item.upper()))
    assert_that(bench.work.batches, contains_exactly(["a"], ["b"]))


def test_a_batch_is_bounded() -> None:
    bench = Bench(most=2)
    done = bench.put("a", "b", "c", "d", "e")
    bench.turn()
    for _ in range(3):
        bench.work.done()
    assert_that(bench.work.batches, contains_exactly(["a", "b"], ["c", "d"], ["e"]))
    assert_that([result_of(each) for each in done], equal_to(["A", "B", "C", "D", "E"]))


def test_a_failure_is_that_of_each_of_its_batch_and_of_none_of_the_next() -> None:
    bench = Bench(most=2)
    first, second, third = bench.put("a", "b", "c")
    bench.turn()
    error = ValueError("no")
    bench.work.fail(error)
    assert_that((error_of(first), error_of(second), third.called), equal_to((error, error, False)))
    bench.work.done()
    assert_that(result_of(third), is_("C"))
    (later,) = bench.put("d")
    bench.turn()
    bench.work.done()
    assert_that(result_of(later), is_("D"))


@pytest.mark.parametrize("under_way", [False, True])
def test_a_caller_who_gives_up_takes_the_answer_from_nobody_else(bench: Bench, under_way: bool) -> None:
    before, given_up, after = bench.put("a", "b", "c")
    if under_way:
        bench.turn()
    given_up.cancel()
    assert_that(error_of(given_up), instance_of(CancelledError))
    if not under_way:
        bench.turn()
    bench.work.done()
    assert_that((bench.work.batches, result_of(before), result_of(after)), equal_to(([["a", "b", "c"]], "A", "C")))
    (later,) = bench.put("d")
    bench.turn()
    bench.work.done()
    assert_that(result_of(later), is_("D"))


def test_a_caller_who_gives_up_is_not_told_of_a_failure_and_the_others_are(bench: Bench) -> None:
    given_up, other = bench.put("a", "b")
    bench.turn()
    given_up.cancel()
    bench.work.fail(ValueError("no"))
    assert_that(
        (error_of(given_up), error_of(other)), contains_exactly(instance_of(CancelledError), instance_of(ValueError))
    )
    (later,) = bench.put("c")
    bench.turn()
    assert_that(bench.work.batches, has_length(2))
    bench.work.done()
    assert_that(result_of(later), is_("C"))
