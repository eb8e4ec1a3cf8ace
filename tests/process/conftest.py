"""A street for each test of real processes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest_twisted

from tests.process.street import Street


@pytest_twisted.async_yield_fixture
async def street(conninfo: str, tmp_path: Path) -> Any:
    """Switch and VC, started; processes are for the test to start."""
    built = Street(conninfo, tmp_path)
    await built.open()
    yield built
    await built.close()
    for process in built.processes:
        assert "Traceback" not in process.out + process.err, f"{process.name} has met what it does not know"
