"""How often each caller may try something, and how often each is told of in the log."""

from __future__ import annotations

import math
from collections import OrderedDict

from twisted.internet.interfaces import IReactorTime

KEPT = 10_000
"""Callers that are remembered, some 2 MB. Past them the one that was seen longest ago is forgotten."""


class Attempts:
    """So many for each caller within `seconds` that begin with the first of them."""

    def __init__(self, clock: IReactorTime, *, most: int, seconds: float) -> None:
        self._clock = clock
        self._most = most
        self._seconds = seconds
        self._seen: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def wait(self, caller: str) -> int:
        """Whole seconds until this caller may try again; 0: now."""
        began, tried = self._of(caller)
        return 0 if tried < self._most else math.ceil(began + self._seconds - self._clock.seconds())

    def note(self, caller: str) -> bool:
        """This caller has tried. Whether that was still one of those that it may."""
        began, tried = self._of(caller)
        self._seen[caller] = (began, min(tried + 1, self._most + 1))
        self._seen.move_to_end(caller)
        if len(self._seen) > KEPT:
            self._seen.popitem(last=False)
        return tried < self._most

    def _of(self, caller: str) -> tuple[float, int]:
        now = self._clock.seconds()
        began, tried = self._seen.get(caller, (now, 0))
        return (began, tried) if now - began < self._seconds else (now, 0)
