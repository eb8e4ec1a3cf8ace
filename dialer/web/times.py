"""Times as they are posted."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated

from pydantic import BeforeValidator, WithJsonSchema

ALLOWED = "a date and time in ISO 8601 with zone, such as 2026-11-23T08:00:00Z, of the years 1 to 9999"
"""What `Time` accepts, in words."""

_YEAR = "(?:[0-9]{3}[1-9]|[0-9]{2}[1-9]0|[0-9][1-9]00|[1-9]000)"
_MONTH, _DAY, _WEEK = "(?:0[1-9]|1[0-2])", "(?:0[1-9]|[12][0-9]|3[01])", "(?:0[1-9]|[1-4][0-9]|5[0-3])"
_HOUR, _SIXTIETH, _FRACTION = "(?:[01][0-9]|2[0-3])", "[0-5][0-9]", "(?:[.,][0-9]{1,9})?"

_ISO_8601 = re.compile(
    rf"(?:{_YEAR}-{_MONTH}-{_DAY}|{_YEAR}{_MONTH}{_DAY}|{_YEAR}-W{_WEEK}-[1-7]|{_YEAR}W{_WEEK}[1-7])"
    rf"T{_HOUR}(?::{_SIXTIETH}(?::{_SIXTIETH}{_FRACTION})?|{_SIXTIETH}(?:{_SIXTIETH}{_FRACTION})?)"
    rf"(?:Z|[+-]{_HOUR}(?::?{_SIXTIETH})?)"
)
"""What a pattern can say. Whether the month has that day, and the year that week, it cannot."""


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
