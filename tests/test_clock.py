"""A clock that no change of the time of day moves."""

from __future__ import annotations

import time

import pytest
from hamcrest import assert_that, contains_exactly, empty, equal_to, greater_than_or_equal_to, is_, less_than
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import Clock
from zope.interface.verify import verifyObject

from dialer.clock import MonotonicClock


def test_seconds_go_forward_though_the_time_of_day_is_set_back(monkeypatch: pytest.MonkeyPatch) -> None:
    reactor = Clock()
    reactor.advance(1000)
    clock = MonotonicClock(reactor)
    before = clock.seconds()
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now - 3600)
    reactor.rightNow -= 900  # the reactor's own seconds are those of the time of day
    after = clock.seconds()
    assert_that(after, greater_than_or_equal_to(before))
    assert_that(after - before, less_than(60))


def test_seconds_do_not_jump_when_the_time_of_day_is_set_forward(monkeypatch: pytest.MonkeyPatch) -> None:
    reactor = Clock()
    clock = MonotonicClock(reactor)
    before = clock.seconds()
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 3600)
    reactor.rightNow += 3600
    assert_that(clock.seconds() - before, less_than(60))


def test_timers_are_the_reactors() -> None:
    reactor = Clock()
    clock = MonotonicClock(reactor)
    called: list[object] = []
    kept = clock.callLater(5, lambda *args, **kw: called.append((args, kw)), "a", b="c")
    cancelled = clock.callLater(5, called.append, "never")
    assert_that(clock.getDelayedCalls(), equal_to(reactor.getDelayedCalls()))
    cancelled.cancel()
    assert_that(clock.getDelayedCalls(), contains_exactly(kept))
    reactor.advance(4.9)
    assert_that(called, empty())
    reactor.advance(0.1)
    assert_that((called, reactor.getDelayedCalls()), equal_to(([(("a",), {"b": "c"})], [])))


def test_it_can_stand_in_for_the_reactors_time() -> None:
    assert_that(verifyObject(IReactorTime, MonotonicClock(Clock())), is_(True))
