"""What somebody should look at, from what the dialer knows of itself."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hamcrest import assert_that, contains_exactly, empty, equal_to, has_properties

from dialer.alarms import Alarm, Code, alarms

NOW = datetime(2031, 1, 1, 9, tzinfo=UTC)
BEFORE = NOW - timedelta(minutes=3)


def found(
    status: dict[str, Any] | None = None,
    reasons: list[str] | None = None,
    switches: list[dict[str, Any]] | None = None,
    gateways: list[dict[str, Any]] | None = None,
    connector: dict[str, Any] | None = None,
) -> list[Alarm]:
    """The alarms of a dialer of which all is well but for this."""
    fine = {
        "database": "up",
        "resultsWaiting": 0,
        "resultsDropped": 0,
        "notifications": messages(),
        "authentication": "tokens",
        "webhooks": messages(),
        "certificates": [certificate()],
    }
    return alarms(
        fine | (status or {}),
        reasons or [],
        switches if switches is not None else [switch()],
        gateways or [],
        connector or {"up": True, "reason": "takes connections", "since": None},
        NOW,
    )


def messages(**more: Any) -> dict[str, Any]:
    return {"waiting": 0, "parked": 0, "waitingSince": None} | more


def certificate(**more: Any) -> dict[str, Any]:
    return {"name": "HTTP_TLS_CERT", "expires": NOW + timedelta(days=15), "problem": None} | more


def switch(**more: Any) -> dict[str, Any]:
    return {"name": "s1", "ready": True, "reason": None, "slowedDownTo": None, "since": BEFORE} | more


def gateway(status: str, **more: Any) -> dict[str, Any]:
    return {"gateway": "gw-1", "switch": "s1", "status": status, "since": BEFORE, "recent": True} | more


def test_there_is_none_while_all_is_well() -> None:
    assert_that(found(gateways=[gateway("up")]), empty())


@pytest.mark.parametrize(
    ("facts", "alarm"),
    [
        (
            {"status": {"authentication": "none"}},
            Alarm(Code.OPEN, "Without API_TOKENS whoever reaches this dialer may do everything"),
        ),
        (
            {"status": {"notifications": messages(parked=1)}},
            Alarm(Code.PARKED, "1 message parked: not at the voice connector, and not tried again"),
        ),
        (
            {"status": {"webhooks": messages(parked=2)}},
            Alarm(Code.WEBHOOKS_PARKED, "2 webhooks parked: not at their receivers, and not tried again"),
        ),
        (
            {"status": {"webhooks": messages(waiting=1, waitingSince=BEFORE)}},
            Alarm(Code.WEBHOOKS_UNDELIVERED, "1 webhook not delivered yet", since=BEFORE),
        ),
        (
            {"status": {"certificates": [certificate(expires=NOW + timedelta(days=14))]}},
            Alarm(Code.CERTIFICATE_EXPIRES, "The certificate of HTTP_TLS_CERT expires on 2031-01-15 09:00 UTC"),
        ),
        (
            {"status": {"certificates": [certificate(expires=NOW)]}},
            Alarm(
                Code.CERTIFICATE_EXPIRES,
                "The certificate of HTTP_TLS_CERT has expired on 2031-01-01 09:00 UTC",
                serious=True,
            ),
        ),
        (
            {"status": {"certificates": [certificate(problem="HTTP_TLS_CERT='c.pem': it holds none")]}},
            Alarm(
                Code.CERTIFICATE_NOT_RELOADED, "A certificate was not reloaded: HTTP_TLS_CERT='c.pem': it holds none"
            ),
        ),
        (
            {"status": {"notifications": messages(waiting=1200, waitingSince=BEFORE)}},
            Alarm(Code.UNDELIVERED, "1,200 messages not delivered yet", since=BEFORE),
        ),
        (
            {"status": {"database": "down", "resultsWaiting": 2}},
            Alarm(Code.RESULTS_WAITING, "2 results of calls not yet written to the database"),
        ),
        (
            {"status": {"resultsDropped": 1}},
            Alarm(
                Code.RESULTS_DROPPED,
                "1 result of calls had to be dropped while the database did not take them",
                serious=True,
            ),
        ),
        (
            {"connector": {"up": False, "reason": "connection refused", "since": BEFORE}},
            Alarm(Code.CONNECTOR_DOWN, "The voice connector does not answer: connection refused", True, BEFORE),
        ),
        (
            {"switches": [switch(slowedDownTo=2.5)]},
            Alarm(Code.SLOWED_DOWN, "EFSwitch s1 is over its limits: slowed down to 2.5 calls/s"),
        ),
        ({"gateways": [gateway("down")]}, Alarm(Code.GATEWAY_DOWN, "Gateway gw-1 is down on s1", since=BEFORE)),
        (
            {"gateways": [gateway("invalid")]},
            Alarm(Code.GATEWAY_INVALID, "EFSwitch s1 has no gateway gw-1", serious=True, since=BEFORE),
        ),
        ({"reasons": ["database: gone"]}, Alarm(Code.NOT_READY, "Nothing is dialed: database: gone", serious=True)),
    ],
)
def test_each_trouble_is_one_alarm(facts: dict[str, Any], alarm: Alarm) -> None:
    assert_that(found(**facts), equal_to([alarm]))


def test_a_switch_that_is_down_is_serious_when_it_is_the_last() -> None:
    down = switch(ready=False, reason="connection refused")
    assert_that(
        found(switches=[down], reasons=["EFSwitch s1: connection refused"]),
        equal_to([Alarm(Code.SWITCH_DOWN, "EFSwitch s1: connection refused", serious=True, since=BEFORE)]),
    )
    assert_that(found(switches=[down, switch(name="s2")]), contains_exactly(has_properties(serious=False)))


@pytest.mark.parametrize(
    "facts",
    [
        {"status": {"notifications": messages(waiting=5, waitingSince=NOW - timedelta(seconds=20))}},
        {"status": {"notifications": messages(endChatsParked=3)}},
        {"status": {"webhooks": messages(waiting=5, waitingSince=NOW - timedelta(seconds=20))}},
        {"status": {"notifications": None, "webhooks": None}},
        {"status": {"resultsWaiting": 30}},
        {"connector": {"up": None, "reason": "not asked yet", "since": None}},
        {"gateways": [gateway("invalid", recent=False)]},
    ],
    ids=[
        "just written",
        "nobody can send them again",
        "webhooks just written",
        "unknown",
        "being written",
        "not asked yet",
        "not asked for again",
    ],
)
def test_what_need_not_be_looked_at_is_none(facts: dict[str, Any]) -> None:
    assert_that(found(**facts), empty())


def test_the_serious_ones_come_first() -> None:
    facts = {"notifications": messages(parked=1), "resultsDropped": 1}
    assert_that([alarm.code for alarm in found(status=facts)], equal_to(["results_dropped", "parked"]))


def test_each_alarm_has_its_section_in_the_manual_and_no_other_is_named_there() -> None:
    manual = (Path(__file__).parents[1] / "docs" / "operations.md").read_text(encoding="utf-8")
    sections = re.split(r"^##+ .+$", manual[manual.index("## Alarms") : manual.index("## Alerts")], flags=re.MULTILINE)
    told = [re.match(r"Alarms? (`\w+`[^.:;]*)", section.strip()) for section in sections]
    named = {code for found in told if found for code in re.findall(r"`(\w+)`", found[1])}
    assert_that(named, equal_to(set(map(str, Code))))
