"""`dialer load` beside a real dialer: what is added, rejected, mended and loaded again."""

from __future__ import annotations

import csv
import gzip
import json
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import pytest_twisted
from hamcrest import (
    assert_that,
    contains_exactly,
    contains_string,
    equal_to,
    has_entries,
    has_length,
    is_,
    matches_regexp,
    starts_with,
)

from tests.cli.runner import run
from tests.service import shared
from tests.service.lists import LATER, campaign
from tests.service.world import World

sure = pytest_twisted.ensureDeferred
logged_failures = shared.logged_failures
world = shared.world

ENVIRONMENT: dict[str, str] = {}
MIXED = Path(__file__).parents[1] / "data" / "lists" / "mixed-200.jsonl"
COMMON = ("--set", "campaignType=IVR", "--set", "gatewayId=gw-1", "--set", f"startTime={LATER}")


def written(folder: Path, text: str, name: str = "list.csv") -> Path:
    file = folder / name
    file.write_text(text, encoding="utf-8", newline="")
    return file


def files(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


def table(file: Path) -> list[dict[str, str]]:
    with file.open(encoding="utf-8-sig", newline="") as opened:
        return list(csv.DictReader(opened))


async def contacts(world: World, campaign_id: str) -> list[dict[str, Any]]:
    return (await world.get(f"/campaign/{campaign_id}/results")).body


@sure
async def test_a_list_is_loaded_and_again_adds_nothing(world: World, tmp_path: Path) -> None:
    name = campaign()
    lines = [json.loads(line) | {"campaignId": name, "startTime": LATER} for line in MIXED.read_text().splitlines()]
    for line in lines:
        line["id"] = str(uuid4())
    file = written(tmp_path, "\n".join(map(json.dumps, lines)), "mixed.jsonl")
    ended = await run(world, "load", file)
    assert_that(
        (ended.code, ended.out), equal_to((0, f"{file}: 200 rows read, 200 added, 0 there before, 0 rejected\n"))
    )
    ended = await run(world, "load", file, "--json")
    expected = {
        "file": str(file),
        "complete": True,
        "dryRun": False,
        "rows": 200,
        "valid": 200,
        "accepted": 0,
        "duplicates": 200,
        "rejected": 0,
        "rejectedFile": None,
    }
    assert_that((ended.code, ended.json), equal_to((0, expected)))
    assert_that(await contacts(world, name), has_length(200))
    assert_that(files(tmp_path), contains_exactly(file.name))


@sure
async def test_rows_without_an_id_are_given_the_same_at_every_time(world: World, tmp_path: Path) -> None:
    name = campaign()
    file = written(tmp_path, "Phone;Ref\n+441;a\n+441;b\n+442;\n+442;\n")
    options = (
        "--map",
        "phone=customerNumber",
        "--map",
        "Ref=campaignContactId",
        "--set",
        f"campaignId={name}",
        *COMMON,
    )
    first = await run(world, "load", file, *options, "--json")
    assert_that((first.code, first.json), equal_to((0, first.json | {"accepted": 3, "duplicates": 1})))
    again = await run(world, "load", file, *options, "--json")
    assert_that((again.json["accepted"], again.json["duplicates"]), equal_to((0, 4)))
    # A row that was changed is no second call of that customer.
    changed = await run(world, "load", file, *options, "--set", "priority=3", "--json")
    assert_that((changed.code, changed.json["accepted"], changed.json["rejected"]), equal_to((3, 0, 4)))
    told = await contacts(world, name)
    assert_that([contact["customerNumber"] for contact in told], contains_exactly("+441", "+441", "+442"))
    assert_that(told[0]["id"], matches_regexp("^[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-"))


@sure
async def test_rejected_rows_are_written_with_the_reason_and_can_be_mended_and_loaded(
    world: World, tmp_path: Path
) -> None:
    name = campaign()
    head = "id,customerNumber,campaignId,name\n"
    rows = f'{name}_1,+441,{name},=1+1\n{name[:20]}-2,44+1,{name},"Mül\nler"\n{name[:20]}-3,+443,{name},x\na,"b\n'
    file = written(tmp_path, head + rows)
    ended = await run(world, "load", file, *COMMON)
    where = tmp_path / "list.csv.rejected.csv"
    assert_that(ended.code, is_(3))
    assert_that(ended.out, equal_to(f"{file}: 4 rows read, 1 added, 0 there before, 3 rejected (see {where})\n"))
    bad_id, bad_number, broken = table(where)
    assert_that(
        bad_id,
        has_entries(
            id=f"{name}_1",
            name="'=1+1",
            rejectedRow="2",
            rejectedField="id",
            rejectedReason="id must be 1 to 40 letters, digits or -",
        ),
    )
    assert_that(bad_number, has_entries(customerNumber="44+1", name="Mül\nler", rejectedField="customerNumber"))
    assert_that(
        broken, has_entries(id="", rejectedRow="5", rejectedReason="a quote is not closed", rejectedText='a,"b')
    )

    mended = where.read_text(encoding="utf-8").replace(f"{name}_1,", f"{name[:20]}-1,").replace("44+1", "+442")
    ended = await run(world, "load", written(tmp_path, mended, "mended.csv"), *COMMON)
    assert_that(ended.code, is_(3))
    assert_that(ended.out, contains_string(": 3 rows read, 2 added, 0 there before, 1 rejected"))
    again = table(tmp_path / "mended.csv.rejected.csv")
    assert_that(list(again[0]), equal_to(list(broken)))
    assert_that(await contacts(world, name), has_length(3))


@sure
async def test_lines_of_json_that_are_rejected_become_rows_that_can_be_mended(world: World, tmp_path: Path) -> None:
    name = campaign()
    lines = [
        {"id": "a b", "customer_number": "+1", "campaignId": name, "schedulingMetadata": {"a": 1}, "phone": "+1"},
        ["no object"],
    ]
    file = written(tmp_path, "\n".join(map(json.dumps, lines)), "list.jsonl")
    ended = await run(world, "load", file, *COMMON)
    assert_that(ended.code, is_(3))
    bad_id, broken = table(tmp_path / "list.jsonl.rejected.csv")
    assert_that(bad_id, has_entries(id="a b", customerNumber="+1", schedulingMetadata='{"a":1}', rejectedRow="1"))
    assert_that(broken, has_entries(id="", rejectedRow="2", rejectedText='["no object"]'))


@sure
async def test_a_row_that_the_dialer_rejects_is_written_too(world: World, tmp_path: Path) -> None:
    name = campaign()
    head = "id,customerNumber,campaignId\n"
    assert_that((await run(world, "load", written(tmp_path, f"{head}{name},1,{name}\n"), *COMMON)).code, is_(0))
    # Row 3 of the file is line 2 of what is posted.
    file = written(tmp_path, f"{head}b d,1,{name}\n{name[:30]}-2,1,{name}\n{name},2,{name}\n")
    ended = await run(world, "load", file, *COMMON, "--json")
    assert_that((ended.code, ended.json["accepted"], ended.json["rejected"]), equal_to((3, 1, 2)))
    _, clash = table(tmp_path / "list.csv.rejected.csv")
    message = f"contact {name} exists with other content"
    assert_that(clash, has_entries(id=name, customerNumber="2", rejectedRow="4", rejectedReason=message))


@sure
async def test_a_dry_run_rejects_the_same_rows_and_posts_none(world: World, tmp_path: Path) -> None:
    name = campaign()
    file = written(tmp_path, f"id,customerNumber,campaignId\n{name},1,{name}\nb d,1,{name}\n")
    ended = await run("http://127.0.0.1:1", "load", file, *COMMON, "--dry-run")
    assert_that(ended.code, is_(3))
    assert_that(ended.out, starts_with(f"{file}: 2 rows read, 1 would be posted, 1 rejected (see "))
    assert_that(table(tmp_path / "list.csv.rejected.csv"), has_length(1))
    assert_that((await world.get(f"/campaign/{name}")).status, is_(404))


@sure
async def test_the_file_of_rejected_rows_is_that_of_the_last_run(world: World, tmp_path: Path) -> None:
    name = campaign()
    file = written(tmp_path, f"id,customerNumber,campaignId\nb d,1,{name}\n")
    assert_that((await run(world, "load", file, *COMMON, "--dry-run")).code, is_(3))
    written(tmp_path, f"id,customerNumber,campaignId\n{name},1,{name}\n")
    assert_that((await run(world, "load", file, *COMMON, "--dry-run")).code, is_(0))
    assert_that(files(tmp_path), contains_exactly(file.name))


@sure
async def test_a_packed_list_and_one_from_stdin_are_loaded_alike(world: World, tmp_path: Path) -> None:
    name = campaign()
    text = f"id,customerNumber,campaignId\n{name},1,{name}\n".encode()
    file = tmp_path / "list.csv.gz"
    file.write_bytes(gzip.compress(text))
    ended = await run(world, "load", file, *COMMON, "--json")
    assert_that((ended.code, ended.json["accepted"]), equal_to((0, 1)))
    rejected = ("--rejected", tmp_path / "rejected.csv")
    ended = await run(world, "load", "-", *COMMON, "--json", *rejected, input=text)
    assert_that((ended.code, ended.json["file"], ended.json["duplicates"]), equal_to((0, "stdin", 1)))
    line = json.dumps({"id": name, "tel": "1", "campaignId": name}).encode()
    ended = await run(world, "load", "-", *COMMON, "--json", *rejected, "--map", "Tel=customerNumber", input=line)
    assert_that((ended.code, ended.json["duplicates"]), equal_to((0, 1)))


@sure
async def test_a_packed_list_that_is_damaged_or_cut_is_told(world: World, tmp_path: Path) -> None:
    packed = gzip.compress(f"id,customerNumber,campaignId\n{campaign()},1,c\n".encode())
    file = tmp_path / "list.csv.gz"
    for damaged in (packed[:-9], packed[:12] + b"\xff\xff\xff" + packed[15:]):
        file.write_bytes(damaged)
        ended = await run(world, "load", file, *COMMON)
        assert_that(ended.code, is_(1))
        assert_that(ended.err, starts_with(f"dialer: {file} cannot be read: "))


@sure
async def test_a_list_of_several_batches_is_loaded_whole(world: World, tmp_path: Path) -> None:
    name = campaign()
    rows = "".join(f"{number:05},{name}\n" for number in range(2500))
    ended = await run(world, "load", written(tmp_path, "customerNumber,campaignId\n" + rows), *COMMON, "--json")
    assert_that((ended.code, ended.json["rows"], ended.json["accepted"]), equal_to((0, 2500, 2500)))


@pytest.mark.parametrize(
    ("text", "options", "message", "code"),
    [
        ("id,name\n", COMMON, "no column for customerNumber; name it with --map COLUMN=customerNumber, or", 1),
        ("", COMMON, "the list is empty: its first line must name the columns", 1),
        ('[{"id": "a"}]', COMMON, "is one JSON list; give each contact a line of its own", 1),
        ("id\n", ("--map", "phone=number"), "'phone=number' is no COLUMN=FIELD; the fields are id, customerNumber", 2),
        ("id\n", ("--map", "phone=customerNumber"), "there is no column 'phone'", 1),
        ("id\n", ("--map", "a=id", "--map", "b=id"), "id is given twice", 2),
        ("id\n", ("--set", "priority=11"), "priority must be an integer from 1 to 10", 2),
        ("id\n", ("--set", "campaign type=FAX"), "campaignType must be IVR or AGENT", 2),
        ("id\n", ("--url", "dialer:8080"), "must be a base URL, such as http://127.0.0.1:8080", 2),
    ],
)
@sure
async def test_what_cannot_be_loaded_is_refused_with_the_reason(
    world: World, tmp_path: Path, text: str, options: tuple[str, ...], message: str, code: int
) -> None:
    ended = await run(world, "load", written(tmp_path, text), *options)
    assert_that(ended.code, is_(code))
    assert_that(" ".join(ended.err.split()), contains_string(message))


@sure
async def test_a_file_that_is_not_there_and_a_dialer_that_is_not_are_told_apart(world: World, tmp_path: Path) -> None:
    ended = await run(world, "load", tmp_path / "none.csv", *COMMON)
    assert_that(
        (ended.code, ended.err),
        equal_to((1, f"dialer: {tmp_path}/none.csv cannot be read: No such file or directory\n")),
    )
    name = campaign()
    file = written(tmp_path, f"id,customerNumber,campaignId\n{name},1,{name}\n")
    ended = await run("http://127.0.0.1:1", "load", file, *COMMON, "--retry-for", "0")
    assert_that(ended.code, is_(4))
    assert_that(ended.out, contains_string("1 rows read, 0 added, 0 there before, 0 rejected"))
    assert_that(ended.err, contains_string("the dialer at http://127.0.0.1:1 cannot be reached: "))
    assert_that(ended.err, contains_string("Run the same command again: nothing is added twice."))
    ended = await run("http://127.0.0.1:1", "load", file, *COMMON, "--retry-for", "0", "--json")
    assert_that((ended.json["complete"], ended.json["error"]["code"]), equal_to((False, "unreachable")))
