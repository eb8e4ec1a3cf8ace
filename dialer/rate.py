"""How fast something counts up."""

from __future__ import annotations

from collections import deque

RATE_WINDOW = 5.0
"""Seconds that calls per second are measured over."""


class CallRate:
    """Calls per second over the last RATE_WINDOW seconds."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque(maxlen=1_000)

    def note(self, seconds: float, calls: int) -> float:
        """Take in how many calls there were at that time; returns calls per second, 0 at first."""
        self._seen.append((seconds, calls))
        # The newest sample that is at least a window old stays, as the other end of the window.
        while len(self._seen) > 2 and self._seen[1][0] <= seconds - RATE_WINDOW:
            self._seen.popleft()
        began, first = self._seen[0]
        return max(0.0, (calls - first) / (seconds - began)) if seconds > began else 0.0
