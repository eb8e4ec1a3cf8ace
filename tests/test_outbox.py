"""Delivery until accepted: a real PostgreSQL, a real HTTP server, and what each of them may do wrong."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import Any

import pytest
import pytest_twisted
from hamcrest import assert_that, contains_exactly, equal_to, greater_than, has_length, has_properties, less_than, none
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

import dialer.connector
import dialer.outbox
from dialer.connector import Connector
from dialer.outbox import Outbox
from dialer.store.database import CommitUnknown, Database, DatabaseDown
from dialer.store.outbox import Backlog, NotResendable, OutboxStore
from tests.fake_vc import FakeVC, Manner, Received
from tests.hygiene import LoggedFailures
from tests.waiting import until

SLACK = 5.0
"""Seconds that a busy machine may take for what takes no time."""

INSERT = """
INSERT INTO outbox (contact_id, kind, customer_number, call_result, created_time)
SELECT id, kind, '+49' || id, CASE kind WHEN 'notification' THEN 'NO_ANSWER' END, now() - %(age)s * interval '1 second'
FROM unnest(%(ids)s::text[], %(kinds)s::text[]) AS message (id, kind)
"""


class Unsteady:
    """A database that is down when told so, and may lose the answer to a statement that it has carried out."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.down = False
        self.forgetful = False
        self.refused: Deferred[None] = Deferred()

    async def run(self, query: str, params: Mapping[str, Any]) -> list[dict[str, Any]]:
        if self.down:
            if not self.refused.called:
                self.refused.callback(None)
            raise DatabaseDown
        rows = await self._database.run(query, params)
        if self.forgetful:
            self.forgetful = False
            raise CommitUnknown
        return rows


class House:
    """One table, one VC, and as many dialers as a test starts on them."""

    def __init__(self, database: Database, vc: FakeVC) -> None:
        self.database = database
        self.vc = vc
        self.started: list[tuple[Outbox, Connector]] = []

    def outbox(self, database: Any = None) -> Outbox:
        connector = Connector.persistent(reactor, self.vc.url, "1218")
        outbox = Outbox(reactor, OutboxStore(database or self.database), connector, random=random.random)
        self.started.append((outbox, connector))
        outbox.startService()
        return outbox

    async def put(self, *ids: str, kind: str = "notification", age: float = 0.0) -> None:
        await self.database.run(INSERT, {"ids": list(ids), "kinds": [kind] * len(ids), "age": age})
        for outbox, _ in self.started:
            outbox.wake()

    async def states(self) -> dict[str, int]:
        rows = await self.database.run("SELECT state, count(*) AS messages FROM outbox GROUP BY state", {})
        return {row["state"]: row["messages"] for row in rows}

    async def rows(self) -> list[dict[str, Any]]:
        return await self.database.run("SELECT *, idempotency_key::text AS key FROM outbox ORDER BY id", {})

    async def until(self, **states: int) -> None:
        """Wait until the table shows exactly these states; there is no event for what PostgreSQL holds."""

        async def so_they_are() -> bool:
            return await self.states() == states

        await until(reactor, so_they_are, f"messages {states}")

    async def close(self) -> None:
        for outbox, connector in self.started:
            if outbox.running:
                await outbox.stopService()
            await connector.close()


@pytest_twisted.async_yield_fixture
async def vc() -> AsyncIterator[FakeVC]:
    fake = FakeVC(reactor)
    fake.listen()
    yield fake
    await fake.stop()


@pytest_twisted.async_yield_fixture
async def house(database: Database, vc: FakeVC) -> AsyncIterator[House]:
    house = House(database, vc)
    yield house
    await house.close()


@pytest.fixture(autouse=True)
def brief_waits(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(dialer.outbox, "FIRST_WAIT", 0.02)
    monkeypatch.setattr(dialer.outbox, "LONGEST_WAIT", 0.1)
    monkeypatch.setattr(dialer.outbox, "POLL_INTERVAL", 0.05)
    monkeypatch.setattr(dialer.outbox, "FINISH_TIME", 0.3)
    return


def _statuses(*statuses: int, then: int = 200) -> Callable[[Received], int]:
    coming = iter(statuses)
    return lambda received: next(coming, then)


def _ids(vc: FakeVC) -> list[str]:
    return [received.body.get("id") or received.body["customerId"] for received in vc.received]


@pytest_twisted.ensureDeferred
async def test_a_message_is_delivered_as_soon_as_it_is_committed(
    house: House, vc: FakeVC, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dialer.outbox, "POLL_INTERVAL", 60.0)
    outbox = house.outbox()
    await house.put("a")
    await house.until(delivered=1)
    (row,) = await house.rows()
    assert_that(row["attempts"], equal_to(1))
    assert_that(vc.received, has_length(1))
    assert_that(vc.received[0].headers["idempotency-key"], equal_to(row["key"]))
    assert_that(outbox, has_properties(delivered=1, retried=0, parked=0))


@pytest_twisted.ensureDeferred
async def test_a_message_is_found_without_a_wake_up(house: House, vc: FakeVC) -> None:
    house.outbox()
    await house.until()
    await house.database.run(INSERT, {"ids": ["a"], "kinds": ["notification"], "age": 0})
    await house.until(delivered=1)


@pytest_twisted.ensureDeferred
async def test_the_messages_of_a_contact_arrive_in_their_order_even_when_one_is_tried_again(
    house: House, vc: FakeVC
) -> None:
    vc.script = _statuses(503, 500)
    for kind in ("end_chat", "notification"):
        await house.put("a", kind=kind)
    await house.put("a")
    house.outbox()
    await house.until(delivered=3)
    assert_that(
        [received.path for received in vc.received],
        contains_exactly(*["/end-chat"] * 3, "/send-delivery-notification", "/send-delivery-notification"),
    )
    assert_that({received.headers["idempotency-key"] for received in vc.received}, has_length(3))


@pytest_twisted.ensureDeferred
async def test_an_answer_that_does_not_come_holds_up_no_other_contact(house: House, vc: FakeVC) -> None:
    slow: Deferred[int] = Deferred()
    vc.script = lambda received: slow if received.body["id"] == "slow" else 200
    house.outbox()
    await house.put("slow")
    await vc.has_received(1)
    await house.put("slow", *(f"c-{number}" for number in range(100)))
    await house.until(delivered=100, waiting=2)
    vc.script = lambda received: 200
    slow.callback(200)
    await house.until(delivered=102)


@pytest_twisted.ensureDeferred
async def test_many_messages_are_under_way_at_once_but_not_more_than_the_bound(house: House, vc: FakeVC) -> None:
    late: list[Deferred[int]] = []

    def script(received: Received) -> Deferred[int]:
        late.append(Deferred())
        return late[-1]

    vc.script = script
    await house.put(*(f"c-{number}" for number in range(dialer.outbox.PARALLEL + 5)))
    outbox = house.outbox()
    await vc.has_received(dialer.outbox.PARALLEL)
    assert_that(outbox.under_way, equal_to(dialer.outbox.PARALLEL))
    vc.script = lambda received: 200
    for answer in late:
        answer.callback(200)
    await house.until(delivered=dialer.outbox.PARALLEL + 5)


@pytest.mark.parametrize("status", [302, 408, 425, 429, 500, 503])
@pytest_twisted.ensureDeferred
async def test_a_passing_refusal_is_tried_again_with_the_same_key(house: House, vc: FakeVC, status: int) -> None:
    vc.script = _statuses(status, status)
    outbox = house.outbox()
    await house.put("a")
    await house.until(delivered=1)
    assert_that(vc.received, has_length(3))
    assert_that({received.headers["idempotency-key"] for received in vc.received}, has_length(1))
    assert_that(outbox, has_properties(delivered=1, retried=2, parked=0))


@pytest.mark.parametrize("status", [400, 401, 404, 422])
@pytest_twisted.ensureDeferred
async def test_a_lasting_refusal_parks_the_message_and_lets_the_next_one_pass(
    house: House, vc: FakeVC, status: int
) -> None:
    vc.script = _statuses(status)
    outbox = house.outbox()
    await house.put("a")
    await house.put("a")
    await house.until(delivered=1, parked=1)
    (parked,) = await OutboxStore(house.database).undelivered(limit=10)
    assert_that(parked, has_properties(contact_id="a", last_error=f"HTTP {status}"))
    assert_that(vc.received, has_length(2))
    assert_that(outbox, has_properties(delivered=1, parked=1))


@pytest_twisted.ensureDeferred
async def test_a_parked_notification_can_be_sent_again_with_its_key_but_an_end_chat_never(
    house: House, vc: FakeVC
) -> None:
    vc.script = _statuses(400, 400)
    outbox = house.outbox()
    await house.put("a")
    await house.put("b", kind="end_chat")
    await house.until(parked=2)
    store = OutboxStore(house.database)
    first, second = await house.rows()
    assert_that(await store.resend(first["id"]), has_properties(contact_id="a", state="waiting", attempts=1))
    for number, reason in ((first["id"], "is not parked"), (second["id"], "END_CHAT is never sent again")):
        with pytest.raises(NotResendable, match=reason):
            await store.resend(number)
    assert_that(await store.resend(second["id"] + 1), none())
    outbox.wake()
    await house.until(delivered=1, parked=1)
    assert_that(vc.received[-1].headers["idempotency-key"], equal_to(first["key"]))


@pytest_twisted.ensureDeferred
async def test_a_vc_that_is_down_gets_everything_when_it_is_back(house: House, vc: FakeVC) -> None:
    await vc.stop()
    outbox = house.outbox()
    await house.put(*(f"c-{number}" for number in range(100)))
    while outbox.retried < 36:
        await deferLater(reactor, 0.01)
    vc.listen()
    await house.until(delivered=100)
    assert_that(Counter(_ids(vc)).most_common(1)[0][1], equal_to(1))


@pytest_twisted.ensureDeferred
async def test_a_dead_vc_is_tried_with_one_message_at_a_time(house: House, vc: FakeVC) -> None:
    vc.script = lambda received: 503
    outbox = house.outbox()
    await house.put(*(f"c-{number}" for number in range(200)))
    while outbox.retried < dialer.outbox.PARALLEL + 3:
        assert_that(outbox.retried + outbox.under_way, less_than(dialer.outbox.PARALLEL + 5))
        await deferLater(reactor, 0.005)
    untried = await house.database.run("SELECT count(*) AS messages FROM outbox WHERE attempts = 0", {})
    assert_that(untried[0]["messages"], greater_than(150))
    vc.script = lambda received: 200
    await house.until(delivered=200)


@pytest_twisted.ensureDeferred
async def test_an_end_chat_older_than_its_time_is_parked_unsent(house: House, vc: FakeVC) -> None:
    await house.put("old", kind="end_chat", age=61)
    await house.put("young", kind="end_chat", age=50)
    await house.put("old")
    house.outbox()
    await house.until(delivered=2, parked=1)
    assert_that(sorted(_ids(vc)), contains_exactly("+49young", "old"))
    (parked,) = await OutboxStore(house.database).undelivered(limit=10)
    assert_that(parked, has_properties(contact_id="old", attempts=0, last_error="not delivered in 60 s"))


@pytest_twisted.ensureDeferred
async def test_an_end_chat_that_keeps_failing_is_parked_when_its_time_is_over(house: House, vc: FakeVC) -> None:
    vc.script = lambda received: 503
    outbox = house.outbox()
    await house.put("a", kind="end_chat", age=58)
    await house.until(parked=1)
    (parked,) = await OutboxStore(house.database).undelivered(limit=10)
    assert_that(parked.last_error, equal_to("not delivered in 60 s; HTTP 503"))
    assert_that(outbox.parked, equal_to(1))


@pytest_twisted.ensureDeferred
async def test_an_end_chat_is_parked_in_time_although_a_notification_before_it_fails(house: House, vc: FakeVC) -> None:
    vc.script = lambda received: 503
    await house.put("a")
    await house.put("a", kind="end_chat", age=61)
    house.outbox()
    await house.until(waiting=1, parked=1)
    assert_that({received.path for received in vc.received} - {"/send-delivery-notification"}, has_length(0))


@pytest_twisted.ensureDeferred
async def test_what_was_confirmed_during_a_database_outage_is_written_after_it_and_not_sent_again(
    house: House, vc: FakeVC
) -> None:
    answer: Deferred[int] = Deferred()
    vc.script = lambda received: answer
    database = Unsteady(house.database)
    outbox = house.outbox(database)
    await house.put("a")
    await vc.has_received(1)
    database.down = True
    answer.callback(200)
    await database.refused
    vc.script = lambda received: 200
    await house.put("a", "b")
    assert_that(await house.states(), equal_to({"waiting": 3}))
    database.down = False
    await house.until(delivered=3)
    assert_that(sorted(_ids(vc)), contains_exactly("a", "a", "b"))
    assert_that(outbox.delivered, equal_to(3))


@pytest_twisted.ensureDeferred
async def test_a_lost_answer_of_the_database_loses_no_message(
    house: House, vc: FakeVC, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dialer.store.outbox.CLAIM_TIME", 0.2)
    database = Unsteady(house.database)
    database.forgetful = True
    await house.put("a", "b")
    house.outbox(database)
    await house.until(delivered=2)
    assert_that(sorted(_ids(vc)), contains_exactly("a", "b"))


@pytest_twisted.ensureDeferred
async def test_a_dialer_that_dies_repeats_only_what_was_not_confirmed_with_the_same_key(
    house: House, vc: FakeVC, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dialer.store.outbox.CLAIM_TIME", 0.3)
    vc.script = lambda received: Manner.HANG if received.body["id"] == "b" else 200
    database = Unsteady(house.database)
    house.outbox(database)
    await house.put("a", "b")
    await house.until(delivered=1, waiting=1)
    # Dead: neither its answers nor its results get anywhere any more.
    database.down = True
    vc.script = lambda received: 200
    house.outbox()
    await house.until(delivered=2)
    assert_that(Counter(_ids(vc)), equal_to({"a": 1, "b": 2}))
    keys = {received.headers["idempotency-key"] for received in vc.received if received.body["id"] == "b"}
    assert_that(keys, has_length(1))


@pytest_twisted.ensureDeferred
async def test_stopping_lets_the_answers_under_way_come_and_writes_them(house: House, vc: FakeVC) -> None:
    answer: Deferred[int] = Deferred()
    vc.script = lambda received: answer
    outbox = house.outbox()
    await house.put("a")
    await vc.has_received(1)
    stopping = outbox.stopService()
    await house.put("b")
    answer.callback(200)
    await stopping
    assert_that(await house.states(), equal_to({"delivered": 1, "waiting": 1}))
    assert_that(vc.received, has_length(1))


@pytest_twisted.ensureDeferred
async def test_stopping_gives_up_an_answer_that_does_not_come_and_frees_its_message(house: House, vc: FakeVC) -> None:
    vc.script = lambda received: Manner.HANG
    outbox = house.outbox()
    await house.put("a")
    await vc.has_received(1)
    began = reactor.seconds()
    await outbox.stopService()
    # Far less than an answer is waited for.
    assert_that(reactor.seconds() - began, less_than(dialer.outbox.STOP_TIME + SLACK))
    vc.script = lambda received: 200
    house.outbox()
    await house.until(delivered=1)
    assert_that({received.headers["idempotency-key"] for received in vc.received}, has_length(1))


@pytest_twisted.ensureDeferred
async def test_stopping_does_not_wait_for_a_database_that_is_down(house: House, vc: FakeVC) -> None:
    database = Unsteady(house.database)
    database.down = True
    outbox = house.outbox(database)
    await database.refused
    await outbox.stopService()


@pytest_twisted.ensureDeferred
async def test_two_dialers_on_one_table_deliver_each_message_once(house: House, vc: FakeVC) -> None:
    first, second = house.outbox(), house.outbox()
    for _ in range(3):
        await house.put(*(f"c-{number}" for number in range(100)))
    await house.until(delivered=300)
    assert_that({received.headers["idempotency-key"] for received in vc.received}, has_length(300))
    assert_that(vc.received, has_length(300))
    assert_that(first.delivered + second.delivered, equal_to(300))


@pytest_twisted.ensureDeferred
async def test_an_unexpected_error_is_logged_and_delivery_goes_on(
    house: House, vc: FakeVC, monkeypatch: pytest.MonkeyPatch, logged_failures: LoggedFailures
) -> None:
    outbox = house.outbox()
    deliver = outbox._sender.deliver
    failures = iter([RuntimeError("boom")])

    async def unruly(message: Any, **kwargs: Any) -> Any:
        for failure in failures:
            raise failure
        return await deliver(message, **kwargs)

    monkeypatch.setattr(outbox._sender, "deliver", unruly)
    await house.put("a")
    await house.until(delivered=1)
    assert_that(outbox, has_properties(delivered=1, retried=1))
    assert_that(logged_failures.flush(), has_length(1))


@pytest_twisted.ensureDeferred
async def test_the_backlog_tells_of_each_kind_what_waits_since_when_and_what_is_parked(
    house: House, vc: FakeVC
) -> None:
    store = OutboxStore(house.database)
    assert_that(await store.backlog(), equal_to({"notification": Backlog(), "end_chat": Backlog()}))
    vc.script = _statuses(400, 400)
    outbox = house.outbox()
    await house.put("a")
    await house.put("a", kind="end_chat")
    await house.until(parked=2)
    await outbox.stopService()
    await house.put("b", age=30)
    await house.put("c")
    await house.put("d", kind="end_chat", age=40)
    notifications, end_chats = (await store.backlog()).values()
    times = [row["created_time"] for row in await house.rows()]
    assert_that(notifications, equal_to(Backlog(waiting=2, since=times[2], parked=1)))
    assert_that(end_chats, equal_to(Backlog(waiting=1, since=times[4], parked=1)))
    assert_that(Backlog.of([notifications, end_chats]), equal_to(Backlog(waiting=3, since=times[4], parked=2)))
