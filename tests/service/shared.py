"""What several modules of service tests share: one world for a whole module, logs that are listened to, an outage.

A module that takes `world` and `logged_failures` from here starts its dialer once; both last as long as the module,
since a dialer at work always has timers.
"""

from __future__ import annotations

import itertools
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import psycopg2
import pytest
import pytest_twisted
from psycopg2.extensions import make_dsn
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.logger import LogEvent, LogLevel, formatEvent, globalLogPublisher

from dialer.esl.switch import Switch
from dialer.postgres import EmbeddedPostgres
from tests.conftest import FAST, TEMPLATE, wait_for
from tests.hygiene import LoggedFailures, watch
from tests.service.world import World

_numbers = itertools.count(1)


def administer(conninfo: str, statement: str) -> None:
    """Run a statement that does not work within a transaction."""
    with closing(psycopg2.connect(conninfo)) as connection:
        connection.autocommit = True
        connection.cursor().execute(statement)


@pytest.fixture(scope="module", autouse=True)
def logged_failures(reactor: Any) -> Iterator[LoggedFailures]:
    """What the module, not each test of it, leaves behind."""
    yield from watch(reactor, lambda: wait_for(reactor, lambda: deferLater(reactor, 0)))


@pytest.fixture(scope="module")
def world(
    reactor: Any, postgres: str, logged_failures: LoggedFailures, request: pytest.FixtureRequest
) -> Iterator[World]:
    """A world whose dialer is started, with the module's ENVIRONMENT."""
    name = f"test_shared_{next(_numbers)}"
    administer(postgres, f"CREATE DATABASE {name} TEMPLATE {TEMPLATE}")
    built = World(make_dsn(postgres, dbname=name), **request.module.ENVIRONMENT)

    async def begin() -> None:
        await built.open()
        await built.start()
        await built.until_ready()

    try:
        wait_for(reactor, begin)
        yield built
    finally:
        wait_for(reactor, built.close)
        administer(postgres, f"DROP DATABASE {name} WITH (FORCE)")


class Outage:
    """A PostgreSQL that is there to be taken away. `conninfo` names a fresh database without a schema."""

    def __init__(self, server: EmbeddedPostgres, conninfo: str) -> None:
        self._server = server
        self.conninfo = conninfo

    async def begin(self) -> None:
        """Stop the server, as a reboot does."""
        await self._server.stop()

    async def end(self) -> None:
        """Start it again on the same data."""
        await self._server.start()

    @asynccontextmanager
    async def under_way(self, *, silent: bool) -> AsyncIterator[None]:
        """The block runs without the server, which is stopped, or silent."""
        if silent:
            with self.frozen():
                yield
        else:
            await self.begin()
            yield
            await self.end()

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """A server that takes connections and answers nobody, as behind a network that drops everything."""
        assert self._server.pid is not None
        stopped = [self._server.pid, *_children(self._server.pid)]
        for pid in stopped:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in stopped:
                os.kill(pid, signal.SIGCONT)


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.fixture(scope="module")
def server(reactor: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[EmbeddedPostgres, str]]:
    """A PostgreSQL of the module's own, and how to reach it; a test that stops it starts it again."""
    embedded = EmbeddedPostgres(reactor, tmp_path_factory.mktemp("pg"), options=FAST)
    conninfo = wait_for(reactor, embedded.start)
    yield embedded, conninfo
    wait_for(reactor, embedded.stop)


@pytest.fixture
def outage(reactor: Any, server: tuple[EmbeddedPostgres, str]) -> Outage:
    """That server, running."""
    embedded, conninfo = server
    if embedded.pid is None:
        wait_for(reactor, embedded.start)
    name = f"outage_{next(_numbers)}"
    administer(conninfo, f"CREATE DATABASE {name}")
    return Outage(embedded, make_dsn(conninfo, dbname=name))


TIMEOUT = 1.5
"""Seconds of DB_CONN_TIMEOUT of a `fragile` world: what a sound database takes is well below, on a slow machine too."""

SLACK = 5.0
"""Seconds that a busy machine may take for everything that is not the wait for the database: far less than for ever."""


@pytest_twisted.async_yield_fixture
async def fragile(outage: Outage) -> Any:
    """A world on a database that the test takes away, with a dialer that can dial."""
    world = World(outage.conninfo, DB_CONN_TIMEOUT=str(TIMEOUT * 1000))
    await world.open()
    await world.start()
    await world.until_ready()
    yield world
    await world.close()


@contextmanager
def comparing(world: World) -> Iterator[None]:
    """EFSwitch is connected anew, and its live calls are not compared with the contacts before the block has ended."""
    asked, told = Switch.live_calls, Deferred[None]()

    async def held_back(switch: Switch) -> frozenset[str]:
        await told
        return await asked(switch)

    with patch.object(Switch, "live_calls", held_back):
        world.switch.drop()
        try:
            yield
        finally:
            told.callback(None)


class Heard:
    """What was logged while it listened."""

    def __init__(self) -> None:
        self.events: list[LogEvent] = []

    def __call__(self, event: LogEvent) -> None:
        self.events.append(event)

    def lines(self, text: str) -> list[str]:
        """The messages that contain this text."""
        return [message for message in map(formatEvent, self.events) if text in message]

    def errors(self) -> list[str]:
        """The messages of errors."""
        return [
            formatEvent(event)
            for event in self.events
            if event.get("log_level") in (LogLevel.error, LogLevel.critical) or event.get("isError")
        ]


@contextmanager
def listening() -> Iterator[Heard]:
    """Listen to the log of everything in this process."""
    heard = Heard()
    globalLogPublisher.addObserver(heard)
    try:
        yield heard
    finally:
        globalLogPublisher.removeObserver(heard)


@contextmanager
def stopwatch() -> Iterator[list[float]]:
    """Gives a list that holds the seconds that the block took, once it has ended."""
    took: list[float] = []
    began = time.monotonic()
    yield took
    took.append(time.monotonic() - began)
