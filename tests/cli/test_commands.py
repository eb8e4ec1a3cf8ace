"""The commands beside a real dialer: what they show, change, and how they end."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg2
import pytest
import pytest_twisted
from hamcrest import (
    assert_that,
    contains_exactly,
    contains_string,
    equal_to,
    has_entries,
    has_items,
    has_length,
    is_,
    matches_regexp,
    not_,
    starts_with,
)
from klein import Klein
from twisted.internet import reactor
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.threads import deferToThread
from twisted.web.server import Site

from tests.cli.runner import DIALER, run
from tests.process.twistd import clean_environment
from tests.service import shared
from tests.service.lists import HEADER, LATER, campaign, rows, upload
from tests.service.world import World, ivr

sure = pytest_twisted.ensureDeferred
logged_failures = shared.logged_failures
world = shared.world

ENVIRONMENT: dict[str, str] = {}


def waiting(name: str, **fields: Any) -> dict[str, Any]:
    return ivr(campaignId=name, **({"startTime": LATER} | fields))


async def status_of(world: World, contact: dict[str, Any]) -> str:
    return (await world.contact(contact))["status"]


# campaigns


@sure
async def test_campaigns_are_shown_with_their_counts(world: World) -> None:
    name = campaign()
    called = ivr(campaignId=name)
    await world.load(called, waiting(name), waiting(name))
    await world.until_status(called, "ended")
    ended = await run(world, "campaigns", name)
    assert_that(ended.code, is_(0))
    heading, line = ended.out.splitlines()
    assert_that(heading.split()[:3], equal_to(["campaign", "pending", "agent"]))
    assert_that(line, matches_regexp(rf"^{name} +2 +0 +0 +0 +1 +0 +3  NORMAL_CLEARING 1 *$"))
    ended = await run(world, "campaigns", "--json")
    told = {each["campaignId"]: each for each in ended.json["campaigns"]}
    assert_that(told[name], equal_to((await world.get(f"/campaign/{name}")).body))


@sure
async def test_a_campaign_is_stopped_started_and_purged(world: World) -> None:
    name = campaign()
    first, second = waiting(name), waiting(name)
    await world.load(first, second)
    ended = await run(world, "stop", name)
    assert_that((ended.code, ended.out), equal_to((0, f"{name}: 2 contacts stopped\n")))
    assert_that(await status_of(world, first), is_("stopped"))
    ended = await run(world, "start", name, "--json")
    assert_that((ended.code, ended.json), equal_to((0, {"campaignId": name, "contacts": 2})))
    assert_that(await status_of(world, first), is_("pending"))
    ended = await run(world, "purge", name, "--yes")
    assert_that((ended.code, ended.out), equal_to((0, f"{name}: 2 contacts removed\n")))
    assert_that((await world.get(f"/contact/{first['id']}")).status, is_(404))


@sure
async def test_a_purge_says_how_many_there_are_and_does_nothing_without_a_yes(world: World) -> None:
    name = campaign()
    await world.load(waiting(name), waiting(name))
    for answer in ("n\n", ""):
        ended = await run(world, "purge", name, input=answer)
        assert_that(ended.code, is_(1))
        assert_that(ended.err, starts_with(f"Remove 2 waiting contacts of campaign '{name}', for good? [y/N]: "))
        assert_that(ended.err.splitlines()[-1], equal_to("dialer: nothing was removed"))
    assert_that((await world.get(f"/campaign/{name}")).body["total"], is_(2))
    ended = await run(world, "purge", name, input="y\n")
    assert_that((ended.code, ended.out), equal_to((0, f"{name}: 2 contacts removed\n")))


@pytest.mark.parametrize(
    "command",
    [("campaigns",), ("stop",), ("start",), ("purge", "--yes"), ("export",), ("watch", "--until-done")],
    ids=lambda command: command[0],
)
@sure
async def test_a_campaign_that_nobody_knows_is_a_failure(world: World, command: tuple[str, ...]) -> None:
    name, *options = command
    message = "no contact of campaign 'nobody' is known"
    ended = await run(world, name, "nobody", *options)
    assert_that((ended.code, ended.out, ended.err), equal_to((1, "", f"dialer: {message}\n")))
    ended = await run(world, name, "nobody", *options, "--json")
    error = {"code": "not_found", "message": message, "field": "campaignId"}
    assert_that((ended.code, ended.json, ended.err), equal_to((1, {"error": error}, "")))


# one contact


@sure
async def test_a_contact_is_shown_with_its_history(world: World) -> None:
    called = ivr(campaignId=campaign(), schedulingMetadata={"a": 1})
    await world.load(called)
    await world.until_status(called, "ended")
    ended = await run(world, "contact", called["id"])
    assert_that(ended.code, is_(0))
    assert_that(ended.out, matches_regexp(r"(?m)^callResult +NORMAL_CLEARING *$"))
    assert_that(ended.out, matches_regexp(r'(?m)^schedulingMetadata +\{"a":1\} *$'))
    assert_that(ended.out, matches_regexp(r"(?m)Z +ended +1 +dialer-1 "))
    ended = await run(world, "contact", called["id"], "--json")
    assert_that(ended.json["contact"], equal_to(await world.contact(called)))
    assert_that(ended.json["history"][0], has_entries(event="received"))
    ended = await run(world, "contact", "nobody")
    assert_that((ended.code, ended.err), equal_to((1, "dialer: there is no contact 'nobody'\n")))


@sure
async def test_what_a_customer_wrote_does_not_steer_the_terminal(world: World) -> None:
    name, contact = campaign(), f"c{campaign()[2:30]}"
    steering = "\x1b]0;x\x07[red]\u202e\x9b2J"
    with psycopg2.connect(world._conninfo) as connection, connection.cursor() as cursor:
        # As the table of another product may have it.
        cursor.execute(
            """INSERT INTO contacts (id, customer_number, campaign_type, gateway_id, campaign_id, campaign_contact_id,
            start_time) VALUES (%s, '1', 'IVR', 'g', %s, %s, %s)""",
            (contact, name, steering, LATER),
        )
    shown = r"\x1b]0;x\x07[red]\u202e\x9b2J"
    assert_that((await run(world, "contact", contact)).out, contains_string(f"campaignContactId  {shown}"))
    ended = await run(world, "campaigns", "no\x1b[2Jbody")
    assert_that(ended.err, contains_string("no"))
    assert_that(ended.err, not_(contains_string("\x1b")))


# results


@sure
async def test_results_are_written_to_stdout_or_to_a_file(world: World, tmp_path: Path) -> None:
    name = campaign()
    await upload(world, HEADER + rows(name, range(500)))
    ended = await run(world, "export", name)
    assert_that(ended.code, is_(0))
    told = list(csv.DictReader(io.StringIO(ended.out)))
    assert_that(told, has_length(500))
    assert_that(told[7], has_entries(id=f"{name[:30]}-7", status="pending"))
    ended = await run(world, "export", name, "--json")
    assert_that([json.loads(line)["id"] for line in ended.out.splitlines()], equal_to([each["id"] for each in told]))
    file = tmp_path / "results.json"
    ended = await run(world, "export", name, "-o", file, "--format", "json", "--status", "pending", "--json")
    assert_that((ended.code, ended.json["file"]), equal_to((0, str(file))))
    assert_that(json.loads(file.read_text()), has_length(500))
    ended = await run(world, "export", name, "-o", tmp_path / "none" / "x.csv")
    told = f"dialer: {tmp_path}/none/x.csv cannot be written: No such file or directory\n"
    assert_that((ended.code, ended.err), equal_to((1, told)))


# watching


@sure
async def test_watching_ends_once_all_is_done(world: World) -> None:
    name, other = campaign(), campaign()
    called = ivr(campaignId=name)
    await world.load(called, waiting(other))
    ended = await run(world, "watch", name, "--until-done", "--interval", "0.1", "--json")
    assert_that(ended.code, is_(0))
    last = json.loads(ended.out.splitlines()[-1])
    assert_that([each["campaignId"] for each in last["campaigns"]], contains_exactly(name))
    assert_that(last["campaigns"][0]["byStatus"], equal_to({"ended": 1}))
    assert_that(last["status"], has_entries(maxConcurrentCalls=20, database="up"))
    ended = await run(world, "watch", name, "--until-done")
    assert_that(ended.out, contains_string(f"{name}  "))
    assert_that(ended.out, contains_string("of 20 slots in use, at most 200 calls per second"))


# processes


AS_IN_A_TERMINAL = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_DFL)
os.execv(sys.argv[1], sys.argv[1:])
"""
"""Runs a command that hears of Ctrl-C, though a shell that runs these tests in the background has SIGINT ignored."""


async def interrupted(world: World, *arguments: str | Path, when: Callable[[str], bool]) -> tuple[int, str, str]:
    """Run a command as a process, press Ctrl-C once it has written what `when` waits for, and see it end."""

    def spawn() -> tuple[int, str, str]:
        process = subprocess.Popen(
            [sys.executable, "-c", AS_IN_A_TERMINAL, DIALER, *map(str, arguments)],
            env=clean_environment() | {"DIALER_URL": world.url},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert process.stdout is not None
        seen = ""
        try:
            while not when(seen):
                seen += process.stdout.readline()
                assert process.poll() is None, seen
            process.send_signal(signal.SIGINT)
            rest, _ = process.communicate(timeout=30)
            return process.returncode, seen, rest
        finally:
            process.kill()

    return await deferToThread(spawn)


@sure
async def test_ctrl_c_ends_watching(world: World) -> None:
    name = campaign()
    await world.load(waiting(name))
    code, seen, rest = await interrupted(world, "watch", name, "--json", when=lambda seen: name in seen)
    assert_that((code, rest.strip()), equal_to((130, "")))
    assert_that(json.loads(seen)["error"], is_(None))


@sure
async def test_ctrl_c_ends_loading_with_the_state_and_loading_again_goes_on(world: World, tmp_path: Path) -> None:
    name = campaign()
    file = tmp_path / "list.csv"
    file.write_text("id,customerNumber,campaignType,gatewayId,campaignId\nb d,1,IVR,g,c\n" + f"{name},1,IVR,g,{name}\n")
    command = ("load", file, "--set", f"startTime={LATER}")
    # Nobody is there: it waits to try again.
    code, _, rest = await interrupted(
        world, *command, "--url", "http://127.0.0.1:1", when=lambda seen: "again in" in seen
    )
    assert_that(code, is_(130))
    assert_that(rest, contains_string("2 rows read, 0 added, 0 there before, 1 rejected (see "))
    assert_that(rest, contains_string("dialer: interrupted\n"))
    assert_that(rest, contains_string("Run the same command again: nothing is added twice."))
    assert_that(sorted(os.listdir(tmp_path)), equal_to(["list.csv", "list.csv.rejected.csv"]))
    assert_that((await run(world, *command)).out, contains_string("2 rows read, 1 added"))


# a dialer that is none, or cannot


@sure
async def test_nobody_there_is_told_from_a_refusal(world: World) -> None:
    ended = await run("http://127.0.0.1:1", "campaigns")
    assert_that(ended.code, is_(4))
    assert_that(ended.err, starts_with("dialer: the dialer at http://127.0.0.1:1 cannot be reached: "))
    ended = await run("http://127.0.0.1:1", "campaigns", "--json")
    assert_that((ended.code, ended.json["error"]["code"], ended.err), equal_to((4, "unreachable", "")))


@pytest_twisted.async_yield_fixture
async def stand_in() -> Any:
    """Something that answers as a test says: (status, body, what it was asked)."""
    app = Klein()
    app.reply = (200, {})
    app.asked = []

    @app.route("/", branch=True)
    def answer(request: Any) -> bytes:
        app.asked.append((request.uri.decode(), request.getHeader("authorization")))
        status, body = app.reply
        request.setResponseCode(status)
        return body if isinstance(body, bytes) else json.dumps(body).encode()

    port = reactor.listenTCP(0, Site(app.resource()), interface="127.0.0.1")
    app.url = f"http://127.0.0.1:{port.getHost().port}"
    yield app
    await port.stopListening()


REASONS = {
    "dialing": False,
    "reasons": [
        {"code": "stopped", "message": "all 3 campaigns are stopped", "since": "2026-11-26T12:00:00Z"},
        {"code": "no_slots", "message": "no slot of 10 is free", "since": None},
    ],
    "next": "2026-11-27T08:00:00Z",
}


@sure
async def test_the_reasons_for_not_dialing_are_said_as_the_dialer_says_them(stand_in: Any) -> None:
    stand_in.reply = (200, REASONS)
    ended = await run(stand_in.url, "explain")
    assert_that(
        ended.out.splitlines(),
        contains_exactly(
            "Not dialing.",
            "- all 3 campaigns are stopped (since 2026-11-26T12:00:00Z)",
            "- no slot of 10 is free",
            "Next: 2026-11-27T08:00:00Z",
        ),
    )
    ended = await run(stand_in.url, "explain", "a b", "--json")
    assert_that((ended.code, ended.json), equal_to((0, REASONS)))
    stand_in.reply = (200, {"dialing": True, "reasons": [], "next": None})
    assert_that((await run(stand_in.url, "explain")).out, equal_to("Dialing.\n"))
    token = "Bearer t0ken"
    assert_that(
        stand_in.asked,
        contains_exactly(("/explain", token), ("/campaign/a%20b/explain", token), ("/explain", token)),
    )


@sure
async def test_a_campaign_that_is_not_dialed_is_explained(world: World) -> None:
    name = campaign()
    await world.load(waiting(name))
    ended = await run(world, "explain", name)
    assert_that(ended.code, is_(0))
    assert_that(ended.out, starts_with("Not dialing.\n- 1 contact is before its start time"))
    assert_that(ended.out.splitlines()[-1], equal_to(f"Next: {LATER}"))
    ended = await run(world, "explain", "--json")
    assert_that(ended.json.keys(), has_items("dialing", "reasons", "next"))


@pytest.mark.parametrize(
    ("status", "body", "code", "message"),
    [
        (200, b"<html>", 1, "what answers at {url} is no dialer"),
        (401, {"error": {"code": "unauthorized", "message": "no\x1b token", "field": None}}, 1, "no\\x1b token"),
        (404, b"<html>", 1, "the answer was 404 Not Found"),
        (502, b"<html>", 4, "the answer was 502 Bad Gateway"),
        (503, {"error": {"code": "database_down", "message": "later", "field": None}}, 4, "later"),
    ],
)
@sure
async def test_every_answer_ends_with_its_code(stand_in: Any, status: int, body: Any, code: int, message: str) -> None:
    stand_in.reply = (status, body)
    ended = await run(stand_in.url, "campaigns")
    assert_that((ended.code, ended.err), equal_to((code, f"dialer: {message.format(url=stand_in.url)}\n")))


@sure
async def test_an_export_that_is_broken_off_leaves_no_file(tmp_path: Path) -> None:
    class Breaking(Protocol):
        def dataReceived(self, data: bytes) -> None:
            self.transport.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nid\n\r\n")
            self.transport.loseConnection()

    port = reactor.listenTCP(0, Factory.forProtocol(Breaking), interface="127.0.0.1")
    try:
        ended = await run(f"http://127.0.0.1:{port.getHost().port}", "export", "c", "-o", tmp_path / "a.csv")
    finally:
        await port.stopListening()
    assert_that(ended.code, is_(4))
    assert_that(ended.err, contains_string("cannot be reached: "))
    assert_that(os.listdir(tmp_path), equal_to([]))
