"""Whether a client is read from, of several who may hold it up."""

from __future__ import annotations

from hamcrest import assert_that, equal_to, is_
from twisted.internet.testing import StringTransport

from dialer.web.valve import Hold, Valve


def test_a_client_is_read_from_again_only_when_nobody_holds_it_up_any_more() -> None:
    transport = StringTransport()
    valve = Valve(transport)
    valve.close(Hold.TURN)
    valve.close(Hold.BODY)
    valve.close(Hold.BODY)
    valve.open(Hold.TURN)
    assert_that(transport.producerState, equal_to("paused"))
    valve.open(Hold.BODY)
    assert_that(transport.producerState, equal_to("producing"))


def test_twisteds_own_reasons_do_not_undo_another_and_are_not_undone() -> None:
    transport = StringTransport()
    valve = Valve(transport)
    valve.pauseProducing()
    valve.close(Hold.TURN)
    valve.resumeProducing()
    assert_that(transport.producerState, equal_to("paused"))
    assert_that(valve.is_closed_for(Hold.TURN), is_(True))
    valve.pauseProducing()
    valve.open(Hold.TURN)
    assert_that(transport.producerState, equal_to("paused"))


def test_to_open_what_is_open_changes_nothing() -> None:
    transport = StringTransport()
    transport.pauseProducing()
    Valve(transport).open(Hold.TURN)
    assert_that(transport.producerState, equal_to("paused"))
