"""The wheel, away from the checkout: what is in it, and whether the dialer starts where nothing else was prepared."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import venv
from collections.abc import AsyncIterator, Sequence
from importlib.metadata import Distribution
from pathlib import Path
from zipfile import ZipFile

import pytest
import pytest_twisted
from attrs import frozen
from hamcrest import (
    assert_that,
    contains_inanyorder,
    empty,
    greater_than,
    has_entries,
    has_items,
    is_,
    starts_with,
)
from psycopg2.extensions import make_dsn, parse_dsn
from twisted.internet import reactor
from twisted.internet.endpoints import UNIXClientEndpoint
from twisted.internet.utils import getProcessOutputAndValue

from tests.deployment.requirements import required
from tests.process.gate import Gate
from tests.process.sealed import SEALING, UNPRIVILEGED
from tests.process.street import Street
from tests.process.twistd import clean_environment
from tests.service.world import database_url, ivr

sure = pytest_twisted.ensureDeferred

ROOT = Path(__file__).parents[2]
PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check")
LIMIT = 120
"""Seconds for each program."""
TWISTD = ("-c", "from twisted.scripts.twistd import run; run()")
"""What pip makes of Twisted's entry point."""
LARGE = 100_000
"""Bytes of a request body that Twisted keeps in a file, not in memory."""


def run(*arguments: str | Path, cwd: Path) -> str:
    """What a program writes to stdout; fails, with all that it wrote, when it fails."""
    done = subprocess.run(
        [str(argument) for argument in arguments],
        cwd=cwd,
        env=clean_environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )
    assert done.returncode == 0, f"{arguments}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@frozen
class Built:
    """A wheel, and the files that it was built from, as paths in the checkout."""

    wheel: Path
    sources: Sequence[str]

    def names(self) -> list[str]:
        """The files in it."""
        with ZipFile(self.wheel) as archive:
            return archive.namelist()


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """The wheel of what git knows: a file that only this checkout has must not help."""
    folder = tmp_path_factory.mktemp("wheel")
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("not a git checkout: which files belong to the project is not known")
    # Whoever runs the tests need not own the checkout.
    listed = run("git", "-c", "safe.directory=*", "ls-files", "-z", cwd=ROOT).split("\0")
    sources = [name for name in listed if name and (ROOT / name).exists()]
    for name in sources:
        copy = folder / "source" / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, copy)
    options = ("--no-deps", "--no-index", "--no-build-isolation", "--no-cache-dir", "--wheel-dir", folder / "wheels")
    run(*PIP, "wheel", *options, folder / "source", cwd=folder)
    (wheel,) = (folder / "wheels").iterdir()
    return Built(wheel, sources)


def test_the_wheel_holds_the_package_its_sql_the_samples_and_the_plugin_and_nothing_else(built: Built) -> None:
    package = [name for name in built.sources if name.startswith("dialer/")]
    sql = [f"dialer/{name}" for name in built.sources if name.startswith("sql/") and name.endswith(".sql")]
    assert_that(package, has_items("dialer/tap.py", "dialer/py.typed", "dialer/sandbox/samples/campaigns.jsonl"))
    assert_that(package, has_items("dialer/web/static/dashboard.html", "dialer/web/static/style.css"))
    assert_that(sql, has_items("dialer/sql/migrations/0001-contacts.sql", "dialer/sql/queries/take.sql"))
    found = [name for name in built.names() if ".dist-info/" not in name]
    # With an __init__.py of twisted or twisted.plugins it would hide, or overwrite, Twisted itself.
    assert_that(found, contains_inanyorder(*package, *sql, "twisted/plugins/dialer_plugin.py"))


@pytest.fixture(scope="module")
def python(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment that has the wheel and, from here, what it says that it requires."""
    tmp_path = tmp_path_factory.mktemp("installed")
    folder = tmp_path / "env"
    venv.create(folder, symlinks=True)
    python = folder / "bin" / "python"
    # As pip does it: before anything else is there that it could take for the dialer.
    run(*PIP, "--python", python, "install", "--no-deps", "--no-index", built.wheel, cwd=tmp_path)
    packages = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=tmp_path).strip())
    (information,) = packages.glob("dialer-*.dist-info")
    others = tmp_path / "others"
    others.mkdir()
    for _, each in required(Distribution.at(information)).values():
        for name in {file.parts[0] for file in each.files or ()} - {"..", "__pycache__"}:
            if not (others / name).exists():
                (others / name).symlink_to(Path(str(each.locate_file(name))))
    (packages / "others.pth").write_text(f"{others}\n", encoding="utf-8")
    return python


def test_the_wheel_brings_the_command(python: Path, tmp_path: Path) -> None:
    command = python.parent / "dialer"
    assert_that(run(command, "load", "--help", cwd=tmp_path), starts_with("Usage: dialer load [OPTIONS] FILE"))


@sure
async def test_it_starts_elsewhere_with_what_it_says_that_it_requires(
    street: Street, python: Path, tmp_path: Path
) -> None:
    where = run(python, "-c", "import dialer, sys; print(dialer.__file__)", cwd=tmp_path)
    assert_that(where, starts_with(str(python.parents[1])))
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    program = (str(python), *TWISTD)
    process = street.spawn(
        {"HTTP_PORT": "0"}, cwd=folder, log=folder / "var" / "sandbox" / "dialer.log", program=program
    )
    await street.listens(process)
    assert_that((await street.get("/healthz")).status, is_(200))
    await street.until(lambda: "sample contacts loaded into 4 campaigns" in process.out, "the samples")
    assert_that((await street.get("/readyz")).status, is_(200))
    await street.terminate(process)


@pytest.fixture
def sealed(tmp_path: Path) -> tuple[str, ...]:
    """What a program is started with, to be without privileges where all but the folder `tmp` is read-only."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    for program in (SEALING[0], UNPRIVILEGED[0]):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    sealed = (*SEALING, str(folder))
    tried = subprocess.run((*sealed, "true"), cwd=tmp_path, capture_output=True, text=True, timeout=LIMIT, check=False)
    if tried.returncode:
        pytest.skip(f"this machine allows no namespaces: {tried.stderr.strip()}")
    return sealed


@pytest_twisted.async_yield_fixture
async def database(conninfo: str) -> AsyncIterator[Gate]:
    """PostgreSQL by TCP: its socket is in a folder that only a privileged user may enter."""
    parts = parse_dsn(conninfo)
    gate = Gate(reactor, lambda: UNIXClientEndpoint(reactor, f"{parts['host']}/.s.PGSQL.{parts['port']}"))
    gate.listen()
    yield gate
    await gate.close()


@sure
async def test_without_privileges_where_all_but_its_temporary_folder_is_read_only_it_stores_calls_and_is_healthy(
    street: Street, python: Path, sealed: tuple[str, ...], database: Gate, conninfo: str, tmp_path: Path
) -> None:
    # As the image is built: Twisted notes its plugins while it still can.
    run(python, *TWISTD, "--help", cwd=tmp_path)
    environment = street.environment(
        DB_URL=database_url(make_dsn(conninfo, host="127.0.0.1", port=database.port)),
        HTTP_PORT="0",
        TMPDIR=str(tmp_path / "tmp"),
        PYTHONDONTWRITEBYTECODE="1",
    )
    process = street.spawn(environment, cwd=tmp_path, program=(*sealed, str(python), *TWISTD))
    await street.listens(process)
    await street.until_ready()
    assert_that(rights(process.pid), has_entries(CapEff="0" * 16, CapPrm="0" * 16, CapBnd="0" * 16, NoNewPrivs="1"))
    contacts = [ivr(), *(ivr(startTime="2100-01-01T00:00:00Z") for _ in range(600))]
    assert_that(len(json.dumps(contacts)), greater_than(LARGE))
    await street.load(*contacts)
    await street.until(lambda: street.query("SELECT FROM contacts WHERE status = 'ended' LIMIT 1"), "a call's end")
    assert_that([line for line in process.log.splitlines() if " ERROR " in line or "Read-only" in line], is_(empty()))
    port = street.url.rpartition(":")[2]
    healthy = (*sealed, str(python), "-m", "dialer.health")
    done = await getProcessOutputAndValue(
        healthy[0], healthy[1:], environment | clean_environment() | {"HTTP_PORT": port}, str(tmp_path)
    )
    assert_that(done, is_((b"", b"", 0)))
    await street.terminate(process)


def rights(pid: int) -> dict[str, str]:
    """What the kernel says that a process may do."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    return dict(line.split(":\t") for line in status.splitlines() if line.startswith(("Cap", "NoNewPrivs")))
