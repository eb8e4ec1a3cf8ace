"""What the faults of a chaos run excuse, and what not."""

from __future__ import annotations

from hamcrest import assert_that, contains_exactly, is_

from tests.chaos.weather import Effect, Fault, Weather


def weather(*faults: Fault, ready: tuple[float, ...] = (0.0, 200.0)) -> Weather:
    """Two dialers that are seen ready at these times, besides always when no fault is on."""
    return Weather(faults, {"one": ready, "two": ready})


def fault(effect: Effect, start: float, end: float, dialer: str | None = None) -> Fault:
    return Fault("a fault", effect, start, end, dialer)


def unknown(at: Weather, ended: float, sender: str | None = None) -> bool:
    """Whether the end of a call may be unknown that was dialed 2 s before."""
    return at.end_may_be_unknown(ended - 2, ended, sender)


def test_an_end_in_a_calm_is_known() -> None:
    assert_that(unknown(weather(), 100.0), is_(False))


def test_an_end_may_be_missed_from_before_a_cut_until_the_dialers_are_seen_ready_after_it() -> None:
    cut = weather(fault(Effect.CUT, 100.0, 101.0), ready=(0.0, 101.2, 103.0))
    missed = [unknown(cut, moment) for moment in (99.0, 99.8, 100.5, 102.5, 103.5)]
    assert_that(missed, contains_exactly(False, True, True, True, False))


def test_a_dialer_that_is_never_seen_ready_again_sees_nothing() -> None:
    assert_that(unknown(weather(fault(Effect.CUT, 100.0, 101.0), ready=(0.0,)), 500.0), is_(True))


def test_one_dialer_that_sees_is_enough() -> None:
    assert_that(unknown(weather(fault(Effect.DEAD, 100.0, 101.0, "one")), 100.5), is_(False))
    both = weather(fault(Effect.DEAD, 100.0, 101.0, "one"), fault(Effect.STOPPED, 100.0, 110.0, "two"))
    assert_that(unknown(both, 100.5), is_(True))


def test_who_dies_before_it_has_written_has_seen_nothing() -> None:
    one_dead, later = fault(Effect.DEAD, 90.0, 110.0, "one"), fault(Effect.DEAD, 105.0, 110.0, "two")
    dying = weather(one_dead, later)
    missed = [unknown(dying, moment) for moment in (94.0, 96.0, 104.0)]
    assert_that(missed, contains_exactly(False, True, True))


def test_who_sent_the_command_writes_the_end_sooner_than_another() -> None:
    dying = weather(fault(Effect.DEAD, 90.0, 110.0, "one"), fault(Effect.DEAD, 105.0, 110.0, "two"))
    missed = [unknown(dying, moment, sender="two") for moment in (101.0, 103.0)]
    assert_that(missed, contains_exactly(False, True))


def test_who_may_have_lost_its_call_to_another_writes_its_end_as_another_does() -> None:
    dying = [fault(Effect.DEAD, 90.0, 110.0, "one"), fault(Effect.DEAD, 105.0, 110.0, "two")]
    database = fault(Effect.DATABASE, 93.5, 93.6)
    assert_that(unknown(weather(*dying, database), 100.0, sender="two"), is_(True))


def test_while_the_database_is_away_what_was_seen_is_only_remembered() -> None:
    dying = [fault(Effect.DEAD, 90.0, 150.0, "one"), fault(Effect.DEAD, 130.0, 150.0, "two")]
    assert_that(unknown(weather(*dying), 100.0), is_(False))
    assert_that(unknown(weather(*dying, fault(Effect.DATABASE, 105.0, 115.0)), 100.0), is_(True))


def test_what_is_held_comes_late_and_is_no_excuse() -> None:
    assert_that(unknown(weather(fault(Effect.HELD, 100.0, 106.0)), 103.0), is_(False))


def test_what_is_held_is_lost_with_the_connection() -> None:
    held = fault(Effect.HELD, 100.0, 106.0)
    cut = weather(held, fault(Effect.CUT, 105.0, 105.0))
    missed = [unknown(cut, moment) for moment in (99.0, 103.0)]
    assert_that(missed, contains_exactly(False, True))


def test_a_connection_that_is_silent_for_too_long_is_given_up() -> None:
    held = [fault(Effect.HELD, 100.0, 106.0), fault(Effect.HELD, 105.0, 112.0)]
    assert_that(unknown(weather(*held), 103.0), is_(True))


def test_a_command_is_lost_only_near_a_fault() -> None:
    one = weather(fault(Effect.DEAD, 100.0, 101.0, "one"), ready=(0.0, 103.0))
    lost = [one.may_be_unsent(moment) for moment in (90.0, 98.0, 102.0, 104.0)]
    assert_that(lost, contains_exactly(False, True, True, False))
    away = weather(fault(Effect.DEAD, 100.0, 101.0, "one"), fault(Effect.DATABASE, 89.0, 92.0), ready=(0.0, 103.0))
    assert_that(away.may_be_unsent(90.0), is_(True))


def test_efswitch_is_down_only_while_somebody_is_cut_off_or_was_when_the_database_went_away() -> None:
    cut = fault(Effect.CUT, 100.0, 101.0)
    down = [weather(cut, ready=(0.0, 103.0)).switch_may_be_down(moment) for moment in (95.0, 102.0, 107.0)]
    assert_that(down, contains_exactly(False, True, False))
    away = weather(cut, fault(Effect.DATABASE, 103.0, 115.0), ready=(0.0, 103.0))
    assert_that(away.switch_may_be_down(117.0), is_(True))
