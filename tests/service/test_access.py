"""A dialer that asks for tokens, over real sockets: what each caller gets, and that the work goes on."""

from __future__ import annotations

import json
import socket
from typing import Any

import pytest
import pytest_twisted
from hamcrest import (
    assert_that,
    contains_exactly,
    contains_string,
    empty,
    equal_to,
    has_entries,
    is_,
    not_,
    starts_with,
)
from treq.client import HTTPClient
from twisted.internet import reactor
from twisted.internet.threads import deferToThread
from twisted.web.client import Agent, HTTPConnectionPool

from dialer.web.site import MAX_BODY
from tests.cli.runner import run
from tests.service import shared
from tests.service.shared import listening
from tests.service.world import Reply, World, agent, ivr
from tests.web.contract import contract

sure = pytest_twisted.ensureDeferred
logged_failures = shared.logged_failures
world = shared.world

CRM, OPS, WALL, VC = (name.ljust(40, "x") for name in ("crm-", "ops-", "wall-", "vc-"))
ENVIRONMENT = {
    "API_TOKENS": f"crm:contacts:{CRM} ops:all:{OPS}\nwall:read:{WALL} vc:agent:{VC}",
    "TRUSTED_NETWORKS": "127.0.0.2",
}

TRUSTED = "127.0.0.2"
LATER = "2099-01-01T00:00:00Z"


async def ask(world: World, method: str, path: str, token: str | None = None, **more: Any) -> Reply:
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    return await world.request(method, path, headers=headers | more.pop("headers", {}), **more)


async def load(world: World, *contacts: dict[str, Any]) -> None:
    reply = await ask(world, "POST", "/contacts", CRM, json=list(contacts))
    assert_that((reply.status, reply.body), equal_to((200, {"accepted": len(contacts), "duplicates": 0})))


def speak(port: int, said: bytes, source: str = "127.0.0.1") -> bytes:
    """What the dialer answers to these bytes until it closes. Runs in a thread."""
    with socket.create_connection(("127.0.0.1", port), timeout=10, source_address=(source, 0)) as connection:
        connection.sendall(said)
        heard = b""
        while more := connection.recv(65536):
            heard += more
        return heard


async def bare(world: World, said: str, source: str = "127.0.0.1") -> str:
    lines = [*said.splitlines(), "Host: dialer", "Connection: close", "", ""]
    port = world.dialer.port.getHost().port
    return (await deferToThread(speak, port, "\r\n".join(lines).encode(), source)).decode()


@sure
async def test_each_token_lets_its_bearer_do_what_its_scopes_say(world: World) -> None:
    contact = ivr(startTime=LATER, campaignId="scoped")
    await load(world, contact)
    path = f"/contact/{contact['id']}"
    assert_that((await ask(world, "GET", path, WALL)).body["id"], is_(contact["id"]))
    assert_that((await ask(world, "POST", "/campaign/scoped/stop", OPS)).body["contacts"], is_(1))
    for token in (CRM, VC):
        assert_that((await ask(world, "GET", path, token)).status, is_(403))
    for token in (CRM, WALL, VC):
        assert_that((await ask(world, "POST", "/campaign/scoped/purge", token)).status, is_(403))
    assert_that((await ask(world, "GET", path, OPS)).body["status"], is_("stopped"))


@sure
async def test_nothing_of_a_body_is_looked_at_before_its_sender_is_known(world: World) -> None:
    for token, status in ((None, 401), ("wrong", 401), (WALL, 403)):
        reply = await ask(world, "POST", "/contacts", token, data=b"[{", headers={"Content-Type": "text/x-unknown"})
        assert_that(reply.status, is_(status))
    assert_that((await ask(world, "POST", "/contacts", CRM, data=b"[{")).status, is_(400))


@sure
async def test_an_upload_of_somebody_unknown_is_refused_before_it_is_sent(world: World) -> None:
    heard = await bare(world, f"POST /contacts HTTP/1.1\r\nContent-Length: {MAX_BODY}\r\nExpect: 100-continue")
    assert_that(heard, starts_with("HTTP/1.1 401 "))
    assert_that(heard.lower(), contains_string('www-authenticate: bearer realm="dialer"\r\n'))
    assert_that(heard, not_(contains_string("100 Continue")))


@sure
async def test_who_sends_all_of_a_large_body_at_once_still_reads_why_it_was_refused(world: World) -> None:
    reply = await ask(world, "POST", "/contacts", data=b" " * 5_000_000)
    assert_that((reply.status, reply.body["error"]["code"]), equal_to((401, "unauthorized")))


@sure
async def test_a_caller_from_a_trusted_network_needs_no_token(world: World) -> None:
    assert_that(await bare(world, "GET /status HTTP/1.1", TRUSTED), contains_string("HTTP/1.1 200"))
    assert_that(await bare(world, "GET /status HTTP/1.1"), contains_string("HTTP/1.1 401"))
    heard = await bare(world, f"GET /status HTTP/1.1\r\nX-Forwarded-For: {TRUSTED}")
    assert_that(heard, contains_string("HTTP/1.1 401"))


@sure
async def test_an_agent_is_reserved_through_a_vc_that_shows_its_token_and_not_through_one_that_does_not(
    world: World,
) -> None:
    world.vc._sender._token = VC
    contact = agent(campaignId="reserved")
    await load(world, contact)

    async def ended() -> bool:
        return (await ask(world, "GET", f"/contact/{contact['id']}", OPS)).body["status"] == "ended"

    await world.until(ended, "the call to end")
    for token, status in ((None, 401), (CRM, 403), (VC, 404)):
        reply = await ask(world, "POST", "/agent", token, json={"uuid": "unknown", "agent": "1005"})
        assert_that(reply.status, is_(status))


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/openapi.json", "/docs", "/docs/style.css", "/session"])
@sure
async def test_what_says_nothing_of_customers_is_open(world: World, path: str) -> None:
    await load(world, ivr(startTime=LATER, customerNumber="+4471234567", campaignId="hidden"))
    reply = await world.get(path)
    assert_that(reply.status, is_(200))
    text = json.dumps(reply.body)
    for hidden in ("+4471234567", "hidden", CRM, OPS, WALL, VC, "127.0.0.2"):
        assert_that(text, not_(contains_string(hidden)))


@sure
async def test_why_it_cannot_dial_is_told_in_few_words_to_who_may_not_read(conninfo: str) -> None:
    own = World(conninfo, **ENVIRONMENT, ESL_IP="127.0.0.1:1")
    await own.open()
    try:
        await own.start()
        for token in (None, CRM):
            reply = await ask(own, "GET", "/readyz", token)
            assert_that((reply.status, reply.body["reasons"]), equal_to((503, ["EFSwitch: not ready"])))
        (reason,) = (await ask(own, "GET", "/readyz", WALL)).body["reasons"]
        assert_that(reason, contains_string("EFSwitch 127.0.0.1:1: "))
    finally:
        await own.close()


@sure
async def test_the_document_that_is_served_says_what_is_asked_for(world: World) -> None:
    reply = await world.get("/openapi.json")
    assert_that(json.dumps(reply.body), equal_to(json.dumps(contract(asks_for_tokens=True).document)))


@sure
async def test_the_status_says_whether_tokens_are_asked_for(world: World) -> None:
    assert_that((await ask(world, "GET", "/status", WALL)).body, has_entries(authentication="tokens"))


@sure
async def test_a_browser_signs_in_reads_controls_and_signs_out(world: World) -> None:
    here = {"Origin": world.url}
    await load(world, ivr(startTime=LATER, campaignId="browsed"))
    client = HTTPClient(Agent(reactor, pool=HTTPConnectionPool(reactor, persistent=False)))

    async def call(method: str, path: str, **more: Any) -> tuple[int, Any]:
        response = await client.request(method, world.url + path, headers=here, **more)
        return response.code, await response.json()

    assert_that((await call("GET", "/campaign/browsed"))[0], is_(401))
    status, body = await call("POST", "/session", json={"token": OPS})
    assert_that((status, body["name"]), equal_to((200, "ops")))
    assert_that((await call("GET", "/campaign/browsed"))[1]["total"], is_(1))
    assert_that((await call("POST", "/campaign/browsed/stop"))[1]["contacts"], is_(1))
    assert_that((await call("DELETE", "/session"))[0], is_(200))
    assert_that((await call("GET", "/campaign/browsed"))[0], is_(401))


@pytest.mark.parametrize(
    ("token", "command", "said"),
    [
        (WALL, ["campaigns"], None),
        (WALL, ["stop", "commanded"], "this needs the scope control, which wall does not have"),
        (OPS, ["stop", "commanded"], None),
        ("", ["campaigns"], "this needs a token: Authorization: Bearer"),
        ("wrong", ["explain"], "this token is not known"),
        ("", ["load", "-"], "this needs a token: Authorization: Bearer"),
        (CRM, ["load", "-"], None),
    ],
)
@sure
async def test_the_command_dialer_shows_the_token_that_it_is_given(
    world: World, token: str, command: list[str], said: str | None
) -> None:
    await load(world, ivr(startTime=LATER, campaignId="commanded"))
    ended = await run(world, *command, environment={"DIALER_TOKEN": token}, input=json.dumps(ivr(startTime=LATER)))
    assert_that(ended.code == 0, is_(said is None), ended.err)
    assert_that(ended.err, contains_string(said or ""))


@sure
async def test_the_log_names_who_was_refused_and_never_what_they_showed(world: World) -> None:
    with listening() as heard:
        await bare(world, "GET /status HTTP/1.1\r\nAuthorization: Bearer not-a-token-of-anybody", "127.0.0.3")
        await bare(world, "GET /campaigns HTTP/1.1", "127.0.0.3")
    refused = ["Refused GET /status from 127.0.0.3 with 401: this token is not known"]
    assert_that(heard.lines("Refused"), equal_to(refused))
    assert_that(heard.lines("not-a-token"), is_(empty()))


@sure
async def test_a_vc_sandbox_that_is_provided_is_let_in(conninfo: str) -> None:
    own = World(conninfo, **ENVIRONMENT, SANDBOX="vc", VOICE_CONNECTOR="")
    await own.open()
    try:
        await own.start()
        contact = agent()
        await load(own, contact)

        async def ended() -> bool:
            return (await ask(own, "GET", f"/contact/{contact['id']}", OPS)).body["status"] == "ended"

        await own.until(ended, "the call to end")
    finally:
        await own.close()


@sure
async def test_the_start_warns_of_a_password_that_the_log_cannot_hide_everywhere(conninfo: str) -> None:
    # Which this PostgreSQL does not ask for.
    own = World(conninfo, DB_PASS="plover")
    await own.open()
    try:
        with listening() as heard:
            await own.start()
        assert_that(heard.lines("DB_PASS"), contains_exactly(starts_with("DB_PASS is shorter than 8 characters")))
        assert_that(heard.lines("plover"), empty())
    finally:
        await own.close()


@sure
async def test_without_tokens_it_serves_everybody_and_warns_of_that(conninfo: str) -> None:
    own = World(conninfo)
    await own.open()
    try:
        with listening() as heard:
            await own.start()
        warning = "NO API_TOKENS: whoever reaches the HTTP interface may do everything"
        assert_that(heard.lines("API_TOKENS"), equal_to([warning]))
        assert_that((await own.get("/status")).body, has_entries(authentication="none"))
        await own.load(ivr(campaignId="open", startTime=LATER))
        for origin, status in (("http://evil.example", 403), (own.url, 200)):
            reply = await own.request("POST", "/campaign/open/stop", headers={"Origin": origin})
            assert_that(reply.status, is_(status))
    finally:
        await own.close()
