"""The wheel, away from the checkout: what is in it, and whether the dialer starts where nothing else was prepared."""

from __future__ import annotations

import shutil
import subprocess
import sys
import venv
from collections.abc import Sequence
from importlib.metadata import Distribution, distribution
from pathlib import Path
from zipfile import ZipFile

import pytest
import pytest_twisted
from attrs import frozen
from hamcrest import assert_that, contains_inanyorder, has_items, is_, starts_with
from packaging.requirements import Requirement

from tests.process.street import Street
from tests.process.twistd import clean_environment

sure = pytest_twisted.ensureDeferred

ROOT = Path(__file__).parents[2]
PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check")
LIMIT = 120
"""Seconds for each program."""


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
    assert_that(sql, has_items("dialer/sql/migrations/0001-contacts.sql", "dialer/sql/queries/take.sql"))
    found = [name for name in built.names() if ".dist-info/" not in name]
    # With an __init__.py of twisted or twisted.plugins it would hide, or overwrite, Twisted itself.
    assert_that(found, contains_inanyorder(*package, *sql, "twisted/plugins/dialer_plugin.py"))


def requirements(wheel: Distribution) -> dict[str, Distribution]:
    """What a wheel requires, and what that requires, by name; as it is installed here."""
    found: dict[str, Distribution] = {}
    seen: set[tuple[str, str]] = set()
    waiting = [(wheel, frozenset[str]())]
    while waiting:
        whose, extras = waiting.pop()
        for text in whose.requires or ():
            requirement = Requirement(text)
            marker = requirement.marker
            if marker and not any(marker.evaluate({"extra": extra}) for extra in ("", *extras)):
                continue
            if (requirement.name, str(sorted(requirement.extras))) not in seen:
                seen.add((requirement.name, str(sorted(requirement.extras))))
                found[requirement.name] = distribution(requirement.name)
                waiting.append((found[requirement.name], frozenset(requirement.extras)))
    return found


@pytest.fixture
def python(built: Built, tmp_path: Path) -> Path:
    """The interpreter of an environment that has the wheel and, from here, what it says that it requires."""
    folder = tmp_path / "env"
    venv.create(folder, symlinks=True)
    python = folder / "bin" / "python"
    # As pip does it: before anything else is there that it could take for the dialer.
    run(*PIP, "--python", python, "install", "--no-deps", "--no-index", built.wheel, cwd=tmp_path)
    packages = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=tmp_path).strip())
    (information,) = packages.glob("dialer-*.dist-info")
    others = tmp_path / "others"
    others.mkdir()
    for each in requirements(Distribution.at(information)).values():
        for name in {file.parts[0] for file in each.files or ()} - {"..", "__pycache__"}:
            if not (others / name).exists():
                (others / name).symlink_to(Path(str(each.locate_file(name))))
    (packages / "others.pth").write_text(f"{others}\n", encoding="utf-8")
    return python


@sure
async def test_it_starts_elsewhere_with_what_it_says_that_it_requires(
    street: Street, python: Path, tmp_path: Path
) -> None:
    where = run(python, "-c", "import dialer, sys; print(dialer.__file__)", cwd=tmp_path)
    assert_that(where, starts_with(str(python.parents[1])))
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    # What pip makes of Twisted's entry point.
    program = (str(python), "-c", "from twisted.scripts.twistd import run; run()")
    process = street.spawn(
        {"HTTP_PORT": "0"}, cwd=folder, log=folder / "var" / "sandbox" / "dialer.log", program=program
    )
    await street.listens(process)
    assert_that((await street.get("/healthz")).status, is_(200))
    await street.until(lambda: "sample contacts loaded into 4 campaigns" in process.out, "the samples")
    assert_that((await street.get("/readyz")).status, is_(200))
    await street.terminate(process)
