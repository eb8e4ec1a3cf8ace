"""A few at a time, the others in line."""

from __future__ import annotations

from typing import Any

from attrs import define, field
from hamcrest import assert_that, contains_exactly, contains_string, empty, equal_to, instance_of
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from dialer.errors import DialerError
from dialer.turnstile import Turnstile


class Busy(DialerError):
    """The line is full."""


class Late(DialerError):
    """It was not their turn for too long."""


@define
class Crowd:
    """Those who want through a turnstile that lets two through and one wait for five seconds."""

    clock: Clock = field(factory=Clock)
    inside: dict[str, Deferred[str]] = field(factory=dict)
    turned_away: dict[str, Exception] = field(factory=dict)
    done: list[str] = field(factory=list)
    turnstile: Turnstile = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.turnstile = Turnstile(self.clock, at_once=2, waiting=1, patience=5.0, full=Busy, late=Late)

    def come(self, *names: str) -> None:
        """They come one after the other."""
        for name in names:
            self._come(name)

    def _come(self, name: str) -> None:
        def work() -> Deferred[str]:
            self.inside[name] = Deferred()
            return self.inside[name]

        async def go() -> None:
            try:
                self.done.append(await self.turnstile.run(work))
            except Exception as error:
                self.turned_away[name] = error

        Deferred.fromCoroutine(go())

    def leave(self, name: str, result: Any = None) -> None:
        """One is done, or fails."""
        inside = self.inside.pop(name)
        if result is None:
            inside.callback(name)
        else:
            inside.errback(result)


def test_as_many_go_through_as_there_are_places_and_the_next_when_one_is_done() -> None:
    crowd = Crowd()
    crowd.come("a", "b", "c")
    assert_that(crowd.inside, contains_exactly("a", "b"))
    crowd.leave("b")
    assert_that(crowd.inside, contains_exactly("a", "c"))
    assert_that((crowd.done, crowd.turned_away), equal_to((["b"], {})))


def test_who_finds_the_line_full_is_turned_away_at_once() -> None:
    crowd = Crowd()
    crowd.come("a", "b", "c", "d")
    assert_that(crowd.turned_away, contains_exactly("d"))
    assert_that(crowd.turned_away["d"], instance_of(Busy))


def test_who_has_waited_for_too_long_is_turned_away_and_takes_no_place() -> None:
    crowd = Crowd()
    crowd.come("a", "b", "c")
    crowd.clock.advance(5.1)
    assert_that(crowd.turned_away["c"], instance_of(Late))
    assert_that(str(crowd.turned_away["c"]), contains_string("5 s"))
    crowd.leave("a")
    crowd.come("d")
    assert_that(crowd.inside, contains_exactly("b", "d"))


def test_a_failure_inside_is_its_own_and_frees_the_place() -> None:
    crowd = Crowd()
    crowd.come("a", "b", "c")
    crowd.leave("a", ZeroDivisionError())
    assert_that(crowd.turned_away["a"], instance_of(ZeroDivisionError))
    assert_that(crowd.inside, contains_exactly("b", "c"))
    crowd.leave("b")
    crowd.leave("c")
    crowd.come("d", "e")
    assert_that(crowd.inside, contains_exactly("d", "e"))
    assert_that(crowd.clock.getDelayedCalls(), empty())
