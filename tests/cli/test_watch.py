"""What `dialer watch` shows of a dialer that cannot tell how it is doing."""

from __future__ import annotations

import json
from io import StringIO
from typing import Any

import httpx
import pytest
from hamcrest import assert_that, contains_exactly, equal_to
from rich.console import Console

from dialer.cli.service import Service
from dialer.cli.watch import look, picture

DOWN = {"code": "database_down", "message": "the database cannot be reached; try again", "field": None}
STATUS = {
    "maxConcurrentCalls": 10,
    "activeCalls": 3,
    "callsPerSecond": 2.5,
    "database": "up",
    "efswitch": "up",
    "voiceConnector": "up",
}
IN_OUTAGE = STATUS | {"activeCalls": None, "database": "down", "error": DOWN}


def asked(status: int, body: dict[str, Any]) -> dict[str, Any]:
    """What one look at a dialer gives whose status is answered so."""

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/campaigns":
            return httpx.Response(200, json={"campaigns": []})
        return httpx.Response(status, content=json.dumps(body))

    service = Service("http://dialer", None)
    service.close()
    service._client = httpx.Client(transport=httpx.MockTransport(answer))
    return look(service, ())


def lines(latest: dict[str, Any]) -> list[str]:
    """What is shown below the campaigns."""
    out = StringIO()
    Console(file=out, width=200).print(picture(latest))
    return [line.strip() for line in out.getvalue().partition("\n\n")[2].splitlines()]


def test_slots_and_states_are_shown() -> None:
    assert_that(
        lines(asked(200, STATUS)),
        contains_exactly(
            "3 of 10 slots in use, at most 2.5 calls per second",
            "database up, EFSwitch up, VC up",
        ),
    )


def test_what_is_wrong_is_shown_when_the_status_tells_of_it() -> None:
    latest = asked(503, IN_OUTAGE)
    assert_that(latest["error"], equal_to(DOWN))
    assert_that(
        lines(latest),
        contains_exactly(
            "10 slots, and how many are in use is not known, at most 2.5 calls per second",
            "database down, EFSwitch up, VC up",
            "the database cannot be reached; try again",
        ),
    )


def test_what_is_wrong_is_shown_when_there_is_nothing_else() -> None:
    busy = {"code": "busy", "message": "too many others ask; try again", "field": None}
    assert_that(lines(asked(503, {"error": busy})), contains_exactly("too many others ask; try again"))


@pytest.mark.parametrize("status", [STATUS, IN_OUTAGE])
def test_a_dialer_that_has_gone_since_is_told_from_one_that_has_trouble(status: dict[str, Any]) -> None:
    gone = {"code": "unreachable", "message": "the dialer cannot be reached", "field": None}
    latest = {"campaigns": [], "status": status, "error": gone}
    assert_that(lines(latest)[-1], equal_to("Since then: the dialer cannot be reached"))
