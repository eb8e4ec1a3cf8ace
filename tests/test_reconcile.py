"""Contacts compared with the calls that the switches really have, on a clock and with switches that the test turns."""

from __future__ import annotations

from math import inf
from typing import Any

import pytest
from attrs import evolve
from hamcrest import assert_that, contains_exactly, empty, equal_to, has_length, instance_of, is_
from twisted.internet.defer import Deferred, fail

from dialer import reconcile as reconcile_module
from dialer.agents import Agents
from dialer.contact import Status
from dialer.ends import RIPE
from dialer.esl.errors import CommandRefused, SwitchDown
from dialer.esl.fleet import Fleet
from dialer.esl.switch import Switch
from dialer.meter import Reconciled
from dialer.reconcile import APART, LONGEST_UNTOLD, TOLD, WITNESS_EVERY, YOUNGEST, Reconcile
from dialer.store.contacts import Change, ContactStore, HeldContact
from dialer.store.database import DatabaseDown
from tests.calling import AGENT, IVR, Bench, Pbx, hangup, held
from tests.esl.support import error_of, result_of
from tests.hygiene import LoggedFailures
from tests.stand_in import stands_in_for

INTERVAL = 30.0
MAX_CALL_TIME = 3600.0
REPLY_TIMEOUT = 600.0
GONE = (Status.ENDED, "UNKNOWN", False)


@stands_in_for(Switch)
class Line(Pbx):
    """A switch that has the calls `live`, or answers with an error or later."""

    def __init__(self, name: str = "pbx:8021") -> None:
        super().__init__(name)
        self.connected = True
        self.live: Any = frozenset()
        self.listed = 0
        self.asked_for: list[str] = []

    async def live_calls(self) -> frozenset[str]:
        self.listed += 1
        if not self.connected:
            raise SwitchDown("not connected")
        live = await self.live if isinstance(self.live, Deferred) else self.live
        if isinstance(live, Exception):
            raise live
        return frozenset(live)

    async def exists(self, uuid: str) -> bool:
        self.asked_for.append(uuid)
        return await super().exists(uuid)


@stands_in_for(Fleet)
class Lines:
    def __init__(self, *switches: Line) -> None:
        self.switches: Any = switches

    @property
    def connected_all(self) -> bool:
        return all(switch.connected for switch in self.switches)


@stands_in_for(ContactStore)
class Table:
    """What the database says this dialer holds, and what it may take over."""

    def __init__(self, changes: list[Change]) -> None:
        self._changes = changes
        self.rows: list[HeldContact] = []
        self.orphans: list[HeldContact] = []
        self.fails: Exception | None = None
        self.asked = 0

    async def take_over(self) -> list[HeldContact]:
        self.asked += 1
        if self.fails is not None:
            raise self.fails
        taken, self.orphans = self.orphans, []
        self.rows += taken
        return taken

    async def held(self) -> list[HeldContact]:
        self.asked += 1
        if self.fails is not None:
            raise self.fails
        over = {change.contact_id for change in self._changes}
        return [row for row in self.rows if row.contact.id not in over]


@stands_in_for(Agents)
class Waiting:
    def __init__(self) -> None:
        self.given_up: list[float] = []

    async def give_up(self, timeout: float) -> int:
        self.given_up.append(timeout)
        return 0


class Ward:
    """A Reconcile with real Calls, and the switches `pbx` and `other`."""

    def __init__(self) -> None:
        self.bench = Bench()
        self.clock = self.bench.clock
        self.calls = self.bench.calls
        self.pbx, self.other = Line("pbx:8021"), Line("other:8021")
        self.table = Table(self.bench.results.changes)
        self.agents = Waiting()
        self.steady = inf
        self.held = True
        self.reconcile: Any = Reconcile(
            self.clock,
            self.table,  # type: ignore[arg-type]
            Lines(self.pbx, self.other),  # type: ignore[arg-type]
            self.calls,
            self.agents,  # type: ignore[arg-type]
            interval=INTERVAL,
            agent_reply_timeout=REPLY_TIMEOUT,
            max_call_time=MAX_CALL_TIME,
            steady=lambda: self.steady,
            may_act=lambda: self.held,
            meter=self.bench.told,
        )

    def hold(self, contact_id: str = "c1", *, ago: float = 60.0, kind: Any = IVR, **fields: Any) -> None:
        """A call that the database says is ours and was sent so many seconds ago."""
        row = held(kind, ago, contact_id=contact_id, **fields)
        self.table.rows.append(row)
        self.bench.adopt(row)

    def start(self) -> None:
        self.reconcile.startService()

    def stop(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self.reconcile.stopService())

    def pass_time(self, seconds: float) -> None:
        """In steps, the database's idea of how long ago a call was sent growing with it."""
        for _ in range(round(seconds)):
            self.table.rows = [evolve(row, dialed_ago=(row.dialed_ago or 0) + 1) for row in self.table.rows]
            self.clock.advance(1)

    def connect(self, switch: Line | None = None) -> Deferred[None]:
        """What is done after each connect."""
        return Deferred.fromCoroutine(self.reconcile.compare(switch or self.pbx))

    @property
    def settled(self) -> list[tuple[Status, str | None, bool]]:
        return self.bench.settled


@pytest.fixture
def ward() -> Ward:
    ward = Ward()
    ward.start()
    return ward


# -- gone --------------------------------------------------------------------------------------------------------------


def test_a_call_is_gone_when_it_was_missed_twice_some_seconds_apart(ward: Ward) -> None:
    ward.hold()
    ward.connect()
    assert_that((ward.settled, ward.pbx.asked_for), equal_to(([], [])))
    ward.clock.advance(APART - 0.1)
    assert_that(ward.settled, empty())
    ward.clock.advance(0.1)
    assert_that((ward.settled, ward.pbx.asked_for), equal_to(([GONE], ["c1"])))
    ward.stop()


def test_two_looks_close_to_each_other_are_no_proof(ward: Ward) -> None:
    ward.hold()
    for _ in range(3):
        ward.connect()
        ward.clock.advance(1)
    assert_that((ward.settled, ward.pbx.asked_for), equal_to(([], [])))
    ward.stop()


def test_a_call_younger_than_ten_seconds_is_not_given_up(ward: Ward) -> None:
    ward.hold(ago=0)
    ward.connect()
    ward.clock.advance(APART)
    assert_that(ward.settled, empty())
    ward.clock.advance(YOUNGEST - APART - 0.1)
    assert_that(ward.settled, empty())
    ward.clock.advance(0.1)
    assert_that(ward.settled, contains_exactly(GONE))
    ward.stop()


def test_a_call_is_not_given_up_while_who_saw_its_end_may_still_wait_for_the_database(ward: Ward) -> None:
    ward.hold()
    ward.steady = TOLD - 0.1
    ward.connect()
    ward.pass_time(3 * APART)
    assert_that((ward.settled, ward.pbx.asked_for), equal_to(([], [])))
    ward.steady = TOLD
    ward.clock.advance(APART)
    assert_that(ward.settled, contains_exactly(GONE))
    ward.stop()


def test_a_database_that_fails_again_and_again_does_not_keep_a_call_for_ever(ward: Ward) -> None:
    ward.hold()
    ward.steady = 0.0
    ward.connect()
    ward.pass_time(LONGEST_UNTOLD - 1)
    assert_that(ward.settled, empty())
    ward.pass_time(APART + 1)
    assert_that(ward.settled, contains_exactly(GONE))
    ward.stop()


def test_a_call_that_reappears_is_not_gone_and_starts_anew(ward: Ward) -> None:
    ward.hold()
    ward.connect()
    ward.pbx.live = {"c1"}
    ward.clock.advance(APART)
    ward.pbx.live = set()
    ward.connect()
    assert_that((ward.settled, ward.pbx.asked_for), equal_to(([], [])))
    ward.clock.advance(APART)
    assert_that(ward.settled, contains_exactly(GONE))
    ward.stop()


def test_a_call_that_the_list_misses_but_the_switch_knows_is_not_gone(ward: Ward) -> None:
    ward.hold()
    ward.pbx.has = True
    ward.connect()
    ward.clock.advance(APART)
    ward.pass_time(INTERVAL)
    assert_that(ward.settled, empty())
    ward.pbx.has = False
    ward.pass_time(INTERVAL)
    assert_that(ward.settled, contains_exactly(GONE))
    ward.stop()


def test_a_call_that_lives_is_left_alone_for_ever(ward: Ward) -> None:
    ward.hold()
    ward.pbx.live = {"c1"}
    ward.pass_time(10 * INTERVAL)
    assert_that((ward.settled, ward.bench.live, ward.pbx.asked_for), equal_to(([], ["c1"], [])))
    ward.stop()


def test_a_call_without_an_end_is_found_by_the_rounds_alone(ward: Ward) -> None:
    ward.hold()
    ward.pass_time(INTERVAL + APART)
    assert_that(ward.settled, contains_exactly(GONE))
    ward.stop()


def test_an_end_that_is_seen_between_the_looks_is_the_true_one(ward: Ward) -> None:
    ward.hold()
    ward.connect()
    ward.bench.tell(hangup("USER_BUSY"))
    ward.pass_time(APART + INTERVAL)
    assert_that(ward.settled, contains_exactly((Status.ENDED, "USER_BUSY", False)))
    ward.stop()


def test_an_end_that_is_seen_while_the_switch_is_asked_is_the_true_one(ward: Ward) -> None:
    ward.hold()
    ward.connect()
    ward.pbx.has = Deferred()
    ward.clock.advance(APART)
    ward.bench.tell(hangup("USER_BUSY"))
    ward.pbx.has.callback(False)
    assert_that(ward.settled, contains_exactly((Status.ENDED, "USER_BUSY", False)))
    ward.stop()


@pytest.mark.parametrize("bridged", [False, True])
def test_the_agent_of_a_call_that_is_gone_is_freed_unless_they_talked(ward: Ward, bridged: bool) -> None:
    ward.hold(kind=AGENT, bridged=bridged)
    ward.connect()
    ward.clock.advance(APART)
    assert_that(ward.settled, contains_exactly((Status.ENDED, "UNKNOWN", not bridged)))
    ward.stop()


# -- asking ------------------------------------------------------------------------------------------------------------


def test_a_round_lists_the_calls_of_each_switch_once_however_many_there_are(ward: Ward) -> None:
    for number in range(50):
        ward.hold(f"c{number}", switch="other:8021" if number % 2 else "pbx:8021")
    ward.pbx.live = ward.other.live = {f"c{number}" for number in range(50)}
    ward.pass_time(INTERVAL)
    assert_that((ward.pbx.listed, ward.other.listed), equal_to((1, 1)))
    assert_that((ward.pbx.asked_for, ward.other.asked_for), equal_to(([], [])))
    ward.stop()


def test_after_a_connect_only_that_switch_is_asked(ward: Ward) -> None:
    ward.hold("c1")
    ward.hold("c2", switch="other:8021")
    ward.connect(ward.pbx)
    assert_that((ward.pbx.listed, ward.other.listed), equal_to((1, 0)))
    (missing,) = [call for call in ward.calls if call.missing_since is not None]
    assert_that(missing.contact.id, is_("c1"))
    ward.stop()


def test_the_second_look_asks_only_the_switches_that_miss_a_call_and_not_the_database(ward: Ward) -> None:
    ward.hold("c1")
    ward.hold("c2", switch="other:8021")
    ward.other.live = {"c2"}
    ward.pass_time(INTERVAL)
    before = (ward.pbx.listed, ward.other.listed, ward.table.asked, len(ward.agents.given_up))
    ward.clock.advance(APART)
    after = (ward.pbx.listed, ward.other.listed, ward.table.asked, len(ward.agents.given_up))
    assert_that([late - early for early, late in zip(before, after, strict=True)], contains_exactly(1, 0, 0, 0))
    assert_that((ward.settled, ward.bench.live), equal_to(([GONE], ["c2"])))
    ward.stop()


def test_there_is_no_second_look_where_nothing_is_missed(ward: Ward) -> None:
    ward.hold()
    ward.pbx.live = {"c1"}
    ward.connect()
    ward.clock.advance(APART)
    assert_that((ward.pbx.listed, ward.table.asked), equal_to((1, 0)))
    ward.stop()


def test_the_second_look_at_one_switch_is_at_the_other_too_when_that_came_to_miss_one_meanwhile(ward: Ward) -> None:
    ward.hold("c1")
    ward.hold("c2", switch="other:8021")
    ward.connect(ward.pbx)
    ward.clock.advance(1)
    ward.connect(ward.other)
    ward.clock.advance(APART - 1)
    assert_that((ward.pbx.listed, ward.other.listed), equal_to((2, 2)))
    ward.stop()


def test_after_a_connect_nothing_is_decided_before_the_switch_has_answered(ward: Ward) -> None:
    ward.hold()
    ward.pbx.live = Deferred()
    compared = ward.connect()
    assert_that(compared.called, is_(False))
    ward.pbx.live.callback({"c1"})
    assert_that((compared.called, ward.bench.live), equal_to((True, ["c1"])))
    ward.stop()


@pytest.mark.parametrize("answer", [SwitchDown("gone"), CommandRefused("api show channels", "-ERR")])
def test_a_switch_that_does_not_tell_its_calls_changes_nothing(ward: Ward, answer: Exception) -> None:
    ward.hold()
    ward.pbx.live = answer
    ward.pass_time(5 * INTERVAL)
    assert_that((ward.settled, ward.bench.live, ward.pbx.asked_for), equal_to(([], ["c1"], [])))
    ward.stop()


@pytest.mark.parametrize("answer", [SwitchDown("gone"), CommandRefused("api show channels", "-ERR")])
def test_a_switch_that_does_not_tell_its_calls_fails_the_comparison_of_whoever_connected_it(
    ward: Ward, answer: Exception
) -> None:
    ward.hold()
    ward.pbx.live = answer
    assert_that(error_of(ward.connect()), is_(answer))
    assert_that((ward.settled, ward.bench.live, ward.pbx.asked_for), equal_to(([], ["c1"], [])))
    ward.stop()


@pytest.mark.parametrize("answer", [SwitchDown("gone"), CommandRefused("api uuid_exists c1", "-ERR")])
def test_a_switch_that_does_not_tell_of_one_call_changes_nothing_until_it_does(ward: Ward, answer: Exception) -> None:
    ward.hold()
    ward.pbx.has = answer
    ward.pass_time(5 * INTERVAL)
    assert_that((ward.settled, ward.bench.live), equal_to(([], ["c1"])))
    ward.pbx.has = False
    ward.pass_time(INTERVAL)
    assert_that(ward.settled, contains_exactly(GONE))
    ward.stop()


@pytest.mark.parametrize("question", ["live", "has"])
def test_a_switch_that_refuses_keeps_nobody_else_from_being_compared(ward: Ward, question: str) -> None:
    setattr(ward.pbx, question, CommandRefused("api", "-ERR"))
    ward.hold("c1")
    ward.hold("c2", switch="other:8021")
    ward.pass_time(INTERVAL + APART)
    assert_that((ward.settled, ward.bench.live), equal_to(([GONE], ["c1"])))
    ward.stop()


def test_after_a_connect_a_switch_that_refuses_to_tell_of_one_call_can_still_be_used(ward: Ward) -> None:
    ward.hold()
    ward.connect()
    ward.clock.advance(APART)
    ward.pbx.has = CommandRefused("api uuid_exists c1", "-ERR")
    compared = ward.connect()
    assert_that((compared.called, result_of(compared)), equal_to((True, None)))
    ward.stop()


def test_a_switch_that_is_not_connected_is_not_asked(ward: Ward) -> None:
    ward.hold()
    ward.pbx.connected = False
    ward.pass_time(5 * INTERVAL)
    assert_that((ward.pbx.listed, ward.settled, ward.bench.live), equal_to((0, [], ["c1"])))
    ward.stop()


# a row of another product does not say which switch dialed it


def test_a_call_of_unknown_switch_is_gone_when_no_switch_has_it(ward: Ward) -> None:
    ward.hold(switch=None)
    ward.pass_time(INTERVAL + APART)
    assert_that(ward.settled, contains_exactly(GONE))
    assert_that((ward.pbx.asked_for, ward.other.asked_for), equal_to((["c1"], ["c1"])))
    ward.stop()


def test_a_call_of_unknown_switch_that_any_switch_has_lives(ward: Ward) -> None:
    ward.hold(switch=None)
    ward.other.live = {"c1"}
    ward.pass_time(5 * INTERVAL)
    assert_that((ward.settled, ward.bench.live), equal_to(([], ["c1"])))
    ward.stop()


def test_a_call_of_unknown_switch_is_not_judged_while_any_switch_cannot_be_asked(ward: Ward) -> None:
    ward.hold(switch=None)
    ward.other.connected = False
    ward.pass_time(5 * INTERVAL)
    assert_that((ward.settled, ward.bench.live), equal_to(([], ["c1"])))
    ward.stop()


# -- MAX_CALL_TIME -----------------------------------------------------------------------------------------------------


def test_a_call_whose_switch_cannot_be_asked_ends_after_the_longest_call_time(ward: Ward) -> None:
    ward.hold(ago=0)
    ward.pbx.connected = False
    ward.pass_time(MAX_CALL_TIME - 1)
    assert_that(ward.settled, empty())
    ward.pass_time(INTERVAL)
    assert_that(ward.settled, contains_exactly(GONE))
    ward.stop()


def test_a_call_of_a_switch_that_is_no_longer_configured_ends_after_the_longest_call_time(ward: Ward) -> None:
    ward.hold(ago=MAX_CALL_TIME - 2 * INTERVAL, switch="former:8021")
    ward.pass_time(INTERVAL)
    assert_that(ward.settled, empty())
    ward.pass_time(INTERVAL)
    assert_that(ward.settled, contains_exactly(GONE))
    ward.stop()


@pytest.mark.parametrize("question", ["live", "has"])
def test_a_call_whose_switch_is_connected_but_does_not_tell_ends_after_the_longest_call_time(
    ward: Ward, question: str
) -> None:
    setattr(ward.pbx, question, CommandRefused("api", "-ERR"))
    ward.hold(ago=MAX_CALL_TIME - 2 * INTERVAL)
    ward.pass_time(INTERVAL)
    assert_that(ward.settled, empty())
    ward.pass_time(INTERVAL)
    assert_that(ward.settled, contains_exactly(GONE))
    ward.stop()


def test_a_call_that_really_lives_is_not_ended_however_long_it_lasts(ward: Ward) -> None:
    ward.hold(ago=3 * MAX_CALL_TIME)
    ward.hold("c2", ago=3 * MAX_CALL_TIME, switch=None)
    ward.pbx.live = {"c1", "c2"}
    ward.pass_time(2 * INTERVAL)
    assert_that((ward.settled, ward.bench.live), equal_to(([], ["c1", "c2"])))
    ward.stop()


# -- whose contacts ----------------------------------------------------------------------------------------------------


def test_a_start_recovers_what_the_database_says_is_ours() -> None:
    ward = Ward()
    ward.table.rows = [held(contact_id="c1"), held(AGENT, None, contact_id="c2", status=Status.AGENT_PENDING)]
    recovered = Deferred.fromCoroutine(ward.reconcile.recover())
    assert_that((recovered.called, ward.bench.live), equal_to((True, ["c1"])))


def test_a_start_takes_over_what_nobody_holds_before_any_switch_is_compared() -> None:
    ward = Ward()
    ward.table.rows = [held(contact_id="c1")]
    ward.table.orphans = [held(contact_id="c2")]
    Deferred.fromCoroutine(ward.reconcile.recover())
    assert_that((ward.bench.live, ward.pbx.listed), equal_to((["c1", "c2"], 0)))
    ward.connect()
    assert_that([call.missing_since for call in ward.calls], equal_to([ward.clock.seconds()] * 2))


def test_a_start_takes_over_all_of_many_that_nobody_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconcile_module, "TAKE_OVER_AT_ONCE", 2)
    ward = Ward()
    portions = [[held(contact_id=each) for each in portion] for portion in (["c1", "c2"], ["c3", "c4"], ["c5"])]

    async def take_over() -> list[HeldContact]:
        taken = portions.pop(0)
        ward.table.rows += taken
        return taken

    ward.table.take_over = take_over  # type: ignore[method-assign]
    Deferred.fromCoroutine(ward.reconcile.recover())
    assert_that((ward.bench.live, portions), equal_to(([f"c{n}" for n in range(1, 6)], [])))


def test_a_start_that_cannot_ask_the_database_says_so() -> None:
    ward = Ward()
    ward.table.fails = DatabaseDown("down")
    assert_that(error_of(Deferred.fromCoroutine(ward.reconcile.recover())), instance_of(DatabaseDown))


def test_what_a_dead_dialer_held_is_taken_over_and_judged_like_our_own(ward: Ward) -> None:
    ward.table.orphans = [held(contact_id="c1", dialed_ago=60)]
    ward.pass_time(INTERVAL)
    assert_that((ward.settled, ward.bench.live), equal_to(([], ["c1"])))
    ward.pass_time(APART)
    assert_that(ward.settled, contains_exactly(GONE))
    ward.stop()


def test_a_contact_that_another_dialer_has_taken_over_is_let_go(ward: Ward) -> None:
    ward.hold("c1")
    ward.hold("c2")
    ward.pbx.live = {"c1", "c2"}
    ward.table.rows.pop(0)
    ward.pass_time(INTERVAL)
    assert_that((ward.settled, ward.bench.live), equal_to(([], ["c2"])))
    ward.stop()


def test_a_call_whose_result_is_on_its_way_is_not_let_go(ward: Ward) -> None:
    ward.hold()
    ward.bench.results.slow = Deferred()
    ward.bench.tell(hangup("USER_BUSY"))
    ward.table.rows = []
    ward.pass_time(INTERVAL)
    assert_that(ward.calls.load(ward.pbx), is_(1))
    ward.bench.results.slow.callback("ended")
    assert_that(ward.calls.load(ward.pbx), is_(0))
    ward.stop()


def test_a_call_that_is_sent_while_the_database_is_asked_is_not_let_go() -> None:
    ward = Ward()
    answer: Deferred[list[HeldContact]] = Deferred()
    ward.table.held = lambda: answer  # type: ignore[assignment, method-assign, return-value]
    recovering = Deferred.fromCoroutine(ward.reconcile.recover())
    ward.bench.dialed()
    answer.callback([])
    assert_that((recovering.called, ward.bench.live), equal_to((True, ["c1"])))


def test_a_database_outage_keeps_the_calls_and_still_compares_them(ward: Ward) -> None:
    ward.hold()
    ward.table.fails = DatabaseDown("down")
    ward.pass_time(INTERVAL + APART)
    assert_that(ward.settled, contains_exactly(GONE))
    ward.stop()


def test_each_round_gives_up_on_agent_requests_that_waited_too_long(ward: Ward) -> None:
    ward.pass_time(2 * INTERVAL)
    assert_that(ward.agents.given_up, contains_exactly(REPLY_TIMEOUT, REPLY_TIMEOUT))
    ward.stop()


# -- rounds ------------------------------------------------------------------------------------------------------------


def test_a_fault_in_a_round_is_logged_and_the_next_round_comes(logged_failures: LoggedFailures) -> None:
    ward = Ward()
    ward.start()
    ward.table.fails = ValueError("a fault")
    ward.pass_time(INTERVAL)
    ward.table.fails = None
    ward.pass_time(INTERVAL)
    assert_that(ward.agents.given_up, has_length(1))
    assert_that(logged_failures.flush(ValueError), has_length(1))
    ward.stop()


def test_rounds_do_not_overlap(ward: Ward) -> None:
    ward.hold()
    slow = ward.pbx.live = Deferred()
    ward.pass_time(5 * INTERVAL)
    assert_that(ward.pbx.listed, is_(1))
    ward.pbx.live = {"c1"}
    slow.callback({"c1"})
    ward.pass_time(INTERVAL)
    assert_that(ward.pbx.listed, is_(2))
    ward.stop()


def test_a_stop_waits_for_the_round_under_way_and_leaves_no_timer(ward: Ward) -> None:
    ward.hold()
    slow = ward.pbx.live = Deferred()
    ward.pass_time(INTERVAL)
    stopped = ward.stop()
    assert_that(stopped.called, is_(False))
    slow.callback(frozenset())
    assert_that((stopped.called, ward.clock.getDelayedCalls()), equal_to((True, [])))


def test_a_stop_calls_off_the_second_look(ward: Ward) -> None:
    ward.hold()
    ward.connect()
    assert_that(ward.stop().called, is_(True))
    assert_that((ward.clock.getDelayedCalls(), ward.settled), equal_to(([], [])))


# -- the ends of others' calls -----------------------------------------------------------------------------------------


def test_an_end_that_its_own_dialer_does_not_write_is_written_within_seconds(ward: Ward) -> None:
    ward.bench.store.others = [held(contact_id="theirs", dialed_ago=60)]
    ward.bench.tell(hangup("USER_BUSY", "theirs"))
    ward.clock.pump([0.5] * round((RIPE + WITNESS_EVERY) / 0.5))
    assert_that(ward.settled, contains_exactly((Status.ENDED, "USER_BUSY", False)))
    ward.clock.pump([0.5] * 20)
    assert_that((len(ward.settled), ward.bench.store.asked_for), equal_to((1, [["theirs"]])))
    ward.stop()


def test_a_database_outage_does_not_end_the_looks_at_others_ends(ward: Ward) -> None:
    def down(contact_ids: Any) -> Any:
        return fail(DatabaseDown("down"))

    ward.bench.store.still_dialed = down
    ward.bench.tell(hangup("USER_BUSY", "first"))
    ward.clock.pump([0.5] * 20)
    del ward.bench.store.still_dialed
    ward.bench.store.others = [held(contact_id="theirs", dialed_ago=60)]
    ward.bench.tell(hangup("USER_BUSY", "theirs"))
    ward.clock.pump([0.5] * 20)
    assert_that(ward.settled, contains_exactly((Status.ENDED, "USER_BUSY", False)))
    ward.stop()


def test_after_a_stop_nobody_looks_at_others_ends(ward: Ward) -> None:
    ward.bench.store.others = [held(contact_id="theirs", dialed_ago=60)]
    ward.bench.tell(hangup("USER_BUSY", "theirs"))
    ward.stop()
    ward.clock.pump([0.5] * 20)
    assert_that((ward.settled, ward.clock.getDelayedCalls()), equal_to(([], [])))


def test_without_a_lease_nothing_is_taken_over_adopted_or_given_up(ward: Ward) -> None:
    ward.held = False
    asked = ward.table.asked
    ward.pass_time(INTERVAL)
    assert_that(ward.table.asked, is_(asked))


# -- what is told to who measures --------------------------------------------------------------------------------------


def found(ward: Ward) -> list[Any]:
    return [each for (each,) in ward.bench.told.of("reconciled") if each is not Reconciled.ADOPTED]


def test_a_call_that_is_gone_is_told(ward: Ward) -> None:
    ward.hold()
    ward.connect()
    ward.clock.advance(APART)
    assert_that(found(ward), equal_to([Reconciled.GONE]))
    ward.stop()


def test_a_call_that_nobody_could_be_asked_about_is_told(ward: Ward) -> None:
    ward.hold(ago=MAX_CALL_TIME)
    ward.pbx.connected = False
    ward.pass_time(INTERVAL)
    assert_that(found(ward), equal_to([Reconciled.OVERDUE]))
    ward.stop()


def test_what_is_taken_over_and_what_is_let_go_is_told(ward: Ward) -> None:
    ward.hold("c1")
    ward.pbx.live = {"c1", "c2"}
    ward.table.rows.pop(0)
    ward.table.orphans = [held(contact_id="c2", dialed_ago=60)]
    ward.pass_time(INTERVAL)
    assert_that(found(ward), equal_to([Reconciled.TAKEN_OVER, Reconciled.RELEASED]))
    ward.stop()
