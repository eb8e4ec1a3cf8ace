"""The lease of a process on its name: its own clock on a fake database, and the SQL on a real one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from random import Random
from typing import Any

import pytest
import pytest_twisted
from hamcrest import (
    assert_that,
    contains_exactly,
    empty,
    equal_to,
    greater_than,
    has_length,
    has_properties,
    instance_of,
    is_,
    less_than,
    none,
)
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock, deferLater

from dialer.lease import RENEWALS, Lease, NameInUse
from dialer.store.database import CommitUnknown, Database, DatabaseDown
from dialer.store.queries import sql
from dialer.trouble import Trouble
from tests.esl.support import error_of
from tests.hygiene import LoggedFailures
from tests.stand_in import stands_in_for

sure = pytest_twisted.ensureDeferred

LEASE_TIME = 30.0
CLAIMED = [{"id": "dialer-1", "before": 0, "after": 0}]
REFUSED: list[dict[str, Any]] = []


@stands_in_for(Database)
class Rows:
    """A database that answers with `answer`: rows, an error, or a Deferred of either."""

    def __init__(self) -> None:
        self.answer: Any = CLAIMED
        self.asked: list[str] = []
        self.breaks = 0
        self.broken: list[dict[str, Any]] = []

    async def run(self, query: str, params: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        if query == sql("lease_break"):
            self.breaks += 1
            return self.broken
        self.asked.append("release" if query == sql("lease_release") else "claim")
        answer = await self.answer if isinstance(self.answer, Deferred) else self.answer
        if isinstance(answer, Exception):
            raise answer
        return answer  # type: ignore[no-any-return]


class Held:
    """A Lease on a clock, and each change of whether it is held."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.database = Rows()
        self.changes: list[bool] = []
        self.lease = Lease(
            self.clock,
            self.database,  # type: ignore[arg-type]
            owner="dialer-1",
            lease_time=LEASE_TIME,
            on_change=lambda: self.changes.append(self.lease.held),
        )

    def claim(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self.lease.claim())

    def release(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self.lease.release())

    def pass_time(self, seconds: float) -> None:
        """In steps that no timer is coarser than."""
        for _ in range(round(seconds)):
            self.clock.advance(1.0)


@pytest.fixture
def held() -> Held:
    return Held()


# claiming


def test_it_knows_which_it_is_of_how_many_dialers(held: Held) -> None:
    assert_that((held.lease.share, held.lease.dialers()), equal_to(((0, 1), 1)))
    held.database.answer = [{"id": "dialer-1", "before": 1, "after": 2}]
    held.claim()
    assert_that((held.lease.share, held.lease.dialers()), equal_to(((1, 4), 4)))
    held.release()


def test_the_lease_is_not_held_before_it_is_claimed(held: Held) -> None:
    assert_that(held.lease.held, is_(False))
    assert_that(held.claim().called, is_(True))
    assert_that(held.lease.held, is_(True))
    held.release()


def test_a_claim_waits_for_the_database_as_long_as_it_takes(held: Held) -> None:
    held.database.answer = DatabaseDown("down")
    claimed = held.claim()
    held.pass_time(10 * LEASE_TIME)
    assert_that((claimed.called, held.lease.held), equal_to((False, False)))
    held.database.answer = CLAIMED
    held.pass_time(1)
    assert_that((claimed.called, held.lease.held), equal_to((True, True)))
    held.release()


def test_a_claim_waits_one_lease_time_for_a_twin_that_is_leaving(held: Held) -> None:
    held.database.answer = REFUSED
    claimed = held.claim()
    held.pass_time(LEASE_TIME)
    assert_that(claimed.called, is_(False))
    held.database.answer = CLAIMED
    held.pass_time(1)
    assert_that((claimed.called, held.lease.held), equal_to((True, True)))
    held.release()


def test_a_twin_that_stays_makes_the_claim_fail_after_one_lease_time(held: Held) -> None:
    held.database.answer = DatabaseDown("down")
    claimed = held.claim()
    held.pass_time(100)
    held.database.answer = REFUSED
    held.pass_time(LEASE_TIME)
    assert_that(claimed.called, is_(False))
    held.pass_time(2)
    error = error_of(claimed)
    assert_that(error, instance_of(NameInUse))
    assert_that(
        str(error), is_("DIALER_ID 'dialer-1' is in use by another process on this database; give each its own")
    )
    assert_that((held.lease.held, held.clock.getDelayedCalls()), equal_to((False, [])))


def test_a_twin_whose_session_is_ended_at_the_very_end_of_the_waiting_has_left_its_name(held: Held) -> None:
    held.database.answer = REFUSED
    claimed = held.claim()
    held.pass_time(LEASE_TIME)
    held.database.broken = [{"pg_terminate_backend": True}]
    held.pass_time(1)
    assert_that(claimed.called, is_(False))
    held.database.answer = CLAIMED
    held.pass_time(1)
    assert_that((claimed.called, held.lease.held), equal_to((True, True)))
    held.release()


# renewing


def test_the_lease_is_renewed_a_few_times_in_each_lease_time(held: Held) -> None:
    held.claim()
    held.pass_time(LEASE_TIME)
    assert_that(held.database.asked, has_length(1 + RENEWALS))
    held.release()


def test_the_lease_survives_an_outage_shorter_than_itself_unnoticed(held: Held) -> None:
    held.claim()
    held.database.answer = CommitUnknown("lost")
    held.pass_time(LEASE_TIME - 1)
    assert_that(held.lease.held, is_(True))
    held.database.answer = CLAIMED
    held.pass_time(10)
    assert_that((held.lease.held, held.changes), equal_to((True, [])))
    held.release()


def test_an_outage_as_long_as_the_lease_loses_it_by_our_own_clock(held: Held) -> None:
    held.claim()
    held.database.answer = DatabaseDown("down")
    held.pass_time(LEASE_TIME)
    assert_that((held.lease.held, held.changes), equal_to((False, [False])))
    held.database.answer = CLAIMED
    held.pass_time(10)
    assert_that((held.lease.held, held.changes), equal_to((True, [False, True])))
    held.release()


def test_what_was_taken_before_a_gap_in_the_lease_may_be_anothers_though_the_lease_is_held_again(held: Held) -> None:
    held.claim()
    held.pass_time(5)
    before = held.clock.seconds()
    held.pass_time(2 * LEASE_TIME)
    assert_that((held.lease.held, held.lease.held_since(before)), equal_to((True, True)))
    # The process is stopped, and renews the lease with its first timer afterwards.
    held.clock.advance(2 * LEASE_TIME)
    assert_that((held.lease.held, held.lease.held_since(before)), equal_to((True, False)))
    assert_that(held.lease.held_since(held.clock.seconds()), is_(True))
    held.release()
    assert_that(held.lease.held_since(held.clock.seconds()), is_(False))


def test_a_renewal_whose_answer_comes_after_the_lease_has_run_out_leaves_a_gap(held: Held) -> None:
    held.claim()
    before = held.clock.seconds()
    held.database.answer = Deferred()
    held.pass_time(LEASE_TIME)
    # It was asked for in time. When it was granted, nobody knows.
    held.database.answer.callback(CLAIMED)
    assert_that((held.lease.held, held.lease.held_since(before)), equal_to((True, False)))
    held.release()


def test_a_database_that_does_not_answer_at_all_loses_the_lease_too(held: Held) -> None:
    held.claim()
    silent = held.database.answer = Deferred()
    held.pass_time(LEASE_TIME + 10)
    assert_that(held.lease.held, is_(False))
    held.database.answer = CLAIMED
    silent.callback(DatabaseDown("no answer"))
    held.pass_time(10)
    assert_that(held.lease.held, is_(True))
    held.release()


def test_the_lease_counts_from_before_it_was_asked_for(held: Held) -> None:
    slow = held.database.answer = Deferred()
    claimed = held.claim()
    held.pass_time(20)
    slow.callback(CLAIMED)
    assert_that((claimed.called, held.lease.held), equal_to((True, True)))
    held.database.answer = DatabaseDown("down")
    held.pass_time(10)
    assert_that(held.lease.held, is_(False))
    held.release()


def test_while_it_is_not_held_it_tells_for_how_long_and_why_whoever_the_reason_is(held: Held) -> None:
    assert_that(held.lease.trouble, none())
    held.claim()
    held.pass_time(5)
    assert_that(held.lease.trouble, none())
    held.database.answer = DatabaseDown("down")
    held.pass_time(LEASE_TIME + 20)
    lapsed = held.lease.trouble
    assert_that(lapsed, has_properties(reason="it could not be renewed in time"))
    held.database.answer = REFUSED
    held.pass_time(10)
    assert_that(held.lease.trouble, equal_to(Trouble(lapsed.seconds + 10, "another session has the name")))
    held.database.answer = CLAIMED
    held.pass_time(10)
    assert_that(held.lease.trouble, none())
    held.release()
    assert_that(held.lease.trouble, none())


def test_a_twin_that_has_the_name_now_ends_the_lease_at_once(held: Held) -> None:
    held.claim()
    held.database.answer = REFUSED
    held.pass_time(10)
    assert_that((held.lease.held, held.changes, held.database.breaks), equal_to((False, [False], 1)))
    held.database.answer = CLAIMED
    held.pass_time(10)
    assert_that((held.lease.held, held.changes), equal_to((True, [False, True])))
    held.release()


def test_a_renewal_that_fails_for_another_reason_is_logged_and_tried_again(logged_failures: LoggedFailures) -> None:
    held = Held()
    held.claim()
    held.database.answer = ValueError("a fault")
    held.pass_time(10)
    held.database.answer = CLAIMED
    held.pass_time(LEASE_TIME)
    assert_that((held.lease.held, held.changes), equal_to((True, [])))
    assert_that(logged_failures.flush(ValueError), has_length(1))
    held.release()


# releasing


def test_a_release_ends_the_renewals(held: Held) -> None:
    held.claim()
    released = held.release()
    assert_that((released.called, held.lease.held), equal_to((True, False)))
    assert_that(held.clock.getDelayedCalls(), empty())
    assert_that(held.database.asked, contains_exactly("claim", "release"))


def test_a_release_before_the_claim_asks_nothing(held: Held) -> None:
    assert_that(held.release().called, is_(True))
    assert_that(held.database.asked, empty())


def test_a_release_while_the_database_is_down_is_over_all_the_same(held: Held) -> None:
    held.claim()
    held.database.answer = DatabaseDown("down")
    released = held.release()
    assert_that((released.called, held.lease.held), equal_to((True, False)))


def test_a_renewal_under_way_does_not_bring_back_a_released_lease(held: Held) -> None:
    held.claim()
    slow = held.database.answer = Deferred()
    held.pass_time(10)
    held.database.answer = []
    released = held.release()
    slow.callback(CLAIMED)
    assert_that((released.called, held.lease.held, held.changes), equal_to((True, False, [])))
    assert_that(held.database.asked[-1], is_("release"))


# on PostgreSQL


class Names:
    """Leases, each on a connection of its own as in a process of its own."""

    def __init__(self, conninfo: str) -> None:
        self._conninfo = conninfo
        self._all: list[tuple[Database, Lease]] = []

    async def lease(self, owner: str, lease_time: float = 60.0) -> Lease:
        pool = Database(reactor, self._conninfo, timeout=5, application_name=owner, random=Random(1), size=1)
        pool.startService()
        await pool.ready()
        lease = Lease(reactor, pool, owner=owner, lease_time=lease_time)  # type: ignore[arg-type]
        self._all.append((pool, lease))
        return lease

    async def kill(self, lease: Lease) -> None:
        """As the kernel closes the connections of a killed process: nothing is said, and nothing released."""
        for pool, each in self._all:
            if each is lease:
                each._loop.stop()
                await pool.stopService()

    async def close(self) -> None:
        for pool, lease in self._all:
            await lease.release()
            if pool.running:
                await pool.stopService()


@pytest_twisted.async_yield_fixture
async def names(conninfo: str) -> AsyncIterator[Names]:
    names = Names(conninfo)
    yield names
    await names.close()


async def alive(database: Database) -> dict[str, bool]:
    rows = await database.run("SELECT id, lease_until > now() AS alive FROM dialers ORDER BY id")
    return {row["id"]: row["alive"] for row in rows}


@sure
async def test_a_name_is_had_by_one_process_until_that_one_is_gone(names: Names, database: Database) -> None:
    first, twin, other = await names.lease("a"), await names.lease("a", lease_time=0.3), await names.lease("b")
    await first.claim()
    await other.claim()
    with pytest.raises(NameInUse):
        await twin.claim()
    assert_that((first.held, twin.held, await alive(database)), equal_to((True, False, {"a": True, "b": True})))
    await names.kill(first)
    heir = await names.lease("a")
    while not await heir._ask():  # PostgreSQL ends a session soon after its connection
        await deferLater(reactor, 0.01)
    assert_that(heir.held, is_(True))


@sure
async def test_a_killed_process_keeps_its_lease_until_it_runs_out_and_a_stopped_one_does_not(
    names: Names, database: Database
) -> None:
    killed, stopped = await names.lease("killed"), await names.lease("stopped")
    await killed.claim()
    await stopped.claim()
    await names.kill(killed)
    await stopped.release()
    assert_that(await alive(database), equal_to({"killed": True, "stopped": False}))


@sure
async def test_a_new_start_under_the_same_name_is_another_instance(names: Names, database: Database) -> None:
    first = await names.lease("a")
    await first.claim()
    before = await database.run("SELECT instance::text, started_time FROM dialers")
    await first._ask()
    assert_that(await database.run("SELECT instance::text, started_time FROM dialers"), equal_to(before))
    await names.kill(first)
    second = await names.lease("a")
    while not await second._ask():
        await deferLater(reactor, 0.01)
    (after,) = await database.run("SELECT instance::text, started_time FROM dialers")
    assert_that(after["instance"], is_(second.instance))
    assert_that(after["started_time"], greater_than(before[0]["started_time"]))


async def sessions(database: Database, name: str) -> list[int]:
    """The server's numbers of them."""
    rows = await database.run(
        "SELECT pid FROM pg_stat_activity WHERE application_name = %(name)s ORDER BY pid", {"name": name}
    )
    return [row["pid"] for row in rows]


@sure
async def test_a_namesake_that_hangs_loses_its_session_when_its_lease_has_run_out(
    names: Names, database: Database
) -> None:
    hanging, another, heir = await names.lease("a"), await names.lease("b"), await names.lease("a")
    await hanging.claim()
    await another.claim()
    (others,) = await sessions(database, "b")
    hanging._loop.stop()  # as after a SIGSTOP: its session stays open, and says nothing any more
    await database.run("UPDATE dialers SET lease_until = now() - interval '1 second'")
    began = reactor.seconds()  # type: ignore[attr-defined]
    await heir.claim()
    # Not for its lease time, as for a namesake that lives.
    assert_that(reactor.seconds() - began, less_than(30))  # type: ignore[attr-defined]
    (row,) = await database.run("SELECT instance::text FROM dialers WHERE id = 'a'")
    assert_that((heir.held, row["instance"]), equal_to((True, heir.instance)))
    assert_that(
        await sessions(database, "b"), equal_to([others])
    )  # of another name, though its lease has run out as well
    assert_that(await hanging._ask(), is_(False))  # should it wake up: over a new connection, and without the name
    await hanging._renew_once()
    assert_that((hanging.held, heir.held, await heir._ask()), equal_to((False, True, True)))


@sure
async def test_a_namesake_with_a_live_lease_keeps_its_session(names: Names, database: Database) -> None:
    first, twin = await names.lease("a"), await names.lease("a")
    await first.claim()
    before = await sessions(database, "a")
    await twin._break()
    assert_that(await sessions(database, "a"), equal_to(before))
    assert_that((await twin._ask(), await first._ask()), equal_to((False, True)))


@sure
async def test_a_break_ends_only_who_holds_the_name_not_who_asks_for_it(names: Names, database: Database) -> None:
    only = await names.lease("a")
    await only.claim()
    before = await sessions(database, "a")
    await database.run("UPDATE dialers SET lease_until = now() - interval '1 second'")
    await only._break()
    assert_that((await sessions(database, "a"), await only._ask()), equal_to((before, True)))
