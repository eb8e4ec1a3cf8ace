"""What the tests share: a real PostgreSQL, a database for each test, and a watch on what a test leaves behind."""

from __future__ import annotations

import gc
import itertools
from collections.abc import Callable, Iterator
from contextlib import closing
from random import Random
from typing import Any

import psycopg2
import pytest
import pytest_twisted
from hypothesis import HealthCheck, settings
from psycopg2.extensions import make_dsn
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.task import deferLater

from dialer.postgres import EmbeddedPostgres
from dialer.store.database import Database
from dialer.store.migrate import migrate
from tests.hygiene import LoggedFailures, watch

FAST = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "shared_buffers": "32MB",
    # It would look at the tables of whichever test runs when its minute is over, and change their plans.
    "autovacuum": "off",
}
TEMPLATE = "template_of_tests"
_numbers = itertools.count(1)

# How long an example takes says how busy the machine is, and nothing of the code. The suite is the same each time;
# `pytest --hypothesis-profile=explore` looks further.
settings.register_profile("suite", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
settings.register_profile("explore", settings.get_profile("suite"), derandomize=False, max_examples=2000)
settings.load_profile("suite")


def wait_for(reactor: Any, work: Callable[[], Any]) -> Any:
    """The result of an async function, from a fixture of any scope, which pytest-twisted does not do."""
    done: Deferred[Any] = Deferred()
    reactor.callLater(0, lambda: maybeDeferred(work).chainDeferred(done))
    return pytest_twisted.blockon(done)


@pytest.fixture(scope="session")
def reactor() -> Any:
    """The reactor that the tests run in."""
    from twisted.internet import reactor  # noqa: PLC0415

    return reactor


def pytest_collection_finish() -> None:
    """All modules are imported: keep their objects out of the collection that ends each test."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def logged_failures(reactor: Any) -> Iterator[LoggedFailures]:
    """Fails a test that leaves timers or unhandled errors behind; `flush()` takes out the failures that it expects."""
    yield from watch(reactor, lambda: wait_for(reactor, lambda: deferLater(reactor, 0)))


@pytest.fixture(scope="session")
def postgres(reactor: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The conninfo of a PostgreSQL for the whole session, with a migrated template database."""
    server = EmbeddedPostgres(reactor, tmp_path_factory.mktemp("pg"), options=FAST)
    conninfo = wait_for(reactor, server.start)
    try:
        _administer(conninfo, f"CREATE DATABASE {TEMPLATE}")
        wait_for(reactor, lambda: migrate(reactor, make_dsn(conninfo, dbname=TEMPLATE)))
        yield conninfo
    finally:
        wait_for(reactor, server.stop)


def _administer(conninfo: str, statement: str) -> None:
    with closing(psycopg2.connect(conninfo)) as connection:
        connection.autocommit = True
        connection.cursor().execute(statement)


@pytest.fixture
def conninfo(postgres: str) -> Iterator[str]:
    """The conninfo of a fresh database with the whole schema."""
    name = f"test_{next(_numbers)}"
    _administer(postgres, f"CREATE DATABASE {name} TEMPLATE {TEMPLATE}")
    yield make_dsn(postgres, dbname=name)
    _administer(postgres, f"DROP DATABASE {name} WITH (FORCE)")


@pytest_twisted.async_yield_fixture
async def database(reactor: Any, conninfo: str) -> Any:
    """A started Database on a fresh database."""
    service = Database(reactor, conninfo, timeout=5, application_name="test", random=Random(1))
    service.startService()
    await service.ready()
    yield service
    await service.stopService()
