"""What each EFSwitch can take: slows down for the one that says it is over its own limits, and recovers."""

from __future__ import annotations

from attrs import define, frozen
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from dialer.esl.switch import Switch
from dialer.pacing import Slowdown
from dialer.throttle import Throttle


@frozen
class Slowed:
    """To how many originates per second a switch is slowed down, and for how many seconds it has been."""

    rate: float
    seconds: float


@define
class _Limit:
    slowdown: Slowdown
    throttle: Throttle
    slowed: bool = False
    since: float = 0.0


class SwitchLimits:
    """One adaptive limit for each switch, beside the dialing speed of the process (`rate`, originates per second)."""

    log = Logger()

    def __init__(self, clock: IReactorTime, rate: float) -> None:
        self._clock = clock
        self._rate = rate
        self._limits: dict[str, _Limit] = {}

    def is_slowed(self, switch: Switch) -> bool:
        """Whether this switch is slowed down just now."""
        return switch.name in self.rates()

    def rates(self) -> dict[str, float]:
        """The names of the switches that are slowed down, and to how many originates per second."""
        now = self._clock.seconds()
        rates = {name: limit.slowdown.rate(now) for name, limit in self._limits.items()}
        return {name: rate for name, rate in rates.items() if rate < self._rate}

    def slowed(self, name: str) -> Slowed | None:
        """How the switch of this name is slowed down; None when it is not."""
        rate = self.rates().get(name)
        return None if rate is None else Slowed(rate, self._clock.seconds() - self._limits[name].since)

    async def turn(self, switch: Switch, *, first: bool = False) -> None:
        """Fires when this switch may be given another originate; at once while it never complained."""
        limit = self._of(switch)
        rate = limit.slowdown.rate(self._clock.seconds())
        if rate >= self._rate:
            if limit.slowed:
                limit.slowed = False
                self.log.info("{switch} takes the full speed again", switch=switch.name)
            return
        limit.throttle.rate = rate
        (await limit.throttle.acquire(first=first)).used()

    def refused(self, switch: Switch) -> None:
        """It refused an originate for its own limits."""
        now = self._clock.seconds()
        limit = self._of(switch)
        before = limit.slowdown.rate(now)
        limit.slowdown.refused(now)
        rate = limit.throttle.rate = limit.slowdown.rate(now)
        if before >= self._rate:
            limit.since = now
        limit.slowed = True
        if rate < before:
            self.log.warn("{switch} is over its limits; slowed down to {rate:.1f}/s", switch=switch.name, rate=rate)

    def accepted(self, switch: Switch) -> None:
        """It took an originate."""
        self._of(switch).slowdown.accepted(self._clock.seconds())

    def close(self) -> None:
        """Nobody waits for a slowed down switch any more: the dialer is stopping."""
        for limit in self._limits.values():
            limit.throttle.close()

    def _of(self, switch: Switch) -> _Limit:
        if (limit := self._limits.get(switch.name)) is None:
            limit = self._limits[switch.name] = _Limit(Slowdown(self._rate), Throttle(self._clock, self._rate))
        return limit
