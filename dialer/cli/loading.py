"""Loading a list: each row checked here by the dialer's own rules, and those that pass posted in batches.

A row without an id is given one that is made of its campaign, its customer number and its campaignContactId. So the
same list loaded again adds nothing twice, and a customer whose row was changed meanwhile is not called twice: the row
is rejected, as its id is there with other content.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from random import random
from typing import Any
from uuid import UUID, uuid5

import orjson
from attrs import define, frozen

from dialer.cli.exits import Failure, Unreachable
from dialer.cli.rejected import Rejected
from dialer.cli.service import Service, Unable
from dialer.cli.source import Source
from dialer.contact import NewContact
from dialer.lists.columns import REQUIRED, ListError, plain
from dialer.lists.reading import NDJSON, CsvReader, JsonLinesReader, Row
from dialer.pacing import backoff
from dialer.web.schema import Invalid, parse_contact

BATCH = 1000
"""Rows of one request: as many rejected rows as an answer tells of."""

BATCH_TEXT = 4_000_000
"""Bytes of one request, past which it is sent before it has BATCH rows."""

LONGEST_WAIT = 15.0
"""Seconds between two tries, at most."""

IDS = UUID("1e9bdbb8-0b9c-5a3f-9f5c-5f3a6a0f2c11")
"""The namespace of the ids that are made here. Another one would have every list called again."""


def id_of(contact: NewContact) -> str:
    """The id of a contact that brought none."""
    named = [contact.campaign_id, contact.customer_number, contact.campaign_contact_id or ""]
    return str(uuid5(IDS, orjson.dumps(named).decode()))


@define
class Outcome:
    """How far a list is loaded: rows looked at, and what became of them."""

    rows: int = 0
    valid: int = 0
    accepted: int = 0
    duplicates: int = 0


@frozen
class _Batch:
    rows: list[Row]
    lines: list[bytes]


class Loading:
    """One list on its way. `retry_for`: seconds without success after which a batch is given up.

    `service` is None for a dry run. `on_wait` is told why it waits before it tries again, and for how long;
    `on_progress` is called after each batch.
    """

    def __init__(
        self,
        source: Source,
        service: Service | None,
        rejected: Rejected,
        *,
        mapping: Mapping[str, str],
        defaults: Mapping[str, Any],
        retry_for: float,
        on_progress: Callable[[], None],
        on_wait: Callable[[str, float], None],
        sleep: Callable[[float], None] = time.sleep,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._source = source
        self._service = service
        self._rejected = rejected
        self._mapping = mapping
        self._retry_for = retry_for
        self._on_progress = on_progress
        self._on_wait = on_wait
        self._sleep = sleep
        self._now = now
        self._reader: CsvReader | JsonLinesReader
        if source.is_json:
            self._reader = JsonLinesReader(defaults)
        else:
            required = [name for name in REQUIRED if name != "id"]
            self._reader = CsvReader(defaults, mapping, required=required)
        self._batch = _Batch([], [])
        self._text = 0
        self.outcome = Outcome()

    def run(self) -> None:
        """Load it to its end. Fails with a Failure; `outcome` says how far it came."""
        try:
            for row in self._rows():
                self._take(row)
                if len(self._batch.rows) >= BATCH or self._text >= BATCH_TEXT:
                    self._post()
                elif self.outcome.rows % BATCH == 0:
                    self._on_progress()
            self._post()
        except ListError as error:
            advice = ""
            if error.field is not None and str(error).startswith("there is no column for"):
                advice = f"; name it with --map COLUMN={error.field}, or give all rows one with --set"
            raise Failure(f"{self._source.name}: {error}{advice}", code="invalid", field=error.field) from None

    def _rows(self) -> Iterator[Row]:
        for piece in self._source.pieces():
            yield from filter(None, self._reader.feed(piece))
        yield from filter(None, self._reader.end())

    def _take(self, row: Row) -> None:
        self.outcome.rows += 1
        if row.values is None:
            self._reject(row, None, row.problem or "the row cannot be read")
            return
        values = self._named(row.values)
        made = values.get("id") is None
        try:
            contact = parse_contact({**values, "id": "made-of-its-content"} if made else values)
        except Invalid as error:
            self._reject(row, error.field, str(error))
            return
        self.outcome.valid += 1
        if self._service is not None:
            line = orjson.dumps({**values, "id": id_of(contact)} if made else values)
            self._batch.rows.append(row)
            self._batch.lines.append(line)
            self._text += len(line)

    def _named(self, values: dict[str, Any]) -> dict[str, Any]:
        """The row with its fields by their names; of CSV they have them."""
        if not self._mapping or not self._source.is_json:
            return values
        mapped = {plain(name): field for name, field in self._mapping.items()}
        others = {name: value for name, value in values.items() if plain(name) not in mapped}
        return others | {mapped[plain(name)]: value for name, value in values.items() if plain(name) in mapped}

    def _post(self) -> None:
        batch, self._batch, self._text = self._batch, _Batch([], []), 0
        if batch.rows and self._service is not None:
            answer = self._answer(self._service, b"\n".join(batch.lines))
            self.outcome.accepted += answer["accepted"]
            self.outcome.duplicates += answer["duplicates"]
            for each in answer["rejectedRows"]:
                self._reject(batch.rows[each["row"] - 1], each["field"], each["message"])
        self._on_progress()

    def _answer(self, service: Service, body: bytes) -> dict[str, Any]:
        """The answer to a batch, tried until there is one; what tries before the last one added is not duplicate."""
        began = self._now()
        failures = added = 0
        while True:
            try:
                answer: dict[str, Any] = service.post("contacts", content=body, content_type=NDJSON)
                return {
                    **answer,
                    "accepted": answer["accepted"] + added,
                    "duplicates": max(0, answer["duplicates"] - added),
                }
            except Unreachable as error:
                if isinstance(error, Unable) and isinstance(error.body, dict):
                    added += error.body.get("accepted", 0)
                failures += 1
                wait = backoff(failures, first=0.5, longest=LONGEST_WAIT, random=random)
                if self._now() - began + wait > self._retry_for:
                    self.outcome.accepted += added
                    raise
                self._on_wait(error.message, wait)
                self._sleep(wait)

    def _reject(self, row: Row, field: str | None, reason: str) -> None:
        columns = self._reader.columns if isinstance(self._reader, CsvReader) else None
        self._rejected.add(row, None if columns is None else columns.names, field, reason)
