"""Who may call which endpoint, through the real stack in memory."""

from __future__ import annotations

import re

import pytest
from hamcrest import (
    assert_that,
    contains_string,
    empty,
    equal_to,
    is_,
    starts_with,
)

from dialer.access.scope import Scope
from dialer.web import api
from dialer.web.campaigns import Campaigns
from dialer.web.endpoint import Endpoint, endpoints_of
from tests.web.gates import CONFIGURED, TOKENS, Served, bearer

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


def target(endpoint: Endpoint) -> str:
    return re.sub(r"<[^>]*>", "1", endpoint.path)


def name_of(endpoint: Endpoint) -> str:
    return endpoint.name


@pytest.fixture(scope="module")
def everything() -> Served:
    """All endpoints, behind tokens of one scope each."""
    return Served(CONFIGURED, groups=GROUPS)


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
