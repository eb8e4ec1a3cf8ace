"""How a command can end, for scripts that call it."""

from __future__ import annotations

import sys
from enum import IntEnum
from typing import IO, Any

import click
import orjson

from dialer.cli.output import plain


class Exit(IntEnum):
    """The exit codes."""

    OK = 0
    FAILED = 1
    """Refused, or failed for another reason; `check` found something that does not work."""

    USAGE = 2
    """The command line is wrong."""

    REJECTED = 3
    """Done, but some rows were rejected."""

    UNREACHABLE = 4
    """The dialer cannot be reached, or says that it cannot serve just now (its database is down, it is stopping)."""

    INTERRUPTED = 130
    """Ended by Ctrl-C."""


class Failure(click.ClickException):
    """A command that fails: one line on stderr, or with --json an error object on stdout."""

    exit_code = Exit.FAILED

    def __init__(self, message: str, *, code: str = "failed", field: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.field = field
        self.as_json = False

    def show(self, file: IO[Any] | None = None) -> None:
        """Tell it."""
        if self.as_json:
            error = {"code": self.code, "message": self.message, "field": self.field}
            click.echo(orjson.dumps({"error": error}))
        else:
            click.echo(f"dialer: {plain(self.message)}", file=file or sys.stderr)


class Interrupted(Failure):
    """Ended by Ctrl-C in the middle of something that can be done again."""

    exit_code = Exit.INTERRUPTED


class Unreachable(Failure):
    """There is no dialer that can serve: try again later."""

    exit_code = Exit.UNREACHABLE

    def __init__(self, message: str, *, code: str = "unreachable", field: str | None = None) -> None:
        super().__init__(message, code=code, field=field)


class Unanswered(Unreachable):
    """What was asked may have been done, but there was no answer."""
