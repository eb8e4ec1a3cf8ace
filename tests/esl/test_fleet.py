"""Which switch to call through, given what each says of the gateway."""

from __future__ import annotations

from typing import Any

import pytest
from hamcrest import assert_that, equal_to, is_
from twisted.internet.defer import Deferred

from dialer.esl.errors import SwitchDown
from dialer.esl.fleet import Fleet, Route, RouteKind
from dialer.esl.switch import RECONCILE_AGAIN, Switch
from tests.esl.rig import Link, Rig
from tests.esl.support import answer, reply, result_of
from tests.hygiene import LoggedFailures

UP, DOWN, INVALID = answer("Status  \tUP\n"), answer("Status  \tDOWN\n"), answer("Invalid Gateway!\n")
REFUSED = reply("-ERR permission denied")
LOST = b""
"""Stands for the end of the connection instead of an answer."""


class Site:
    """A fleet of named switches; those named in `off` refuse the connection."""

    def __init__(self, *names: str, off: str = "") -> None:
        self.rigs = [Rig(host=name).start() for name in names]
        self.links: dict[str, Link] = {}
        for name, rig in zip(names, self.rigs, strict=True):
            if name in off:
                rig.refuse()
            else:
                self.links[name] = rig.log_in()
        self.fleet = Fleet([rig.switch for rig in self.rigs])
        self.loads: dict[str, int] = {}

    def switch(self, name: str) -> Switch:
        return next(switch for switch in self.fleet.switches if switch.name == f"{name}:8021")

    def route(self, **answers: bytes) -> Any:
        """The route to the gateway `gw` when the switches answer so, in this order."""
        routing: Deferred[Route] = Deferred.fromCoroutine(
            self.fleet.route("gw", lambda switch: self.loads.get(switch.name[0], 0))
        )
        for name, text in answers.items():
            if text:
                self.links[name].receive(text)
            else:
                self.links[name].lose()
        return result_of(routing)

    def found(self, name: str) -> Route:
        return Route(RouteKind.FOUND, self.switch(name))


def test_a_single_switch_with_the_gateway_up_is_the_route() -> None:
    site = Site("a")

    assert_that(site.route(a=UP), equal_to(site.found("a")))


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (DOWN, RouteKind.GATEWAY_DOWN),
        (INVALID, RouteKind.INVALID_GATEWAY),
        (REFUSED, RouteKind.GATEWAY_DOWN),
        (LOST, RouteKind.NO_SWITCH),
    ],
)
def test_what_a_single_switch_says_is_what_comes_of_it(text: bytes, kind: RouteKind) -> None:
    assert_that(Site("a").route(a=text), equal_to(Route(kind)))


def test_a_single_switch_that_is_down_is_no_switch() -> None:
    assert_that(Site("a", off="a").route(), equal_to(Route(RouteKind.NO_SWITCH)))


def test_of_several_switches_the_one_with_the_least_load_is_taken() -> None:
    site = Site("a", "b", "c")
    site.loads = {"a": 3, "b": 1, "c": 2}

    assert_that(site.route(a=UP, b=UP, c=UP), equal_to(site.found("b")))


def test_of_equally_loaded_switches_the_first_configured_is_taken_whoever_answers_first() -> None:
    site = Site("a", "b", "c")
    site.loads = {"a": 2, "b": 1, "c": 1}

    assert_that(site.route(c=UP, a=UP, b=UP), equal_to(site.found("b")))


@pytest.mark.parametrize("other", [DOWN, INVALID, REFUSED, LOST])
def test_a_loaded_switch_with_the_gateway_up_is_better_than_an_idle_one_without(other: bytes) -> None:
    site = Site("a", "b")
    site.loads = {"b": 9}

    assert_that(site.route(a=other, b=UP), equal_to(site.found("b")))


def test_a_switch_lost_after_its_answer_is_not_taken() -> None:
    site = Site("a", "b")
    routing = Deferred.fromCoroutine(site.fleet.route("gw", lambda _: 0))
    site.links["a"].receive(UP)
    site.links["a"].lose()
    site.links["b"].receive(UP)

    assert_that(result_of(routing), equal_to(site.found("b")))


@pytest.mark.parametrize(
    ("answers", "kind"),
    [
        ({"a": INVALID, "b": INVALID}, RouteKind.INVALID_GATEWAY),
        ({"a": DOWN, "b": INVALID}, RouteKind.GATEWAY_DOWN),
        ({"a": DOWN, "b": DOWN}, RouteKind.GATEWAY_DOWN),
        ({"a": INVALID, "b": LOST}, RouteKind.GATEWAY_DOWN),
        ({"a": LOST, "b": LOST}, RouteKind.NO_SWITCH),
    ],
)
def test_a_gateway_is_invalid_only_when_every_switch_says_so(answers: dict[str, bytes], kind: RouteKind) -> None:
    assert_that(Site("a", "b").route(**answers), equal_to(Route(kind)))


def test_a_gateway_that_a_switch_now_down_may_know_is_down_and_not_invalid() -> None:
    assert_that(Site("a", "b", off="b").route(a=INVALID), equal_to(Route(RouteKind.GATEWAY_DOWN)))


def test_a_switch_that_is_down_does_not_keep_the_others_from_use() -> None:
    site = Site("a", "b", off="a")

    assert_that(site.route(b=UP), equal_to(site.found("b")))


def test_no_switch_ready_is_no_switch() -> None:
    assert_that(Site("a", "b", off="ab").route(), equal_to(Route(RouteKind.NO_SWITCH)))


def test_a_disabled_switch_is_not_asked() -> None:
    site = Site("a", "b")
    site.switch("a").disable("it does not know JSoriginate")

    assert_that(site.route(b=UP), equal_to(site.found("b")))
    assert_that(site.links["a"].sent(), equal_to(""))


def test_a_fleet_is_reachable_while_any_switch_is_ready() -> None:
    assert_that(Site("a", "b", off="b").fleet.reachable, is_(True))
    assert_that(Site("a", "b", off="ab").fleet.reachable, is_(False))


def test_a_fleet_is_all_connected_when_every_switch_is() -> None:
    site = Site("a", "b")
    site.switch("a").disable("still connected")
    assert_that(site.fleet.connected_all, is_(True))
    assert_that(Site("a", "b", off="b").fleet.connected_all, is_(False))


def test_the_first_attempts_have_ended_when_the_last_of_them_has() -> None:
    rigs = [Rig(host="a"), Rig(host="b")]
    all_ended = Fleet([rig.start().switch for rig in rigs]).first_attempts()
    rigs[0].refuse()
    assert_that(all_ended.called, is_(False))

    rigs[1].log_in()

    assert_that(all_ended.called, is_(True))


# -- why there is none -------------------------------------------------------------------------------------------------


def test_before_the_first_attempt_to_connect_has_ended_no_switch_is_ready_yet() -> None:
    rig = Rig(host="a").start()
    assert_that(route_of(rig), is_(RouteKind.NOT_READY))
    rig.refuse()
    assert_that(route_of(rig), is_(RouteKind.NO_SWITCH))
    rig.next_attempt()  # a further attempt is an outage that goes on
    assert_that(route_of(rig), is_(RouteKind.NO_SWITCH))


@pytest.mark.parametrize("before", ["at the start", "after an outage"])
def test_a_switch_whose_live_calls_are_being_compared_is_not_ready_yet(before: str) -> None:
    rig = Rig(host="a").start()
    if before == "after an outage":
        rig.log_in().lose()
        rig.next_attempt()
    rig.compare_at_once = False
    link = rig.log_in()
    assert_that((route_of(rig), rig.switch.connected), is_((RouteKind.NOT_READY, True)))
    link.lose()
    rig.comparing[-1].errback(SwitchDown("gone"))
    assert_that(route_of(rig), is_(RouteKind.NO_SWITCH))


def test_a_switch_whose_comparison_failed_is_not_ready_until_it_was_compared(
    logged_failures: LoggedFailures,
) -> None:
    rig = Rig(host="a").start()
    rig.compare_at_once = False
    rig.log_in()
    rig.comparing[0].errback(ValueError("a fault"))
    assert_that(route_of(rig), is_(RouteKind.NOT_READY))
    rig.clock.advance(RECONCILE_AGAIN)
    assert_that(route_of(rig), is_(RouteKind.NOT_READY))
    rig.comparing[1].callback(None)
    assert_that(rig.switch.ready, is_(True))
    logged_failures.flush(ValueError)


def test_a_switch_that_does_not_know_the_command_is_not_used_as_long_as_it_is_connected() -> None:
    rig = Rig(host="a").start()
    link = rig.log_in()
    rig.switch.disable("JSoriginate is unknown to it")
    assert_that(route_of(rig), is_(RouteKind.NOT_USED))
    link.lose()
    assert_that(route_of(rig), is_(RouteKind.NO_SWITCH))


def test_one_switch_that_may_be_ready_soon_is_waited_for_whatever_the_others_are() -> None:
    unknowing, gone, soon = (Rig(host=name).start() for name in ("a", "b", "c"))
    unknowing.log_in()
    unknowing.switch.disable("JSoriginate is unknown to it")
    gone.refuse()
    assert_that(route_of(unknowing, gone, soon), is_(RouteKind.NOT_READY))
    soon.refuse()
    assert_that(route_of(unknowing, gone, soon), is_(RouteKind.NOT_USED))


def route_of(*rigs: Rig) -> RouteKind:
    """What comes of looking for a gateway where no switch is to be asked."""
    route = Fleet([rig.switch for rig in rigs]).route("gw", lambda _: (False, 0))
    kind: RouteKind = result_of(Deferred.fromCoroutine(route)).kind
    return kind
