"""The answer to `status`, and what it shares with the heartbeat."""

from __future__ import annotations

from typing import Final

from .calls import Calls

VERSION: Final = "1.11.3-dev~64bit"


def session_counts(calls: Calls, uptime: float) -> tuple[int, int]:
    """How many sessions live, and how many were started in this second."""
    return len(calls.channels), calls.limits.last_second(uptime)


def uptime_text(uptime: float) -> str:
    """An uptime of so many seconds in words."""
    seconds, micro = divmod(int(uptime * 1_000_000), 1_000_000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    years, days = divmod(days, 365)
    units = {
        "year": years,
        "day": days,
        "hour": hours,
        "minute": minutes,
        "second": seconds,
        "millisecond": micro // 1000,
        "microsecond": micro % 1000,
    }
    return ", ".join(f"{number} {unit}{'' if number == 1 else 's'}" for unit, number in units.items())


def status_text(calls: Calls, uptime: float) -> str:
    """The answer to `status`."""
    limits = calls.limits
    live, second = session_counts(calls, uptime)
    return (
        f"UP {uptime_text(uptime)}\n"
        f"FreeSWITCH (Version 1.11.3-dev  64bit) is {'paused' if limits.paused else 'ready'}\n"
        f"{limits.total} session(s) since startup\n"
        f"{live} session(s) - peak {limits.peak}, last 5min {limits.peak} \n"
        f"{second} session(s) per Sec out of max {limits.per_second}, peak {limits.peak_per_second}, "
        f"last 5min {limits.peak_per_second} \n"
        f"{limits.sessions} session(s) max\n"
        "min idle cpu 0.00/95.00\n"
        "Current Stack Size/Max 240K/8192K\n"
    )
