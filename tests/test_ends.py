"""The ends of calls that are nobody's here."""

from __future__ import annotations

import orjson
import pytest
from hamcrest import assert_that, contains_string, equal_to, has_length, none
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent

from dialer import ends as module
from dialer.ends import LARGEST_UNREAD, RIPE, SeenEnds
from dialer.esl.wire import Event, Frame, UnreadEvent, skim_event
from dialer.outcome import CallEnd

BUSY = CallEnd("USER_BUSY", answered=False, bridged=False)
TALKED = CallEnd("NORMAL_CLEARING", answered=True, bridged=True)
SAID = {
    BUSY: Event("CHANNEL_HANGUP_COMPLETE", {"Hangup-Cause": "USER_BUSY"}),
    TALKED: Event(
        "CHANNEL_HANGUP_COMPLETE",
        {"Hangup-Cause": "NORMAL_CLEARING", "variable_answer_epoch": "7", "variable_bridge_epoch": "8"},
    ),
}
UNREADABLE = Frame({"Content-Type": "text/event-json"}, b'{"Event-Name":"CHANNEL_HANGUP_COMPLETE","Unique-ID":"a",')


@pytest.fixture
def clock() -> Clock:
    clock = Clock()
    clock.advance(100)
    return clock


def test_an_end_is_remembered_once(clock: Clock) -> None:
    ends = SeenEnds(clock)
    ends.add("a", SAID[BUSY])
    ends.add("b", SAID[TALKED])
    assert_that((ends.pop("a", since=0), ends.pop("a", since=0)), equal_to((BUSY, None)))
    assert_that(ends.pop("b", since=0), equal_to(TALKED))


def test_an_end_that_was_not_seen_is_none(clock: Clock) -> None:
    assert_that(SeenEnds(clock).pop("a", since=float("-inf")), none())


@pytest.mark.parametrize(("sent_at", "found"), [(99.9, BUSY), (100.0, BUSY), (100.1, None)])
def test_an_end_seen_before_the_call_was_sent_is_of_an_earlier_call(
    clock: Clock, sent_at: float, found: CallEnd | None
) -> None:
    ends = SeenEnds(clock)
    ends.add("a", SAID[BUSY])
    clock.advance(50)
    assert_that(ends.pop("a", since=sent_at), equal_to(found))


def test_of_two_ends_the_later_holds(clock: Clock) -> None:
    ends = SeenEnds(clock)
    ends.add("a", SAID[BUSY])
    clock.advance(1)
    ends.add("a", SAID[TALKED])
    assert_that(ends.pop("a", since=100.5), equal_to(TALKED))


def test_too_many_ends_forget_the_one_seen_longest_ago(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "KEPT", 2)
    ends = SeenEnds(clock)
    for call_id in ["a", "b", "a", "c"]:
        ends.add(call_id, SAID[BUSY])
    found = {call_id: ends.pop(call_id, since=0) is not None for call_id in "abc"}
    assert_that(found, equal_to({"a": True, "b": False, "c": True}))


def test_an_end_is_ripe_after_a_while_and_until_it_was_looked_up(clock: Clock) -> None:
    ends = SeenEnds(clock)
    ends.add("a", SAID[BUSY])
    clock.advance(1)
    ends.add("b", SAID[TALKED])
    assert_that(ends.ripe(), equal_to({}))
    clock.advance(RIPE - 1)
    ripe = ends.ripe()
    assert_that(ripe, equal_to({"a": 100.0}))
    assert_that(ends.ripe(), equal_to(ripe))
    clock.advance(1)
    # Ripened while the first was being looked up: that look-up did not ask for it.
    ends.looked_up(ripe)
    assert_that((ends.ripe(), ends.pop("a", since=0)), equal_to(({"b": 101.0}, None)))
    ends.looked_up(ends.ripe())
    assert_that(ends.ripe(), equal_to({}))


def test_only_the_later_of_two_ends_ripens_and_none_that_was_taken_out(clock: Clock) -> None:
    ends = SeenEnds(clock)
    ends.add("a", SAID[BUSY])
    ends.add("b", SAID[BUSY])
    clock.advance(1)
    ends.add("a", SAID[TALKED])
    ends.pop("b", since=0)
    clock.advance(RIPE - 1)
    assert_that(ends.ripe(), equal_to({}))
    clock.advance(1)
    assert_that(ends.ripe(), equal_to({"a": 101.0}))
    ends.looked_up(ends.ripe())
    assert_that((ends.ripe(), ends.pop("a", since=0)), equal_to(({}, None)))


def test_what_waits_for_a_look_up_is_bounded_and_the_last_ones_are_kept(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "KEPT", 2)
    ends = SeenEnds(clock)
    for call_id in "abc":
        ends.add(call_id, SAID[BUSY])
    clock.advance(RIPE)
    assert_that(list(ends.ripe()), equal_to(["b", "c"]))


def unread(call_id: str, more: str = "") -> UnreadEvent:
    body = orjson.dumps({"Event-Name": "CHANNEL_HANGUP_COMPLETE", "Unique-ID": call_id, "more": more})
    event = skim_event(Frame({"Content-Type": "text/event-json"}, body))
    assert isinstance(event, UnreadEvent)
    return event


def test_an_event_is_read_when_its_end_is_asked_for_or_when_many_others_wait_unread(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "UNREAD", 1)
    read: list[str] = []
    monkeypatch.setattr(module, "end_of_call", lambda event: read.append(event.about) or BUSY)
    ends = SeenEnds(clock)
    for call_id in "abc":
        ends.add(call_id, unread(call_id))
    assert_that(read, equal_to(["a", "b"]))
    found = [ends.pop(call_id, since=0) for call_id in "abc"]
    assert_that((found, read), equal_to(([BUSY] * 3, ["a", "b", "c"])))


def test_a_large_event_and_one_that_was_read_already_are_not_kept(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    monkeypatch.setattr(module, "end_of_call", lambda event: read.append(event.about) or BUSY)
    ends = SeenEnds(clock)
    ends.add("large", unread("large", "x" * LARGEST_UNREAD))
    ends.add("read", Event("CHANNEL_HANGUP_COMPLETE", {"Unique-ID": "read"}))
    ends.add("small", unread("small"))
    assert_that(read, equal_to(["large", "read"]))


def test_an_event_that_cannot_be_read_is_no_end_and_is_told(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "UNREAD", 1)
    ends = SeenEnds(clock)
    with capturedLogs() as logged:
        for call_id in "ab":
            ends.add(call_id, UnreadEvent("CHANNEL_HANGUP_COMPLETE", call_id, UNREADABLE))
        found = [ends.pop(call_id, since=0) for call_id in "ab"]
    assert_that(found, equal_to([None, None]))
    assert_that(logged, has_length(2))
    assert_that(formatEvent(logged[0]), contains_string("The end of call a cannot be read"))
