"""Passwords stay in the process that was given them, whatever goes wrong: nothing that it says or starts shows one."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from hamcrest import assert_that, contains_string, empty, equal_to, has_item
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.protocol import Factory, Protocol

from dialer.settings import secret_fields
from tests.process.street import Street
from tests.process.twistd import Twistd
from tests.processes import children
from tests.service.world import ivr

sure = pytest_twisted.ensureDeferred

URL_PASSWORD = "wagtail@nightjar"
SECRETS = {
    "DB_URL": URL_PASSWORD,
    "DB_PASS": "avocet-turnstone",
    "ESL_PASSWORD": "redshank-whimbrel",
    "API_TOKENS": "knot-dunlin-0123456789-curlew-godwit",
    "RESULT_WEBHOOK_URL": "sanderling-plover",
    "RESULT_WEBHOOK_SECRET": "whsec_bGFwd2luZy1jdXJsZXctZ29kd2l0LXNuaXBlLXJ1ZmY=",
}
"""Something distinctive for each secret variable, which for a URL or tokens is a part of it."""

OTHERS = {
    "API_TOKENS": f"operator:all:{SECRETS['API_TOKENS']}",
    "TRUSTED_NETWORKS": "127.0.0.0/8",
    "RESULT_WEBHOOK_URL": f"http://127.0.0.1:1/{SECRETS['RESULT_WEBHOOK_URL']}",
    "RESULT_WEBHOOK_SECRET": SECRETS["RESULT_WEBHOOK_SECRET"],
}
"""Those that nothing has to refuse. Nobody is there to take a webhook."""

ANSWERS = (
    "/healthz",
    "/readyz",
    "/status",
    "/explain",
    "/campaign/campaign-1/explain",
    "/campaigns",
    "/notifications",
    "/metrics",
    "/openapi.json",
    "/docs",
    "/",
)


def shapes(secret: str) -> set[str]:
    """A secret as it may be written in a text, a URL or a repr."""
    return {secret, secret.replace("@", "%40"), *(part for part in secret.split("@"))}


def leaks(where: str, content: bytes | str) -> list[str]:
    """The secrets that some content shows."""
    text = content if isinstance(content, str) else content.decode("utf-8", "replace")
    return [f"{where}: {shape}" for secret in SECRETS.values() for shape in shapes(secret) if shape in text]


async def answered(street: Street) -> list[str]:
    """What the answers of the HTTP interface show."""

    async def ask(path: str) -> list[str]:
        response = await street._client.get(street.url + path, timeout=60)
        headers = str(list(response.headers.getAllRawHeaders()))
        return leaks(f"GET {path}", headers) + leaks(f"GET {path}", await response.content())

    # At once: without a database each waits for it.
    asked = [Deferred.fromCoroutine(ask(path)) for path in ANSWERS]
    return [leak for found in await gatherResults(asked) for leak in found]


def written(process: Twistd, folder: Path) -> list[str]:
    """What the process's output, and the files that it made, show."""
    found = leaks("stdout", process.out) + leaks("stderr", process.err)
    for file in folder.rglob("*"):
        if file.is_file():
            found += leaks(str(file), file.read_bytes())
    return found


def family(pid: int) -> Iterator[int]:
    """A process, and all that descend from it."""
    yield pid
    for child in children(pid):
        yield from family(child)


def listed(pids: list[int]) -> list[str]:
    """What lists of processes show to everybody."""
    return [leak for pid in pids for leak in leaks(f"process {pid}", of(pid, "cmdline"))]


def of(pid: int, what: str) -> bytes:
    """What the system tells of a process; nothing of one that has ended, as a server of PostgreSQL may meanwhile."""
    try:
        return Path(f"/proc/{pid}/{what}").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


class Refusing(Protocol):
    """A PostgreSQL that asks for the password, and does not take it."""

    def connectionMade(self) -> None:
        self.got = b""
        self.asked = False

    def dataReceived(self, data: bytes) -> None:
        self.got += data
        if self.got[4:8] in (b"\x04\xd2\x16\x2f", b"\x04\xd2\x16\x30"):
            self.got = b""
            self.transport.write(b"N")
        elif not self.asked and len(self.got) > 8:
            self.got, self.asked = b"", True
            self.transport.write(b"R\0\0\0\x08\0\0\0\x03")
        elif self.asked and self.got:
            self.factory.passwords.append(self.got[5:].rstrip(b"\0").decode())
            fields = b'SFATAL\0VFATAL\0C28P01\0Mpassword authentication failed for user "dialer"\0\0'
            self.transport.write(b"E" + (len(fields) + 4).to_bytes(4, "big") + fields)
            self.transport.loseConnection()


@pytest.fixture
def refusing(reactor: Any) -> Iterator[Any]:
    factory = Factory.forProtocol(Refusing)
    factory.noisy = False
    factory.passwords = []
    port = reactor.listenTCP(0, factory, interface="127.0.0.1")
    factory.address = f"127.0.0.1:{port.getHost().port}"
    yield factory
    pytest_twisted.blockon(port.stopListening())


def test_every_secret_variable_is_in_these_tests() -> None:
    assert_that({name.upper() for name in secret_fields()}, equal_to(set(SECRETS)))


@sure
async def test_passwords_that_are_refused_are_shown_nowhere(street: Street, refusing: Any, tmp_path: Path) -> None:
    url = f"postgresql://dialer:{URL_PASSWORD.replace('@', '%40')}@{refusing.address}/dialer"
    given = {"DB_URL": url, "DB_PASS": SECRETS["DB_PASS"], "ESL_PASSWORD": SECRETS["ESL_PASSWORD"]} | OTHERS
    process = street.spawn(street.environment(**given, LOG_LEVEL="DEBUG"))
    await street.listens(process)
    await street.until(lambda: "password authentication failed" in process.out, "a refused password of the database")
    # It was sent, and so could have been told.
    assert_that(refusing.passwords, has_item(URL_PASSWORD))
    assert_that(await answered(street), empty())
    assert_that(listed(list(family(process.pid))), empty())
    await street.terminate(process)
    assert_that(written(process, tmp_path), empty())


@sure
async def test_passwords_from_files_are_shown_nowhere_and_not_handed_to_what_it_starts(
    street: Street, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    files = tmp_path_factory.mktemp("secrets")
    (files / "esl").write_text(SECRETS["ESL_PASSWORD"] + "\n")
    given = street.environment(
        ESL_PASSWORD_FILE=str(files / "esl"),
        DB_PASS=SECRETS["DB_PASS"],
        DB_CONN_TIMEOUT="2000",
        LOG_LEVEL="DEBUG",
        **OTHERS,
    )
    del given["DB_URL"]
    process = street.spawn(given)
    await street.listens(process)
    await street.until(lambda: "see ESL_PASSWORD" in process.out, "a refused password of EFSwitch")
    server = int((tmp_path / "var/postgres/data/postmaster.pid").read_text().split()[0])
    started = list(family(server))
    contact = ivr()
    await street.load(contact)
    await street.until_told(contact)
    assert_that(listed([*family(process.pid), *started]), empty())
    # What starts a program hands it its environment, which the user of the program can read.
    for pid in started:
        assert_that(leaks(f"environment of {pid}", of(pid, "environ")), empty())
    os.kill(server, signal.SIGKILL)
    await street.until(lambda: "DATABASE CONNECTION ERROR" in process.out, "a database that is gone")
    assert_that(await answered(street), empty())
    await street.terminate(process)
    assert_that(written(process, tmp_path), empty())
    assert_that(process.out, contains_string("DEBUG"))
