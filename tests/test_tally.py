"""When the tally is kept, on a clock and with a store that the test turns."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hamcrest import assert_that, contains_exactly, empty, equal_to, has_length, is_
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from dialer.store.database import CommitUnknown, DatabaseDown
from dialer.store.tally import TallyStore
from dialer.tally import EVERY, LEARN_EVERY, LEAST, MEND_AGAIN, Tally
from tests.hygiene import LoggedFailures
from tests.service.shared import listening
from tests.stand_in import stands_in_for


@stands_in_for(TallyStore)
class Store:
    """Notes what it does, and does it at once, unless the test makes it slow or makes it fail."""

    def __init__(self) -> None:
        self.deeds: list[str] = []
        self.least: set[int] = set()
        self.wrong = 0
        self.fails: dict[str, Exception] = {}
        self.slow: Deferred[None] | None = None

    async def mend(self) -> int:
        await self._do("mend")
        return self.wrong

    async def fold(self, least: int) -> int:
        self.least.add(least)
        await self._do("fold")
        return 0

    async def learn(self) -> None:
        await self._do("learn")

    async def _do(self, deed: str) -> None:
        self.deeds.append(deed)
        if self.slow is not None:
            await self.slow
        if deed in self.fails:
            raise self.fails[deed]


class Bench:
    def __init__(self) -> None:
        self.clock = Clock()
        self.store = Store()
        self.dialers = 1
        self.tally = Tally(self.clock, self.store, dialers=lambda: self.dialers)  # type: ignore[arg-type]

    def start(self) -> Store:
        """The first look is over, or under way when it is slow."""
        self.tally.startService()
        return self.store

    def stop(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self.tally.stopService())

    def later(self, seconds: float) -> list[str]:
        """What is done in this time."""
        self.store.deeds.clear()
        self.clock.pump([EVERY] * round(seconds / EVERY))
        return self.store.deeds


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.stop()
    assert_that(bench.clock.getDelayedCalls(), is_(empty()), "timers left")


def test_it_is_held_against_the_contacts_at_the_start_and_then_no_more(bench: Bench) -> None:
    store = bench.start()
    assert_that(store.deeds[0], is_("mend"))
    assert_that("mend" in bench.later(60), is_(False))


def test_mistakes_found_are_told(bench: Bench) -> None:
    with listening() as heard:
        bench.store.wrong = 3
        bench.start()
        bench.later(5)
    assert_that(heard.lines("wrong"), contains_exactly("The tally of contacts was wrong for 3 kinds; put right"))


def test_a_tally_that_is_right_is_not_told(bench: Bench) -> None:
    with listening() as heard:
        bench.start()
    assert_that(heard.lines("wrong"), empty())


def test_changes_are_folded_every_second_when_there_are_enough(bench: Bench) -> None:
    assert_that(bench.start().deeds.count("fold"), is_(1))
    assert_that(bench.later(30).count("fold"), is_(30))
    assert_that(bench.store.least, equal_to({LEAST}))


def test_each_of_several_dialers_looks_so_many_times_as_seldom_whether_there_are_enough(bench: Bench) -> None:
    bench.dialers = 4
    assert_that(bench.start().deeds.count("fold"), is_(1))
    assert_that(bench.later(32).count("fold"), is_(8))


def test_postgresql_looks_at_its_tables_at_the_start_and_every_few_seconds(bench: Bench) -> None:
    assert_that(bench.start().deeds, contains_exactly("mend", "fold", "learn"))
    assert_that("learn" in bench.later(LEARN_EVERY - EVERY), is_(False))
    assert_that(bench.later(EVERY), contains_exactly("fold", "learn"))
    assert_that(bench.later(4 * LEARN_EVERY).count("learn"), is_(4))


@pytest.mark.parametrize("deed", ["mend", "fold", "learn"])
@pytest.mark.parametrize("error", [DatabaseDown("down"), CommitUnknown("lost")])
def test_an_outage_only_delays_it(bench: Bench, error: Exception, deed: str) -> None:
    bench.store.fails[deed] = error
    bench.start()
    bench.later(2)
    bench.store.fails.clear()
    assert_that(set(bench.later(LEARN_EVERY)), equal_to({"fold", "learn"}))


@pytest.mark.parametrize("deed", ["mend", "fold", "learn"])
def test_an_unforeseen_error_is_logged_and_it_goes_on(bench: Bench, deed: str, logged_failures: LoggedFailures) -> None:
    bench.store.fails[deed] = ArithmeticError()
    bench.start()
    bench.store.fails.clear()
    assert_that(logged_failures.flush(ArithmeticError), has_length(1))
    assert_that(set(bench.later(LEARN_EVERY)), equal_to({"fold", "learn"}))


def test_a_look_that_takes_long_is_not_overtaken_by_the_next(bench: Bench) -> None:
    bench.store.slow = slow = Deferred()
    bench.start()
    assert_that(bench.later(10), empty())
    bench.store.slow = None
    slow.callback(None)
    assert_that(bench.store.deeds, contains_exactly("fold", "learn"))
    assert_that(bench.later(3).count("fold"), is_(3))


def test_a_stop_is_over_at_once_when_nothing_is_under_way(bench: Bench) -> None:
    bench.start()
    assert_that(bench.stop().called, is_(True))
    assert_that(bench.clock.getDelayedCalls(), empty())
    assert_that(bench.later(10), empty())


def test_a_stop_waits_for_what_is_under_way_and_begins_nothing_anew(bench: Bench) -> None:
    bench.start()
    bench.store.slow = slow = Deferred()
    assert_that(bench.later(EVERY), contains_exactly("fold"))
    stopped = bench.stop()
    assert_that((stopped.called, bench.clock.getDelayedCalls()), equal_to((False, [])))
    slow.callback(None)
    assert_that(stopped.called, is_(True))
    assert_that(bench.later(10), empty())


def test_a_stop_before_the_start_is_over_at_once(bench: Bench) -> None:
    assert_that(bench.stop().called, is_(True))


def test_a_stop_that_takes_too_long_can_be_left_behind(bench: Bench) -> None:
    bench.store.slow = Deferred()
    bench.start()
    stopped = bench.stop()
    stopped.cancel()
    assert_that(stopped.called, is_(True))
    assert_that(bench.clock.getDelayedCalls(), empty())


@pytest.mark.parametrize("error", [DatabaseDown("down"), CommitUnknown("lost")])
def test_a_comparison_that_failed_is_made_again_until_one_succeeds(bench: Bench, error: Exception) -> None:
    bench.store.fails["mend"] = error
    bench.start()
    assert_that(bench.later(2 * MEND_AGAIN).count("mend"), is_(2))
    bench.store.fails.clear()
    assert_that(bench.later(3 * MEND_AGAIN).count("mend"), is_(1))
