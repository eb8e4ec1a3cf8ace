"""The page that is scraped, with the parts behind it in the hands of the test."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from attrs import frozen
from hamcrest import assert_that, contains_string, equal_to, is_, none, not_
from prometheus_client import CollectorRegistry
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock

from dialer.message import MessageKind
from dialer.meter import Turn
from dialer.metrics.exposition import PATIENCE, Exposition
from dialer.metrics.state import Measured, State
from dialer.store.database import DatabaseDown, Pool
from dialer.store.figures import Figures, FiguresStore
from dialer.store.outbox import Backlog
from dialer.tls.certificates import Shown
from tests.esl.support import result_of
from tests.hygiene import LoggedFailures
from tests.stand_in import stands_in_for

NOW = datetime(2026, 11, 26, 12, 0, tzinfo=UTC)
FIGURES = Figures(
    contacts={("IVR", "pending"): 3, ("FAX", "pending"): 4, ("FAX", "lost"): 1, ("IVR", "asleep"): 2},
    active=5,
    messages={
        MessageKind.NOTIFICATION: Backlog(waiting=2, since=NOW - timedelta(seconds=90), parked=1),
        MessageKind.END_CHAT: Backlog(waiting=1, since=NOW - timedelta(seconds=9), parked=6),
    },
    webhooks={"crm.example:443": Backlog(waiting=3, since=NOW - timedelta(seconds=40), parked=4)},
)


@stands_in_for(FiguresStore)
class Store:
    """Answers with what the test gives."""

    def __init__(self) -> None:
        self.asked = 0
        self.answer: Any = succeed(FIGURES)

    async def read(self) -> Figures:
        self.asked += 1
        return await self.answer


def measured(database: Any) -> Measured:
    """Parts at rest, with seven slots."""
    switch = SimpleNamespace(name="fs1:8021", connected=True, ready=False, log_ins=3, events_dropped=2)
    quiet = SimpleNamespace(waiting=4)
    return Measured(
        dialer="dialer-1",
        capacity=7,
        speed=2.5,
        calls=["c1", "c2"],  # type: ignore[arg-type]
        throttles={Turn.CALL: quiet, Turn.AGENT_REQUEST: quiet},  # type: ignore[dict-item]
        limits=SimpleNamespace(rates=lambda: {"fs1:8021": 1.5}),  # type: ignore[arg-type]
        fleet=SimpleNamespace(switches=[switch]),  # type: ignore[arg-type]
        connector=SimpleNamespace(up=True),  # type: ignore[arg-type]
        outbox=SimpleNamespace(delivered=1, retried=2, parked=3, under_way=4),  # type: ignore[arg-type]
        webhooks=SimpleNamespace(tries=lambda: {("RESULT_WEBHOOK_URL", "parked"): 5}),  # type: ignore[arg-type]
        settlement=SimpleNamespace(waiting=6, dropped=1),  # type: ignore[arg-type]
        journal=SimpleNamespace(lost=9),  # type: ignore[arg-type]
        lease=SimpleNamespace(held=False),  # type: ignore[arg-type]
        databases={"main": database},
        status=SimpleNamespace(reasons_not_ready=lambda: ["starting"]),  # type: ignore[arg-type]
        certificates=SimpleNamespace(shown=lambda: [Shown("HTTP_TLS_CERT", NOW, None)]),  # type: ignore[arg-type]
        http_connections=lambda: 12,
    )


class Bench:
    """An exposition over a store of the test's."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.store = Store()
        self.database: Any = SimpleNamespace(up=True, pool=Pool(size=8, open=3, idle=1, waiting=5))
        self.page = Exposition(self.clock, CollectorRegistry(), measured(self.database), self.store)  # type: ignore[arg-type]

    def scrape(self) -> Deferred[tuple[str, bytes]]:
        return Deferred.fromCoroutine(self.page.scrape(""))

    def scraped(self) -> str:
        """The page, which must be there at once."""
        return text(self.scrape())


def text(scrape: Deferred[tuple[str, bytes]]) -> str:
    found = result_of(scrape)
    assert found is not None, "it is not answered yet"
    return found[1].decode()


@pytest.fixture
def bench() -> Bench:
    return Bench()


UP, DOWN = "\ndialer_database_up 1.0\n", "\ndialer_database_up 0.0\n"


def test_a_scrape_shows_what_the_database_says(bench: Bench) -> None:
    assert_that(bench.scraped(), contains_string(UP))
    assert_that(bench.scraped(), contains_string('dialer_contacts{campaign_type="IVR",status="pending"} 3.0\n'))


def test_a_database_that_is_known_to_be_down_is_not_asked(bench: Bench) -> None:
    bench.database.up = False
    assert_that(bench.scraped(), contains_string(DOWN))
    assert_that(bench.store.asked, equal_to(0))


def test_a_database_that_fails_leaves_its_figures_out(bench: Bench) -> None:
    bench.scraped()
    bench.store.answer = fail(DatabaseDown("down"))
    page = bench.scraped()
    assert_that(page, contains_string(DOWN))
    assert_that(page, not_(contains_string("dialer_contacts{")))


def test_a_fault_of_our_own_is_logged_and_leaves_them_out(bench: Bench, logged_failures: LoggedFailures) -> None:
    bench.store.answer = fail(ZeroDivisionError())
    assert_that(bench.scraped(), contains_string(DOWN))
    logged_failures.flush(ZeroDivisionError)


def test_a_database_that_does_not_answer_is_waited_for_so_long_and_no_longer(bench: Bench) -> None:
    bench.store.answer = Deferred()
    scrape = bench.scrape()
    bench.clock.advance(PATIENCE - 0.1)
    assert_that(scrape.called, is_(False))
    bench.clock.advance(0.1)
    assert_that(text(scrape), contains_string(DOWN))


def test_those_who_scrape_at_the_same_time_share_one_question(bench: Bench) -> None:
    bench.store.answer = answer = Deferred()
    scrapes = [bench.scrape() for _ in range(3)]
    bench.clock.advance(PATIENCE)
    late = bench.scrape()
    # The question is still under way: it is not asked again.
    assert_that(bench.store.asked, equal_to(1))
    answer.callback(FIGURES)
    assert_that([text(scrape).count(DOWN) for scrape in scrapes], equal_to([1, 1, 1]))
    assert_that(text(late), contains_string(UP))
    assert_that(bench.clock.getDelayedCalls(), equal_to([]))
    bench.store.answer = succeed(FIGURES)
    assert_that(bench.scraped(), contains_string(UP))
    assert_that(bench.store.asked, equal_to(2))


# --- how things stand


@frozen
class Read:
    """A page, to be asked for its values."""

    samples: dict[tuple[str, frozenset[tuple[str, str]]], float]

    def value(self, name: str, **labels: str) -> float | None:
        return self.samples.get((name, frozenset(labels.items())))


@pytest.fixture
def read(bench: Bench) -> Read:
    state = State(measured(bench.database), now=lambda: NOW)
    state.figures = FIGURES
    return Read({(s.name, frozenset(s.labels.items())): s.value for f in state.collect() for s in f.samples})


@pytest.mark.parametrize(
    ("name", "labels", "value"),
    [
        ("dialer_slots", {}, 7),
        ("dialer_slots_used", {}, 5),
        ("dialer_slots_free", {}, 2),
        ("dialer_calls", {}, 2),
        ("dialer_calls_per_second_limit", {}, 2.5),
        ("dialer_switch_calls_per_second_limit", {"switch": "fs1:8021"}, 1.5),
        ("dialer_throttle_waiting", {"turn": "call"}, 4),
        ("dialer_esl_connected", {"switch": "fs1:8021"}, 1),
        ("dialer_esl_ready", {"switch": "fs1:8021"}, 0),
        ("dialer_esl_reconnects_total", {"switch": "fs1:8021"}, 2),
        ("dialer_esl_events_dropped_total", {"switch": "fs1:8021"}, 2),
        ("dialer_notifications", {"kind": "notification", "state": "waiting"}, 2),
        ("dialer_notifications", {"kind": "notification", "state": "parked"}, 1),
        ("dialer_notifications", {"kind": "end_chat", "state": "waiting"}, 1),
        ("dialer_notifications", {"kind": "end_chat", "state": "parked"}, 6),
        ("dialer_webhooks", {"destination": "crm.example:443", "state": "waiting"}, 3),
        ("dialer_webhooks", {"destination": "crm.example:443", "state": "parked"}, 4),
        ("dialer_webhooks_oldest_seconds", {"destination": "crm.example:443"}, 40),
        (
            "dialer_tls_certificate_expires_timestamp_seconds",
            {"certificate": "HTTP_TLS_CERT"},
            datetime(2026, 11, 26, 12, 0, tzinfo=UTC).timestamp(),
        ),
        ("dialer_notifications_oldest_seconds", {}, 90),
        ("dialer_deliveries_total", {"outcome": "retried"}, 2),
        ("dialer_database_pool_size", {"pool": "main"}, 8),
        ("dialer_database_connections", {"pool": "main", "state": "in_use"}, 2),
        ("dialer_database_connections", {"pool": "main", "state": "idle"}, 1),
        ("dialer_database_waiting", {"pool": "main"}, 5),
        ("dialer_results_waiting", {}, 6),
        ("dialer_results_dropped_total", {}, 1),
        ("dialer_history_lines_lost_total", {}, 9),
        ("dialer_ready", {}, 0),
        ("dialer_lease_held", {}, 0),
        ("dialer_info", {"dialer": "dialer-1", "version": "0.1.0"}, 1),
    ],
)
def test_the_state_of_the_parts_is_what_is_told(read: Read, name: str, labels: dict[str, str], value: float) -> None:
    assert_that(read.value(name, **labels), equal_to(value))


def test_words_of_another_product_count_as_other(read: Read) -> None:
    assert_that(read.value("dialer_contacts", campaign_type="OTHER", status="pending"), equal_to(4))
    assert_that(read.value("dialer_contacts", campaign_type="OTHER", status="OTHER"), equal_to(1))
    assert_that(read.value("dialer_contacts", campaign_type="IVR", status="OTHER"), equal_to(2))
    assert_that(read.value("dialer_contacts", campaign_type="FAX", status="pending"), none())


def test_a_kind_of_which_there_is_none_is_zero(read: Read) -> None:
    assert_that(read.value("dialer_contacts", campaign_type="AGENT", status="failed"), equal_to(0))
