"""What really happened, for whoever checks a dialer from outside."""

from __future__ import annotations

from collections import deque
from typing import Any

from attrs import asdict, define


@define(kw_only=True)
class Attempt:
    """One `originate`. Times are Unix seconds.

    `refused` is the cause when there was no channel, None when there was one. `cause` is the hangup cause of the
    customer's leg once it is decided, `ended_at` when the leg ended; `vanished` tells that the switch lost the call
    without its last event. `agent_uuid` is the second leg of an agent's call.
    """

    serial: int
    at: float
    command: str
    connection: int
    uuid: str
    number: str
    gateway: str
    extension: str
    variables: dict[str, str]
    refused: str | None = None
    rang_at: float | None = None
    answered_at: float | None = None
    bridged_at: float | None = None
    ended_at: float | None = None
    cause: str | None = None
    agent_uuid: str | None = None
    vanished: bool = False

    def to_json(self) -> dict[str, Any]:
        """The record as a JSON object with this class's attribute names."""
        return asdict(self)


class Records:
    """The last `limit` attempts, oldest first."""

    def __init__(self, limit: int) -> None:
        self._attempts: deque[Attempt] = deque(maxlen=limit)
        self.count = 0

    def add(self, attempt: Attempt) -> None:
        """Remember an attempt; the oldest is forgotten when there are too many."""
        self._attempts.append(attempt)
        self.count += 1

    def since(self, serial: int = 0, limit: int | None = None) -> list[Attempt]:
        """The attempts numbered `serial` and above, at most `limit`."""
        found = [attempt for attempt in self._attempts if attempt.serial >= serial]
        return found if limit is None else found[:limit]

    def clear(self) -> None:
        """Forget all; numbering goes on."""
        self._attempts.clear()
