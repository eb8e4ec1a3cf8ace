"""The lock files that the container is installed from: whole, hashed, within the ranges that the tests ran with."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import distribution
from pathlib import Path

import pytest
from hamcrest import assert_that, empty, is_, not_
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.deployment.requirements import required

ROOT = Path(__file__).parents[2]
FILES = ("requirements.lock", "requirements-build.lock")
_PIN = re.compile(r"^([a-z0-9-]+)==([^ ;]+)((?: \\\n    --hash=sha256:[0-9a-f]{64})+)$", re.MULTILINE)


def text(file: str) -> str:
    return (ROOT / file).read_text(encoding="utf-8")


def locked(file: str) -> dict[str, str]:
    """The version of each package that the file names."""
    return {name: version for name, version, _ in _PIN.findall(text(file))}


def unsatisfied(requirements: list[str], versions: dict[str, str]) -> list[str]:
    """Those of the requirements that the versions do not meet."""
    parsed = [Requirement(each) for each in requirements]
    return [
        str(each) for each in parsed if not each.specifier.contains(versions.get(canonicalize_name(each.name), "0"))
    ]


@pytest.mark.parametrize("file", FILES)
def test_every_line_of_a_lock_file_is_one_version_of_a_package_with_its_hashes(file: str) -> None:
    rest = [line for line in _PIN.sub("", text(file)).splitlines() if line.strip() and not line.strip().startswith("#")]
    assert_that(rest, is_(empty()))
    assert_that(locked(file), not_(empty()))


@pytest.mark.parametrize("file", FILES)
def test_a_lock_file_does_not_tell_where_its_packages_came_from(file: str) -> None:
    assert_that(re.findall(r"https?://\S*|file://\S*|--(?!hash)\S+|(?<=\s)/\S+", text(file)), is_(empty()))


def test_the_locked_versions_are_within_the_ranges_of_the_setup() -> None:
    runtime = [each for each in distribution("dialer").requires or () if "extra ==" not in each]
    assert_that(runtime, not_(empty()))
    assert_that(unsatisfied(runtime, locked("requirements.lock")), is_(empty()))


@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13"])
def test_all_that_the_dialer_requires_is_locked_for_each_python(python: str) -> None:
    environment = {"python_version": python, "python_full_version": f"{python}.0", "sys_platform": "linux"}
    names = set(required(distribution("dialer"), environment))
    assert_that(names - set(locked("requirements.lock")), is_(empty()))


def test_nothing_is_locked_that_the_dialer_does_not_require() -> None:
    assert_that(set(locked("requirements.lock")) - set(required(distribution("dialer"))), is_(empty()))


def test_what_builds_the_wheel_is_locked_within_its_ranges() -> None:
    requires = tomllib.loads(text("pyproject.toml"))["build-system"]["requires"]
    assert_that(unsatisfied(requires, locked("requirements-build.lock")), is_(empty()))
