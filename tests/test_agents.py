"""Asking the VC for agents, with the VC, the store and the settlement in the hands of the test."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import evolve
from hamcrest import assert_that, contains_exactly, empty, equal_to, is_
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from dialer.agents import Agents
from dialer.call import Placed
from dialer.connector import AgentRequest, AgentRequestKind, Connector
from dialer.contact import Contact, Status
from dialer.meter import Turn
from dialer.store.contacts import Change, ContactStore
from dialer.store.database import DatabaseDown
from dialer.takings import Takings
from dialer.throttle import Throttle
from tests.calling import AGENT, RATE, Lines, Results, contact
from tests.esl.support import error_of, result_of
from tests.stand_in import stands_in_for
from tests.told import Told


@stands_in_for(ContactStore)
class Store:
    """Takes everything unless told otherwise, and may need its time for that."""

    def __init__(self) -> None:
        self.answer: Deferred[None] | None = None
        self.refuses: Exception | bool = False

    async def take_for_agent(self, contact: Contact) -> Contact | None:
        if self.answer is not None:
            await self.answer
        if isinstance(self.refuses, Exception):
            raise self.refuses
        if self.refuses:
            return None
        return evolve(contact, status=Status.AGENT_PENDING, taking=contact.taking + 1)


@stands_in_for(Connector)
class Vc:
    """Notes who asked, and answers all alike."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.answer = AgentRequestKind.ACCEPTED

    async def request_agent(self, contact: Contact, *, esl_host_default: str) -> AgentRequest:
        self.asked.append(contact.id)
        return AgentRequest(self.answer, "as the test says", None)


class Desk:
    """Agents between these."""

    def __init__(self) -> None:
        self.vc = Vc()
        self.store = Store()
        self.takings = Takings()
        self.results = Results()
        self.clock = Clock()
        self.lease_since = 0.0
        self.throttle = Throttle(self.clock, RATE)
        self.told = Told()
        self.agents: Any = Agents(
            self.clock,
            self.store,  # type: ignore[arg-type]
            self.takings,
            self.results,  # type: ignore[arg-type]
            self.vc,  # type: ignore[arg-type]
            None,  # type: ignore[arg-type]  nobody replies here
            self.throttle,
            Lines(),  # type: ignore[arg-type]
            efswitch_ip="pbx",
            may_ask=lambda taken_at: self.lease_since <= taken_at,
            meter=self.told,
        )

    def request(self) -> Placed:
        waiting = contact(AGENT, status=Status.PENDING, taking=1)
        placed: Placed = result_of(Deferred.fromCoroutine(self.agents.request(waiting)))
        return placed


BACK = Change("c1", 2, Status.AGENT_PENDING, Status.PENDING)


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.mark.parametrize("answer", [AgentRequestKind.ACCEPTED, AgentRequestKind.UNANSWERED])
def test_a_request_that_the_vc_may_have_leaves_its_contact_waiting(desk: Desk, answer: AgentRequestKind) -> None:
    desk.vc.answer = answer
    assert_that(desk.request(), is_(Placed.SENT))
    assert_that((desk.vc.asked, desk.results.changes), equal_to((["c1"], [])))


@pytest.mark.parametrize("answer", [AgentRequestKind.REFUSED, AgentRequestKind.UNDELIVERABLE])
@pytest.mark.parametrize("down", [False, True])
def test_a_request_that_the_vc_does_not_have_gives_its_contact_back_also_when_the_database_is_down(
    desk: Desk, answer: AgentRequestKind, down: bool
) -> None:
    desk.vc.answer = answer
    desk.results.down = down
    desk.request()
    assert_that(desk.results.changes, contains_exactly(BACK))


def test_nobody_is_asked_by_a_dialer_that_lost_its_lease_since_it_took_the_contact(desk: Desk) -> None:
    desk.store.answer = Deferred()
    desk.request()
    desk.clock.advance(60)
    # It has one again by the time that the answer is there.
    desk.lease_since = desk.clock.seconds()
    desk.store.answer.callback(None)
    assert_that(desk.vc.asked, empty())
    assert_that(desk.results.changes, contains_exactly(BACK))


def test_nobody_is_asked_for_a_contact_that_somebody_else_has_and_it_costs_no_turn(desk: Desk) -> None:
    desk.store.refuses = True
    desk.request()
    assert_that(result_of(Deferred.fromCoroutine(desk.takings.settled())), equal_to(["c1"]))
    assert_that((desk.vc.asked, desk.results.changes), equal_to(([], [])))
    assert_that(desk.throttle.acquire().called, is_(True))


def test_nobody_is_asked_for_a_contact_that_could_not_be_taken_and_it_costs_no_turn(desk: Desk) -> None:
    desk.store.refuses = DatabaseDown("down")
    desk.request()
    assert_that(error_of(Deferred.fromCoroutine(desk.takings.settled())), is_(desk.store.refuses))
    assert_that((desk.vc.asked, desk.results.changes), equal_to(([], [])))
    assert_that(desk.throttle.acquire().called, is_(True))


@pytest.mark.parametrize("kind", list(AgentRequestKind))
def test_each_request_is_told_with_what_is_known_of_it(desk: Desk, kind: AgentRequestKind) -> None:
    desk.vc.answer = kind
    desk.request()
    assert_that(desk.told.of("asked_for_agent"), equal_to([(kind.name.lower(),)]))
    assert_that(desk.told.of("waited"), equal_to([(Turn.AGENT_REQUEST, 0.0)]))
