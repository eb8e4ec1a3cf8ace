"""For how long each of several dialers gathers what it writes, and how long before their turn it takes contacts."""

from __future__ import annotations

import pytest
import pytest_twisted
from hamcrest import assert_that, equal_to

from dialer.lease import Lease
from dialer.parts import GATHERED, LONGEST_GATHERED, NOTED, NOTED_BY_SEVERAL
from dialer.placing import LEAD, LONGEST_LEAD
from tests.service.world import World


@pytest.mark.parametrize(
    ("dialers", "times"),
    [
        (1, (GATHERED, NOTED, LEAD)),
        (2, (2 * GATHERED, NOTED_BY_SEVERAL, 2 * LEAD)),
        (100, (LONGEST_GATHERED, NOTED_BY_SEVERAL, LONGEST_LEAD)),
    ],
)
@pytest_twisted.ensureDeferred
async def test_each_of_several_dialers_gathers_for_longer_but_not_for_long(
    world: World, monkeypatch: pytest.MonkeyPatch, dialers: int, times: tuple[float, float, float]
) -> None:
    monkeypatch.setattr(Lease, "dialers", lambda _: dialers)
    await world.start()
    parts = world.dialer._parts
    gathered = parts.settlement._apart(), parts.outbox._apart()
    assert_that(gathered, equal_to((times[0], times[0])))
    assert_that((parts.outbox._notes_apart(), parts.placing._lead), equal_to(times[1:]))
