"""The commands at a terminal: what is shown there alone, and what never gets there."""

from __future__ import annotations

import os
import pty
import subprocess
from pathlib import Path

import psycopg2
import pytest_twisted
from hamcrest import assert_that, contains_string, equal_to, is_, matches_regexp, not_
from twisted.internet.threads import deferToThread

from tests.cli.runner import DIALER
from tests.process.twistd import clean_environment
from tests.service import shared
from tests.service.lists import LATER, campaign
from tests.service.world import World

sure = pytest_twisted.ensureDeferred
logged_failures = shared.logged_failures
world = shared.world

ENVIRONMENT: dict[str, str] = {}


async def at_a_terminal(world: World, *arguments: str | Path) -> tuple[int, str]:
    """Run a command at a terminal; its exit code, and all that the terminal got."""

    def spawn() -> tuple[int, str]:
        ours, theirs = pty.openpty()
        environment = clean_environment() | {"DIALER_URL": world.url, "TERM": "xterm", "COLUMNS": "120"}
        process = subprocess.Popen(
            [DIALER, *map(str, arguments)], env=environment, stdin=theirs, stdout=theirs, stderr=theirs
        )
        os.close(theirs)
        got = b""
        try:
            while data := _read(ours):
                got += data
            return process.wait(30), got.decode()
        finally:
            process.kill()
            os.close(ours)

    return await deferToThread(spawn)


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65_536)
    except OSError:  # the other side has closed it
        return b""


@sure
async def test_loading_shows_how_far_it_is_how_fast_it_goes_and_how_long_it_will_take(
    world: World, tmp_path: Path
) -> None:
    name = campaign()
    file = tmp_path / "list.csv"
    file.write_text("customerNumber,campaignId\n" + "".join(f"{number:05},{name}\n" for number in range(1500)))
    common = ("--set", "campaignType=IVR", "--set", "gatewayId=gw-1", "--set", f"startTime={LATER}")
    code, got = await at_a_terminal(world, "load", file, *common)
    assert_that(code, is_(0))
    assert_that(got, matches_regexp(r"(?s)━.*100%.*1,500 rows, [0-9,]+/s.*[0-9]:[0-9]{2}:[0-9]{2}"))
    last = got.splitlines()[-1].rpartition("\x1b[2K")[2]
    assert_that(last, equal_to(f"{file}: 1,500 rows read, 1,500 added, 0 there before, 0 rejected"))


@sure
async def test_results_shown_at_a_terminal_do_not_steer_it(world: World) -> None:
    name = campaign()
    with psycopg2.connect(world._conninfo) as connection, connection.cursor() as cursor:
        # As the table of another product may have it.
        cursor.execute(
            """INSERT INTO contacts (id, customer_number, campaign_type, gateway_id, campaign_id, campaign_contact_id,
            start_time) VALUES (%s, '1', 'IVR', 'g', %s, %s, %s)""",
            (f"c{name[2:30]}", name, "\x1b]0;x\x07ü", LATER),
        )
    code, got = await at_a_terminal(world, "export", name)
    assert_that(code, is_(0))
    assert_that(got, contains_string(r"\x1b]0;x\x07ü"))
    assert_that(got, not_(contains_string("\x1b")))
