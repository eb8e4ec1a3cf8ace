"""The systemd unit, judged by systemd's own programs, and by the dialer's settings."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from hamcrest import assert_that, empty, has_entries, has_item, is_

from dialer import environment
from tests.process.twistd import EXIT_WITHIN

UNIT = Path(__file__).parents[2] / "docs" / "dialer.service"
EXPOSURE = 15
"""Tenths: what `systemd-analyze security` may find open at most, of 100."""


def lines() -> list[tuple[str, str]]:
    """Name and value of each setting, those given several times too."""
    return re.findall(r"^(\w+)=(.*)$", UNIT.read_text(encoding="utf-8"), re.MULTILINE)


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """The unit with a program that exists here: systemd looks for it."""
    copy = tmp_path / UNIT.name
    copy.write_text(UNIT.read_text(encoding="utf-8").replace("/opt/dialer/bin/twistd", "/bin/true"), encoding="utf-8")
    return copy


def analyze(*arguments: str | Path) -> str:
    """What systemd-analyze says; the test fails when it finds fault."""
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("systemd-analyze is not installed")
    done = subprocess.run([program, *map(str, arguments)], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_systemd_finds_no_fault_with_the_unit(installed: Path) -> None:
    assert_that(analyze("verify", installed), is_(""))


def test_systemd_finds_little_that_the_unit_leaves_open(installed: Path) -> None:
    analyze("security", "--offline=true", f"--threshold={EXPOSURE}", "--no-pager", installed)


def test_the_unit_runs_without_privileges_writes_only_its_own_folder_and_is_started_again() -> None:
    assert_that(
        dict(lines()),
        has_entries(
            DynamicUser="yes",
            NoNewPrivileges="yes",
            CapabilityBoundingSet="",
            ProtectSystem="strict",
            StateDirectory="dialer",
            WorkingDirectory="%S/dialer",
            Restart="always",
            KillMode="mixed",
        ),
    )


def test_the_unit_leaves_the_dialer_the_time_that_its_stop_may_take() -> None:
    assert_that(float(dict(lines())["TimeoutStopSec"]) > EXIT_WITHIN)


def test_the_unit_hands_over_passwords_as_files_by_variables_that_the_dialer_has() -> None:
    (told,) = [value for name, value in lines() if name == "Environment"]
    files = dict(re.findall(r"(\w+_FILE)=%d/(\w+)", told))
    assert_that(set(files) - {name for name, _, _ in environment.describe()}, is_(empty()))
    assert_that(files, is_({"DB_PASS_FILE": "db_password", "ESL_PASSWORD_FILE": "esl_password"}))
    for credential in files.values():
        assert_that(lines(), has_item(("LoadCredential", f"{credential}:/etc/dialer/{credential}")))
