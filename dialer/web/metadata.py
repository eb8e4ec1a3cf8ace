"""A contact's scheduling metadata: an object that the campaign manager wants kept, and that nobody here looks into."""

from __future__ import annotations

import orjson

MAX_DEPTH = 32
"""Objects and lists within each other. orjson itself gives up at 254."""

MAX_TEXT = 65_536
"""Bytes of JSON text. A contact's row stays small enough to be read in bulk."""


class Unfit(ValueError):
    """The metadata cannot be kept; the message completes the sentence that begins with the field's name."""


def to_text(value: object) -> str:
    """Return the JSON text of an object, the same for the same object whatever the order of its keys.

    Raises Unfit for what is no object, too deep, too long, or cannot be stored and read back (NUL, lone surrogates).
    """
    if not isinstance(value, dict):
        raise Unfit("must be an object")
    try:
        text = orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    except orjson.JSONEncodeError:  # its reasons: too deep, integers past 64 bits, text without an UTF-8 form
        raise Unfit(f"must be JSON in UTF-8, at most {MAX_DEPTH} levels deep, its integers within 64 bits") from None
    if len(text) > MAX_TEXT:
        raise Unfit(f"must not be longer than {MAX_TEXT} bytes of JSON")
    # Walked only when the text gives a reason to: most metadata is small and flat.
    if text.count(b"{") + text.count(b"[") > MAX_DEPTH or rb"\u0000" in text:
        _walk(value)
    return text.decode()


def from_text(text: str) -> object:
    """Return what `to_text` was given. Rows taken over may hold anything: what is no JSON is returned as it is."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return text


def _walk(value: object) -> None:
    level: list[object] = [value]
    for _ in range(MAX_DEPTH):
        below: list[object] = []
        for item in level:
            if isinstance(item, str) and "\0" in item:
                raise Unfit("must not hold the character NUL")
            if isinstance(item, dict):
                below += [*item, *item.values()]
            elif isinstance(item, list):
                below += item
        level = below
    if any(isinstance(item, dict | list) for item in level):
        raise Unfit(f"must not be more than {MAX_DEPTH} levels deep")
    if any(isinstance(item, str) and "\0" in item for item in level):
        raise Unfit("must not hold the character NUL")
