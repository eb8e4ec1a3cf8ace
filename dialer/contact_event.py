"""What a webhook tells: the events of a contact, each with all that is known of the contact then."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any

import orjson
from pydantic import AfterValidator, BeforeValidator, Field

from dialer.bodies import Body
from dialer.message import OutboxMessage


class EventType(StrEnum):
    """What became of a contact."""

    TAKEN = "contact.taken"
    ANSWERED = "contact.answered"
    ENDED = "contact.ended"
    FAILED = "contact.failed"
    EXPIRED = "contact.expired"


def _parsed(text: object) -> object:
    """Metadata is stored as JSON text; rows that were taken over may hold anything, which is told as it is."""
    try:
        return orjson.loads(text) if isinstance(text, str) else text
    except orjson.JSONDecodeError:
        return text


Time = Annotated[datetime, AfterValidator(lambda time: time.astimezone(UTC))]


class ContactThen(Body):
    """A contact as it was when it happened. What is not known, or not yet, is null."""

    id: Annotated[str, Field(description="the contact's `id`")]
    customer_number: str
    campaign_type: Annotated[str, Field(description="`IVR` or `AGENT`")]
    campaign_id: str
    campaign_contact_id: str | None
    gateway_id: str
    tenant_id: str | None
    start_time: Time | None
    end_time: Time | None
    priority: int | None
    ivr: str | None
    dialing_mode: str | None
    routing_mode: str | None
    resource_id: str | None
    queue_name: str | None
    scheduling_metadata: Annotated[Any, BeforeValidator(_parsed), Field(description="the object that was posted")]
    status: Annotated[str, Field(description="`agent_pending`, `dialed`, `ended` or `failed`")]
    call_result: Annotated[str | None, Field(description="how it ended, such as `NORMAL_CLEARING`")]
    taking: Annotated[
        int,
        Field(description="how often it was taken from its queue: what went back there is taken again"),
    ]
    dialer: Annotated[str, Field(description="`DIALER_ID` of the dialer that did or saw it")]
    switch: Annotated[str | None, Field(description="`host:port` of the EFSwitch that dials it")]
    agent: Annotated[str | None, Field(description="extension of the agent who was reserved for it")]
    bridged: Annotated[bool, Field(description="the customer is known to have reached the agent")]
    received_time: Time
    dial_time: Annotated[Time | None, Field(description="when it was taken to be called")]
    answered_time: Annotated[Time | None, Field(description="when the customer answered")]
    ended_time: Annotated[Time | None, Field(description="when it became `ended` or `failed`")]


class ContactEvent(Body):
    """Something became of a contact."""

    type: EventType
    timestamp: Annotated[Time, Field(description="when it happened; a webhook may come much later")]
    data: ContactThen


def contact_event(message: OutboxMessage) -> ContactEvent:
    """What this webhook tells; fails with ValueError when it holds no such thing."""
    if message.payload is None:
        raise ValueError(f"message {message.id} is no webhook")
    stored = orjson.loads(message.payload)
    at = stored.pop("at")
    return ContactEvent(type=EventType(f"contact.{message.event}"), timestamp=at, data=ContactThen(**stored))
