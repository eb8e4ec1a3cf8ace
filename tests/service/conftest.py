"""A world for each test of the service."""

from __future__ import annotations

from typing import Any

import pytest_twisted

from tests.service.world import World


@pytest_twisted.async_yield_fixture
async def world(conninfo: str) -> Any:
    """Switch and VC, started; the dialer is for the test to start."""
    built = World(conninfo)
    await built.open()
    yield built
    await built.close()
