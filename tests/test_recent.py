"""Calls of the last minute and what came of agent requests, by a clock that the test moves."""

from __future__ import annotations

from hamcrest import assert_that, equal_to, is_
from twisted.internet.task import Clock

from dialer.recent import ANSWER_WINDOW, ANSWERS_KEPT, MINUTE, AgentAnswers, Answered, RecentCalls, Streak


def test_calls_are_counted_for_a_minute_for_all_and_for_each_campaign() -> None:
    clock = Clock()
    calls = RecentCalls(clock)
    for campaign in "aab":
        calls.placed(campaign)
    clock.advance(MINUTE / 2)
    calls.placed("b")
    assert_that((calls.count(), calls.count("a"), calls.count("b"), calls.count("c")), equal_to((4, 2, 2, 0)))
    clock.advance(MINUTE / 2)
    assert_that((calls.count(), calls.count("a"), calls.count("b")), equal_to((1, 0, 1)))
    clock.advance(MINUTE)
    assert_that(calls.count(), is_(0))


def test_a_day_of_calls_takes_no_more_memory_than_a_minute_of_them() -> None:
    clock = Clock()
    calls = RecentCalls(clock)
    for _ in range(10 * MINUTE):
        clock.advance(1)
        calls.placed("a")
    assert_that(len(calls._seconds), is_(MINUTE))


def test_a_streak_counts_the_failures_and_begins_with_the_first_after_the_last_success() -> None:
    clock = Clock()
    answers = AgentAnswers(clock)
    answers.note("a", Answered.REFUSED, "answered 500")
    answers.note("a", Answered.TAKEN)
    clock.advance(10)
    answers.note("a", Answered.REFUSED, "answered 503")
    clock.advance(10)
    answers.note("a", Answered.REFUSED, "answered 504")
    clock.advance(10)
    assert_that(answers.refusals(), equal_to(Streak(3, 4, True, 20.0, "answered 504")))


def test_a_success_ends_a_streak() -> None:
    answers = AgentAnswers(Clock())
    answers.note("a", Answered.NO_AGENT)
    answers.note("a", Answered.AGENT)
    assert_that(answers.without_agent(), equal_to(Streak(1, 2)))


def test_requests_without_an_agent_and_without_a_reply_are_told_apart() -> None:
    answers = AgentAnswers(Clock())
    for answered in (Answered.TAKEN, Answered.AGENT, Answered.NO_AGENT, Answered.NO_REPLY):
        answers.note("a", answered)
    assert_that(answers.without_agent(), equal_to(Streak(1, 3)))
    assert_that(answers.without_reply(), equal_to(Streak(1, 3, True)))
    assert_that(answers.refusals(), equal_to(Streak(0, 1)))


def test_a_campaign_is_judged_by_its_own_requests() -> None:
    answers = AgentAnswers(Clock())
    answers.note("a", Answered.NO_AGENT)
    answers.note("b", Answered.AGENT)
    assert_that(answers.without_agent("a"), equal_to(Streak(1, 1, True)))
    assert_that(answers.without_agent("b"), equal_to(Streak(0, 1)))
    assert_that(answers.without_agent("c"), equal_to(Streak()))


def test_what_came_of_requests_is_forgotten_after_the_window_and_beyond_the_bound() -> None:
    clock = Clock()
    answers = AgentAnswers(clock)
    for _ in range(ANSWERS_KEPT + 5):
        answers.note("a", Answered.NO_AGENT)
    assert_that(answers.without_agent().tries, is_(ANSWERS_KEPT))
    clock.advance(ANSWER_WINDOW + 1)
    assert_that(answers.without_agent(), equal_to(Streak()))
