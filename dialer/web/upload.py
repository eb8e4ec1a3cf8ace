"""Contact lists of any length over HTTP: taken as they arrive, each row checked and stored for itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Annotated, Any, cast

from attrs import define, field
from pydantic import Field, create_model
from twisted.internet.defer import Deferred, DeferredSemaphore
from twisted.logger import Logger

from dialer.contact import NewContact
from dialer.lists.columns import value_of
from dialer.lists.reading import CSV, CsvReader, JsonLinesReader, Reader, Row
from dialer.store.contacts import ADD_AT_ONCE, Added, ContactClash, ContactStore
from dialer.store.database import DatabaseError
from dialer.web.answers import HttpError, no_database
from dialer.web.incoming import BodyLost, Incoming
from dialer.web.query import Query, parse_query, whole
from dialer.web.schema import STEP, STEP_TEXT, ContactIn, Invalid, parse_contact
from dialer.web.turns import turn

SHOWN = 1000
"""Rejected rows that an answer tells of, the first: some 150 kB."""

STORING = 2
"""Uploads that store rows at the same time; the others wait, so that dialing finds a connection to the database."""

BATCH_TEXT = 1_000_000
"""Characters of metadata in a batch, past which it is stored before it has ADD_AT_ONCE rows."""


def _parameters() -> dict[str, Any]:
    """What all rows of a list may have in common: each field by its own rule."""
    found: dict[str, Any] = {}
    for name, info in ContactIn.model_fields.items():
        if name == "priority":
            found[name] = (whole(1, 10), None)
        elif name not in ("id", "customer_number", "campaign_contact_id", "scheduling_metadata"):
            kind = cast(Any, info.annotation) | None
            said = Field(description=info.description, json_schema_extra=info.json_schema_extra)
            found[name] = (Annotated[kind, said, *info.metadata], None)
    return found


UploadQuery: type[Query] = create_model(
    "UploadQuery", __base__=Query, __doc__="What each row has that lacks it.", **_parameters()
)


def reader_for(content_type: str, args: Mapping[bytes, Sequence[bytes]]) -> Reader:
    """The reader of such a list. Raises Invalid for a parameter that is wrong."""
    asked = parse_query(UploadQuery, args)
    names = [str(UploadQuery.model_fields[name].alias) for name in asked.model_fields_set]
    defaults = {name: value_of(name, args[name.encode()][0].decode()) for name in names}
    return CsvReader(defaults) if content_type == CSV else JsonLinesReader(defaults)


@define
class Counts:
    """What became of the rows of one upload so far. `rejected_rows` are the first that are rejected, as shown."""

    accepted: int = 0
    duplicates: int = 0
    rejected: int = 0
    rejected_rows: list[dict[str, Any]] = field(factory=list)

    def reject(self, row: int, wrong_field: str | None, message: str) -> None:
        """A row that is not stored."""
        self.rejected += 1
        if len(self.rejected_rows) < SHOWN:
            self.rejected_rows.append({"row": row, "field": wrong_field, "message": message})

    def shown(self) -> dict[str, Any]:
        """As the answer has it."""
        rows = sorted(self.rejected_rows, key=lambda each: cast(int, each["row"]))
        counts = {"accepted": self.accepted, "duplicates": self.duplicates, "rejected": self.rejected}
        return {**counts, "rejectedRows": rows}


class StoredInPart(HttpError):
    """The database has not stored the rest of a list. The answer has the counts so far."""

    def __init__(self, error: DatabaseError, counts: Counts) -> None:
        told = no_database(error, advice="send the list again, nothing is stored twice")
        super().__init__(told.status, told.code, str(told))
        self._counts = counts

    def body(self) -> dict[str, Any]:
        return self._counts.shown() | super().body()


class Uploads:
    """Stores lists. `on_contacts` is called after contacts were stored."""

    log = Logger()

    def __init__(self, contacts: ContactStore, *, on_contacts: Callable[[], None]) -> None:
        self._contacts = contacts
        self._on_contacts = on_contacts
        self._turns = DeferredSemaphore(STORING)

    async def take(self, body: Incoming, reader: Reader) -> object:
        """Read a list to its end; the answer. Fails with ListError when the list as a whole cannot be read, and with
        StoredInPart when the database does not go along.

        Each batch is a transaction of its own, and a list may be sent again: what was stored is counted as duplicate.
        """
        upload = _Upload(self._contacts, self._turns, self._on_contacts)
        try:
            while data := await body.read():
                await upload.take(reader.feed(data))
            await upload.take(reader.end())
            await upload.store()
        except BodyLost:
            self.log.warn(
                "A list was broken off by its sender after {accepted} new contacts, {duplicates} duplicates and "
                "{rejected} rejected rows",
                accepted=upload.counts.accepted,
                duplicates=upload.counts.duplicates,
                rejected=upload.counts.rejected,
            )
            raise
        except DatabaseError as error:
            raise StoredInPart(error, upload.counts) from error
        return upload.counts.shown()


class _Upload:
    """One list on its way: at most one batch of it is held."""

    log = Logger()

    def __init__(self, contacts: ContactStore, turns: DeferredSemaphore, on_contacts: Callable[[], None]) -> None:
        self._contacts = contacts
        self._turns = turns
        self._on_contacts = on_contacts
        self._batch: list[tuple[int, NewContact]] = []
        self._text = 0
        self.counts = Counts()

    async def take(self, rows: Iterator[Row | None]) -> None:
        """Check these rows in steps, and store them by the batch."""
        in_step = text_in_step = 0
        for row in rows:
            if row is not None:
                text_in_step += self._check(row)
                in_step += 1
            if len(self._batch) >= ADD_AT_ONCE or self._text >= BATCH_TEXT:
                await self.store()
                in_step = text_in_step = 0
            elif row is None or in_step >= STEP or text_in_step >= STEP_TEXT:
                await turn()
                in_step = text_in_step = 0

    def _check(self, row: Row) -> int:
        """Check one row; the characters of its metadata."""
        if row.values is None:
            self.counts.reject(row.number, None, row.problem or "the row cannot be read")
            return 0
        try:
            contact = parse_contact(row.values)
        except Invalid as error:
            self.counts.reject(row.number, error.field, str(error))
            return 0
        text = len(contact.scheduling_metadata or "")
        self._batch.append((row.number, contact))
        self._text += text
        return text

    async def store(self) -> None:
        """Store what was checked."""
        batch, self._batch, self._text = self._batch, [], 0
        if not batch:
            return
        outcomes = await self._turns.run(self._add, [contact for _, contact in batch])
        added = 0
        for (row, _), outcome in zip(batch, outcomes, strict=True):
            match outcome:
                case Added():
                    added += outcome.accepted
                    self.counts.duplicates += outcome.duplicates
                case ContactClash():
                    self.counts.reject(row, "id", str(outcome))
                case _:
                    self.log.error("A row could not be stored: {error}", error=repr(outcome))
                    self.counts.reject(row, None, "the row could not be stored; the log tells more")
        self.counts.accepted += added
        if added:
            self._on_contacts()

    def _add(self, contacts: Sequence[NewContact]) -> Deferred[list[Added | Exception]]:
        return Deferred.fromCoroutine(self._contacts.add_each(contacts))
