"""One call, and the words for what becomes of a contact whose turn it is."""

from __future__ import annotations

import math
from collections.abc import Callable
from enum import Enum

from attrs import define, frozen

from dialer.contact import AgentReply, Contact
from dialer.esl.switch import Switch
from dialer.outcome import Refusal


class Placed(Enum):
    """What became of a contact whose turn it was."""

    SENT = "its command was written to EFSwitch"
    TAKEN_ALREADY = "it was no longer eligible"
    HELD = "it stays in its queue for a while"
    FAILED = "it cannot be called"
    NO_SWITCH = "no EFSwitch could be reached"
    NOT_NOW = "nothing may be taken just now"


class DownPolicy(Enum):
    """What becomes of a contact whose command cannot be sent because EFSwitch is down."""

    FAIL = "fail"
    HOLD = "hold"


@frozen
class CallWriter:
    """Builds the arguments of the originate command for one switch; may raise CannotBeCarried."""

    ivr: Callable[[Contact, Switch], str]
    agent: Callable[[Contact, AgentReply, Switch], str]


@define(eq=False)
class Call:
    """A contact that is `dialed`, as far as this process knows about it. Times are seconds of one clock."""

    contact: Contact
    sent_at: float
    answered: bool = False
    answered_at: float | None = None
    bridged: bool = False
    refused: Refusal | None = None
    """What EFSwitch said when it refused the command; it stands if there never was a channel."""
    foreign_job: str | None = None
    """The id that the switch gave its job, should it not have taken ours."""
    missing_since: float | None = None
    asked_at: float = -math.inf
    """When EFSwitch last told whether it has this call."""
    over: bool = False
    """Its result is on its way into the database: nothing more can happen to it."""

    @property
    def switch(self) -> str | None:
        """The name of the EFSwitch that has it; None in a row taken over from a product that did not say."""
        return self.contact.switch

    @property
    def job_id(self) -> str:
        """Names this taking of the contact in EFSwitch's background jobs, for whoever reads them later."""
        return f"{self.contact.id}.{self.contact.taking}"
