"""How a contact gets its switch, its turn and its command; what becomes of it where it does not."""

from __future__ import annotations

import pytest
from hamcrest import (
    assert_that,
    close_to,
    contains_exactly,
    empty,
    equal_to,
    has_length,
    instance_of,
    is_,
)
from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import capturedLogs, formatEvent

from dialer.call import DownPolicy, Placed
from dialer.contact import CampaignType, Status
from dialer.esl.errors import BadCommand, ReplyLost, SwitchDown
from dialer.esl.fleet import Fleet, Route, RouteKind
from dialer.esl.gateways import FRESH, GatewayStatus
from dialer.meter import Turn
from dialer.pacing import STRETCH
from dialer.placing import LEAD, LONGEST_LEAD, LONGEST_WAIT, LOOK_AGAIN, READY_WITHIN, NotReady
from dialer.store.contacts import Change
from dialer.store.database import DatabaseDown
from dialer.throttle import ThrottleClosed
from tests.calling import AGENT, IVR, RATE, Bench, Pbx, contact, hangup, held
from tests.esl.support import error_of, result_of


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.mark.parametrize(("kind", "sent"), [(IVR, "ivr c1"), (AGENT, "agent c1 1005")])
def test_a_contact_is_taken_before_its_command_is_sent_under_the_name_of_this_taking(
    bench: Bench, kind: CampaignType, sent: str
) -> None:
    bench.pbx.reply = Deferred()
    bench.place(contact(kind))
    assert_that(bench.store.taken, has_length(1))
    assert_that(bench.pbx.sent, contains_exactly((sent, "c1.1")))
    assert_that((bench.live, bench.calls.load(bench.pbx), bench.settled), equal_to((["c1"], 1, [])))
    bench.pbx.reply.callback(None)


def test_who_dials_an_ivr_contact_does_not_wait_for_the_switch_but_who_has_the_agent_does(bench: Bench) -> None:
    bench.pbx.reply = Deferred()
    ivr, agent = bench.place(contact(IVR, "c1")), bench.place(contact(AGENT, "c2"))
    assert_that((result_of(ivr), agent.called), equal_to((Placed.SENT, False)))
    bench.pbx.reply.callback(None)
    assert_that(result_of(agent), is_(Placed.SENT))


@pytest.mark.parametrize("kind", [IVR, AGENT])
def test_a_contact_that_somebody_else_has_is_not_dialed_and_costs_no_turn(bench: Bench, kind: CampaignType) -> None:
    bench.store.refuses = True
    placed = result_of(bench.place(contact(kind)))
    if kind is AGENT:
        assert_that(placed, is_(Placed.TAKEN_ALREADY))
    else:
        assert_that(result_of(bench.takings_ended()), equal_to(["c1"]))
    assert_that((bench.pbx.sent, bench.live, bench.settled), equal_to(([], [], [])))
    bench.store.refuses = False
    assert_that(result_of(bench.begin(contact(kind, "c2"))), is_(Placed.SENT))
    assert_that(bench.sent, contains_exactly("c2"))


@pytest.mark.parametrize("kind", [IVR, AGENT])
def test_a_contact_that_could_not_be_taken_is_not_dialed(bench: Bench, kind: CampaignType) -> None:
    bench.store.refuses = DatabaseDown("down")
    placed = bench.place(contact(kind))
    assert_that(error_of(placed if kind is AGENT else bench.takings_ended()), instance_of(DatabaseDown))
    assert_that((bench.pbx.sent, bench.live, bench.settled), equal_to(([], [], [])))


@pytest.mark.parametrize("kind", [IVR, AGENT])
@pytest.mark.parametrize(
    ("route", "policy", "placed", "to", "result"),
    [
        (RouteKind.INVALID_GATEWAY, DownPolicy.FAIL, Placed.FAILED, Status.FAILED, "Invalid Gateway"),
        (RouteKind.GATEWAY_DOWN, DownPolicy.FAIL, Placed.HELD, Status.PENDING, None),
        (RouteKind.NO_SWITCH, DownPolicy.FAIL, Placed.NO_SWITCH, Status.FAILED, "EFSwitch Down"),
        (RouteKind.NO_SWITCH, DownPolicy.HOLD, Placed.NO_SWITCH, Status.PENDING, None),
    ],
)
def test_a_contact_without_a_switch_that_has_its_gateway_up_is_settled_untaken(
    kind: CampaignType, route: RouteKind, policy: DownPolicy, placed: Placed, to: Status, result: str | None
) -> None:
    bench = Bench(policy)
    bench.fleet.routes = [Route(route)]
    waiting = contact(kind)
    assert_that(result_of(bench.place(waiting)), is_(placed))
    agent = "1005" if kind is AGENT else None
    expected = Change("c1", waiting.taking, waiting.status, to, result, end_chat=kind is AGENT, agent=agent)
    assert_that(bench.results.changes, contains_exactly(expected))
    assert_that((bench.store.taken, bench.pbx.sent), equal_to(([], [])))


@pytest.mark.parametrize("kind", [IVR, AGENT])
def test_a_contact_whose_command_cannot_be_written_fails_untaken(bench: Bench, kind: CampaignType) -> None:
    bench.unspeakable = True
    assert_that(result_of(bench.place(contact(kind))), is_(Placed.FAILED))
    assert_that(bench.settled, contains_exactly((Status.FAILED, "Invalid Contact", kind is AGENT)))
    assert_that(bench.store.taken, empty())


@pytest.mark.parametrize("kind", [IVR, AGENT])
@pytest.mark.parametrize(
    ("policy", "to", "result"),
    [(DownPolicy.FAIL, Status.FAILED, "EFSwitch Down"), (DownPolicy.HOLD, Status.PENDING, None)],
)
def test_a_taking_whose_command_was_certainly_not_sent_is_undone(
    kind: CampaignType, policy: DownPolicy, to: Status, result: str | None
) -> None:
    bench = Bench(policy)
    bench.pbx.reply = SwitchDown("no connection")
    placed = result_of(bench.place(contact(kind)))
    agent = "1005" if kind is AGENT else None
    expected = Change("c1", 1, Status.DIALED, to, result, end_chat=kind is AGENT, agent=agent)
    assert_that(bench.results.changes, contains_exactly(expected))
    assert_that(bench.live, empty())
    if kind is AGENT:
        assert_that(placed, is_(Placed.NO_SWITCH))


def test_a_taking_that_is_being_undone_is_no_call_that_anybody_else_may_end(bench: Bench) -> None:
    bench.pbx.reply = SwitchDown("no connection")
    bench.results.slow = Deferred()
    bench.place(contact())
    bench.adopt(held(taking=1))
    assert_that((bench.live, len(bench.settled)), equal_to(([], 1)))
    bench.results.slow.callback("failed")
    assert_that(bench.calls.load(bench.pbx), is_(0))


def test_a_taking_that_is_undone_while_the_database_is_down_leaves_no_call_behind(bench: Bench) -> None:
    bench.pbx.reply = SwitchDown("no connection")
    bench.results.down = True
    bench.place(contact())
    assert_that((bench.live, bench.calls.load(bench.pbx), len(bench.settled)), equal_to(([], 0, 1)))


@pytest.mark.parametrize("kind", [IVR, AGENT])
def test_a_call_whose_reply_was_lost_stays_dialed_until_its_end_is_seen(bench: Bench, kind: CampaignType) -> None:
    bench.pbx.reply = ReplyLost("connection lost")
    placed = bench.place(contact(kind))
    if kind is AGENT:
        assert_that(error_of(placed), instance_of(ReplyLost))
    assert_that((bench.settled, bench.live), equal_to(([], ["c1"])))
    bench.tell(hangup("USER_BUSY"))
    assert_that(bench.settled, contains_exactly((Status.ENDED, "USER_BUSY", False)))


def test_a_gateways_answer_that_grew_old_while_waiting_for_the_turn_is_asked_for_again(bench: Bench) -> None:
    bench.throttle.rate = 0.5
    bench.dialed(contact_id="c1")
    bench.fleet.routes = [Route(RouteKind.FOUND, bench.pbx), Route(RouteKind.GATEWAY_DOWN)]
    second = bench.place(contact(contact_id="c2"))
    bench.wait(2.1)
    assert_that(result_of(second), is_(Placed.HELD))
    assert_that(bench.settled, contains_exactly((Status.PENDING, None, False)))
    bench.fleet.routes = [Route(RouteKind.FOUND, bench.pbx)]
    third = bench.place(contact(contact_id="c3"))
    assert_that(result_of(third), is_(Placed.SENT))  # the second gave its turn back


def test_a_contact_whose_agent_is_reserved_goes_first(bench: Bench) -> None:
    bench.throttle.rate = 1.0
    bench.dialed(contact_id="c1")
    bench.place(contact(IVR, "c2"))
    bench.place(contact(AGENT, "c3"))
    for _ in range(3):
        bench.wait(1.1)
    assert_that([job_id for _, job_id in bench.pbx.sent], contains_exactly("c1.1", "c3.1", "c2.1"))


@pytest.mark.parametrize("dialers", [1, 3])
def test_those_whose_agents_are_reserved_go_before_those_that_are_taken_already_however_many_come(dialers: int) -> None:
    bench = Bench(rate=50.0)
    bench.dialers = dialers
    for number in range(40):
        bench.begin(contact(contact_id=f"c{number}"))
    bench.clock.pump([0.001] * 200)
    before = len(bench.sent)
    for number in range(5):
        bench.begin(contact(AGENT, f"a{number}"))
    while len(bench.sent) < 45:
        bench.clock.advance(0.001)
    assert_that(bench.sent[before : before + 6], contains_exactly("a0", "a1", "a2", "a3", "a4", f"c{before}"))


def test_operators_find_their_phrases(bench: Bench) -> None:
    with capturedLogs() as logged:
        bench.dialed(IVR, "c1")
        bench.dialed(AGENT, "c2")
    phrases = [formatEvent(event) for event in logged]
    for phrase in (
        "CAMPAIGN TYPE: IVR, contact c1 of campaign k",
        "CALLED THE CUSTOMER of contact c1 of campaign k through pbx:8021",
        "DIALING AGENT-BASED CONTACT WITH ID c2 of campaign k",
        "AGENT-BASED CONTACT WITH ID c2 SENT TO EFSWITCH, campaign k",
    ):
        assert phrase in phrases, phrases


@pytest.mark.parametrize("kind", [IVR, AGENT])
@pytest.mark.parametrize("policy", DownPolicy)
def test_a_taken_contact_whose_command_cannot_be_carried_fails(kind: CampaignType, policy: DownPolicy) -> None:
    bench = Bench(policy)
    bench.pbx.reply = BadCommand("a line end")
    placed = bench.place(contact(kind))
    agent = "1005" if kind is AGENT else None
    expected = Change("c1", 1, Status.DIALED, Status.FAILED, "Invalid Contact", end_chat=kind is AGENT, agent=agent)
    assert_that(bench.results.changes, contains_exactly(expected))
    assert_that((bench.live, bench.calls.load(bench.pbx)), equal_to(([], 0)))
    if kind is AGENT:
        assert_that(result_of(placed), is_(Placed.FAILED))


# -- taking ahead of the turn ------------------------------------------------------------------------------------------


LEADS = {1: LEAD, 2: 2 * LEAD, 3: 3 * LEAD, 100: LONGEST_LEAD}
"""Of several dialers each takes more of them, longer before their turns, but not for long."""


@pytest.mark.parametrize(("dialers", "lead"), LEADS.items())
def test_as_many_contacts_are_taken_ahead_as_are_sent_in_that_time_and_never_more(
    bench: Bench, dialers: int, lead: float
) -> None:
    bench.dialers = dialers
    ids = [f"c{number}" for number in range(30)]
    for each in ids:
        bench.begin(contact(contact_id=each))
    ahead = []
    while len(bench.sent) < len(ids):
        ahead.append(len(bench.store.taken) - len(bench.sent))
        bench.clock.advance(0.001)
    assert_that((max(ahead), bench.sent), equal_to((int(RATE * lead), ids)))


def test_the_takings_of_contacts_overlap_up_to_the_same_number(bench: Bench) -> None:
    ids = [f"c{number}" for number in range(5)]
    bench.store.slow = {each: Deferred() for each in ids}
    for each in ids:
        bench.begin(contact(contact_id=each))
    bench.wait(1)
    assert_that(bench.store.begun, contains_exactly("c0", "c1", "c2"))
    # Filled up again once half of the places are free.
    bench.store.slow["c0"].callback(None)
    assert_that(bench.store.begun, contains_exactly("c0", "c1", "c2"))
    bench.wait(1)
    bench.store.slow["c1"].callback(None)
    bench.wait(1)
    assert_that(bench.store.begun, contains_exactly(*ids))
    for each in ids[2:]:
        bench.store.slow[each].callback(None)
        bench.wait(1)
    assert_that(bench.sent, equal_to(ids))


def test_contacts_are_sent_in_their_order_whichever_of_them_is_taken_first(bench: Bench) -> None:
    ids = ["c1", "c2", "c3"]
    bench.store.slow = {each: Deferred() for each in ids}
    for each in ids:
        bench.begin(contact(contact_id=each))
    for each in ("c3", "c2"):
        bench.store.slow[each].callback(None)
        bench.wait(1)
    assert_that(bench.sent, empty())
    bench.store.slow["c1"].callback(None)
    bench.clock.pump([0.01] * 10)
    assert_that(bench.sent, equal_to(ids))


def test_a_contact_that_was_not_taken_lets_nobody_overtake_those_before_it(bench: Bench) -> None:
    bench.store.slow = {"c1": Deferred(), "c2": Deferred()}
    for each in ("c1", "c2", "c3"):
        bench.begin(contact(contact_id=each))
    bench.store.slow["c2"].errback(DatabaseDown("down"))
    bench.wait(1)
    assert_that(bench.sent, empty())
    bench.store.slow["c1"].callback(None)
    bench.wait(1)
    assert_that(bench.sent, contains_exactly("c1", "c3"))
    assert_that(error_of(bench.takings_ended()), instance_of(DatabaseDown))


def test_a_contact_that_is_being_taken_holds_up_nobodys_turn() -> None:
    bench = Bench(rate=1.0)
    bench.store.slow["c1"] = Deferred()
    bench.begin(contact(contact_id="c1"))
    bench.begin(contact(AGENT, "c2"))
    assert_that(bench.sent, contains_exactly("c2"))
    bench.store.slow["c1"].callback(None)
    assert_that(bench.sent, contains_exactly("c2"))
    bench.wait(STRETCH)
    assert_that(bench.sent, contains_exactly("c2", "c1"))


def test_a_turn_counts_from_the_moment_in_which_the_command_is_written() -> None:
    bench = Bench(rate=1.0)
    bench.store.slow["c1"] = Deferred()
    bench.begin(contact(contact_id="c1"))
    bench.begin(contact(contact_id="c2"))
    bench.wait(0.9)
    bench.store.slow["c1"].callback(None)
    assert_that(bench.sent, contains_exactly("c1"))
    bench.wait(STRETCH - 0.001)
    assert_that(bench.sent, contains_exactly("c1"))
    bench.wait(0.002)
    assert_that(bench.sent, contains_exactly("c1", "c2"))


def slow_bench(dialers: int = 1) -> Bench:
    """One command a second: c1 was sent just now, and c2 waits for its turn."""
    bench = Bench(rate=1.0)
    bench.dialers = dialers
    for each in ("c1", "c2"):
        bench.begin(contact(contact_id=each))
    return bench


@pytest.mark.parametrize(("dialers", "lead"), LEADS.items())
def test_a_contact_is_taken_shortly_before_its_turn_and_no_sooner(dialers: int, lead: float) -> None:
    bench = slow_bench(dialers)
    bench.wait(STRETCH - lead - 0.001)
    assert_that((bench.store.begun, bench.sent), equal_to((["c1"], ["c1"])))
    bench.wait(0.002)
    assert_that((bench.store.begun, bench.sent), equal_to((["c1", "c2"], ["c1"])))
    bench.wait(lead)
    assert_that((bench.store.begun, bench.sent), equal_to((["c1", "c2"], ["c1", "c2"])))


def test_a_contact_that_is_taken_when_the_dialer_stops_before_its_turn_goes_back_with_the_reason() -> None:
    bench = slow_bench()
    third = bench.begin(contact(contact_id="c3"))
    bench.wait(STRETCH - LEAD + 0.001)
    bench.placing.stop()
    assert_that(error_of(third), instance_of(ThrottleClosed))
    assert_that(bench.results.changes, contains_exactly(Change("c2", 1, Status.DIALED, Status.PENDING)))
    assert_that(bench.results.changes[0].reason, is_("the dialer stopped before it was sent"))
    bench.wait(10)
    assert_that((bench.store.begun, bench.sent, bench.live), equal_to((["c1", "c2"], ["c1"], ["c1"])))


def test_a_stop_ends_the_wait_for_the_moment_to_take_a_contact_and_nothing_is_done() -> None:
    bench = Bench(rate=1.0)
    bench.dialed()
    waiting = bench.begin(contact(contact_id="c2"))
    bench.placing.stop()
    assert_that(error_of(waiting), instance_of(ThrottleClosed))
    assert_that((bench.store.begun, bench.settled, bench.clock.getDelayedCalls()), equal_to((["c1"], [], [])))


@pytest.mark.parametrize("down", [False, True])
def test_a_contact_that_was_not_taken_leaves_its_place_to_the_next(down: bool) -> None:
    bench = Bench(rate=20.0)
    bench.store.slow["c1"] = Deferred()
    bench.begin(contact(contact_id="c1"))
    bench.begin(contact(contact_id="c2"))
    bench.wait(1)
    assert_that(bench.store.begun, contains_exactly("c1"))
    bench.store.refuses = DatabaseDown("down") if down else True
    bench.store.slow["c1"].callback(None)
    assert_that(bench.store.begun, contains_exactly("c1", "c2"))
    bench.store.refuses = False
    bench.dialed(contact_id="c3")
    assert_that(bench.sent, contains_exactly("c3"))


def test_who_no_longer_waits_to_be_taken_leaves_its_place_to_the_next() -> None:
    bench = Bench(rate=1.0)
    bench.dialed(contact_id="c1")
    leaving = bench.begin(contact(contact_id="c2"))
    bench.begin(contact(contact_id="c3"))
    leaving.cancel()
    assert_that(error_of(leaving), instance_of(CancelledError))
    bench.wait(2)
    assert_that((bench.store.begun, bench.sent), equal_to((["c1", "c3"], ["c1", "c3"])))


@pytest.mark.parametrize("route", [RouteKind.GATEWAY_DOWN, RouteKind.INVALID_GATEWAY])
def test_a_contact_that_was_settled_untaken_leaves_its_place_to_the_next(route: RouteKind) -> None:
    bench = Bench(rate=20.0)
    bench.unspeakable = True
    assert_that(result_of(bench.place(contact(contact_id="c1"))), is_(Placed.FAILED))
    bench.unspeakable = False
    bench.fleet.routes = [Route(route)]
    bench.place(contact(contact_id="c2"))
    bench.fleet.routes = [Route(RouteKind.FOUND, bench.pbx)]
    bench.dialed(contact_id="c3")
    assert_that(bench.sent, contains_exactly("c3"))


def test_a_gateways_answer_that_grew_old_while_waiting_to_be_taken_is_asked_for_again() -> None:
    bench = Bench(rate=20.0)
    bench.store.slow["c1"] = Deferred()
    bench.begin(contact(contact_id="c1"))
    second = bench.begin(contact(contact_id="c2"))
    bench.fleet.routes = [Route(RouteKind.GATEWAY_DOWN)]
    bench.wait(FRESH + 0.1)
    bench.store.slow["c1"].callback(None)
    bench.wait(1)
    assert_that(result_of(second), is_(Placed.HELD))
    assert_that((bench.store.begun, bench.sent), equal_to((["c1"], ["c1"])))
    bench.fleet.routes = [Route(RouteKind.FOUND, bench.pbx)]
    bench.dialed(contact_id="c3")  # the second gave its place back
    assert_that(bench.sent, contains_exactly("c1", "c3"))


def test_a_contact_that_is_being_taken_counts_as_a_call_of_its_switch() -> None:
    one, other = Pbx("one:8021"), Pbx("other:8021")
    bench = Bench(fleet=Fleet([one, other]))  # type: ignore[list-item]
    bench.store.slow = {"c1": Deferred(), "c2": Deferred()}
    for each in ("c1", "c2"):
        bench.begin(contact(contact_id=each))
        bench.wait(0.1)
    for each in ("c1", "c2"):
        bench.store.slow[each].callback(None)
        bench.wait(0.1)
    assert_that((len(one.sent), len(other.sent)), equal_to((1, 1)))


def test_a_contact_that_was_not_taken_counts_no_longer() -> None:
    one, other = Pbx("one:8021"), Pbx("other:8021")
    bench = Bench(fleet=Fleet([one, other]))  # type: ignore[list-item]
    bench.store.refuses = True
    bench.place(contact(contact_id="c1"))
    bench.store.refuses = False
    bench.dialed(contact_id="c2")
    assert_that((len(one.sent), len(other.sent)), equal_to((1, 0)))


# -- a switch that is not ready, or not used ---------------------------------------------------------------------------


@pytest.mark.parametrize("policy", DownPolicy)
def test_an_ivr_contact_stays_as_it_is_while_the_live_calls_are_compared(policy: DownPolicy) -> None:
    bench = Bench(policy)
    bench.fleet.routes = [Route(RouteKind.NOT_READY)]
    assert_that(result_of(bench.place(contact())), is_(Placed.NOT_NOW))
    assert_that((bench.settled, bench.store.taken, bench.clock.getDelayedCalls()), equal_to(([], [], [])))
    bench.fleet.routes = [Route(RouteKind.FOUND, bench.pbx)]
    assert_that(result_of(bench.place(contact())), is_(Placed.SENT))  # it cost no turn


def test_an_agent_reply_waits_for_the_comparison_and_goes_on_after_it(bench: Bench) -> None:
    bench.fleet.routes = [Route(RouteKind.NOT_READY), Route(RouteKind.FOUND, bench.pbx)]
    placed = bench.place(contact(AGENT))
    assert_that((placed.called, bench.store.taken), equal_to((False, [])))
    bench.wait(LOOK_AGAIN)
    assert_that(result_of(placed), is_(Placed.SENT))
    assert_that(bench.pbx.sent, contains_exactly(("agent c1 1005", "c1.1")))


@pytest.mark.parametrize("policy", DownPolicy)
def test_an_agent_reply_that_waited_in_vain_is_refused_and_may_come_again(policy: DownPolicy) -> None:
    bench = Bench(policy)
    bench.fleet.routes = [Route(RouteKind.NOT_READY)]
    placed = bench.place(contact(AGENT))
    bench.clock.pump([LOOK_AGAIN] * (round(READY_WITHIN / LOOK_AGAIN) - 1))
    assert_that(placed.called, is_(False))
    bench.clock.pump([LOOK_AGAIN] * 2)
    assert_that(error_of(placed), instance_of(NotReady))
    assert_that((bench.settled, bench.store.taken, bench.clock.getDelayedCalls()), equal_to(([], [], [])))
    bench.fleet.routes = [Route(RouteKind.FOUND, bench.pbx)]
    assert_that(result_of(bench.place(contact(AGENT))), is_(Placed.SENT))


@pytest.mark.parametrize("policy", DownPolicy)
@pytest.mark.parametrize("kind", [IVR, AGENT])
def test_where_no_switch_knows_the_command_the_contact_goes_back(kind: CampaignType, policy: DownPolicy) -> None:
    bench = Bench(policy)
    bench.fleet.routes = [Route(RouteKind.NOT_USED)]
    waiting = contact(kind)
    assert_that(result_of(bench.place(waiting)), is_(Placed.HELD))
    agent = "1005" if kind is AGENT else None
    expected = Change("c1", waiting.taking, waiting.status, Status.PENDING, end_chat=kind is AGENT, agent=agent)
    assert_that(bench.results.changes, contains_exactly(expected))
    assert_that(bench.store.taken, empty())


# -- a switch that is slowed down --------------------------------------------------------------------------------------


def test_a_slowed_down_switch_comes_after_the_others_however_many_calls_they_have() -> None:
    slow, other = Pbx("slow:8021"), Pbx("other:8021")
    bench = Bench(fleet=Fleet([slow, other]))  # type: ignore[list-item]
    bench.dialed(contact_id="c1")
    assert_that((len(slow.sent), len(other.sent)), equal_to((1, 0)))
    bench.limits.refused(slow)
    for contact_id in ["c2", "c3", "c4"]:
        bench.dialed(contact_id=contact_id)
    assert_that((len(slow.sent), len(other.sent)), equal_to((1, 3)))


def test_a_slowed_down_switch_is_used_where_no_other_has_the_gateway() -> None:
    slow, other = Pbx("slow:8021"), Pbx("other:8021")
    bench = Bench(fleet=Fleet([slow, other]))  # type: ignore[list-item]
    other.up = GatewayStatus.DOWN
    bench.limits.refused(slow)
    bench.dialed()
    assert_that((len(slow.sent), len(other.sent)), equal_to((1, 0)))


def test_a_contact_whose_agent_is_reserved_goes_first_on_a_slowed_down_switch(bench: Bench) -> None:
    for _ in range(6):
        bench.limits.refused(bench.pbx)
        bench.wait(2)
    bench.dialed(contact_id="c0")
    bench.place(contact(IVR, "c1"))
    bench.place(contact(IVR, "c2"))
    bench.place(contact(AGENT, "c3"))
    assert_that(bench.pbx.sent, has_length(1))
    bench.clock.pump([0.1] * 50)
    assert_that([job_id for _, job_id in bench.pbx.sent], contains_exactly("c0.1", "c3.1", "c1.1", "c2.1"))


# -- a dialer that lost its lease, or stops ----------------------------------------------------------------------------


@pytest.mark.parametrize("policy", DownPolicy)
@pytest.mark.parametrize("kind", [IVR, AGENT])
def test_a_command_is_not_sent_by_a_dialer_that_lost_its_lease_meanwhile(
    kind: CampaignType, policy: DownPolicy
) -> None:
    bench = Bench(policy)
    bench.store.before_answer = lambda: setattr(bench, "lease_since", bench.clock.seconds() + 0.1)
    placed = bench.place(contact(kind))
    agent = "1005" if kind is AGENT else None
    expected = Change("c1", 1, Status.DIALED, Status.PENDING, end_chat=kind is AGENT, agent=agent)
    assert_that(bench.results.changes, contains_exactly(expected))
    assert_that((bench.pbx.sent, bench.live, bench.calls.load(bench.pbx)), equal_to(([], [], 0)))
    if kind is AGENT:
        assert_that(result_of(placed), is_(Placed.HELD))


@pytest.mark.parametrize("kind", [IVR, AGENT])
@pytest.mark.parametrize("route", [kind for kind in RouteKind if kind is not RouteKind.FOUND])
def test_while_stopping_a_switch_that_is_gone_fails_nobody(bench: Bench, kind: CampaignType, route: RouteKind) -> None:
    bench.fleet.routes = [Route(route)]
    bench.placing.stop()
    assert_that(error_of(bench.place(contact(kind))), instance_of(ThrottleClosed))
    assert_that((bench.settled, bench.clock.getDelayedCalls()), equal_to(([], [])))


def test_a_stop_ends_the_wait_of_an_agent_reply_for_a_switch(bench: Bench) -> None:
    bench.fleet.routes = [Route(RouteKind.NOT_READY)]
    placed = bench.place(contact(AGENT))
    bench.placing.stop()
    bench.wait(LOOK_AGAIN)
    assert_that(error_of(placed), instance_of(ThrottleClosed))
    assert_that((bench.settled, bench.clock.getDelayedCalls()), equal_to(([], [])))


@pytest.mark.parametrize("kind", [IVR, AGENT])
def test_what_was_taken_but_never_sent_when_the_dialer_stops_goes_back_and_its_agent_is_freed(
    bench: Bench, kind: CampaignType
) -> None:
    bench.pbx.reply = Deferred()
    bench.place(contact(kind)).addErrback(lambda _: None)
    bench.placing.stop()
    bench.pbx.reply.callback(SwitchDown("the dialer is stopping"))
    agent = "1005" if kind is AGENT else None
    expected = Change("c1", 1, Status.DIALED, Status.PENDING, end_chat=kind is AGENT, agent=agent)
    assert_that(bench.results.changes, contains_exactly(expected))


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (RouteKind.GATEWAY_DOWN, "gateway gw down"),
        (RouteKind.NO_SWITCH, "no EFSwitch reached"),
        (RouteKind.NOT_USED, "no EFSwitch that is used"),
    ],
)
def test_a_return_to_the_queue_says_why(kind: RouteKind, reason: str) -> None:
    bench = Bench(DownPolicy.HOLD)
    bench.fleet.routes = [Route(kind)]
    bench.place(contact())
    assert_that([change.reason for change in bench.results.changes], equal_to([reason]))


def test_a_lost_lease_is_told_as_the_reason(bench: Bench) -> None:
    bench.lease_since = bench.clock.seconds() + 0.1
    bench.place(contact())
    assert_that([change.reason for change in bench.results.changes], equal_to(["the dialer lost its lease"]))


def test_a_contact_whose_taking_took_too_long_is_given_back_unsent(bench: Bench) -> None:
    bench.store.slow = {"c1": Deferred()}
    bench.begin(contact())
    bench.wait(LONGEST_WAIT + 1)
    bench.store.slow["c1"].callback(None)
    bench.wait(1)
    assert_that(bench.sent, empty())
    (back,) = bench.results.changes
    assert_that((back.to, back.reason), equal_to((Status.PENDING, "its turn did not come in time")))
    assert_that(bench.calls.coming, empty())


@pytest.mark.parametrize("kind", [IVR, AGENT])
def test_the_wait_for_a_turn_is_told_from_the_moment_at_which_the_switch_was_known(
    bench: Bench, kind: CampaignType
) -> None:
    bench.dialed(kind, "c1")
    bench.begin(contact(kind, "c2"))
    bench.clock.pump([0.001] * 40)
    (first, second) = bench.told.of("waited")
    assert_that((first, second[0]), equal_to(((Turn.CALL, 0.0), Turn.CALL)))
    # An IVR contact is taken ahead of its turn, which is what it waits for after that.
    assert_that(second[1], equal_to(0) if kind is IVR else close_to(1 / RATE, 0.0011))
