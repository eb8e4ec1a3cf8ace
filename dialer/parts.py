"""The wiring of what dials: every part, the order in which they start, and the order in which they stop."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from prometheus_client import CollectorRegistry
from twisted.internet.defer import Deferred, gatherResults, maybeDeferred

from dialer import originate
from dialer.agents import Agents
from dialer.call import CallWriter, DownPolicy
from dialer.calls import Calls
from dialer.clock import MonotonicClock
from dialer.connector import Connector
from dialer.contact import AgentReply, Contact
from dialer.cycle import Cycle
from dialer.esl.fleet import Fleet
from dialer.esl.switch import Switch
from dialer.esl.wire import Event
from dialer.journal import Journal
from dialer.lease import Lease
from dialer.limits import SwitchLimits
from dialer.meter import Meter
from dialer.metrics.recorder import Recorder
from dialer.outbox import Outbox
from dialer.placing import Placing
from dialer.reconcile import Reconcile
from dialer.retention import Retention
from dialer.settings import Settings
from dialer.settlement import Settlement
from dialer.shutdown import Shutdown
from dialer.store.contacts import Change, ContactStore
from dialer.store.database import Database
from dialer.store.history import HistoryStore
from dialer.store.outbox import OutboxStore
from dialer.store.queue import QueueStore
from dialer.store.retention import RetentionStore
from dialer.store.share import Share
from dialer.store.tally import TallyStore
from dialer.surroundings import Surroundings
from dialer.takings import Takings
from dialer.tally import Tally
from dialer.throttle import Throttle
from dialer.tls.certificates import Certificates
from dialer.webhooks import Webhooks

GATHERED = 0.01
"""Seconds for which results, and what is to be sent to the VC or tried again, are gathered at most under load: three
results share a statement and a commit at 300 calls per second. Of several dialers each has fewer, and gathers for
longer."""

LONGEST_GATHERED = 0.03
"""Seconds for which they are gathered at most, however many dialers there are."""

NOTED = 0.025
"""Seconds for which what was delivered is gathered under load until it is noted that it was: next to nobody waits for
that."""

NOTED_BY_SEVERAL = 0.2
"""Seconds for which each of several dialers gathers that, as each has fewer at the same moment. What one that dies has
not noted then, as many as may be under way at most, is delivered again."""

DATABASE_CONNECTIONS = 8
"""Connections to PostgreSQL that dialing and HTTP have together, at most; HTTP half of them."""

STATEMENTS_WAITING = 500
"""Statements for clients that wait for a connection, with what they hold; more are refused at once."""


class Parts:
    """The parts of a dialer that dial, each given those that it works with."""

    def __init__(
        self,
        reactor: Any,
        settings: Settings,
        surroundings: Surroundings,
        certificates: Certificates,
    ) -> None:
        self.clock = clock = MonotonicClock(reactor)
        chance = random.Random()  # noqa: S311  jitter needs no secrecy
        self.policy = policy = DownPolicy(settings.efswitch_down_policy)
        owner = settings.dialer_id

        self.registry = CollectorRegistry()
        self.meter: Meter = Recorder(self.registry, [address.name for address in surroundings.switches])

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
        self.shared = Share(
            clock,
            self.database,
            at_once=DATABASE_CONNECTIONS // 2,
            waiting=STATEMENTS_WAITING,
            patience=settings.db_conn_timeout,
        )
        self.lease_database = database(1)
        self.lease = Lease(clock, self.lease_database, owner=owner, lease_time=settings.lease_time, on_change=self.wake)
        self.connector = Connector.persistent(
            reactor, surroundings.voice_connector, settings.service_identifier, policy=certificates.vc_policy
        )
        self.messages = OutboxStore(self.database)
        self.outbox = Outbox(
            clock,
            self.messages,
            self.connector,
            random=chance.random,
            apart=self._gathered,
            notes_apart=self._noted,
            dialers=self.lease.dialers,
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
            posting=self.shared,
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
        self.takings = takings = Takings()
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
            dialers=self.lease.dialers,
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
            QueueStore(self.database, settings.dialer_id),
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

    def _gathered(self) -> float:
        return min(GATHERED * self.lease.dialers(), LONGEST_GATHERED)

    def _noted(self) -> float:
        return NOTED if self.lease.dialers() == 1 else NOTED_BY_SEVERAL

    def begin(self) -> None:
        """Start what dials, once the database is there and what this dialer held is known."""
        self.connector.start()
        stores = (self.settlement, self.journal, self.outbox, self.tally)
        for service in (*stores, *self.fleet.switches, self.reconcile, self.cycle, self.retention):
            service.startService()
        self.webhooks.start()

    async def end(self, stop: Shutdown) -> None:
        """Stop in the order in which work flows, so that nothing is handed to a part that is gone."""
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

    def wake(self) -> None:
        """There is something to dial, or somebody to dial it again."""
        self.cycle.wake()

    def wake_outboxes(self) -> None:
        """There are messages to send again."""
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
