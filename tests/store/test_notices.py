"""What the log says of statements that the database could not serve."""

from __future__ import annotations

from hamcrest import assert_that, contains_exactly, has_length
from twisted.internet.task import Clock

from dialer.store.errors import Unable
from dialer.store.notices import SAID_AGAIN, Notices
from tests.service.shared import listening


def test_each_cause_is_said_once_however_many_statements_it_costs() -> None:
    notices = Notices(Clock())
    with listening() as heard:
        for _ in range(3):
            notices.unable(Unable("55P03", "canceling statement due to lock timeout"))
            notices.unable(Unable("53100", "No space left on device"))
    assert_that(
        heard.lines("DATABASE CANCELLED A STATEMENT"),
        contains_exactly(
            "DATABASE CANCELLED A STATEMENT (55P03): canceling statement due to lock timeout",
            "DATABASE CANCELLED A STATEMENT (53100): No space left on device",
        ),
    )


def test_a_cause_that_lasts_is_said_again_after_a_while() -> None:
    clock = Clock()
    notices = Notices(clock)
    with listening() as heard:
        for _ in range(4):
            notices.unable(Unable("57014", "canceling statement due to statement timeout"))
            clock.advance(SAID_AGAIN / 2)
    assert_that(heard.lines("DATABASE CANCELLED A STATEMENT"), has_length(2))
