"""Which gateways could not be called through lately, since when, and whose contacts met that."""

from __future__ import annotations

from collections import OrderedDict

from attrs import define, frozen
from twisted.internet.interfaces import IReactorTime

from dialer.esl.gateways import MAX_KEPT, GatewayStatus

CAMPAIGNS_KEPT = 100
"""Campaigns remembered for each gateway; who asks about another one is told of the gateways that it waits for."""

REMEMBERED = 900.0
"""Seconds after the last contact that met it for which a gateway is named: it is asked about only with a contact."""


@frozen
class GatewayTrouble:
    """A gateway that is not up: for how many seconds, and of which campaigns how many contacts met that lately."""

    gateway_id: str
    status: GatewayStatus
    seconds: float
    contacts: dict[str, int]


@define
class _Known:
    status: GatewayStatus
    since: float
    last: float
    contacts: OrderedDict[str, int]


class GatewayTroubles:
    """Told of each contact whose gateway was looked for; keeps those gateways that were not up at last."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._known: OrderedDict[str, _Known] = OrderedDict()

    def found(self, gateway_id: str) -> None:
        """A switch has it up."""
        if self._known:
            self._known.pop(gateway_id, None)

    def met(self, gateway_id: str, status: GatewayStatus, campaign_id: str) -> None:
        """A contact of this campaign could not be called: the gateway is down, or unknown."""
        now = self._clock.seconds()
        known = self._known.get(gateway_id)
        if known is None or known.status is not status:
            known = self._known[gateway_id] = _Known(status, now, now, OrderedDict())
        known.last = now
        known.contacts[campaign_id] = known.contacts.get(campaign_id, 0) + 1
        known.contacts.move_to_end(campaign_id)
        self._known.move_to_end(gateway_id)
        if len(known.contacts) > CAMPAIGNS_KEPT:
            known.contacts.popitem(last=False)
        if len(self._known) > MAX_KEPT:
            self._known.popitem(last=False)

    def now(self) -> list[GatewayTrouble]:
        """Those that are not up, the one met first first."""
        now = self._clock.seconds()
        return [
            GatewayTrouble(gateway_id, known.status, now - known.since, dict(known.contacts))
            for gateway_id, known in sorted(self._known.items(), key=lambda each: each[1].since)
            if now - known.last <= REMEMBERED
        ]
