"""How a process starts: with all that it needs, with a wrong setting, and before those that it works with are there."""

from __future__ import annotations

import socket
from contextlib import closing
from pathlib import Path

import pytest
import pytest_twisted
from hamcrest import (
    all_of,
    assert_that,
    contains_string,
    empty,
    equal_to,
    has_entries,
    has_length,
    is_,
    matches_regexp,
    not_,
    starts_with,
)
from psycopg2.extensions import parse_dsn

from tests.process.street import Street
from tests.process.twistd import Twistd
from tests.service.world import ivr

sure = pytest_twisted.ensureDeferred

REAL = {"ESL_IP": "127.0.0.1:1", "VOICE_CONNECTOR": "http://127.0.0.1:1"}
"""Enough to be configured, for a process that is not to come that far."""

SECRET = "open-sesame"


def ends_with_one_line(process: Twistd) -> str:
    """What a process that could not start has to say, to whoever started it."""
    assert_that(process.err, matches_regexp(r"\Adialer: [^\n]+\n\Z"))
    assert_that(process.status, is_(1))
    return process.err


@sure
async def test_a_configured_process_says_where_it_listens_and_dials(street: Street) -> None:
    process = await street.run(HTTP_PORT="0")
    assert_that(process.url(), matches_regexp(r"\Ahttp://127\.0\.0\.1:[1-9]\d*\Z"))
    contact = ivr()
    await street.load(contact)
    assert_that(await street.until_told(contact), has_entries(callResult="NORMAL_CLEARING"))
    assert_that((await street.get("/healthz")).status, is_(200))
    assert_that(process.out, not_(contains_string("PROVIDED")))
    assert_that(process.err, is_(""))


@pytest.mark.parametrize(
    ("environment", "names"),
    [
        ({"DB_URL": "127.0.0.1", "VOICE_CONNECTOR": "http://127.0.0.1:1"}, "ESL_IP is not set"),
        (REAL | {"SANDBOX": "vc"}, "SANDBOX='vc' is not allowed together with VOICE_CONNECTOR="),
        (REAL | {"CALLS_PER_SECOND": "0"}, "CALLS_PER_SECOND='0' is not allowed"),
        (REAL | {"DEFAULT_IVR": "${secret}\nline"}, r"DEFAULT_IVR='${secret}\nline' is not allowed"),
        (REAL | {"VOICE_CONNECTOR": f"http://user:{SECRET}@vc"}, "VOICE_CONNECTOR="),
        (REAL | {"DB_URL": f"postgresql://user:{SECRET}@host:port/name"}, "DB_URL="),
        (REAL | {"ESL_PASSWORD": f"{SECRET}\n{SECRET}"}, "ESL_PASSWORD (its value is not shown) is not allowed"),
        (REAL | {"HTTP_TLS_CERT": "/no/such/file"}, "HTTP_TLS_CERT='/no/such/file' is not allowed: it cannot be read"),
        ({"LOG_LEVEL": "LOUD"}, "LOG_LEVEL='LOUD' is not allowed: DEBUG, INFO, WARN or ERROR"),
    ],
)
def test_a_wrong_setting_ends_it_with_one_line_that_names_the_variable_and_no_password(
    tmp_path: Path, environment: dict[str, str], names: str
) -> None:
    process = Twistd("dialer", tmp_path, environment)
    process.wait(60)
    assert_that(ends_with_one_line(process), all_of(starts_with(f"dialer: {names}"), not_(contains_string(SECRET))))
    assert_that(process.out, not_(contains_string(SECRET)))
    assert_that(list(tmp_path.glob("var")), is_(empty()), "data folders made for nothing")


@sure
async def test_a_port_in_use_ends_it_with_one_line(street: Street) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as occupied:
        port = occupied.getsockname()[1]
        process = street.spawn(street.environment(HTTP_PORT=str(port)))
        await street.ends(process)
    assert_that(ends_with_one_line(process), contains_string(f"127.0.0.1:{port}"))


@sure
async def test_a_name_that_a_living_dialer_has_ends_it_with_one_line(street: Street) -> None:
    # It lives, however slow the machine is.
    await street.run(LEASE_TIME="600")
    twin = street.spawn(street.environment(LEASE_TIME="1"))
    await street.ends(twin)
    assert_that(
        ends_with_one_line(twin),
        equal_to("dialer: DIALER_ID 'dialer-1' is in use by another process on this database; give each its own\n"),
    )
    # The first one does not care.
    contact = ivr()
    await street.load(contact)
    await street.until_told(contact)


class Gate:
    """A folder for PostgreSQL's socket that leads nowhere until it is opened."""

    def __init__(self, conninfo: str, folder: Path) -> None:
        parts = parse_dsn(conninfo)
        self._real = Path(parts["host"])
        self._port = parts["port"]
        self._folder = folder
        self.url = f"postgresql:///{parts['dbname']}?host={folder}&port={self._port}&user={parts['user']}"

    def open(self) -> None:
        """PostgreSQL is there."""
        self._folder.symlink_to(self._real)


@sure
async def test_it_waits_for_whoever_is_not_there_yet_and_goes_on_when_they_come(
    street: Street, conninfo: str, tmp_path: Path
) -> None:
    gate = Gate(conninfo, tmp_path / "pg")
    street.switch.shut_down(now=True)
    await street.close_vc()

    wait = {"EFSWITCH_DOWN_POLICY": "hold", "LOG_LEVEL": "DEBUG"}
    process = street.spawn(street.environment(DB_URL=gate.url, DB_PASS=SECRET, **wait))
    await street.listens(process)
    assert_that((await street.get("/healthz")).status, is_(200))

    async def reasons(*expected: str) -> None:
        async def told() -> bool:
            reply = await street.get("/readyz")
            assert_that(reply.status, is_(503))
            found = reply.body["reasons"]
            return all(any(text in reason for reason in found) for text in expected) and len(found) == len(expected)

        await street.until(told, f"/readyz with {expected}")

    await reasons("waiting for the database", "EFSwitch 127.0.0.1:")
    assert_that((await street.get("/status")).status, is_(503))
    contact = ivr()
    assert_that((await street.post("/contact", contact)).status, is_(503))
    assert_that(process.out, contains_string("DATABASE CONNECTION ERROR"))

    gate.open()
    await reasons("EFSwitch 127.0.0.1:")
    await street.load(contact)
    assert_that((await street.get("/status")).body, has_entries(database="up", efswitch="down", voiceConnector="down"))
    assert_that(await street.contact(contact), has_entries(status="pending"))

    await street.switch.restart()
    await street.until_ready()
    await street.until_status(contact, "ended")

    street.open_vc()
    assert_that(await street.until_told(contact), has_entries(callResult="NORMAL_CLEARING"))
    assert_that(street.attempts(contact), has_length(1))
    assert_that(process.status, is_(None))
    assert_that(process.out, not_(contains_string(SECRET)))


@sure
async def test_sigterm_ends_it_in_time_while_it_still_waits(street: Street, conninfo: str, tmp_path: Path) -> None:
    street.switch.shut_down(now=True)
    process = street.spawn(street.environment(DB_URL=Gate(conninfo, tmp_path / "pg").url))
    await street.listens(process)
    await street.until(lambda: "DATABASE CONNECTION ERROR" in process.out, "an attempt to connect")
    await street.terminate(process)
    assert_that(process.err, is_(""))
