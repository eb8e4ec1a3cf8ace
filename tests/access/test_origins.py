"""Which requests come from a page of the dialer's own, and by which names a browser may reach it."""

from __future__ import annotations

import pytest
from hamcrest import assert_that, is_

from dialer.access.origins import Asked, Origins, is_secure

BARE = Origins((), names=["Dial-Host"])
PROXIED = Origins(["https://dialer.example", "http://calls.example:8443/"], names=["dial-host"])


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("http://127.0.0.1:8080", "127.0.0.1:8080"),
        ("http://dialer", "dialer"),
        ("http://dialer", "dialer:80"),
        ("https://dialer.corp.example", "dialer.corp.example"),
        ("https://dialer.corp.example", "dialer.corp.example:443"),
        ("https://dialer.corp.example:8443", "DIALER.corp.example:8443"),
        ("http://[fd00::1]:8080", "[fd00::1]:8080"),
    ],
)
def test_a_page_is_the_dialers_own_when_it_came_from_where_it_asks(origin: str, host: str) -> None:
    assert_that(BARE.is_own(Asked(host, origin)), is_(True))
    assert_that(BARE.is_own(Asked(host, origin, "same-origin")), is_(True))


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        (None, "127.0.0.1:8080"),
        ("null", "127.0.0.1:8080"),
        ("", ""),
        ("http://", ""),
        ("http://evil.example", "127.0.0.1:8080"),
        ("http://127.0.0.1:9090", "127.0.0.1:8080"),
        ("http://127.0.0.1", "127.0.0.1:8080"),
        ("http://dialer.example.evil.example", "dialer.example"),
        ("http://dialer.example@evil.example", "dialer.example"),
        ("http://evil.example", "dialer.example@evil.example"),
        ("http://dialer:x", "dialer:x"),
        ("http://[::1", "[::1"),
        ("file://", ""),
        ("chrome-extension://dialer", "dialer"),
        ("http://dialer", None),
    ],
)
def test_any_other_page_is_not(origin: str | None, host: str | None) -> None:
    assert_that(BARE.is_own(Asked(host, origin)), is_(False))


@pytest.mark.parametrize("fetch_site", ["cross-site", "same-site", "none", "anything"])
def test_what_the_browser_says_of_the_page_counts_as_well(fetch_site: str) -> None:
    assert_that(BARE.is_own(Asked("dialer", "http://dialer", fetch_site)), is_(False))


@pytest.mark.parametrize(
    "origin", ["https://dialer.example", "https://DIALER.example:443", "http://calls.example:8443"]
)
def test_behind_a_proxy_a_page_is_own_whatever_host_the_proxy_asks(origin: str) -> None:
    assert_that(PROXIED.is_own(Asked("10.0.0.5:8080", origin)), is_(True))
    assert_that(BARE.is_own(Asked("10.0.0.5:8080", origin)), is_(False))


@pytest.mark.parametrize(
    "origin", ["http://dialer.example", "https://dialer.example:8443", "https://calls.example:8443"]
)
def test_another_scheme_or_port_is_another_page(origin: str) -> None:
    assert_that(PROXIED.is_own(Asked("10.0.0.5:8080", origin)), is_(False))


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1:8080", "10.0.0.5", "[::1]:8080", "localhost:8080", "a.localhost", "dialer", "dial-host:1", "DIAL-host"],
)
def test_nobody_elses_name_can_be_an_address_or_a_name_of_this_network(host: str) -> None:
    assert_that(BARE.is_known_host(Asked(host)), is_(True))


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example:8080", "", None, "a b.example", "1.2.3", "x.y:z"]
)
def test_any_other_name_may_be_anybodys(host: str | None) -> None:
    assert_that(BARE.is_known_host(Asked(host)), is_(False))


def test_a_name_that_is_configured_is_known() -> None:
    assert_that(PROXIED.is_known_host(Asked("dialer.example:8080")), is_(True))
    assert_that(PROXIED.is_known_host(Asked("other.example:8080")), is_(False))


@pytest.mark.parametrize(
    ("sent", "by_browser"),
    [
        (Asked("dialer", origin="http://x"), True),
        (Asked("dialer", fetch_site="none"), True),
        (Asked("dialer", fetch_site="same-origin", fetch_mode="cors", accept_language="en"), True),
        (Asked("dialer", accept_language="en"), True),
        (Asked("dialer", accept_language="*"), True),
        (Asked("dialer", accept_language=""), True),
        (Asked("dialer", fetch_mode="cors", accept_language="*"), False),
        (Asked("dialer"), False),
    ],
    ids=[
        "a page that sends",
        "a new browser over TLS",
        "a page over TLS",
        "a browser over plain HTTP",
        "a page that asks for any language",
        "a page that asks for none",
        "Node.js",
        "most programs",
    ],
)
def test_browsers_are_told_from_programs(sent: Asked, by_browser: bool) -> None:
    assert_that(sent.by_browser, is_(by_browser))


@pytest.mark.parametrize(
    ("origin", "secure"), [("https://x", True), ("HTTPS://x", True), ("http://x", False), (None, False)]
)
def test_a_page_over_tls_is_known_by_its_origin(origin: str | None, secure: bool) -> None:
    assert_that(is_secure(origin), is_(secure))
