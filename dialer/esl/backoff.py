"""How long to wait before the next attempt to connect. Pure policy: no clock."""

from __future__ import annotations

from random import Random

FIRST_WAIT = 0.5
"""Seconds before the first new attempt: a switch that restarts its event socket is back at once."""


def reconnect_delay(failures: int, longest: float, dice: Random) -> float:
    """Seconds to wait after `failures` (from 0) attempts in a row that came to nothing.

    Doubles from FIRST_WAIT up to `longest`. Up to half of it is taken off at random, so that dialers which lost the
    same switch do not come back in step.
    """
    full: float = min(longest, FIRST_WAIT * 2.0 ** min(failures, 32))
    return full * dice.uniform(0.5, 1.0)
