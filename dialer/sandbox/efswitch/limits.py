"""The switch's own limits on new sessions."""

from __future__ import annotations

from attrs import define


@define
class Limits:
    """How many sessions may start and live.

    FreeSWITCH counts a second's sessions down before it looks, so one less than `per_second` pass in any of its
    seconds, which begin with its start.
    """

    per_second: int
    sessions: int
    paused: bool = False
    total: int = 0
    peak: int = 0
    peak_per_second: int = 0
    _second: int = -1
    _this_second: int = 0

    def admit(self, live: int, seconds: float) -> bool:
        """Whether one more session may start `seconds` after the switch did, `live` being there already; counts it."""
        self._turn(seconds)
        if self.paused or live >= self.sessions:
            return False
        if self._this_second + 1 >= self.per_second:
            return False
        self._this_second += 1
        self.total += 1
        self.peak = max(self.peak, live + 1)
        self.peak_per_second = max(self.peak_per_second, self._this_second)
        return True

    def last_second(self, seconds: float) -> int:
        """Sessions started in the second that `seconds` lies in."""
        self._turn(seconds)
        return self._this_second

    def _turn(self, seconds: float) -> None:
        if int(seconds) != self._second:
            self._second = int(seconds)
            self._this_second = 0
