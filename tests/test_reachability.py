"""Whether a peer answers, while it is asked nothing, and how often the log says so."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import pytest_twisted
from hamcrest import assert_that, contains_exactly, contains_string, equal_to, has_length, has_properties, none
from twisted.internet.task import Clock, deferLater
from twisted.logger import LogEvent, formatEvent, globalLogPublisher

import dialer.reachability
from dialer.reachability import Reachability
from dialer.trouble import Trouble
from tests.fake_vc import FakeVC


@pytest_twisted.async_yield_fixture
async def vc(reactor: Any) -> AsyncIterator[FakeVC]:
    fake = FakeVC(reactor)
    fake.listen()
    yield fake
    await fake.stop()


@pytest.fixture
def told() -> Iterator[list[str]]:
    said: list[str] = []

    def hear(event: LogEvent) -> None:
        if event.get("log_namespace") == dialer.reachability.Reachability.log.namespace:
            said.append(formatEvent(event))

    globalLogPublisher.addObserver(hear)
    yield said
    globalLogPublisher.removeObserver(hear)


@pytest_twisted.ensureDeferred
async def test_a_silent_peer_is_probed_and_each_change_is_logged_once(
    reactor: Any, vc: FakeVC, told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dialer.reachability, "PROBE_INTERVAL", 0.02)
    peer = Reachability(reactor, "VC", "127.0.0.1", vc.number)
    peer.start()
    for listening in (True, False, True):
        await vc.stop()
        if listening:
            vc.listen()
        while peer.up is not listening:
            await deferLater(reactor, 0.005)
        # Two more probes, that must not be logged.
        await deferLater(reactor, 0.05)
    peer.stop()
    await deferLater(reactor, 0)
    up = "VC is up: takes connections"
    assert_that(told, contains_exactly(up, contains_string("VC is down: ConnectionRefusedError"), up))
    assert_that(vc.received, has_length(0))


def test_a_failed_request_counts_only_when_nothing_was_answered_since_it_began(told: list[str]) -> None:
    clock = Clock()
    peer = Reachability(clock, "VC", "vc.example", 80)
    slow = peer.asked()
    clock.advance(1)
    peer.asked()
    clock.advance(1)
    peer.answered("HTTP 200")
    peer.unanswered(slow, "no answer in 10 s")
    assert_that(peer, has_properties(up=True, reason="HTTP 200"))
    later = peer.asked()
    clock.advance(1)
    peer.unanswered(later, "connection refused")
    peer.unanswered(later, "connection refused")
    assert_that(peer, has_properties(up=False, reason="connection refused"))
    assert_that(told, contains_exactly("VC is up: HTTP 200", "VC is down: connection refused"))


def test_it_tells_for_how_long_the_peer_has_not_answered_and_why_it_last_did_not() -> None:
    clock = Clock()
    peer = Reachability(clock, "VC", "vc.example", 80)
    assert_that(peer.trouble, none())
    for reason in ("no answer in 10 s", "connection refused"):
        peer.unanswered(peer.asked(), reason)
        clock.advance(5)
    assert_that(peer.trouble, equal_to(Trouble(10.0, "connection refused")))
    peer.answered("HTTP 200")
    assert_that(peer.trouble, none())


def test_what_is_given_up_at_the_end_says_nothing_about_the_peer(told: list[str]) -> None:
    peer = Reachability(Clock(), "VC", "vc.example", 80)
    asked = peer.asked()
    peer.answered("HTTP 200")
    peer.stop()
    peer.unanswered(asked, "cancelled")
    assert_that(peer.up, equal_to(True))
