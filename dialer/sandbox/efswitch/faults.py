"""What can be made to go wrong while the switch runs."""

from __future__ import annotations

from random import Random
from typing import Any

from attrs import asdict, define, field


@define(kw_only=True)
class Faults:
    """The faults that are on. All are off at first; each may be set at any time.

    `deny`: new connections are rejected as by an access list.
    `stop_reading`: what clients send stays in the kernel.
    `stall`: nothing is written any more; what would be is held, and after 100,000 held events lost, as FreeSWITCH
    does for a slow reader.
    `delay`: seconds that each command waits before it is looked at.
    `lose`, `repeat`: event name to the fraction of deliveries that are left out or sent twice.
    `cut_before`, `cut_after`: how many of the next `originate`s find their connection cut right before they are
    executed, or right after and before the reply.
    """

    deny: bool = False
    stop_reading: bool = False
    stall: bool = False
    delay: float = 0.0
    lose: dict[str, float] = field(factory=dict)
    repeat: dict[str, float] = field(factory=dict)
    cut_before: int = 0
    cut_after: int = 0

    def deliveries(self, event: str, random: Random) -> int:
        """How often an event reaches a subscriber: 0, 1 or 2 times."""
        if not self.lose and not self.repeat:
            return 1
        if random.random() < self.lose.get(event, 0.0):
            return 0
        return 2 if random.random() < self.repeat.get(event, 0.0) else 1

    def take_cut_before(self) -> bool:
        """Whether this originate is one to cut before it is executed; counts it."""
        if self.cut_before > 0:
            self.cut_before -= 1
            return True
        return False

    def take_cut_after(self) -> bool:
        """Whether this originate is one to cut before its reply; counts it."""
        if self.cut_after > 0:
            self.cut_after -= 1
            return True
        return False

    def to_json(self) -> dict[str, Any]:
        """All faults by name."""
        return asdict(self)
