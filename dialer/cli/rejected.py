"""The file of the rows that were rejected: as they were, with the reason, to be mended and loaded again."""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import orjson

from dialer.cli.exits import Failure
from dialer.lists.columns import FIELDS, field_named, plain
from dialer.lists.reading import Row
from dialer.lists.spreadsheet import defused

REASONS = ("rejectedRow", "rejectedField", "rejectedReason", "rejectedText")
"""The columns that are added: the row's number, the field that is wrong, why, and the text of what is no row."""

_OURS = {plain(name) for name in REASONS}


class Rejected:
    """Takes the place of `path` once all is done; the file is not there when no row was rejected.

    It is written in UTF-8 with a byte order mark, as spreadsheets expect it, and nothing in it is a formula.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._part = path.with_name(path.name + ".part")
        self._file: IO[str] | None = None
        self._writer: Any = None
        self._kept: Sequence[int] = ()
        self.count = 0

    def add(self, row: Row, header: Sequence[str] | None, field: str | None, reason: str) -> None:
        """A row; `header` has the names of its cells, None for a line of JSON."""
        if self._file is None:
            self._begin(header)
        text = ""
        if header is None:
            cells = [_text(_value(row.values or {}, name)) for name in FIELDS]
            text = "" if row.values is not None else "".join(row.original)
        elif row.values is None and len(row.original) <= 1:
            cells = [""] * len(self._kept)
            text = "".join(row.original)
        else:
            cells = [row.original[at] if at < len(row.original) else "" for at in self._kept]
            text = ",".join(row.original[len(header) :])
        self._writer.writerow([defused(each) for each in (*cells, str(row.number), field or "", reason, text)])
        self.count += 1

    def close(self) -> None:
        """Put the file in its place."""
        try:
            if self._file is None:
                self.path.unlink(missing_ok=True)
            else:
                self._file.close()
                os.replace(self._part, self.path)
        except OSError as error:
            raise self._unwritten(error) from None

    def _begin(self, header: Sequence[str] | None) -> None:
        names = FIELDS if header is None else header
        # A file of this kind that was mended has them already.
        self._kept = [at for at, name in enumerate(names) if plain(name) not in _OURS]
        try:
            # Bytes that are no UTF-8 go out as they came in.
            self._file = self._part.open("w", encoding="utf-8", errors="surrogateescape", newline="")
            self._file.write("\ufeff")
        except OSError as error:
            raise self._unwritten(error) from None
        self._writer = csv.writer(self._file)
        self._writer.writerow([*(defused(names[at]) for at in self._kept), *REASONS])

    def _unwritten(self, error: OSError) -> Failure:
        return Failure(f"{self.path} cannot be written: {error.strerror}", code="not_written")


def _value(values: dict[str, Any], field: str) -> Any:
    """A field by any of the names that it may have."""
    return next((value for name, value in values.items() if field_named(name) == field and value is not None), None)


def _text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else orjson.dumps(value).decode()
