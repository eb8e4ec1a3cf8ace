"""Events that tell of a call what they have told before: counted only, since whoever handles events bears them."""

from __future__ import annotations

from collections import OrderedDict

from dialer.meter import Meter

KEPT = 20_000
"""Calls whose events are remembered, some 6 MB: a minute of 300 calls per second. An event repeats at once or never."""


class Repeats:
    """Which events have told of which call."""

    def __init__(self, meter: Meter) -> None:
        self._meter = meter
        self._told: OrderedDict[str, set[str]] = OrderedDict()

    def begun(self, call_id: str) -> None:
        """A call begins; there may have been others of this id."""
        self._told[call_id] = set()
        self._told.move_to_end(call_id)
        if len(self._told) > KEPT:
            self._told.popitem(last=False)

    def heard(self, call_id: str, event: str) -> None:
        """An event tells of a call."""
        told = self._told.get(call_id)
        if told is None:
            return
        if event in told:
            self._meter.repeated(event)
        told.add(event)
