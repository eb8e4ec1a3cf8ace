"""The README says what is so: its HTTP examples are run as they stand, its tables are those of the code."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from attrs import define
from hamcrest import (
    assert_that,
    contains_inanyorder,
    contains_string,
    empty,
    equal_to,
    greater_than,
    is_,
    is_not,
    matches_regexp,
)
from twisted.internet import reactor
from twisted.internet.utils import getProcessOutputAndValue
from werkzeug.routing import Map, Rule

from dialer.environment import describe
from dialer.web.api import ENDPOINTS
from dialer.web.schema import ContactIn
from tests.service import shared
from tests.service.world import World

sure = pytest_twisted.ensureDeferred
logged_failures = shared.logged_failures
world = shared.world

ENVIRONMENT = {"MAX_CONCURRENT_CALLS": "10", "CALLS_PER_SECOND": "10"}
"""The defaults, which the examples show."""

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
HERE = "http://127.0.0.1:8080"


def section(title: str) -> str:
    """The text under a heading."""
    found = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", README, re.MULTILINE | re.DOTALL)
    assert found, f"no section {title}"
    return found[1]


HTTP = section("HTTP interface")


def rows(text: str, heading: str) -> list[list[str]]:
    """The cells of the table whose first column is headed so."""
    lines = text[text.index(f"| {heading} |") :].splitlines()[2:]
    table = []
    for line in lines:
        if not line.startswith("|"):
            break
        table.append([cell.strip() for cell in line.strip("|").split(" | ")])
    return table


@define
class Example:
    """One command, and the answer that is shown under it, if any."""

    command: str
    shown: str = ""

    @property
    def answer(self) -> str:
        """A pattern for the answer, in which `...` stands for anything."""
        return r"\A" + ".*".join(map(re.escape, self.shown.split("..."))) + r"\Z"


def examples() -> list[Example]:
    found: list[Example] = []
    for block in re.findall(r"^```sh\n(.*?)^```", HTTP, re.MULTILINE | re.DOTALL):
        for line in block.splitlines():
            if line.startswith("curl "):
                found.append(Example(line))
            elif line.startswith("# {"):
                found[-1].shown = line.removeprefix("# ")
            else:
                found[-1].command += "\n" + line
    return found


# the examples


def test_every_example_shows_curl_and_most_show_their_answer() -> None:
    assert_that(len(examples()), is_(greater_than(8)))
    assert_that(HTTP.count("curl "), equal_to(len(examples())))
    assert_that(HTTP.count("# {"), equal_to(len([example for example in examples() if example.shown])))


@pytest.mark.skipif(
    shutil.which("curl") is None, reason="the README's examples need the program curl, which is missing"
)
@sure
async def test_the_readmes_examples_work_in_their_order_and_answer_what_is_shown(world: World) -> None:
    world.switch.set_gateway("gw-london", "UP")
    world.vc.behave("reply", "silent")
    # The first message is one that the VC does not like.
    world.vc.behave("notification", "refuse", status=400, next=1)
    for example in examples():
        status, body = await run(world, example.command)
        assert_that((example.command, status), equal_to((example.command, 200)), body)
        if example.command.endswith("/metrics"):
            assert_that(body, contains_string("\ndialer_ready 1.0\n"))
        else:
            assert_that(body, matches_regexp(r"(?s)\A[{\[].*[}\]]\n?\Z"), example.command)
        if example.shown:
            assert_that(body, matches_regexp(example.answer), example.command)
        await world.until(lambda: settled(world), "the contacts to go their way")
    (attempt,) = [attempt for attempt in world.switch.records.since() if attempt.uuid == "c1"]
    assert_that(attempt.variables["sip_h_X-agentExtension"], is_("1005"))


async def run(world: World, command: str) -> tuple[int, str]:
    """Run a command line against the dialer; the HTTP status and the body."""
    command = command.replace(HERE, world.url).replace("curl -sS", "curl -sS --max-time 10 -w '\\n%{http_code}'", 1)
    assert HERE not in command
    output, errors, code = await getProcessOutputAndValue("/bin/sh", ["-c", command], env=None, reactor=reactor)
    assert_that((code, errors.decode()), equal_to((0, "")), command)
    body, _, status = output.decode().rpartition("\n")
    return int(status), body


async def settled(world: World) -> bool:
    """No IVR call is under way, the AGENT contact has been asked an agent for, if it is there, no message waits."""
    if (await world.get("/notifications?state=waiting")).body["notifications"]:
        return False
    counts = {entry["campaignId"]: entry["byStatus"] for entry in (await world.get("/campaigns")).body["campaigns"]}
    return "dialed" not in counts.get("reminders", {}) and "pending" not in counts.get("renewals", {})


# the tables


def test_the_field_table_has_the_fields_that_may_be_posted() -> None:
    fields = [name for cells in rows(HTTP, "field") for name in re.findall(r"`([^`]+)`", cells[0])]
    assert_that(fields, contains_inanyorder(*(info.alias for info in ContactIn.model_fields.values())))


def test_every_path_of_the_interface_is_in_an_example_and_every_path_named_exists() -> None:
    routes = Map([Rule(each.path, methods=[each.method]) for each in ENDPOINTS])
    adapter = routes.bind("dialer")
    named = {
        (re.search(r"-X (\w+)", command)[1] if "-X" in command else "POST" if "-d" in command else "GET", path)
        for command in (example.command for example in examples())
        for path in re.findall(re.escape(HERE) + r"(/[^\s'\"?]*)", command)
    }
    used = {adapter.match(path, method, return_rule=True)[0].rule for method, path in named}
    assert_that({each.path for each in ENDPOINTS if not each.for_browsers}, equal_to(used))
    for method, path in re.findall(r"`(GET|POST) (/[^`]*)`", README):
        assert_that(adapter.match(path, method), is_not(None))


def test_the_configuration_table_is_that_of_the_settings() -> None:
    table = [[f"`{name}`", default, meaning] for name, default, meaning in describe()]
    assert_that(rows(section("Configuration"), "variable"), equal_to(table))


SPECIFIED = {
    "SANDBOX": "empty",
    "DB_URL": "unset → embedded",
    "DB_URL_FILE": "unset",
    "DB_PORT": "5432",
    "DB_NAME": "dialer",
    "DB_USERNAME": "dialer",
    "DB_PASS": "empty",
    "DB_PASS_FILE": "unset",
    "DB_CONN_TIMEOUT": "3000 ms",
    "DB_TLS_CA": "unset",
    "DB_TLS_MODE": "verify-full with DB_TLS_CA, else libpq's: prefer",
    "DB_TLS_CERT": "unset: none",
    "DB_TLS_KEY": "unset",
    "ESL_IP": "required unless provided",
    "ESL_PORT": "8021",
    "ESL_PASSWORD": "ClueCon",
    "ESL_PASSWORD_FILE": "unset",
    "ESL_CONNECT_DELAY": "60 s",
    "EFSWITCH_IP": "host of ESL_IP",
    "ORIGINATE_COMMAND": "auto",
    "DEFAULT_IVR": "*9664",
    "SERVICE_IDENTIFIER": "1218",
    "VOICE_CONNECTOR": "required unless provided",
    "VC_TLS_CA": "unset: those of the system",
    "VC_TLS_CERT": "unset: none",
    "VC_TLS_KEY": "unset",
    "CONTACT_RETRIEVAL_DELAY": "20 s",
    "CALLS_PER_SECOND": "10",
    "MAX_CONCURRENT_CALLS": "10",
    "MAX_CALL_TIME": "60 min",
    "AGENT_REPLY_TIMEOUT": "600 s",
    "RECONCILE_INTERVAL": "30 s",
    "LEASE_TIME": "30 s",
    "RETENTION_DAYS": "90 days",
    "EFSWITCH_DOWN_POLICY": "fail",
    "RESULT_WEBHOOK_URL": "unset",
    "RESULT_WEBHOOK_URL_FILE": "unset",
    "RESULT_WEBHOOK_SECRET": "empty",
    "RESULT_WEBHOOK_SECRET_FILE": "unset",
    "WEBHOOK_ALLOWED_HOSTS": "empty",
    "HTTP_INTERFACE": "0.0.0.0 (127.0.0.1 when nothing is configured)",
    "HTTP_PORT": "8080",
    "HTTP_TLS_CERT": "unset: plain http",
    "HTTP_TLS_KEY": "unset",
    "HTTP_TLS_CLIENT_CA": "unset: any client",
    "API_TOKENS": "empty: everybody may do everything",
    "API_TOKENS_FILE": "unset",
    "TRUSTED_NETWORKS": "empty",
    "PUBLIC_URL": "empty",
    "SESSION_LIFETIME": "12 h",
    "HTTP_BODY_SIZE": "32 MiB",
    "HTTP_BODIES": "192 MiB",
    "HTTP_HEAD_SIZE": "16 KiB",
    "HTTP_HEADERS": "100",
    "HTTP_LIST_LENGTH": "10000",
    "HTTP_CONNECTIONS": "1000",
    "HTTP_CONNECTIONS_PER_ADDRESS": "250",
    "HTTP_CONNECTIONS_RESERVED": "32",
    "HTTP_IDLE_TIME": "75 s",
    "HTTP_HEAD_TIME": "10 s",
    "HTTP_STALL_TIME": "30 s",
    "HTTP_PACE": "1 KiB/s",
    "HTTP_RATE": "5000",
    "DIALER_ID": "host name",
    "LOG_LEVEL": "INFO",
    "LOG_FORMAT": "text",
    "LOG_MASK_NUMBERS": "0",
}
"""The names and defaults that are fixed: programs written without this code in view set them."""


def test_the_configuration_has_the_names_and_defaults_that_are_fixed() -> None:
    shown = {cells[0].strip("`"): cells[1].replace("`", "") for cells in rows(section("Configuration"), "variable")}
    assert_that(shown, equal_to(SPECIFIED))


def test_nothing_is_left_to_be_filled_in() -> None:
    placeholders: list[Any] = [found for found in re.findall(r"@@\w+@@", README) if found != "@@DEMO@@"]
    assert_that(placeholders, is_(empty()))
