"""The reckoning of progress, and the two ways of showing it."""

from __future__ import annotations

from io import StringIO

import pytest
from hamcrest import assert_that, close_to, contains_exactly, contains_string, equal_to, has_properties
from rich.console import Console
from twisted.internet.task import Clock

from dialer.rate import CallRate
from dialer.sandbox.display import PlainDisplay, TerminalDisplay, display_for
from dialer.sandbox.progress import Campaign, Counts, Progress, calls_so_far, read_counts, reckon


class Terminal(StringIO):
    """A text stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def counts(results: dict[str, int] | None = None, **status: int) -> Counts:
    return {"a": {"byStatus": status, "byCallResult": results or {}}}


def progress(waiting: int, *, rate: float = 1.0, trouble: str | None = None) -> Progress:
    return Progress((Campaign("a", waiting, 0, 1, 10 - waiting, 0),), rate, 10.0, 1, 4, trouble)


def test_what_had_ended_before_the_watch_is_not_counted() -> None:
    before = counts({"NO_ANSWER": 4, "Expired": 1}, ended=4, failed=1, pending=2)
    now = counts(
        {"NO_ANSWER": 6, "USER_BUSY": 1, "Expired": 1}, ended=7, failed=1, pending=1, dialed=2, agent_pending=1
    )
    (campaign,) = reckon(["a"], before, now)
    assert_that(campaign, has_properties(waiting=1, active=3, ended=3, failed=0, open=4, done=3))
    assert_that(campaign.results, equal_to({"NO_ANSWER": 2, "USER_BUSY": 1}))


def test_a_campaign_that_the_dialer_does_not_show_has_nothing_open() -> None:
    (campaign,) = reckon(["gone"], counts(ended=3), counts(ended=3))
    assert_that(campaign, has_properties(open=0, done=0))


def test_stopped_contacts_are_open() -> None:
    (campaign,) = reckon(["a"], {}, counts(stopped=2))
    assert_that(campaign, has_properties(open=2, stopped=2, waiting=0))


@pytest.mark.parametrize("shown", [None, [], {}, {"campaigns": [1]}, {"campaigns": [{"campaignId": "a"}]}])
def test_an_answer_of_another_shape_is_refused(shown: object) -> None:
    with pytest.raises(ValueError, match="no list of campaigns"):
        read_counts(shown)


def test_calls_are_those_under_way_and_those_that_ended() -> None:
    assert_that(calls_so_far(counts(dialed=2, ended=3, failed=4, pending=5)), equal_to(5))


def test_the_rate_is_that_of_the_last_five_seconds() -> None:
    rate = CallRate()
    shown = [rate.note(second, calls) for second, calls in enumerate([0, 10, 20, 30, 40, 50, 52, 54, 56, 58, 60])]
    assert_that(shown[0], equal_to(0.0))
    assert_that(shown[5], close_to(10.0, 0.01))
    assert_that(shown[10], close_to(2.0, 0.01))


def test_the_rate_is_never_below_zero() -> None:
    rate = CallRate()
    rate.note(0, 10)
    assert_that(rate.note(1, 5), equal_to(0.0))


def test_plain_output_is_a_block_when_something_changed_at_most_every_five_seconds() -> None:
    clock, output = Clock(), StringIO()
    display = PlainDisplay(output, clock.seconds)
    written = []
    for seconds, shown in (
        (0, progress(9)),
        (1, progress(8)),
        (3, progress(7)),
        (1, progress(6)),
        (9, progress(6, rate=2)),
    ):
        clock.advance(seconds)
        display.show(shown)
        written.append(output.getvalue().count("a: "))
    assert_that(written, contains_exactly(1, 1, 1, 2, 2))
    assert_that(
        output.getvalue().splitlines()[:2],
        contains_exactly(
            "a: 9 waiting, 1 active, 1 ended, 0 failed", "1.0 calls per second (limit 10), 1 of 4 slots in use"
        ),
    )


def test_plain_output_ends_with_the_last_change() -> None:
    clock, output = Clock(), StringIO()
    display = PlainDisplay(output, clock.seconds)
    display.show(progress(9))
    display.show(progress(0))
    display.finish()
    display.finish()
    assert_that(output.getvalue().count("a: "), equal_to(2))
    assert_that(output.getvalue(), contains_string("a: 0 waiting, 1 active, 10 ended"))


def test_a_terminal_is_redrawn_in_place_and_gets_its_cursor_back() -> None:
    output = Terminal()
    display = display_for(output, Clock().seconds)
    assert isinstance(display, TerminalDisplay)
    display.show(progress(9))
    display.show(progress(8, trouble="dialer not reachable: [refused]"))
    display.say("a [line] that stays")
    display.finish()
    text = output.getvalue()
    assert_that(text, contains_string("\x1b[1A"))
    assert_that(text, contains_string("dialer not reachable: [refused]"))
    assert_that(text, contains_string("a [line] that stays"))
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l")


def test_stopped_contacts_are_shown_where_there_are_some() -> None:
    shown = Progress((Campaign("appointment-reminder", 20, 3, 1, 10, 0),), 1.0, 10.0, 1, 4)
    plain, terminal = StringIO(), Terminal()
    for display in (PlainDisplay(plain, Clock().seconds), TerminalDisplay(Console(file=terminal, width=80))):
        display.show(shown)
        display.finish()
    assert_that(plain.getvalue(), contains_string("20 waiting, 3 stopped, 1 active"))
    for word in ("appointment-reminder", "stopped", "failed"):
        assert_that(terminal.getvalue(), contains_string(word))


def test_a_terminal_that_cannot_move_its_cursor_gets_plain_output(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    assert isinstance(display_for(Terminal(), Clock().seconds), PlainDisplay)
