"""One receiver of webhooks: what it gets, signed as Standard Webhooks describes, and what became of each try."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import orjson
from standardwebhooks import Webhook
from twisted.web.client import HTTPConnectionPool

from dialer.checked import Forbidden
from dialer.connector import ANSWER_TIMEOUT, CONNECT_TIMEOUT, Delivery, DeliveryKind, close_idle, fate_of
from dialer.contact_event import contact_event
from dialer.message import OutboxMessage
from dialer.posting import Address, Poster

WEBHOOK_ID = "webhook-id"
"""The header that is the same for all tries to deliver one webhook."""

WEBHOOK_TIMESTAMP = "webhook-timestamp"
"""The header with the seconds since 1970 at this try; part of what is signed, so that an old one cannot be replayed."""

WEBHOOK_SIGNATURE = "webhook-signature"
"""The header with `v1,` and the HMAC-SHA256 of id, timestamp and body in base64, once for each secret."""


class Signer:
    """Signs with each of `secrets` (`whsec_` and base64): while they are changed, a receiver knows either."""

    def __init__(self, secrets: Sequence[str]) -> None:
        self._signers = [Webhook(secret) for secret in secrets]

    def headers(self, message_id: str, body: bytes, now: datetime) -> dict[str, str]:
        """The three headers of a body in UTF-8."""
        text = body.decode()
        return {
            WEBHOOK_ID: message_id,
            WEBHOOK_TIMESTAMP: str(int(now.timestamp())),
            WEBHOOK_SIGNATURE: " ".join(signer.sign(message_id, now, text) for signer in self._signers),
        }


class WebhookSender:
    """Posts webhooks to `url`, or without one each to its own.

    `client` is a treq `HTTPClient` that connects nowhere it must not, `pool` the pool under it; `now` tells the time of
    day.
    """

    def __init__(
        self,
        reactor: Any,
        client: Any,
        pool: HTTPConnectionPool,
        signer: Signer,
        *,
        url: str | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._reactor = reactor
        self._poster = Poster(reactor, client)
        self._pool = pool
        self._signer = signer
        self._address = None if url is None else Address.of(url)
        self._now = now

    async def deliver(self, message: OutboxMessage, *, send_within: float = CONNECT_TIMEOUT) -> Delivery:
        """Try once to deliver this webhook; never fails, and answers within CONNECT_TIMEOUT + ANSWER_TIMEOUT.

        One that cannot be sent as it is, or must not go where it is to go, counts as rejected.
        """
        try:
            address = self._address or Address.of(message.url or "")
            body = orjson.dumps(contact_event(message).wire())
        except ValueError as error:
            return Delivery(DeliveryKind.REJECTED, f"{type(error).__name__}: {error}"[:200])
        headers = self._signer.headers(message.idempotency_key, body, self._now())
        exchange = await self._poster.post(
            address,
            body,
            {"Content-Type": "application/json", **headers},
            send_within=min(send_within, CONNECT_TIMEOUT),
            answer_within=ANSWER_TIMEOUT,
        )
        if isinstance(exchange.error, Forbidden):
            return Delivery(DeliveryKind.REJECTED, f"not sent: {exchange.error}"[:200])
        return Delivery(fate_of(exchange), exchange.reason)

    async def close(self) -> None:
        """End what is under way, and close the connections."""
        self._poster.give_up()
        await close_idle(self._reactor, self._pool)
