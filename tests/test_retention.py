"""When old things are removed, on a clock that the test turns."""

from __future__ import annotations

from typing import Any

import pytest
from hamcrest import assert_that, contains_exactly, empty, equal_to, has_length, is_
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from dialer.retention import AGAIN, EVERY, PAUSE, Retention
from dialer.store.database import CommitUnknown, DatabaseDown
from dialer.store.retention import Page, Place
from tests.hygiene import LoggedFailures
from tests.service.shared import listening


class Pages:
    """One kind of thing, whose pages are what the test says: values, errors or Deferreds of them; then empty ones."""

    def __init__(self, *pages: Any) -> None:
        self.pages = list(pages)
        self.asked: list[tuple[float, Place | None]] = []

    async def remove(self, days: float, after: Place | None) -> Page:
        self.asked.append((days, after))
        page = self.pages.pop(0) if self.pages else Page()
        if isinstance(page, Deferred):
            page = await page
        if isinstance(page, Exception):
            raise page
        return page


@pytest.fixture
def clock() -> Clock:
    return Clock()


def started(clock: Clock, *kinds: Pages, days: float = 90.0) -> Retention:
    retention = Retention(clock, [(f"kind {n}", kind.remove) for n, kind in enumerate(kinds)], days=days)
    retention.startService()
    return retention


def at(place: int, removed: int = 1) -> Page:
    return Page(removed, {"id": place})


def test_it_begins_at_the_start_and_again_every_hour(clock: Clock) -> None:
    kind = Pages()
    started(clock, kind)
    assert_that(kind.asked, equal_to([(90.0, None)]))
    clock.advance(EVERY - 1)
    assert_that(kind.asked, has_length(1))
    clock.advance(1)
    assert_that(kind.asked, has_length(2))


def test_it_goes_from_page_to_page_with_a_pause_after_each(clock: Clock) -> None:
    kind, next_kind = Pages(at(7), at(9), Page(1)), Pages()
    with listening() as heard:
        started(clock, kind, next_kind)
        for place in (7, 9):
            assert_that(next_kind.asked, is_(empty()))
            clock.advance(PAUSE)
            assert_that(kind.asked[-1], equal_to((90.0, {"id": place})))
    assert_that(next_kind.asked, has_length(1))
    assert_that(heard.lines("Removed"), contains_exactly("Removed 3 kind 0 older than 90 days"))


def test_with_0_days_nothing_is_ever_removed(clock: Clock) -> None:
    kind = Pages()
    retention = started(clock, kind, days=0.0)
    assert_that((kind.asked, clock.getDelayedCalls()), is_(([], [])))
    retention.stopService()


@pytest.mark.parametrize("error", [DatabaseDown("down"), CommitUnknown("lost")])
def test_an_outage_only_delays_it(clock: Clock, error: Exception) -> None:
    kind, next_kind = Pages(at(7), error), Pages()
    with listening() as heard:
        started(clock, kind, next_kind)
        clock.advance(PAUSE)
    assert_that(next_kind.asked, has_length(1))
    assert_that(heard.lines("Old kind 0 stay for now"), has_length(1))
    clock.advance(AGAIN)
    assert_that([after for _, after in kind.asked], equal_to([None, {"id": 7}, None]))
    clock.advance(EVERY)
    assert_that(kind.asked, has_length(4))


def test_an_unforeseen_error_is_logged_and_holds_up_nothing_else(clock: Clock, logged_failures: LoggedFailures) -> None:
    kind, next_kind = Pages(ArithmeticError()), Pages()
    started(clock, kind, next_kind)
    assert_that(next_kind.asked, has_length(1))
    assert_that(logged_failures.flush(ArithmeticError), has_length(1))
    clock.advance(AGAIN)
    assert_that(kind.asked, has_length(2))


def test_a_stop_ends_it_wherever_it_is(clock: Clock) -> None:
    under_way: Deferred[Page] = Deferred()
    for pages in ((under_way,), (at(7),), ()):
        kind = Pages(*pages)
        retention = started(clock, kind)
        retention.stopService()
        assert_that(clock.getDelayedCalls(), is_(empty()))
        clock.advance(EVERY)
        assert_that(kind.asked, has_length(1))
