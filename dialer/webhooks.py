"""The receivers of webhooks, each with its own deliveries: one that is slow or dead is nobody else's delay."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from ipaddress import ip_address
from typing import Any

from twisted.internet.defer import gatherResults
from twisted.web.iweb import IPolicyForHTTPS

from dialer.access.networks import is_address
from dialer.checked import CheckedEndpoints
from dialer.connector import CONNECT_TIMEOUT, persistent_client
from dialer.lookups import Lookups
from dialer.message import WebhookTargets
from dialer.outbox import Outbox
from dialer.public_address import is_public
from dialer.store.database import Database
from dialer.store.outbox import OutboxStore
from dialer.webhook import Signer, WebhookSender

OPERATORS = "RESULT_WEBHOOK_URL"
"""The destination of what goes to the operator's receiver, in `outbox.destination`. No host has such a name there."""

GATHERED = 0.02
"""Seconds between two rounds of deliveries to the operator's receiver, at least: some twenty webhooks of each share a
statement at 300 calls per second."""

GATHERED_BY_HOSTS = 0.25
"""Likewise for those that contacts name, each of which asks the database for its own: 80 times a second for 20 hosts,
whatever is dialed. Each gets 128 webhooks a second."""


class Webhooks:
    """Delivers to `url`, if there is one, and to `hosts`: what contacts may name, with the port.

    `secrets` sign, `policy` says which certificates are trusted (by default those that the platform trusts), `dialers`
    how many share the outbox.
    """

    def __init__(
        self,
        reactor: Any,
        database: Database,
        *,
        url: str | None,
        hosts: Sequence[tuple[str, int]],
        secrets: Sequence[str],
        random: Callable[[], float],
        dialers: Callable[[], int] = lambda: 1,
        policy: IPolicyForHTTPS | None = None,
    ) -> None:
        self._reactor = reactor
        self._database = database
        self._random = random
        self._dialers = dialers
        self._signer = Signer(secrets)
        self._policy = policy
        self._lookups = Lookups(reactor.nameResolver)
        self._outboxes: dict[str, Outbox] = {}
        self._senders: list[WebhookSender] = []
        named = {ip_address(host) for host, _ in hosts if is_address(host)}
        # An IPv6 address is there to be led to: no contact's URL is taken that has one in it.
        hosts = [(host.lower(), port) for host, port in hosts if ":" not in host]
        if url is not None:
            # The operator's own receiver may be anywhere: this is nobody's wish but theirs.
            endpoints = CheckedEndpoints(reactor, CONNECT_TIMEOUT, self._lookups, lambda _: True, policy=policy)
            self._add(OPERATORS, endpoints, url=url, apart=GATHERED)
        for host, port in hosts:
            endpoints = CheckedEndpoints(
                reactor,
                CONNECT_TIMEOUT,
                self._lookups,
                # An address that the operator has listed may be private, too.
                lambda address: is_public(address) or ip_address(address) in named,
                only=(host, port),
                policy=policy,
            )
            self._add(f"{host}:{port}", endpoints, url=None, apart=GATHERED_BY_HOSTS)
        self.targets = (
            WebhookTargets(url is not None, [f"{host}:{port}" for host, port in hosts]) if self._outboxes else None
        )
        """Who is told, for the store that writes what they are told; None: nobody."""

    def _add(self, destination: str, endpoints: CheckedEndpoints, *, url: str | None, apart: float) -> None:
        client, pool = persistent_client(self._reactor, endpoints)
        sender = WebhookSender(self._reactor, client, pool, self._signer, url=url)
        self._senders.append(sender)
        self._outboxes[destination] = Outbox(
            self._reactor,
            OutboxStore(self._database, destination),
            sender,
            random=self._random,
            apart=lambda: apart,
            dialers=self._dialers,
            receiver=destination,
        )

    @property
    def destinations(self) -> Sequence[str]:
        """The receivers, as the outbox names them."""
        return tuple(self._outboxes)

    def tries(self) -> Mapping[tuple[str, str], int]:
        """What became of this process's tries so far, by destination and by `delivered`, `retried` or `parked`."""
        return {
            (destination, outcome): getattr(outbox, outcome)
            for destination, outbox in self._outboxes.items()
            for outcome in ("delivered", "retried", "parked")
        }

    def wake(self) -> None:
        """Webhooks were committed, for any of them."""
        for outbox in self._outboxes.values():
            outbox.wake()

    def start(self) -> None:
        """Deliver until stopped."""
        for outbox in self._outboxes.values():
            outbox.startService()

    async def stop(self) -> None:
        """Write the results of what is under way; fires within STOP_TIME of an outbox, never fails."""
        await gatherResults([outbox.stopService() for outbox in self._outboxes.values()])

    async def close(self) -> None:
        """Close the connections."""
        for sender in self._senders:
            await sender.close()
