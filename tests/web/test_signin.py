"""Signing in with a browser, through the real stack in memory."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from hamcrest import (
    assert_that,
    contains_inanyorder,
    contains_string,
    empty,
    ends_with,
    equal_to,
    has_entries,
    has_key,
    is_,
    is_in,
    matches_regexp,
    not_,
)
from twisted.internet.defer import Deferred

from dialer.access.scope import Scope
from dialer.web.campaigns import Campaigns
from dialer.web.cookie import SessionCookie
from dialer.web.endpoint import endpoint
from dialer.web.signin import WITHIN, WRONG_TRIES, SignIn
from dialer.web.streaming import Streamed
from tests.web.gates import Answer, Served, head

ALL, READ, AGENT = "all-".ljust(40, "x"), "read-".ljust(40, "x"), "agent-".ljust(40, "x")
CONFIGURED = f"ops:all:{ALL} wall:read:{READ} vc:agent:{AGENT}"
HERE = "http://dialer:8080"


def served(**more: Any) -> Served:
    return Served(CONFIGURED, groups=(Campaigns, SignIn), lifetime=100.0, **more)


def sign_in(on: Served, token: str = ALL, *, origin: str = HERE, **more: str) -> Answer:
    body = json.dumps({"token": token}).encode()
    return on.ask("POST", "/session", body=body, Content_Type="application/json", Origin=origin, **more)


def cookie(got: Answer) -> str:
    """The cookie as a browser sends it."""
    return got.headers["set-cookie"].partition(";")[0]


def error(got: Answer) -> tuple[int, str]:
    return got.status, got.body["error"]["code"]


# the way in


def test_who_shows_a_token_gets_a_cookie_that_stands_for_it() -> None:
    on = served()
    got = sign_in(on)
    assert_that(got.status, is_(200))
    assert_that(got.body, has_entries(name="ops", signedIn=True, problem=None))
    assert_that(got.body["scopes"], contains_inanyorder(*Scope))
    assert_that(on.ask("GET", "/campaigns").status, is_(401))
    assert_that(on.ask("GET", "/campaigns", Cookie=cookie(got)).status, is_(200))
    assert_that(on.ask("POST", "/campaign/c/stop", Cookie=cookie(got), Origin=HERE).status, is_(200))


def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites_and_tells_nothing() -> None:
    got = sign_in(served())
    value, *attributes = got.headers["set-cookie"].split("; ")
    assert_that(value, matches_regexp(r"\Adialer-[0-9a-f]{12}=[A-Za-z0-9_-]{43}\Z"))
    assert_that(
        [each.lower() for each in attributes],
        contains_inanyorder("path=/", "max-age=100", "httponly", "samesite=strict"),
    )
    assert_that(got.text, not_(contains_string(ALL)))
    assert_that(got.headers, has_entries({"cache-control": "no-store"}))


def test_over_tls_the_cookie_is_for_tls_and_this_host_alone() -> None:
    on = served()
    got = sign_in(on, origin="https://dialer.example", Host="dialer.example")
    value, *attributes = got.headers["set-cookie"].split("; ")
    assert_that(value, matches_regexp(r"\A__Host-dialer-[0-9a-f]{12}="))
    assert_that("secure", is_in([each.lower() for each in attributes]))
    assert_that(on.ask("GET", "/campaigns", Cookie=cookie(got)).status, is_(200))


def test_behind_a_proxy_that_asks_by_another_name_the_public_url_is_where_pages_are() -> None:
    on = served(public=("https://dialer.example",))
    got = sign_in(on, origin="https://dialer.example", Host="10.0.0.5:8080")
    assert_that(got.headers["set-cookie"], matches_regexp(r"\A__Host-"))
    sent = {"Cookie": cookie(got), "Host": "10.0.0.5:8080"}
    assert_that(on.ask("POST", "/campaign/c/stop", Origin="https://dialer.example", **sent).status, is_(200))


def test_two_dialers_on_one_host_have_cookies_of_their_own() -> None:
    names = {SessionCookie(dialer)._name for dialer in ("dialer-1", "dialer-2")}
    assert_that(len(names), is_(2))


def test_a_pasted_line_break_is_no_part_of_a_token() -> None:
    assert_that(sign_in(served(), f" {ALL}\n").status, is_(200))


@pytest.mark.parametrize("token", ["wrong", ALL[:-1], ALL + "x", "é"])
def test_a_wrong_token_gets_no_cookie(token: str) -> None:
    got = sign_in(served(), token)
    assert_that(error(got), equal_to((401, "unauthorized")))
    assert_that(got.headers, not_(has_key("set-cookie")))


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{", 400),
        (b"[]", 400),
        (b"{}", 400),
        (b'{"token": 1}', 400),
        (b'{"token": ""}', 400),
        (b'{"token": " "}', 400),
        (b'{"token": "%s"}' % (b"x" * 201), 400),
    ],
)
def test_what_is_no_token_is_refused(body: bytes, status: int) -> None:
    got = served().ask("POST", "/session", body=body, Content_Type="application/json", Origin=HERE)
    assert_that(error(got), equal_to((status, "invalid")))


def test_a_form_of_another_page_cannot_be_the_body() -> None:
    got = served().ask("POST", "/session", body=b"token=x", Content_Type="text/plain", Origin=HERE)
    assert_that(error(got), equal_to((415, "unsupported_media_type")))


def test_a_token_that_may_not_read_is_told_so() -> None:
    got = sign_in(served(), AGENT)
    assert_that(error(got), equal_to((403, "forbidden")))
    assert_that(got.body["error"]["message"], is_("vc does not have the scope read"))
    assert_that(got.headers, not_(has_key("set-cookie")))


def test_wrong_tokens_are_taken_so_often_a_minute_from_each_address() -> None:
    on = served()
    for _ in range(WRONG_TRIES):
        assert_that(sign_in(on, "wrong").status, is_(401))
    got = sign_in(on, ALL)
    assert_that(error(got), equal_to((429, "too_many_tries")))
    assert_that(got.headers["retry-after"], is_("60"))
    assert_that(sign_in(on, ALL, peer="192.0.2.2").status, is_(200))
    on.clock.advance(WITHIN)
    assert_that(sign_in(on, ALL).status, is_(200))


# what a session may


def test_a_session_may_do_what_its_token_may() -> None:
    on = served()
    sent = {"Cookie": cookie(sign_in(on, READ)), "Origin": HERE}
    assert_that(on.ask("GET", "/campaigns", **sent).status, is_(200))
    got = on.ask("POST", "/campaign/c/purge", **sent)
    assert_that(error(got), equal_to((403, "forbidden")))
    assert_that(on.called, equal_to(["get_campaigns"]))


@pytest.mark.parametrize(
    "sent",
    [
        {},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://dialer:9090"},
        {"Origin": HERE, "Sec_Fetch_Site": "cross-site"},
        {"Origin": HERE, "Sec_Fetch_Site": "same-site"},
        {"Referer": f"{HERE}/"},
    ],
)
def test_nothing_is_changed_by_a_cookie_without_the_sign_that_a_page_of_the_dialer_asks(sent: dict[str, str]) -> None:
    on = served()
    sent = sent | {"Cookie": cookie(sign_in(on))}
    got = on.ask("POST", "/campaign/c/purge", **sent)
    assert_that(error(got), equal_to((403, "foreign_origin")))
    assert_that(error(on.ask("DELETE", "/session", **sent)), equal_to((403, "foreign_origin")))
    assert_that(on.called, is_(empty()))
    assert_that(on.ask("GET", "/campaigns", Cookie=sent["Cookie"]).status, is_(200))


@pytest.mark.parametrize("origin", [None, "http://evil.example", "null"])
def test_nobody_is_signed_in_by_a_page_of_somebody_else(origin: str | None) -> None:
    sent = {} if origin is None else {"Origin": origin}
    body = json.dumps({"token": ALL}).encode()
    got = served().ask("POST", "/session", body=body, Content_Type="application/json", **sent)
    assert_that(error(got), equal_to((403, "foreign_origin")))


# the way out


def test_signing_out_ends_the_session_wherever_its_cookie_is() -> None:
    on = served()
    kept = cookie(sign_in(on))
    got = on.ask("DELETE", "/session", Cookie=kept, Origin=HERE)
    assert_that(got.status, is_(200))
    assert_that(got.body, has_entries(name=None, scopes=[], signedIn=False))
    for line in got.headers["set-cookie"].splitlines():
        assert_that(line, matches_regexp(r"(?i)\A(__Host-)?dialer-[0-9a-f]{12}=;.*Max-Age=0"))
    assert_that(on.ask("GET", "/campaigns", Cookie=kept).status, is_(401))
    assert_that(on.ask("DELETE", "/session", Cookie=kept, Origin=HERE).status, is_(200))


def test_a_session_expires_whatever_is_done_in_it() -> None:
    on = served()
    sent = {"Cookie": cookie(sign_in(on))}
    on.clock.advance(99)
    assert_that(on.ask("GET", "/campaigns", **sent).status, is_(200))
    on.clock.advance(1)
    assert_that(on.ask("GET", "/campaigns", **sent).status, is_(401))


def test_signing_in_again_ends_the_session_before() -> None:
    on = served()
    before = cookie(sign_in(on))
    after = cookie(sign_in(on, READ, Cookie=before))
    assert_that(on.ask("GET", "/campaigns", Cookie=before).status, is_(401))
    assert_that(on.ask("GET", "/campaigns", Cookie=after).status, is_(200))


class Endless:
    """A stream that tells something now and then."""

    def __init__(self) -> None:
        self.wanted: Deferred[bytes] = Deferred()
        self.left = 0

    @endpoint("GET", "/endless", scope=Scope.READ, answers={"text/plain": None})
    async def get_endless(self, request: object) -> object:
        """Something now and then."""

        def leave() -> None:
            self.left += 1
            self.wanted.callback(b"")

        return Streamed("text/plain", self._pieces(), on_gone=leave)

    async def _pieces(self) -> AsyncGenerator[bytes, None]:
        yield b"first\n"
        while True:
            yield await self.wanted


@pytest.mark.parametrize("by", ["sign-out", "expiry"])
def test_a_stream_ends_with_the_session_that_asked_for_it(by: str) -> None:
    on, stream = served(), Endless()
    on.api._add(stream.get_endless.endpoint, stream)  # type: ignore[attr-defined]
    kept = cookie(sign_in(on))
    channel, transport = on.connect()
    channel.dataReceived(head("GET", "/endless", Cookie=kept))
    assert_that(transport.value().decode(), contains_string("first"))
    assert_that(transport.disconnecting, is_(False))
    if by == "expiry":
        on.clock.advance(100)
    else:
        on.ask("DELETE", "/session", Cookie=kept, Origin=HERE)
    assert_that((stream.left, transport.disconnecting), equal_to((1, True)))
    assert_that(transport.value().decode(), not_(ends_with("0\r\n\r\n")))


# who is there


@pytest.mark.parametrize(
    ("on", "sent", "expected"),
    [
        (served(), {}, {"name": None, "scopes": [], "signedIn": False, "problem": None}),
        (served(), {"Cookie": "dialer-1=x"}, {"name": None, "signedIn": False}),
        (served(trusted="192.0.2.1"), {}, {"name": "trusted network", "signedIn": False, "problem": None}),
        (Served(groups=(SignIn,)), {}, {"name": "anybody", "signedIn": False, "problem": None}),
    ],
)
def test_the_pages_are_told_who_looks_at_them(on: Served, sent: dict[str, str], expected: dict[str, Any]) -> None:
    got = on.ask("GET", "/session", **sent)
    assert_that(got.status, is_(200))
    assert_that(got.body, has_entries(expected))
    assert_that(got.headers, has_entries({"cache-control": "no-store"}))


def test_the_pages_are_told_why_nothing_is_shown_at_a_name_that_may_be_anybodys() -> None:
    got = Served(groups=(SignIn,)).ask("GET", "/session", Host="dialer.example", Sec_Fetch_Site="same-origin")
    assert_that(got.body, has_entries(name=None, scopes=[]))
    assert_that(re.findall("PUBLIC_URL", got.body["problem"]), equal_to(["PUBLIC_URL"]))
