"""What the dialer knows of itself and of those it depends on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from attrs import evolve, frozen
from twisted.internet.interfaces import IReactorTime

from dialer.connector import Connector
from dialer.esl.fleet import Fleet
from dialer.gather import Gather
from dialer.lease import Lease
from dialer.limits import SwitchLimits
from dialer.message import MessageKind
from dialer.settlement import Settlement
from dialer.store.contacts import ContactStore
from dialer.store.database import Database, DatabaseError
from dialer.store.outbox import Backlog, OutboxStore
from dialer.tls.certificates import Certificates

AT_ONCE = 10_000
"""Who share the answers of the database at most: more than there are connections to the HTTP interface."""


@frozen
class _Stored:
    """What the database says: this dialer's active contacts, those of all, what the VC lacks, what receivers lack."""

    own: int
    total: int
    messages: Mapping[MessageKind, Backlog]
    webhooks: Mapping[str, Backlog]


class StatusReport:
    """Answers `/status` and `/readyz`. `starting` says what is still being waited for at start, if anything;
    `webhooks` names the receivers of webhooks, as `destination` of a message does.

    It must be answered when much else is asked, too: so it does not wait in line for the clients' part of the
    connections to the database. In return it takes one of dialing's at most: who ask meanwhile share the next answers.
    """

    def __init__(
        self,
        clock: IReactorTime,
        database: Database,
        contacts: ContactStore,
        settlement: Settlement,
        outbox: OutboxStore,
        fleet: Fleet,
        limits: SwitchLimits,
        connector: Connector,
        lease: Lease,
        certificates: Certificates,
        *,
        webhooks: Sequence[str],
        capacity: int,
        speed: float,
        starting: Callable[[], str | None],
        asks_for_tokens: bool,
    ) -> None:
        self._database = database
        self._stored: Gather[None, _Stored] = Gather(clock, self._ask, most=AT_ONCE)
        self._contacts = contacts
        self._settlement = settlement
        self._outbox = outbox
        self._fleet = fleet
        self._limits = limits
        self._connector = connector
        self._lease = lease
        self._webhooks = webhooks
        self._certificates = certificates
        self._capacity = capacity
        self._speed = speed
        self._starting = starting
        self._asks_for_tokens = asks_for_tokens

    async def report(self, *, wait: bool = True) -> dict[str, Any]:
        """The object of `GET /status`; the counts are None while the database is down.

        Without `wait` a database that is known to be down is not waited for.
        """
        stored: _Stored | None = None
        if wait or self._database.up:
            with suppress(DatabaseError):
                # One of those who asked before may be left unanswered, and then one of our own.
                stored = await self._database.in_time(self._stored.put(None), statements=2)
        own = None if stored is None else stored.own
        slowed = self._limits.rates()
        return {
            "maxConcurrentCalls": self._capacity,
            "activeCalls": own,
            "freeSlots": None if own is None else max(0, self._capacity - own),
            "callsPerSecond": self._speed,
            "database": _up(stored is not None),
            "efswitch": _up(any(switch.connected for switch in self._fleet.switches)),
            "voiceConnector": _up(self._connector.up),
            "totalActiveCalls": None if stored is None else stored.total,
            "resultsWaiting": self._settlement.waiting,
            "resultsDropped": self._settlement.dropped,
            "notifications": None if stored is None else _messages(stored.messages),
            "authentication": "tokens" if self._asks_for_tokens else "none",
            "webhooks": _rendered(Backlog.of(stored.webhooks.values())) if stored and stored.webhooks else None,
            "switches": [
                {
                    "name": switch.name,
                    "ready": switch.ready,
                    "reason": switch.reason,
                    "slowedDownTo": slowed.get(switch.name),
                }
                for switch in self._fleet.switches
            ],
            "certificates": [
                {"name": shown.variable, "expires": shown.expires, "problem": shown.problem}
                for shown in self._certificates.shown()
            ],
        }

    async def _ask(self, waiting: Sequence[None]) -> Sequence[_Stored]:
        own, total = await self._contacts.count_active()
        messages = await self._outbox.backlog()
        webhooks = await self._outbox.webhooks_backlog(self._webhooks)
        return [_Stored(own, total, messages, webhooks)] * len(waiting)

    def reasons_not_ready(self, *, brief: bool = False) -> list[str]:
        """Why it cannot dial, a sentence each; empty when it can.

        In `brief` nothing is named and nothing is repeated of what others said: for callers of whom nothing is known.
        """
        reasons: list[str] = []
        if starting := self._starting():
            reasons.append("the dialer is starting" if brief else starting)
        elif not self._database.up:
            reasons.append("database: down" if brief else f"database: {self._database.reason or 'down'}")
        elif not self._lease.held:
            reasons.append("this dialer has no lease on its name just now")
        if not self._fleet.reachable and brief:
            reasons.append("EFSwitch: not ready")
        elif not self._fleet.reachable:
            reasons += [f"EFSwitch {switch.name}: {switch.reason or 'not ready'}" for switch in self._fleet.switches]
        return reasons


def _messages(messages: Mapping[MessageKind, Backlog]) -> dict[str, Any]:
    """Of all kinds together, but for parked END_CHATs: nobody can send them again, they are only to be known of."""
    end_chats = messages[MessageKind.END_CHAT]
    together = evolve(Backlog.of(messages.values()), parked=messages[MessageKind.NOTIFICATION].parked)
    return _rendered(together) | {"endChatsParked": end_chats.parked}


def _rendered(backlog: Backlog) -> dict[str, Any]:
    return {"waiting": backlog.waiting, "parked": backlog.parked, "waitingSince": backlog.since}


def _up(up: bool) -> str:
    return "up" if up else "down"
