"""Lines of histories on their way into the database, on a clock and with a store that the test turns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hamcrest import assert_that, contains_exactly, empty, equal_to, has_length, is_
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from dialer import journal as module
from dialer.happenings import Note, Seen
from dialer.journal import AGAIN, GATHERED, LONGEST_GATHERED, Journal
from dialer.store.database import CommitUnknown, DatabaseDown
from dialer.store.history import HistoryStore
from tests.calling import contact
from tests.hygiene import LoggedFailures
from tests.stand_in import stands_in_for


@stands_in_for(HistoryStore)
class Store:
    """Takes every batch unless told otherwise."""

    def __init__(self) -> None:
        self.written: list[list[Note]] = []
        self.fails: Exception | None = None
        self.slow: Deferred[None] | None = None

    async def add(self, notes: Sequence[Note]) -> None:
        if self.slow is not None:
            await self.slow
        if self.fails is not None:
            raise self.fails
        self.written.append(list(notes))


class Bench:
    def __init__(self, dialers: int = 1) -> None:
        self.clock = Clock()
        self.store = Store()
        self.journal = Journal(self.clock, self.store, dialers=lambda: dialers)  # type: ignore[arg-type]
        self.journal.startService()

    def note(self, *contact_ids: str, event: Seen = Seen.SENT) -> None:
        for contact_id in contact_ids:
            self.journal.note(contact(contact_id=contact_id, taking=3), event, "pbx")

    @property
    def written(self) -> list[list[str]]:
        return [[note.contact_id for note in batch] for batch in self.store.written]

    def stop(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self.journal.stopService())


def test_lines_of_a_while_are_written_together_with_their_age() -> None:
    bench = Bench()
    bench.note("a")
    bench.clock.advance(GATHERED / 2)
    bench.note("b", event=Seen.ANSWERED)
    assert_that(bench.written, empty())
    bench.clock.advance(GATHERED / 2)
    assert_that(
        bench.store.written,
        contains_exactly(
            [Note("a", 3, Seen.SENT, GATHERED, "pbx"), Note("b", 3, Seen.ANSWERED, GATHERED / 2, "pbx")],
        ),
    )
    assert_that(bench.clock.getDelayedCalls(), empty())


def test_lines_that_come_while_others_are_written_are_written_after_them() -> None:
    bench = Bench()
    bench.store.slow = Deferred()
    bench.note("a")
    bench.clock.advance(GATHERED)
    bench.note("b")
    bench.clock.advance(GATHERED * 2)
    slow, bench.store.slow = bench.store.slow, None
    slow.callback(None)
    bench.clock.advance(GATHERED)
    assert_that(bench.written, equal_to([["a"], ["b"]]))


@pytest.mark.parametrize(("dialers", "gathered"), [(3, 3 * GATHERED), (100, LONGEST_GATHERED)])
def test_each_of_several_dialers_gathers_for_longer_but_not_for_long(dialers: int, gathered: float) -> None:
    bench = Bench(dialers)
    bench.note("a")
    bench.clock.advance(gathered - 0.01)
    bench.note("b")
    assert_that(bench.written, empty())
    bench.clock.advance(0.01)
    assert_that(bench.written, equal_to([["a", "b"]]))


def test_a_batch_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BATCH", 2)
    bench = Bench()
    bench.note("a", "b", "c")
    bench.clock.advance(GATHERED)
    assert_that(bench.written, equal_to([["a", "b"], ["c"]]))


def test_lines_are_kept_while_the_database_is_down_with_their_true_age() -> None:
    bench = Bench()
    bench.store.fails = DatabaseDown("down")
    bench.note("a", "b")
    bench.clock.advance(GATHERED)
    bench.store.fails = None
    bench.clock.advance(AGAIN)
    (batch,) = bench.store.written
    age = GATHERED + AGAIN
    assert_that([(note.contact_id, note.ago) for note in batch], equal_to([("a", age), ("b", age)]))
    assert_that(bench.journal.lost, is_(0))


def test_only_so_many_are_kept_and_the_oldest_lost_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "KEPT", 3)
    bench = Bench()
    bench.store.slow, bench.store.fails = Deferred(), DatabaseDown("down")
    bench.note("a", "b")
    bench.clock.advance(GATHERED)
    bench.note("c", "d", "e", "f")
    slow, bench.store.slow = bench.store.slow, None
    slow.callback(None)
    bench.store.fails = None
    bench.clock.advance(AGAIN)
    assert_that((bench.written, bench.journal.lost), equal_to(([["d", "e", "f"]], 3)))


def test_lines_that_may_have_been_written_are_not_written_again() -> None:
    bench = Bench()
    bench.store.fails = CommitUnknown("lost")
    bench.note("a")
    bench.clock.advance(GATHERED)
    bench.store.fails = None
    bench.note("b")
    bench.clock.advance(AGAIN)
    assert_that((bench.written, bench.journal.lost), equal_to(([["b"]], 1)))


def test_lines_that_cannot_be_stored_are_logged_and_do_not_stop_the_next(logged_failures: LoggedFailures) -> None:
    bench = Bench()
    bench.store.fails = ValueError("cannot be stored")
    bench.note("a")
    bench.clock.advance(GATHERED)
    bench.store.fails = None
    bench.note("b")
    bench.clock.advance(GATHERED)
    assert_that((bench.written, bench.journal.lost), equal_to(([["b"]], 1)))
    assert_that(logged_failures.flush(ValueError), has_length(1))


def test_stopping_writes_what_there_is_after_what_is_being_written() -> None:
    bench = Bench()
    slow: Any = Deferred()
    bench.store.slow = slow
    bench.note("a")
    bench.clock.advance(GATHERED)
    bench.note("b")
    stopped = bench.stop()
    bench.store.slow = None
    assert_that(stopped.called, is_(False))
    slow.callback(None)
    assert_that((stopped.called, bench.written, bench.clock.getDelayedCalls()), equal_to((True, [["a"], ["b"]], [])))


def test_stopping_does_not_wait_for_a_database_that_is_down() -> None:
    bench = Bench()
    bench.store.fails = DatabaseDown("down")
    bench.note("a")
    stopped = bench.stop()
    assert_that((stopped.called, bench.written, bench.clock.getDelayedCalls()), equal_to((True, [], [])))
