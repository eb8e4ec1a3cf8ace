"""Rows of `contacts` to values and back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from operator import itemgetter
from typing import Any

import attrs
import orjson

from dialer.contact import CampaignType, Contact, DialingMode, NewContact, RoutingMode, Status

_COLUMNS = tuple(field.name for field in attrs.fields(Contact))
_columns_of = itemgetter(*_COLUMNS)
_POSTED = tuple(field.name for field in attrs.fields(NewContact))
_KINDS: Mapping[str, type[StrEnum]] = {
    "campaign_type": CampaignType,
    "status": Status,
    "dialing_mode": DialingMode,
    "routing_mode": RoutingMode,
}
_WORDS = {column: {str(word): word for word in kind} for column, kind in _KINDS.items()}


def contact_of(row: Mapping[str, Any]) -> Contact:
    """The contact of a row of `contacts`; further columns are ignored."""
    values = dict(zip(_COLUMNS, _columns_of(row), strict=True))
    for column, words in _WORDS.items():
        # The text itself if it is none of them: a table that was taken over may hold words of its own.
        word = values[column]
        values[column] = words.get(word, word)
    return Contact(**values)


def posted_json(contacts: Iterable[NewContact]) -> str:
    """The JSON array that `insert_contacts.sql` and `posted_clashes.sql` read."""
    rows = [{name: getattr(contact, name) for name in _POSTED} for contact in contacts]
    return orjson.dumps(rows).decode()
