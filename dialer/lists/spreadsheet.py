"""Cells of a CSV file as a spreadsheet may be given them: what somebody else wrote must not be run as a formula.

A cell that begins with one of `= + - @`, with a tab or a line break, is a formula to one spreadsheet or another. A `'`
before it makes it a text. A number is left as it is, with its sign: `+447700900123` is a number to all of them, while
`+1*2` would be calculated.
"""

from __future__ import annotations

import re

_FORMULA = re.compile(r"[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")
_NUMBER = re.compile(r"[+-]?[0-9]+")


def defused(text: str) -> str:
    """The text as a cell that no spreadsheet calculates."""
    return "'" + text if _FORMULA.match(text) and not _NUMBER.fullmatch(text) else text


def restored(text: str) -> str:
    """The text that `defused` was given."""
    return text[1:] if text.startswith("'") and _FORMULA.match(text, 1) else text
