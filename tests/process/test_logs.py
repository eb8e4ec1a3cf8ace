"""What a process logs for programs to read, and what it keeps to itself."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import pytest_twisted
from hamcrest import (
    assert_that,
    contains_string,
    equal_to,
    has_entries,
    has_item,
    has_items,
    matches_regexp,
    not_,
)

from tests.process.street import Street
from tests.process.twistd import Twistd
from tests.service.world import database_url, ivr

sure = pytest_twisted.ensureDeferred

DATABASE, SWITCH = "secret of the database", "secret of the switch"
JSON = {"LOG_FORMAT": "json", "LOG_LEVEL": "DEBUG"}


def objects(process: Twistd) -> list[dict[str, Any]]:
    """Its lines, each of which must be an object of its own."""
    return [json.loads(line) for line in process.out.split("\n")[:-1]]


def with_password(url: str) -> str:
    return f"{url}&password={DATABASE.replace(' ', '%20')}"


@sure
async def test_in_json_every_line_is_an_object_and_those_of_a_call_name_contact_and_campaign(street: Street) -> None:
    street.switch.password = SWITCH
    secrets = {"DB_URL": with_password(database_url(street._conninfo)), "ESL_PASSWORD": SWITCH}
    process = await street.run(LOG_MASK_NUMBERS="1", **JSON, **secrets)
    called = ivr(campaignId="campaign-7")
    # A gateway that is named as a customer would be.
    lost = ivr(gatewayId="447700900456", campaignId="campaign-8")
    await street.load(called, lost)
    for contact in (called, lost):
        await street.until_told(contact)
    await street.terminate(process)
    lines = objects(process)
    for line in lines:
        assert_that(datetime.fromisoformat(line["time"]).utcoffset().total_seconds(), equal_to(0))
        assert_that(line, has_entries({name: matches_regexp(".+") for name in ("level", "logger", "message")}))
    ids = (called["id"], lost["id"])
    of_calls = {contact_id: [line for line in lines if contact_id in json.dumps(line)] for contact_id in ids}
    for contact in (called, lost):
        for line in of_calls[contact["id"]]:
            assert_that(line, has_entries(contact=contact["id"], campaign=contact["campaignId"]))
    assert_that(
        [line["message"] for line in of_calls[called["id"]]],
        has_items(
            f"CAMPAIGN TYPE: IVR, contact {called['id']} of campaign campaign-7",
            f"CALLED THE CUSTOMER of contact {called['id']} of campaign campaign-7 through {street.switch_address}",
            f"Contact {called['id']} of campaign campaign-7 ended NORMAL_CLEARING",
        ),
    )
    assert_that(
        of_calls[lost["id"]],
        has_item(
            has_entries(
                level="WARN",
                message=f"INVALID GATEWAY ***456 of contact {lost['id']} of campaign campaign-8",
                fields=has_entries(gateway="***456"),
            )
        ),
    )
    for secret in (DATABASE, SWITCH, called["customerNumber"]):
        assert_that(process.out + process.err, not_(contains_string(secret)))


@sure
async def test_a_process_that_cannot_log_in_to_its_database_tells_no_password(street: Street) -> None:
    elsewhere = f"postgresql://dialer:{DATABASE.replace(' ', '%20')}@127.0.0.1:1/dialer"
    process = street.spawn(street.environment(DB_URL=elsewhere, ESL_PASSWORD=SWITCH, **JSON))
    await street.until(lambda: "DATABASE CONNECTION ERROR" in process.out, "a database that is not there")
    process.kill()
    for secret in (DATABASE, DATABASE.replace(" ", "%20"), SWITCH):
        assert_that(process.out + process.err, not_(contains_string(secret)))
