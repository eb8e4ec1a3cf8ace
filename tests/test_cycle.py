"""When to dial, with the clock and everything around the cycle in the hands of the test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from zlib import crc32

import pytest
from hamcrest import (
    all_of,
    assert_that,
    contains_exactly,
    empty,
    equal_to,
    greater_than_or_equal_to,
    has_length,
    is_,
    is_not,
    less_than_or_equal_to,
)
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock

from dialer.agents import Agents
from dialer.call import DownPolicy, Placed
from dialer.contact import CampaignType, Contact
from dialer.cycle import APART, LOOK_AGAIN, Cycle
from dialer.esl.fleet import Fleet
from dialer.placing import Placing
from dialer.selection import is_own
from dialer.store import contacts as store_module
from dialer.store.contacts import ContactStore
from dialer.store.database import DatabaseDown
from dialer.store.queue import QueueStore, Wanted
from dialer.takings import Takings
from dialer.throttle import ThrottleClosed
from tests.calling import contact
from tests.esl.support import result_of
from tests.hygiene import LoggedFailures
from tests.stand_in import stands_in_for
from tests.told import Told

INTERVAL = 20.0
IVR, AGENT = CampaignType.IVR, CampaignType.AGENT


@stands_in_for(ContactStore)
class Table:
    """The waiting contacts in order of arrival, and how many are active; `asked` tells each question."""

    def __init__(self) -> None:
        self.waiting: list[Contact] = []
        self.active = 0
        self.asked: list[str] = []
        self.expired: list[int] = []
        self.fails: Exception | None = None

    async def expire(self) -> list[str]:
        self._note("expire")
        return ["IVR"] * (self.expired.pop(0) if self.expired else 0)

    def _note(self, question: str) -> None:
        self.asked.append(question)
        if self.fails is not None:
            raise self.fails


@stands_in_for(QueueStore)
class Queue:
    """Chooses by arrival from those that wait in a table; `wanted` tells what was asked for."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self.wanted: list[Wanted] = []

    async def choose(self, wanted: Wanted) -> list[Contact]:
        self._table._note("choose")
        self.wanted.append(wanted)
        free = max(0, wanted.slots - self._table.active)
        waiting = [each for each in self._table.waiting if each.gateway_id not in wanted.avoid]
        waiting = [each for each in waiting if each.id not in wanted.skip]
        return [each for each in waiting if each.campaign_type in wanted.types][:free]


class Line:
    """A switch as far as its state goes."""

    def __init__(self) -> None:
        self.ready = self.connected = True


@stands_in_for(Fleet)
class Lines:
    def __init__(self, line: Line) -> None:
        self.switches = (line,)
        self.attempts: Deferred[None] = Deferred()

    @property
    def reachable(self) -> bool:
        return any(line.ready for line in self.switches)

    def first_attempts(self) -> Deferred[None]:
        return self.attempts


class Owner:
    held = True
    share = 0, 1


class Bench:
    def __init__(self, *, capacity: int = 5, policy: DownPolicy = DownPolicy.FAIL, attempted: bool = True) -> None:
        self.clock = Clock()
        self.table = Table()
        self.queue = Queue(self.table)
        self.takings = Takings()
        self.line = Line()
        self.fleet = Lines(self.line)
        self.lease = Owner()
        self.attempted = attempted
        self.placed: list[str] = []
        self.told = Told()
        self.outcome: Callable[[Contact], Any] = lambda contact: Placed.SENT
        self.cycle: Any = Cycle(
            self.clock,
            self.table,  # type: ignore[arg-type]
            self.queue,  # type: ignore[arg-type]
            self.fleet,  # type: ignore[arg-type]
            self.takings,
            _IvrSide(self),  # type: ignore[arg-type]
            _AgentSide(self),  # type: ignore[arg-type]
            self.lease,  # type: ignore[arg-type]
            interval=INTERVAL,
            capacity=capacity,
            policy=policy,
            meter=self.told,
        )

    async def place(self, contact: Contact, kind: CampaignType) -> Placed:
        """What becomes of a contact whose turn it is: it is no longer waiting, but when it was held or taken."""
        assert contact.campaign_type is kind
        self.placed.append(contact.id)
        self.last = contact
        outcome = self.outcome(contact)
        if isinstance(outcome, Deferred):
            outcome = await outcome
        if isinstance(outcome, Exception):
            raise outcome
        self.table.waiting.remove(contact)
        self.table.active += outcome is Placed.SENT
        return outcome  # type: ignore[no-any-return]

    def take(self, taken: Deferred[Contact | None]) -> Placed:
        """Let a taking run that ends as `taken` does; nobody waits for it."""

        async def taking() -> Contact | None:
            return await taken

        running = Deferred.fromCoroutine(self.takings.run(self.last, taking()))
        running.addErrback(lambda failure: failure.trap(DatabaseDown))
        return Placed.SENT

    def wake(self) -> None:
        """Wake it when the last early cycle was long enough ago."""
        self.settle_down()
        self.cycle.wake()

    def settle_down(self) -> None:
        """Let the time pass that lies between two early cycles, and that which such a cycle asks for."""
        self.clock.pump([APART] * 4)

    def put(self, *ids: str, kind: CampaignType = IVR, campaign: str = "k", gateway: str = "gw") -> None:
        self.table.waiting += [
            Contact(id=each, customer_number="1", campaign_type=kind, gateway_id=gateway, campaign_id=campaign)
            for each in ids
        ]

    def start(self) -> None:
        """The first cycle finds nobody connected yet; the first attempt to connect ends, if it does, right after it."""
        self.cycle.startService()
        if self.attempted:
            self.fleet.attempts.callback(None)

    @property
    def avoided(self) -> list[set[str]]:
        """The gateways to avoid of each choice."""
        return [set(wanted.avoid) for wanted in self.queue.wanted]

    def asked(self) -> list[str]:
        """The questions to the store since this was last asked."""
        asked, self.table.asked = self.table.asked, []
        return asked


@stands_in_for(Placing)
class _IvrSide:
    def __init__(self, bench: Bench) -> None:
        self._bench = bench

    async def place_ivr(self, contact: Contact) -> Placed:
        return await self._bench.place(contact, IVR)


@stands_in_for(Agents)
class _AgentSide:
    def __init__(self, bench: Bench) -> None:
        self._bench = bench

    async def request(self, contact: Contact) -> Placed:
        return await self._bench.place(contact, AGENT)


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    stop(bench)


def stop(bench: Bench) -> Deferred[None]:
    return Deferred.fromCoroutine(bench.cycle.stopService())


# -- timed and early ---------------------------------------------------------------------------------------------------


def test_a_timed_cycle_comes_at_the_start_and_then_at_each_interval(bench: Bench) -> None:
    bench.start()
    assert_that(bench.asked().count("expire"), is_(1))
    bench.clock.advance(INTERVAL - 1)
    assert_that(bench.asked(), empty())
    bench.put("a")
    bench.clock.advance(1)
    assert_that((bench.asked().count("expire"), bench.placed), equal_to((1, ["a"])))


def test_a_wake_starts_an_early_cycle_that_expires_nobody(bench: Bench) -> None:
    bench.start()
    bench.asked()
    bench.put("a")
    bench.wake()
    assert_that(bench.asked(), contains_exactly("choose"))
    assert_that(bench.placed, contains_exactly("a"))


def test_a_timed_cycle_and_an_early_one_say_so_and_ask_for_what_is_free_of_all_slots(bench: Bench) -> None:
    bench.start()
    bench.clock.advance(INTERVAL)
    bench.table.active = 2
    bench.wake()
    assert_that(
        [(w.early, w.capacity, w.slots) for w in bench.queue.wanted[-2:]], equal_to([(False, 5, 5), (True, 5, 5)])
    )


def test_any_number_of_wakes_while_a_cycle_runs_are_one(bench: Bench) -> None:
    slow: Deferred[Placed] = Deferred()
    bench.put("a")
    bench.outcome = lambda _: slow
    bench.start()
    bench.asked()
    for _ in range(10):
        bench.wake()
    assert_that(bench.asked(), empty())
    slow.callback(Placed.SENT)
    bench.clock.advance(1)
    assert_that(bench.asked(), contains_exactly("choose"))


def test_only_one_contact_is_placed_at_a_time(bench: Bench) -> None:
    turns: dict[str, Deferred[Placed]] = {}
    bench.put("a", "b")
    bench.outcome = lambda contact: turns.setdefault(contact.id, Deferred())
    bench.start()
    bench.wake()
    assert_that(bench.placed, contains_exactly("a"))
    turns["a"].callback(Placed.SENT)
    assert_that(bench.placed, contains_exactly("a", "b"))
    turns["b"].callback(Placed.SENT)


def test_a_timed_cycle_that_becomes_due_ends_the_list_of_the_one_before(bench: Bench) -> None:
    slow: Deferred[Placed] = Deferred()
    bench.put("a", "b", "c")
    bench.outcome = lambda contact: slow if contact.id == "a" else Placed.SENT
    bench.start()
    bench.put("urgent")
    bench.table.waiting.insert(0, bench.table.waiting.pop())
    bench.clock.advance(INTERVAL)
    bench.wake()
    bench.asked()
    slow.callback(Placed.SENT)
    assert_that(bench.asked()[0], is_("expire"))
    assert_that(bench.placed, contains_exactly("a", "urgent", "b", "c"))


def test_a_wake_does_not_end_the_list_of_the_cycle_under_way(bench: Bench) -> None:
    slow: Deferred[Placed] = Deferred()
    bench.put("a", "b")
    bench.outcome = lambda contact: slow if contact.id == "a" else Placed.SENT
    bench.start()
    bench.put("urgent", campaign="fewer")
    bench.wake()
    slow.callback(Placed.SENT)
    bench.settle_down()
    assert_that(bench.placed, contains_exactly("a", "b", "urgent"))


def test_expired_contacts_are_failed_in_bounded_portions_until_there_are_none(bench: Bench) -> None:
    bench.table.expired = [store_module.EXPIRE_AT_ONCE, store_module.EXPIRE_AT_ONCE, 3]
    bench.start()
    assert_that(bench.asked()[:4], contains_exactly("expire", "expire", "expire", "choose"))


def test_contacts_expire_also_while_nothing_can_be_dialed() -> None:
    bench = Bench(attempted=False)
    bench.start()
    assert_that(bench.asked(), contains_exactly("expire"))
    stop(bench)


# -- early cycles apart ------------------------------------------------------------------------------------------------


def test_the_first_wake_after_quiet_starts_a_cycle_at_once_and_those_after_it_one_a_little_later(bench: Bench) -> None:
    bench.start()
    bench.clock.advance(1)
    bench.asked()
    bench.cycle.wake()
    assert_that(bench.asked(), contains_exactly("choose"))
    bench.clock.advance(APART / 3)
    for _ in range(10):
        bench.cycle.wake()
    bench.clock.advance(APART / 3)
    assert_that(bench.asked(), empty())
    bench.clock.advance(APART)
    assert_that(bench.asked(), contains_exactly("choose"))
    bench.clock.advance(1)
    assert_that(bench.asked(), empty())


def test_early_cycles_begin_no_closer_together_however_often_it_is_woken(bench: Bench) -> None:
    bench.start()
    bench.asked()
    begun = 0
    for _ in range(100):
        bench.clock.advance(APART / 5)
        bench.cycle.wake()
        begun += bench.asked().count("choose")
    assert_that(begun, is_(all_of(greater_than_or_equal_to(100 // 6), less_than_or_equal_to(100 // 5))))


def test_a_cycle_that_took_longer_than_that_is_followed_at_once(bench: Bench) -> None:
    slow: Deferred[Placed] = Deferred()
    bench.put("a")
    bench.outcome = lambda _: slow
    bench.start()
    bench.wake()
    bench.asked()
    slow.callback(Placed.SENT)
    assert_that(bench.asked(), contains_exactly("choose"))


def test_a_timed_cycle_is_put_off_by_no_early_one_and_puts_none_off(bench: Bench) -> None:
    bench.start()
    bench.clock.advance(INTERVAL - APART / 3)
    bench.asked()
    bench.cycle.wake()
    assert_that(bench.asked(), contains_exactly("choose"))
    bench.clock.advance(APART / 3)
    assert_that(bench.asked(), contains_exactly("expire", "choose"))
    bench.clock.advance(INTERVAL)
    bench.asked()
    bench.cycle.wake()
    assert_that(bench.asked(), contains_exactly("choose"))


def test_a_wake_that_waits_is_served_by_a_timed_cycle_that_comes_first(bench: Bench) -> None:
    bench.start()
    bench.clock.advance(INTERVAL - APART / 3)
    bench.cycle.wake()
    bench.put("a")
    bench.cycle.wake()
    assert_that(bench.placed, empty())
    bench.clock.advance(APART / 3)
    assert_that(bench.placed, contains_exactly("a"))


def test_a_wake_that_waits_comes_before_a_later_look(bench: Bench) -> None:
    bench.put("a")
    bench.outcome = lambda contact: missed(bench)
    bench.start()
    bench.put("b")
    bench.outcome = lambda contact: Placed.SENT
    bench.cycle.wake()
    bench.settle_down()
    assert_that(bench.placed, contains_exactly("a", "b"))


def test_a_stop_calls_off_a_wake_that_waits() -> None:
    bench = Bench()
    bench.start()
    bench.put("a")
    bench.cycle.wake()
    assert_that(bench.clock.getDelayedCalls(), has_length(2))
    assert_that((stop(bench).called, bench.clock.getDelayedCalls(), bench.placed), equal_to((True, [], [])))


# -- takings under way -------------------------------------------------------------------------------------------------


def test_the_next_are_chosen_only_when_all_of_the_list_have_been_taken(bench: Bench) -> None:
    takings: dict[str, Deferred[Contact | None]] = {each: Deferred() for each in "ab"}
    bench.put("a", "b")
    bench.outcome = lambda contact: bench.take(takings[contact.id])
    bench.start()
    bench.asked()
    bench.wake()
    takings["b"].callback(contact())
    assert_that((bench.placed, bench.asked()), equal_to((["a", "b"], [])))
    takings["a"].callback(contact())
    assert_that(bench.asked(), contains_exactly("choose"))


def test_a_timed_cycle_also_waits_until_the_list_before_it_has_been_taken(bench: Bench) -> None:
    taken: Deferred[Contact | None] = Deferred()
    bench.put("a")
    bench.outcome = lambda _: bench.take(taken)
    bench.start()
    bench.asked()
    bench.clock.advance(INTERVAL)
    assert_that(bench.asked(), empty())
    taken.callback(contact())
    assert_that(bench.asked(), contains_exactly("expire", "choose"))


def test_a_list_that_a_fault_ended_is_waited_for_all_the_same(logged_failures: LoggedFailures) -> None:
    bench = Bench()
    taken: Deferred[Contact | None] = Deferred()
    bench.put("a", "b")
    bench.outcome = lambda contact: bench.take(taken) if contact.id == "a" else ValueError("a fault")
    bench.start()
    bench.asked()
    bench.wake()
    assert_that(bench.asked(), empty())
    bench.outcome = lambda _: Placed.SENT
    taken.callback(contact())
    assert_that(bench.placed, contains_exactly("a", "b", "b"))
    assert_that(logged_failures.flush(ValueError), has_length(1))
    stop(bench)


def test_a_database_outage_in_a_taking_ends_the_list_and_the_cycle_goes_on_later(bench: Bench) -> None:
    bench.put(*"abc")
    bench.outcome = lambda contact: bench.take(fail(DatabaseDown("down")))
    bench.start()
    bench.clock.advance(INTERVAL - 1)
    assert_that(bench.placed, contains_exactly("a"))
    bench.outcome = lambda _: Placed.SENT
    bench.clock.advance(1)
    assert_that(bench.placed, contains_exactly(*"abc"))


def test_a_stop_waits_for_the_takings_under_way() -> None:
    bench = Bench()
    taken: Deferred[Contact | None] = Deferred()
    bench.put("a")
    bench.outcome = lambda _: bench.take(taken)
    bench.start()
    stopped = stop(bench)
    assert_that(stopped.called, is_(False))
    taken.callback(contact())
    assert_that(stopped.called, is_(True))


# -- slots -------------------------------------------------------------------------------------------------------------


def test_no_more_contacts_are_taken_than_there_are_free_slots(bench: Bench) -> None:
    bench.table.active = 3
    bench.put(*"abcdef")
    bench.start()
    assert_that(bench.placed, contains_exactly("a", "b"))
    bench.wake()
    assert_that(bench.placed, has_length(2))


def test_a_dialer_above_its_limit_takes_nothing(bench: Bench) -> None:
    bench.table.active = 7
    bench.put("a")
    bench.start()
    assert_that(bench.placed, empty())


@pytest.mark.parametrize("outcome", [Placed.HELD, Placed.FAILED])
def test_slots_of_contacts_that_could_not_be_dialed_go_to_the_next_in_line(bench: Bench, outcome: Placed) -> None:
    bench.put(*"abc", gateway="other")
    bench.put(*"defgh")
    bench.outcome = lambda contact: outcome if contact.id in "abc" else Placed.SENT
    bench.start()
    bench.settle_down()
    assert_that(bench.placed, contains_exactly(*"abcdefgh"))


def test_a_gateway_found_down_is_left_alone_until_the_next_timed_cycle(bench: Bench) -> None:
    bench.put(*"abcdefghij", gateway="down")
    bench.outcome = lambda contact: bench.put(contact.id, gateway="down") or Placed.HELD
    bench.start()
    assert_that(bench.placed, contains_exactly(*"abcde"))
    bench.put("x")
    bench.outcome = lambda contact: Placed.SENT if contact.id == "x" else Placed.HELD
    bench.wake()
    assert_that(bench.placed[5:], contains_exactly("x"))
    bench.clock.advance(INTERVAL)
    assert_that(bench.placed[6:], contains_exactly(*"fghi"))


def test_gateways_found_down_are_avoided_until_the_next_timed_cycle(bench: Bench) -> None:
    bench.put("a", gateway="one")
    bench.put("b", gateway="two")
    bench.put("c")
    bench.outcome = lambda contact: Placed.SENT if contact.id == "c" else Placed.HELD
    bench.start()
    bench.put("x")
    bench.outcome = lambda contact: Placed.SENT
    bench.queue.wanted.clear()
    bench.wake()
    assert_that(bench.avoided[:1], contains_exactly({"one", "two"}))
    bench.put("y")
    bench.queue.wanted.clear()
    bench.clock.advance(INTERVAL)
    assert_that(bench.avoided[:1], contains_exactly(set()))


@pytest.mark.parametrize("outcome", [each for each in Placed if each is not Placed.HELD])
def test_only_a_contact_that_is_held_has_its_gateway_avoided(bench: Bench, outcome: Placed) -> None:
    bench.put("a")
    bench.outcome = lambda contact: outcome
    bench.start()
    bench.queue.wanted.clear()
    bench.wake()
    assert_that(bench.avoided[:1], contains_exactly(set()))


def test_the_gateways_that_are_avoided_are_bounded(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dialer.cycle.DOWN_KEPT", 2)
    for gateway in ("one", "two", "three"):
        bench.put(gateway, gateway=gateway)
    bench.outcome = lambda contact: Placed.HELD
    bench.start()
    bench.settle_down()
    assert_that(bench.avoided[-1], equal_to({"one", "two"}))


def test_a_list_ends_where_nothing_may_be_taken_just_now(bench: Bench) -> None:
    bench.put(*"abc")
    bench.outcome = lambda contact: bench.table.waiting.insert(0, contact) or Placed.NOT_NOW
    bench.start()
    assert_that((bench.placed, bench.clock.getDelayedCalls()), contains_exactly(["a"], has_length(1)))
    bench.outcome = lambda contact: Placed.SENT
    bench.wake()
    assert_that(bench.placed[1:], contains_exactly(*"abc"))


def test_contacts_that_somebody_else_took_are_not_asked_for_again_at_once(bench: Bench) -> None:
    bench.put("a")
    bench.outcome = lambda contact: bench.put("a") or missed(bench)  # a lock, say, keeps it from us for long
    bench.start()
    bench.clock.advance(LOOK_AGAIN - 0.01)
    assert_that(bench.placed, contains_exactly("a"))


def missed(bench: Bench) -> Placed:
    """Another dialer was faster."""
    return bench.take(succeed(None))


def test_after_another_dialer_was_faster_there_is_one_more_look_soon(bench: Bench) -> None:
    bench.put(*"ab")
    bench.outcome = lambda contact: missed(bench)
    bench.start()
    bench.put("c")
    bench.outcome = lambda contact: Placed.SENT
    bench.asked()
    bench.clock.advance(LOOK_AGAIN - 0.01)
    assert_that((bench.asked(), bench.placed), equal_to(([], ["a"])))
    bench.clock.advance(0.01)
    assert_that((bench.asked().count("choose"), bench.placed), equal_to((1, ["a", "b", "c"])))
    bench.clock.advance(10 * LOOK_AGAIN)
    assert_that(bench.asked(), empty())


@pytest.mark.parametrize(("missing", "placed"), [("own", 4), ("other", 3)])
def test_one_of_its_own_that_another_dialer_took_leaves_a_dialer_the_others_of_its_own(
    bench: Bench, missing: str, placed: int
) -> None:
    which, of = bench.lease.share = 1, 3
    own = [f"c{n}" for n in range(20) if is_own(f"c{n}", which, of)][:2]
    other = [f"c{n}" for n in range(20) if not is_own(f"c{n}", which, of)][:2]
    lost = own[0] if missing == "own" else other[0]
    bench.put(*own, *other)
    bench.outcome = lambda contact: missed(bench) if contact.id == lost else Placed.SENT
    bench.start()
    assert_that(bench.placed, equal_to([*own, *other][:placed]))


def test_a_stop_calls_off_the_look_after_another_dialer_was_faster() -> None:
    bench = Bench()
    bench.put("a", "b")
    bench.outcome = lambda contact: missed(bench)
    bench.start()
    assert_that((stop(bench).called, bench.clock.getDelayedCalls()), equal_to((True, [])))


def test_a_contact_that_somebody_else_took_while_the_dialer_stops_asks_for_no_further_look() -> None:
    bench = Bench()
    taken: Deferred[Contact | None] = Deferred()
    bench.put("a")
    bench.outcome = lambda contact: bench.take(taken)
    bench.start()
    stopped = stop(bench)
    assert_that(stopped.called, is_(False))
    taken.callback(None)
    assert_that((stopped.called, bench.clock.getDelayedCalls()), equal_to((True, [])))


def test_an_outage_burns_no_more_contacts_than_there_are_slots_until_the_next_timed_cycle(bench: Bench) -> None:
    bench.line.ready = bench.line.connected = False
    bench.outcome = lambda _: Placed.NO_SWITCH
    bench.table.active = 2
    bench.put(*"abcdefgh")
    bench.start()
    for _ in range(5):
        bench.wake()
    assert_that(bench.placed, contains_exactly(*"abc"))
    bench.clock.advance(INTERVAL)
    assert_that(bench.placed, contains_exactly(*"abcdef"))


def test_burned_slots_are_free_again_at_the_next_timed_cycle(bench: Bench) -> None:
    bench.line.ready = bench.line.connected = False
    bench.outcome = lambda _: Placed.NO_SWITCH
    bench.put(*"abcde")
    bench.start()
    bench.line.ready = bench.line.connected = True
    bench.outcome = lambda _: Placed.SENT
    bench.put(*"vwxyz")
    bench.wake()
    assert_that(bench.placed, has_length(5))
    bench.clock.advance(INTERVAL)
    assert_that(bench.placed, contains_exactly(*"abcdevwxyz"))


# -- what keeps from dialing -------------------------------------------------------------------------------------------


def test_nothing_is_taken_before_the_first_attempt_to_connect_has_ended() -> None:
    bench = Bench(attempted=False)
    bench.line.ready = bench.line.connected = False
    bench.put("a")
    bench.start()
    bench.wake()
    assert_that(bench.placed, empty())
    bench.line.ready = bench.line.connected = True
    bench.settle_down()
    bench.fleet.attempts.callback(None)
    assert_that(bench.placed, contains_exactly("a"))
    stop(bench)


@pytest.mark.parametrize("policy", DownPolicy)
def test_nothing_is_taken_while_the_live_calls_are_being_compared(policy: DownPolicy) -> None:
    bench = Bench(policy=policy)
    bench.line.ready = False
    bench.put("a")
    bench.put("b", kind=AGENT)
    bench.start()
    assert_that(bench.placed, empty())
    bench.line.ready = True
    bench.wake()
    assert_that(bench.placed, contains_exactly("a", "b"))
    stop(bench)


def test_nothing_is_taken_without_a_lease(bench: Bench) -> None:
    bench.lease.held = False
    bench.put("a")
    bench.start()
    assert_that(bench.placed, empty())
    bench.lease.held = True
    bench.wake()
    assert_that(bench.placed, contains_exactly("a"))


def test_agent_contacts_are_not_taken_while_no_switch_is_reachable(bench: Bench) -> None:
    bench.line.ready = bench.line.connected = False
    bench.put("a", kind=AGENT)
    bench.put("b")
    bench.outcome = lambda _: Placed.NO_SWITCH
    bench.start()
    assert_that((bench.placed, bench.queue.wanted[0].types), equal_to((["b"], [IVR])))


def test_with_hold_nothing_at_all_is_taken_while_no_switch_is_reachable() -> None:
    bench = Bench(policy=DownPolicy.HOLD)
    bench.line.ready = bench.line.connected = False
    bench.put("a")
    bench.start()
    assert_that(bench.placed, empty())
    stop(bench)


def test_with_hold_a_switch_that_is_lost_ends_the_list() -> None:
    bench = Bench(policy=DownPolicy.HOLD)
    bench.put("a", "b")

    def lost(contact: Contact) -> Placed:
        bench.line.ready = bench.line.connected = False
        return Placed.NO_SWITCH

    bench.outcome = lost
    bench.start()
    assert_that(bench.placed, contains_exactly("a"))
    stop(bench)


def test_no_agent_is_reserved_for_the_rest_of_a_list_in_whose_midst_the_switch_was_lost(bench: Bench) -> None:
    bench.put("a", "b", "c", kind=AGENT)

    def lost(contact: Contact) -> Placed:
        bench.line.ready = bench.line.connected = False
        return Placed.SENT

    bench.outcome = lost
    bench.start()
    assert_that(bench.placed, contains_exactly("a"))
    bench.line.ready = bench.line.connected = True
    bench.outcome = lambda _: Placed.SENT
    bench.wake()
    assert_that(bench.placed, contains_exactly("a", "b", "c"))


def test_a_list_in_whose_midst_the_switch_came_back_waits_until_the_calls_are_compared(bench: Bench) -> None:
    bench.put("a", "b")

    def compared(contact: Contact) -> Placed:
        bench.line.ready = False
        return Placed.SENT

    bench.outcome = compared
    bench.start()
    assert_that(bench.placed, contains_exactly("a"))


# -- what goes wrong ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["store", "contact"])
def test_a_database_outage_puts_the_cycle_off_to_the_next(bench: Bench, where: str) -> None:
    bench.put("a")
    if where == "store":
        bench.table.fails = DatabaseDown("down")
    bench.outcome = lambda _: DatabaseDown("down")
    bench.start()
    bench.table.fails = None
    bench.outcome = lambda _: Placed.SENT
    bench.clock.advance(INTERVAL)
    assert_that(bench.placed[-1:], contains_exactly("a"))
    assert_that(bench.table.waiting, empty())


@pytest.mark.parametrize("where", ["store", "contact"])
def test_a_fault_does_not_end_the_cycles(where: str, logged_failures: LoggedFailures) -> None:
    bench = Bench()
    bench.put("a")
    if where == "store":
        bench.table.fails = ValueError("a fault")
    bench.outcome = lambda _: ValueError("a fault")
    bench.start()
    bench.table.fails = None
    bench.outcome = lambda _: Placed.SENT
    bench.wake()
    assert_that(bench.table.waiting, empty())
    bench.put("b")
    bench.clock.advance(INTERVAL)
    assert_that(bench.placed[-1], is_("b"))
    assert_that(logged_failures.flush(ValueError), is_not(empty()))
    stop(bench)


def test_a_wake_during_a_cycle_that_fails_is_not_forgotten(logged_failures: LoggedFailures) -> None:
    bench = Bench()
    slow: Deferred[Placed] = Deferred()
    bench.put("a")
    bench.outcome = lambda _: slow
    bench.start()
    bench.wake()
    bench.outcome = lambda _: Placed.SENT
    slow.errback(ValueError("a fault"))
    bench.settle_down()
    assert_that(bench.placed, contains_exactly("a", "a"))
    logged_failures.flush(ValueError)
    stop(bench)


# -- stopping ----------------------------------------------------------------------------------------------------------


def test_a_stop_waits_for_the_contact_whose_turn_it_is_and_dials_no_other() -> None:
    bench = Bench()
    slow: Deferred[Placed] = Deferred()
    bench.put("a", "b")
    bench.outcome = lambda _: slow
    bench.start()
    stopped = stop(bench)
    bench.wake()
    assert_that(stopped.called, is_(False))
    slow.callback(Placed.SENT)
    assert_that((stopped.called, bench.placed, bench.clock.getDelayedCalls()), equal_to((True, ["a"], [])))


def test_a_stop_between_cycles_is_over_at_once_and_nothing_wakes_it_again() -> None:
    bench = Bench()
    bench.start()
    assert_that(stop(bench).called, is_(True))
    bench.put("a")
    bench.wake()
    bench.clock.advance(10 * INTERVAL)
    assert_that((bench.placed, bench.clock.getDelayedCalls()), equal_to(([], [])))


def test_a_throttle_that_closes_ends_the_cycle_without_a_word() -> None:
    bench = Bench()
    turn: Deferred[Placed] = Deferred()
    bench.put("a", "b")
    bench.outcome = lambda _: turn
    bench.start()
    bench.wake()
    turn.errback(ThrottleClosed())
    assert_that(bench.placed, contains_exactly("a"))
    assert_that(stop(bench).called, is_(True))


def test_a_stop_left_behind_harms_nothing_when_the_turn_ends_at_last() -> None:
    bench = Bench()
    slow: Deferred[Placed] = Deferred()
    bench.put("a", "b")
    bench.outcome = lambda _: slow
    bench.start()
    stopped = stop(bench)
    stopped.addErrback(lambda _: None)
    stopped.cancel()
    slow.callback(Placed.SENT)
    assert_that(bench.placed, contains_exactly("a"))


def test_of_several_dialers_each_begins_with_its_own_part_of_what_is_next(bench: Bench) -> None:
    bench.lease.share = 1, 2
    ids = [f"c{number}" for number in range(5)]
    bench.put(*ids)
    bench.start()
    contacts = {each: crc32(each.encode()) % 2 for each in ids}
    assert_that(bench.placed, equal_to(sorted(ids, key=lambda each: contacts[each] != 1)))


def test_a_list_ends_where_another_dialer_was_faster(bench: Bench) -> None:
    bench.put(*"abc")

    async def missed() -> None:
        return None

    def outcome(contact: Contact) -> Placed:
        if contact.id == "a":
            result_of(Deferred.fromCoroutine(bench.takings.run(contact, missed())))
        return Placed.SENT

    bench.outcome = outcome
    bench.start()
    assert_that(bench.placed, contains_exactly("a"))
    bench.clock.advance(LOOK_AGAIN)
    assert_that(bench.placed, contains_exactly("a", "b", "c"))


# -- what is told to who measures --------------------------------------------------------------------------------------


def test_each_choice_of_somebody_is_told_with_the_time_that_it_took(bench: Bench) -> None:
    bench.start()
    assert_that(bench.told.of("chose"), empty())
    bench.put("a")
    bench.wake()
    assert_that(bench.told.of("chose"), equal_to([(0.0,)]))


def test_contacts_that_expire_are_told_as_outcomes(bench: Bench) -> None:
    bench.table.expired = [2]
    bench.start()
    assert_that(bench.told.of("settled"), equal_to([("IVR", "Expired")] * 2))
