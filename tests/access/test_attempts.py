"""How often each caller may try."""

from __future__ import annotations

from hamcrest import assert_that, equal_to, is_
from twisted.internet.task import Clock

from dialer.access import attempts
from dialer.access.attempts import Attempts


def test_each_caller_may_try_so_often_and_again_after_a_while() -> None:
    clock = Clock()
    tries = Attempts(clock, most=2, seconds=60.0)
    assert_that([tries.note("a"), tries.note("a"), tries.note("a")], equal_to([True, True, False]))
    assert_that(tries.wait("a"), is_(60))
    clock.advance(59.5)
    assert_that(tries.wait("a"), is_(1))
    assert_that((tries.wait("b"), tries.note("b")), equal_to((0, True)))
    clock.advance(0.5)
    assert_that((tries.wait("a"), tries.note("a")), equal_to((0, True)))


def test_the_one_seen_longest_ago_is_forgotten_when_there_are_too_many() -> None:
    tries = Attempts(Clock(), most=1, seconds=60.0)
    for number in range(attempts.KEPT):
        tries.note(str(number))
    assert_that((tries.wait("0"), tries.wait("1")), equal_to((60, 60)))
    tries.note("0")
    tries.note("one more")
    assert_that((tries.wait("0"), tries.wait("1"), tries.wait("2")), equal_to((60, 0, 60)))
