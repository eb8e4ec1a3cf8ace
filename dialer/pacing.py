"""How fast to dial: the speed of the process, the limit of one switch, and the waits between attempts.

Pure policy: whoever has a clock passes `now` (seconds, any origin), whoever has randomness passes it in.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable

STRETCH = 1.002
"""Each second is kept 2 ms longer than it is: the switch counts when the bytes arrive, not when we wrote them, and on
a busy host that wavers by a millisecond or two. It costs 0.2 % of the rate."""

CREDIT = 0.05
"""Seconds of lateness that are made up for: a timer of a busy reactor is rarely later than that. What comes later still
comes after a pause, and a pause is not made up for: at 100 per second five would go out at once."""

EVEN_BELOW = 10.0
"""A fraction below this many per second is kept by spacing alone; from here on by counting, see Pace."""

REMEMBERED = 1.2
"""Seconds for which each use is remembered: longer than any span in which more than one is allowed."""


def _span(rate: float) -> tuple[int, float]:
    """The most uses in any span of so many seconds."""
    if not (math.isfinite(rate) and rate > 0):
        raise ValueError(f"a rate must be more than 0 per second: {rate!r}")
    limit = math.ceil(rate) if rate >= EVEN_BELOW or rate == math.floor(rate) else 1
    return limit, limit / rate * STRETCH


class Pace:
    """Permits to dial at `rate` per second: at most so many in any sliding second, evenly spaced.

    Whole rates allow `rate` uses in any second. A fraction below EVEN_BELOW keeps each two uses at least 1/rate apart
    (0.5: one every 2 s; 2.5: 0.4 s), so that no second sees more than ceil(rate) and no 1/rate seconds more than one.
    Larger fractions allow ceil(rate) uses in any ceil(rate)/rate seconds, never less than a second.

    A permit is granted first and used later (the gateway is asked in between), or given back. Until then it counts as
    if it were used now, whenever now is, which is enough: take any span as above, and of the uses in it the one whose
    permit was granted last. When that was granted each of the others had been granted; it was either outstanding, or
    used already, and then less than the span ago, since both uses lie in it. So all of them were counted, and as the
    grant was given they were fewer than the limit. It does not matter how late any of them was used.

    Spaced by STRETCH/rate, the mean is 0.998 of the rate. Up to CREDIT seconds of lateness are caught up with, so that
    a late timer costs nothing as such. No catching up breaks the limit, though: the place of a use in the span is free
    again a span after the use itself, so what is late there stays late. Whole rates lose, once per second, the time
    from `earliest` over the grant to the use; small fractions lose it with each use. While it is less than 8 ms of each
    second (of each 1/rate, with these), the mean is at least 0.99 of the rate.

    A clock that is set back counts as one that stood still. Keeps 1.2 s of uses: 1.2 * rate numbers.
    """

    def __init__(self, rate: float) -> None:
        self._limit, self._seconds = _span(rate)
        self._rate = rate
        self._uses: deque[float] = deque()
        self._outstanding = 0
        self._last_turn = -math.inf
        self._latest = -math.inf

    @property
    def rate(self) -> float:
        """Uses per second. A new rate holds at once, for the uses that have been as well."""
        return self._rate

    @rate.setter
    def rate(self, rate: float) -> None:
        self._limit, self._seconds = _span(rate)
        self._rate = rate

    @property
    def outstanding(self) -> int:
        """How many permits are neither used nor given back."""
        return self._outstanding

    def earliest(self, now: float) -> float:
        """When the next permit may be granted as far as is known: `now`, later, or infinity while none may be granted
        before an outstanding one is used or given back."""
        self._observe(now)
        return max(now, self._possible())

    def grant(self, now: float) -> None:
        """Hand out a permit. Raises ValueError before `earliest`."""
        if self.earliest(now) > now:
            raise ValueError(f"no permit may be granted at {now}")
        paused = now > self._possible() + CREDIT
        self._last_turn = now if paused else max(self._last_turn + self._seconds / self._limit, now - CREDIT)
        self._outstanding += 1

    def used(self, now: float) -> None:
        """A permit is used now. Raises ValueError when none is outstanding."""
        self._settle()
        self._observe(now)
        self._uses.append(now)
        while len(self._uses) > self._limit and self._uses[0] + REMEMBERED <= now:
            self._uses.popleft()

    def unused(self) -> None:
        """A permit will not be used: its turn is free again. Raises ValueError when none is outstanding."""
        self._settle()
        self._last_turn -= self._seconds / self._limit

    def _possible(self) -> float:
        """When the next permit could have been granted at the earliest; minus infinity if nothing stood against it."""
        free = self._limit - self._outstanding
        if free <= 0:
            return math.inf
        turn = self._last_turn + self._seconds / self._limit
        return max(turn, self._uses[-free] + self._seconds) if len(self._uses) >= free else turn

    def _settle(self) -> None:
        if not self._outstanding:
            raise ValueError("no permit is outstanding")
        self._outstanding -= 1

    def _observe(self, now: float) -> None:
        if now < self._latest:
            back = self._latest - now
            self._uses = deque(use - back for use in self._uses)
            self._last_turn -= back
        self._latest = now


class Slowdown:
    """How many originates per second one switch can take, found out by its refusals.

    A switch says that it is over its own limits (sessions per second, most sessions, paused) by refusing; it never
    says what they are. `rate` starts at `ceiling`, the configured dialing speed. A refusal cuts it to what was
    accepted in the last second, but by half at most and by a tenth at least, and not again within a second: the
    refusals of the calls that were already under way tell nothing new. Without refusals it grows back with the cube of
    the time: hardly at all for some seconds, so that it stays just below the limit and tries it once in ten seconds or
    so, then fast, so that a limit that was lifted is forgotten within RECOVERY * cbrt(ceiling / FLOOR) seconds.

    Times are seconds of one clock.
    """

    FLOOR = 1.0
    """Originates per second that are always tried: what they cost, one refusal a second at worst, is little against
    noticing within a second that the switch takes calls again."""

    HOLD = 1.0
    """Seconds between two cuts: FreeSWITCH counts sessions by the second."""

    RECOVERY = 20.0
    """Seconds without a refusal in which the rate doubles."""

    def __init__(self, ceiling: float) -> None:
        self._ceiling = ceiling
        self._floor = min(self.FLOOR, ceiling)
        self._low = ceiling
        self._cut_at = -math.inf
        self._refused_at = -math.inf
        self._accepted: deque[float] = deque(maxlen=math.ceil(ceiling) + 1)

    def rate(self, now: float) -> float:
        """Originates per second to try: between the floor and the ceiling, which stands for no limit."""
        if self._low >= self._ceiling:
            return self._ceiling
        quiet = min(max(0.0, now - self._refused_at) / self.RECOVERY, 1e6)
        rate = min(self._low * (1 + quiet**3), self._ceiling)
        if rate >= self._ceiling:
            self._low = self._ceiling
        return rate

    def accepted(self, now: float) -> None:
        """It took an originate."""
        self._accepted.append(now)

    def refused(self, now: float) -> None:
        """It refused an originate for its own limits."""
        rate = self.rate(now)
        if not self._cut_at <= now < self._cut_at + self.HOLD:
            taken = sum(now - self.HOLD < moment <= now for moment in self._accepted)
            self._low = max(self._floor, rate / 2, min(rate * 0.9, taken))
            self._cut_at = now
        self._refused_at = now


def backoff(attempt: int, *, first: float, longest: float, random: Callable[[], float]) -> float:
    """Seconds to wait after `attempt` failures in a row (1 or more): at first up to `first`, then twice as long each
    time, up to `longest`. `random` gives [0, 1): the upper half of each wait is chance, so that those who failed
    together do not come back together, and yet no wait is shorter than the one before as long as it still doubles."""
    doublings = min(max(attempt, 1) - 1, 63)
    full: float = min(longest, first * 2.0**doublings)
    return full * (1 + random()) / 2
