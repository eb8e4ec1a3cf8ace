"""How the results of calls get into the database, on a clock and with a store that the test turns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hamcrest import (
    assert_that,
    contains_exactly,
    empty,
    equal_to,
    greater_than,
    has_length,
    instance_of,
    is_,
    less_than_or_equal_to,
    none,
)
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from dialer import settlement as module
from dialer.contact import Status
from dialer.settlement import LONGEST_RETRY, Dropped, Settlement
from dialer.store.contacts import LOCKED, Change, ContactStore
from dialer.store.database import CommitUnknown, DatabaseDown, Unable
from tests.esl.support import error_of, result_of
from tests.hygiene import LoggedFailures
from tests.service.shared import listening
from tests.stand_in import stands_in_for


def ended(contact_id: str, taking: int = 1, result: str = "NO_ANSWER") -> Change:
    return Change(contact_id, taking, Status.DIALED, Status.ENDED, result, campaign_id="k")


@stands_in_for(ContactStore, but=frozenset({"commit", "fail"}))
class Store:
    """Each batch waits until the test says what becomes of it."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self._under_way: list[tuple[Sequence[Change], Deferred[dict[tuple[str, int], str]]]] = []

    async def apply(self, changes: Sequence[Change]) -> dict[tuple[str, int], str]:
        assert not self._under_way, "two batches at once"
        self.batches.append([change.contact_id for change in changes])
        done: Deferred[dict[tuple[str, int], str]] = Deferred()
        self._under_way.append((changes, done))
        return await done

    def commit(self, *, but: Sequence[str] = (), locked: Sequence[str] = ()) -> None:
        """The batch under way is written; somebody else was first with the contacts `but`, or has locked them."""
        changes, done = self._under_way.pop()
        done.callback(
            {
                (c.contact_id, c.taking): LOCKED if c.contact_id in locked else str(c.to)
                for c in changes
                if c.contact_id not in but
            }
        )

    def fail(self, error: Exception) -> None:
        self._under_way.pop()[1].errback(error)


class Picky:
    """A store that answers at once, and cannot store some results."""

    def __init__(self, *poison: str) -> None:
        self.poison = set(poison)
        self.written: list[str] = []

    async def apply(self, changes: Sequence[Change]) -> dict[tuple[str, int], str]:
        if self.poison.intersection(change.contact_id for change in changes):
            raise ValueError("cannot be stored")
        self.written += [change.contact_id for change in changes]
        return {(change.contact_id, change.taking): "ended" for change in changes}


class Bench:
    def __init__(self, store: Any = None, **options: Any) -> None:
        self.clock = Clock()
        self.store = store or Store()
        self.told: list[list[str]] = []
        self.settlement = Settlement(
            self.clock,
            self.store,
            patience=3.0,
            random=lambda: 0.5,
            on_settled=lambda changes: self.told.append([change.contact_id for change in changes]),
            **options,
        )
        self.settlement.startService()

    def settle(self, *contact_ids: str) -> list[Deferred[str | None]]:
        return [self.settlement.settle(ended(contact_id)) for contact_id in contact_ids]

    def stop(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self.settlement.stopService())


@pytest.fixture
def bench() -> Bench:
    return Bench()


# batches


def test_a_change_in_quiet_times_is_written_at_once(bench: Bench) -> None:
    (done,) = bench.settle("a")
    assert_that(bench.store.batches, contains_exactly(["a"]))
    bench.store.commit()
    assert_that((result_of(done), bench.told, bench.settlement.waiting), equal_to(("ended", [["a"]], 0)))


def test_changes_that_come_while_others_are_written_share_the_next_statement(bench: Bench) -> None:
    bench.settle("a", "b", "c", "d")
    bench.store.commit()
    assert_that(bench.store.batches, contains_exactly(["a"], ["b", "c", "d"]))
    bench.store.commit()


def test_a_batch_is_bounded(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BATCH", 2)
    bench.settle("a", "b", "c", "d")
    for _ in range(3):
        bench.store.commit()
    assert_that(bench.store.batches, contains_exactly(["a"], ["b", "c"], ["d"]))


def test_two_changes_of_one_contact_are_never_in_one_statement_and_keep_their_order(bench: Bench) -> None:
    bench.settle("x")
    first = bench.settlement.settle(ended("a", 1, "FIRST"))
    bench.settle("b")
    second = bench.settlement.settle(ended("a", 1, "SECOND"))
    bench.settle("c")
    bench.store.commit()
    assert_that(bench.store.batches, contains_exactly(["x"], ["a", "b"]))
    bench.store.commit()
    assert_that(bench.store.batches[2:], contains_exactly(["a", "c"]))
    bench.store.commit(but=["a"])
    assert_that((result_of(first), result_of(second)), equal_to(("ended", None)))


def test_who_was_second_is_told_so_and_frees_nothing(bench: Bench) -> None:
    (done,) = bench.settle("a")
    answers: list[Any] = []
    done.addCallback(answers.append)
    bench.store.commit(but=["a"])
    assert_that((answers, bench.told), equal_to(([None], [[]])))


def test_those_who_wait_are_answered_after_the_slots_are_known_to_be_free(bench: Bench) -> None:
    (done,) = bench.settle("a")
    seen: list[Any] = []
    done.addCallback(lambda _: seen.extend(bench.told))
    bench.store.commit()
    assert_that(seen, equal_to([["a"]]))


def test_a_change_that_an_answer_brings_about_is_written_too(bench: Bench) -> None:
    (done,) = bench.settle("a")
    done.addCallback(lambda _: bench.settle("b"))
    bench.store.commit()
    assert_that(bench.store.batches, contains_exactly(["a"], ["b"]))
    bench.store.commit()


def test_a_listener_that_fails_keeps_nobody_from_being_answered(logged_failures: LoggedFailures) -> None:
    bench = Bench()
    bench.settlement._on_settled = lambda _: 1 / 0
    (done,) = bench.settle("a")
    bench.store.commit()
    assert_that(result_of(done), is_("ended"))
    bench.settle("b")
    assert_that(bench.store.batches, contains_exactly(["a"], ["b"]))
    bench.store.commit()
    assert_that(logged_failures.flush(ZeroDivisionError), has_length(2))


# statements that are shared


@pytest.fixture
def gathering() -> Bench:
    """Statements begin half a second apart."""
    return Bench(apart=lambda: 0.5)


def test_the_first_change_is_written_at_once_and_those_soon_after_it_share_the_next_statement(gathering: Bench) -> None:
    gathering.settle("a")
    gathering.store.commit()
    gathering.settle("b")
    gathering.clock.advance(0.3)
    gathering.settle("c")
    assert_that(gathering.store.batches, contains_exactly(["a"]))
    gathering.clock.advance(0.2)
    assert_that(gathering.store.batches, contains_exactly(["a"], ["b", "c"]))
    gathering.store.commit()
    assert_that(gathering.clock.getDelayedCalls(), empty())


def test_a_change_long_after_the_last_statement_is_written_at_once(gathering: Bench) -> None:
    gathering.settle("a")
    gathering.store.commit()
    gathering.clock.advance(0.5)
    gathering.settle("b")
    assert_that(gathering.store.batches, contains_exactly(["a"], ["b"]))
    gathering.store.commit()


def test_after_a_statement_that_took_longer_than_that_the_next_begins_at_once(gathering: Bench) -> None:
    gathering.settle("a", "b")
    gathering.clock.advance(0.6)
    gathering.store.commit()
    assert_that(gathering.store.batches, contains_exactly(["a"], ["b"]))
    gathering.store.commit()


def test_what_was_set_aside_and_comes_back_early_waits_for_the_others_and_goes_with_them() -> None:
    bench = Bench(apart=lambda: LONGEST_RETRY)
    bench.settle("locked")
    bench.store.commit(locked=["locked"])
    bench.clock.advance(LONGEST_RETRY / 2)
    bench.settle("a")
    assert_that(bench.store.batches, contains_exactly(["locked"]))
    bench.clock.advance(LONGEST_RETRY / 2)
    assert_that(bench.store.batches, contains_exactly(["locked"], ["a", "locked"]))
    bench.store.commit()


def test_a_stop_does_not_wait_for_the_next_statement_to_be_due(gathering: Bench) -> None:
    gathering.settle("a")
    gathering.store.commit()
    done = gathering.settle("b", "c")
    stopped = gathering.stop()
    assert_that(gathering.store.batches, contains_exactly(["a"], ["b", "c"]))
    gathering.store.commit()
    assert_that((stopped.called, [result_of(each) for each in done]), equal_to((True, ["ended", "ended"])))
    assert_that(gathering.clock.getDelayedCalls(), empty())


# outages


@pytest.mark.parametrize("error", [DatabaseDown("down"), CommitUnknown("who knows")])
def test_an_outage_keeps_the_changes_and_writes_them_when_it_is_over(bench: Bench, error: Exception) -> None:
    done = bench.settle("a", "b")
    bench.store.commit()
    answers: list[Any] = []
    done[1].addBoth(answers.append)
    for _ in range(5):
        bench.store.fail(error)
        assert_that((answers, bench.settlement.waiting), equal_to(([], 1)))
        bench.clock.advance(LONGEST_RETRY)
    bench.store.commit()
    assert_that(answers, equal_to(["ended"]))
    assert_that(bench.clock.getDelayedCalls(), empty())


def test_what_comes_during_an_outage_is_written_after_what_was_there(bench: Bench) -> None:
    bench.settle("a")
    bench.store.fail(DatabaseDown("down"))
    bench.settle("b", "c")
    bench.clock.advance(LONGEST_RETRY)
    assert_that(bench.store.batches, contains_exactly(["a"], ["a", "b", "c"]))
    bench.store.commit()


def test_a_batch_that_was_not_written_stays_first_in_line_and_in_its_order(bench: Bench) -> None:
    bench.settle("x", "a", "b")
    bench.store.commit()
    bench.settle("c")
    bench.store.fail(DatabaseDown("down"))
    bench.clock.advance(LONGEST_RETRY)
    assert_that(bench.store.batches[-1], contains_exactly("a", "b", "c"))
    bench.store.commit()


def test_the_waits_between_tries_grow_up_to_a_bound(bench: Bench) -> None:
    bench.settle("a")
    waits = []
    for _ in range(12):
        bench.store.fail(DatabaseDown("down"))
        (timer,) = bench.clock.getDelayedCalls()
        waits.append(timer.getTime() - bench.clock.seconds())
        bench.clock.advance(waits[-1])
    bench.store.commit()
    waits = [round(wait, 6) for wait in waits]
    assert_that(waits, equal_to(sorted(waits)))
    assert_that(waits[0], less_than_or_equal_to(0.1))
    assert_that(waits[-1], less_than_or_equal_to(LONGEST_RETRY))
    assert_that(waits[-1], greater_than(LONGEST_RETRY / 2))


def test_too_many_changes_drop_the_oldest_and_say_so() -> None:
    bench = Bench(kept=3)
    (oldest,) = bench.settle("a")
    bench.store.fail(DatabaseDown("down"))
    rest = bench.settle("b", "c", "d")
    assert_that((bench.settlement.dropped, bench.settlement.waiting), equal_to((1, 3)))
    bench.clock.advance(LONGEST_RETRY)
    assert_that(bench.store.batches[-1], equal_to(["b", "c", "d"]))
    bench.store.commit()
    assert_that([result_of(done) for done in rest], equal_to(["ended"] * 3))
    assert_that(error_of(oldest), instance_of(Dropped))


def test_a_dropped_change_is_answered_with_dropped() -> None:
    bench = Bench(kept=1)
    (writing, oldest, newest) = bench.settle("a", "b", "c")
    assert_that(error_of(oldest), instance_of(Dropped))
    bench.store.commit()
    bench.store.commit()
    assert_that((result_of(writing), result_of(newest)), equal_to(("ended", "ended")))


def test_what_is_put_back_is_kept_within_the_bound_as_well() -> None:
    bench = Bench(kept=2)
    _, *oldest = bench.settle("x", "a", "b")
    bench.store.commit()
    bench.settle("c", "d")
    bench.store.fail(DatabaseDown("down"))
    assert_that((bench.settlement.dropped, bench.settlement.waiting), equal_to((2, 2)))
    assert_that([type(error_of(each)) for each in oldest], equal_to([Dropped, Dropped]))
    bench.clock.advance(LONGEST_RETRY)
    assert_that(bench.store.batches[-1], contains_exactly("c", "d"))
    bench.store.commit()


def test_what_is_just_being_written_is_counted_as_waiting(bench: Bench) -> None:
    bench.settle("a", "b")
    assert_that(bench.settlement.waiting, is_(2))
    bench.store.commit()
    assert_that(bench.settlement.waiting, is_(1))
    bench.store.commit()
    assert_that(bench.settlement.waiting, is_(0))


def test_an_outage_is_told_once_and_its_end_with_how_many_were_kept(bench: Bench) -> None:
    with listening() as heard:
        bench.settle("a")
        bench.store.fail(DatabaseDown("no route"))
        bench.settle("b", "c")
        for _ in range(3):
            bench.clock.advance(LONGEST_RETRY)
            bench.store.fail(DatabaseDown("still no route"))
        bench.clock.advance(LONGEST_RETRY)
        bench.store.commit()
        bench.settle("d")
        bench.store.commit()
    assert_that(heard.lines("kept"), contains_exactly(KEPT_IN_MEMORY + "no route", TAKES_AGAIN + "up to 3 were kept"))


KEPT_IN_MEMORY = "Results of calls are kept in memory, the database does not take them: "
TAKES_AGAIN = "The database takes results of calls again, "


# what cannot be written just now


def test_a_contact_that_another_session_has_locked_is_tried_again_and_holds_up_no_others(bench: Bench) -> None:
    _, locked, other = bench.settle("x", "locked", "a")
    bench.store.commit()
    bench.store.commit(locked=["locked"])
    assert_that((result_of(other), locked.called, bench.told[-1]), equal_to(("ended", False, ["a"])))
    (soon,) = bench.settle("b")
    assert_that(bench.store.batches[-1], contains_exactly("b"))
    bench.store.commit()
    assert_that((result_of(soon), bench.settlement.waiting), equal_to(("ended", 1)))
    bench.clock.advance(LONGEST_RETRY)
    assert_that(bench.store.batches[-1], contains_exactly("locked"))
    bench.store.commit()
    assert_that((result_of(locked), bench.clock.getDelayedCalls()), equal_to(("ended", [])))


def test_what_waits_for_a_lock_is_tried_again_however_many_others_come(bench: Bench) -> None:
    bench.settle("locked")
    bench.store.commit(locked=["locked"])
    bench.settle("a")
    bench.clock.advance(LONGEST_RETRY)
    bench.settle("b")
    bench.store.commit()
    assert_that(bench.store.batches, contains_exactly(["locked"], ["a"], ["b", "locked"]))
    bench.store.commit()


def test_a_lock_is_told_once_and_its_end_too(bench: Bench) -> None:
    with listening() as heard:
        bench.settle("locked")
        for _ in range(3):
            bench.store.commit(locked=["locked"])
            bench.clock.advance(LONGEST_RETRY)
        bench.store.commit()
    reason = "contact locked of campaign k: another session has locked it"
    assert_that(heard.lines("kept"), contains_exactly(KEPT_IN_MEMORY + reason, TAKES_AGAIN + "up to 1 were kept"))


@pytest.mark.parametrize("code", ["57014", "55P03"])
def test_a_statement_that_is_cancelled_is_divided_and_what_it_stumbled_over_waits_behind_the_others(
    bench: Bench, code: str
) -> None:
    _, first, slow, last = bench.settle("x", "a", "slow", "b")
    bench.store.commit()
    bench.store.fail(Unable(code, "cancelled"))
    bench.store.commit()
    bench.store.fail(Unable(code, "cancelled"))
    bench.store.commit()
    assert_that(bench.store.batches[1:], contains_exactly(["a", "slow", "b"], ["a"], ["slow"], ["b"]))
    assert_that((result_of(first), slow.called, result_of(last)), equal_to(("ended", False, "ended")))
    bench.clock.advance(LONGEST_RETRY)
    bench.settle("c", "d")
    bench.store.commit()
    assert_that(result_of(slow), is_("ended"))
    assert_that(bench.store.batches[-1], contains_exactly("c", "d"))
    bench.store.commit()


def test_a_disk_that_is_full_is_an_outage_like_others(bench: Bench) -> None:
    bench.settle("x", "a", "b")
    bench.store.commit()
    bench.store.fail(Unable("53100", "No space left on device"))
    bench.clock.advance(LONGEST_RETRY)
    assert_that(bench.store.batches[-1], contains_exactly("a", "b"))
    bench.store.commit()


@pytest.mark.parametrize("written", [True, False])
def test_a_stop_tries_what_waits_for_a_lock_once_more(bench: Bench, written: bool) -> None:
    (locked,) = bench.settle("locked")
    bench.store.commit(locked=["locked"])
    stopped = bench.stop()
    bench.store.commit(locked=[] if written else ["locked"])
    assert_that(stopped.called, is_(True))
    if written:
        assert_that(result_of(locked), is_("ended"))
    else:
        assert_that(error_of(locked), instance_of(Dropped))


# what cannot be stored


def test_a_change_that_cannot_be_stored_does_not_take_others_with_it(logged_failures: LoggedFailures) -> None:
    bench = Bench(Picky("poison"))
    slow = Store()
    bench.settlement._store = slow  # the first statement lasts, so that the others share the next
    done = bench.settle("first", "a", "poison", "b")
    bench.settlement._store = bench.store
    slow.commit()
    assert_that(bench.store.written, contains_exactly("a", "b"))
    assert_that([result_of(done[n]) for n in (0, 1, 3)], equal_to(["ended"] * 3))
    assert_that(error_of(done[2]), instance_of(Dropped))
    assert_that(bench.settlement.dropped, is_(1))
    logged_failures.flush(ValueError)


def test_after_a_change_that_cannot_be_stored_others_are_written(logged_failures: LoggedFailures) -> None:
    bench = Bench(Picky("poison"))
    (poison,) = bench.settle("poison")
    assert_that(error_of(poison), instance_of(Dropped))
    (good,) = bench.settle("good")
    assert_that(result_of(good), is_("ended"))
    logged_failures.flush(ValueError)


def test_one_change_that_cannot_be_stored_does_not_make_the_statements_small_for_good(
    logged_failures: LoggedFailures,
) -> None:
    bench = Bench()
    _, poison, *_ = bench.settle("x", "poison", *"abcdefgh")
    bench.store.commit()
    bench.store.fail(ValueError("cannot be stored"))
    bench.store.fail(ValueError("cannot be stored"))
    bench.settle("i", "j")
    for _ in range(9):
        bench.store.commit()
    assert_that([len(batch) for batch in bench.store.batches], equal_to([1, 9, *[1] * 9, 2]))
    assert_that((error_of(poison), bench.settlement.waiting), contains_exactly(instance_of(Dropped), 0))
    logged_failures.flush(ValueError)


# waiting for the answer


def test_who_waits_for_the_answer_gets_it(bench: Bench) -> None:
    soon = Deferred.fromCoroutine(bench.settlement.settle_soon(ended("a")))
    assert_that(result_of(soon), none())
    bench.store.commit()
    assert_that(bench.clock.getDelayedCalls(), empty())


def test_who_waits_for_the_answer_is_let_go_in_time_but_the_change_is_written(bench: Bench) -> None:
    answers: list[Any] = []
    soon = Deferred.fromCoroutine(bench.settlement.settle_soon(ended("a")))
    soon.addBoth(answers.append)
    bench.store.fail(DatabaseDown("down"))
    bench.clock.advance(2.9)
    assert_that(answers, empty())
    bench.clock.advance(0.1)
    assert_that(answers[0].value, instance_of(DatabaseDown))
    bench.store.commit()
    assert_that((len(answers), bench.told, bench.clock.getDelayedCalls()), equal_to((1, [["a"]], [])))


def test_who_waits_and_is_cancelled_leaves_the_change_to_be_written(bench: Bench) -> None:
    soon = Deferred.fromCoroutine(bench.settlement.settle_soon(ended("a")))
    soon.addErrback(lambda _: None)
    soon.cancel()
    bench.store.commit()
    assert_that(bench.told, equal_to([["a"]]))
    bench.clock.advance(10)


# stopping


def test_a_stop_without_changes_is_over_at_once(bench: Bench) -> None:
    stopped = bench.stop()
    assert_that(stopped.called, is_(True))


def test_a_stop_waits_until_everything_is_written_also_what_comes_late(bench: Bench) -> None:
    bench.settle("a", "b")
    stopped = bench.stop()
    (late,) = bench.settle("c")
    bench.store.commit()
    assert_that(stopped.called, is_(False))
    bench.store.commit()
    assert_that((stopped.called, result_of(late)), equal_to((True, "ended")))


def test_a_stop_during_an_outage_tries_once_more_at_once(bench: Bench) -> None:
    (done,) = bench.settle("a")
    bench.store.fail(DatabaseDown("down"))
    stopped = bench.stop()
    assert_that(bench.store.batches, contains_exactly(["a"], ["a"]))
    bench.store.commit()
    assert_that((stopped.called, result_of(done)), equal_to((True, "ended")))


def test_a_stop_that_cannot_write_answers_everybody_and_is_over(bench: Bench) -> None:
    done = bench.settle("a", "b", "c")
    stopped = bench.stop()
    bench.store.fail(DatabaseDown("down"))
    assert_that(stopped.called, is_(True))
    assert_that([type(error_of(each)) for each in done], equal_to([Dropped] * 3))
    assert_that((bench.settlement.dropped, bench.clock.getDelayedCalls()), equal_to((3, [])))


def test_a_change_after_the_stop_is_answered_with_dropped(bench: Bench) -> None:
    bench.stop()
    (late,) = bench.settle("a")
    assert_that(error_of(late), instance_of(Dropped))
    assert_that((bench.store.batches, bench.settlement.waiting), equal_to(([], 0)))


def test_a_stop_that_takes_too_long_can_be_left_behind_while_the_statement_goes_on(bench: Bench) -> None:
    done = bench.settle("a", "b")
    stopped = bench.stop()
    stopped.addErrback(lambda _: None)
    stopped.cancel()
    assert_that(stopped.called, is_(True))
    bench.store.commit()
    bench.store.fail(DatabaseDown("down"))
    assert_that((result_of(done[0]), type(error_of(done[1]))), equal_to(("ended", Dropped)))


def test_what_a_commit_of_unknown_outcome_may_have_changed_counts_as_changed() -> None:
    bench = Bench()
    bench.settle("a")
    bench.store.fail(CommitUnknown("lost"))
    bench.clock.advance(LONGEST_RETRY)
    bench.store.commit(but=["a"])
    assert_that(bench.told, equal_to([["a"]]))
