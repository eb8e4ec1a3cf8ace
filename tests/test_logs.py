"""What operators read: which events, and that each is one line of ours."""

from __future__ import annotations

from io import StringIO
from typing import Any

import pytest
from hamcrest import assert_that, contains_string, ends_with, equal_to, has_length, is_, starts_with
from twisted.logger import Logger, LogLevel
from twisted.python.failure import Failure

from dialer.logs import LEVELS, QUIET, observer, tee


def lines(level: str, namespace: str = "dialer.cycle", **kinds: Any) -> list[str]:
    """What is written when one event of each level is logged."""
    stream = StringIO()
    log = Logger(namespace=namespace, observer=observer(level, stream))
    for severity in LogLevel.iterconstants():
        log.emit(severity, "said at {severity}", severity=severity.name)
    return stream.getvalue().splitlines()


def written(format_string: str, **fields: Any) -> str:
    stream = StringIO()
    Logger(namespace="dialer.web", observer=observer("INFO", stream)).info(format_string, **fields)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("level", "heard"),
    [
        ("DEBUG", ["debug", "info", "warn", "error", "critical"]),
        ("INFO", ["info", "warn", "error", "critical"]),
        ("WARN", ["warn", "error", "critical"]),
        ("ERROR", ["error", "critical"]),
    ],
)
def test_only_what_is_at_least_as_severe_as_the_level_is_written(level: str, heard: list[str]) -> None:
    assert_that([line.rpartition(" ")[2] for line in lines(level)], equal_to(heard))


def test_every_level_of_the_configuration_is_known() -> None:
    assert_that(set(LEVELS), equal_to({"DEBUG", "INFO", "WARN", "ERROR"}))


@pytest.mark.parametrize("namespace", [*QUIET, "twisted.web.server.Site"])
def test_libraries_that_tell_of_each_connection_are_heard_from_warnings_on(namespace: str) -> None:
    assert_that(lines("DEBUG", namespace), has_length(3))
    assert_that(lines("ERROR", namespace), has_length(2))


def test_a_line_has_the_time_the_level_the_part_and_the_text() -> None:
    line = written("{number} contacts", number=3)
    assert_that(line, starts_with("20"))
    assert_that(line, ends_with(" INFO     dialer.web 3 contacts\n"))


@pytest.mark.parametrize("separator", ["\n", "\r", "\r\n", "\n\n"])
def test_a_text_of_somebody_elses_in_a_field_does_not_begin_a_line(separator: str) -> None:
    line = written("contact {id}", id=f"c1{separator}2026-01-01T00:00:00+0000 ERROR dialer.calls forged")
    assert_that((line.count("\n"), line.count("\r"), line[-1]), equal_to((1, 0, "\n")))
    assert_that(line, contains_string("forged"))


def test_braces_in_a_field_are_not_read_as_fields() -> None:
    assert_that(written("contact {id}", id="{log_time}"), ends_with("contact {log_time}\n"))


def test_a_failure_is_written_with_its_traceback() -> None:
    stream = StringIO()
    log = Logger(namespace="dialer.calls", observer=observer("ERROR", stream))
    try:
        raise LookupError("nothing there")
    except LookupError:
        log.failure("Went astray")
    assert_that(stream.getvalue(), contains_string("CRITICAL dialer.calls Went astray\n  Traceback"))
    assert_that(stream.getvalue(), contains_string("LookupError: nothing there"))


def test_the_message_of_an_exception_does_not_begin_a_line_that_looks_like_ours() -> None:
    stream = StringIO()
    log = Logger(namespace="dialer.calls", observer=observer("ERROR", stream))
    forged = "2026-01-01T00:00:00+0000 INFO     dialer.calls forged"
    log.failure("Went astray", Failure(ValueError(f"bad value\n{forged}")))
    assert_that([line for line in stream.getvalue().splitlines() if line.startswith("20")], has_length(1))
    assert_that(stream.getvalue(), contains_string("forged"))


class Broken(StringIO):
    def write(self, text: str) -> int:
        raise OSError("no space left on device")


def test_a_stream_that_fails_does_not_silence_the_others() -> None:
    closed, good = StringIO(), StringIO()
    closed.close()
    Logger(namespace="dialer", observer=observer("INFO", Broken(), closed, good)).info("heard")
    assert_that(good.getvalue(), ends_with("heard\n"))


def test_all_observers_are_told() -> None:
    first, second = StringIO(), StringIO()
    Logger(namespace="dialer", observer=tee(observer("INFO", first), observer("ERROR", second))).info("heard")
    assert_that((len(first.getvalue().splitlines()), second.getvalue()), is_((1, "")))
