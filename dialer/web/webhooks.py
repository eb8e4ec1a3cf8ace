"""What the dialer asks of the voice connector (VC), and tells the receivers of webhooks, for the OpenAPI document."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from attrs import frozen

from dialer.bodies import AgentRequestBody, Body, EndChatBody, NotificationBody
from dialer.connector import (
    ANSWER_TIMEOUT,
    END_CHAT,
    IDEMPOTENCY_KEY,
    NOTIFICATION,
    REQUEST_AGENT,
    RETRIED_STATUSES,
    TENANT,
)
from dialer.contact_event import ContactEvent
from dialer.message import END_CHAT_LIFETIME
from dialer.rules import NAME
from dialer.webhook import WEBHOOK_ID, WEBHOOK_SIGNATURE, WEBHOOK_TIMESTAMP


@frozen
class Webhook:
    """One request to the VC, a POST below its base URL, or to `where`. `responses` has the meaning of a status by its
    OpenAPI key.
    """

    path: str
    body: type[Body]
    summary: str
    headers: Mapping[str, Mapping[str, Any]]
    responses: Mapping[str, str]
    where: str | None = None

    @property
    def name(self) -> str:
        """The path without its slash."""
        return self.path.removeprefix("/")

    @property
    def description(self) -> str:
        """Where it goes."""
        return self.where or f"`POST {self.path}` under `VOICE_CONNECTOR`."


_TENANT = {
    TENANT: {
        "description": "the contact's `tenantId`, when it has one",
        "required": False,
        "schema": {"type": "string", "pattern": NAME.pattern, "maxLength": NAME.max_length},
    }
}
_KEYED = _TENANT | {
    IDEMPOTENCY_KEY: {
        "description": "the same for all tries to deliver one message: what has come once need not be done again",
        "required": True,
        "schema": {"type": "string", "minLength": 1},
    }
}
_SIGNED = {
    WEBHOOK_ID: {
        "description": "the same for all tries to deliver one webhook: what has come once need not be done again",
        "required": True,
        "schema": {"type": "string", "minLength": 1},
    },
    WEBHOOK_TIMESTAMP: {
        "description": "when this try was made, in seconds since 1970",
        "required": True,
        "schema": {"type": "string", "pattern": "^[0-9]+$"},
    },
    WEBHOOK_SIGNATURE: {
        "description": "`v1,` and the HMAC-SHA256 of id, timestamp and body, with dots between, in base64; one for "
        "each secret, with spaces between (standardwebhooks.com)",
        "required": True,
        "schema": {"type": "string", "pattern": "^v1,[A-Za-z0-9+/]+=*( v1,[A-Za-z0-9+/]+=*)*$"},
    },
}
_LATER = ", ".join(map(str, sorted(RETRIED_STATUSES)))
_REPEATED = f"Tried again, after waits that grow; so is what was answered {_LATER}, or not within {ANSWER_TIMEOUT:g} s."

WEBHOOKS: Sequence[Webhook] = [
    Webhook(
        REQUEST_AGENT,
        AgentRequestBody,
        "An AGENT contact was taken: reserve an agent for it, and reply by `POST /agent`.",
        _TENANT,
        {
            "2XX": f"Accepted: a reply will come. No answer within {ANSWER_TIMEOUT:g} s counts as this.",
            "default": "Refused: the contact goes back to its queue, and is asked for again later.",
        },
    ),
    Webhook(
        NOTIFICATION,
        NotificationBody,
        "A contact became `ended` or `failed`. For each contact what is sent is sent in order.",
        _KEYED,
        {
            "2XX": "Accepted: not sent again.",
            "4XX": "Refused: parked, and not sent again by itself. `GET /notifications` shows it.",
            "default": _REPEATED,
        },
    ),
    Webhook(
        END_CHAT,
        EndChatBody,
        "An agent was reserved for this customer but will not talk: release it.",
        _KEYED,
        {
            "2XX": "Accepted: not sent again.",
            "4XX": "Refused: parked, and not sent again.",
            "default": f"{_REPEATED} What was not accepted within {END_CHAT_LIFETIME:g} s is parked.",
        },
    ),
    Webhook(
        "/contact-event",
        ContactEvent,
        "Something became of a contact. For each contact and receiver what is sent is sent in order.",
        _SIGNED,
        {
            "2XX": "Accepted: not sent again.",
            "4XX": "Refused: parked, and not sent again by itself. `GET /notifications` shows it.",
            "default": f"{_REPEATED} No redirect is followed.",
        },
        where="`POST` to `RESULT_WEBHOOK_URL`, and to the contact's `schedulingMetadata.callEventsWebhookUrl` when its "
        "host is one of `WEBHOOK_ALLOWED_HOSTS`.",
    ),
]
