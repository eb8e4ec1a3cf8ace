"""Texts that somebody may put where a cause, a reason or a name belongs, and the log that is watched meanwhile."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager

from attrs import frozen
from hamcrest import assert_that, is_, matches_regexp
from twisted.logger import globalLogPublisher

from dialer.logs import LogFormat, observer

FORGED = "2026-01-01T00:00:00+0000 INFO     dialer.calls.Calls forged"

HOSTILE = {
    "a NUL": "USER\0BUSY",
    "only NULs": "\0\0",
    "a line of its own": f"USER_BUSY\n{FORGED}",
    "a carriage return": f"USER_BUSY\r{FORGED}",
    "an Unicode line separator": f"USER_BUSY\u2028{FORGED}",
    "an escape sequence": "\x1b[2J\x1b]0;title\x07USER_BUSY",
    "a C1 control character": "\x9b2JUSER_BUSY",
    "text from right to left": "\u202eYSUB_RESU",
    "a formula": '=HYPERLINK("http://evil","x")',
    "a formula with a sign": "+1+cmd|' /C calc'!A0",
    "a formula for others": "@SUM(1)",
    "a tab before a formula": "\t=1+1",
    "markup": "<img src=x onerror=alert(1)>",
    "a script": "</script><script>alert(1)</script>",
    "SQL": "'); DROP TABLE contacts; --",
    "fields of a format": "{log_time} %(x)s {contact} %s %n",
    "a huge value": "X" * 1_000_000,
    "letters that grow": "\ufb03" * 40,
    "letters beyond the first plane": "\U0001f4de" * 60,
    "nothing": "",
    "spaces": "   ",
}
FORMULA = re.compile(r"[=+\-@\t\r]")


@frozen
class Written:
    """The log in both forms."""

    text: io.StringIO
    json: io.StringIO

    def check(self) -> None:
        """Each line is one of ours and nothing in it steers a terminal."""
        # Not splitlines: it is about what a terminal and a collector take for the end of a line.
        for line in self.text.getvalue().split("\n")[:-1]:
            assert_that(line, matches_regexp(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d{4} [A-Z]+ +[\w.-]+ |  )"))
            assert_that(line.isprintable(), is_(True), repr(line))
        for line in self.json.getvalue().split("\n")[:-1]:
            said = json.loads(line)
            assert_that(said["message"].isprintable(), is_(True), repr(line))
            # JSON may hold control characters as escapes only, and we have no use for those either.
            assert_that(line.isprintable(), is_(True), repr(line))


@contextmanager
def log_written() -> Iterator[Written]:
    """Write the log meanwhile as a process does."""
    written = Written(io.StringIO(), io.StringIO())
    forms: list[tuple[LogFormat, io.StringIO]] = [("text", written.text), ("json", written.json)]
    observers = [observer("DEBUG", stream, form=form) for form, stream in forms]
    for each in observers:
        globalLogPublisher.addObserver(each)
    try:
        yield written
    finally:
        for each in observers:
            globalLogPublisher.removeObserver(each)
