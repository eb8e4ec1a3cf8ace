"""`dialer check` as a process beside real and missing neighbours."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest_twisted
from hamcrest import (
    assert_that,
    contains_string,
    equal_to,
    has_entries,
    has_item,
    has_length,
    is_,
    matches_regexp,
    not_,
    starts_with,
)

from tests.cli.runner import Ended, run, spawn
from tests.service import shared
from tests.service.lists import LATER, campaign
from tests.service.world import World, database_url, ivr

sure = pytest_twisted.ensureDeferred
logged_failures = shared.logged_failures
world = shared.world

ENVIRONMENT: dict[str, str] = {}


def configured(world: World, **more: str) -> dict[str, str]:
    return {
        "DB_URL": database_url(world._conninfo),
        "ESL_IP": f"127.0.0.1:{world.switch_port.getHost().port}",
        "VOICE_CONNECTOR": world.vc.url,
        "DIALER_URL": world.url,
    } | more


def found(ended: Ended) -> dict[str, dict[str, Any]]:
    return {each["name"].split(" 127")[0]: each for each in ended.json["checks"]}


@sure
async def test_what_works_is_told(world: World) -> None:
    await world.load(ivr(campaignId=campaign(), startTime=LATER), ivr(campaignId=campaign(), startTime=LATER))
    ended = await spawn("check", environment=configured(world))
    assert_that((ended.code, ended.err), equal_to((0, "")))
    switch = f"EFSwitch 127.0.0.1:{world.switch_port.getHost().port}"
    for line in (
        r"configuration +ok +is complete",
        r"database +ok +PostgreSQL [0-9.]+.*, database test_shared_[0-9]+: 2 contacts wait",
        rf"{switch} +ok +UP .*",
        rf"gateway gw-1 at {switch} +ok +up; 2 contacts wait for it",
        rf"voice connector +ok +{world.vc.url} takes connections",
        rf"dialer +ok +runs at {world.url} and can dial",
    ):
        assert_that(ended.out, matches_regexp(rf"(?m)^{line} *$"))


@sure
async def test_what_does_not_work_is_told_with_what_to_do(world: World) -> None:
    await world.load(ivr(campaignId=campaign(), startTime=LATER, gatewayId="unknown"))
    environment = configured(world, VOICE_CONNECTOR="http://127.0.0.1:1", DIALER_URL="http://127.0.0.1:1")
    ended = await spawn("check", "--json", environment=environment)
    assert_that((ended.code, ended.json["ok"]), equal_to((1, False)))
    told = found(ended)
    assert_that(told["voice connector"], has_entries(state="failed", message=contains_string("refused")))
    assert_that(told["dialer"], has_entries(state="note", message=starts_with("does not run: ")))
    gateway = told["gateway unknown at EFSwitch"]
    assert_that(gateway, has_entries(state="failed", message=starts_with("EFSwitch has no gateway of that name; 1 ")))
    assert_that(gateway["advice"], contains_string("or purge its campaign"))


@sure
async def test_a_wrong_password_and_a_missing_database_are_told_without_a_password(world: World) -> None:
    environment = configured(
        world,
        ESL_PASSWORD="wr0ng",
        DB_URL="postgresql://somebody:s3cret@127.0.0.1:1/dialer",
        DB_CONN_TIMEOUT="500",
    )
    ended = await spawn("check", environment=environment)
    assert_that(ended.code, is_(1))
    assert_that(ended.out, contains_string("set ESL_PASSWORD to the password in event_socket.conf.xml"))
    assert_that(ended.out, matches_regexp(r"(?m)^database +failed .*[Cc]onnection refused"))
    assert_that(ended.out, contains_string("database: see that PostgreSQL runs, and DB_URL"))
    for secret in ("wr0ng", "s3cret"):
        assert_that(ended.out + ended.err, not_(contains_string(secret)))


@sure
async def test_a_variable_that_is_wrong_is_named(world: World) -> None:
    ended = await run(world, "check", "--json", environment=configured(world, CALLS_PER_SECOND="many"))
    assert_that(ended.code, is_(1))
    assert_that(found(ended)["configuration"]["message"], starts_with("CALLS_PER_SECOND='many' is not allowed: "))


@sure
async def test_what_stands_in_for_what_is_not_configured_is_told(world: World, tmp_path: Path) -> None:
    ended = await spawn("check", "--json", environment={"DIALER_URL": world.url}, cwd=tmp_path)
    assert_that(ended.code, is_(0))
    notes = [name for name, each in found(ended).items() if each["state"] == "note"]
    assert_that(notes, equal_to(["configuration", "database", "EFSwitch", "voice connector"]))
    assert_that(ended.json["checks"], has_item(has_entries(name="dialer", state="ok")))


@sure
async def test_gateways_that_are_not_looked_at_are_counted(world: World) -> None:
    many = [ivr(campaignId=campaign(), startTime=LATER, gatewayId=f"gw-{number}") for number in range(10, 62)]
    await world.load(*many, ivr(campaignId=campaign(), startTime=LATER, gatewayId="gw-61"))
    ended = await spawn("check", "--json", environment=configured(world))
    told = found(ended)
    # Those of the other tests wait, too.
    message = matches_regexp(r"\Athe 50 that most contacts wait for are looked at, and [2-9] more are not\Z")
    assert_that(told["gateways"], has_entries(state="note", message=message))
    looked_at = [name for name in told if name.startswith("gateway ")]
    assert_that(looked_at, has_length(50))
    assert_that(looked_at, has_item(starts_with("gateway gw-61 ")))
