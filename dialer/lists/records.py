"""The records of a CSV file that comes in pieces, each found even when one before it is broken.

A quote that nobody closes would swallow all that follows, up to the next quote. So a record has a greatest length: past
it, or at the end of the file, its first line alone is taken for broken, and reading goes on with the second.
"""

from __future__ import annotations

import codecs
import io
from collections import deque
from collections.abc import Iterator

from attrs import frozen

LONGEST = 262_144
"""Characters of a record: twice the longest metadata (`web/metadata.py`), whose quotes are doubled in CSV."""

DELIMITERS = ",;\t"


@frozen
class Record:
    """One record's text, with the line breaks inside of it; or what is wrong with it, and the text of its beginning."""

    text: str
    problem: str | None = None


class Records:
    """Fed with bytes, gives records. `delimiter` is set by whoever has read the header.

    A yielded None says that much was looked through without a record being found: time for others.
    """

    def __init__(self) -> None:
        # As Excel writes it: UTF-8 with a byte order mark, any line break. What is no UTF-8 becomes lone surrogates.
        decoder = codecs.getincrementaldecoder("utf-8-sig")("surrogateescape")
        self._decoder = io.IncrementalNewlineDecoder(decoder, translate=True)
        self._rest = ""
        self._lines: list[str] = []
        self._size = 0
        self._open = False
        self._skipping = False
        self.delimiter = ""

    def feed(self, data: bytes, *, final: bool = False) -> Iterator[Record | None]:
        """The records that end within `data`; with `final` also the one that ends with the file."""
        lines = deque((self._rest + self._decoder.decode(data, final)).split("\n"))
        self._rest = lines.pop()
        if final and self._rest:
            lines.append(self._rest)
            self._rest = ""
        while lines or (self._lines and (final or self._size + len(self._rest) > LONGEST)):
            if not lines or self._size > LONGEST:
                yield Record(self._lines[0], "a quote is not closed")
                yield None
                lines.extendleft(reversed(self._lines[1:]))
                self._forget()
                continue
            line = lines.popleft()
            if self._skipping:
                self._skipping = False
            elif len(line) > LONGEST:
                yield Record(line[:100], _TOO_LONG)
                self._forget()
            else:
                yield from self._take(line)
        if len(self._rest) > LONGEST and not self._lines:
            if not self._skipping:
                yield Record(self._rest[:100], _TOO_LONG)
            self._skipping, self._rest = True, ""

    def _take(self, line: str) -> Iterator[Record]:
        self._open = _left_open(line, self._open, self.delimiter or DELIMITERS)
        self._lines.append(line)
        self._size += len(line) + 1
        if not self._open:
            text = "\n".join(self._lines)
            self._forget()
            yield Record(text)

    def _forget(self) -> None:
        self._lines, self._size, self._open = [], 0, False


_TOO_LONG = f"the row is longer than {LONGEST} characters"


def _left_open(line: str, is_open: bool, delimiters: str) -> bool:
    """Whether a quoted cell is open after this line. A quote opens a cell only where the cell begins."""
    if '"' not in line:
        return is_open
    at = 0
    if not is_open and line.startswith('"'):
        is_open, at = True, 1
    while True:
        if is_open:
            at = line.find('"', at)
            if at < 0:
                return True
            if line.startswith('"', at + 1):
                at += 2
                continue
            is_open = False
            at += 1
        begins = [found for each in delimiters if (found := line.find(each + '"', at)) >= 0]
        if not begins:
            return False
        is_open, at = True, min(begins) + 2
