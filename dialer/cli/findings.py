"""What a check has found."""

from __future__ import annotations

from enum import StrEnum

from attrs import frozen


class State(StrEnum):
    """Whether something works."""

    OK = "ok"
    FAILED = "failed"
    NOTE = "note"
    """Neither: it is provided, not there yet, or not asked for."""


@frozen
class Finding:
    """One thing that was looked at: what is so, and what to do about it."""

    name: str
    state: State
    message: str
    advice: str | None = None
