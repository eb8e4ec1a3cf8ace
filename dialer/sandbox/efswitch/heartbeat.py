"""The HEARTBEAT event."""

from __future__ import annotations

from typing import Final

from twisted.internet.interfaces import IDelayedCall

from .bus import Bus
from .calls import Calls
from .status import VERSION, session_counts, uptime_text
from .timepiece import Timepiece

INTERVAL: Final = 20.0
"""Seconds between two heartbeats, counted from the start of the switch."""


class Heartbeat:
    """Beats while there is someone who could hear it."""

    def __init__(self, timepiece: Timepiece, bus: Bus, calls: Calls) -> None:
        self._timepiece = timepiece
        self._bus = bus
        self._calls = calls
        self._timer: IDelayedCall | None = None

    def start(self) -> None:
        """Beat at the next multiple of the interval, and so on."""
        if self._timer is None:
            self._timer = self._timepiece.later(INTERVAL - self._timepiece.uptime() % INTERVAL, self._beat)

    def stop(self) -> None:
        """Beat no more."""
        timer, self._timer = self._timer, None
        if timer is not None:
            self._timepiece.forget(timer)

    def _beat(self) -> None:
        self._timer = None
        self.start()
        uptime, limits = self._timepiece.uptime(), self._calls.limits
        live, second = session_counts(self._calls, uptime)
        self._bus.announce(
            "HEARTBEAT",
            {
                "Event-Info": "System Ready",
                "Up-Time": uptime_text(uptime),
                "FreeSWITCH-Version": VERSION,
                "Uptime-msec": str(int(uptime * 1000)),
                "Session-Count": str(live),
                "Max-Sessions": str(limits.sessions),
                "Session-Per-Sec": str(limits.per_second),
                "Session-Per-Sec-Last": str(second),
                "Session-Per-Sec-Max": str(limits.peak_per_second),
                "Session-Per-Sec-FiveMin": str(limits.peak_per_second),
                "Session-Since-Startup": str(limits.total),
                "Session-Peak-Max": str(limits.peak),
                "Session-Peak-FiveMin": str(limits.peak),
                "Idle-CPU": "95.000000",
            },
        )
