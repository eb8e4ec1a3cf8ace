"""What operators read: which events, and that each is one line of ours."""

from __future__ import annotations

import ast
import json
import re
from datetime import datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from hamcrest import (
    assert_that,
    contains_string,
    ends_with,
    equal_to,
    greater_than,
    has_key,
    has_length,
    is_,
    not_,
    starts_with,
)
from twisted.logger import Logger, LogLevel
from twisted.python.failure import Failure

import dialer
from dialer.contact import Status, about
from dialer.logs import LEVELS, QUIET, LogFormat, observer, tee
from dialer.masking import Masking
from tests.calling import contact


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


# --- JSON


def objects(*streams: StringIO) -> list[dict[str, Any]]:
    """The lines, each of which must be an object of its own."""
    return [json.loads(line) for stream in streams for line in stream.getvalue().split("\n")[:-1]]


def in_json(format_string: str, **fields: Any) -> dict[str, Any]:
    stream = StringIO()
    Logger(namespace="dialer.calls", observer=observer("INFO", stream, form="json")).warn(format_string, **fields)
    (line,) = objects(stream)
    return line


def test_in_json_a_line_has_time_level_logger_message_and_whose_it_is() -> None:
    line = in_json("Contact {contact} of campaign {campaign} {to}", contact="c1", campaign="k1", to="ended")
    assert_that(datetime.fromisoformat(line.pop("time")).utcoffset(), equal_to(timedelta(0)))
    assert_that(
        line,
        equal_to(
            {
                "level": "WARN",
                "logger": "dialer.calls",
                "message": "Contact c1 of campaign k1 ended",
                "contact": "c1",
                "campaign": "k1",
                "fields": {"to": "ended"},
            }
        ),
    )


def test_in_json_the_time_is_iso_8601_in_utc_to_the_millisecond() -> None:
    stream = StringIO()
    observer("INFO", stream, form="json")(
        {"log_time": 1795696303.1234, "log_level": LogLevel.info, "log_namespace": "dialer", "log_format": "heard"}
    )
    assert_that(objects(stream)[0]["time"], equal_to("2026-11-26T12:31:43.123Z"))


def test_in_json_facts_keep_their_kind_and_others_become_text() -> None:
    line = in_json(
        "{n}", n=3, share=0.5, big=2**70, nothing=None, there=True, status=Status.DIALED, error=KeyError("k")
    )
    assert_that(
        line["fields"],
        equal_to(
            {
                "n": 3,
                "share": 0.5,
                "big": str(2**70),
                "nothing": None,
                "there": True,
                "status": "dialed",
                "error": "'k'",
            }
        ),
    )


def test_in_json_a_traceback_is_one_field_of_its_line() -> None:
    stream = StringIO()
    log = Logger(namespace="dialer.calls", observer=observer("INFO", stream, form="json"))
    log.failure("Went {way}", Failure(ValueError("bad value\nand more")), way="astray")
    (line,) = objects(stream)
    assert_that(line["message"], equal_to("Went astray"))
    assert_that(line["traceback"], ends_with("ValueError: bad value\nand more"))


@pytest.mark.parametrize("text", ["a\nb", "a\r\nb", "a\u2028b", "a\x1b[2Jb", "\udc80", '"}', "\0"])
def test_in_json_whatever_somebody_sent_is_one_line_of_valid_json(text: str) -> None:
    line = in_json("contact {contact}: {reason}", contact=text, reason=text)
    assert_that(line["fields"]["reason"].isprintable())
    assert_that(line["contact"].isprintable())


def test_in_json_what_libraries_attach_to_their_events_is_left_out() -> None:
    stream = StringIO()
    Logger(namespace="twisted.x", observer=observer("INFO", stream, form="json")).error(
        "heard {x}", x=1, factory=object()
    )
    assert_that(objects(stream)[0], not_(has_key("fields")))


# --- what is not shown

NUMBER = "+447700900123"


@pytest.mark.parametrize("form", ["text", "json"])
def test_numbers_are_masked_in_message_facts_and_traceback(form: LogFormat) -> None:
    stream = StringIO()
    mask = Masking(numbers=True)
    log = Logger(namespace="dialer.calls", observer=observer("INFO", stream, form=form, mask=mask))
    called = contact(contact_id="c1", customer_number=NUMBER)
    log.info("Contact {contact} of campaign {campaign}: {reason}", reason=f"no route to {NUMBER}", **about(called))
    log.failure("Contact {contact} of campaign {campaign} failed", Failure(ValueError(NUMBER)), **about(called))
    assert_that(stream.getvalue(), not_(contains_string("7700900")))
    assert_that(stream.getvalue(), contains_string("no route to ***123"))
    assert_that(stream.getvalue(), contains_string("ValueError: ***123"))


@pytest.mark.parametrize("form", ["text", "json"])
def test_the_number_of_the_contact_is_no_fact_of_its_line(form: LogFormat) -> None:
    stream = StringIO()
    log = Logger(namespace="dialer.calls", observer=observer("INFO", stream, form=form))
    log.info("Contact {contact} of campaign {campaign}", **about(contact(customer_number=NUMBER)))
    assert_that(stream.getvalue(), not_(contains_string(NUMBER)))


# --- the rule for whoever logs


def logger_calls() -> list[tuple[str, ast.Call]]:
    """Every call of a Logger in the dialer, with its constant format string."""
    found = []
    for path in sorted(Path(dialer.__file__).parent.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
                continue
            if node.func.attr in LOGGED and ast.unparse(node.func.value).split(".")[-1] in ("log", "_log"):
                assert isinstance(node.args[0], ast.Constant | ast.Attribute), f"{path}:{node.lineno}"
                if isinstance(node.args[0], ast.Constant):
                    found.append((f"{path.name}:{node.lineno}", node))
    return found


LOGGED = {"debug", "info", "warn", "error", "critical", "failure"}


def test_each_line_about_a_contact_names_its_campaign_and_carries_both() -> None:
    of_contacts = 0
    for place, call in logger_calls():
        text = call.args[0].value
        if not re.search(r"\{contact\}|\bcontact \{|CALL ID|\{campaign\}", text, re.IGNORECASE):
            continue
        of_contacts += 1
        assert_that(text, contains_string("{contact}"), place)
        assert_that(text, contains_string("{campaign}"), place)
        names = {keyword.arg for keyword in call.keywords}
        assert_that(None in names or {"contact", "campaign"} <= names, f"{place} names neither")
    assert_that(of_contacts, greater_than(25))
