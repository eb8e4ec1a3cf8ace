"""The points between two steps of a contact's way, by the gate at which the world is stopped there."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import NoReturn

from attrs import frozen
from twisted.internet import reactor
from twisted.internet.defer import Deferred

from tests.process.crossroads import COMMITTED, HTTP_ANSWER, Crossroads, statement
from tests.process.gate import Crossing, Gate, Passing, answered, asked
from tests.process.street import PATIENCE

NOTIFICATION = "/send-delivery-notification"
REQUEST = "/request-agent"
END_CHAT = "/end-chat"
"""What the dialer asks of the VC."""


@frozen
class Point:
    """Where to stop: the gate by its name, and what must have passed it, the last of which is held back."""

    gate: str
    steps: tuple[Passing, ...]

    def reached(self, here: Crossroads) -> Deferred[Crossing]:
        """From now on what comes here is stopped; fires once it is held back."""
        gate: Gate = getattr(here, self.gate)

        def never(_result: object, seconds: float) -> NoReturn:
            raise AssertionError(f"nothing came to {self} in {seconds:g} s")

        return gate.stop_at(*self.steps).addTimeout(PATIENCE, reactor, onTimeoutCancel=never)

    def about(self, value: str) -> Point:
        """The same at the one statement of that name that tells of this value, which no other statement has."""
        return Point(self.gate, (asked(f"'{value}'"), *self.steps[1:]))

    async def reached_after(self, here: Crossroads, scene: Callable[[], Awaitable[object]]) -> Crossing:
        """Return once what is stopped here is held back, for what is sent every so often: it waits for the scene, so
        that the first to come here finds it set."""
        first = await Point(self.gate, self.steps[:1]).reached(here)
        await scene()
        reached = self.reached(here)
        first.release()
        return await reached


def named(points: Iterable[str]) -> list[str]:
    """Their names as those of tests."""
    return [name.replace(" ", "_") for name in points]


def unsent(name: str) -> Point:
    """The dialer has decided upon a statement, PostgreSQL does not have it."""
    return Point("database", (statement(name),))


def committed(name: str) -> Point:
    """PostgreSQL has committed a statement, the dialer does not know."""
    return Point("database", (statement(name), COMMITTED))


def not_had(path: str) -> Point:
    """The dialer has written a request, the VC does not have it."""
    return Point("to_vc", (asked(f"POST {path} "),))


def accepted(path: str) -> Point:
    """The VC has accepted a request, the dialer does not know."""
    return Point("to_vc", (asked(f"POST {path} "), HTTP_ANSWER))


COMMAND_WRITTEN = Point("esl", (asked("bgapi originate"),))
"""The dialer has written the command, EFSwitch does not have it."""

COMMAND_EXECUTED = Point("esl", (asked("bgapi originate"), answered("+OK Job-UUID")))
"""EFSwitch has executed it, the dialer does not know."""

JOB_TOLD = Point("esl", (asked("bgapi originate"), answered("BACKGROUND_JOB")))
"""The dialer has the reply, EFSwitch tells of the job."""

END_TOLD = Point("esl", (asked("bgapi originate"), answered("CHANNEL_HANGUP_COMPLETE")))
"""The call has ended, the dialer does not know."""

REPLY_ANSWERED = Point("http", (asked("POST /agent "), HTTP_ANSWER))
"""The dialer has acted on the VC's reply, the VC does not know."""
