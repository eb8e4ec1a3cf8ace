"""The documents that go with the metrics: the list of them, the dashboard and the alert rules."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml
from hamcrest import (
    assert_that,
    contains_string,
    empty,
    equal_to,
    greater_than,
    has_key,
    has_length,
    is_,
    is_in,
    matches_regexp,
    not_,
    only_contains,
)

from dialer.esl.session import EVENTS
from dialer.metrics.catalogue import CATALOGUE
from dialer.metrics.recorder import METHODS, OTHER
from dialer.outcome import KNOWN_RESULTS, wire_result
from dialer.store.database import FAILURES

DOCS = Path(__file__).parents[2] / "docs"
LISTED = (DOCS / "metrics.md").read_text(encoding="utf-8")
DASHBOARD = json.loads((DOCS / "grafana" / "dashboard.json").read_text(encoding="utf-8"))
RULES = yaml.safe_load((DOCS / "prometheus" / "alerts.yml").read_text(encoding="utf-8"))
ALERTS = [rule for group in RULES["groups"] for rule in group["rules"]]

NOT_OURS = {"up", "process_resident_memory_bytes", "process_cpu_seconds_total"}
"""Of Prometheus itself, and of the process."""


def samples() -> dict[str, set[str]]:
    """The names of all series that are exported, with their labels."""
    names: dict[str, set[str]] = {}
    for metric in CATALOGUE:
        labels = set(metric.labels)
        if metric.kind == "histogram":
            names |= {f"{metric.name}_bucket": labels | {"le"}}
            names |= {f"{metric.name}_{part}": labels for part in ("sum", "count")}
        else:
            names[metric.name] = labels
    return names


SAMPLES = samples()
RESULTS = re.compile(r'result=~"([^"]+)"')
EVERYWHERE = {"instance", "job"}
"""The labels that Prometheus gives to what it scrapes."""


def selectors(expression: Any) -> Iterator[promql_parser.VectorSelector]:
    """Whatever an expression reads."""
    if isinstance(expression, promql_parser.VectorSelector):
        yield expression
    elif isinstance(expression, promql_parser.MatrixSelector):
        yield expression.vector_selector
    for part in ("expr", "lhs", "rhs"):
        if (inner := getattr(expression, part, None)) is not None:
            yield from selectors(inner)
    for argument in getattr(expression, "args", ()) or ():
        yield from selectors(argument)


def grouped(expression: Any) -> Iterator[str]:
    """The labels that its aggregations keep."""
    modifier = getattr(expression, "modifier", None)
    if isinstance(expression, promql_parser.AggregateExpr) and modifier is not None:
        yield from modifier.labels
    for part in ("expr", "lhs", "rhs"):
        if (inner := getattr(expression, part, None)) is not None:
            yield from grouped(inner)
    for argument in getattr(expression, "args", ()) or ():
        yield from grouped(argument)


def parsed(text: str) -> Any:
    """As Prometheus reads it, with Grafana's variables filled in."""
    return promql_parser.parse(text.replace("$__rate_interval", "5m").replace("$instance", ".*"))


def queries() -> list[str]:
    return [target["expr"] for panel in DASHBOARD["panels"] for target in panel.get("targets", ())]


# --- the list


def rows() -> list[list[str]]:
    lines = [line for line in LISTED.splitlines() if line.startswith("| `dialer_")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def test_every_metric_is_listed_with_its_kind_labels_and_meaning() -> None:
    listed = [(cells[0].strip("` "), cells[1], re.findall(r"`(\w+)`", cells[2]), cells[3].strip()) for cells in rows()]
    assert_that(listed, equal_to([(each.name, each.kind, list(each.labels), each.meaning) for each in CATALOGUE]))


def test_every_label_is_listed_with_its_values() -> None:
    table = LISTED[LISTED.index("## The labels") :]
    listed = {name.strip(): values for name, values in re.findall(r"^\| (`[^|]+) \| (.+) \|$", table, re.MULTILINE)}
    told = {label for cell in listed for label in re.findall(r"`(\w+)`", cell)}
    assert_that(told, equal_to({label for metric in CATALOGUE for label in metric.labels}))
    assert_that(set(re.findall(r"`(\w+)`", listed["`kind` of errors"])), equal_to(set(FAILURES)))
    assert_that(set(re.findall(r"`(\w+)`", listed["`method`"])), equal_to({*METHODS, OTHER}))
    assert_that(set(re.findall(r"`(\w+)`", listed["`event`"])), equal_to({*EVENTS, OTHER}))


def test_names_follow_the_conventions_of_prometheus() -> None:
    for metric in CATALOGUE:
        assert_that(metric.name, matches_regexp(r"\Adialer(_[a-z]+)+\Z"))
        assert_that(metric.name.endswith("_total"), is_(metric.kind == "counter"), metric.name)
        if metric.kind == "histogram":
            assert_that(metric.name.endswith("_seconds"), metric.name)
            assert_that(list(metric.buckets), equal_to(sorted(set(metric.buckets))))
        assert_that(metric.meaning.endswith("."), metric.name)


def test_no_label_names_a_contact_a_campaign_or_a_customer() -> None:
    forbidden = re.compile(r"campaign(_id)?\Z|contact|customer|number|uuid|\Aid\Z|gateway|tenant|path")
    for metric in CATALOGUE:
        assert_that([label for label in metric.labels if forbidden.search(label)], is_(empty()), metric.name)


# --- the rules


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: rule["alert"])
def test_an_alert_is_one_that_prometheus_takes_over_metrics_that_exist(rule: dict[str, Any]) -> None:
    expression = parsed(rule["expr"])
    read = list(selectors(expression))
    assert_that(read, has_length(greater_than(0)))
    for selector in read:
        assert_that(selector.name, is_in({*SAMPLES, *NOT_OURS}))
        known = SAMPLES.get(selector.name, set()) | EVERYWHERE
        assert_that({matcher.name for matcher in selector.matchers.matchers} - known, is_(empty()), selector.name)
    labels = set().union(*(SAMPLES.get(selector.name, set()) for selector in read)) | EVERYWHERE
    assert_that(set(grouped(expression)) - labels, is_(empty()))
    if "for" in rule:
        assert_that(rule["for"], matches_regexp(r"\A[1-9][0-9]*[smh]\Z"))
    assert_that(set(rule) - {"alert", "expr", "for", "labels", "annotations"}, is_(empty()))


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: rule["alert"])
def test_an_alert_says_what_it_is_about_and_what_to_do(rule: dict[str, Any]) -> None:
    assert_that(rule["alert"], matches_regexp(r"\ADialer([A-Z][a-z]+)+\Z"))
    assert_that(rule["labels"], equal_to({"severity": rule["labels"]["severity"]}))
    assert_that(rule["labels"]["severity"], is_in(["critical", "warning", "info"]))
    notes = rule["annotations"]
    assert_that(set(notes), equal_to({"summary", "description", "runbook_url"}))
    assert_that(notes["runbook_url"], equal_to(f"operations.md#{rule['alert'].lower()}"))
    assert_that(len(notes["description"]), greater_than(60))
    # A label that the expression drops would be shown as nothing.
    kept = kept_by(parsed(rule["expr"]))
    for name in re.findall(r"\$labels\.(\w+)", notes["summary"] + notes["description"]):
        assert_that(name, is_in(kept))


def kept_by(expression: Any) -> set[str]:
    """The labels of what an expression gives, as far as these rules need it."""
    match expression:
        case promql_parser.AggregateExpr():
            return set(expression.modifier.labels) if expression.modifier is not None else set()
        case promql_parser.VectorSelector():
            return SAMPLES.get(expression.name, set()) | EVERYWHERE
        case promql_parser.MatrixSelector():
            return kept_by(expression.vector_selector)
        case promql_parser.BinaryExpr():
            return kept_by(expression.lhs)
        case promql_parser.Call():
            return kept_by(expression.args[0])
        case promql_parser.ParenExpr():
            return kept_by(expression.expr)
    raise AssertionError(expression)


def test_every_alert_has_its_section_in_the_manual_and_no_other_is_there() -> None:
    manual = (DOCS / "operations.md").read_text(encoding="utf-8")
    sections = re.findall(r"^### (Dialer\w+)$", manual, re.MULTILINE)
    assert_that(sections, equal_to([rule["alert"] for rule in ALERTS]))


def test_no_two_alerts_have_the_same_name() -> None:
    assert_that({rule["alert"] for rule in ALERTS}, has_length(len(ALERTS)))


def test_the_call_results_that_rules_name_are_known() -> None:
    named = {name for rule in ALERTS for found in RESULTS.findall(rule["expr"]) for name in found.split("|")}
    assert_that(named, not_(empty()))
    assert_that(named - {*map(wire_result, KNOWN_RESULTS), OTHER}, is_(empty()))


@pytest.mark.parametrize(
    "metric",
    [
        "dialer_ready",
        "dialer_database_up",
        "dialer_database_errors_total",
        "dialer_lease_held",
        "dialer_esl_connected",
        "dialer_esl_ready",
        "dialer_esl_reconnects_total",
        "dialer_esl_events_dropped_total",
        "dialer_reconciled_calls_total",
        "dialer_voice_connector_up",
        "dialer_notifications",
        "dialer_notifications_oldest_seconds",
        "dialer_webhooks",
        "dialer_webhooks_oldest_seconds",
        "dialer_tls_certificate_expires_timestamp_seconds",
        "dialer_results_waiting",
        "dialer_results_dropped_total",
        "dialer_outcomes_total",
        "dialer_http_requests_total",
    ],
)
def test_what_somebody_should_be_woken_for_has_an_alert(metric: str) -> None:
    read = {selector.name for rule in ALERTS for selector in selectors(parsed(rule["expr"]))}
    assert_that(read, not_(empty()))
    assert_that(metric, is_in(read))


# --- the dashboard


def test_every_metric_is_on_the_dashboard_and_nothing_that_does_not_exist() -> None:
    read = {selector.name for query in queries() for selector in selectors(parsed(query))}
    assert_that(read - {*SAMPLES, *NOT_OURS}, is_(empty()))
    shown = {re.sub("_bucket$", "", name) for name in read}
    assert_that({metric.name for metric in CATALOGUE} - shown, is_(empty()))


@pytest.mark.parametrize("query", queries())
def test_a_query_of_the_dashboard_uses_labels_that_exist(query: str) -> None:
    expression = parsed(query)
    for selector in selectors(expression):
        known = SAMPLES.get(selector.name, set()) | EVERYWHERE
        assert_that({matcher.name for matcher in selector.matchers.matchers} - known, is_(empty()))
        assert_that(set(grouped(expression)) - known, is_(empty()))


def test_a_counter_is_shown_as_a_rate_and_a_gauge_as_it_is() -> None:
    counters = {metric.name for metric in CATALOGUE if metric.kind == "counter"}
    for query in queries():
        for name in re.findall(r"dialer_\w+", query):
            rated = re.search(rf"(rate|increase)\({name}\{{", query) is not None
            assert_that(rated, is_(name in counters or name.endswith("_bucket")), query)


def test_the_dashboard_can_be_imported() -> None:
    assert_that(DASHBOARD, has_key("schemaVersion"))
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert_that(set(ids), has_length(len(ids)))
    variables = {variable["name"] for variable in DASHBOARD["templating"]["list"]}
    assert_that({"datasource", "instance"}, equal_to(variables))
    used = set(re.findall(r"\$\{?([a-z]\w*)", json.dumps(DASHBOARD["panels"])))
    assert_that(used - variables, is_(empty()))
    for panel in DASHBOARD["panels"]:
        assert_that(panel["type"], is_in(["row", "stat", "timeseries"]))
        if panel["type"] != "row":
            assert_that(panel["datasource"]["uid"], equal_to("${datasource}"))
            assert_that(panel["title"], not_(empty()))


def test_no_two_panels_cover_each_other() -> None:
    cells: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        mine = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert_that(at["x"] + at["w"], is_in(range(1, 25)), panel["title"])
        assert_that(cells & mine, is_(empty()), panel["title"])
        cells |= mine


def test_the_document_leads_to_the_dashboard_and_the_rules() -> None:
    assert_that(LISTED, contains_string("(grafana/dashboard.json)"))
    assert_that(LISTED, contains_string("(prometheus/alerts.yml)"))
    assert_that(["grafana", "prometheus"], only_contains(is_in([path.name for path in DOCS.iterdir()])))
