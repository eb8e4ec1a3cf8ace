"""Who has signed in, and for how long."""

from __future__ import annotations

from hamcrest import assert_that, equal_to, has_length, is_, none, not_
from twisted.internet.task import Clock

from dialer.access.sessions import MOST, Sessions
from dialer.access.tokens import parse_tokens

(TOKEN,) = parse_tokens("ops:all:" + "x" * 32)


def made() -> tuple[Clock, Sessions]:
    clock = Clock()
    return clock, Sessions(clock, 100.0)


def test_a_session_is_found_by_its_id_alone_until_it_has_lasted_long_enough() -> None:
    clock, sessions = made()
    one, other = sessions.begin(TOKEN), sessions.begin(TOKEN)
    assert_that(one, is_(not_(equal_to(other))))
    assert_that(sessions.find(one).token, is_(TOKEN))  # type: ignore[union-attr]
    for wrong in ("", one[:-1], one + "x", "\udcff"):
        assert_that(sessions.find(wrong), is_(none()))
    clock.advance(99.9)
    assert_that(sessions.find(one), is_(not_(none())))
    clock.advance(0.1)
    assert_that(sessions.find(one), is_(none()))


def test_an_id_cannot_be_guessed() -> None:
    _, sessions = made()
    ids = {sessions.begin(TOKEN) for _ in range(100)}
    assert_that(ids, has_length(100))
    assert_that(min(map(len, ids)) >= 43, is_(True))
    sessions.close()


def test_ending_one_leaves_the_others_and_tells_who_wants_to_know_once() -> None:
    clock, sessions = made()
    one, other = sessions.begin(TOKEN), sessions.begin(TOKEN)
    told: list[str] = []
    found = sessions.find(one)
    assert found is not None
    found.when_ended(lambda: told.append("one"))
    found.when_ended(lambda: told.append("gone"))()
    sessions.end(one)
    sessions.end(one)
    sessions.end("unknown")
    assert_that(told, equal_to(["one"]))
    assert_that(sessions.find(one), is_(none()))
    assert_that(sessions.find(other), is_(not_(none())))
    clock.advance(200)
    assert_that(told, equal_to(["one"]))


def test_who_wants_to_know_is_told_of_the_expiry() -> None:
    clock, sessions = made()
    found = sessions.find(sessions.begin(TOKEN))
    assert found is not None
    told: list[str] = []
    found.when_ended(lambda: told.append("expired"))
    clock.advance(100)
    assert_that(told, equal_to(["expired"]))


def test_the_oldest_ends_when_there_are_too_many() -> None:
    clock, sessions = made()
    ids = [sessions.begin(TOKEN) for _ in range(MOST + 1)]
    assert_that(sessions.find(ids[0]), is_(none()))
    assert_that(sessions.find(ids[1]), is_(not_(none())))
    assert_that(sessions.find(ids[-1]), is_(not_(none())))
    assert_that(clock.getDelayedCalls(), has_length(MOST))


def test_nothing_is_left_when_it_is_closed() -> None:
    clock, sessions = made()
    one = sessions.begin(TOKEN)
    sessions.close()
    assert_that(sessions.find(one), is_(none()))
    assert_that(clock.getDelayedCalls(), has_length(0))
