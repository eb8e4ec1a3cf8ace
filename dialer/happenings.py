"""What happens to a contact, for whoever wants to know afterwards: the lines of its history."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from attrs import frozen


class Seen(StrEnum):
    """What happens to a contact without a change of its state, as stored in `contact_events.event`.

    Changes of state write theirs in their own transaction: taken, agent_reserved, returned, stopped, removed, ended,
    failed, taken_over, agent_released.
    """

    AGENT_REQUESTED = "agent_requested"
    SENT = "sent"
    REPLY_LOST = "reply_lost"
    REFUSED = "refused"
    ANSWERED = "answered"
    BRIDGED = "bridged"


@frozen
class Note:
    """One thing that was seen of a contact, `ago` seconds before it is written."""

    contact_id: str
    taking: int
    event: Seen
    ago: float
    detail: str | None = None


@frozen
class Happening:
    """One line of a history. `dialer` did it or saw it; `taking` is the taking that it belongs to."""

    at: datetime
    event: str
    taking: int | None
    dialer: str | None
    detail: str | None
