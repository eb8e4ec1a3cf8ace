"""How many connections there are files for."""

from __future__ import annotations

import resource

import pytest
from hamcrest import assert_that, equal_to

from dialer.web.descriptors import FEWEST, OTHERS, connections_allowed


@pytest.fixture
def limit(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """The limit of a process that is not this one."""
    limits = [(1024, 4096)]
    monkeypatch.setattr(resource, "getrlimit", lambda _: limits[-1])
    monkeypatch.setattr(resource, "setrlimit", lambda _, pair: limits.append(pair))
    return limits


def test_what_there_is_room_for_leaves_the_limit_as_it_is(limit: list[tuple[int, int]]) -> None:
    assert_that(connections_allowed((1024 - OTHERS) // 2), equal_to((1024 - OTHERS) // 2))
    assert_that(limit, equal_to([(1024, 4096)]))


def test_the_limit_is_raised_for_more(limit: list[tuple[int, int]]) -> None:
    assert_that(connections_allowed(1500), equal_to(1500))
    assert_that(limit[-1], equal_to((3000 + OTHERS, 4096)))


def test_no_more_is_allowed_than_the_limit_can_be_raised_for(limit: list[tuple[int, int]]) -> None:
    assert_that(connections_allowed(100_000), equal_to((4096 - OTHERS) // 2))
    assert_that(limit[-1], equal_to((4096, 4096)))


def test_a_few_are_allowed_however_low_the_limit_is(limit: list[tuple[int, int]]) -> None:
    limit.append((64, 64))
    assert_that(connections_allowed(1000), equal_to(FEWEST))


def test_without_a_limit_all_are_allowed(limit: list[tuple[int, int]]) -> None:
    limit.append((resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert_that(connections_allowed(100_000), equal_to(100_000))


def test_a_limit_that_may_not_be_raised_is_kept_to(
    limit: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError

    monkeypatch.setattr(resource, "setrlimit", refuse)
    assert_that(connections_allowed(1500), equal_to((1024 - OTHERS) // 2))
