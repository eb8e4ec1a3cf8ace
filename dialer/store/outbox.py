"""The outbox in PostgreSQL: claiming messages for delivery and writing what became of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import attrs
from attrs import frozen

from dialer.errors import DialerError
from dialer.message import (
    END_CHAT_LIFETIME,
    UNDELIVERED,
    VC_KINDS,
    MessageKind,
    MessageState,
    OutboxMessage,
    StoredMessage,
)
from dialer.store.database import Run
from dialer.store.queries import sql
from dialer.store.share import Asked

CLAIM_TIME = 30.0
"""Seconds until a claimed message may be claimed again: twice what a try may last, so that none is under way twice."""

STALE_AT_ONCE = 500
"""END_CHATs that one claim parks at most: bounds its locks."""

_COLUMNS = tuple(field.name for field in attrs.fields(OutboxMessage))
"""Those of webhooks are read where they are wanted alone."""

_STORED = tuple(field.name for field in attrs.fields(StoredMessage))


@frozen
class Claim:
    """What one claim brought: messages to be sent now, and END_CHATs that it parked, both oldest first."""

    messages: Sequence[OutboxMessage] = ()
    expired: Sequence[OutboxMessage] = ()


@frozen
class Retry:
    """A claimed message that is to be tried again after `wait` seconds, and why."""

    message: OutboxMessage
    wait: float
    error: str


@frozen
class Park:
    """A claimed message that no further try can deliver, and why."""

    message: OutboxMessage
    error: str


@frozen
class Backlog:
    """How many messages wait, since when (None: none does), and how many are parked."""

    waiting: int = 0
    since: datetime | None = None
    parked: int = 0

    @classmethod
    def of(cls, parts: Iterable[Backlog]) -> Backlog:
        """All of these together."""
        parts = list(parts)
        return cls(
            waiting=sum(part.waiting for part in parts),
            since=min((part.since for part in parts if part.since is not None), default=None),
            parked=sum(part.parked for part in parts),
        )


class NotResendable(DialerError):
    """The message is not one that may be sent again."""

    def __init__(self, message: StoredMessage) -> None:
        if message.kind is MessageKind.END_CHAT:
            reason = "an END_CHAT is never sent again: it would close the customer's next chat"
        else:
            reason = f"message {message.id} is not parked: it is {message.state}"
        super().__init__(reason)


class OutboxStore:
    """Typed access to `outbox`, shared by any number of dialers.

    `claim` is for the VC's messages or, with a `destination`, for the webhooks that go there.

    All methods fail with DatabaseDown when nothing reached the server and with CommitUnknown when a change may or may
    not have been made. `delivered`, `retry` and `park` may be repeated: the second time changes nothing that counts.
    """

    def __init__(self, database: Asked, destination: str | None = None) -> None:
        self._database = database
        self._destination = destination

    async def claim(self, limit: int) -> Claim:
        """Claim up to `limit` messages that are due, at most one of each contact, those due longest first."""
        asked: dict[str, Any] = {
            "limit": limit,
            "claim_time": CLAIM_TIME,
            "end_chat_lifetime": END_CHAT_LIFETIME,
            "stale_limit": STALE_AT_ONCE,
        }
        statement = "outbox_claim"
        if self._destination is not None:
            statement, asked = "webhook_claim", asked | {"destination": self._destination}
        rows = await self._database.run(sql(statement), asked)
        return Claim(
            messages=[_message(row) for row in rows if row["state"] == "waiting"],
            expired=[_message(row) for row in rows if row["state"] == "parked"],
        )

    async def delivered(self, ids: Sequence[int]) -> None:
        """The receiver has accepted these; the next message of each of their contacts may be claimed."""
        await self._database.run(sql("outbox_delivered"), {"ids": list(ids)})

    async def retry(self, retries: Sequence[Retry]) -> None:
        """Free these claims after their waits. A message that was claimed again meanwhile is left alone."""
        asked = _tried(retries) | {
            "waits": [retry.wait for retry in retries],
            "end_chat_lifetime": END_CHAT_LIFETIME,
        }
        await self._database.run(sql("outbox_retry"), asked)

    async def park(self, parks: Sequence[Park]) -> None:
        """Set these aside. A message that was claimed again meanwhile is left alone."""
        await self._database.run(sql("outbox_park"), _tried(parks))

    async def backlog(self) -> dict[MessageKind, Backlog]:
        """What the VC does not have yet, of each of its kinds."""
        rows = await self._database.run(sql("outbox_backlog"), {})
        found = {MessageKind(row.pop("kind")): Backlog(**row) for row in rows}
        return {kind: found.get(kind, Backlog()) for kind in VC_KINDS}

    async def webhooks_backlog(self, destinations: Sequence[str]) -> dict[str, Backlog]:
        """What these receivers of webhooks do not have yet, by receiver. Nothing is asked when there are none."""
        if not destinations:
            return {}
        rows = await self._database.run(sql("webhooks_backlog"), {"destinations": list(destinations)})
        found = {row.pop("destination"): Backlog(**row) for row in rows}
        return {destination: found.get(destination, Backlog()) for destination in destinations}

    async def undelivered(
        self, states: Sequence[MessageState] = UNDELIVERED, *, limit: int, after: int = 0
    ) -> list[StoredMessage]:
        """Up to `limit` messages in these of the states UNDELIVERED, with an id above `after`, by id."""
        asked = {"states": list(states), "limit": limit, "after": after}
        return [_stored(row) for row in await self._database.run(sql("outbox_undelivered"), asked)]

    async def resend(self, message_id: int) -> StoredMessage | None:
        """Let a parked notification or webhook be tried again at once, as it is then; None when no message has this id.

        Fails with NotResendable for a message that is not parked, and for any END_CHAT.
        """

        async def resend(run: Run) -> tuple[bool, StoredMessage | None]:
            resent = await run(sql("outbox_resend"), {"id": message_id})
            rows = await run(sql("outbox_message"), {"id": message_id})
            return bool(resent), _stored(rows[0]) if rows else None

        resent, message = await self._database.transaction(resend)
        if message is not None and not resent:
            raise NotResendable(message)
        return message


def _message(row: Mapping[str, Any]) -> OutboxMessage:
    return OutboxMessage(**{name: row[name] for name in _COLUMNS if name in row} | {"kind": MessageKind(row["kind"])})


def _stored(row: Mapping[str, Any]) -> StoredMessage:
    values = {name: row[name] for name in _STORED}
    return StoredMessage(**values | {"kind": MessageKind(row["kind"]), "state": MessageState(row["state"])})


def _tried(results: Sequence[Retry] | Sequence[Park]) -> dict[str, Any]:
    return {
        "ids": [result.message.id for result in results],
        "attempts": [result.message.attempts for result in results],
        "errors": [result.error for result in results],
    }
