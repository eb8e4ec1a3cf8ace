"""The messages for the VC as the HTTP interface shows them: which page is asked for, and what is on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from attrs import fields_dict, frozen
from pydantic.alias_generators import to_camel

from dialer.message import UNDELIVERED, MessageState, StoredMessage
from dialer.web.answers import shown
from dialer.web.schema import Invalid

PAGE = 100
"""Messages on a page that does not say how many it wants."""

LARGEST_PAGE = 1000
"""Messages on a page at most: some 300 kB of JSON, and 15 ms in which nothing else is served."""

LARGEST_ID = 2**63 - 1
"""As far as PostgreSQL counts."""

_NAMES = {name: to_camel(name) for name in fields_dict(StoredMessage)}


@frozen
class PageAsked:
    """A page of messages in these states whose id is above `after`, `limit` at most."""

    states: Sequence[MessageState] = UNDELIVERED
    limit: int = PAGE
    after: int = 0


def parse_page(query: Mapping[bytes, Sequence[bytes]]) -> PageAsked:
    """The page that a query asks for. Raises Invalid, naming the parameter; those of other names are ignored."""
    asked = {name: _one(query, name) for name in ("state", "limit", "after") if name.encode() in query}
    states: Sequence[MessageState] = UNDELIVERED
    if "state" in asked:
        states = tuple(state for state in UNDELIVERED if state.encode() == asked["state"])
        if not states:
            raise Invalid(f"state must be {' or '.join(UNDELIVERED)}", "state")
    return PageAsked(
        states,
        _number(asked.get("limit"), "limit", PAGE, least=1, most=LARGEST_PAGE),
        _number(asked.get("after"), "after", 0, least=0, most=LARGEST_ID),
    )


def parse_id(text: str) -> int | None:
    """The id in a path; None when no message can have it."""
    return _read(text, 0, LARGEST_ID) if text.isascii() else None


def render_page(messages: Sequence[StoredMessage], asked: PageAsked) -> dict[str, object]:
    """A page of the messages found, which are one more than it holds when there is another after it."""
    page = messages[: asked.limit]
    return {
        "notifications": [render_message(message) for message in page],
        "next": page[-1].id if len(messages) > asked.limit else None,
    }


def render_message(message: StoredMessage) -> dict[str, Any]:
    """A message as it is shown, times in UTC; `nextTime` is null for one that is not tried again by itself."""
    body: dict[str, Any] = {public: shown(getattr(message, name)) for name, public in _NAMES.items()}
    if message.state is not MessageState.WAITING:
        body["nextTime"] = None
    return body


def _one(query: Mapping[bytes, Sequence[bytes]], name: str) -> bytes:
    given = query[name.encode()]
    if len(given) > 1:
        raise Invalid(f"{name} must be given once", name)
    return given[0]


def _number(text: bytes | None, name: str, default: int, *, least: int, most: int) -> int:
    if text is None:
        return default
    number = _read(text, least, most)
    if number is None:
        raise Invalid(f"{name} must be a whole number from {least} to {most}", name)
    return number


def _read(text: str | bytes, least: int, most: int) -> int | None:
    """The whole number that this text is; None when it is none, or out of bounds."""
    if not text.isdigit() or len(text) > len(str(most)):
        return None
    number = int(text)
    return number if least <= number <= most else None
