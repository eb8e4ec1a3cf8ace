"""Waiting for what nothing tells of: another process, HTTP, a table of PostgreSQL, a port that listens."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.task import deferLater

PATIENCE = 30.0
"""Seconds."""


async def until(
    reactor: Any,
    condition: Callable[[], Any],
    what: str = "condition",
    *,
    patience: float = PATIENCE,
    every: float = 0.01,
) -> Any:
    """Wait until `condition`, which may be asynchronous, gives something true, which is returned.

    It is asked every so many seconds; one that has not come true within `patience` fails the test, by its name `what`.
    """
    deadline = reactor.seconds() + patience
    while True:
        found = condition()
        if hasattr(found, "__await__"):
            found = await found
        if found:
            return found
        assert reactor.seconds() < deadline, f"{what} did not come true"
        await deferLater(reactor, every)
