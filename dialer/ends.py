"""Ends of calls that were seen but belong to nobody here: of a dialer that died, perhaps."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Mapping
from itertools import takewhile
from math import inf

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from dialer.esl.errors import WireError
from dialer.esl.wire import Event, UnreadEvent
from dialer.outcome import CallEnd, end_of_call

KEPT = 20_000
"""Ends kept, some 5 MB: as many as come in a minute of 300 calls per second while the database cannot be asked."""

UNREAD = 3_000
"""Events kept unread: at 500 calls per second until they are looked up, twice RIPE at the latest. Nearly all of them
are never asked for, and an event takes longer to read than all else that is done for it."""

LARGEST_UNREAD = 16 * 1024
"""Bytes of one that is kept so, and so 48 MB in all; usual ones have 10 kB."""

RIPE = 3.0
"""Seconds after which the dialer whose call it was has written the end, if it is alive: less than it takes until a call
is taken for gone."""


class SeenEnds:
    """The last ends seen, by call id, with the time at which they were seen (seconds of the clock)."""

    log = Logger()

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._ends: OrderedDict[str, tuple[float, Event | CallEnd]] = OrderedDict()
        self._unread: deque[tuple[str, float]] = deque()
        self._unripe: deque[tuple[str, float]] = deque(maxlen=KEPT)

    def add(self, call_id: str, event: Event) -> None:
        """Remember what a CHANNEL_HANGUP_COMPLETE tells; the oldest is forgotten when there are too many."""
        seen_at = self._clock.seconds()
        if isinstance(event, UnreadEvent) and event.size <= LARGEST_UNREAD:
            self._ends[call_id] = (seen_at, event)
            self._unread.append((call_id, seen_at))
        else:
            self._ends[call_id] = (seen_at, end_of_call(event))
        self._ends.move_to_end(call_id)
        self._unripe.append((call_id, seen_at))
        if len(self._unread) > UNREAD:
            self._read_one()
        if len(self._ends) > KEPT:
            self._ends.popitem(last=False)

    def ripe(self) -> dict[str, float]:
        """The calls whose ends were seen at least RIPE seconds ago and were not looked up yet, with when that was."""
        ripe_at = self._clock.seconds() - RIPE
        ripe = takewhile(lambda unripe: unripe[1] <= ripe_at, self._unripe)
        return {call_id: seen_at for call_id, seen_at in ripe if self._seen_at(call_id) == seen_at}

    def looked_up(self, ripe: Mapping[str, float]) -> None:
        """Of these calls it is known now whether their ends are written: nobody will ask for them any more."""
        latest = max(ripe.values(), default=-inf)
        while self._unripe and self._unripe[0][1] <= latest:
            call_id, seen_at = self._unripe.popleft()
            if self._seen_at(call_id) == seen_at:
                del self._ends[call_id]

    def pop(self, call_id: str, *, since: float) -> CallEnd | None:
        """The end of this call if it was seen at `since` or later: an id is used again when a contact is."""
        seen_at, end = self._ends.pop(call_id, (0.0, None))
        return self._read(call_id, end) if end is not None and seen_at >= since else None

    def _seen_at(self, call_id: str) -> float | None:
        seen = self._ends.get(call_id)
        return None if seen is None else seen[0]

    def _read_one(self) -> None:
        call_id, seen_at = self._unread.popleft()
        if self._seen_at(call_id) == seen_at:
            end = self._read(call_id, self._ends[call_id][1])
            if end is None:
                del self._ends[call_id]
            else:
                self._ends[call_id] = (seen_at, end)

    def _read(self, call_id: str, end: Event | CallEnd) -> CallEnd | None:
        """None for an event that cannot be read."""
        if isinstance(end, CallEnd):
            return end
        try:
            return end_of_call(end)
        except WireError as error:
            self.log.error("The end of call {call} cannot be read: {error}", call=call_id, error=error)
            return None
