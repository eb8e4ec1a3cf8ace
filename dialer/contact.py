"""The contact: one customer number to be called once for one campaign, and the words for its states.

Knows the domain only: no reactor, clock, SQL or socket.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from attrs import Attribute, field, frozen


class CampaignType(StrEnum):
    """Who the answered customer is bridged to."""

    IVR = "IVR"
    AGENT = "AGENT"


class DialingMode(StrEnum):
    """How the campaign manager wants an AGENT campaign paced; carried, not interpreted."""

    PREDICTIVE = "PREDICTIVE"
    PREVIEW = "PREVIEW"
    PROGRESSIVE = "PROGRESSIVE"


class RoutingMode(StrEnum):
    """Whether an AGENT contact names an agent or a queue."""

    AGENT = "AGENT"
    QUEUE = "QUEUE"


class Status(StrEnum):
    """The state of a contact, as stored in `contacts.status`."""

    PENDING = "pending"
    AGENT_PENDING = "agent_pending"
    DIALED = "dialed"
    ENDED = "ended"
    STOPPED = "stopped"
    FAILED = "failed"
    REMOVED = "removed"
    """Never stored: what a purge of its campaign made of a contact that came back."""


ACTIVE = frozenset({Status.AGENT_PENDING, Status.DIALED})
"""The states in which a contact holds a call slot."""


def _aware(_: object, attribute: Attribute[Any], value: datetime | None) -> None:
    if value is not None and value.tzinfo is None:
        raise ValueError(f"{attribute.name} needs a time zone: {value!r}")


@frozen(kw_only=True)
class NewContact:
    """A contact as it was posted: checked, not yet stored.

    Times are aware datetimes. `scheduling_metadata` is the JSON text of an object.
    """

    id: str
    customer_number: str
    campaign_type: CampaignType
    gateway_id: str
    campaign_id: str
    campaign_contact_id: str | None = None
    start_time: datetime | None = field(default=None, validator=_aware)
    end_time: datetime | None = field(default=None, validator=_aware)
    priority: int | None = None
    ivr: str | None = None
    dialing_mode: DialingMode | None = None
    routing_mode: RoutingMode | None = None
    resource_id: str | None = None
    queue_name: str | None = None
    tenant_id: str | None = None
    scheduling_metadata: str | None = None


@frozen(kw_only=True)
class Contact(NewContact):
    """A stored contact.

    `arrival` is its place among all contacts ever received. `taking` counts how often it was taken from the queue: with
    the status it names what a transition starts from.
    `ended_time` is when it became `ended` or `failed`.
    `switch` is the `host:port` of the EFSwitch that `dialed` it. `agent` is the extension that the reply to this
    taking named: empty when it said that there is none, None while there was no reply.
    """

    status: Status = Status.PENDING
    call_result: str | None = None
    received_time: datetime | None = field(default=None, validator=_aware)
    dial_time: datetime | None = field(default=None, validator=_aware)
    ended_time: datetime | None = field(default=None, validator=_aware)
    arrival: int = 0
    taking: int = 0
    owner: str | None = None
    switch: str | None = None
    agent: str | None = None
    bridged: bool = False

    @property
    def is_agent(self) -> bool:
        """Whether an agent must be reserved before the customer is called."""
        return self.campaign_type is CampaignType.AGENT


def about(contact: NewContact) -> dict[str, Any]:
    """The facts that each line of the log about a contact carries. `customer` is not written: it tells what to mask."""
    return {"contact": contact.id, "campaign": contact.campaign_id, "customer": contact.customer_number}


@frozen
class AgentReply:
    """What the VC answered to an agent request. An empty `agent` says that none is available."""

    contact_id: str
    agent: str
    queue: str | None = None
