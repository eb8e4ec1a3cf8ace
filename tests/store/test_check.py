"""What `dialer check` asks of the database."""

from __future__ import annotations

import pytest_twisted
from hamcrest import assert_that, equal_to

from dialer.store.check import CheckStore, Waiting
from tests.store.tables import Tables, conninfo, one_database, tables

__all__ = ["conninfo", "one_database", "tables"]

sure = pytest_twisted.ensureDeferred


@sure
async def test_the_gateways_that_most_contacts_wait_for_come_first_and_the_others_are_counted(tables: Tables) -> None:
    store = CheckStore(tables.database)
    assert_that(await store.waiting(2), equal_to(Waiting({}, 0, 0)))
    for number, gateway in enumerate(["gw-1", "gw-2", "gw-3", "gw-3", "gw-2", "gw-3", "gw-4"]):
        await tables.put(f"c{number}", gateway_id=gateway)
    await tables.put("c9", gateway_id="gw-9", status="ended")
    assert_that(await store.waiting(2), equal_to(Waiting({"gw-3": 3, "gw-2": 2}, 2, 7)))
    assert_that(await store.waiting(4), equal_to(Waiting({"gw-3": 3, "gw-2": 2, "gw-1": 1, "gw-4": 1}, 0, 7)))
