"""A PostgreSQL whose disk is full: nothing is lost, and all goes on when there is room again."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import psycopg2
import pytest
import pytest_twisted
from hamcrest import (
    assert_that,
    contains_exactly,
    contains_string,
    greater_than,
    has_entries,
    has_length,
    is_,
    less_than,
)

from dialer.postgres import EmbeddedPostgres
from tests.conftest import FAST, wait_for
from tests.service.shared import SLACK, TIMEOUT, listening, stopwatch
from tests.service.test_outages import (
    KEPT,
    all_hang_up,
    is_dialed_to_its_end,
    results_waiting,
    several_calls,
    soon,
)
from tests.service.world import World, ivr

sure = pytest_twisted.ensureDeferred

SIZE = "160m"
"""Of the disk: some 60 MB are PostgreSQL's own."""


class Disk:
    """A small disk with a server on it, and what fills the rest."""

    def __init__(self, folder: Path, server: EmbeddedPostgres) -> None:
        self._ballast = folder / "ballast"
        self._server = server
        self.conninfo = ""

    def fill(self) -> None:
        """Leave no room."""
        with self._ballast.open("wb", buffering=0) as ballast:
            try:
                while True:
                    ballast.write(bytes(1 << 16))
            except OSError:
                os.fsync(ballast)

    def free(self) -> None:
        """Make room again."""
        self._ballast.unlink()

    async def use_up_the_log(self) -> None:
        """Write until the server cannot go on, as it has no room for its write-ahead log."""
        with closing(psycopg2.connect(self.conninfo)) as connection:
            connection.autocommit = True
            cursor = connection.cursor()
            with suppress(psycopg2.OperationalError):
                while True:
                    cursor.execute("SELECT pg_logical_emit_message(true, 'full', 'disk'), pg_switch_wal()")

    async def restart(self) -> None:
        """What an operator does once there is room."""
        await self._server.stop()
        await self._server.start()


@pytest.fixture
def disk(reactor: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Disk]:
    """A disk of its own; skips the test where none can be mounted."""
    folder = tmp_path_factory.mktemp("disk")
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(folder)],
        capture_output=True,
        check=False,
        text=True,
    )
    if mounted.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {mounted.stderr.strip()}")
    server = EmbeddedPostgres(reactor, folder / "pg", options=FAST | {"min_wal_size": "32MB", "max_wal_size": "64MB"})
    disk = Disk(folder, server)
    try:
        disk.conninfo = wait_for(reactor, server.start)
        yield disk
    finally:
        wait_for(reactor, server.stop)
        subprocess.run(["umount", str(folder)], check=True)


@pytest_twisted.async_yield_fixture
async def world(disk: Disk) -> Any:
    """A dialer on that disk."""
    world = World(disk.conninfo, DB_CONN_TIMEOUT=str(TIMEOUT * 1000))
    await world.open()
    await world.start()
    await world.until_ready()
    yield world
    await world.close()


def many(count: int) -> list[dict[str, Any]]:
    return [ivr(startTime=soon(3600), schedulingMetadata={"note": "x" * 2000}) for _ in range(count)]


@sure
async def test_what_cannot_be_stored_is_refused_in_time_and_stored_when_there_is_room_again(
    world: World, disk: Disk
) -> None:
    contacts = await several_calls(world, 3)
    disk.fill()
    with listening() as heard:
        stored = 0
        while True:
            posted = many(200)
            with stopwatch() as took:
                reply = await world.post("/contacts", posted)
            assert_that(took[0], is_(less_than(TIMEOUT + SLACK)))
            if reply.status != 200:
                break
            stored += len(posted)
        assert_that((reply.status, reply.body["error"]["code"]), is_((503, "database_down")))
        (said,) = await world.until(lambda: heard.lines("DATABASE CANCELLED A STATEMENT (53100)"))
        assert_that(said, contains_string("No space left on device"))
        attempts = [attempt for contact in contacts for attempt in world.attempts(contact)]
        all_hang_up(world)
        await world.until(lambda: all(attempt.ended_at for attempt in attempts), "the end of the calls")
    disk.free()
    for contact in contacts:
        await is_dialed_to_its_end(world, contact)
    reply = await world.post("/contacts", posted)
    assert_that((reply.status, reply.body["accepted"] + reply.body["duplicates"]), is_((200, len(posted))))
    total = (await world.get("/campaign/campaign-1")).body["total"]
    assert_that(total, is_(len(contacts) + stored + len(posted)))


@sure
async def test_results_are_kept_while_the_server_is_down_for_want_of_room_and_written_after_it_was_started_again(
    world: World, disk: Disk
) -> None:
    contacts = await several_calls(world, 3)
    disk.fill()
    with listening() as heard:
        await disk.use_up_the_log()
        all_hang_up(world)
        body = await world.until(results_waiting(world, 3), "the results to be kept")
        assert_that(body, has_entries(database="down", resultsDropped=0))
        await world.until(lambda: heard.lines(KEPT))
        assert_that((await world.post("/contact", ivr())).status, is_(503))
        assert_that(heard.lines("DATABASE CONNECTION ERROR"), has_length(greater_than(0)))
        disk.free()
        await disk.restart()
        for contact in contacts:
            await is_dialed_to_its_end(world, contact)
        assert_that(heard.lines(KEPT), has_length(1))
    assert_that([len(world.notifications(contact)) for contact in contacts], contains_exactly(1, 1, 1))
