"""Who dies at a point: the dialer, one connection, or PostgreSQL with all of them, and who is back then."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from tests.process.crossroads import Crossroads
from tests.process.gate import Crossing

Dies = Callable[[Crossroads, Crossing], Awaitable[None]]


async def killed(here: Crossroads, _crossing: Crossing) -> None:
    """The dialer is killed, and started again under its name. What was held back is lost."""
    assert here.dialer_process is not None
    await here.kill(here.dialer_process)
    here.let_all_pass()
    await here.run()


async def connection(_here: Crossroads, crossing: Crossing) -> None:
    """The one connection breaks; what was held back on it is lost."""
    crossing.cut()
    await crossing.gone


async def postgresql(here: Crossroads, _crossing: Crossing) -> None:
    """PostgreSQL goes with all connections, and comes back once the dialer has noticed."""
    here.database.shut()
    await here.until_ready(False)
    here.database.open()
    await here.until_ready()


killed_or_cut = pytest.mark.parametrize("dies", [killed, connection], ids=["killed", "cut"])
"""For a test of what holds whichever of the two dies."""
