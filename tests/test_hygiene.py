"""The watch that fails a test for what it leaves behind."""

import pytest
from hamcrest import assert_that, contains_exactly, contains_string, instance_of
from twisted.internet.defer import fail, succeed
from twisted.internet.task import Clock
from twisted.logger import Logger

from tests.hygiene import watch


def _left_by(test):
    clock = Clock()
    watching = watch(clock, lambda: clock.advance(0))
    next(watching)
    test(clock)
    next(watching, None)


def _complaint_about(test):
    with pytest.raises(pytest.fail.Exception) as caught:
        _left_by(test)
    return str(caught.value)


def test_a_timer_left_behind_is_a_failure():
    assert_that(_complaint_about(lambda clock: clock.callLater(60, print)), contains_string("left in the reactor"))


def test_what_ends_with_the_next_turn_of_the_reactor_is_none():
    _left_by(lambda clock: clock.callLater(0, lambda: None))


def test_an_error_that_no_deferred_handled_is_a_failure(logged_failures):
    def test(_):
        cycle = [fail(ZeroDivisionError("nobody asked"))]
        cycle.append(cycle)

    assert_that(_complaint_about(test), contains_string("nobody asked"))
    assert_that(logged_failures.flush(ZeroDivisionError), contains_exactly(instance_of(ZeroDivisionError)))


def test_a_logged_failure_is_a_failure_unless_the_test_expects_it(logged_failures):
    def log_one(_):
        try:
            raise KeyError("k")
        except KeyError:
            Logger().failure("oh")

    assert_that(_complaint_about(log_one), contains_string("oh"))
    assert_that(logged_failures.flush(KeyError), contains_exactly(instance_of(KeyError)))


def test_a_deferred_that_succeeded_is_none():
    _left_by(lambda _: succeed(1))
