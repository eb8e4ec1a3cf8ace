"""When the outbox asks the database, and for what: on a clock, with a store and a VC that the test turns."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from math import inf
from typing import Any

import pytest
from hamcrest import assert_that, contains_exactly, empty, equal_to, has_length, has_properties, is_, less_than
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from dialer.connector import Connector, Delivery, DeliveryKind
from dialer.message import MessageKind, OutboxMessage
from dialer.outbox import LONGEST_PAUSE, MOST_SELDOM, PARALLEL, POLL_INTERVAL, Outbox
from dialer.store.database import DatabaseDown
from dialer.store.outbox import Claim, OutboxStore, Park, Retry
from tests.stand_in import stands_in_for


def message(number: int, kind: MessageKind = MessageKind.NOTIFICATION, **more: Any) -> OutboxMessage:
    values = {"contact_id": f"c{number}", "customer_number": "+1", "idempotency_key": f"key-{number}", "attempts": 1}
    return OutboxMessage(id=number, kind=kind, created_time=datetime(2026, 1, 1, tzinfo=UTC), **(values | more))


def messages(*numbers: int) -> list[OutboxMessage]:
    return [message(number) for number in numbers]


@stands_in_for(OutboxStore)
class Store:
    """Gives what is `due`, at once or when the test lets the claim go on, and notes what it is asked and told.

    What is `too_old` it parks with the first claim; `behind` those waits what is due from then on.
    """

    def __init__(self) -> None:
        self.due: list[OutboxMessage] = []
        self.too_old: list[OutboxMessage] = []
        self.behind: list[OutboxMessage] = []
        self.claims: list[int] = []
        self.confirmed: list[list[int]] = []
        self.freed: list[tuple[int, float]] = []
        self.down = False
        self.slow: Deferred[None] | None = None
        self.slow_to_note: Deferred[None] | None = None

    async def claim(self, limit: int) -> Claim:
        self._ask()
        self.claims.append(limit)
        found, self.due = self.due[:limit], self.due[limit:]
        if self.slow is not None:
            await self.slow
        expired, self.too_old = self.too_old, []
        if expired:
            self.due, self.behind = self.behind, []
        return Claim(found, expired)

    async def delivered(self, ids: Sequence[int]) -> None:
        self._ask()
        self.confirmed.append(list(ids))
        if self.slow_to_note is not None:
            await self.slow_to_note

    async def retry(self, retries: Sequence[Retry]) -> None:
        self._ask()
        self.freed += [(retry.message.id, retry.wait) for retry in retries]

    async def park(self, parks: Sequence[Park]) -> None:
        self._ask()

    def _ask(self) -> None:
        if self.down:
            raise DatabaseDown("down")


@stands_in_for(Connector, but=frozenset({"answer"}))
class VC:
    """Each message waits for the answer that the test gives."""

    def __init__(self) -> None:
        self.sent: list[int] = []
        self._waiting: dict[int, Deferred[Delivery]] = {}

    async def deliver(self, message: OutboxMessage, *, send_within: float = inf) -> Delivery:
        self.sent.append(message.id)
        given_up = Delivery(DeliveryKind.TRY_AGAIN, "given up")
        answer = self._waiting[message.id] = Deferred(lambda answer: answer.callback(given_up))
        return await answer

    def answer(self, number: int, kind: DeliveryKind = DeliveryKind.ACCEPTED) -> None:
        self._waiting.pop(number).callback(Delivery(kind, "as told"))


class Bench:
    def __init__(self, *, apart: float = 0.0, notes_apart: float = 0.0) -> None:
        self.dialers = 1
        self.clock = Clock()
        self.store = Store()
        self.vc = VC()
        self.outbox = Outbox(
            self.clock,
            self.store,  # type: ignore[arg-type]
            self.vc,  # type: ignore[arg-type]
            random=lambda: 0.5,
            apart=lambda: apart,
            notes_apart=lambda: notes_apart,
            dialers=lambda: self.dialers,
        )

    def start(self) -> Bench:
        """The first look, which finds what is due and nothing more, is over."""
        self.outbox.startService()
        self.store.claims.clear()
        return self

    def deliver(self, *claimed: OutboxMessage, more: bool = False) -> None:
        self.outbox.deliver(claimed, more)
        self.clock.advance(0)

    def answer(self, *numbers: int, kind: DeliveryKind = DeliveryKind.ACCEPTED) -> None:
        for number in numbers:
            self.vc.answer(number, kind)
        self.clock.advance(0)

    def wake(self) -> None:
        self.outbox.wake()
        self.clock.advance(0)

    def close(self) -> None:
        self.outbox.stopService()
        self.clock.pump([0.1] * 30)
        assert_that(self.clock.getDelayedCalls(), is_(empty()), "timers left")


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.close()


@pytest.fixture
def gathering() -> Iterator[Bench]:
    """Rounds begin half a second apart."""
    bench = Bench(apart=0.5)
    yield bench
    bench.close()


@pytest.fixture
def noting() -> Iterator[Bench]:
    """Rounds begin a tenth of a second apart, and half a second if they only note what was delivered."""
    bench = Bench(apart=0.1, notes_apart=0.5)
    yield bench
    bench.close()


# what was claimed by the statement that wrote it


def test_what_was_claimed_with_its_writing_is_sent_at_once_and_confirmed_without_another_claim(bench: Bench) -> None:
    bench.start().deliver(*messages(1, 2))
    assert_that((bench.vc.sent, bench.outbox.under_way), equal_to(([1, 2], 2)))
    bench.answer(1, 2)
    assert_that((bench.store.confirmed, bench.store.claims), equal_to(([[1, 2]], [])))
    assert_that(bench.outbox, has_properties(delivered=2, under_way=0))


def test_a_message_that_is_claimed_again_while_it_is_under_way_is_not_sent_twice(bench: Bench) -> None:
    bench.start().deliver(message(1))
    bench.deliver(message(1, attempts=2), message(2))
    assert_that(bench.vc.sent, contains_exactly(1, 2))
    bench.answer(1, 2)


def test_with_others_written_they_are_claimed_at_once(bench: Bench) -> None:
    bench.start().store.due += messages(2)
    bench.deliver(message(1), more=True)
    assert_that((bench.vc.sent, bench.store.claims), equal_to(([1, 2], [PARALLEL - 1])))
    bench.answer(1, 2)


def test_what_is_claimed_while_the_outbox_stops_is_freed_and_not_sent(bench: Bench) -> None:
    bench.start().deliver(message(1))
    stopped = bench.outbox.stopService()
    bench.deliver(message(2))
    bench.answer(1)
    assert_that((bench.vc.sent, stopped.called), equal_to(([1], True)))
    assert_that((bench.store.confirmed, bench.store.freed), equal_to(([[1]], [(2, 0.0)])))


# how many may be claimed so


def test_there_is_room_for_as_many_as_may_be_under_way_less_those_that_are(bench: Bench) -> None:
    assert_that(bench.start().outbox.room, is_(PARALLEL))
    bench.deliver(*messages(*range(PARALLEL - 2)))
    assert_that(bench.outbox.room, is_(2))
    bench.deliver(*messages(98, 99))
    assert_that(bench.outbox.room, is_(0))
    bench.answer(0)
    assert_that(bench.outbox.room, is_(1))


def test_there_is_no_room_before_the_start_and_from_the_stop_on(bench: Bench) -> None:
    assert_that(bench.outbox.room, is_(0))
    bench.start().deliver(message(1))
    stopped = bench.outbox.stopService()
    assert_that((bench.outbox.room, stopped.called), equal_to((0, False)))
    bench.answer(1)
    assert_that((bench.outbox.room, stopped.called), equal_to((0, True)))


def test_there_is_no_room_while_the_database_is_out(bench: Bench) -> None:
    bench.start().store.down = True
    bench.wake()
    assert_that(bench.outbox.room, is_(0))
    bench.store.down = False
    bench.clock.advance(LONGEST_PAUSE)
    assert_that(bench.outbox.room, is_(PARALLEL))


def test_there_is_no_room_while_it_is_being_tried_whether_the_vc_is_back(bench: Bench) -> None:
    bench.start().deliver(*messages(*range(8)))
    for number in range(5):
        assert_that(bench.outbox.room > 0, is_(number < 3), f"after {number} failures")
        bench.answer(number, kind=DeliveryKind.TRY_AGAIN)
    bench.answer(5, 6, 7, kind=DeliveryKind.TRY_AGAIN)
    assert_that((bench.outbox.under_way, bench.outbox.room), equal_to((0, 0)))
    bench.store.due += messages(9)
    bench.clock.advance(POLL_INTERVAL)
    bench.answer(9)
    assert_that(bench.outbox.room, is_(2))


# when there is something to claim


def test_nothing_is_claimed_when_nothing_can_be_waiting_until_the_next_poll(bench: Bench) -> None:
    bench.start().deliver(message(1))
    bench.answer(1)
    bench.clock.advance(POLL_INTERVAL / 2)
    assert_that(bench.store.claims, empty())
    bench.clock.advance(POLL_INTERVAL / 2)
    assert_that(bench.store.claims, contains_exactly(PARALLEL))


def test_a_claim_that_brings_as_many_as_it_asked_for_is_followed_by_another(bench: Bench) -> None:
    bench.start().store.due += messages(*range(PARALLEL + 2))
    bench.wake()
    bench.answer(*range(5))
    assert_that(bench.store.claims, contains_exactly(PARALLEL, 5))
    assert_that(bench.vc.sent, equal_to([*range(PARALLEL + 2)]))
    bench.answer(5)
    assert_that(bench.store.claims, has_length(2))


def test_what_is_committed_during_a_claim_is_claimed_by_the_next(bench: Bench) -> None:
    bench.start().store.slow = slow = Deferred()
    bench.wake()
    bench.store.due += messages(1)
    bench.wake()
    bench.store.slow = None
    slow.callback(None)
    bench.clock.advance(0)
    assert_that((bench.store.claims, bench.vc.sent), equal_to(([PARALLEL, PARALLEL], [1])))


def test_a_poll_while_the_window_is_full_does_not_forget_that_others_wait(bench: Bench) -> None:
    bench.start().store.due += messages(*range(PARALLEL + 1))
    bench.wake()
    bench.clock.advance(POLL_INTERVAL)
    assert_that(bench.store.claims, contains_exactly(PARALLEL, 0))
    bench.answer(0)
    assert_that(bench.vc.sent[-1], is_(PARALLEL))


@pytest.mark.parametrize("kind", [DeliveryKind.ACCEPTED, DeliveryKind.REJECTED])
def test_a_notification_follows_its_end_chat_at_once(bench: Bench, kind: DeliveryKind) -> None:
    bench.start().deliver(message(1, MessageKind.END_CHAT, lifetime=60.0))
    bench.store.due += messages(2)
    bench.answer(1, kind=kind)
    assert_that((bench.store.claims, bench.vc.sent), equal_to(([PARALLEL], [1, 2])))


def test_a_window_that_opens_again_is_filled_at_once(bench: Bench) -> None:
    bench.start().deliver(*messages(1, 2))
    bench.answer(1, kind=DeliveryKind.TRY_AGAIN)
    assert_that(bench.store.claims, empty())
    bench.store.due += messages(3)
    bench.answer(2)
    assert_that((bench.store.claims, bench.vc.sent), equal_to(([PARALLEL], [1, 2, 3])))


def test_a_claim_that_failed_is_made_again(bench: Bench) -> None:
    bench.start().store.due += messages(1)
    bench.store.down = True
    bench.wake()
    bench.store.down = False
    bench.clock.advance(POLL_INTERVAL / 2)
    assert_that(bench.vc.sent, contains_exactly(1))


@pytest.mark.parametrize(("dialers", "times"), [(1, 1), (3, 3), (MOST_SELDOM, MOST_SELDOM), (100, MOST_SELDOM)])
def test_each_of_several_dialers_looks_more_seldom_for_what_nobody_tells_it(
    bench: Bench, dialers: int, times: int
) -> None:
    bench.dialers = dialers
    bench.start()
    bench.clock.pump([POLL_INTERVAL / 4] * (4 * times - 1))
    assert_that(bench.store.claims, empty())
    bench.clock.advance(POLL_INTERVAL / 4)
    assert_that(bench.store.claims, has_length(1))


# rounds that are shared


def test_in_quiet_times_what_is_confirmed_is_written_at_once(gathering: Bench) -> None:
    gathering.start().clock.advance(0.6)
    gathering.deliver(message(1))
    gathering.answer(1)
    assert_that(gathering.store.confirmed, contains_exactly([1]))


def test_confirmations_soon_after_a_round_share_the_next(gathering: Bench) -> None:
    gathering.start().deliver(*messages(1, 2, 3))
    gathering.clock.advance(0.1)
    gathering.answer(1)
    gathering.clock.advance(0.3)
    gathering.answer(2)
    assert_that(gathering.store.confirmed, empty())
    gathering.clock.advance(0.1)
    assert_that(gathering.store.confirmed, contains_exactly([1, 2]))
    gathering.clock.advance(0.1)
    gathering.answer(3)
    assert_that(gathering.store.confirmed, has_length(1))
    gathering.clock.advance(0.4)
    assert_that(gathering.store.confirmed, contains_exactly([1, 2], [3]))


def test_in_quiet_times_what_was_delivered_is_noted_at_once_whatever_may_be_gathered(noting: Bench) -> None:
    noting.start().clock.advance(0.5)
    noting.deliver(message(1))
    noting.answer(1)
    assert_that(noting.store.confirmed, contains_exactly([1]))


def test_what_was_delivered_soon_after_a_round_is_noted_together_while_nobody_waits_for_another(noting: Bench) -> None:
    noting.start().deliver(*messages(1, 2, 3))
    noting.clock.advance(0.2)
    noting.answer(1)
    noting.clock.advance(0.2)
    noting.answer(2)
    assert_that(noting.store.confirmed, empty())
    noting.clock.advance(0.1)
    assert_that(noting.store.confirmed, contains_exactly([1, 2]))
    noting.answer(3)
    noting.clock.advance(0.4)
    assert_that(noting.store.confirmed, has_length(1))
    noting.clock.advance(0.1)
    assert_that(noting.store.confirmed, contains_exactly([1, 2], [3]))


def wake(bench: Bench) -> None:
    bench.store.due += messages(9)
    bench.wake()


def fail(bench: Bench) -> None:
    bench.answer(8, kind=DeliveryKind.TRY_AGAIN)


def reject(bench: Bench) -> None:
    bench.answer(8, kind=DeliveryKind.REJECTED)


@pytest.mark.parametrize("press", [wake, fail, reject])
def test_with_a_round_that_somebody_waits_for_what_was_delivered_is_noted_too(
    noting: Bench, press: Callable[[Bench], None]
) -> None:
    noting.start().deliver(*messages(1, 8))
    noting.answer(1)
    noting.clock.advance(0.1)
    assert_that(noting.store.confirmed, empty())
    press(noting)
    assert_that(noting.store.confirmed, contains_exactly([1]))


def test_a_notification_follows_its_end_chat_though_what_was_delivered_is_gathered(noting: Bench) -> None:
    noting.start().deliver(message(1, MessageKind.END_CHAT, lifetime=60.0))
    noting.store.due += messages(2)
    noting.clock.advance(0.1)
    noting.answer(1)
    assert_that((noting.store.confirmed, noting.vc.sent), equal_to(([[1]], [1, 2])))


def test_a_notification_follows_its_end_chat_that_was_accepted_as_others_were_noted(noting: Bench) -> None:
    noting.start().store.slow_to_note = slow = Deferred()
    noting.deliver(message(1), message(2, MessageKind.END_CHAT, lifetime=60.0))
    noting.clock.advance(0.5)
    noting.answer(1)
    noting.wake()
    noting.answer(2)
    noting.store.slow_to_note = None
    slow.callback(None)
    noting.store.due += messages(3)
    noting.clock.advance(0.1)
    assert_that((noting.store.confirmed, noting.vc.sent), equal_to(([[1], [2]], [1, 2, 3])))


def test_no_more_is_gathered_than_may_be_under_way(noting: Bench) -> None:
    noting.start().deliver(*messages(*range(PARALLEL)))
    noting.clock.advance(0.1)
    noting.answer(*range(PARALLEL - 1))
    assert_that(noting.store.confirmed, empty())
    noting.answer(PARALLEL - 1)
    assert_that(noting.store.confirmed, contains_exactly([*range(PARALLEL)]))


def test_stopping_notes_what_was_gathered(noting: Bench) -> None:
    noting.start().deliver(message(1))
    noting.answer(1)
    noting.clock.advance(0.2)
    assert_that(noting.store.confirmed, empty())
    noting.outbox.stopService()
    noting.clock.advance(0)
    assert_that((noting.store.confirmed, noting.clock.getDelayedCalls()), equal_to(([[1]], [])))


def test_messages_that_were_too_old_are_followed_at_once_by_those_that_waited_for_them(bench: Bench) -> None:
    bench.start().store.too_old.append(message(1, MessageKind.END_CHAT, last_error="too old"))
    bench.store.behind += messages(2)
    bench.wake()
    assert_that((bench.store.claims, bench.vc.sent), equal_to(([PARALLEL, PARALLEL], [2])))


def test_what_is_claimed_with_its_writing_is_sent_between_two_rounds_too(gathering: Bench) -> None:
    gathering.start().clock.advance(0.1)
    gathering.deliver(message(1))
    assert_that(gathering.vc.sent, contains_exactly(1))


def test_wake_ups_soon_after_a_round_share_the_next(gathering: Bench) -> None:
    gathering.start().store.due += messages(1, 2)
    for _ in range(3):
        gathering.wake()
        gathering.clock.advance(0.1)
    assert_that(gathering.vc.sent, empty())
    gathering.clock.advance(0.2)
    assert_that((gathering.store.claims, gathering.vc.sent), equal_to(([PARALLEL], [1, 2])))


def test_stopping_does_not_wait_for_the_next_round(gathering: Bench) -> None:
    gathering.start().deliver(message(1))
    gathering.answer(1)
    stopped = gathering.outbox.stopService()
    gathering.clock.advance(0)
    assert_that((stopped.called, gathering.store.confirmed), equal_to((True, [[1]])))
    assert_that(gathering.clock.seconds(), less_than(0.5))
    assert_that(gathering.clock.getDelayedCalls(), empty())
