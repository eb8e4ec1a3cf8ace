"""How a turn of the reactor is shared out among HTTP clients."""

from __future__ import annotations

from typing import Any

from attrs import define, field
from hamcrest import assert_that, equal_to, is_

from dialer.web.precedence import AHEAD, Precedence


@define(eq=False)
class Client:
    """One whose requests take some of the turn."""

    name: str
    house: House
    cost: float = 1.0

    def go_on(self) -> None:
        self.house.went.append(self.name)
        self.house.clock.rightNow += self.cost


@define
class Turns:
    """A clock that the test moves, and what is to be done in the next turn."""

    rightNow: float = 0.0
    calls: list[Any] = field(factory=list)

    def seconds(self) -> float:
        return self.rightNow

    def callLater(self, delay: float, call: Any) -> None:
        self.calls.append(call)


@define
class House:
    """Turns of three seconds for all."""

    clock: Turns = field(factory=Turns)
    went: list[str] = field(factory=list)
    precedence: Precedence = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.precedence = Precedence(self.clock, budget=3.0)  # type: ignore[arg-type]

    def come(self, name: str, *, urgent: bool = False, cost: float = 1.0) -> Client:
        """Somebody wants to go on."""
        client = Client(name, self, cost)
        if self.precedence.may_go(urgent=urgent):
            self.precedence.work(client.go_on)
        else:
            self.precedence.wait(client, urgent=urgent)
        return client

    def turn(self) -> None:
        """The next turn of the reactor."""
        self.clock.calls.pop(0)()


def test_once_its_part_of_a_turn_is_used_up_the_others_wait_for_the_next_in_their_order() -> None:
    house = House()
    for number in range(8):
        house.come(str(number))
    assert_that(house.went, equal_to(list("012")))
    house.turn()
    assert_that(house.went, equal_to(list("012345")))
    house.turn()
    assert_that(house.went, equal_to(list("01234567")))


def test_a_new_turn_begins_with_nothing_used() -> None:
    house = House()
    house.come("a", cost=2.9)
    house.turn()
    house.come("b", cost=2.9)
    house.come("c")
    assert_that(house.went, equal_to(["a", "b", "c"]))


def test_who_comes_while_others_wait_stands_behind_them() -> None:
    house = House()
    house.come("a", cost=5)
    house.come("b")
    house.turn()
    house.come("c", cost=5)
    house.come("d")
    assert_that(house.went, equal_to(["a", "b", "c"]))


def test_the_urgent_go_before_all_who_wait_but_no_further_than_the_turn() -> None:
    house = House()
    house.come("a", cost=5)
    for name in "bcd":
        house.come(name, cost=2)
    house.come("agent", urgent=True, cost=2)
    assert_that(house.went, equal_to(["a"]))
    house.turn()
    assert_that(house.went, equal_to(["a", "agent", "b"]))


def test_a_flood_of_urgent_ones_starves_nobody() -> None:
    house = House()
    house.come("first", cost=5)
    for number in range(30):
        house.come("urgent", urgent=True, cost=1)
        if number < 5:
            house.come(f"other {number}", cost=1)
    for _ in range(5):
        house.turn()
    assert_that(
        house.went[1:], equal_to([name for number in range(5) for name in (*["urgent"] * AHEAD, f"other {number}")])
    )


def test_urgent_ones_that_each_take_a_whole_turn_let_others_have_the_next_but_one() -> None:
    house = House()
    house.come("first", cost=5)
    for _ in range(5):
        house.come("urgent", urgent=True, cost=5)
    house.come("other", cost=5)
    for _ in range(4):
        house.turn()
    assert_that(house.went, equal_to(["first", "urgent", "urgent", "other", "urgent"]))


def test_urgent_ones_that_need_not_wait_go_no_more_often_before_somebody_who_does() -> None:
    house = House()
    house.precedence.wait(Client("other", house), urgent=False)
    for _ in range(5):
        house.come("urgent", urgent=True, cost=0.1)
    assert_that(house.went, equal_to(["urgent"] * AHEAD))
    house.turn()
    assert_that(house.went[AHEAD:], equal_to(["other", *["urgent"] * 3]))


def test_who_has_left_is_not_waited_for() -> None:
    house = House()
    house.come("a", cost=5)
    gone = house.come("b")
    house.come("c")
    house.precedence.leave(gone)
    house.turn()
    assert_that(house.went, equal_to(["a", "c"]))


def test_what_is_done_within_something_else_is_paid_for_once() -> None:
    house = House()
    inner = Client("inner", house, cost=1.4)
    house.precedence.work(lambda: house.precedence.work(inner.go_on))
    assert_that(house.precedence.may_go(urgent=False), is_(True))


def test_within_something_else_the_time_that_it_took_so_far_counts() -> None:
    house = House()
    asked: list[bool] = []

    def long() -> None:
        house.clock.rightNow += 4
        asked.append(house.precedence.may_go(urgent=True))

    house.precedence.work(long)
    assert_that(asked, equal_to([False]))
