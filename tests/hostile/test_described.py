"""Schemathesis reads the description that a live dialer serves, and asks for everything in it in every way it can think
of, right and wrong."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import pytest_twisted
from hamcrest import assert_that, empty, equal_to, greater_than, has_length, is_
from twisted.internet import reactor
from twisted.internet.utils import getProcessOutputAndValue

from dialer.web.examples import FOR_AN_AGENT
from tests.hostile.rows import forbidden, stored
from tests.service import shared
from tests.service.world import World, ivr

sure = pytest_twisted.ensureDeferred
logged_failures = shared.logged_failures
world = shared.world

TOKEN = "described".ljust(40, "x")
ENVIRONMENT = {"CALLS_PER_SECOND": "50", "MAX_CONCURRENT_CALLS": "50", "API_TOKENS": f"all:all:{TOKEN}"}
SHOWN = {"Authorization": f"Bearer {TOKEN}"}

ROOT = Path(__file__).parents[2]

EXAMPLES = os.environ.get("FUZZ_EXAMPLES", "6")
"""Requests for each operation, besides those at the boundaries of its schemas. `make fuzz` asks for more."""

SEED = os.environ.get("FUZZ_SEED", "1")

SLOWEST = "10"
"""Seconds for one answer: far more than any takes, so that only one that hangs is late."""

CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "wrong_is_refused",
    "unsupported_method",
    "allow_header_conformance",
    "ignored_auth",
    "right_is_accepted",
    "nothing_of_the_inside",
)


@sure
async def test_a_live_dialer_keeps_to_its_description_whatever_it_is_asked(world: World, tmp_path: Path) -> None:
    # What the examples of the description name is there: an agent that is awaited, a message that is parked.
    world.switch.calls.gateways.put("gw-london", "UP")
    world.vc.behave("reply", "silent")
    world.vc.behave("notification", "refuse", next=1, status=400)
    first = ivr(campaignId="reminders")
    reply = await world.request("POST", "/contacts", json=[first, FOR_AN_AGENT], headers=SHOWN)
    assert_that(reply.status, equal_to(200))
    await world.vc.when(lambda record: record.path == "/request-agent")
    await world.until_told(first)
    arguments = [
        *("-m", "schemathesis.cli", "run", f"{world.url}/openapi.json", "--phases", "examples,coverage,fuzzing"),
        *("--checks", ",".join(CHECKS), "--max-response-time", SLOWEST, "--request-timeout", SLOWEST),
        *("--max-examples", EXAMPLES, "--seed", SEED, "--generation-database", "none", "--workers", "1"),
        *("--header", f"Authorization: Bearer {TOKEN}"),
        *("--continue-on-failure", "--warnings", "off", "--no-color"),
    ]
    environment = os.environ | {"SCHEMATHESIS_HOOKS": "tests.hostile.hooks", "PYTHONPATH": str(ROOT)}
    out, err, status = await getProcessOutputAndValue(
        sys.executable, arguments, env=environment, path=str(tmp_path), reactor=reactor
    )
    told = (out + err).decode("utf-8", "replace")
    assert_that(status, equal_to(0), told)
    selected = re.search(r"Selected: (\d+)/(\d+)\s+Tested: (\d+)", told)
    assert selected is not None, told
    assert_that(set(selected.groups()), has_length(1), told)
    generated = re.search(r"(\d+) generated", told)
    assert generated is not None, told
    assert_that(int(generated[1]), is_(greater_than(800)))
    assert_that(stored(world._conninfo, "contacts"), has_length(greater_than(2)))
    assert_that(forbidden(world._conninfo), is_(empty()))
    assert_that((await world.request("GET", "/readyz", headers=SHOWN)).status, equal_to(200))
