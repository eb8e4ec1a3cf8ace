"""The checker of the chaos run: a run in order has nothing wrong, and each kind of wrong is found in a doctored one."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import evolve
from hamcrest import assert_that, contains_exactly, contains_inanyorder, empty, equal_to, has_items, is_

from tests.chaos.report import history
from tests.chaos.verdict import Evidence, Left, Message, Originate, Posted, Row, Told, Verdict
from tests.chaos.weather import Effect, Fault, Weather

CALM = Weather([], {"dialer-1": [0.0], "dialer-2": [0.0]})
CUT = Weather([Fault("ESL cut", Effect.CUT, 12.0, 13.0)], {"dialer-1": [0.0, 20.0], "dialer-2": [0.0, 20.0]})
"""When the call of `in_order` ends, and when its contact was taken, nobody is connected."""

POSTED = Posted("a", "IVR", "gw-east", "+447700900001")
ROW = Row("a", "ended", "USER_BUSY", 1, None, 12.0)
CALL = Originate(0, "a", 12.1, answered=True, ended_at=12.5, cause="USER_BUSY")
TOLD = Told(12.6, "/send-delivery-notification", "a", "USER_BUSY", "key-1", 200, None)
MESSAGE = Message("a", "notification", "key-1", "delivered", "USER_BUSY", 12.5)


def seen(**what: Any) -> Evidence:
    """A run in order with one contact, but for what is said."""
    whole: dict[str, Any] = {
        "posted": {"a": POSTED},
        "rows": {"a": ROW},
        "outbox": [MESSAGE],
        "originates": [CALL],
        "told": [TOLD],
        "weather": CALM,
    }
    return Evidence(**(whole | what))


def result(text: str, status: str = "ended") -> dict[str, Any]:
    """A contact whose result is this one, everywhere."""
    wire = text.upper().replace(" ", "_")
    return {
        "rows": {"a": evolve(ROW, status=status, call_result=text)},
        "outbox": [evolve(MESSAGE, call_result=text)],
        "told": [evolve(TOLD, what=wire)],
    }


def kinds(evidence: Evidence) -> list[str]:
    """The kinds of violations found."""
    return [violation.kind for violation in Verdict(evidence).violations()]


REFUSED = evolve(CALL, refused="GATEWAY_DOWN", answered=False, ended_at=None, cause=None)
AGAIN = evolve(CALL, serial=1, at=14.0, ended_at=15.0)
VANISHED = evolve(CALL, answered=False, cause=None, vanished=True)
NEVER_ANSWERED = evolve(CALL, answered=False, cause="NORMAL_CLEARING")


@pytest.mark.parametrize(
    "what",
    [
        pytest.param({}, id="dialed once, told once"),
        pytest.param({"told": [evolve(TOLD, status=503), TOLD, TOLD]}, id="told more than once under one key"),
        pytest.param(
            {"originates": [REFUSED, AGAIN], "rows": {"a": evolve(ROW, taking=2)}}, id="dialed again after a refusal"
        ),
        pytest.param({"rows": {"a": evolve(ROW, taking=5)}}, id="taken more often than dialed"),
        pytest.param(
            {"posted": {"a": evolve(POSTED, campaign_type="AGENT")}, "originates": [evolve(CALL, agent="1001")]}
            | {"told": [TOLD, Told(11.0, "/agent", "a", "1001", "", 200, None)]},
            id="the agent that the VC named",
        ),
        pytest.param({"originates": [NEVER_ANSWERED], **result("NO_ANSWER")}, id="cleared, never answered"),
        pytest.param({"originates": [VANISHED], **result("UNKNOWN")}, id="lost by the switch"),
        pytest.param({"weather": CUT, **result("UNKNOWN")}, id="an end that nobody saw"),
        pytest.param({"weather": CUT, "originates": [], **result("UNKNOWN")}, id="a command that was lost"),
        pytest.param({"weather": CUT, "originates": [], **result("EFSwitch Down", "failed")}, id="no switch"),
        pytest.param(
            {"posted": {"a": evolve(POSTED, gateway_id="gw-nowhere")}, "originates": []}
            | result("Invalid Gateway", "failed"),
            id="no such gateway",
        ),
        pytest.param(
            {"outbox": [MESSAGE, evolve(MESSAGE, kind="end_chat", key="key-2", state="parked", call_result=None)]}
            | {"left": Left(held_agents={"1001": "+447700900001"})},
            id="an agent whose END_CHAT came too late to be sent",
        ),
    ],
)
def test_a_run_in_order_has_nothing_wrong(what: dict[str, Any]) -> None:
    assert_that(kinds(seen(**what)), empty())


@pytest.mark.parametrize(
    ("kind", "what"),
    [
        ("lost", {"rows": {}}),
        ("not terminal", {"rows": {"a": evolve(ROW, status="dialed", call_result=None, owner="dialer-1")}}),
        ("leased", {"rows": {"a": evolve(ROW, owner="dialer-1")}}),
        ("dialed twice", {"originates": [CALL, AGAIN], "rows": {"a": evolve(ROW, taking=2)}}),
        ("dialed twice for a taking", {"originates": [REFUSED, AGAIN]}),
        ("wrong agent", {"posted": {"a": evolve(POSTED, campaign_type="AGENT")}}),
        ("wrong result", result("NO_ANSWER")),
        ("wrong result", {"originates": [NEVER_ANSWERED], **result("NORMAL_CLEARING")}),
        ("wrong result", {"originates": [VANISHED]}),
        ("wrong result", result("UNKNOWN")),
        ("wrong result", {"originates": [], **result("UNKNOWN")}),
        ("wrong result", {"originates": [], **result("EFSwitch Down", "failed")}),
        ("wrong result", {"originates": [], **result("Invalid Gateway", "failed")}),
        ("wrong result", {"originates": [REFUSED], **result("UNKNOWN")}),
        ("wrong status", {"rows": {"a": evolve(ROW, status="failed")}}),
        ("not notified", {"told": []}),
        ("not notified", {"told": [evolve(TOLD, status=503)]}),
        ("notified wrongly", {"told": [TOLD, evolve(TOLD, what="UNKNOWN")]}),
        ("keys", {"told": [TOLD, evolve(TOLD, key="key-2")]}),
        ("keys", {"outbox": [MESSAGE, evolve(MESSAGE, key="key-2")]}),
        ("keys", {"told": [TOLD, Told(13.0, "/end-chat", "+447700900001", "", "key-2", 200, None)]}),
        ("undelivered", {"outbox": [evolve(MESSAGE, state="waiting")]}),
        ("undelivered", {"outbox": [evolve(MESSAGE, state="parked")]}),
        ("never posted", {"originates": [CALL, evolve(CALL, serial=1, contact_id="b")]}),
        ("slots", {"left": Left(active={"dialer-1": 1})}),
        ("slots", {"left": Left(channels=["a"])}),
        ("locked", {"left": Left(locked=1)}),
        ("agent held", {"left": Left(held_agents={"1001": "+447700900001"})}),
        ("wrong requests", {"left": Left(refused_requests=1)}),
        ("complaint", {"left": Left(complaints=["dialer-1 ended by itself"])}),
    ],
)
def test_what_is_wrong_is_found_by_its_kind(kind: str, what: dict[str, Any]) -> None:
    assert_that(kinds(seen(**what)), contains_exactly(kind))


def test_what_is_unknown_is_counted_by_its_cause() -> None:
    rows = {name: evolve(ROW, contact_id=name, call_result="UNKNOWN") for name in "abc"}
    originates = [CALL, evolve(VANISHED, serial=1, contact_id="b")]
    counted = Verdict(seen(rows=rows, originates=originates, weather=CUT)).unknown()
    assert_that(list(counted.values()), contains_exactly(3, 1, 1, 1, 1))


def test_notifications_that_were_accepted_again_are_counted() -> None:
    evidence = seen(told=[evolve(TOLD, status=None), TOLD, TOLD, TOLD])
    assert_that(Verdict(evidence).repeated_notifications(), is_(2))


def test_the_history_of_a_contact_is_in_order_and_names_the_faults_around() -> None:
    lines = history(seen(weather=CUT, told=[evolve(TOLD, at=12.7)]), "a")
    times = [line.split()[0] for line in lines[2:-1]]
    assert_that(times, equal_to(sorted(times)))
    found = [word for word in ("originate 0", "its end", "stored for the VC", "/send-delivery") if word in str(lines)]
    assert_that(found, contains_inanyorder("originate 0", "its end", "stored for the VC", "/send-delivery"))
    assert_that(lines[-1].split(), has_items("ESL", "cut:"))
