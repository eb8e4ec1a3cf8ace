"""What a check has found."""

from __future__ import annotations

from enum import StrEnum

from attrs import frozen
from twisted.internet.defer import TimeoutError as DeferredTimeout

PATIENCE = 10.0
"""Seconds for a connection, and for each answer."""


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


def reason_of(error: BaseException) -> str:
    """Why a connection failed, in a line."""
    if isinstance(error, DeferredTimeout):
        return f"no connection in {PATIENCE:g} s"
    return " ".join(str(error).split()) or type(error).__name__
