"""The life of one call, with the switch, the store and the clock in the hands of the test."""

from __future__ import annotations

from collections.abc import Callable, Collection
from itertools import permutations
from typing import Any

import pytest
from attrs import evolve
from hamcrest import (
    assert_that,
    contains_exactly,
    empty,
    equal_to,
    has_length,
    has_properties,
    instance_of,
    is_,
    not_none,
)
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent

from dialer import ends
from dialer.call import CallWriter, DownPolicy, Placed
from dialer.calls import REFUSAL_GRACE, Calls
from dialer.contact import AgentReply, CampaignType, Contact, Status
from dialer.esl.errors import CommandRefused, ReplyLost, SwitchDown
from dialer.esl.fleet import Fleet, Route, RouteKind
from dialer.esl.switch import Switch
from dialer.esl.wire import Event
from dialer.limits import SwitchLimits
from dialer.originate import CannotBeCarried
from dialer.placing import LOOK_AGAIN, READY_WITHIN, NotReady, Placing
from dialer.settlement import Dropped, Settlement
from dialer.store.contacts import Change, ContactStore, HeldContact
from dialer.store.database import DatabaseDown
from dialer.throttle import Throttle, ThrottleClosed
from tests.esl.support import error_of, result_of
from tests.stand_in import stands_in_for

RATE = 100.0


@stands_in_for(ContactStore)
class Store:
    """Takes everything unless told otherwise."""

    def __init__(self) -> None:
        self.taken: list[Contact] = []
        self.refuses: Exception | bool = False
        self.bridged: list[str] = []
        self.unsent: set[str] = set()
        self.others: list[HeldContact] = []
        self.asked_for: list[list[str]] = []

    def never_sent(self, contact: Contact) -> bool:
        return contact.id in self.unsent

    async def still_dialed(self, contact_ids: Collection[str]) -> list[HeldContact]:
        self.asked_for.append(list(contact_ids))
        return [held for held in self.others if held.contact.id in contact_ids]

    async def take_for_call(self, contact: Contact, switch: str) -> Contact | None:
        return self._take(contact, taking=contact.taking + 1, switch=switch)

    async def dial_agent(self, contact: Contact, agent: str, switch: str) -> Contact | None:
        return self._take(contact, taking=contact.taking, switch=switch, agent=agent)

    async def mark_bridged(self, contact: Contact) -> None:
        if isinstance(self.refuses, Exception):
            raise self.refuses
        self.bridged.append(contact.id)

    def _take(self, contact: Contact, **changed: Any) -> Contact | None:
        if isinstance(self.refuses, Exception):
            raise self.refuses
        if self.refuses:
            return None
        self.taken.append(evolve(contact, status=Status.DIALED, owner="me", **changed))
        return self.taken[-1]


@stands_in_for(Settlement)
class Results:
    """Keeps the changes; each is committed at once, or when the test says so."""

    def __init__(self) -> None:
        self.changes: list[Change] = []
        self.slow: Deferred[str | None] | None = None
        self.down = False

    def settle(self, change: Change) -> Deferred[str | None]:
        self.changes.append(change)
        return self.slow if self.slow is not None else succeed(str(change.to))

    async def settle_soon(self, change: Change) -> str | None:
        self.changes.append(change)
        if self.slow is not None:
            await self.slow
        if self.down:
            raise DatabaseDown("down")
        return str(change.to)


@stands_in_for(Switch)
class Pbx:
    """A switch that takes every command unless told otherwise."""

    def __init__(self, name: str = "pbx:8021") -> None:
        self.name = name
        self.sent: list[tuple[str, str]] = []
        self.reply: Any = None  # a Job-UUID of its own, an error, or a Deferred of these
        self.has: Any = False  # the answer to uuid_exists, an error, or a Deferred of these
        self.asked = 0
        self.disabled: str | None = None

    async def originate(self, arguments: str, job_id: str) -> str:
        self.sent.append((arguments, job_id))
        reply = await self.reply if isinstance(self.reply, Deferred) else self.reply
        if isinstance(reply, Exception):
            raise reply
        return reply or job_id

    async def exists(self, uuid: str) -> bool:
        self.asked += 1
        has = await self.has if isinstance(self.has, Deferred) else self.has
        if isinstance(has, Exception):
            raise has
        return bool(has)

    def disable(self, reason: str) -> None:
        self.disabled = reason


@stands_in_for(Fleet)
class Routes:
    """Gives what `routes` holds, the last one again and again."""

    def __init__(self, *routes: Route) -> None:
        self.routes = list(routes)
        self.asked = 0

    async def route(self, gateway_id: str, load: Callable[[Any], Any]) -> Route:
        self.asked += 1
        return self.routes.pop(0) if len(self.routes) > 1 else self.routes[0]


class Bench:
    def __init__(self, policy: DownPolicy = DownPolicy.FAIL) -> None:
        self.clock = Clock()
        self.clock.advance(1000)
        self.store = Store()
        self.results = Results()
        self.pbx: Any = Pbx()
        self.fleet = Routes(Route(RouteKind.FOUND, self.pbx))
        self.throttle = Throttle(self.clock, RATE)
        self.limits = SwitchLimits(self.clock, RATE)
        self.unspeakable = False
        self.calls: Any = Calls(
            self.clock,
            self.store,  # type: ignore[arg-type]
            self.results,  # type: ignore[arg-type]
            self.limits,
        )
        self.may_send = True
        self.placing = Placing(
            self.clock,
            self.store,  # type: ignore[arg-type]
            self.results,  # type: ignore[arg-type]
            self.fleet,  # type: ignore[arg-type]
            self.calls,
            self.throttle,
            self.limits,
            CallWriter(self._ivr, self._agent),
            policy=policy,
            may_send=lambda: self.may_send,
        )

    def _ivr(self, contact: Contact, switch: Switch) -> str:
        if self.unspeakable:
            raise CannotBeCarried("queue_name", "a quote")
        return f"ivr {contact.id}"

    def _agent(self, contact: Contact, reply: AgentReply, switch: Switch) -> str:
        if self.unspeakable:
            raise CannotBeCarried("queue_name", "a quote")
        return f"agent {contact.id} {reply.agent}"

    def place(self, contact: Contact) -> Deferred[Placed]:
        """Have its turn come."""
        self.clock.advance(2 / RATE)
        if contact.is_agent:
            reply = AgentReply(contact.id, "1005")
            return Deferred.fromCoroutine(self.placing.place_agent(contact, reply))
        return Deferred.fromCoroutine(self.placing.place_ivr(contact))

    def dialed(self, kind: CampaignType = CampaignType.IVR, contact_id: str = "c1") -> Contact:
        """A contact whose command the switch has taken."""
        assert result_of(self.place(contact(kind, contact_id))) is Placed.SENT
        return self.store.taken[-1]

    def tell(self, *events: Event) -> None:
        for event in events:
            self.calls.handle_event(self.pbx, event)

    def wait(self, seconds: float = REFUSAL_GRACE) -> None:
        self.clock.advance(seconds)

    @property
    def settled(self) -> list[tuple[Status, str | None, bool]]:
        return [(change.to, change.result, change.end_chat) for change in self.results.changes]

    @property
    def live(self) -> list[str]:
        return [call.contact.id for call in self.calls]


@pytest.fixture
def bench() -> Bench:
    return Bench()


IVR, AGENT = CampaignType.IVR, CampaignType.AGENT


def contact(kind: CampaignType = IVR, contact_id: str = "c1", **fields: Any) -> Contact:
    """As it is when its turn to be called comes."""
    state = {"status": Status.AGENT_PENDING, "taking": 1} if kind is AGENT else {}
    values: dict[str, Any] = {
        "id": contact_id,
        "customer_number": "+15550001",
        "campaign_type": kind,
        "gateway_id": "gw",
        "campaign_id": "k",
    }
    return Contact(**(values | state | fields))


def job(body: str = "+OK c1\n", taking: int = 1, contact_id: str = "c1", **headers: str) -> Event:
    return Event("BACKGROUND_JOB", {"Job-UUID": f"{contact_id}.{taking}"} | headers, body)


def answer(contact_id: str = "c1") -> Event:
    return Event("CHANNEL_ANSWER", {"Unique-ID": contact_id})


def bridge(contact_id: str = "c1") -> Event:
    return Event("CHANNEL_BRIDGE", {"Unique-ID": contact_id})


def hangup(cause: str, contact_id: str = "c1", *, answered: bool = False, bridged: bool = False) -> Event:
    headers = {
        "Unique-ID": contact_id,
        "Hangup-Cause": cause,
        "Caller-Channel-Answered-Time": "1700000000000000" if answered else "0",
        "Caller-Channel-Bridged-Time": "1700000000000001" if bridged else "0",
    }
    return Event("CHANNEL_HANGUP_COMPLETE", headers)


# -- the end of a call, whatever the order of its events ---------------------------------------------------------------

TALKED = [job(), answer(), hangup("NORMAL_CLEARING", answered=True)]
BUSY = [job("-ERR USER_BUSY\n"), hangup("USER_BUSY")]
# Of a call that was over its switch's limits in the job and yet had a channel, the channel's end tells.
OVER_LIMITS = [job("-ERR DESTINATION_OUT_OF_ORDER\n"), hangup("DESTINATION_OUT_OF_ORDER")]


@pytest.mark.parametrize("kind", [IVR, AGENT])
@pytest.mark.parametrize(
    ("events", "result", "end_chat"),
    [
        *((order, "NORMAL_CLEARING", True) for order in permutations(TALKED)),
        *((order, "USER_BUSY", False) for order in permutations(BUSY)),
        *((order, "DESTINATION_OUT_OF_ORDER", False) for order in permutations(OVER_LIMITS)),
    ],
)
def test_in_whatever_order_its_events_come_and_repeat_a_call_is_settled_once(
    bench: Bench, kind: CampaignType, events: list[Event], result: str, end_chat: bool
) -> None:
    dialed = bench.dialed(kind)
    for event in events:
        bench.tell(event, event)
    bench.wait()
    bench.tell(*events)
    bench.wait()
    (change,) = bench.results.changes
    expected = Change("c1", dialed.taking, Status.DIALED, Status.ENDED, result, end_chat=end_chat and kind is AGENT)
    assert_that(change, equal_to(expected))
    assert_that((bench.live, bench.clock.getDelayedCalls()), equal_to(([], [])))


def test_a_customer_who_reached_the_agent_costs_no_end_chat(bench: Bench) -> None:
    bench.dialed(AGENT)
    bench.tell(answer(), bridge(), bridge(), hangup("NORMAL_CLEARING", answered=True, bridged=True))
    assert_that(bench.settled, contains_exactly((Status.ENDED, "NORMAL_CLEARING", False)))
    assert_that(bench.store.bridged, contains_exactly("c1"))


def test_a_bridge_of_an_ivr_call_is_not_stored(bench: Bench) -> None:
    bench.dialed(IVR)
    bench.tell(answer(), bridge())
    assert_that(bench.store.bridged, empty())


def test_a_bridge_that_cannot_be_stored_harms_nothing(bench: Bench) -> None:
    bench.dialed(AGENT)
    bench.store.refuses = DatabaseDown("down")
    bench.tell(bridge(), hangup("NORMAL_CLEARING", answered=True, bridged=True))
    assert_that(bench.settled, contains_exactly((Status.ENDED, "NORMAL_CLEARING", False)))


def test_events_of_other_calls_and_other_legs_change_nothing(bench: Bench) -> None:
    bench.dialed()
    bench.tell(
        job("-ERR USER_BUSY", contact_id="other"),
        answer("other"),
        bridge("other"),
        hangup("USER_BUSY", "other"),
        Event("CHANNEL_HANGUP_COMPLETE", {"Other-Leg-Unique-ID": "c1", "Hangup-Cause": "USER_BUSY"}),
        Event("CHANNEL_ANSWER", {}),
        Event("BACKGROUND_JOB", {}, "-ERR USER_BUSY"),
        Event("BACKGROUND_JOB", {"Job-UUID": "c1"}, "-ERR USER_BUSY"),
        Event("HEARTBEAT", {"Unique-ID": "c1"}),
    )
    bench.wait(60)
    assert_that((bench.settled, bench.live), equal_to(([], ["c1"])))


@pytest.mark.parametrize("taking", [1, 3])
def test_the_job_of_another_taking_is_ignored(bench: Bench, taking: int) -> None:
    bench.place(contact(taking=1))
    bench.tell(job("-ERR USER_BUSY", taking=taking))
    bench.wait()
    assert_that((bench.settled, bench.live), equal_to(([], ["c1"])))
    bench.tell(job("-ERR USER_BUSY", taking=2))
    bench.wait()
    assert_that(bench.settled, contains_exactly((Status.ENDED, "USER_BUSY", False)))


def test_a_switch_that_names_its_jobs_itself_is_understood(bench: Bench) -> None:
    bench.pbx.reply = "its-own-id"
    bench.dialed()
    refused = Event("BACKGROUND_JOB", {"Job-UUID": "its-own-id"}, "-ERR USER_BUSY")
    bench.tell(refused, refused)
    bench.wait()
    assert_that(bench.settled, contains_exactly((Status.ENDED, "USER_BUSY", False)))


def test_a_job_that_came_before_the_reply_to_its_command_counts(bench: Bench) -> None:
    bench.pbx.reply = Deferred()
    bench.place(contact())
    bench.tell(job("-ERR USER_BUSY"))
    bench.pbx.reply.callback(None)
    bench.wait()
    assert_that(bench.settled, contains_exactly((Status.ENDED, "USER_BUSY", False)))


def test_an_end_that_came_before_the_reply_to_its_command_counts(bench: Bench) -> None:
    bench.pbx.reply = Deferred()
    bench.place(contact())
    bench.tell(hangup("USER_BUSY"))
    bench.pbx.reply.callback(None)
    assert_that((bench.settled, bench.live), equal_to(([(Status.ENDED, "USER_BUSY", False)], [])))


def test_a_call_counts_for_its_switch_until_its_result_is_committed(bench: Bench) -> None:
    bench.dialed()
    bench.results.slow = Deferred()
    bench.tell(hangup("USER_BUSY"))
    assert_that((bench.live, bench.calls.load(bench.pbx)), equal_to(([], 1)))
    bench.tell(hangup("NO_ANSWER"))
    bench.results.slow.callback("ended")
    assert_that((bench.calls.load(bench.pbx), len(bench.settled)), equal_to((0, 1)))


def test_a_result_that_was_dropped_leaves_the_call_to_reconciling(bench: Bench) -> None:
    bench.dialed()
    bench.results.slow = Deferred()
    bench.tell(hangup("USER_BUSY"))
    bench.results.slow.errback(Dropped())
    assert_that(bench.calls.load(bench.pbx), is_(0))


# -- refusals ----------------------------------------------------------------------------------------------------------

REFUSALS = [
    ("-ERR INVALID_GATEWAY", Status.FAILED, "Invalid Gateway"),
    ("-ERR GATEWAY_DOWN", Status.PENDING, None),
    ("-ERR DESTINATION_OUT_OF_ORDER", Status.PENDING, None),
    ("-ERR CALL_REJECTED", Status.ENDED, "CALL_REJECTED"),
    ("-ERR NORMAL_CLEARING", Status.ENDED, "NO_ANSWER"),
    ("-USAGE: <call url> <exten>", Status.ENDED, "USAGE: <CALL URL> <EXTEN>"),
    ("-ERR " + "x" * 60, Status.ENDED, "X" * 40),
]


@pytest.mark.parametrize("kind", [IVR, AGENT])
@pytest.mark.parametrize(("body", "to", "result"), REFUSALS)
def test_a_refusal_stands_after_a_second_in_which_no_channel_showed(
    bench: Bench, kind: CampaignType, body: str, to: Status, result: str | None
) -> None:
    bench.dialed(kind)
    bench.tell(job(body))
    bench.wait(REFUSAL_GRACE - 0.01)
    assert_that(bench.settled, empty())
    bench.wait(0.01)
    assert_that(bench.settled, contains_exactly((to, result, kind is AGENT)))
    assert_that(bench.live, empty())


@pytest.mark.parametrize(("body", "to", "result"), REFUSALS)
def test_a_refused_command_itself_means_the_same_as_a_refused_job(
    bench: Bench, body: str, to: Status, result: str | None
) -> None:
    bench.pbx.reply = CommandRefused("bgapi originate", body)
    bench.place(contact())
    bench.wait()
    assert_that(bench.settled, contains_exactly((to, result, False)))


@pytest.mark.parametrize("sign_of_life", [answer(), bridge()])
@pytest.mark.parametrize(("body", "to", "result"), REFUSALS)
def test_a_channel_that_shows_within_the_second_refutes_the_refusal(
    bench: Bench, body: str, to: Status, result: str | None, sign_of_life: Event
) -> None:
    bench.dialed()
    bench.tell(job(body), sign_of_life)
    bench.wait(60)
    assert_that((bench.settled, bench.live, bench.pbx.asked), equal_to(([], ["c1"], 0)))


@pytest.mark.parametrize("has", [True, SwitchDown("gone"), CommandRefused("api uuid_exists", "-ERR")])
def test_a_refused_call_that_the_switch_has_or_cannot_tell_of_is_left_alone(bench: Bench, has: Any) -> None:
    bench.dialed()
    bench.pbx.has = has
    bench.tell(job("-ERR DESTINATION_OUT_OF_ORDER"))
    bench.wait(60)
    assert_that((bench.settled, bench.live, bench.pbx.asked), equal_to(([], ["c1"], 1)))


def test_an_end_that_comes_while_the_switch_is_asked_wins(bench: Bench) -> None:
    bench.dialed()
    bench.pbx.has = Deferred()
    bench.tell(job("-ERR INVALID_GATEWAY"))
    bench.wait()
    bench.tell(hangup("USER_BUSY"))
    bench.pbx.has.callback(False)
    assert_that(bench.settled, contains_exactly((Status.ENDED, "USER_BUSY", False)))


def test_a_channel_that_shows_while_the_switch_is_asked_wins(bench: Bench) -> None:
    bench.dialed()
    bench.pbx.has = Deferred()
    bench.tell(job("-ERR INVALID_GATEWAY"))
    bench.wait()
    bench.tell(answer())
    bench.pbx.has.callback(False)
    assert_that((bench.settled, bench.live), equal_to(([], ["c1"])))


def test_only_a_switch_over_its_limits_is_slowed_down(bench: Bench) -> None:
    bench.dialed(contact_id="c1")
    bench.tell(job("-ERR CALL_REJECTED"))
    bench.wait()
    assert_that(bench.limits.rates(), equal_to({}))
    bench.dialed(contact_id="c2")
    bench.tell(job("-ERR DESTINATION_OUT_OF_ORDER", contact_id="c2"))
    bench.wait()
    assert_that(list(bench.limits.rates()), equal_to(["pbx:8021"]))


@pytest.mark.parametrize("kind", [IVR, AGENT])
@pytest.mark.parametrize("in_reply", [False, True])
def test_a_switch_that_does_not_know_the_command_is_not_used_and_the_contact_goes_back_at_once(
    bench: Bench, kind: CampaignType, in_reply: bool
) -> None:
    text = "-ERR JSoriginate Command not found!\n"
    if in_reply:
        bench.pbx.reply = CommandRefused("bgapi JSoriginate", text)
    bench.place(contact(kind))
    if not in_reply:
        bench.tell(job(text), job(text))
    assert_that(bench.settled, contains_exactly((Status.PENDING, None, kind is AGENT)))
    assert_that((bench.pbx.disabled, bench.clock.getDelayedCalls()), contains_exactly(not_none(), empty()))


# -- placing -----------------------------------------------------------------------------------------------------------


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
    assert_that(result_of(bench.place(contact(kind))), is_(Placed.TAKEN_ALREADY))
    assert_that((bench.pbx.sent, bench.live, bench.settled), equal_to(([], [], [])))
    bench.store.refuses = False
    assert_that(result_of(bench.place(contact(kind, "c2"))), is_(Placed.SENT))


@pytest.mark.parametrize("kind", [IVR, AGENT])
def test_a_contact_that_could_not_be_taken_is_not_dialed(bench: Bench, kind: CampaignType) -> None:
    bench.store.refuses = DatabaseDown("down")
    assert_that(error_of(bench.place(contact(kind))), instance_of(DatabaseDown))
    assert_that((bench.pbx.sent, bench.live), equal_to(([], [])))


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
    bench.calls.adopt(held(taking=1))
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


def test_operators_find_their_phrases(bench: Bench) -> None:
    with capturedLogs() as logged:
        bench.dialed(IVR, "c1")
        bench.dialed(AGENT, "c2")
    phrases = [formatEvent(event) for event in logged]
    for phrase in (
        "CAMPAIGN TYPE: IVR, contact c1",
        "CALLED THE CUSTOMER of contact c1 through pbx:8021",
        "DIALING AGENT-BASED CONTACT WITH ID c2",
        "AGENT-BASED CONTACT WITH ID c2 SENT TO EFSWITCH",
    ):
        assert phrase in phrases, phrases


# -- calls of another process or an earlier start ----------------------------------------------------------------------


def held(kind: CampaignType = IVR, dialed_ago: float | None = 30.0, **fields: Any) -> HeldContact:
    state = {"status": Status.DIALED, "taking": 2, "switch": "pbx:8021", "agent": "1005"}
    return HeldContact(contact(kind, **(state | fields)), dialed_ago)


def test_an_adopted_call_lives_on_as_if_it_had_been_sent_then(bench: Bench) -> None:
    bench.calls.adopt(held())
    (call,) = bench.calls
    assert_that(call, has_properties(sent_at=bench.clock.seconds() - 30, switch="pbx:8021", bridged=False))
    bench.tell(hangup("USER_BUSY"))
    expected = Change("c1", 2, Status.DIALED, Status.ENDED, "USER_BUSY")
    assert_that(bench.results.changes, contains_exactly(expected))


@pytest.mark.parametrize("dialed_ago", [None, -5.0])
def test_a_call_whose_dial_time_says_nothing_counts_from_now(bench: Bench, dialed_ago: float | None) -> None:
    bench.calls.adopt(held(dialed_ago=dialed_ago))
    (call,) = bench.calls
    assert_that(call.sent_at, is_(bench.clock.seconds()))


def test_an_adopted_call_whose_end_was_seen_before_is_settled_with_its_true_cause(bench: Bench) -> None:
    bench.tell(hangup("USER_BUSY"))
    bench.wait(29)
    bench.calls.adopt(held(AGENT))
    assert_that(bench.settled, contains_exactly((Status.ENDED, "USER_BUSY", False)))
    assert_that(bench.live, empty())


def test_an_end_seen_before_the_call_was_sent_is_of_an_earlier_taking(bench: Bench) -> None:
    bench.tell(hangup("USER_BUSY"))
    bench.wait(31)
    bench.calls.adopt(held())
    assert_that((bench.settled, bench.live), equal_to(([], ["c1"])))


def test_only_what_is_dialed_and_not_known_is_adopted(bench: Bench) -> None:
    bench.calls.adopt(held(AGENT, status=Status.AGENT_PENDING))
    assert_that(bench.live, empty())
    bench.dialed()
    (before,) = bench.calls
    bench.calls.adopt(held())
    assert_that(next(iter(bench.calls)) is before, is_(True))


def test_a_call_whose_result_is_on_its_way_is_not_adopted_again(bench: Bench) -> None:
    bench.dialed()
    bench.results.slow = Deferred()
    bench.tell(hangup("USER_BUSY"))
    bench.calls.adopt(held())
    assert_that(bench.live, empty())
    bench.results.slow.callback("ended")


def test_a_released_call_is_forgotten_and_its_end_kept_for_whoever_asks(bench: Bench) -> None:
    bench.calls.adopt(held())
    (call,) = bench.calls
    bench.calls.release(call)
    bench.tell(hangup("USER_BUSY"))
    assert_that((bench.settled, bench.live), equal_to(([], [])))
    bench.calls.adopt(held())
    assert_that(bench.settled, contains_exactly((Status.ENDED, "USER_BUSY", False)))


@pytest.mark.parametrize(
    ("kind", "stored", "seen", "end_chat"),
    [(IVR, False, False, False), (AGENT, False, False, True), (AGENT, True, False, False), (AGENT, False, True, False)],
)
def test_a_call_that_is_gone_ends_unknown_and_frees_an_agent_not_known_to_have_talked(
    bench: Bench, kind: CampaignType, stored: bool, seen: bool, end_chat: bool
) -> None:
    bench.calls.adopt(held(kind, bridged=stored))
    if seen:
        bench.tell(bridge())
    (call,) = bench.calls
    bench.calls.gone(call)
    bench.calls.gone(call)
    bench.tell(hangup("USER_BUSY"))
    assert_that(bench.settled, contains_exactly((Status.ENDED, "UNKNOWN", end_chat)))


def test_a_new_taking_of_a_contact_takes_the_place_of_an_older_one(bench: Bench) -> None:
    bench.calls.adopt(held(taking=1))
    (old,) = bench.calls
    bench.place(contact(taking=1))
    bench.calls.release(old)
    (new,) = bench.calls
    assert_that(new.contact, has_properties(taking=2))


# -- shutdown ----------------------------------------------------------------------------------------------------------


def drained(bench: Bench) -> Deferred[None]:
    return Deferred.fromCoroutine(bench.calls.drain())


def test_a_drain_with_nothing_under_way_is_over_at_once(bench: Bench) -> None:
    bench.dialed()
    assert_that((drained(bench).called, bench.settled), equal_to((True, [])))


def test_a_drain_waits_for_the_switch_to_answer_commands_under_way(bench: Bench) -> None:
    bench.pbx.reply = Deferred()
    bench.place(contact())
    draining = drained(bench)
    assert_that(draining.called, is_(False))
    bench.pbx.reply.callback(None)
    assert_that(draining.called, is_(True))


def test_a_drain_waits_for_refusals_and_looks_into_no_later_ones(bench: Bench) -> None:
    bench.dialed(contact_id="c1")
    bench.dialed(contact_id="c2")
    bench.tell(job("-ERR USER_BUSY"))
    draining = drained(bench)
    assert_that(draining.called, is_(False))
    bench.wait()
    assert_that((draining.called, bench.settled), equal_to((True, [(Status.ENDED, "USER_BUSY", False)])))
    bench.tell(job("-ERR USER_BUSY", contact_id="c2"))
    assert_that(bench.clock.getDelayedCalls(), equal_to([]))
    bench.tell(hangup("USER_BUSY", "c2"))
    assert_that(bench.settled, has_length(2))


@pytest.mark.parametrize(
    ("body", "to", "result"),
    [
        ("-ERR GATEWAY_DOWN", Status.PENDING, None),
        ("-ERR INVALID_GATEWAY", Status.FAILED, "Invalid Gateway"),
        ("-ERR DESTINATION_OUT_OF_ORDER", Status.PENDING, None),
        ("-ERR CHAN_NOT_IMPLEMENTED", Status.ENDED, "CHAN_NOT_IMPLEMENTED"),
        ("+OK c1", Status.ENDED, "UNKNOWN"),
    ],
)
@pytest.mark.parametrize("kind", [IVR, AGENT])
def test_a_call_found_gone_ends_as_its_refusal_said_if_there_was_one(
    bench: Bench, kind: CampaignType, body: str, to: Status, result: str | None
) -> None:
    bench.dialed(kind)
    bench.pbx.has = SwitchDown("no connection")
    bench.tell(job(body))
    bench.wait()
    assert_that(bench.settled, empty())
    (call,) = bench.calls
    bench.calls.gone(call)
    assert_that(bench.settled, contains_exactly((to, result, kind is AGENT)))


def test_a_taking_that_turns_up_though_its_commit_was_given_up_is_given_back(bench: Bench) -> None:
    bench.store.unsent.add("c1")
    bench.calls.adopt(held())
    assert_that(bench.settled, contains_exactly((Status.PENDING, None, False)))


def test_an_end_that_its_own_dialer_does_not_write_is_written_by_who_saw_it(bench: Bench) -> None:
    bench.tell(hangup("USER_BUSY", "theirs"), hangup("CALL_REJECTED", "written"))
    bench.store.others = [held(contact_id="theirs", dialed_ago=60.0)]
    bench.wait(ends.RIPE - 0.1)
    result_of(Deferred.fromCoroutine(bench.calls.tell_foreign_ends()))
    assert_that(bench.store.asked_for, empty())
    bench.wait(0.2)
    result_of(Deferred.fromCoroutine(bench.calls.tell_foreign_ends()))
    result_of(Deferred.fromCoroutine(bench.calls.tell_foreign_ends()))
    assert_that(bench.store.asked_for, contains_exactly(["theirs", "written"]))
    assert_that(bench.settled, contains_exactly((Status.ENDED, "USER_BUSY", False)))


def test_the_end_of_an_earlier_call_is_not_written_to_a_later_one(bench: Bench) -> None:
    bench.tell(hangup("USER_BUSY", "theirs"))
    bench.wait(ends.RIPE + 1)
    bench.store.others = [held(contact_id="theirs", dialed_ago=0.5)]
    result_of(Deferred.fromCoroutine(bench.calls.tell_foreign_ends()))
    assert_that(bench.settled, empty())


def test_a_command_is_not_sent_by_a_dialer_that_lost_its_lease_meanwhile(bench: Bench) -> None:
    bench.may_send = False
    bench.place(contact(AGENT))
    assert_that((bench.pbx.sent, bench.settled), equal_to(([], [(Status.PENDING, None, True)])))


@pytest.mark.parametrize("kind", [IVR, AGENT])
def test_while_stopping_a_switch_that_is_gone_fails_nobody(bench: Bench, kind: CampaignType) -> None:
    bench.fleet.routes = [Route(RouteKind.NO_SWITCH)]
    bench.placing.stop()
    placed = bench.place(contact(kind))
    assert_that(error_of(placed), instance_of(ThrottleClosed))
    assert_that(bench.settled, empty())


def test_a_contact_waits_in_its_queue_while_the_live_calls_are_compared(bench: Bench) -> None:
    bench.fleet.routes = [Route(RouteKind.NOT_READY)]
    assert_that(result_of(bench.place(contact())), is_(Placed.NOT_NOW))
    assert_that(bench.settled, empty())


def test_an_agent_reply_waits_for_the_comparison_and_goes_on_after_it(bench: Bench) -> None:
    bench.fleet.routes = [Route(RouteKind.NOT_READY), Route(RouteKind.FOUND, bench.pbx)]
    placed = bench.place(contact(AGENT))
    assert_that(placed.called, is_(False))
    bench.wait(LOOK_AGAIN)
    assert_that(result_of(placed), is_(Placed.SENT))


def test_an_agent_reply_that_waited_in_vain_is_refused_and_may_come_again(bench: Bench) -> None:
    bench.fleet.routes = [Route(RouteKind.NOT_READY)]
    placed = bench.place(contact(AGENT))
    bench.clock.pump([LOOK_AGAIN] * int(READY_WITHIN / LOOK_AGAIN + 2))
    assert_that(error_of(placed), instance_of(NotReady))
    assert_that(bench.settled, empty())


@pytest.mark.parametrize("kind", [IVR, AGENT])
def test_where_no_switch_knows_the_command_the_contact_goes_back(bench: Bench, kind: CampaignType) -> None:
    bench.fleet.routes = [Route(RouteKind.NOT_USED)]
    assert_that(result_of(bench.place(contact(kind))), is_(Placed.HELD))
    assert_that(bench.settled, contains_exactly((Status.PENDING, None, kind is AGENT)))


def test_a_drain_waits_for_a_switch_that_is_just_being_asked(bench: Bench) -> None:
    bench.dialed()
    bench.pbx.has = Deferred()
    bench.tell(job("-ERR USER_BUSY"))
    bench.wait()
    draining = drained(bench)
    assert_that(draining.called, is_(False))
    bench.pbx.has.callback(False)
    assert_that((draining.called, bench.settled), equal_to((True, [(Status.ENDED, "USER_BUSY", False)])))
