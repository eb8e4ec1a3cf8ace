"""What the log says of statements that the database could not serve: each cause once in a while, not each statement."""

from __future__ import annotations

from math import inf

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from dialer.store.errors import Unable

SAID_AGAIN = 60.0
"""Seconds until the same cause is logged again, if it still lasts."""


class Notices:
    """One line for each cause, by SQLSTATE, of which there are few."""

    log = Logger()

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._said: dict[str, float] = {}

    def unable(self, error: Unable) -> None:
        """A statement was rolled back on a connection that is sound: no connection error, but somebody should look."""
        now = self._clock.seconds()
        if now - self._said.get(error.code, -inf) >= SAID_AGAIN:
            self._said[error.code] = now
            self.log.error("DATABASE CANCELLED A STATEMENT ({code}): {reason}", code=error.code, reason=str(error))
