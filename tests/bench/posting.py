"""Contacts stored through HTTP, in lists beside COPY of the same rows, and one each; how long the reactor blocks."""

from __future__ import annotations

import http.client
import io
import json
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from itertools import islice
from typing import Any

import psycopg2

from tests.bench.benchmark import Bench, Figure, Round, at_least, at_most
from tests.bench.contacts import ivr_stream
from tests.bench.database import ask
from tests.bench.fill import prepare
from tests.bench.lists import TIMEOUT, post_body
from tests.bench.probe import Seen, program, read
from tests.bench.world import World, opened
from tests.processes import output

LIST = 5_000
LISTS, SHORT_LISTS = 20, 2
SINGLE, SHORT_SINGLE = 20_000, 1_000
CONNECTIONS = 50
CAMPAIGNS = 10
RULES = [{"outcome": "answered", "ring": (0.5, 2), "talk": (1, 5)}]
SETTINGS = {"CALLS_PER_SECOND": 5, "MAX_CONCURRENT_CALLS": 50, "HTTP_RATE": 0}
"""It dials meanwhile, as a contact centre does while the next list comes in; it is not what is measured."""

COLUMNS = {
    "id": "id",
    "customerNumber": "customer_number",
    "campaignType": "campaign_type",
    "gatewayId": "gateway_id",
    "campaignId": "campaign_id",
    "campaignContactId": "campaign_contact_id",
    "ivr": "ivr",
}

ROUNDS = 3


def measure(bench: Bench) -> Round:
    """One run: COPY into the empty table and nothing else going on, then the same rows through a dialer."""
    lists, single = (SHORT_LISTS, SHORT_SINGLE) if bench.short else (LISTS, SINGLE)
    contacts = list(islice(ivr_stream(bench.seed, CAMPAIGNS), lists * LIST))
    with opened(bench.reactor, bench.cancelled, keep=bench.keep) as world:
        world.start_postgres()
        world.start_simulator(RULES, seed=bench.seed)
        world.start_vc()
        prepare(world)
        copied = _copy(world, contacts)
        ask(world.conninfo, "TRUNCATE contacts")
        file = world.folder / "probe.json"
        dialer = world.start_dialer(program=program(file), **SETTINGS)
        began = time.time()
        posted = _post(dialer.port, contacts)
        ended = time.time()
        stored = ask(world.conninfo, "SELECT count(*) AS stored FROM contacts")[0]["stored"]
        one_each = output(
            [sys.executable, "-m", "tests.bench.hammer", *map(str, (dialer.port, single, CONNECTIONS, bench.seed + 1))],
            bench.cancelled,
            within=300,
        )
        over = time.time()
        problems = world.deaths()
        if stored != len(contacts):
            problems.append(f"{stored} of {len(contacts)} stored")
        if one_each["statuses"] != {"200": single}:
            problems.append(f"POST /contact was answered {one_each['statuses']}")
        world.stop()
        seen = read(file)
        lists_wall, lists_used = _longest(seen, began, ended)
        single_wall, single_used = _longest(seen, ended, over)
        return Round(
            figures=[
                Figure(
                    "in lists, beside COPY",
                    len(contacts) / posted,
                    "/s",
                    len(contacts) / copied,
                    at_least(0.2, ratio=True),
                ),
                Figure("longest turn of the reactor, lists", lists_wall, "ms", target=at_most(10)),
                Figure("... of it, processor time at the most", lists_used, "ms"),
                Figure("one each", single / one_each["seconds"], "/s", target=at_least(1000)),
                Figure("longest turn of the reactor, one each", single_wall, "ms"),
                Figure("... of it, processor at the most", single_used, "ms"),
            ],
            problems=problems,
            details={"copySeconds": copied, "postSeconds": posted, "oneEach": one_each},
        )


def _copy(world: World, contacts: Sequence[dict[str, Any]]) -> float:
    """Seconds that COPY takes for them, the commit included."""
    text = io.StringIO("".join("\t".join(contact[name] or "\\N" for name in COLUMNS) + "\n" for contact in contacts))
    with closing(psycopg2.connect(world.conninfo)) as connection, connection.cursor() as cursor:
        began = time.monotonic()
        cursor.copy_expert(f"COPY contacts ({', '.join(COLUMNS.values())}) FROM STDIN", text)
        connection.commit()
        return time.monotonic() - began


def _post(port: int, contacts: Sequence[dict[str, Any]]) -> float:
    """Seconds that `POST /contacts` takes for them, list after list over one connection."""
    bodies = [json.dumps(contacts[start : start + LIST]).encode() for start in range(0, len(contacts), LIST)]
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)) as connection:
        began = time.monotonic()
        for body in bodies:
            post_body(connection, body, LIST)
        return time.monotonic() - began


def _longest(seen: Seen, begin: float, end: float) -> tuple[float, float]:
    """The longest turn that ended in that time, and the most processor time of a turn, in milliseconds."""
    turns = [turn for turn in seen.turns if begin <= turn.at <= end]
    return (
        max((turn.took for turn in turns), default=0.0) * 1000,
        max((turn.used for turn in turns), default=0.0) * 1000,
    )
