"""All the switches of this dialer: which of them to call through."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum

from attrs import frozen
from twisted.internet.defer import Deferred, gatherResults
from twisted.logger import Logger

from dialer.esl.errors import EslError, SwitchDown
from dialer.esl.gateways import GatewayStatus
from dialer.esl.switch import Switch

Load = tuple[bool, int]
"""How busy a switch is; the least is called through."""


class RouteKind(Enum):
    """What came of looking for a switch to call through."""

    FOUND = "found"
    GATEWAY_DOWN = "gateway down"
    """A switch knows the gateway, but cannot use it now; or a switch that may know it cannot be asked now."""
    INVALID_GATEWAY = "invalid gateway"
    """Every configured switch was asked, and none knows the gateway."""
    NOT_READY = "not ready"
    """No switch can be used yet: its first connection is being made, or its live calls are being compared."""
    NOT_USED = "not used"
    """The switches that are connected do not know the originate command."""
    NO_SWITCH = "no switch"
    """No switch is connected."""


@frozen
class Route:
    """Where to place a call; `switch` is there when it was FOUND, and only then."""

    kind: RouteKind
    switch: Switch | None = None


class Fleet:
    """The configured switches, in the order of the configuration."""

    log = Logger()

    def __init__(self, switches: Sequence[Switch]) -> None:
        self.switches = tuple(switches)

    @property
    def reachable(self) -> bool:
        """Whether calls can be placed through any switch."""
        return any(switch.ready for switch in self.switches)

    @property
    def connected_all(self) -> bool:
        """Whether every switch can be asked about its calls."""
        return all(switch.connected for switch in self.switches)

    def first_attempts(self) -> Deferred[None]:
        """Fires when the first attempt to connect to each switch has ended, well or badly."""
        return gatherResults([switch.first_attempt() for switch in self.switches]).addCallback(lambda _: None)

    async def route(self, gateway_id: str, load: Callable[[Switch], Load]) -> Route:
        """Ask the ready switches for a gateway, at once, and choose the one with the least `load` that has it up.

        Of equals the first configured is taken. Raises nothing of its own: a switch that cannot answer counts as one
        that could not be asked.
        """
        ready = [switch for switch in self.switches if switch.ready]
        answers: list[GatewayStatus | None] = await gatherResults(
            [Deferred.fromCoroutine(self._ask(switch, gateway_id)) for switch in ready]
        )
        usable = [
            switch
            for switch, answer in zip(ready, answers, strict=True)
            if answer is GatewayStatus.UP and switch.ready  # it may have been lost while another was asked
        ]
        if usable:
            return Route(RouteKind.FOUND, min(usable, key=load))
        if not any(switch.ready for switch in ready):
            return Route(self._why_none())
        if len(ready) == len(self.switches) and all(answer is GatewayStatus.INVALID for answer in answers):
            return Route(RouteKind.INVALID_GATEWAY)
        return Route(RouteKind.GATEWAY_DOWN)

    def _why_none(self) -> RouteKind:
        if any(switch.settling for switch in self.switches):
            return RouteKind.NOT_READY
        return RouteKind.NOT_USED if any(switch.connected for switch in self.switches) else RouteKind.NO_SWITCH

    async def _ask(self, switch: Switch, gateway_id: str) -> GatewayStatus | None:
        try:
            return await switch.gateway(gateway_id)
        except SwitchDown:
            return None  # the switch itself has told of it
        except EslError as error:
            self.log.error("{switch} does not tell its gateways: {reason}", switch=switch.name, reason=str(error))
            return None
