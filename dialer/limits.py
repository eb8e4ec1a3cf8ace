"""What each EFSwitch can take: slows down for the one that says it is over its own limits, and recovers."""

from __future__ import annotations

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from dialer.esl.switch import Switch
from dialer.pacing import Slowdown
from dialer.throttle import Throttle


class SwitchLimits:
    """One adaptive limit for each switch, beside the dialing speed of the process (`rate`, originates per second)."""

    log = Logger()

    def __init__(self, clock: IReactorTime, rate: float) -> None:
        self._clock = clock
        self._rate = rate
        self._limits: dict[str, tuple[Slowdown, Throttle]] = {}

    async def turn(self, switch: Switch) -> None:
        """Fires when this switch may be given another originate; at once while it never complained."""
        limit = self._limits.get(switch.name)
        if limit is None:
            return
        slowdown, throttle = limit
        rate = slowdown.rate(self._clock.seconds())
        if rate >= self._rate:
            del self._limits[switch.name]
            self.log.info("{switch} takes the full speed again", switch=switch.name)
            return
        throttle.rate = rate
        permit = await throttle.acquire()
        permit.used()

    def refused(self, switch: Switch) -> None:
        """It refused an originate for its own limits."""
        now = self._clock.seconds()
        limit = self._limits.get(switch.name)
        if limit is None:
            limit = self._limits[switch.name] = (Slowdown(self._rate), Throttle(self._clock, self._rate))
        slowdown, throttle = limit
        slowdown.refused(now)
        throttle.rate = slowdown.rate(now)
        rate = throttle.rate
        self.log.warn("{switch} is over its limits; slowed down to {rate:.1f}/s", switch=switch.name, rate=rate)

    def accepted(self, switch: Switch) -> None:
        """It took an originate."""
        if limit := self._limits.get(switch.name):
            limit[0].accepted(self._clock.seconds())

    def rates(self) -> dict[str, float]:
        """The switches that are slowed down, and to how many originates per second."""
        now = self._clock.seconds()
        return {name: slowdown.rate(now) for name, (slowdown, _) in self._limits.items()}
