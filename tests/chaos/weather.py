"""When which fault was on, and what that excuses: the driver's own log, and the rules that read it. Pure.

Times are Unix seconds of one machine. What a dialer could have known is judged by these words:

- a dialer is *blind* while it is dead, stopped beyond its lease, or its event socket is cut or lossy: from shortly
  before the fault until the dialer was first seen ready after it;
- events are *held* while the event socket is stalled or not read, or the dialer is stopped within its lease: they come
  late, and are lost if the dialer becomes blind before they came, or gives the connection up for lack of answers;
- it *forgets* what it has not written when it dies, and what it writes after it was stopped may come too late: an end
  that it has seen is written within a while, which starts again at the end of each fault of the database.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from enum import Enum

from attrs import define, field, frozen

BEFORE = 0.5
"""Seconds before a fault in which what happens may already be caught by it: on its way, or not acted on yet."""

SETTLED = 0.5
"""Seconds after a fault's end before a dialer that looks ready is believed: it may not have noticed yet."""

GIVEN_UP = 9.0
"""Seconds without an answer that a dialer certainly bears: it gives a connection up after 10."""

OWN = 3.0
"""Seconds in which a dialer writes the end of its own call: a commit, on a busy machine."""

OTHERS = 10.0
"""Seconds in which it writes that of another's: 3 s of grace for the owner, 2 s between two looks, and the commit."""

SENT = 3.0
"""Seconds between the commit of a taking and the command."""

DATABASE_BACK = 6.0
"""Seconds after a fault of the database in which it may not be used again: 5 s between two attempts to connect."""

NEVER = float("inf")


class Effect(Enum):
    """What a fault does to a dialer, as far as it matters here."""

    DEAD = "the process is not there"
    STOPPED = "the process does not run, beyond its lease"
    CUT = "the connection to EFSwitch is lost, or events are"
    HELD = "events or commands come late"
    DATABASE = "PostgreSQL does not answer, or loses what is under way"
    NONE = "nothing that could make it miss an end"


@frozen
class Fault:
    """One fault, from its beginning to its end. `dialer` is whom it hits, None for all."""

    kind: str
    effect: Effect
    start: float
    end: float
    dialer: str | None = None
    detail: str = ""

    def touches(self, start: float, end: float) -> bool:
        """Whether it was on at some time between."""
        return self.start <= end and start <= self.end


Span = tuple[float, float]


@define
class Weather:
    """All faults of a run. `ready` says when each dialer was asked and was ready to dial, ascending."""

    faults: Sequence[Fault]
    ready: Mapping[str, Sequence[float]]
    _blind: dict[str, list[Span]] = field(factory=dict, init=False)
    _held: dict[str, list[Span]] = field(factory=dict, init=False)
    _gone: dict[str, list[float]] = field(factory=dict, init=False)
    _away: list[Span] = field(factory=list, init=False)

    def __attrs_post_init__(self) -> None:
        away = [fault for fault in self.faults if fault.effect is Effect.DATABASE]
        self._away = _merged((fault.start - BEFORE, fault.end + DATABASE_BACK) for fault in away)
        for dialer in self.ready:
            mine = [fault for fault in self.faults if fault.dialer in (dialer, None)]
            gone = [fault for fault in mine if fault.effect in (Effect.DEAD, Effect.STOPPED)]
            blind = [*gone, *(fault for fault in mine if fault.effect is Effect.CUT)]
            held = [fault for fault in mine if fault.effect is Effect.HELD]
            self._gone[dialer] = sorted(fault.start for fault in gone)
            self._blind[dialer] = _merged((f.start - BEFORE, self._seen_ready(dialer, f.end)) for f in blind)
            self._held[dialer] = _merged((fault.start - BEFORE, fault.end + SETTLED) for fault in held)

    def _seen_ready(self, dialer: str, after: float) -> float:
        times = self.ready[dialer]
        place = bisect_left(times, after + SETTLED)
        return times[place] if place < len(times) else NEVER

    def is_blind(self, dialer: str, start: float, end: float) -> bool:
        """Whether a dialer could have missed something that happened at some time between."""
        return _touched(self._blind[dialer], start, end) is not None

    def known_by(self, dialer: str, moment: float, *, within: float) -> bool:
        """Whether a dialer certainly saw what happened and wrote it, `within` seconds but for the database."""
        seen = self._arrives(dialer, moment)
        if seen == NEVER or self.is_blind(dialer, moment, seen):
            return False
        return not self._is_gone(dialer, moment, self._written(seen, within))

    def _arrives(self, dialer: str, moment: float) -> float:
        """When something that is told then has certainly come through; NEVER, when that cannot be said."""
        held = _touched(self._held[dialer], moment, moment)
        if held is None:
            return moment
        return held[1] if held[1] - held[0] <= GIVEN_UP + BEFORE + SETTLED else NEVER

    def _is_gone(self, dialer: str, start: float, end: float) -> bool:
        """Whether a dialer died, or was stopped beyond its lease, at some time between."""
        starts = self._gone[dialer]
        place = bisect_left(starts, start)
        return place < len(starts) and starts[place] <= end

    def _written(self, moment: float, within: float) -> float:
        """Until when something is written for certain: the wait starts again when the database is back."""
        until = moment + within
        for start, end in self._away:
            if start > until:
                break
            if end >= moment:
                until = max(until, end + within)
        return until

    def end_may_be_unknown(self, dialed: float, ended: float, sender: str | None) -> bool:
        """Whether no live dialer can be held to know of a call's end. `sender` is who dialed it, None: not known."""

        def within(dialer: str) -> float:
            return OWN if dialer == sender and self._kept(dialer, dialed, ended) else OTHERS

        return not any(self.known_by(dialer, ended, within=within(dialer)) for dialer in self.ready)

    def _kept(self, dialer: str, since: float, until: float) -> bool:
        """Whether nobody can have taken over what a dialer had since then: it never showed a sign of weakness."""
        return not self._is_gone(dialer, since, until) and _touched(self._away, since, until) is None

    def may_be_unsent(self, taken: float) -> bool:
        """Whether the command of a contact taken then may never have reached the switch, or its answer nobody."""

        def weak(dialer: str) -> bool:
            arrived = self._arrives(dialer, taken)
            until = max(self._written(taken, SENT), arrived)
            return arrived == NEVER or self.is_blind(dialer, taken, until) or self._is_gone(dialer, taken, until)

        return any(weak(dialer) for dialer in self.ready)

    def switch_may_be_down(self, failed: float) -> bool:
        """Whether a contact may have been failed then for want of a switch; the database may have delayed that."""
        since = failed - SENT
        for start, end in reversed(self._away):
            if start <= failed and end >= since:
                since = min(since, start - SENT)
        return any(self.is_blind(dialer, since, failed) for dialer in self.ready)

    def around(self, start: float, end: float) -> list[Fault]:
        """The faults that were on at some time between, in order."""
        return sorted((f for f in self.faults if f.touches(start, end)), key=lambda fault: fault.start)


def _merged(spans: Iterable[Span]) -> list[Span]:
    merged: list[Span] = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        else:
            merged.append((start, end))
    return merged


def _touched(spans: Sequence[Span], start: float, end: float) -> Span | None:
    """The last of these merged spans that lies on some moment between."""
    place = bisect_right(spans, (end, NEVER))
    # The spans do not overlap: the last that begins by then reaches furthest.
    return spans[place - 1] if place > 0 and spans[place - 1][1] >= start else None
