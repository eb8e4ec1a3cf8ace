"""The file that is loaded: opened, unpacked, told apart, and how far it was read."""

from __future__ import annotations

import gzip
import io
import os
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

from dialer.cli.exits import Failure

PIECE = 65_536
"""Bytes that are read at once."""

_UNREADABLE = (OSError, EOFError, zlib.error)
_JSON_NAMES = (".jsonl", ".ndjson", ".json")


class Source:
    """A list as bytes. `path` is None for stdin. Raises Failure when it cannot be read."""

    def __init__(self, path: Path | None, kind: str | None) -> None:
        self.name = "stdin" if path is None else str(path)
        self._raw: BinaryIO
        try:
            self._raw = sys.stdin.buffer if path is None else path.open("rb")
            self.size = None if path is None or not path.is_file() else os.fstat(self._raw.fileno()).st_size
            self._counted = _Counted(self._raw)
            begin = io.BufferedReader(self._counted, PIECE)
            packed = begin.peek(2)[:2] == b"\x1f\x8b"
            self._file = cast(IO[bytes], gzip.GzipFile(fileobj=begin)) if packed else cast(IO[bytes], begin)
            self._first = self._file.read(PIECE)
        except _UNREADABLE as error:
            raise self._unreadable(error) from None
        self.is_json = kind == "ndjson" if kind else self._looks_like_json(path)

    @property
    def done(self) -> int:
        """Bytes of the file itself, packed or not, that were read."""
        return self._counted.read_bytes

    def pieces(self) -> Iterator[bytes]:
        """All of it."""
        data = self._first
        while data:
            yield data
            try:
                data = self._file.read(PIECE)
            except _UNREADABLE as error:
                raise self._unreadable(error) from None

    def close(self) -> None:
        """Close it."""
        if self._raw is not sys.stdin.buffer:
            self._raw.close()

    def _looks_like_json(self, path: Path | None) -> bool:
        begin = self._first.removeprefix(b"\xef\xbb\xbf").lstrip()[:1]
        if begin == b"[":
            raise Failure(f"{self.name} is one JSON list; give each contact a line of its own", code="not_lines")
        name = "" if path is None else path.name.lower().removesuffix(".gz")
        return begin == b"{" or name.endswith(_JSON_NAMES)

    def _unreadable(self, error: Exception) -> Failure:
        reason = getattr(error, "strerror", None) or str(error)
        return Failure(f"{self.name} cannot be read: {reason}", code="not_read")


class _Counted(io.RawIOBase):
    """A file that counts what is read of it."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.read_bytes = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._file.read(len(buffer))
        buffer[: len(data)] = data
        self.read_bytes += len(data)
        return len(data)
