"""What the commands write. What others wrote, customers among them, is shown and never obeyed by a terminal."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import click
import orjson
from rich.console import Console
from rich.table import Table
from rich.text import Text

# C0, DEL, C1, the line separators of Unicode, and what changes the direction of writing or is not seen.
_STEERING = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]")


def plain(text: object) -> str:
    """The text with all that could steer a terminal, or disguise something, spelled out."""
    return _STEERING.sub(lambda found: found[0].encode("unicode-escape").decode(), str(text))


def shown(text: object) -> Text:
    """The same for rich, which takes nothing in it for markup."""
    return Text("" if text is None else plain(text))


def console(*, stderr: bool = False) -> Console:
    """Where tables go. In a file or a pipe nothing is cut off to fit a terminal."""
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else 1000
    return Console(file=stream, markup=False, highlight=False, emoji=False, width=width)


def table(*columns: str, numbers: Iterable[str] = ()) -> Table:
    """A table with these columns; those of numbers are flush right."""
    found = Table(box=None, pad_edge=False, header_style="bold")
    right = set(numbers)
    for column in columns:
        found.add_column(column, justify="right" if column in right else "left", overflow="fold")
    return found


def say(text: str) -> None:
    """A line on stdout."""
    click.echo(plain(text))


def note(text: str) -> None:
    """A line on stderr, beside what the command gives."""
    click.echo(plain(text), err=True)


def give_json(value: Any) -> None:
    """One JSON document, on one line of stdout."""
    click.echo(orjson.dumps(value))


def rows(target: Table, values: Iterable[Sequence[object]]) -> Table:
    """The table, filled with texts."""
    for each in values:
        target.add_row(*(shown(value) for value in each))
    return target
