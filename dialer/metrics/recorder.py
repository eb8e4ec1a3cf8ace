"""Counts what the parts tell of what they do."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics

from dialer.connector import AgentRequestKind
from dialer.contact import CampaignType
from dialer.esl.session import EVENTS as SUBSCRIBED
from dialer.meter import Meter, Reconciled, Refused, Turn
from dialer.metrics import catalogue
from dialer.metrics.catalogue import Metric
from dialer.outcome import KNOWN_RESULTS, wire_result
from dialer.store.database import FAILURES

OTHER = "OTHER"
"""In place of a word that is none of those known: what others sent must not become a series of its own."""

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")

# Each would be a further series for every other one, and tells only when the process was started.
disable_created_metrics()


class Series:
    """The series of a metric. A label's value that is not among its `known` ones counts as OTHER; of a label that is
    not named the values are bounded by who gives them. The series themselves are kept: finding one costs more than
    counting."""

    def __init__(self, registry: CollectorRegistry, metric: Metric, **known: Collection[str]) -> None:
        if metric.kind == "counter":
            self._family: Any = Counter(metric.name, metric.meaning, metric.labels, registry=registry)
        else:
            self._family = Histogram(
                metric.name, metric.meaning, metric.labels, registry=registry, buckets=metric.buckets
            )
        self._known = [known.get(label) for label in metric.labels]
        self._series: dict[tuple[str, ...], Any] = {}

    def of(self, *values: str) -> Any:
        """The series of these values, in the order of the metric's labels."""
        found = self._series.get(values)
        if found is None:
            bounded = [
                value if known is None or value in known else OTHER
                for value, known in zip(values, self._known, strict=True)
            ]
            found = self._family.labels(*bounded) if bounded else self._family
            if list(values) == bounded:
                self._series[values] = found
        return found

    def begin(self, *values: str) -> None:
        """Export it from the start, with nothing counted: so that the first time is seen as one."""
        self.of(*values)


class Recorder(Meter):
    """A meter that counts, in a registry. `switches` are the names of the switches that are configured."""

    def __init__(self, registry: CollectorRegistry, switches: Collection[str]) -> None:
        types = [str(each) for each in CampaignType]
        results = [*map(wire_result, KNOWN_RESULTS)]
        found = [str(each) for each in Reconciled]
        refusals = [str(each) for each in Refused]
        answers = [each.name.lower() for each in AgentRequestKind]

        def series(metric: Metric, **known: Collection[str]) -> Series:
            return Series(registry, metric, **known)

        self._attempts = series(catalogue.ATTEMPTS, campaign_type=types)
        self._outcomes = series(catalogue.OUTCOMES, campaign_type=types, result=results)
        self._returns = series(catalogue.RETURNS, campaign_type=types)
        self._ring = series(catalogue.RING, campaign_type=types)
        self._talk = series(catalogue.TALK, campaign_type=types)
        self._wait = series(catalogue.WAIT)
        self._selection = series(catalogue.SELECTION)
        self._events = series(catalogue.EVENTS, event=SUBSCRIBED)
        self._repeated = series(catalogue.REPEATED, event=SUBSCRIBED)
        self._reconciled = series(catalogue.RECONCILED, found=found)
        self._agent_requests = series(catalogue.AGENT_REQUESTS, answer=answers)
        self._agent_replies = series(catalogue.AGENT_REPLIES)
        self._database_errors = series(catalogue.DATABASE_ERRORS, kind=FAILURES)
        self._refused = series(catalogue.REFUSED, reason=refusals)
        self._requests = series(catalogue.REQUESTS, method=METHODS)
        self._request_time = series(catalogue.REQUEST_TIME, method=METHODS)

        for kind in types:
            self._returns.begin(kind)
            for switch in switches:
                self._attempts.begin(kind, switch)
        for switch in switches:
            for event in SUBSCRIBED:
                self._events.begin(switch, event)
        for event in SUBSCRIBED:
            self._repeated.begin(event)
        for each in found:
            self._reconciled.begin(each)
        for answer in answers:
            self._agent_requests.begin(answer)
        for agent in ("reserved", "none"):
            self._agent_replies.begin(agent)
        for failure in FAILURES:
            self._database_errors.begin(failure)
        for refusal in refusals:
            self._refused.begin(refusal)

    def sent(self, campaign_type: str, switch: str) -> None:
        self._attempts.of(campaign_type, switch).inc()

    def rang(self, campaign_type: str, seconds: float, *, answered: bool) -> None:
        self._ring.of(campaign_type, "yes" if answered else "no").observe(seconds)

    def talked(self, campaign_type: str, seconds: float) -> None:
        self._talk.of(campaign_type).observe(seconds)

    def settled(self, campaign_type: str, result: str | None) -> None:
        if result is None:
            self._returns.of(campaign_type).inc()
        else:
            self._outcomes.of(campaign_type, wire_result(result)).inc()

    def waited(self, turn: Turn, seconds: float) -> None:
        self._wait.of(turn).observe(seconds)

    def chose(self, seconds: float) -> None:
        self._selection.of().observe(seconds)

    def heard(self, switch: str, event: str) -> None:
        self._events.of(switch, event).inc()

    def repeated(self, event: str) -> None:
        self._repeated.of(event).inc()

    def reconciled(self, found: Reconciled) -> None:
        self._reconciled.of(found).inc()

    def asked_for_agent(self, answer: str) -> None:
        self._agent_requests.of(answer).inc()

    def agent_replied(self, *, reserved: bool) -> None:
        self._agent_replies.of("reserved" if reserved else "none").inc()

    def database_failed(self, kind: str) -> None:
        self._database_errors.of(kind).inc()

    def refused(self, reason: Refused) -> None:
        self._refused.of(reason).inc()

    def served(self, method: str, route: str, status: str, seconds: float) -> None:
        self._requests.of(method, route, status).inc()
        self._request_time.of(method, route).observe(seconds)
