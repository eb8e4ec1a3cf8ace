"""How many may look at the dialer at the same time, one caller and all together."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hamcrest import assert_that, equal_to, has_entries
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from dialer.live import MOST, MOST_OF_ONE, Live
from dialer.meter import Refused
from dialer.picture import Picture
from dialer.web.pages import Pages
from tests.web.gates import Answer, Served, head

TOKENS = [letter * 32 for letter in "abc"]
CONFIGURED = " ".join(f"{token[0]}:read:{token}" for token in TOKENS)


async def take() -> Picture:
    return Picture()


@contextmanager
def serving(tokens: str = "") -> Iterator[Served]:
    clock = Clock()
    served = Served(tokens, groups=(Pages(Live(clock, take)),), clock=clock)
    try:
        yield served
    finally:
        served.api.close()
        clock.advance(0)


def looking(served: Served, times: int, peer: str = "192.0.2.1", **headers: str) -> list[Any]:
    """So many connections that ask for the events."""
    connections = [served.connect(peer) for _ in range(times)]
    for channel, _ in connections:
        channel.dataReceived(head("GET", "/events", **headers))
    return connections


def status(connection: Any) -> int:
    return int(connection[1].value().split()[1])


def is_refused(served: Served, refused: Answer, expected: int) -> None:
    assert_that((refused.status, refused.body["error"]["code"]), equal_to((expected, "too_many")))
    assert_that(refused.headers, has_entries({"retry-after": "5"}))
    assert_that(served.told.of("refused"), equal_to([(Refused.VIEWERS,)]))


@pytest.mark.parametrize(
    ("tokens", "one", "other"),
    [
        ("", {"peer": "192.0.2.1"}, {"peer": "192.0.2.2"}),
        ("", {"peer": "2001:db8::1"}, {"peer": "2001:db8:1::1"}),
        (CONFIGURED, {"Authorization": f"Bearer {TOKENS[0]}"}, {"Authorization": f"Bearer {TOKENS[1]}"}),
    ],
    ids=["an address", "a /64", "a token"],
)
def test_one_caller_may_look_so_many_times_and_another_still_may(
    tokens: str, one: dict[str, str], other: dict[str, str]
) -> None:
    with serving(tokens) as served:
        own = looking(served, MOST_OF_ONE, **one)
        assert_that({status(each) for each in own}, equal_to({200}))
        is_refused(served, served.ask("GET", "/events", **one), 429)
        assert_that(status(looking(served, 1, **other)[0]), equal_to(200))
        own[0][0].connectionLost(Failure(ConnectionDone()))
        assert_that(status(looking(served, 1, **one)[0]), equal_to(200))


def test_all_together_may_look_so_many_times() -> None:
    with serving(CONFIGURED) as served:
        for token in TOKENS[:2]:
            looking(served, MOST // 2, Authorization=f"Bearer {token}")
        is_refused(served, served.ask("GET", "/events", Authorization=f"Bearer {TOKENS[2]}"), 503)


def test_neighbours_in_one_network_of_ipv6_are_one_caller() -> None:
    with serving() as served:
        looking(served, MOST_OF_ONE, peer="2001:db8::1")
        is_refused(served, served.ask("GET", "/events", peer="2001:db8::2"), 429)
