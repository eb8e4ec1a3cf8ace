"""Long work in short steps, so that calls are served in between."""

from __future__ import annotations

from twisted.internet.task import Cooperator

STEPS = Cooperator(terminationPredicateFactory=lambda: lambda: True)
"""One step in a turn of the reactor; Twisted's own takes steps for 10 ms."""


async def turn() -> None:
    """Returns in a later turn of the reactor."""
    await STEPS.cooperate(iter((None,))).whenDone()
