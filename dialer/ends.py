"""Ends of calls that were seen but belong to nobody here: of a dialer that died, perhaps."""

from __future__ import annotations

from collections import OrderedDict

from twisted.internet.interfaces import IReactorTime

from dialer.outcome import CallEnd

KEPT = 20_000
"""Ends kept, some 5 MB: a minute of 300 calls per second, twice the default LEASE_TIME."""


class SeenEnds:
    """The last ends seen, by call id, with the time at which they were seen (seconds of the clock)."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._ends: OrderedDict[str, tuple[float, CallEnd]] = OrderedDict()

    def add(self, call_id: str, end: CallEnd) -> None:
        """Remember an end; the oldest is forgotten when there are too many."""
        self._ends[call_id] = (self._clock.seconds(), end)
        self._ends.move_to_end(call_id)
        if len(self._ends) > KEPT:
            self._ends.popitem(last=False)

    def pop(self, call_id: str, *, since: float) -> CallEnd | None:
        """The end of this call if it was seen at `since` or later: an id is used again when a contact is."""
        seen_at, end = self._ends.pop(call_id, (float("-inf"), None))
        return end if seen_at >= since else None
