"""The messages for the VC over HTTP: those that it does not have, in pages, and sent again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal, cast

from attrs import fields_dict
from pydantic import Field
from pydantic.alias_generators import to_camel
from twisted.web.iweb import IRequest

from dialer.message import UNDELIVERED, MessageState, StoredMessage
from dialer.store.outbox import OutboxStore
from dialer.web.answers import HttpError, shown
from dialer.web.endpoint import Scope, endpoint
from dialer.web.query import LARGEST_ID, Query, parse_query, read_whole, whole
from dialer.web.shown import Message, MessagePage

PAGE = 100
"""Messages on a page that does not say how many it wants."""

LARGEST_PAGE = 1000
"""Messages on a page at most: some 300 kB of JSON, and 15 ms in which nothing else is served."""

_NAMES = {name: to_camel(name) for name in fields_dict(StoredMessage)}


class NotificationsQuery(Query):
    """A page of the messages in this state, or in both, whose id is above `after`."""

    state: Annotated[
        Literal[MessageState.WAITING, MessageState.PARKED] | None, Field(description=" or ".join(UNDELIVERED))
    ] = None
    limit: whole(1, LARGEST_PAGE) = PAGE  # type: ignore[valid-type]
    after: whole(0, LARGEST_ID) = 0  # type: ignore[valid-type]

    @property
    def states(self) -> Sequence[MessageState]:
        """The states that are asked for."""
        return UNDELIVERED if self.state is None else (self.state,)


class Notifications:
    """`on_resend` is called after a message for the VC was made to wait again."""

    def __init__(self, outbox: OutboxStore, *, on_resend: Callable[[], None]) -> None:
        self._outbox = outbox
        self._on_resend = on_resend

    @endpoint(
        "GET", "/notifications", scope=Scope.READ, query=NotificationsQuery, answers=MessagePage, errors=[400, 503]
    )
    async def get_notifications(self, request: IRequest) -> object:
        """A page of the messages that the VC, or the receivers of webhooks, do not have."""
        asked = parse_query(NotificationsQuery, cast(Any, request).args)
        found = await self._outbox.undelivered(asked.states, limit=asked.limit + 1, after=asked.after)
        page = found[: asked.limit]
        return {
            "notifications": [_rendered(message) for message in page],
            "next": page[-1].id if len(found) > asked.limit else None,
        }

    @endpoint("POST", "/notifications/<message_id>/retry", scope=Scope.CONTROL, answers=Message, errors=[404, 409, 503])
    async def retry_notification(self, request: IRequest, message_id: str) -> object:  # noqa: ARG002  as every handler
        """Send a parked message again, at once."""
        number = read_whole(message_id, 0, LARGEST_ID)
        message = None if number is None else await self._outbox.resend(number)
        if message is None:
            raise HttpError(404, "not_found", f"there is no notification {message_id!r}", field="id")
        self._on_resend()
        return _rendered(message)


def _rendered(message: StoredMessage) -> dict[str, Any]:
    """A message as it is shown, times in UTC; `nextTime` is null for one that is not tried again by itself."""
    body: dict[str, Any] = {public: shown(getattr(message, name)) for name, public in _NAMES.items()}
    if message.state is not MessageState.WAITING:
        body["nextTime"] = None
    return body
