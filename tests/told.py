"""A meter that keeps what it is told."""

from __future__ import annotations

from dialer.meter import Meter, Reconciled, Refused, Turn
from tests.stand_in import stands_in_for


@stands_in_for(Meter, but=frozenset({"of"}))
class Told(Meter):
    """What it was told, as (name of the method, what came with it)."""

    def __init__(self) -> None:
        self.all: list[tuple[object, ...]] = []

    def of(self, name: str) -> list[tuple[object, ...]]:
        """What came with those of one kind."""
        return [told[1:] for told in self.all if told[0] == name]

    def sent(self, campaign_type: str, switch: str) -> None:
        self.all.append(("sent", campaign_type, switch))

    def rang(self, campaign_type: str, seconds: float, *, answered: bool) -> None:
        self.all.append(("rang", campaign_type, seconds, answered))

    def talked(self, campaign_type: str, seconds: float) -> None:
        self.all.append(("talked", campaign_type, seconds))

    def settled(self, campaign_type: str, result: str | None) -> None:
        self.all.append(("settled", campaign_type, result))

    def waited(self, turn: Turn, seconds: float) -> None:
        self.all.append(("waited", turn, seconds))

    def chose(self, seconds: float) -> None:
        self.all.append(("chose", seconds))

    def heard(self, switch: str, event: str) -> None:
        self.all.append(("heard", switch, event))

    def repeated(self, event: str) -> None:
        self.all.append(("repeated", event))

    def reconciled(self, found: Reconciled) -> None:
        self.all.append(("reconciled", found))

    def asked_for_agent(self, answer: str) -> None:
        self.all.append(("asked_for_agent", answer))

    def agent_replied(self, *, reserved: bool) -> None:
        self.all.append(("agent_replied", reserved))

    def database_failed(self, kind: str) -> None:
        self.all.append(("database_failed", kind))

    def refused(self, reason: Refused) -> None:
        self.all.append(("refused", reason))

    def served(self, method: str, route: str, status: str, seconds: float) -> None:
        self.all.append(("served", method, route, status, seconds))
