"""What whoever tries the dialer out gets: nothing configured, and everything provided."""

from __future__ import annotations

import re
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest_twisted
from hamcrest import (
    all_of,
    assert_that,
    contains_string,
    empty,
    equal_to,
    greater_than_or_equal_to,
    has_entries,
    is_,
    matches_regexp,
    not_,
)

from dialer.sandbox.samples import sample_contacts
from tests.process.street import Street
from tests.sandbox.servers import call
from tests.service.world import QUICK, agent, database_url, ivr

sure = pytest_twisted.ensureDeferred

BRISK = {
    "HTTP_PORT": "0",
    "CALLS_PER_SECOND": "100",
    "MAX_CONCURRENT_CALLS": "150",
    "CONTACT_RETRIEVAL_DELAY": "1",
    "LEASE_TIME": "5",
}
"""None of these configures anything real."""

VC = re.compile(r"PROVIDED: voice connector SANDBOX on (http://[^\s,]+)")


@sure
async def test_the_samples_are_dialed_and_their_results_are_kept_for_the_next_start(
    street: Street, tmp_path: Path, reactor: Any
) -> None:
    contacts = len(sample_contacts(datetime.now(UTC), lambda: ""))
    data = tmp_path / "var" / "sandbox"
    process = street.spawn(BRISK, log=data / "dialer.log")
    await street.listens(process)
    vc = (await street.until(lambda: VC.search(process.log), "the provided VC"))[1]
    for provided in ("embedded PostgreSQL", "EFSwitch SIMULATOR", "voice connector SANDBOX"):
        assert_that(process.err, contains_string(f"PROVIDED: {provided}"))
    # More than the ten that there are, so that nobody waits long.
    assert_that((await call(reactor, "POST", f"{vc}/sandbox/settings", {"agents": 200}))[0], is_(200))

    await street.until(lambda: "keeps serving" in process.out, "the summary")
    assert_that(
        process.out,
        all_of(
            contains_string(f"{contacts} sample contacts loaded into 4 campaigns"),
            matches_regexp(r"(?m)^warranty-callback: \d+ waiting, \d+ active, \d+ ended, \d+ failed$"),
            contains_string(f"All contacts are done: {contacts} in all"),
            matches_regexp(r"(?m)^contract-renewal: NORMAL_CLEARING \d+, "),
        ),
    )
    assert_that(await statuses(street), equal_to({"ended": contacts}))

    async def summary() -> Any:
        return (await call(reactor, "GET", f"{vc}/sandbox/summary"))[1]

    async def all_told() -> bool:
        return len((await summary())["notifications"]["byContact"]) == contacts

    await street.until(all_told, "a notification for each contact")
    assert_that(await summary(), has_entries(violations=0))
    assert_that((await summary())["notifications"], has_entries(unique=contacts, moreThanOnce=is_(empty())))

    postgres = postmaster(data)
    assert_that(runs(postgres))
    await street.terminate(process)
    assert_that(runs(postgres), is_(False), "PostgreSQL still runs")

    process = street.spawn(BRISK, log=data / "dialer.log")
    await street.listens(process)
    await street.until(lambda: "sample contacts loaded" in process.out, "samples once more")
    counts = await statuses(street)
    assert_that(sum(counts.values()), is_(2 * contacts))
    assert_that(counts["ended"], greater_than_or_equal_to(contacts))
    # In mid-campaign.
    postgres = postmaster(data)
    await street.terminate(process)
    assert_that(runs(postgres), is_(False), "PostgreSQL still runs")


def postmaster(folder: Path) -> int:
    """The process of the PostgreSQL that runs on a folder."""
    return int((folder / "data" / "postmaster.pid").read_text().split()[0])


def runs(process: int) -> bool:
    """Whether there is such a process. One that has ended, but that nobody has buried yet, has no command line."""
    try:
        return bool(Path(f"/proc/{process}/cmdline").read_bytes())
    except OSError:
        return False


async def statuses(street: Street) -> Counter[str]:
    """How many contacts are in each state."""
    counted: Counter[str] = Counter()
    for campaign in (await street.get("/campaigns")).body["campaigns"]:
        counted.update(campaign["byStatus"])
    return +counted


@sure
async def test_simulators_named_beside_a_real_database_get_no_samples(street: Street, conninfo: str) -> None:
    process = street.spawn(QUICK | {"SANDBOX": "efswitch,vc", "DB_URL": database_url(conninfo)})
    await street.listens(process)
    await street.until_ready()
    assert_that((await street.get("/campaigns")).body, equal_to({"campaigns": []}))
    assert_that(
        process.out,
        all_of(
            contains_string("PROVIDED: EFSwitch SIMULATOR"),
            contains_string("PROVIDED: voice connector SANDBOX"),
            not_(contains_string("PROVIDED: embedded PostgreSQL")),
        ),
    )
    contacts = [ivr(), agent()]
    await street.load(*contacts)
    for contact in contacts:
        await street.until_status(contact, "ended")
    await street.terminate(process)
    assert_that(list(process.cwd.glob("var")), is_(empty()))
    assert_that(street.query("SELECT DISTINCT status FROM contacts"), equal_to([{"status": "ended"}]))
