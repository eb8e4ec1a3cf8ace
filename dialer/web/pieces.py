"""A long JSON list, read in pieces, so that others are served in between."""

from __future__ import annotations

import re
from collections.abc import Generator
from itertools import islice

import orjson

PIECE = 200_000
"""Bytes that are read in one step: in about a millisecond."""

TRIES = 10
"""Places at which an end of a piece is looked for: between two objects that are in the list itself, not deeper."""

_SPACE = rb"[ \t\n\r]{0,200}"
_OPENING = re.compile(_SPACE + rb"\[" + _SPACE + rb"(?=\{)")
_BETWEEN = re.compile(rb"\}(" + _SPACE + rb"," + _SPACE + rb")(?=\{)")


def loads_steps(body: bytes, piece: int = PIECE) -> Generator[None, None, object]:
    """What `orjson.loads` returns, or raises, in steps of about `piece` bytes.

    No text is read twice, but for what turns out not to be a list of objects, or no JSON: that is read at one go.

    What follows a `}` does not change how a parser reads what comes before it. So when the text from the `[` to a `}`
    is a whole list once it is closed there, the list itself is open at that place, and the comma and the `{` after it
    begin its next entry. A place that is deeper, or in a string, leaves something else open, and does not parse.
    """
    opening = _OPENING.match(body)
    if opening is None:
        return orjson.loads(body)
    entries: list[object] = []
    start = opening.end()
    try:
        while len(body) - start > piece:
            for place in islice(_BETWEEN.finditer(body, start + piece), TRIES):
                read = _listed(body[start : place.start(1)] + b"]")
                yield
                if read is not None:
                    entries += read
                    start = place.end()
                    break
            else:
                break
        entries += orjson.loads(b"[" + body[start:])
    except orjson.JSONDecodeError:
        return orjson.loads(body)  # so that an error names the place in the whole
    return entries


def _listed(text: bytes) -> list[object] | None:
    try:
        entries: list[object] = orjson.loads(b"[" + text)
    except orjson.JSONDecodeError:
        return None
    return entries
