"""Rows of `contacts` to values and back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any, TypeVar

import attrs
import orjson

from dialer.contact import CampaignType, Contact, DialingMode, NewContact, RoutingMode, Status

_COLUMNS = tuple(field.name for field in attrs.fields(Contact))
_POSTED = tuple(field.name for field in attrs.fields(NewContact))
_Word = TypeVar("_Word", bound=StrEnum)


def _word(kind: type[_Word], text: str | None) -> Any:
    """The enum's member, or the text itself: a table that was taken over may hold words of its own."""
    if text is None:
        return None
    try:
        return kind(text)
    except ValueError:
        return text


def contact_of(row: Mapping[str, Any]) -> Contact:
    """The contact of a row of `contacts`; further columns are ignored."""
    values = {name: row[name] for name in _COLUMNS}
    values["campaign_type"] = _word(CampaignType, values["campaign_type"])
    values["status"] = _word(Status, values["status"])
    values["dialing_mode"] = _word(DialingMode, values["dialing_mode"])
    values["routing_mode"] = _word(RoutingMode, values["routing_mode"])
    return Contact(**values)


def posted_json(contacts: Iterable[NewContact]) -> str:
    """The JSON array that `insert_contacts.sql` and `posted_clashes.sql` read."""
    rows = [{name: getattr(contact, name) for name in _POSTED} for contact in contacts]
    return orjson.dumps(rows).decode()
