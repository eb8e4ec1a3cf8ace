"""Who may call which endpoint, through the real stack in memory."""

from __future__ import annotations

import re
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
from dialer.web import api
from dialer.web.campaigns import Campaigns
from dialer.web.contacts import Contacts
from dialer.web.endpoint import Endpoint, endpoints_of
from dialer.web.health import Health
from dialer.web.signin import SignIn
from dialer.web.site import MAX_BODY, SMALL_BODY
from tests.web.gates import Served, answer, head

TOKENS = {scope: f"{scope}-".ljust(40, "x") for scope in Scope}
CONFIGURED = " ".join(f"just-{scope}:{scope}:{token}" for scope, token in TOKENS.items())
OPEN = "open"

DECIDED = {
    "post_contact": Scope.CONTACTS,
    "post_contacts": Scope.CONTACTS,
    "get_contact": Scope.READ,
    "get_history": Scope.READ,
    "post_agent": Scope.AGENT,
    "start_campaign": Scope.CONTROL,
    "stop_campaign": Scope.CONTROL,
    "purge_campaign": Scope.CONTROL,
    "get_campaigns": Scope.READ,
    "get_campaign": Scope.READ,
    "get_notifications": Scope.READ,
    "retry_notification": Scope.CONTROL,
    "get_explanation": Scope.READ,
    "get_campaign_explanation": Scope.READ,
    "get_status": Scope.READ,
    "get_health": OPEN,
    "get_ready": OPEN,
    "get_session": OPEN,
    "post_session": OPEN,
    "delete_session": OPEN,
    "get_openapi": OPEN,
    "get_docs": OPEN,
    "get_style": OPEN,
    "get_campaign_contacts": Scope.READ,
    "get_outcomes": Scope.READ,
    "get_results": Scope.READ,
    "get_metrics": Scope.READ,
    "get_dashboard": OPEN,
    "get_campaign_page": OPEN,
    "get_contact_page": OPEN,
    "get_signin_page": OPEN,
    "get_static": OPEN,
    "get_events": Scope.READ,
}
"""Who may call what, decided for each endpoint by its name: one that is new has to be put in here."""

GROUPS = tuple(
    dict.fromkeys(
        group
        for group in vars(api).values()
        if isinstance(group, type) and any(each in api.ENDPOINTS for each in endpoints_of(group))
    )
)


def bearer(scope: Scope) -> str:
    return f"Bearer {TOKENS[scope]}"


def target(endpoint: Endpoint) -> str:
    return re.sub(r"<[^>]*>", "1", endpoint.path)


def name_of(endpoint: Endpoint) -> str:
    return endpoint.name


@pytest.fixture(scope="module")
def everything() -> Served:
    """All endpoints, behind tokens of one scope each."""
    return Served(CONFIGURED, groups=GROUPS)


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


# each endpoint, each scope


def test_of_every_endpoint_it_is_decided_who_may_call_it() -> None:
    assert_that({each.name: each.scope or OPEN for each in api.ENDPOINTS}, equal_to(DECIDED))
    assert_that({each.name for group in GROUPS for each in endpoints_of(group)}, equal_to(set(DECIDED)))


@pytest.mark.parametrize("scope", Scope)
@pytest.mark.parametrize("endpoint", [each for each in api.ENDPOINTS if each.scope is not None], ids=name_of)
def test_an_endpoint_serves_who_has_its_scope_and_nobody_else(
    everything: Served, endpoint: Endpoint, scope: Scope
) -> None:
    everything.called.clear()
    for path in (target(endpoint), *([endpoint.alias] if endpoint.alias else [])):
        got = everything.ask(endpoint.method, path, body=b"{}", Authorization=bearer(scope))
        if scope is DECIDED[endpoint.name]:
            assert_that((got.status, got.body), equal_to((200, {"called": endpoint.name})))
        else:
            assert_that((got.status, got.body["error"]["code"]), equal_to((403, "forbidden")))
            assert_that(got.body["error"]["message"], contains_string(f"needs the scope {endpoint.scope}"))
            challenge = f'Bearer realm="dialer", error="insufficient_scope", scope="{endpoint.scope}"'
            assert_that(got.headers["www-authenticate"], is_(challenge))
            assert_that(everything.called, is_(empty()))


@pytest.mark.parametrize(
    "authorization", [None, "", "Bearer", "Bearer ", "Bearer wrong", "Basic b3BzOng=", TOKENS[Scope.READ]]
)
@pytest.mark.parametrize("endpoint", [each for each in api.ENDPOINTS if each.scope is not None], ids=name_of)
def test_an_endpoint_with_a_scope_serves_nobody_who_shows_no_token(
    everything: Served, endpoint: Endpoint, authorization: str | None
) -> None:
    everything.called.clear()
    sent = {} if authorization is None else {"Authorization": authorization}
    got = everything.ask(endpoint.method, target(endpoint), body=b"not json", **sent)
    assert_that((got.status, got.body["error"]["code"]), equal_to((401, "unauthorized")))
    assert_that(got.body["error"]["field"], is_("Authorization"))
    assert_that(got.headers["www-authenticate"], starts_with('Bearer realm="dialer"'))
    assert_that(everything.called, is_(empty()))


@pytest.mark.parametrize("endpoint", [each for each in api.ENDPOINTS if each.scope is None], ids=name_of)
def test_what_is_open_serves_everybody(everything: Served, endpoint: Endpoint) -> None:
    got = everything.ask(endpoint.method, target(endpoint), body=b'{"token": "wrong"}', Origin="http://dialer:8080")
    # The token that is signed in with is wrong.
    assert_that(got.status, is_(401 if endpoint.name == "post_session" else 200))


@pytest.mark.parametrize("authorization", ["bearer {}", "BEARER {}", "Bearer  {} "])
def test_the_name_of_the_scheme_is_written_in_any_way(everything: Served, authorization: str) -> None:
    got = everything.ask("GET", "/status", Authorization=authorization.format(TOKENS[Scope.READ]))
    assert_that(got.status, is_(200))


def test_without_tokens_everybody_may_do_everything() -> None:
    served = Served(groups=GROUPS)
    for each in api.ENDPOINTS:
        if each.scope is not None:
            assert_that(served.ask(each.method, target(each)).status, is_(200), each.name)


def test_the_head_of_an_answer_needs_what_the_answer_needs(everything: Served) -> None:
    assert_that(everything.ask("HEAD", "/status").status, is_(401))
    assert_that(everything.ask("HEAD", "/status", Authorization=bearer(Scope.READ)).status, is_(200))


# networks that are trusted


TRUSTED = "10.1.0.0/16, fd00::/64"


@pytest.mark.parametrize("peer", ["10.1.2.3", "fd00::9", "::ffff:10.1.2.3"])
@pytest.mark.parametrize("authorization", [None, "Bearer wrong", "Basic b3BzOng=", bearer(Scope.READ)])
def test_who_calls_from_a_trusted_network_needs_no_token_whatever_they_send(
    peer: str, authorization: str | None
) -> None:
    served = Served(CONFIGURED, TRUSTED, groups=(Campaigns,))
    sent = {} if authorization is None else {"Authorization": authorization}
    assert_that(served.ask("POST", "/campaign/c/stop", peer=peer, **sent).status, is_(200))


@pytest.mark.parametrize("peer", ["10.2.0.1", "fd01::9", "::ffff:10.2.0.1"])
def test_what_headers_say_of_others_in_between_counts_for_nothing(peer: str) -> None:
    served = Served(CONFIGURED, TRUSTED, groups=(Campaigns,))
    got = served.ask(
        "POST",
        "/campaign/c/stop",
        peer=peer,
        X_Forwarded_For="10.1.2.3",
        Forwarded="for=10.1.2.3",
        X_Real_IP="10.1.2.3",
        Host="10.1.2.3",
    )
    assert_that(got.status, is_(401))


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
        ({"Host": "dialer.corp.example", **BROWSER}, 200),
        ({"Host": "127.0.0.1:8080", **BROWSER}, 200),
        ({"Host": "vc.example:8080", "User_Agent": "python-requests/2.32"}, 200),
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
