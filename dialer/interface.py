"""The wiring of the HTTP interface."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from socket import gethostname
from typing import Any

from attrs import evolve
from twisted.logger import Logger

from dialer.access.networks import is_within
from dialer.access.origins import Origins
from dialer.access.sessions import Sessions
from dialer.explainer import Explainer, Sources
from dialer.live import Live
from dialer.meter import Turn
from dialer.metrics.exposition import Exposition
from dialer.metrics.state import Measured
from dialer.outcomes import Outcomes
from dialer.parts import Parts
from dialer.picture import Photographer
from dialer.settings import Settings
from dialer.status import StatusReport
from dialer.store.campaigns import CampaignStore
from dialer.store.explain import ExplainStore
from dialer.store.figures import FiguresStore
from dialer.store.history import HistoryStore
from dialer.store.listing import ListingStore
from dialer.store.outbox import OutboxStore
from dialer.store.outcomes import OutcomeStore
from dialer.store.results import ResultStore
from dialer.store.share import Busy
from dialer.surroundings import Surroundings
from dialer.tls.certificates import Certificates
from dialer.turnstile import Turnstile
from dialer.web.api import ENDPOINTS, Api
from dialer.web.bounds import Bounds
from dialer.web.campaigns import Campaigns
from dialer.web.contacts import Contacts
from dialer.web.cookie import SessionCookie
from dialer.web.descriptors import connections_allowed
from dialer.web.docs import Docs
from dialer.web.explain import Explain
from dialer.web.gate import Gate
from dialer.web.health import Health
from dialer.web.listing import Listing
from dialer.web.metrics import Metrics
from dialer.web.notifications import Notifications
from dialer.web.openapi import describe
from dialer.web.pages import Pages
from dialer.web.rate import Admission
from dialer.web.refusals import Refusals
from dialer.web.replies import Replies
from dialer.web.results import Results
from dialer.web.signin import SignIn
from dialer.web.site import BoundedSite

LISTS_AT_ONCE = 2
"""Posted lists that are checked and stored at the same time: they keep a core of PostgreSQL busy each."""

LISTS_WAITING = 100
"""Lists that wait meanwhile, each in memory or, above 100 kB, in a file."""

LISTS_PATIENCE = 25.0
"""Seconds that one waits at most: clients wait for 30 s or more."""


class Interface:
    """The HTTP interface of a dialer: what tells of its `parts`, the endpoints that ask them, and the server.

    `waits_for` says what the start still waits for; None once it does not.
    """

    log = Logger()

    def __init__(
        self,
        reactor: Any,
        settings: Settings,
        surroundings: Surroundings,
        certificates: Certificates,
        parts: Parts,
        waits_for: Callable[[], str | None],
    ) -> None:
        clock, owner = parts.clock, settings.dialer_id
        status = StatusReport(
            clock,
            parts.database,
            parts.contacts,
            parts.settlement,
            parts.messages,
            parts.fleet,
            parts.limits,
            parts.connector,
            parts.lease,
            certificates,
            webhooks=parts.webhooks.destinations,
            capacity=settings.max_concurrent_calls,
            speed=settings.calls_per_second,
            starting=waits_for,
            asks_for_tokens=bool(settings.api_tokens),
        )
        explainer = Explainer(
            Sources(
                parts.database,
                ExplainStore(parts.shared),
                parts.lease,
                parts.fleet,
                parts.limits,
                parts.calls,
                parts.placing,
                parts.agents,
                parts.takings,
                parts.connector,
                parts.throttle,
                parts.agent_throttle,
            ),
            capacity=settings.max_concurrent_calls,
            speed=settings.calls_per_second,
            policy=parts.policy,
            starting=waits_for,
        )
        measured = Measured(
            dialer=owner,
            capacity=settings.max_concurrent_calls,
            speed=settings.calls_per_second,
            calls=parts.calls,
            throttles={Turn.CALL: parts.throttle, Turn.AGENT_REQUEST: parts.agent_throttle},
            limits=parts.limits,
            fleet=parts.fleet,
            connector=parts.connector,
            outbox=parts.outbox,
            webhooks=parts.webhooks,
            settlement=parts.settlement,
            journal=parts.journal,
            lease=parts.lease,
            databases={"main": parts.database, "lease": parts.lease_database},
            status=status,
            certificates=certificates,
            http_connections=lambda: len(self.site.door),
        )
        asked = OutboxStore(parts.shared)
        figures = FiguresStore(parts.shared, asked, owner=owner, webhooks=parts.webhooks.destinations)
        seen = HistoryStore(parts.shared, owner=owner)
        bounds = self._bounds(settings)
        lists = Turnstile(
            clock, at_once=LISTS_AT_ONCE, waiting=LISTS_WAITING, patience=LISTS_PATIENCE, full=Busy, late=Busy
        )
        refusals = Refusals(clock, parts.meter)
        admission = Admission(clock, bounds.rate, calls_per_second=settings.calls_per_second)
        campaigns = CampaignStore(parts.shared, seen)
        outcomes = Outcomes(clock, OutcomeStore(parts.shared))
        photographer = Photographer(
            reactor,
            lambda: datetime.now(UTC),
            parts.database,
            campaigns,
            outcomes,
            status,
            parts.fleet,
            parts.connector,
            name=owner,
            explain=explainer.explain,
        )
        cookie = SessionCookie(owner)
        self.sessions = Sessions(clock, settings.session_lifetime)
        gate = Gate(
            clock,
            surroundings.tokens,
            settings.trusted_networks,
            Origins(settings.public_url, names=[gethostname()]),
            self.sessions,
            cookie,
        )
        self.api = Api(
            [
                Contacts(parts.contacts, seen, lists, on_contacts=parts.wake, most=bounds.list_length),
                Replies(parts.agents),
                Campaigns(campaigns, on_contacts=parts.wake),
                Results(ResultStore(parts.shared)),
                Listing(campaigns, ListingStore(parts.shared), outcomes),
                Notifications(asked, on_resend=parts.wake_outboxes),
                Explain(explainer),
                Health(status),
                Metrics(Exposition(reactor, parts.registry, measured, figures)),
                SignIn(clock, gate, self.sessions, cookie),
                Docs(lambda: describe(ENDPOINTS, asks_for_tokens=gate.asks, bounds=bounds)),
                Pages(Live(clock, photographer.take)),
            ],
            gate,
            admit=admission.admit,
            deny=admission.deny,
            refused=refusals.refused,
        )
        self.site = BoundedSite(
            self.api.resource(),
            parts.meter,
            arriving=self.api.arriving,
            admits=self.api.admits,
            bounds=bounds,
            refusals=refusals,
            is_trusted=lambda host: is_within(host, settings.trusted_networks),
            reactor=reactor,
        )

    def close(self) -> None:
        """Answer nobody any longer: some answers never end by themselves."""
        self.api.close()
        self.sessions.close()

    def _bounds(self, settings: Settings) -> Bounds:
        """The limits of the HTTP interface, as far as there are files for them."""
        allowed = connections_allowed(settings.http_connections)
        if allowed < settings.http_connections:
            self.log.warn(
                "HTTP_CONNECTIONS={wanted} is lowered to {allowed}: this process may not open more files",
                wanted=settings.http_connections,
                allowed=allowed,
            )
        return evolve(settings.bounds, connections=allowed)
