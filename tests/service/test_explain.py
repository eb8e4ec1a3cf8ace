"""Why nothing is dialing: each reason is brought about on a whole dialer, and seen in what it answers."""

from __future__ import annotations

from typing import Any

import pytest_twisted
from hamcrest import assert_that, equal_to, is_

from tests.service import shared
from tests.service.world import World

sure = pytest_twisted.ensureDeferred
logged_failures = shared.logged_failures
world = shared.world

ENVIRONMENT: dict[str, str] = {}


async def explained(world: World, campaign: str | None = None) -> dict[str, Any]:
    """The answer for a campaign, or for all."""
    reply = await world.get("/explain" if campaign is None else f"/campaign/{campaign}/explain")
    assert_that(reply.status, is_(200), reply)
    return reply.body


@sure
async def test_an_empty_queue_is_said_to_be_empty(world: World) -> None:
    assert_that(
        await explained(world),
        equal_to(
            {
                "dialing": False,
                "reasons": [{"code": "queue_empty", "message": "No contact is waiting to be dialed.", "since": None}],
                "next": None,
            }
        ),
    )
