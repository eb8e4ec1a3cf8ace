"""Numbers, times and lists as the sentences for operators show them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

NAMED = 5
"""Names that a sentence lists before it says how many others there are."""


def number(value: float) -> str:
    """A number with separators between thousands, and at most one digit after the point."""
    return f"{value:,.1f}".removesuffix(".0")


def contacts(count: int) -> str:
    """So many contacts."""
    return "1 contact" if count == 1 else f"{number(count)} contacts"


def per_second(rate: float) -> str:
    """A dialing speed."""
    return f"{number(rate)} {'call' if rate == 1 else 'calls'} per second"


def time(moment: datetime | None) -> str:
    """A moment to the second, in UTC."""
    return "an unknown time" if moment is None else f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def enumerated(items: Sequence[str]) -> str:
    """The first NAMED of these, and how many others there are."""
    named = list(items[:NAMED])
    if len(items) > NAMED:
        named.append(f"{number(len(items) - NAMED)} others")
    return " and ".join([", ".join(named[:-1]), named[-1]]) if len(named) > 1 else "".join(named)
