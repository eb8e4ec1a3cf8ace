"""Certificates that change under a running dialer: read again when they are whole, kept when they are not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hamcrest import (
    assert_that,
    calling,
    contains_exactly,
    contains_string,
    empty,
    equal_to,
    has_properties,
    is_not,
    none,
    raises,
    starts_with,
)
from twisted.internet.task import Clock
from twisted.logger import LogEvent, formatEvent, globalLogPublisher

from dialer.environment import load
from dialer.tls.certificates import INTERVAL, Certificates
from dialer.tls.watched import Watched, WrongFile
from tests.tls.authority import Authority, age, replace, weak

REAL = {"ESL_IP": "fs.example", "VOICE_CONNECTOR": "https://vc.example"}


@contextmanager
def heard() -> Iterator[list[LogEvent]]:
    events: list[LogEvent] = []
    globalLogPublisher.addObserver(events.append)
    try:
        yield events
    finally:
        globalLogPublisher.removeObserver(events.append)


def lines(events: list[LogEvent], text: str) -> list[str]:
    return [f"{event['log_level'].name} {formatEvent(event)}" for event in events if text in formatEvent(event)]


def certificates(authority: Authority, clock: Clock, **files: str) -> Certificates:
    if not files:
        certificate, key = authority.issue()
        files = {"HTTP_TLS_CERT": certificate, "HTTP_TLS_KEY": key}
    return Certificates(clock, load(REAL | files, "dialer-1"))


# --- reading again


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "file"
    file.write_text("one")
    return file


def watching(file: Path) -> Watched[str]:
    def read() -> str:
        text = file.read_text() if file.exists() else ""
        if not text.isalpha():
            raise ValueError("it is broken")
        return text

    return Watched({"THE_FILE": str(file)}, read, "the old one stays")


def write(file: Path, text: str) -> None:
    file.write_text(text)
    age(str(file))


def test_a_file_that_changed_is_read_once_it_is_the_same_at_two_looks(file: Path) -> None:
    watched = watching(file)
    write(file, "tw")
    watched.look()
    assert_that(watched.value, equal_to("one"))
    write(file, "two and")  # still being written
    watched.look()
    assert_that(watched.value, equal_to("one"))
    write(file, "two")
    watched.look()
    watched.look()
    assert_that(watched, has_properties(value="two", problem=None))


def test_a_file_that_is_as_it_was_is_not_read(file: Path) -> None:
    watched = watching(file)
    before = watched.value
    for _ in range(3):
        watched.look()
    assert_that(watched.value is before)


@pytest.mark.parametrize("content", ["", "1"])
def test_a_broken_new_file_leaves_the_old_value_and_is_logged_once(file: Path, content: str) -> None:
    watched = watching(file)
    write(file, content)
    with heard() as events:
        for _ in range(4):
            watched.look()
    problem = f"THE_FILE='{file}': it is broken"
    assert_that(watched, has_properties(value="one", problem=problem))
    assert_that(
        lines(events, "CERTIFICATE"),
        contains_exactly(f"error CERTIFICATE NOT RELOADED, the old one stays: {problem}"),
    )


def test_a_file_that_is_gone_leaves_the_old_value_and_one_that_comes_back_is_read(file: Path) -> None:
    watched = watching(file)
    file.unlink()
    watched.look()
    watched.look()
    assert_that(watched, has_properties(value="one", problem=contains_string("broken")))
    write(file, "two")
    watched.look()
    watched.look()
    assert_that(watched, has_properties(value="two", problem=none()))


def test_another_file_behind_the_same_link_is_read(tmp_path: Path, file: Path) -> None:
    link, other = tmp_path / "link", tmp_path / "other"
    link.symlink_to(file)
    watched = watching(link)
    write(other, "two")
    link.unlink()
    link.symlink_to(other)
    watched.look()
    watched.look()
    assert_that(watched.value, equal_to("two"))


def test_a_file_that_is_broken_from_the_first_is_no_value_at_all(file: Path) -> None:
    file.write_text("1")
    assert_that(calling(watching).with_args(file), raises(WrongFile, "THE_FILE='.*': it is broken"))


# --- all of them


def test_the_files_are_looked_at_every_few_seconds_until_it_stops(authority: Authority) -> None:
    clock = Clock()
    subject = certificates(authority, clock)
    subject.startService()
    before = subject.shown()
    files = authority.issue(valid_for=timedelta(days=60))
    age(*files)
    clock.pump([INTERVAL] * 2)
    assert_that(subject.shown(), is_not(equal_to(before)))
    assert_that(subject.shown()[0].expires - datetime.now(UTC) > timedelta(days=59))
    subject.stopService()
    assert_that(clock.getDelayedCalls(), empty())


def test_nothing_is_looked_at_without_files() -> None:
    clock = Clock()
    subject = Certificates(clock, load(REAL, "dialer-1"))
    subject.startService()
    assert_that(clock.getDelayedCalls(), empty())
    assert_that(subject, has_properties(https=False, vc_policy=None))
    subject.stopService()


def test_a_key_that_does_not_fit_the_renewed_certificate_yet_keeps_both_of_before(
    authority: Authority, tmp_path: Path
) -> None:
    subject = certificates(authority, Clock())
    before = subject.shown()
    other, _ = authority.issue("other", valid_for=timedelta(days=60))
    replace(tmp_path / "own.crt", Path(other).read_bytes())
    subject.look()
    subject.look()
    assert_that(
        subject.shown(),
        contains_exactly(
            has_properties(expires=before[0].expires, problem=contains_string("not that of the certificate"))
        ),
    )


@pytest.mark.parametrize("side", ["HTTP", "VC", "DB"])
def test_each_certificate_of_our_own_is_shown_with_its_end(authority: Authority, side: str) -> None:
    certificate, key = authority.issue()
    files = {f"{side}_TLS_CERT": certificate, f"{side}_TLS_KEY": key, "DB_URL": "db.example"}
    (shown,) = certificates(authority, Clock(), **files).shown()
    assert_that(shown, has_properties(variable=f"{side}_TLS_CERT", problem=none()))
    assert_that(abs(shown.expires - datetime.now(UTC) - timedelta(days=30)) < timedelta(minutes=10))


@pytest.mark.parametrize(
    ("valid_for", "expected"),
    [
        (timedelta(days=15), None),
        (timedelta(days=13), "warn CERTIFICATE EXPIRES: the one of HTTP_TLS_CERT expires on 2"),
        (timedelta(seconds=-5), "error CERTIFICATE EXPIRES: the one of HTTP_TLS_CERT has expired on 2"),
    ],
)
def test_a_certificate_that_expires_soon_is_told_once_a_day(
    authority: Authority, valid_for: timedelta, expected: str | None
) -> None:
    clock, start = Clock(), datetime.now(UTC)
    certificate, key = authority.issue(valid_for=valid_for)
    given = load(REAL | {"HTTP_TLS_CERT": certificate, "HTTP_TLS_KEY": key}, "dialer-1")
    subject = Certificates(clock, given, now=lambda: start + timedelta(seconds=clock.seconds()))
    with heard() as events:
        subject.startService()
        clock.pump([3600] * 10)
        first_day = lines(events, "EXPIRES")
        clock.pump([3600] * 15)
    subject.stopService()
    if expected is None:
        assert_that(first_day, empty())
    else:
        assert_that(first_day, contains_exactly(starts_with(expected)))
        assert_that(lines(events, "EXPIRES"), contains_exactly(*[starts_with(expected)] * 2))


def test_what_openssl_does_not_take_fails_with_its_reason(authority: Authority, tmp_path: Path) -> None:
    certificate, key = weak(tmp_path)
    with pytest.raises(WrongFile, match=r"HTTP_TLS_CERT=.*OpenSSL does not take it: .*key too small"):
        certificates(authority, Clock(), HTTP_TLS_CERT=certificate, HTTP_TLS_KEY=key)
