"""A dialer that ends while the VC has messages of it and has not confirmed them."""

from __future__ import annotations

import signal
from collections import Counter

import pytest
import pytest_twisted
from hamcrest import assert_that, equal_to, has_length, is_

from tests.process.street import Street
from tests.service.shared import administer
from tests.service.world import ivr

sure = pytest_twisted.ensureDeferred

CONTACTS = 20
UNCONFIRMED = 4


def states(street: Street) -> Counter[str]:
    """How many messages are in each state."""
    return Counter(row["state"] for row in street.query("SELECT state FROM outbox"))


def tries(street: Street) -> dict[str, list[str]]:
    """The Idempotency-Keys under which the VC was told of each contact."""
    told: dict[str, list[str]] = {}
    for record in street.vc.records(lambda record: record.path == "/send-delivery-notification"):
        told.setdefault(record.body["id"], []).append(record.headers["idempotency-key"])
    return told


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL], ids=["sigterm", "sigkill"])
@sure
async def test_a_dialer_that_ends_in_mid_delivery_repeats_only_what_was_not_confirmed(
    street: Street, conninfo: str, how: signal.Signals
) -> None:
    # The VC takes these, and never says so.
    street.vc.behave("notification", "hang", next=UNCONFIRMED)
    process = await street.run()
    await street.load(*(ivr() for _ in range(CONTACTS)))
    halfway = {"delivered": CONTACTS - UNCONFIRMED, "waiting": UNCONFIRMED}
    await street.until(lambda: states(street) == halfway, "all but some confirmed")
    waiting = {row["contact_id"] for row in street.query("SELECT contact_id FROM outbox WHERE state = 'waiting'")}
    assert_that({contact for contact, keys in tries(street).items() if len(keys) == 1}, has_length(CONTACTS))

    if how is signal.SIGTERM:
        await street.terminate(process)
    else:
        process.send(how)
        assert_that(await street.ends(process), is_(-how))
        # Nobody gave back what it had claimed: the time passes for which a claim holds.
        administer(conninfo, "UPDATE outbox SET next_time = now() WHERE state = 'waiting'")
    assert_that(states(street), equal_to(halfway))

    await street.run()
    await street.until(lambda: states(street) == {"delivered": CONTACTS}, "all confirmed")
    told = tries(street)
    expected = {contact: 2 if contact in waiting else 1 for contact in told}
    assert_that({contact: len(keys) for contact, keys in told.items()}, equal_to(expected))
    assert_that({contact for contact, keys in told.items() if len(set(keys)) == 1}, has_length(CONTACTS))
    assert_that(street.switch.records.count, is_(CONTACTS), "calls")
