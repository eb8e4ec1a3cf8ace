"""Since when something does not work, and how it last failed: what an operator asks first."""

from __future__ import annotations

from attrs import frozen
from twisted.internet.interfaces import IReactorTime


@frozen
class Trouble:
    """Something that does not work: for how many seconds, and the last error in words."""

    seconds: float
    reason: str


class TroubleWatch:
    """Told of each success and failure of one thing; keeps no more than when the failures began and what the last
    one was."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._since: float | None = None
        self._reason = ""

    def failed(self, reason: str) -> None:
        """It does not work, for this reason; since now, unless it did not work before."""
        if self._since is None:
            self._since = self._clock.seconds()
        self._reason = reason

    def works(self) -> None:
        """It works."""
        self._since = None

    @property
    def trouble(self) -> Trouble | None:
        """What is wrong; None while it works."""
        return None if self._since is None else Trouble(self._clock.seconds() - self._since, self._reason)
