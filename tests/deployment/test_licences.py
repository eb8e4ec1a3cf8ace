"""The list of licences: whole, and without one that nobody knows."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from importlib.metadata import distribution
from pathlib import Path

from hamcrest import assert_that, empty, is_, not_
from packaging.utils import canonicalize_name

from tests.deployment.requirements import required

PAGE = Path(__file__).parents[2] / "docs" / "licences.md"


def listed() -> dict[str, str]:
    """The licence of each package, by the page."""
    rows = re.findall(r"^\| ([\w.-]+) +\| (\S.*?) +\|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    return {canonicalize_name(name): licence for name, licence in rows if name != "Name"}


def test_every_package_that_the_dialer_runs_on_is_listed_with_a_licence() -> None:
    names = set(required(distribution("dialer")))
    assert_that(names - set(listed()), is_(empty()))
    assert_that([name for name, licence in listed().items() if "UNKNOWN" in licence.upper()], is_(empty()))


def test_no_package_that_is_installed_leaves_its_licence_open() -> None:
    names = sorted(required(distribution("dialer")))
    program = (str(Path(sys.executable).parent / "pip-licenses"), "--format", "json", "--packages", *names)
    found = json.loads(subprocess.run(program, capture_output=True, check=True, timeout=60).stdout)
    told = {canonicalize_name(each["Name"]): each["License"] for each in found}
    assert_that(set(names) - set(told), is_(empty()))
    assert_that([name for name, licence in told.items() if licence.upper() == "UNKNOWN"], is_(empty()))
    assert_that(told, not_(empty()))
