"""What a caller may be allowed to do."""

from __future__ import annotations

from enum import StrEnum


class Scope(StrEnum):
    """Each endpoint needs one of them, or none. Nothing contains another."""

    CONTACTS = "contacts"
    """Post contacts."""

    CONTROL = "control"
    """Start, stop and purge campaigns; have messages sent again."""

    READ = "read"
    """See contacts, campaigns and what the dialer is doing."""

    AGENT = "agent"
    """Reply to agent requests, as the VC does."""


EVERYTHING = frozenset(Scope)
