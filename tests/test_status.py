"""What a dialer knows of itself, and what it asks for that."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from hamcrest import assert_that, equal_to, has_entries, is_
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from dialer.message import MessageKind
from dialer.status import StatusReport
from dialer.store.contacts import ContactStore
from dialer.store.database import Database, DatabaseDown, Unanswered
from dialer.store.outbox import Backlog, OutboxStore
from tests.esl.support import result_of
from tests.stand_in import stands_in_for

PATIENCE = 3.0


@stands_in_for(Database)
class Waiting:
    """A database of which nothing is known but that it is up, and how long it is waited for."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.up = True

    def in_time(self, answer: Deferred[Any], statements: int = 1) -> Deferred[Any]:
        def too_late(_result: object, timeout: float) -> None:
            raise Unanswered(f"no answer in {timeout:g} s")

        return answer.addTimeout(statements * PATIENCE, self._clock, onTimeoutCancel=too_late)


@stands_in_for(ContactStore)
class Counts:
    """Counts when the test says so."""

    def __init__(self) -> None:
        self.asked: list[Deferred[tuple[int, int]]] = []

    async def count_active(self) -> tuple[int, int]:
        self.asked.append(Deferred())
        return await self.asked[-1]


@stands_in_for(OutboxStore)
class Messages:
    """One notification waits, four END_CHATs are parked."""

    async def backlog(self) -> dict[MessageKind, Backlog]:
        return {MessageKind.NOTIFICATION: Backlog(waiting=1, parked=2), MessageKind.END_CHAT: Backlog(parked=4)}

    async def webhooks_backlog(self, destinations: Any) -> dict[str, Backlog]:
        return {destination: Backlog(waiting=1, parked=1) for destination in destinations}


class Bench:
    """A report over stores of the test's."""

    def __init__(self, *webhooks: str) -> None:
        self.clock = Clock()
        self.contacts = Counts()
        quiet: Any = SimpleNamespace(rates=dict, switches=[], up=True, waiting=0, dropped=0, shown=list)
        self.report = StatusReport(
            self.clock,
            Waiting(self.clock),  # type: ignore[arg-type]
            self.contacts,  # type: ignore[arg-type]
            quiet,
            Messages(),  # type: ignore[arg-type]
            *[quiet] * 5,
            webhooks=webhooks,
            capacity=10,
            speed=2.5,
            starting=lambda: None,
            asks_for_tokens=True,
        )

    def ask(self) -> Deferred[dict[str, Any]]:
        answer = Deferred.fromCoroutine(self.report.report())
        self.clock.advance(0)
        return answer


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_who_ask_meanwhile_share_the_next_answer_of_the_database_and_get_none_from_before(bench: Bench) -> None:
    first = bench.ask()
    later = [bench.ask() for _ in range(50)]
    assert_that(len(bench.contacts.asked), equal_to(1))
    bench.contacts.asked[0].callback((1, 2))
    assert_that(result_of(first), has_entries(activeCalls=1, totalActiveCalls=2, freeSlots=9, database="up"))
    assert_that([answer.called for answer in later], equal_to([False] * 50))
    assert_that(len(bench.contacts.asked), equal_to(2))
    bench.contacts.asked[1].callback((3, 4))
    assert_that({result_of(answer)["activeCalls"] for answer in later}, equal_to({3}))
    assert_that(bench.clock.getDelayedCalls(), equal_to([]))


def test_nobody_waits_for_longer_than_for_a_statement_of_others_and_one_of_their_own(bench: Bench) -> None:
    bench.ask()
    bench.clock.advance(PATIENCE / 2)
    second = bench.ask()
    bench.clock.advance(2 * PATIENCE - 0.1)
    assert_that(second.called, is_(False))
    bench.clock.advance(0.1)
    assert_that(result_of(second), has_entries(activeCalls=None, database="down", notifications=None))


def test_a_database_that_fails_is_down_for_all_who_asked(bench: Bench) -> None:
    answers = [bench.ask(), bench.ask()]
    for asked in (0, 1):
        bench.contacts.asked[asked].errback(DatabaseDown("down"))
    assert_that([result_of(answer)["database"] for answer in answers], equal_to(["down", "down"]))


def test_parked_end_chats_are_told_apart_and_webhooks_of_all_receivers_together() -> None:
    bench = Bench("RESULT_WEBHOOK_URL", "crm.example:443")
    answer = bench.ask()
    bench.contacts.asked[0].callback((0, 0))
    status = result_of(answer)
    assert_that(
        status["notifications"], equal_to({"waiting": 1, "parked": 2, "waitingSince": None, "endChatsParked": 4})
    )
    assert_that(status["webhooks"], equal_to({"waiting": 2, "parked": 2, "waitingSince": None}))
