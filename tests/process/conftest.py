"""A street for each test of real processes, and a crossroads for each module that stops and kills them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import pytest_twisted
from psycopg2.extensions import make_dsn

from tests.conftest import TEMPLATE, wait_for
from tests.process.crossroads import Crossroads
from tests.process.street import Street
from tests.service.shared import administer


@pytest_twisted.async_yield_fixture
async def street(conninfo: str, tmp_path: Path) -> Any:
    """Switch and VC, started; processes are for the test to start."""
    built = Street(conninfo, tmp_path)
    await built.open()
    yield built
    await built.close()
    nothing_unforeseen(built)


def nothing_unforeseen(street: Street) -> None:
    """No process has met what it does not know."""
    for process in street.processes:
        assert "Traceback" not in process.out + process.err, f"{process.name} has met what it does not know"


@pytest.fixture(scope="module")
def crossroads(
    reactor: Any,
    postgres: str,
    logged_failures: Any,
    tmp_path_factory: pytest.TempPathFactory,
    request: pytest.FixtureRequest,
) -> Iterator[Crossroads]:
    """For a module that takes `logged_failures` from tests.service.shared: its processes outlive a test.

    A module that wants more of it names its own kind as CROSSROADS.
    """
    name = f"crossroads_{uuid4().hex}"
    administer(postgres, f"CREATE DATABASE {name} TEMPLATE {TEMPLATE}")
    built = getattr(request.module, "CROSSROADS", Crossroads)(
        make_dsn(postgres, dbname=name), tmp_path_factory.mktemp("crossroads")
    )
    try:
        wait_for(reactor, built.open)
        yield built
    finally:
        wait_for(reactor, built.close)
        administer(postgres, f"DROP DATABASE {name} WITH (FORCE)")
    nothing_unforeseen(built)


@pytest_twisted.async_yield_fixture
async def here(crossroads: Crossroads) -> Any:
    """The crossroads with a dialer that can dial, no stop, and everybody at their best."""
    await crossroads.get_ready()
    yield crossroads
    crossroads.let_all_pass()
