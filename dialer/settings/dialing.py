"""The variables that say how fast is dialed, and how long is waited."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel

from dialer.variable import WAIT, Number, Wait, Whole, above_zero, between, one_of, variable


class DialingSettings(BaseModel):
    """Dialing, and what is kept of it."""

    contact_retrieval_delay: Wait = variable(
        "20",
        "longest time between two dial cycles; a freed slot or a new contact may start one sooner",
        WAIT,
        shown="`20` s",
    )
    calls_per_second: Annotated[Number, above_zero(1000)] = variable(
        "10",
        "dialing speed of this process: originates in any sliding second; may be a fraction",
        "a number above 0, at most 1000",
    )
    max_concurrent_calls: Annotated[Whole, between(1, 100_000)] = variable(
        "10", "call slots of this process", "a whole number from 1 to 100000"
    )
    max_call_time: Annotated[Number, above_zero(10_080, unit=60)] = variable(
        "60",
        "how long after dialing a contact is given up when EFSwitch cannot be asked about its call",
        "minutes, above 0, at most 10080",
        shown="`60` min",
    )
    agent_reply_timeout: Wait = variable(
        "600",
        "how long an agent request may stay without a reply; must exceed the Agent TTL of the contact centre",
        WAIT,
        shown="`600` s",
    )
    reconcile_interval: Wait = variable(
        "30", "how often the active contacts are compared with EFSwitch's live calls", WAIT, shown="`30` s"
    )
    lease_time: Wait = variable(
        "30",
        "how long after its last sign of life a dialer's contacts may be taken over by another",
        WAIT,
        shown="`30` s",
    )
    retention_days: Annotated[Number, between(0, 36_500)] = variable(
        "90",
        "how long ended and failed contacts, delivered messages and histories are kept; may be a fraction; 0: for ever",
        "days, 0 or more, at most 36500",
        shown="`90` days",
    )
    efswitch_down_policy: Annotated[Literal["fail", "hold"], one_of("fail", "hold")] = variable(
        "fail",
        "while no EFSwitch is reachable: `fail` the contacts that are taken, or `hold`: nothing is taken",
        "fail or hold",
    )
