"""What the voice connector, or the receiver of a webhook, must be told about a contact, sooner or later: one row of the
outbox.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum

from attrs import frozen

END_CHAT_LIFETIME = 60.0
"""Seconds in which an END_CHAT may be sent: it names only the customer, so a late one would close their next chat."""


class MessageKind(StrEnum):
    """Which of the voice connector's paths a message goes to, or that it is a webhook, as stored in `outbox.kind`."""

    NOTIFICATION = "notification"
    END_CHAT = "end_chat"
    WEBHOOK = "webhook"


VC_KINDS = (MessageKind.NOTIFICATION, MessageKind.END_CHAT)
"""The kinds that the voice connector gets."""


class MessageState(StrEnum):
    """How far a message is, as stored in `outbox.state`."""

    WAITING = "waiting"
    PARKED = "parked"
    DELIVERED = "delivered"


UNDELIVERED = (MessageState.WAITING, MessageState.PARKED)
"""The states of a message that nobody has yet."""


@frozen(kw_only=True)
class OutboxMessage:
    """One message as it was claimed for delivery.

    `attempts` counts the claims, this one included: it tells this claim from a later one. `idempotency_key` is the
    same for all tries. `call_result` belongs to notifications; `event`, `payload` (JSON text: the contact as it was
    then) and `url` (None: the operator's) to webhooks. `lifetime` is how many seconds were left at the claim in which
    it may be sent; None: it never gets too old. `campaign_id` is None when the contact is no longer there.
    """

    id: int
    contact_id: str
    kind: MessageKind
    customer_number: str
    idempotency_key: str
    created_time: datetime
    campaign_id: str | None = None
    tenant_id: str | None = None
    call_result: str | None = None
    attempts: int = 0
    lifetime: float | None = None
    last_error: str | None = None
    event: str | None = None
    url: str | None = None
    payload: str | None = None


@frozen(kw_only=True)
class StoredMessage:
    """One message as it stands in the outbox, for somebody who looks at it.

    `campaign_id` is None when the contact is no longer there. `next_time` is when a waiting one may be tried again:
    while it is under way, when its claim runs out. `last_error` is why it was not delivered so far. `event` and
    `destination` are what a webhook tells, and whom: RESULT_WEBHOOK_URL, or the `host:port` that a contact names.
    """

    id: int
    contact_id: str
    campaign_id: str | None
    kind: MessageKind
    customer_number: str
    call_result: str | None
    state: MessageState
    attempts: int
    created_time: datetime
    next_time: datetime
    last_error: str | None
    event: str | None
    destination: str | None


@frozen
class WebhookTargets:
    """Who is told of what becomes of contacts by webhooks: whether the operator's receiver is, and the hosts
    (`host:port`, in lower case) that a contact may name.
    """

    result: bool
    hosts: Sequence[str] = ()
