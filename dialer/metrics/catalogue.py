"""Every metric that is exported: its name, its kind, its labels and what it says. docs/metrics.md tells the same.

The values of each label are few, whoever calls whom: known words, and what the configuration names.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from attrs import frozen

Kind = Literal["counter", "gauge", "histogram"]


@frozen
class Metric:
    """One metric. Seconds are the unit of all times. `buckets` are the upper bounds of a histogram's."""

    name: str
    kind: Kind
    meaning: str
    labels: Sequence[str] = ()
    buckets: Sequence[float] = ()


def _counter(name: str, meaning: str, *labels: str) -> Metric:
    return Metric(name, "counter", meaning, labels)


def _gauge(name: str, meaning: str, *labels: str) -> Metric:
    return Metric(name, "gauge", meaning, labels)


# -- contacts and calls

CONTACTS = _gauge("dialer_contacts", "Contacts in the database.", "campaign_type", "status")
ATTEMPTS = _counter("dialer_dial_attempts_total", "Originate commands written to EFSwitch.", "campaign_type", "switch")
OUTCOMES = _counter(
    "dialer_outcomes_total",
    "Contacts that became ended or failed by this dialer, by call result in the form that the VC gets.",
    "campaign_type",
    "result",
)
RETURNS = _counter("dialer_returns_total", "Contacts that went back to their queue.", "campaign_type")
RING = Metric(
    "dialer_ring_duration_seconds",
    "histogram",
    "Time from the beginning of a call to its answer, or to its end when it was not answered.",
    ("campaign_type", "answered"),
    (0.1, 1, 2, 5, 10, 15, 20, 30, 45, 60, 120),
)
TALK = Metric(
    "dialer_call_duration_seconds",
    "histogram",
    "Time from the answer of a call to its end.",
    ("campaign_type",),
    (0.1, 1, 5, 10, 30, 60, 120, 300, 600, 1800, 3600),
)
CALLS = _gauge("dialer_calls", "Calls that this process has sent or adopted and whose end it has not seen.")

# -- when and how fast

SLOTS = _gauge("dialer_slots", "Call slots of this process: MAX_CONCURRENT_CALLS.")
SLOTS_USED = _gauge("dialer_slots_used", "Active contacts of this dialer in the database.")
SLOTS_FREE = _gauge("dialer_slots_free", "Call slots that are free.")
SPEED = _gauge("dialer_calls_per_second_limit", "CALLS_PER_SECOND.")
SLOWED = _gauge(
    "dialer_switch_calls_per_second_limit", "Speed towards a switch that is slowed down for its limits.", "switch"
)
WAIT = Metric(
    "dialer_throttle_wait_seconds",
    "histogram",
    "Time that a contact whose turn it was waited for the speed limit: to be called, or for its agent to be requested.",
    ("turn",),
    (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5),
)
WAITING = _gauge("dialer_throttle_waiting", "Contacts that wait for the speed limit just now.", "turn")
SELECTION = Metric(
    "dialer_selection_seconds",
    "histogram",
    "Time for choosing the next contacts.",
    (),
    (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5),
)

# -- EFSwitch

CONNECTED = _gauge("dialer_esl_connected", "1 while logged in to the switch's event socket.", "switch")
READY = _gauge("dialer_esl_ready", "1 while calls may be placed through the switch.", "switch")
RECONNECTS = _counter("dialer_esl_reconnects_total", "Log-ins to the switch after the first.", "switch")
EVENTS = _counter("dialer_esl_events_total", "Events that came from the switch.", "switch", "event")
DROPPED = _counter(
    "dialer_esl_events_dropped_total", "Events that came from the switch and could not be read.", "switch"
)
REPEATED = _counter("dialer_esl_events_repeated_total", "Events that told what they had told before.", "event")
RECONCILED = _counter(
    "dialer_reconciled_calls_total",
    "Contacts whose state was found out by comparing with the database and with EFSwitch.",
    "found",
)

# -- the voice connector

VC_UP = _gauge("dialer_voice_connector_up", "1 while the voice connector answers.")
AGENT_REQUESTS = _counter("dialer_agent_requests_total", "Agent requests, by what is known of them.", "answer")
AGENT_REPLIES = _counter("dialer_agent_replies_total", "Replies to agent requests.", "agent")
NOTIFICATIONS = _gauge("dialer_notifications", "Messages that the voice connector does not have.", "kind", "state")
OLDEST = _gauge(
    "dialer_notifications_oldest_seconds", "Age of the oldest message that waits for the voice connector; 0: none does."
)
DELIVERIES = _counter("dialer_deliveries_total", "Tries of this process to deliver a message.", "outcome")
DELIVERING = _gauge("dialer_deliveries_under_way", "Deliveries that wait for the voice connector's answer.")

WEBHOOKS = _gauge("dialer_webhooks", "Webhooks that their receiver does not have.", "destination", "state")
WEBHOOKS_OLDEST = _gauge(
    "dialer_webhooks_oldest_seconds",
    "Age of the oldest webhook that waits for its receiver; 0: none does.",
    "destination",
)
WEBHOOK_DELIVERIES = _counter(
    "dialer_webhook_deliveries_total", "Tries of this process to deliver a webhook.", "destination", "outcome"
)

# -- the database

DATABASE_UP = _gauge("dialer_database_up", "1 when PostgreSQL answered the questions of this scrape.")
POOL_SIZE = _gauge("dialer_database_pool_size", "Connections that the pool opens at most.", "pool")
POOL = _gauge("dialer_database_connections", "Connections of the pool that are open.", "pool", "state")
POOL_WAITING = _gauge("dialer_database_waiting", "Statements that wait for a connection.", "pool")
DATABASE_ERRORS = _counter("dialer_database_errors_total", "Statements that were not served.", "kind")
RESULTS_WAITING = _gauge("dialer_results_waiting", "Results of calls that the database does not have yet.")
RESULTS_DROPPED = _counter("dialer_results_dropped_total", "Results of calls that were given up.")
HISTORY_LOST = _counter("dialer_history_lines_lost_total", "Lines of histories that were given up.")

# -- HTTP, and the process

REQUESTS = _counter("dialer_http_requests_total", "HTTP requests.", "method", "route", "status")
REQUEST_TIME = Metric(
    "dialer_http_request_duration_seconds",
    "histogram",
    "Time from the head of an HTTP request to the end of its answer.",
    ("method", "route"),
    (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
REFUSED = _counter("dialer_http_refused_total", "Connections and requests that met a limit.", "reason")
CONNECTIONS = _gauge("dialer_http_connections", "HTTP connections that are open.")
CERTIFICATE_EXPIRES = _gauge(
    "dialer_tls_certificate_expires_timestamp_seconds",
    "When a certificate of the dialer's own expires, in seconds since 1970.",
    "certificate",
)
DIALER_READY = _gauge("dialer_ready", "1 while it can dial, as /readyz says.")
LEASE = _gauge("dialer_lease_held", "1 while this dialer holds the lease on its name.")
INFO = _gauge("dialer_info", "1, for the version and the name of this dialer.", "version", "dialer")

CATALOGUE: Sequence[Metric] = [each for each in tuple(vars().values()) if isinstance(each, Metric)]
"""All of them, in the order above."""
