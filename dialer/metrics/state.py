"""How things stand when somebody asks: read from the parts, which count nothing for it that they would not anyway."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

from attrs import frozen
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.core import Metric as Family
from prometheus_client.registry import Collector

from dialer.calls import Calls
from dialer.connector import Connector
from dialer.contact import CampaignType, Status
from dialer.esl.fleet import Fleet
from dialer.journal import Journal
from dialer.lease import Lease
from dialer.limits import SwitchLimits
from dialer.meter import Turn
from dialer.metrics import catalogue
from dialer.metrics.catalogue import Metric
from dialer.metrics.recorder import OTHER
from dialer.outbox import Outbox
from dialer.settlement import Settlement
from dialer.status import StatusReport
from dialer.store.database import Database
from dialer.store.figures import Figures
from dialer.store.outbox import Backlog
from dialer.throttle import Throttle
from dialer.tls.certificates import Certificates
from dialer.webhooks import Webhooks

Values = Mapping[Any, float]
"""By the values of the labels, a tuple in their order."""

_VERSION = version("dialer")
_TYPES = frozenset(map(str, CampaignType))
_STATUSES = frozenset(map(str, Status)) - {str(Status.REMOVED)}


@frozen(kw_only=True)
class Measured:
    """The parts that are asked. `capacity` and `speed` are MAX_CONCURRENT_CALLS and CALLS_PER_SECOND."""

    dialer: str
    capacity: int
    speed: float
    calls: Calls
    throttles: Mapping[Turn, Throttle]
    limits: SwitchLimits
    fleet: Fleet
    connector: Connector
    outbox: Outbox
    webhooks: Webhooks
    settlement: Settlement
    journal: Journal
    lease: Lease
    databases: Mapping[str, Database]
    status: StatusReport
    certificates: Certificates
    http_connections: Callable[[], int]


class State(Collector):
    """Collects it. `figures` is what the database said last, for the collection that follows; None: nothing."""

    def __init__(self, measured: Measured, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._measured = measured
        self._now = now
        self.figures: Figures | None = None

    def collect(self) -> Iterator[Family]:
        """Every family. One of which nothing is known has no samples."""
        yield from self._stored()
        yield from self._dialing()
        yield from self._switches()
        yield from self._connector()
        yield from self._databases()
        yield _gauge(catalogue.CONNECTIONS, self._measured.http_connections())
        own = self._measured.certificates.shown()
        yield _gauges(catalogue.CERTIFICATE_EXPIRES, {(each.variable,): each.expires.timestamp() for each in own})
        yield _gauge(catalogue.DIALER_READY, not self._measured.status.reasons_not_ready())
        yield _gauge(catalogue.LEASE, self._measured.lease.held)
        yield _gauges(catalogue.INFO, {(_VERSION, self._measured.dialer): 1})

    def _stored(self) -> Iterator[Family]:
        figures = self.figures
        yield _gauge(catalogue.DATABASE_UP, figures is not None)
        yield _gauge(catalogue.SLOTS, self._measured.capacity)
        used = None if figures is None else figures.active
        yield _gauge(catalogue.SLOTS_USED, used)
        yield _gauge(catalogue.SLOTS_FREE, None if used is None else max(0, self._measured.capacity - used))
        yield _gauges(catalogue.CONTACTS, {} if figures is None else _by_kind(figures.contacts))
        messages: Mapping[str, Backlog] = {} if figures is None else {str(k): v for k, v in figures.messages.items()}
        yield _gauges(catalogue.NOTIFICATIONS, _by_state(messages))
        since = Backlog.of(messages.values()).since
        yield _gauge(catalogue.OLDEST, self._age(since) if messages else None)
        webhooks: Mapping[str, Backlog] = {} if figures is None else figures.webhooks
        yield _gauges(catalogue.WEBHOOKS, _by_state(webhooks))
        yield _gauges(catalogue.WEBHOOKS_OLDEST, {(name,): self._age(each.since) for name, each in webhooks.items()})

    def _age(self, since: datetime | None) -> float:
        return 0.0 if since is None else max(0.0, (self._now() - since).total_seconds())

    def _dialing(self) -> Iterator[Family]:
        measured = self._measured
        yield _gauge(catalogue.CALLS, sum(1 for _ in measured.calls))
        yield _gauge(catalogue.SPEED, measured.speed)
        yield _gauges(catalogue.SLOWED, {(name,): rate for name, rate in measured.limits.rates().items()})
        yield _gauges(catalogue.WAITING, {(str(turn),): each.waiting for turn, each in measured.throttles.items()})
        yield _gauge(catalogue.RESULTS_WAITING, measured.settlement.waiting)
        yield _counters(catalogue.RESULTS_DROPPED, {(): measured.settlement.dropped})
        yield _counters(catalogue.HISTORY_LOST, {(): measured.journal.lost})

    def _switches(self) -> Iterator[Family]:
        switches = self._measured.fleet.switches
        yield _gauges(catalogue.CONNECTED, {(each.name,): each.connected for each in switches})
        yield _gauges(catalogue.READY, {(each.name,): each.ready for each in switches})
        yield _counters(catalogue.RECONNECTS, {(each.name,): max(0, each.log_ins - 1) for each in switches})
        yield _counters(catalogue.DROPPED, {(each.name,): each.events_dropped for each in switches})

    def _connector(self) -> Iterator[Family]:
        outbox = self._measured.outbox
        yield _gauge(catalogue.VC_UP, self._measured.connector.up)
        yield _counters(
            catalogue.DELIVERIES,
            {("delivered",): outbox.delivered, ("retried",): outbox.retried, ("parked",): outbox.parked},
        )
        yield _gauge(catalogue.DELIVERING, outbox.under_way)
        yield _counters(catalogue.WEBHOOK_DELIVERIES, self._measured.webhooks.tries())

    def _databases(self) -> Iterator[Family]:
        pools = {name: database.pool for name, database in self._measured.databases.items()}
        yield _gauges(catalogue.POOL_SIZE, {(name,): pool.size for name, pool in pools.items()})
        yield _gauges(
            catalogue.POOL,
            {(name, "idle"): pool.idle for name, pool in pools.items()}
            | {(name, "in_use"): pool.open - pool.idle for name, pool in pools.items()},
        )
        yield _gauges(catalogue.POOL_WAITING, {(name,): pool.waiting for name, pool in pools.items()})


def _by_kind(contacts: Mapping[tuple[str, str], int]) -> Values:
    """Every type with every status; rows taken over may hold other words."""
    counts = {(kind, status): 0 for kind in _TYPES for status in _STATUSES}
    for (kind, status), number in contacts.items():
        known = (kind if kind in _TYPES else OTHER, status if status in _STATUSES else OTHER)
        counts[known] = counts.get(known, 0) + number
    return counts


def _by_state(backlogs: Mapping[str, Backlog]) -> Values:
    """By name and state."""
    return {(name, "waiting"): each.waiting for name, each in backlogs.items()} | {
        (name, "parked"): each.parked for name, each in backlogs.items()
    }


def _gauge(metric: Metric, value: float | None) -> Family:
    return _gauges(metric, {} if value is None else {(): value})


def _gauges(metric: Metric, values: Values) -> Family:
    return _filled(GaugeMetricFamily(metric.name, metric.meaning, labels=metric.labels), values)


def _counters(metric: Metric, values: Values) -> Family:
    return _filled(CounterMetricFamily(metric.name, metric.meaning, labels=metric.labels), values)


def _filled(family: GaugeMetricFamily | CounterMetricFamily, values: Values) -> Family:
    for labels, value in sorted(values.items()):
        family.add_metric(labels, value)
    return family
