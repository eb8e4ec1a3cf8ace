"""What is answered to a list whose rows the database does not take, through the real stack in memory."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from attrs import define
from hamcrest import assert_that, equal_to, has_entries

from dialer.contact import NewContact
from dialer.meter import Refused
from dialer.store.contacts import Added
from dialer.store.errors import DatabaseDown, DatabaseError
from dialer.store.share import Busy
from dialer.web import upload
from dialer.web.contacts import Contacts
from tests.web.gates import Served
from tests.web.posted import IVR

ADVICE = "send the list again, nothing is stored twice"


@define
class Store:
    """In place of the ContactStore: stores the first batch, and fails with this."""

    error: DatabaseError
    batches: int = 0

    async def add_each(self, contacts: Sequence[NewContact]) -> list[Added]:
        self.batches += 1
        if self.batches > 1:
            raise self.error
        return [Added(1, 0) for _ in contacts]


@pytest.mark.parametrize(
    ("error", "code", "message", "told"),
    [
        (Busy("full"), "busy", "too many others are asking", [(Refused.BUSY,)]),
        (DatabaseDown("gone"), "database_down", "the database cannot be reached", []),
    ],
)
def test_what_was_stored_is_told_with_the_reason_why_the_rest_was_not(
    monkeypatch: pytest.MonkeyPatch, error: DatabaseError, code: str, message: str, told: list[Any]
) -> None:
    store: Any = Store(error)
    nothing: Any = None
    served = Served(groups=(Contacts(store, nothing, nothing, on_contacts=lambda: None),))
    # Each row fills a batch.
    monkeypatch.setattr(upload, "BATCH_TEXT", 1)
    row = {**IVR, "schedulingMetadata": {"a": 1}}
    rows = "".join(json.dumps({**row, "id": f"c{number}"}) + "\n" for number in range(2)).encode()
    got = served.ask("POST", "/contacts", body=rows, Content_Type="application/x-ndjson")
    assert_that((got.status, got.headers["retry-after"]), equal_to((503, "5")))
    assert_that(got.body, has_entries(accepted=1, duplicates=0, rejected=0, rejectedRows=[]))
    assert_that(got.body["error"], equal_to({"code": code, "message": f"{message}; {ADVICE}", "field": None}))
    assert_that(served.told.of("refused"), equal_to(told))
