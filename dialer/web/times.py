"""Times as they are posted."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated

from pydantic import BeforeValidator, WithJsonSchema

ALLOWED = "a date and time in ISO 8601 with zone, such as 2026-11-23T08:00:00Z, of the years 1 to 9999"
"""What `Time` accepts, in words."""

_ISO_8601 = re.compile(
    r"(?:[0-9]{4}-[0-9]{2}-[0-9]{2}|[0-9]{8}|[0-9]{4}-W[0-9]{2}-[1-7]|[0-9]{4}W[0-9]{2}[1-7])"
    r"T[0-9]{2}(?::[0-9]{2}(?::[0-9]{2}(?:[.,][0-9]{1,9})?)?|[0-9]{2}(?:[0-9]{2}(?:[.,][0-9]{1,9})?)?)"
    r"(?:Z|[+-][0-9]{2}(?::?[0-9]{2})?)"
)


def _time(value: object) -> datetime:
    """Read ISO 8601 with date, time and zone into UTC, to the microsecond. pydantic itself would take numbers too."""
    if not isinstance(value, str) or not _ISO_8601.fullmatch(value):
        raise ValueError
    try:
        return datetime.fromisoformat(value).astimezone(UTC)
    except OverflowError:  # the year 0 or 10000 in UTC
        raise ValueError from None


Time = Annotated[
    datetime, BeforeValidator(_time), WithJsonSchema({"type": "string", "pattern": f"^{_ISO_8601.pattern}$"})
]
