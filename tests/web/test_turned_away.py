"""Requests that are turned away: what pages of others send, large bodies of who may not send them; what is told."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hamcrest import (
    assert_that,
    contains_string,
    empty,
    equal_to,
    has_entries,
    has_length,
    is_,
    is_not,
    not_,
    starts_with,
)
from twisted.logger import LogLevel, formatEvent, globalLogPublisher

from dialer.access.scope import Scope
from dialer.web.campaigns import Campaigns
from dialer.web.contacts import Contacts
from dialer.web.health import Health
from dialer.web.replies import Replies
from dialer.web.signin import SignIn
from dialer.web.site import MAX_BODY, SMALL_BODY
from tests.web.gates import CONFIGURED, Served, answer, bearer, head


@pytest.fixture
def told() -> Iterator[list[str]]:
    """The warnings that are logged."""
    lines: list[str] = []

    def observe(event: dict[str, object]) -> None:
        if event.get("log_level") is LogLevel.warn:
            lines.append(formatEvent(event))

    globalLogPublisher.addObserver(observe)
    yield lines
    globalLogPublisher.removeObserver(observe)


# browsers


STOP = ("POST", "/campaign/c/stop")


@pytest.mark.parametrize("served", [Served(groups=(Campaigns,)), Served(CONFIGURED, "192.0.2.1", groups=(Campaigns,))])
@pytest.mark.parametrize(
    ("sent", "status"),
    [
        ({}, 200),
        ({"Host": "dialer.corp.example"}, 200),
        ({"Origin": "http://dialer:8080"}, 200),
        ({"Origin": "http://dialer:8080", "Sec_Fetch_Site": "same-origin"}, 200),
        ({"Origin": "http://10.0.0.5:8080", "Host": "10.0.0.5:8080"}, 200),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://dialer:9090", "Sec_Fetch_Site": "same-site"}, 403),
        ({"Sec_Fetch_Site": "cross-site"}, 403),
        # The name of another, made an address of the dialer.
        ({"Origin": "http://evil.example:8080", "Host": "evil.example:8080"}, 403),
        ({"Origin": "http://evil.example:8080", "Host": "evil.example:8080", "Sec_Fetch_Site": "same-origin"}, 403),
    ],
)
def test_a_page_of_somebody_else_cannot_use_its_viewers_place_in_the_network(
    served: Served, sent: dict[str, str], status: int
) -> None:
    served.called.clear()
    got = served.ask(*STOP, body=b"", **sent)
    assert_that(got.status, is_(status))
    assert_that(served.called, has_length(1 if status == 200 else 0))


BROWSER = {"User_Agent": "Mozilla/5.0 (X11; Linux x86_64)", "Accept_Language": "en"}


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        ({"Host": "evil.example:8080", **BROWSER}, 403),
        ({"Host": "evil.example:8080", "Sec_Fetch_Site": "same-origin"}, 403),
        ({"Host": "evil.example:8080", **BROWSER, "User_Agent": "curl/8.5.0"}, 403),
        ({"Host": "dialer.corp.example", **BROWSER}, 200),
        ({"Host": "127.0.0.1:8080", **BROWSER}, 200),
        ({"Host": "vc.example:8080", "User_Agent": "python-requests/2.32"}, 200),
        ({"Host": "vc.example:8080", "User_Agent": "node", "Accept_Language": "*", "Sec_Fetch_Mode": "cors"}, 200),
    ],
)
def test_a_name_made_an_address_of_the_dialer_does_not_let_a_page_read(sent: dict[str, str], status: int) -> None:
    served = Served(public=("https://dialer.corp.example",), groups=(Campaigns,))
    got = served.ask("GET", "/campaigns", **sent)
    assert_that(got.status, is_(status))
    if status == 403:
        assert_that(got.body["error"], has_entries(code="foreign_host", field="Host"))
        assert_that(got.body["error"]["message"], contains_string("set PUBLIC_URL"))


def test_who_shows_a_token_is_not_asked_for_an_origin() -> None:
    served = Served(CONFIGURED, groups=(Campaigns,))
    got = served.ask(*STOP, Authorization=bearer(Scope.CONTROL), Origin="https://tools.example")
    assert_that(got.status, is_(200))


# large bodies


@pytest.mark.parametrize("authorization", [None, "Bearer wrong", bearer(Scope.READ)])
@pytest.mark.parametrize("length", [SMALL_BODY + 1, MAX_BODY, MAX_BODY + 1])
def test_a_large_body_of_who_may_not_send_it_is_refused_at_its_head(authorization: str | None, length: int) -> None:
    served = Served(CONFIGURED, groups=(Contacts,))
    channel, transport = served.connect()
    sent = {} if authorization is None else {"Authorization": authorization}
    channel.dataReceived(head("POST", "/contacts", length=length, Expect="100-continue", **sent))
    got = answer(transport)
    assert_that(got.status, is_(403 if authorization == bearer(Scope.READ) else 401))
    assert_that(got.headers, has_entries({"connection": "close", "content-type": "application/json; charset=utf-8"}))
    assert_that(got.headers["www-authenticate"], starts_with("Bearer"))
    assert_that(got.text, not_(contains_string("100 Continue")))
    assert_that(int(got.headers["content-length"]), is_(len(got.text.partition("\r\n\r\n")[2].encode())))
    channel.dataReceived(b"x" * 1000)
    assert_that(served.called, is_(empty()))


@pytest.mark.parametrize("kind", ["text/csv", "application/x-ndjson"])
def test_so_is_a_list_that_would_be_taken_as_it_arrives(kind: str) -> None:
    served = Served(CONFIGURED, groups=(Contacts,))
    channel, transport = served.connect()
    channel.dataReceived(head("POST", "/contacts", length=MAX_BODY * 2, Content_Type=kind, Expect="100-continue"))
    got = answer(transport)
    assert_that((got.status, got.headers["connection"]), equal_to((401, "close")))
    assert_that(got.text, not_(contains_string("100 Continue")))
    assert_that(served.called, is_(empty()))


def test_so_is_one_whose_length_is_not_told() -> None:
    served = Served(CONFIGURED, groups=(Contacts,))
    channel, transport = served.connect()
    channel.dataReceived(head("POST", "/contacts", Transfer_Encoding="chunked"))
    assert_that(answer(transport).status, is_(401))


@pytest.mark.parametrize("path", ["/nothing", "/session", "/healthz"])
def test_nobody_unknown_may_send_much_anywhere(path: str) -> None:
    served = Served(CONFIGURED, groups=(Health, SignIn))
    channel, transport = served.connect()
    channel.dataReceived(head("POST", path, length=SMALL_BODY + 1))
    assert_that((answer(transport).status, answer(transport).body["error"]["code"]), equal_to((413, "too_large")))
    assert_that(answer(transport).body["error"]["message"], contains_string("64 KiB"))


def test_nor_in_chunks() -> None:
    served = Served(CONFIGURED, groups=(SignIn,))
    channel, transport = served.connect()
    channel.dataReceived(head("POST", "/session", Transfer_Encoding="chunked"))
    assert_that(transport.value(), is_(b""))
    channel.dataReceived(b"%x\r\n" % (SMALL_BODY + 1) + b"x" * (SMALL_BODY + 1) + b"\r\n")
    assert_that(answer(transport).status, is_(413))


def test_a_large_body_of_who_may_send_it_is_taken() -> None:
    served = Served(CONFIGURED, groups=(Contacts,))
    sent = {"Authorization": bearer(Scope.CONTACTS)}
    assert_that(served.ask("POST", "/contacts", body=b"x" * (SMALL_BODY + 1), **sent).status, is_(200))
    channel, transport = served.connect()
    channel.dataReceived(head("POST", "/contacts", length=MAX_BODY + 1, **sent))
    assert_that(answer(transport).status, is_(413))


# what is told of it


def test_who_was_refused_is_counted_as_other_requests_are() -> None:
    served = Served(CONFIGURED, groups=(Campaigns, Contacts))
    served.ask("POST", "/campaign/c/stop")
    served.ask("POST", "/campaign/c/stop", Authorization=bearer(Scope.READ))
    channel, _ = served.connect()
    channel.dataReceived(head("POST", "/contacts", length=MAX_BODY))
    channel, _ = served.connect()
    channel.dataReceived(head("POST", "/nothing", length=MAX_BODY))
    assert_that(
        [told[:3] for told in served.told.of("served")],
        equal_to(
            [
                ("POST", "/campaign/{campaign_id}/stop", "401"),
                ("POST", "/campaign/{campaign_id}/stop", "403"),
                ("POST", "/contacts", "401"),
                ("POST", "none", "413"),
            ]
        ),
    )


def test_the_log_tells_of_each_caller_once_a_minute_that_it_was_refused_and_never_what_it_showed(
    told: list[str],
) -> None:
    served = Served(CONFIGURED, groups=(Campaigns,))
    for _ in range(3):
        served.ask("POST", "/campaign/secret-campaign/stop", Authorization="Bearer secret-token")
    served.ask("GET", "/campaigns", peer="192.0.2.2", Authorization=bearer(Scope.CONTROL))
    served.clock.advance(60)
    served.ask("GET", "/campaigns")
    assert_that(
        told,
        equal_to(
            [
                "Refused POST /campaign/{campaign_id}/stop from 192.0.2.1 with 401: this token is not known",
                "Refused GET /campaigns from 192.0.2.2 with 403: "
                "this needs the scope read, which just-control does not have",
                "Refused GET /campaigns from 192.0.2.1 with 401: this needs a token: Authorization: Bearer",
            ]
        ),
    )
    assert_that(served.called, is_not(["stop_campaign"]))


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        ({"Accept_Language": "de"}, 200),
        ({"Accept_Language": "de", "Origin": "http://vc.example:8080"}, 403),
        ({"Accept_Language": "de", "Sec_Fetch_Site": "same-origin"}, 403),
    ],
)
def test_a_program_that_names_a_language_may_write_as_no_page_can_without_an_origin(
    sent: dict[str, str], status: int
) -> None:
    served = Served(groups=(Replies,))
    got = served.ask("POST", "/agent", body=b"{}", Host="vc.example:8080", **sent)
    assert_that(got.status, is_(status))
