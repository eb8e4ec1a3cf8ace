"""The wiring: every part of the dialer, the order in which they start, and the order in which they stop."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import UTC, datetime
from socket import gethostname
from typing import Any

from attrs import evolve
from prometheus_client import CollectorRegistry
from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred, gatherResults, maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.logger import Logger

from dialer import originate
from dialer.access.networks import is_within
from dialer.access.origins import Origins
from dialer.access.sessions import Sessions
from dialer.agents import Agents
from dialer.call import CallWriter, DownPolicy
from dialer.calls import Calls
from dialer.clock import MonotonicClock
from dialer.connector import Connector
from dialer.contact import AgentReply, Contact
from dialer.cycle import Cycle
from dialer.errors import DialerError
from dialer.esl.fleet import Fleet
from dialer.esl.switch import Switch
from dialer.esl.wire import Event
from dialer.explainer import Explainer, Sources
from dialer.journal import Journal
from dialer.lease import Lease
from dialer.limits import SwitchLimits
from dialer.live import Live
from dialer.masking import SHORTEST_SECRET
from dialer.meter import Meter, Turn
from dialer.metrics.exposition import Exposition
from dialer.metrics.recorder import Recorder
from dialer.metrics.state import Measured
from dialer.outbox import Outbox
from dialer.outcomes import Outcomes
from dialer.picture import Photographer
from dialer.placing import Placing
from dialer.reconcile import Reconcile
from dialer.retention import Retention
from dialer.settings import Settings
from dialer.settlement import Settlement
from dialer.shutdown import Shutdown
from dialer.status import StatusReport
from dialer.store.campaigns import CampaignStore
from dialer.store.contacts import Change, ContactStore
from dialer.store.database import Database, DatabaseError
from dialer.store.explain import ExplainStore
from dialer.store.figures import FiguresStore
from dialer.store.history import HistoryStore
from dialer.store.listing import ListingStore
from dialer.store.migrate import migrate
from dialer.store.outbox import OutboxStore
from dialer.store.outcomes import OutcomeStore
from dialer.store.queue import QueueStore
from dialer.store.results import ResultStore
from dialer.store.retention import RetentionStore
from dialer.store.share import Busy, Share
from dialer.store.tally import TallyStore
from dialer.surroundings import Surroundings
from dialer.takings import Takings
from dialer.tally import Tally
from dialer.throttle import Throttle
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
from dialer.webhooks import Webhooks

GATHERED = 0.01
"""Seconds for which results, and confirmations of the VC, are gathered at most under load: three of each share a
statement and a commit at 300 calls per second. Of several dialers each has fewer, and gathers for longer."""

LONGEST_GATHERED = 0.03
"""Seconds for which they are gathered at most, however many dialers there are."""

DATABASE_CONNECTIONS = 8
"""Connections to PostgreSQL that dialing and HTTP have together, at most; HTTP half of them."""

STATEMENTS_WAITING = 500
"""Statements for clients that wait for a connection, with what they hold; more are refused at once."""

LISTS_AT_ONCE = 2
"""Posted lists that are checked and stored at the same time: they keep a core of PostgreSQL busy each."""

LISTS_WAITING = 100
"""Lists that wait meanwhile, each in memory or, above 100 kB, in a file."""

LISTS_PATIENCE = 25.0
"""Seconds that one waits at most: clients wait for 30 s or more."""

STOP_WITHIN = 6.5
"""Seconds for an ordered stop of everything but what is provided; the exit is due within 10 (SPEC 1)."""


class Dialer(Service):
    """One dialer process.

    Started before PostgreSQL, EFSwitch or the VC are there, it waits for them. A start that cannot succeed ends the
    process with status 1 and one line that says why.
    """

    log = Logger()
    name = "dialer"

    def __init__(self, reactor: Any, settings: Settings) -> None:
        self._reactor = reactor
        self._settings = settings
        self._surroundings = Surroundings(reactor, settings)
        self._starting: Deferred[Any] | None = None
        self._waits_for: str | None = "starting"
        self._parts: Parts | None = None
        self._certificates: Certificates | None = None
        self.port: Any = None
        """The IListeningPort where HTTP is served, once it is."""

    def startService(self) -> None:
        """Begin to start; parts that wait for something else keep waiting in the background."""
        super().startService()
        self._starting = Deferred.fromCoroutine(self._start())
        self._starting.addErrback(self._start_failed)

    @property
    def started(self) -> Deferred[None]:
        """Fires when the start is complete; dialing may still wait for EFSwitch."""
        done: Deferred[None] = Deferred()

        def ended(result: object) -> object:
            done.callback(None)
            return result

        if self._starting is not None:
            self._starting.addBoth(ended)
        return done

    async def _start(self) -> None:
        settings = self._settings
        surroundings = self._surroundings
        certificates = self._certificates = Certificates(self._reactor, settings)
        await surroundings.start()
        parts = self._parts = Parts(self._reactor, settings, surroundings, certificates, lambda: self._waits_for)
        if not settings.api_tokens:
            self.log.warn("NO API_TOKENS: whoever reaches the HTTP interface may do everything")
        for variable in settings.shorter_secrets(SHORTEST_SECRET):
            self.log.warn(
                "{variable} is shorter than {characters} characters, and may be a word of any text: "
                "the log hides it in URLs and connection strings only",
                variable=variable,
                characters=SHORTEST_SECRET,
            )
        factory = certificates.wrap(parts.site)
        self.port = self._reactor.listenTCP(settings.http_port, factory, interface=settings.http_interface)
        certificates.startService()
        address = self.port.getHost()
        host = f"[{address.host}]" if ":" in address.host else address.host
        self.log.info(
            "HTTP interface listening on {scheme}://{host}:{port}",
            scheme="https" if certificates.https else "http",
            host=host,
            port=address.port,
        )
        surroundings.dialer_is_at(host, address.port)
        self._waits_for = "waiting for the database"
        await migrate(self._reactor, surroundings.conninfo, on_failure=parts.database.failed)
        parts.database.startService()
        parts.lease_database.startService()
        await parts.database.when_up()
        self._waits_for = "waiting for the lease on DIALER_ID"
        await parts.lease.claim()
        while True:
            try:
                await parts.reconcile.recover()
                break
            except DatabaseError:
                await parts.database.pause()
        self._waits_for = None
        parts.begin()

    def _start_failed(self, failure: Any) -> None:
        if failure.check(CancelledError):
            return
        self._waits_for = str(failure.value)
        if failure.check(DialerError, OSError, CannotListenError):
            self.log.critical("The dialer cannot start: {error}", error=failure.value)
        else:
            self.log.failure("The dialer cannot start", failure=failure)
        self._surroundings.end_process(str(failure.value))

    async def stopService(self) -> None:
        """Dial no new call, let commands under way finish, store what is known, release the lease."""
        super().stopService()
        stop = Shutdown(self._reactor, STOP_WITHIN)
        await stop.step("demonstration", self._surroundings.stop_demo)
        if self._starting is not None:
            self._starting.cancel()
        if self._certificates is not None:
            self._certificates.stopService()
        if self.port is not None:
            await stop.step("HTTP interface", self.port.stopListening)
        if self._parts is not None:
            await self._parts.end(stop)
        await self._surroundings.stop()
        self.log.info("The dialer has stopped")


class Parts:
    """The parts of a dialer, each given those that it works with."""

    log = Logger()

    def __init__(
        self,
        reactor: Any,
        settings: Settings,
        surroundings: Surroundings,
        certificates: Certificates,
        waits_for: Any,
    ) -> None:
        clock = MonotonicClock(reactor)
        chance = random.Random()  # noqa: S311  jitter needs no secrecy
        policy = DownPolicy(settings.efswitch_down_policy)
        owner = settings.dialer_id

        registry = CollectorRegistry()
        self.meter: Meter = Recorder(registry, [address.name for address in surroundings.switches])

        def database(size: int) -> Database:
            return Database(
                reactor,
                surroundings.conninfo,
                timeout=settings.db_conn_timeout,
                size=size,
                application_name=f"dialer {owner}",
                random=chance,
                on_failure=self.meter.database_failed,
            )

        self.database = database(DATABASE_CONNECTIONS)
        # Whatever clients ask for, dialing finds a connection.
        shared = Share(
            clock,
            self.database,
            at_once=DATABASE_CONNECTIONS // 2,
            waiting=STATEMENTS_WAITING,
            patience=settings.db_conn_timeout,
        )
        self.lease_database = database(1)
        self.lease = Lease(
            clock, self.lease_database, owner=owner, lease_time=settings.lease_time, on_change=self._wake
        )
        self.connector = Connector.persistent(
            reactor, surroundings.voice_connector, settings.service_identifier, policy=certificates.vc_policy
        )
        outbox = OutboxStore(self.database)
        self.outbox = Outbox(
            reactor, outbox, self.connector, random=chance.random, apart=self._gathered, dialers=self.lease.dialers
        )
        self.webhooks = Webhooks(
            reactor,
            self.database,
            url=settings.result_webhook_url,
            hosts=settings.webhook_allowed_hosts,
            secrets=settings.result_webhook_secret,
            random=chance.random,
            dialers=self.lease.dialers,
        )
        self.contacts = ContactStore(
            clock,
            self.database,
            owner=owner,
            instance=self.lease.instance,
            hold=settings.contact_retrieval_delay,
            posting=shared,
            room=lambda: self.outbox.room,
            on_messages=self.outbox.deliver,
            webhooks=self.webhooks.targets,
            on_webhooks=self.webhooks.wake,
        )
        self.settlement = Settlement(
            clock,
            self.contacts,
            patience=settings.db_conn_timeout,
            random=chance.random,
            on_settled=self._settled,
            apart=self._gathered,
        )
        self.fleet = Fleet(
            [
                Switch(
                    reactor,
                    host=address.host,
                    port=address.port,
                    name=address.name,
                    password=surroundings.esl_password,
                    originate_command=settings.originate_command,
                    connect_delay=settings.esl_connect_delay,
                    on_event=self._event,
                    on_connected=self._connected,
                    on_change=self._changed,
                    random=chance,
                    # With others most events are theirs. Whoever is alone reads them all.
                    skims=lambda: self.lease.dialers() > 1,
                )
                for address in surroundings.switches
            ]
        )
        self.throttle = Throttle(clock, settings.calls_per_second)
        self.agent_throttle = Throttle(clock, settings.calls_per_second)
        self.limits = SwitchLimits(clock, settings.calls_per_second)
        self.history = HistoryStore(self.database, owner=owner)
        self.journal = Journal(clock, self.history, dialers=self.lease.dialers)
        takings = Takings()
        self.calls = Calls(clock, self.contacts, self.settlement, self.limits, self.journal, self.meter)
        self.placing = Placing(
            clock,
            self.contacts,
            takings,
            self.settlement,
            self.fleet,
            self.calls,
            self.throttle,
            self.limits,
            call_writer(settings),
            policy=policy,
            may_send=self.lease.held_since,
            meter=self.meter,
        )
        self.agents = Agents(
            clock,
            self.contacts,
            takings,
            self.settlement,
            self.connector,
            self.placing,
            self.agent_throttle,
            self.journal,
            efswitch_ip=settings.efswitch_ip_for(surroundings.switches[0].host),
            may_ask=self.lease.held_since,
            meter=self.meter,
        )
        self.reconcile = Reconcile(
            clock,
            self.contacts,
            self.fleet,
            self.calls,
            self.agents,
            interval=settings.reconcile_interval,
            agent_reply_timeout=settings.agent_reply_timeout,
            max_call_time=settings.max_call_time,
            steady=self.database.steady,
            may_act=lambda: self.lease.held,
            meter=self.meter,
        )
        self.cycle = Cycle(
            clock,
            self.contacts,
            QueueStore(self.database),
            self.fleet,
            takings,
            self.placing,
            self.agents,
            self.lease,
            interval=settings.contact_retrieval_delay,
            capacity=settings.max_concurrent_calls,
            policy=policy,
            meter=self.meter,
        )
        retention = RetentionStore(self.database)
        self.retention = Retention(
            clock,
            [
                ("contacts", retention.contacts),
                ("delivered messages", retention.messages),
                ("lines of histories", retention.events),
            ],
            days=settings.retention_days,
        )
        self.tally = Tally(clock, TallyStore(self.database), dialers=self.lease.dialers)
        status = StatusReport(
            clock,
            self.database,
            self.contacts,
            self.settlement,
            outbox,
            self.fleet,
            self.limits,
            self.connector,
            self.lease,
            certificates,
            webhooks=self.webhooks.destinations,
            capacity=settings.max_concurrent_calls,
            speed=settings.calls_per_second,
            starting=waits_for,
            asks_for_tokens=bool(settings.api_tokens),
        )
        explainer = Explainer(
            Sources(
                self.database,
                ExplainStore(shared),
                self.lease,
                self.fleet,
                self.limits,
                self.calls,
                self.placing,
                self.agents,
                takings,
                self.connector,
                self.throttle,
                self.agent_throttle,
            ),
            capacity=settings.max_concurrent_calls,
            speed=settings.calls_per_second,
            policy=policy,
            starting=waits_for,
        )
        measured = Measured(
            dialer=owner,
            capacity=settings.max_concurrent_calls,
            speed=settings.calls_per_second,
            calls=self.calls,
            throttles={Turn.CALL: self.throttle, Turn.AGENT_REQUEST: self.agent_throttle},
            limits=self.limits,
            fleet=self.fleet,
            connector=self.connector,
            outbox=self.outbox,
            webhooks=self.webhooks,
            settlement=self.settlement,
            journal=self.journal,
            lease=self.lease,
            databases={"main": self.database, "lease": self.lease_database},
            status=status,
            certificates=certificates,
            http_connections=lambda: len(self.site.door),
        )
        asked = OutboxStore(shared)
        figures = FiguresStore(shared, asked, owner=owner, webhooks=self.webhooks.destinations)
        seen = HistoryStore(shared, owner=owner)
        bounds = self._bounds(settings)
        lists = Turnstile(
            clock, at_once=LISTS_AT_ONCE, waiting=LISTS_WAITING, patience=LISTS_PATIENCE, full=Busy, late=Busy
        )
        refusals = Refusals(clock, self.meter)
        admission = Admission(clock, bounds.rate, calls_per_second=settings.calls_per_second)
        campaigns = CampaignStore(shared, seen)
        outcomes = Outcomes(clock, OutcomeStore(shared))
        photographer = Photographer(
            reactor,
            lambda: datetime.now(UTC),
            self.database,
            campaigns,
            outcomes,
            status,
            self.fleet,
            self.connector,
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
                Contacts(self.contacts, seen, lists, on_contacts=self._wake, most=bounds.list_length),
                Replies(self.agents),
                Campaigns(campaigns, on_contacts=self._wake),
                Results(ResultStore(shared)),
                Listing(campaigns, ListingStore(shared), outcomes),
                Notifications(asked, on_resend=self._resent),
                Explain(explainer),
                Health(status),
                Metrics(Exposition(reactor, registry, measured, figures)),
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
            self.meter,
            arriving=self.api.arriving,
            admits=self.api.admits,
            bounds=bounds,
            refusals=refusals,
            is_trusted=lambda host: is_within(host, settings.trusted_networks),
            reactor=reactor,
        )

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

    def _gathered(self) -> float:
        return min(GATHERED * self.lease.dialers(), LONGEST_GATHERED)

    def begin(self) -> None:
        """Start what dials, once the database is there and what this dialer held is known."""
        self.connector.start()
        stores = (self.settlement, self.journal, self.outbox, self.tally)
        for service in (*stores, *self.fleet.switches, self.reconcile, self.cycle, self.retention):
            service.startService()
        self.webhooks.start()

    async def end(self, stop: Shutdown) -> None:
        """Stop in the order in which work flows, so that nothing is handed to a part that is gone."""
        self.api.close()
        self.sessions.close()
        self.placing.stop()
        self.agent_throttle.close()
        await stop.step("retention", self.retention.stopService, at_most=1.0)
        await stop.step("dial cycle", self.cycle.stopService, at_most=2.0)
        # A request that the VC leaves unanswered counts as one that it may have, now as in ten seconds.
        await stop.step("agent requests and replies", self.agents.drain, at_most=1.0)
        await stop.step("commands under way", self.calls.drain, at_most=3.0)
        await stop.step("reconciling", self.reconcile.stopService)
        await stop.step("tally", self.tally.stopService, at_most=0.5)
        await stop.step("EFSwitch connections", self._leave_switches)
        await stop.step("results", self.settlement.stopService)
        await stop.step("histories", self.journal.stopService, at_most=0.5)
        await stop.step("notifications and webhooks", self._stop_outboxes)
        await stop.step("voice connector", self.connector.close)
        await stop.step("receivers of webhooks", self.webhooks.close, at_most=0.5)
        await stop.step("lease", self.lease.release)
        await stop.step("lease connection", self.lease_database.stopService)
        await stop.step("database", self.database.stopService)

    async def _leave_switches(self) -> None:
        await gatherResults([maybeDeferred(switch.stopService) for switch in self.fleet.switches])

    def _wake(self) -> None:
        self.cycle.wake()

    def _resent(self) -> None:
        self.outbox.wake()
        self.webhooks.wake()

    async def _stop_outboxes(self) -> None:
        await gatherResults([self.outbox.stopService(), Deferred.fromCoroutine(self.webhooks.stop())])

    def _changed(self, switch: Switch) -> None:  # noqa: ARG002  whichever it was
        self.cycle.wake()

    async def _connected(self, switch: Switch) -> None:
        await self.reconcile.compare(switch)

    def _event(self, switch: Switch, event: Event) -> None:
        self.meter.heard(switch.name, event.name)
        self.calls.handle_event(switch, event)

    def _settled(self, changes: Sequence[Change]) -> None:
        """Each of these freed a slot."""
        for change in changes:
            self.meter.settled(change.campaign_type or "", change.result)
        self.cycle.wake()


def call_writer(settings: Settings) -> CallWriter:
    """The originate commands of SPEC 5 with the configured values."""

    def efswitch_ip(switch: Switch) -> str:
        return settings.efswitch_ip_for(switch.host)

    def ivr(contact: Contact, switch: Switch) -> str:
        return originate.ivr_arguments(contact, efswitch_ip=efswitch_ip(switch), default_ivr=settings.default_ivr)

    def agent(contact: Contact, reply: AgentReply, switch: Switch) -> str:
        return originate.agent_arguments(
            contact, reply, efswitch_ip=efswitch_ip(switch), service_identifier=settings.service_identifier
        )

    return CallWriter(ivr, agent)
