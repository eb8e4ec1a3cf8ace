"""The answer to "why is nothing dialing": reasons in words, and the codes that programs know them by."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum

from attrs import frozen


class Code(StrEnum):
    """A reason, as one word for programs."""

    STARTING = "starting"
    DATABASE_DOWN = "database_down"
    DATABASE_REFUSES = "database_refuses"
    """It can be read, but no contact can be taken, as with a full disk."""
    NO_LEASE = "no_lease"
    EFSWITCH_UNREACHABLE = "efswitch_unreachable"
    EFSWITCH_NOT_READY = "efswitch_not_ready"
    """It is just being connected, or its live calls are being compared with the contacts."""
    EFSWITCH_NOT_USED = "efswitch_not_used"
    """It does not know the originate command."""
    QUEUE_EMPTY = "queue_empty"
    ALL_STOPPED = "all_stopped"
    OUTSIDE_TIMES = "outside_times"
    HELD_BACK = "held_back"
    END_CHAT_UNDER_WAY = "end_chat_under_way"
    EXPIRED = "expired"
    SOME_STOPPED = "some_stopped"
    GATEWAY_DOWN = "gateway_down"
    GATEWAY_INVALID = "gateway_invalid"
    VC_UNREACHABLE = "vc_unreachable"
    VC_REFUSES = "vc_refuses"
    NO_AGENTS = "no_agents"
    NO_AGENT_REPLY = "no_agent_reply"
    NO_FREE_SLOTS = "no_free_slots"
    THROTTLE = "throttle"
    REQUEST_THROTTLE = "request_throttle"
    SWITCH_SLOWED = "switch_slowed"
    DIALING = "dialing"
    """Not a reason against: calls are being placed, or nothing is in the way."""


@frozen
class Reason:
    """Why, in one sentence or two, and since when, where that is known."""

    code: Code
    message: str
    since: datetime | None = None


@frozen
class Explanation:
    """Whether calls are being placed or may be at any moment, and what stops or slows them. `next` is when the first of
    the reasons goes away by itself, if that is known."""

    dialing: bool
    reasons: Sequence[Reason]
    next: datetime | None = None
