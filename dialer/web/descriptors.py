"""File descriptors, of which each connection takes one, and another one for a large body."""

from __future__ import annotations

import resource

OTHERS = 200
"""For all but HTTP connections: the database, switches, the VC, logs, and room to spare."""

FEWEST = 50
"""Connections that are allowed even if there is no room for them."""


def connections_allowed(wanted: int) -> int:
    """How many connections there is room for, up to those that are wanted; this process's limit is raised for them."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = 2 * wanted + OTHERS
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return wanted
    room = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (room, hard))
    except (OSError, ValueError):
        room = soft
    return min(wanted, max(FEWEST, (room - OTHERS) // 2))
