"""Who takes pictures of the dialer, when, and for whom."""

from __future__ import annotations

import pytest
from attrs import define, field
from hamcrest import assert_that, calling, equal_to, is_, none, raises, same_instance
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from dialer.live import EVERY, MOST, MOST_OF_ONE, Live, OneLooksTooMuch, Shot, TooManyLook, Viewer
from dialer.picture import Picture
from tests.hygiene import LoggedFailures


@define
class Studio:
    """A Live whose pictures the test makes."""

    clock: Clock = field(factory=Clock)
    taken: int = 0
    picture: Picture | Exception = field(factory=Picture)
    slow: Deferred[None] | None = None
    live: Live = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.live = Live(self.clock, self.take)

    async def take(self) -> Picture:
        self.taken += 1
        if self.slow is not None:
            await self.slow
        if isinstance(self.picture, Exception):
            raise self.picture
        return self.picture

    def next(self, viewer: Viewer, seen: Shot | None, seconds: float = 5.0) -> list[Shot | None]:
        """What the viewer is told, once it is."""
        told: list[Shot | None] = []
        Deferred.fromCoroutine(viewer.next(seen, seconds)).addCallback(told.append)
        return told

    def pass_seconds(self, seconds: int) -> None:
        self.clock.pump([EVERY / 4] * (4 * seconds))


@pytest.fixture
def studio() -> Studio:
    return Studio()


def test_no_picture_is_taken_while_nobody_looks(studio: Studio) -> None:
    studio.pass_seconds(10)
    assert_that(studio.taken, is_(0))
    viewer = studio.live.look("a")
    studio.pass_seconds(2)
    viewer.leave()
    taken = studio.taken
    studio.pass_seconds(10)
    assert_that((taken, studio.taken), equal_to((3, 3)))
    assert_that(studio.clock.getDelayedCalls(), equal_to([]))


def test_one_picture_a_second_is_for_all(studio: Studio) -> None:
    for number in range(MOST):
        studio.live.look(str(number))
    studio.pass_seconds(5)
    assert_that(studio.taken, is_(6))


def test_only_so_many_look_at_the_same_time(studio: Studio) -> None:
    viewers = [studio.live.look(str(number)) for number in range(MOST)]
    assert_that(calling(studio.live.look).with_args("a"), raises(TooManyLook))
    viewers[0].leave()
    studio.live.look("a")


def test_one_caller_looks_only_so_many_times_and_others_still_may(studio: Studio) -> None:
    viewers = [studio.live.look("a") for _ in range(MOST_OF_ONE)]
    assert_that(calling(studio.live.look).with_args("a"), raises(OneLooksTooMuch))
    studio.live.look("b")
    for _ in range(2):
        viewers[0].leave()
    studio.live.look("a")
    assert_that(calling(studio.live.look).with_args("a"), raises(OneLooksTooMuch))


def test_a_viewer_is_told_of_the_latest_that_differs_from_what_was_seen(studio: Studio) -> None:
    viewer = studio.live.look("a")
    (first,) = studio.next(viewer, None)
    told = studio.next(viewer, first)
    studio.pass_seconds(2)
    assert_that(told, equal_to([]))
    studio.picture = Picture({"rate": 1})
    studio.pass_seconds(1)
    studio.picture = Picture({"rate": 2})
    studio.pass_seconds(1)
    assert told[0] is not None
    assert_that(told[0].picture, equal_to(Picture({"rate": 1})))
    # Who was busy meanwhile misses what is no longer so.
    (latest,) = studio.next(viewer, told[0])
    assert latest is not None
    assert_that(latest.picture, equal_to(Picture({"rate": 2})))


def test_a_viewer_is_told_that_there_was_nothing_new(studio: Studio) -> None:
    viewer = studio.live.look("a")
    (first,) = studio.next(viewer, None)
    told = studio.next(viewer, first, 3.0)
    studio.pass_seconds(3)
    assert_that(told, equal_to([None]))


def test_a_viewer_that_leaves_is_told_so_at_once(studio: Studio) -> None:
    viewer = studio.live.look("a")
    (first,) = studio.next(viewer, None)
    told = studio.next(viewer, first)
    viewer.leave()
    studio.clock.advance(0)
    assert_that((told, viewer.gone), equal_to(([None], True)))


def test_a_picture_that_takes_long_is_waited_for_and_not_taken_twice(studio: Studio) -> None:
    studio.slow = Deferred()
    viewer = studio.live.look("a")
    studio.pass_seconds(5)
    # The last one leaves and another comes, all while it is being taken.
    viewer.leave()
    viewer = studio.live.look("a")
    studio.pass_seconds(5)
    assert_that(studio.taken, is_(1))
    studio.slow.callback(None)
    studio.slow = None
    studio.pass_seconds(1)
    assert_that(studio.taken, is_(2))


def test_a_picture_that_cannot_be_taken_is_logged_and_the_next_one_is_taken(
    studio: Studio, logged_failures: LoggedFailures
) -> None:
    studio.picture = ZeroDivisionError()
    viewer = studio.live.look("a")
    told = studio.next(viewer, None)
    studio.pass_seconds(1)
    studio.picture = Picture()
    studio.pass_seconds(1)
    assert told[0] is not None
    assert_that(told[0].picture, same_instance(studio.picture))
    assert_that(len(logged_failures.flush(ZeroDivisionError)), is_(2))


def test_who_begins_to_look_is_not_told_what_was_so_when_somebody_looked_last(studio: Studio) -> None:
    viewer = studio.live.look("a")
    viewer.leave()
    studio.picture = Picture({"rate": 7})
    studio.slow = Deferred()
    studio.pass_seconds(100)
    told = studio.next(studio.live.look("a"), None)
    assert_that(studio.live.latest, is_(none()))
    studio.slow.callback(None)
    studio.pass_seconds(1)
    assert told[0] is not None
    assert_that(told[0].picture, equal_to(studio.picture))
