"""Ends of calls that were seen but belong to nobody here: of a dialer that died, perhaps."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Mapping
from itertools import takewhile
from math import inf

from twisted.internet.interfaces import IReactorTime

from dialer.outcome import CallEnd

KEPT = 20_000
"""Ends kept, some 5 MB: a minute of 300 calls per second, twice the default LEASE_TIME."""


RIPE = 3.0
"""Seconds after which the dialer whose call it was has written the end, if it is alive: less than it takes until a call
is taken for gone."""


class SeenEnds:
    """The last ends seen, by call id, with the time at which they were seen (seconds of the clock)."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._ends: OrderedDict[str, tuple[float, CallEnd]] = OrderedDict()
        self._unripe: deque[tuple[str, float]] = deque(maxlen=KEPT)

    def add(self, call_id: str, end: CallEnd) -> None:
        """Remember an end; the oldest is forgotten when there are too many."""
        seen_at = self._clock.seconds()
        self._ends[call_id] = (seen_at, end)
        self._ends.move_to_end(call_id)
        self._unripe.append((call_id, seen_at))
        if len(self._ends) > KEPT:
            self._ends.popitem(last=False)

    def ripe(self) -> dict[str, tuple[CallEnd, float]]:
        """The ends seen at least RIPE seconds ago that were not looked up yet, with when they were seen."""
        ripe_at = self._clock.seconds() - RIPE
        ripe: dict[str, tuple[CallEnd, float]] = {}
        for call_id, seen_at in takewhile(lambda unripe: unripe[1] <= ripe_at, self._unripe):
            if (found := self._ends.get(call_id)) is not None and found[0] == seen_at:
                ripe[call_id] = (found[1], seen_at)
        return ripe

    def looked_up(self, ripe: Mapping[str, tuple[CallEnd, float]]) -> None:
        """These were ripe, and whoever could be waiting for them was asked: `ripe` need not give them again."""
        latest = max((seen_at for _, seen_at in ripe.values()), default=-inf)
        while self._unripe and self._unripe[0][1] <= latest:
            self._unripe.popleft()

    def pop(self, call_id: str, *, since: float) -> CallEnd | None:
        """The end of this call if it was seen at `since` or later: an id is used again when a contact is."""
        seen_at, end = self._ends.pop(call_id, (-inf, None))
        return end if seen_at >= since else None
