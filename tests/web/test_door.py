"""Who may have a connection, and whose is closed for whom."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import define, field
from hamcrest import assert_that, contains_exactly, empty, equal_to, has_length, is_, none
from twisted.internet.task import Clock

from dialer.meter import Refused
from dialer.web.bounds import Bounds
from dialer.web.door import PATIENCE, Door, State


@define(eq=False)
class Guest:
    """A connection, and whether it had to make room."""

    host: str
    left: bool = False

    def make_room(self) -> None:
        self.left = True


@define
class House:
    """A door with three places, two for each address, and one that is reserved."""

    clock: Clock = field(factory=Clock)
    told: list[tuple[Refused, str]] = field(factory=list)
    door: Door = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.door = Door(
            self.clock,
            Bounds(connections=3, connections_per_address=2, connections_reserved=1),
            is_trusted=lambda host: host == "192.0.2.9",
            refused=lambda *told: self.told.append(told),
        )

    def enter(self, host: str, state: State = State.ANSWER) -> Guest:
        """Somebody who is let in, and is about that."""
        assert_that(self.door.refuses(host), none())
        guest = Guest(host)
        self.door.enter(guest)
        self.door.move(guest, state)
        return guest


def fill(house: House, state: State) -> list[Guest]:
    """All places, taken from addresses of their own, a second apart."""
    guests = []
    for number in range(3):
        guests.append(house.enter(f"198.51.100.{number}", state))
        house.clock.advance(1)
    return guests


def test_who_finds_a_place_is_let_in_and_nothing_is_told() -> None:
    house = House()
    fill(house, State.ANSWER)
    assert_that((len(house.door), house.told), equal_to((3, [])))


def test_an_address_gets_no_more_than_its_own_places_and_another_still_gets_one() -> None:
    house = House()
    first = house.enter("192.0.2.1")
    house.enter("192.0.2.1")
    assert_that(house.door.refuses("192.0.2.1"), is_(Refused.ADDRESS))
    assert_that(house.door.refuses("192.0.2.2"), none())
    house.door.leave(first)
    assert_that(house.door.refuses("192.0.2.1"), none())
    assert_that(house.told, contains_exactly((Refused.ADDRESS, "192.0.2.1")))


def test_a_newcomer_gets_the_place_of_who_was_idle_for_longest() -> None:
    house = House()
    guests = fill(house, State.IDLE)
    house.door.move(guests[0], State.ANSWER)
    house.door.move(guests[0], State.IDLE)
    house.enter("203.0.113.1")
    assert_that([guest.left for guest in guests], equal_to([False, True, False]))
    assert_that(house.door, has_length(3))
    assert_that(house.told, contains_exactly((Refused.MADE_ROOM, "198.51.100.1")))


@pytest.mark.parametrize("state", [State.HANDSHAKE, State.HEAD, State.BODY])
def test_who_gets_on_with_nothing_makes_room_but_not_at_once(state: State) -> None:
    house = House()
    guests = [house.enter(f"198.51.100.{number}", state) for number in range(3)]
    house.clock.advance(PATIENCE[state] - 0.1)
    assert_that(house.door.refuses("203.0.113.1"), is_(Refused.CONNECTIONS))
    house.clock.advance(0.1)
    house.enter("203.0.113.2")
    assert_that([guest.left for guest in guests], equal_to([True, False, False]))


def test_a_body_that_gets_on_keeps_its_place() -> None:
    house = House()
    guests = fill(house, State.BODY)
    house.clock.advance(PATIENCE[State.BODY])
    house.door.move(guests[0], State.BODY)
    house.enter("203.0.113.1")
    assert_that([guest.left for guest in guests], equal_to([False, True, False]))


def test_who_is_being_answered_makes_no_room() -> None:
    house = House()
    guests = fill(house, State.ANSWER)
    house.clock.advance(1_000_000)
    assert_that(house.door.refuses("203.0.113.1"), is_(Refused.CONNECTIONS))
    assert_that([guest.left for guest in guests], equal_to([False] * 3))


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "192.0.2.9", "a local socket"])
def test_this_machine_and_who_is_trusted_get_in_when_all_is_taken_up_to_what_is_reserved(host: str) -> None:
    house = House()
    fill(house, State.ANSWER)
    house.enter(host)
    assert_that(house.door.refuses(host), is_(Refused.CONNECTIONS))


def test_who_is_trusted_may_have_more_places_than_another_address() -> None:
    house = House()
    for _ in range(3):
        house.enter("192.0.2.9")
    assert_that(house.told, empty())


def test_who_left_twice_is_counted_once() -> None:
    house = House()
    guest = house.enter("192.0.2.1")
    house.door.leave(guest)
    house.door.leave(guest)
    house.door.move(guest, State.IDLE)
    assert_that(house.door, has_length(0))


def test_every_state_that_waits_for_its_client_may_have_to_make_room() -> None:
    waiting: Any = {State.HANDSHAKE, State.IDLE, State.HEAD, State.BODY}
    assert_that(set(PATIENCE), equal_to(waiting))
