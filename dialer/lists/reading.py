"""Lists of contacts, read from bytes that come piece by piece: one row after the other, whatever is wrong with some."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

import orjson
from attrs import field, frozen

from dialer.lists.columns import REQUIRED, Columns, ListError, field_named, with_defaults
from dialer.lists.records import DELIMITERS, Record, Records

CSV = "text/csv"
NDJSON = "application/x-ndjson"

LONGEST_LINE = 524_288
"""Bytes of a line of JSON: the longest metadata, each character of it escaped, and room for the rest."""


@frozen
class Row:
    """One row. `number` is counted from 1 as an editor or a spreadsheet shows it: a CSV file's header is row 1."""

    number: int
    values: dict[str, Any] | None
    """As a contact is posted; None when the row cannot be read."""

    problem: str | None = None
    """Why it cannot be read."""

    original: Sequence[str] = field(default=(), repr=False)
    """Its cells as they were, or the whole of it as one text."""


class Reader(Protocol):
    """A reader of lists. A yielded None says that it is time to serve others."""

    def feed(self, data: bytes) -> Iterator[Row | None]:
        """The rows that end within this piece. Raises ListError when the list as a whole cannot be read."""

    def end(self) -> Iterator[Row | None]:
        """The rows that the end of the list ends."""


class CsvReader:
    """CSV in UTF-8, with or without a byte order mark, any line break; the delimiter is what parts the header into the
    most known columns. `mapping` and `defaults` as for Columns; `complete`: whether a required column must be there.
    """

    def __init__(
        self,
        defaults: Mapping[str, Any],
        mapping: Mapping[str, str] | None = None,
        *,
        required: Sequence[str] = REQUIRED,
    ) -> None:
        self._defaults = defaults
        self._mapping = mapping or {}
        self._required = required
        self._records = Records()
        self._number = 0
        self._begun = False
        self.columns: Columns | None = None

    def feed(self, data: bytes) -> Iterator[Row | None]:
        """The rows that end within this piece. Raises ListError."""
        if data and not self._begun:
            self._begun = True
            if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
                raise ListError("the list must be in UTF-8; this one is in UTF-16")
        return self._rows(self._records.feed(data))

    def end(self) -> Iterator[Row | None]:
        """The last row, if no line break ends it. Raises ListError when there was no header."""
        yield from self._rows(self._records.feed(b"", final=True))
        if self.columns is None:
            raise ListError("the list is empty: its first line must name the columns")

    def _rows(self, records: Iterator[Record | None]) -> Iterator[Row | None]:
        for record in records:
            if record is None:
                yield None
                continue
            self._number += 1
            if not record.text and not record.problem:
                continue
            if self.columns is None:
                self._read_header(record)
            else:
                yield self._row(record, self.columns)

    def _row(self, record: Record, columns: Columns) -> Row:
        if record.problem:
            return Row(self._number, None, record.problem, (record.text,))
        try:
            cells = _cells(record.text, self._records.delimiter)
        except csv.Error as error:
            return Row(self._number, None, f"the row is not CSV: {error}", (record.text,))
        if any(cell.strip() for cell in cells[len(columns.fields) :]):
            return Row(
                self._number, None, f"the row has more cells than the header, which has {len(columns.fields)}", cells
            )
        return Row(self._number, columns.values(cells), original=cells)

    def _read_header(self, record: Record) -> None:
        if record.problem:
            raise ListError(f"the first line must name the columns: {record.problem}")
        found: list[tuple[int, str, list[str]]] = []
        mapped = set(self._mapping)
        for delimiter in DELIMITERS:
            try:
                cells = [cell.strip() for cell in _cells(record.text, delimiter)]
            except csv.Error:
                continue
            found.append((sum(bool(field_named(cell)) or cell in mapped for cell in cells), delimiter, cells))
        if not found:
            raise ListError("the first line must name the columns; it is not CSV")
        # Of several that part it equally well the first.
        _, self._records.delimiter, names = max(found, key=lambda each: each[0])
        columns = Columns.of(names, self._defaults, self._mapping)
        if missing := columns.missing(self._required):
            raise ListError(f"there is no column for {missing}", missing)
        self.columns = columns


def _cells(text: str, delimiter: str) -> list[str]:
    return next(csv.reader([text], delimiter=delimiter, strict=True))


class JsonLinesReader:
    """One JSON object in each line, in UTF-8. A row that lacks a field is given that of `defaults`."""

    def __init__(self, defaults: Mapping[str, Any]) -> None:
        self._defaults = defaults
        self._rest = b""
        self._skipping = False
        self._number = 0

    def feed(self, data: bytes) -> Iterator[Row | None]:
        """The rows whose lines end within this piece."""
        lines = (self._rest + data).split(b"\n")
        self._rest = lines.pop()
        for line in lines:
            if self._skipping:
                self._skipping = False
            else:
                yield from self._line(line)
        if len(self._rest) > LONGEST_LINE:
            if not self._skipping:
                yield from self._line(self._rest)
            self._rest, self._skipping = b"", True

    def end(self) -> Iterator[Row | None]:
        """The last row, if no line break ends it."""
        if self._rest and not self._skipping:
            yield from self._line(self._rest)
        self._rest = b""

    def _line(self, line: bytes) -> Iterator[Row]:
        self._number += 1
        if self._number == 1:
            line = line.removeprefix(b"\xef\xbb\xbf")
        if not line.strip():
            return
        original = (line[:LONGEST_LINE].decode("utf-8", "replace").strip(),)
        if len(line) > LONGEST_LINE:
            problem = f"the line is longer than {LONGEST_LINE} bytes"
            yield Row(self._number, None, problem, (original[0][:100],))
            return
        try:
            values = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            yield Row(self._number, None, f"the line is not JSON in UTF-8: {error}", original)
            return
        if not isinstance(values, dict):
            yield Row(self._number, None, "the line must be an object: one contact", original)
            return
        yield Row(self._number, with_defaults(values, self._defaults), original=original)
