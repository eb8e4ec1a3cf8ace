"""The columns of a list, found by what its header calls them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from attrs import fields_dict, frozen
from pydantic.alias_generators import to_camel

from dialer.contact import NewContact
from dialer.errors import DialerError
from dialer.lists.spreadsheet import restored

FIELDS: Sequence[str] = tuple(to_camel(name) for name in fields_dict(NewContact))
"""What a contact may be posted with, by its public names."""

REQUIRED: Sequence[str] = ("id", "customerNumber", "campaignType", "gatewayId", "campaignId")
"""What every contact needs."""

_PRIORITY = re.compile(r"[0-9]{1,4}")
_SNAKE = {to_camel(name): name for name in fields_dict(NewContact)}


class ListError(DialerError):
    """The list as a whole cannot be read; `field` is the public name of what is wrong, if that is one column."""

    def __init__(self, message: str, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


def plain(name: str) -> str:
    """A column's name without what does not matter: case, spaces, `_` and `-`."""
    return re.sub(r"[\s_-]+", "", name).casefold()


_BY_NAME = {plain(name): name for name in FIELDS}


def field_named(name: str) -> str | None:
    """The field of a contact that a column of this name holds; None: a column that nobody needs."""
    return _BY_NAME.get(plain(name))


@frozen
class Columns:
    """Which field each column holds, None for one that is ignored, and what a row that lacks a field is given."""

    names: Sequence[str]
    """As the header has them."""

    fields: Sequence[str | None]
    defaults: Mapping[str, Any]

    @classmethod
    def of(cls, header: Sequence[str], defaults: Mapping[str, Any], mapping: Mapping[str, str]) -> Columns:
        """Read a header. `mapping` says of a column, by its name, which field it holds. Raises ListError."""
        mapped = {plain(column): field for column, field in mapping.items()}
        unknown = set(mapped) - {plain(name) for name in header}
        for column in mapping:
            if plain(column) in unknown:
                raise ListError(f"there is no column {column!r}")
        taken = set(mapped.values())
        fields: list[str | None] = []
        for name in header:
            found = field_named(name)
            fields.append(mapped.get(plain(name)) or (None if found in taken else found))
        for field in FIELDS:
            if fields.count(field) > 1:
                both = " and ".join(repr(name) for name, its in zip(header, fields, strict=True) if its == field)
                raise ListError(f"two columns hold {field}: {both}", field)
        if not any(fields):
            raise ListError("the first line must name the columns; none of them is a field of a contact")
        return cls(header, fields, defaults)

    def missing(self, required: Sequence[str]) -> str | None:
        """A field of those that no row can have."""
        return next((name for name in required if name not in self.fields and name not in self.defaults), None)

    def values(self, cells: Sequence[str]) -> dict[str, Any]:
        """A row as a contact is posted: empty cells are absent, and spaces around a cell are not part of it."""
        found: dict[str, Any] = dict(self.defaults)
        for field, cell in zip(self.fields, cells, strict=False):
            if field is not None and (text := restored(cell.strip())):
                found[field] = value_of(field, text)
        return found


def value_of(field: str, text: str) -> Any:
    """What a text stands for in a field: text, but for a priority, and for metadata, which is written as JSON.

    What is neither stays text, which the rules refuse by name.
    """
    if field == "priority" and _PRIORITY.fullmatch(text):
        return int(text)
    if field == "schedulingMetadata":
        try:
            return orjson.loads(text)
        except orjson.JSONDecodeError:
            return text
    return text


def with_defaults(values: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """An object as it was posted, with what it lacks; null is lacking, whichever of its names a field has."""
    lacking = {
        name: value for name, value in defaults.items() if values.get(name) is None and values.get(_SNAKE[name]) is None
    }
    return {**values, **lacking}
