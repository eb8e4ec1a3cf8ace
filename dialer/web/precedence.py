"""Dialing goes first: how much of each turn of the reactor is given to what HTTP clients send.

The reactor serves every socket that has something, and only then looks at timers and at EFSwitch again. With a thousand
clients that send at once a call would wait for all of them. So after BUDGET of it the rest waits for the next turns, in
line, unread: TCP holds up who sends. And for REST times as long the process does something else, or nothing: one that
never sleeps is given its core later by the operating system when a call is due, and leaves less to PostgreSQL.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Protocol

from twisted.internet.interfaces import IReactorTime

BUDGET = 0.002
"""Seconds of a turn: some five requests. What is then begun is finished, so that a turn may take one more."""

REST = 2.0
"""Times the budget that nothing is done for clients once it is used up: they have a third of the time at most."""

AHEAD = 2
"""Urgent ones after which it is the turn of one of the others who wait: what is urgent is known by its first bytes,
which anybody can send without end. With two of three turns they still go through at twice the pace of a flood."""


class Waiting(Protocol):
    """Somebody in line."""

    def go_on(self) -> None:
        """It is their turn."""


class Precedence:
    """Shares the budget out: to the urgent first, but AHEAD of the others at most; to each in the order in which they
    came."""

    def __init__(self, clock: IReactorTime, *, budget: float = BUDGET) -> None:
        self._clock = clock
        self._budget = budget
        self._used = 0.0
        self._since: float | None = None
        self._turn_ends = False
        self._ahead = 0
        """Urgent ones that have gone since one of the others did, while these waited; from turn to turn."""
        self._urgent: deque[Waiting] = deque()
        self._line: deque[Waiting] = deque()

    def may_go(self, *, urgent: bool) -> bool:
        """Whether somebody may go on at once, with one request or a part of it; who may does, which counts."""
        if not self._left() or self._urgent or (self._line and not (urgent and self._ahead < AHEAD)):
            return False
        self._goes(urgent=urgent)
        return True

    def wait(self, somebody: Waiting, *, urgent: bool) -> None:
        """Stand in line; nobody does twice."""
        (self._urgent if urgent else self._line).append(somebody)
        self._look_out()

    def leave(self, somebody: Waiting) -> None:
        """They are gone."""
        for line in (self._urgent, self._line):
            if somebody in line:
                line.remove(somebody)

    def work(self, do: Callable[[], None]) -> None:
        """Do something at the cost of this turn; within it only the outermost counts."""
        if self._since is not None:
            do()
            return
        self._since = self._clock.seconds()
        try:
            do()
        finally:
            self._used += max(0.0, self._clock.seconds() - self._since)
            self._since = None
            self._look_out()

    def _left(self) -> bool:
        under_way = 0.0 if self._since is None else self._clock.seconds() - self._since
        return self._used + under_way < self._budget

    def _next(self) -> Waiting:
        """Who is next of those who wait."""
        urgent = bool(self._urgent) and not (self._line and self._ahead >= AHEAD)
        somebody = (self._urgent if urgent else self._line).popleft()
        self._goes(urgent=urgent)
        return somebody

    def _goes(self, *, urgent: bool) -> None:
        self._ahead = self._ahead + 1 if urgent and self._line else 0

    def _look_out(self) -> None:
        if not self._turn_ends:
            self._turn_ends = True
            self._clock.callLater(0 if self._left() else REST * self._budget, self._next_turn)

    def _next_turn(self) -> None:
        self._turn_ends = False
        self._used = 0.0
        while self._left() and (self._urgent or self._line):
            self.work(self._next().go_on)
        if self._urgent or self._line:
            self._look_out()
