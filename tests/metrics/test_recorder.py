"""What is counted, and that no word of somebody else's becomes a series of its own."""

from __future__ import annotations

from typing import Any

import pytest
from hamcrest import assert_that, equal_to, has_entries, has_item, has_length, is_, less_than, not_
from prometheus_client import CollectorRegistry

from dialer.esl.session import EVENTS
from dialer.meter import Meter, Reconciled, Turn
from dialer.metrics import catalogue
from dialer.metrics.recorder import Recorder
from dialer.outcome import KNOWN_RESULTS

RANG = {"campaign_type": "IVR"}


class Counted:
    """A recorder and its registry."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.meter: Meter = Recorder(self.registry, ["fs1:8021"])

    def value(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(name, labels)

    def series(self, name: str) -> list[dict[str, str]]:
        return [sample.labels for family in self.registry.collect() for sample in family.samples if sample.name == name]


@pytest.fixture
def counted() -> Counted:
    return Counted()


def test_each_thing_that_happens_counts_where_it_belongs(counted: Counted) -> None:
    meter = counted.meter
    meter.sent("IVR", "fs1:8021")
    meter.settled("AGENT", "Invalid Gateway")
    meter.settled("IVR", None)
    meter.heard("fs1:8021", "CHANNEL_ANSWER")
    meter.repeated("BACKGROUND_JOB")
    meter.reconciled(Reconciled.GONE)
    meter.asked_for_agent("refused")
    meter.agent_replied(reserved=False)
    meter.database_failed("cancelled")
    meter.served("GET", "/contact/{contact_id}", "404", 0.002)
    for name, labels in {
        "dialer_dial_attempts_total": {"campaign_type": "IVR", "switch": "fs1:8021"},
        "dialer_outcomes_total": {"campaign_type": "AGENT", "result": "INVALID_GATEWAY"},
        "dialer_returns_total": {"campaign_type": "IVR"},
        "dialer_esl_events_total": {"switch": "fs1:8021", "event": "CHANNEL_ANSWER"},
        "dialer_esl_events_repeated_total": {"event": "BACKGROUND_JOB"},
        "dialer_reconciled_calls_total": {"found": "gone"},
        "dialer_agent_requests_total": {"answer": "refused"},
        "dialer_agent_replies_total": {"agent": "none"},
        "dialer_database_errors_total": {"kind": "cancelled"},
        "dialer_http_requests_total": {"method": "GET", "route": "/contact/{contact_id}", "status": "404"},
        "dialer_http_request_duration_seconds_count": {"method": "GET", "route": "/contact/{contact_id}"},
    }.items():
        assert_that(counted.value(name, **labels), equal_to(1), f"{name} {labels}")


@pytest.mark.parametrize(
    ("tell", "metric", "labels"),
    [
        (lambda meter, s: meter.rang("IVR", s, answered=True), catalogue.RING, RANG | {"answered": "yes"}),
        (lambda meter, s: meter.rang("IVR", s, answered=False), catalogue.RING, RANG | {"answered": "no"}),
        (lambda meter, s: meter.talked("AGENT", s), catalogue.TALK, {"campaign_type": "AGENT"}),
        (lambda meter, s: meter.waited(Turn.CALL, s), catalogue.WAIT, {"turn": "call"}),
        (lambda meter, s: meter.waited(Turn.AGENT_REQUEST, s), catalogue.WAIT, {"turn": "agent_request"}),
        (lambda meter, s: meter.chose(s), catalogue.SELECTION, {}),
        (lambda meter, s: meter.served("GET", "/status", "200", s), catalogue.REQUEST_TIME,
         {"method": "GET", "route": "/status"}),
    ],
)  # fmt: skip
def test_a_duration_falls_into_its_bucket(counted: Counted, tell: Any, metric: Any, labels: dict[str, str]) -> None:
    bounds = [float(bound) for bound in metric.buckets]
    tell(counted.meter, bounds[1])
    assert_that(counted.value(f"{metric.name}_bucket", le=str(bounds[0]), **labels), equal_to(0))
    assert_that(counted.value(f"{metric.name}_bucket", le=str(bounds[1]), **labels), equal_to(1))
    assert_that(counted.value(f"{metric.name}_sum", **labels), equal_to(bounds[1]))


def test_what_is_not_known_counts_as_other(counted: Counted) -> None:
    for number in range(50):
        counted.meter.settled(f"TYPE-{number}", f"CAUSE_{number}")
        counted.meter.heard("fs1:8021", f"EVENT_{number}")
        counted.meter.served(f"BREW{number}", "none", "405", 0.1)
    assert_that(counted.value("dialer_outcomes_total", campaign_type="OTHER", result="OTHER"), equal_to(50))
    assert_that(counted.value("dialer_esl_events_total", switch="fs1:8021", event="OTHER"), equal_to(50))
    assert_that(counted.value("dialer_http_requests_total", method="OTHER", route="none", status="405"), equal_to(50))
    assert_that(counted.series("dialer_outcomes_total"), has_length(1))
    assert_that(counted.series("dialer_esl_events_total"), has_length(len(EVENTS) + 1))


def test_every_known_result_has_a_series_of_its_own(counted: Counted) -> None:
    for result in KNOWN_RESULTS:
        counted.meter.settled("IVR", result)
    assert_that(counted.series("dialer_outcomes_total"), has_length(len(KNOWN_RESULTS)))
    assert_that(len(KNOWN_RESULTS), less_than(100))
    assert_that(counted.series("dialer_outcomes_total"), not_(has_item(has_entries(result="OTHER"))))


def test_what_may_happen_for_the_first_time_is_exported_before_it_does(counted: Counted) -> None:
    assert_that(counted.value("dialer_dial_attempts_total", campaign_type="AGENT", switch="fs1:8021"), equal_to(0))
    for found in Reconciled:
        assert_that(counted.value("dialer_reconciled_calls_total", found=str(found)), equal_to(0))


def test_a_meter_that_is_not_listened_to_forgets(counted: Counted) -> None:
    before = counted.value("dialer_returns_total", campaign_type="IVR")
    Meter().settled("IVR", None)
    assert_that(counted.value("dialer_returns_total", campaign_type="IVR"), is_(before))
