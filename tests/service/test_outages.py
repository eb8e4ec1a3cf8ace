"""A database that fails while the dialer works: requests are answered in time, no result is lost or told twice."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import psycopg2
import pytest
import pytest_twisted
from hamcrest import (
    assert_that,
    contains_exactly,
    contains_string,
    empty,
    ends_with,
    equal_to,
    has_entries,
    has_length,
    is_,
    less_than,
    matches_regexp,
    none,
    not_,
    not_none,
    starts_with,
)
from twisted.internet.defer import Deferred, gatherResults

from dialer import parts, reconcile, settlement
from dialer.sandbox.efswitch import Rule, Rules
from tests.service import shared
from tests.service.shared import SLACK, TIMEOUT, Outage, administer, listening, stopwatch
from tests.service.world import Reply, World, agent, ivr

sure = pytest_twisted.ensureDeferred
server = shared.server
outage = shared.outage
fragile = shared.fragile


def soon(seconds: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()


@contextmanager
def session(outage: Outage, statement: str) -> Iterator[Any]:
    """Somebody else's transaction that has run a statement and idles."""
    with closing(psycopg2.connect(outage.conninfo)) as connection:
        connection.cursor().execute(statement)
        yield connection


async def is_dialed_to_its_end(world: World, contact: dict[str, Any]) -> None:
    """The contact is called once, and the VC hears once how it ended."""
    assert_that(await world.until_told(contact), has_entries(callResult="NORMAL_CLEARING"))
    assert_that((world.attempts(contact), world.notifications(contact)), contains_exactly(has_length(1), has_length(1)))


# -- every route -------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def failing(outage: Outage, how: str) -> AsyncIterator[None]:
    """The block runs with a database that fails in this way."""
    if how == "locked":
        with session(outage, "LOCK TABLE contacts, tally IN ACCESS EXCLUSIVE MODE"):
            yield
    else:
        async with outage.under_way(silent=how == "frozen"):
            yield


def requests(waiting: dict[str, Any], new: list[dict[str, Any]]) -> list[tuple[str, str, Any]]:
    """One for each route that needs the contacts: method, path and body."""
    campaign = "/campaign/campaign-1"
    return [
        ("POST", "/contact", new[0]),
        ("POST", "/contacts", new[1:]),
        ("GET", f"/contact/{waiting['id']}", None),
        ("GET", f"/contact/{waiting['id']}/history", None),
        ("POST", "/agent", {"uuid": waiting["id"], "agent": "1005", "queue": "Sales"}),
        ("POST", "/agent", {"uuid": new[0]["id"], "agent": ""}),
        ("GET", "/campaigns", None),
        ("GET", campaign, None),
        *(("POST", f"{campaign}/{control}", None) for control in ("start", "stop", "purge")),
        ("GET", "/status", None),
    ]


async def answers(world: World, *asked: tuple[str, str, Any]) -> list[Reply]:
    """The answers to requests that are made at once."""

    def one(method: str, path: str, body: Any) -> Deferred[Reply]:
        return Deferred.fromCoroutine(world.get(path) if method == "GET" else world.post(path, body))

    return await gatherResults([one(*each) for each in asked], consumeErrors=True)


@sure
async def test_a_scrape_is_answered_in_time_whatever_the_database_does(fragile: World, outage: Outage) -> None:
    assert_that((await fragile.get("/metrics")).body, contains_string("\ndialer_database_up 1.0\n"))
    for how in ("locked", "frozen", "stopped"):
        async with failing(outage, how):
            with listening() as heard, stopwatch() as took:
                reply = await fragile.get("/metrics")
                assert_that(took == [] and reply.status, is_(200))
                if how == "stopped":
                    await fragile.until(lambda heard=heard: heard.lines("DATABASE CONNECTION ERROR"))
            assert_that(reply.body, contains_string("\ndialer_database_up 0.0\n"), how)
            # What is known without the database is there, and nothing else is made up.
            assert_that(reply.body, contains_string("\ndialer_slots 20.0\n"))
            assert_that(reply.body, contains_string("\ndialer_voice_connector_up 1.0\n"))
            assert_that(reply.body, not_(matches_regexp(r"\ndialer_(contacts|slots_used|notifications)[ {]")))
        await fragile.until_ready()

        async def knows() -> bool:
            return "\ndialer_database_up 1.0\n" in (await fragile.get("/metrics")).body

        await fragile.until(knows, "the database to answer a scrape")


@pytest.mark.parametrize("how", ["stopped", "frozen", "locked"])
@sure
async def test_every_request_is_answered_503_in_time_and_works_again_afterwards(
    fragile: World, outage: Outage, how: str
) -> None:
    fragile.vc.behave("reply", "silent")
    waiting = agent(campaignId="campaign-2")
    await fragile.load(waiting, ivr(startTime=soon(600)))
    await fragile.until_status(waiting, "agent_pending")
    # More than there are connections.
    new = [ivr(campaignId="campaign-3", startTime=soon(600)) for _ in range(4)]
    asked = requests(waiting, new)
    if how != "locked":
        asked += [("GET", "/notifications", None), ("POST", "/notifications/1/retry", None)]
    async with failing(outage, how):
        with stopwatch() as took:
            replies = await answers(fragile, *asked)
        assert_that(took[0], is_(less_than(TIMEOUT + SLACK)))
        told = [
            (path, reply.status, reply.body["error"]["code"])
            for (_, path, _), reply in zip(asked, replies, strict=True)
        ]
        assert_that(told, equal_to([(path, 503, "database_down") for _, path, _ in asked]))
        assert_that({reply.headers.hasHeader("Retry-After") for reply in replies}, is_({True}))
        assert_that((await fragile.get("/healthz")).status, is_(200))
    await fragile.until_ready()

    async def works() -> bool:
        return {reply.status for reply in await answers(fragile, asked[0], asked[1], ("GET", "/status", None))} == {200}

    await fragile.until(works, "the dialer to work again")
    assert_that((await fragile.get("/campaign/campaign-3")).body["total"], is_(4))
    assert_that(fragile.attempts(waiting), is_(empty()))
    reply = await fragile.post("/agent", {"uuid": waiting["id"], "agent": "1005", "queue": "Sales"})
    assert_that((reply.status, reply.body["status"]), is_((200, "dialed")))
    await is_dialed_to_its_end(fragile, waiting)


@pytest.mark.parametrize("how", ["stopped", "frozen", "locked"])
@sure
async def test_why_nothing_is_dialing_is_answered_in_time_and_says_that_it_is_the_database(
    fragile: World, outage: Outage, how: str
) -> None:
    contact = ivr(startTime=soon(600))
    await fragile.load(contact)
    paths = ("/explain", "/campaign/campaign-1/explain", "/campaign/nobody-knows-now/explain")

    async def blames_the_database() -> bool:
        with stopwatch() as took:
            replies = await answers(fragile, *(("GET", path, None) for path in paths))
        assert_that(took[0], is_(less_than(TIMEOUT + SLACK)))
        assert_that([reply.status for reply in replies], equal_to([200, 200, 200]))
        return {(reply.body["dialing"], reply.body["reasons"][0]["code"]) for reply in replies} == {
            (False, "database_down")
        }

    async with failing(outage, how):
        await fragile.until(blames_the_database, "the database to be blamed")
        (reason, *_) = (await fragile.get("/explain")).body["reasons"]
        if how == "locked":
            assert_that(reason, has_entries(message=starts_with("The database gave up: "), since=none()))
        else:
            message = r"\AThe database is down since \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC: [^\n]+\.\Z"
            assert_that(reason, has_entries(message=matches_regexp(message), since=not_none()))

    async def blames_the_time() -> bool:
        reasons = (await fragile.get("/explain")).body["reasons"]
        return [reason["code"] for reason in reasons] == ["outside_times"]

    await fragile.until(blames_the_time, "the database to be forgiven")


@sure
async def test_a_dialer_that_is_started_before_its_database_explains_that_it_waits_for_it(outage: Outage) -> None:
    world = World(outage.conninfo)
    await world.open()
    await outage.begin()
    starting = Deferred.fromCoroutine(world.start())
    try:
        await world.until(lambda: world.dialer.port is not None, "HTTP to be served")

        async def waits() -> Any:
            reasons = (await world.get("/explain")).body["reasons"]
            return reasons if [reason["code"] for reason in reasons] == ["database_down", "starting"] else None

        down, waiting = await world.until(waits, "the database to be blamed")
        assert_that(down, has_entries(message=starts_with("The database is down since "), since=not_none()))
        assert_that(waiting["message"], is_("The dialer is starting: waiting for the database."))
        await outage.end()
        await starting
        await world.until_ready()
        assert_that((await world.get("/explain")).body["reasons"], contains_exactly(has_entries(code="queue_empty")))
    finally:
        await world.close()


# -- results -----------------------------------------------------------------------------------------------------------

KEPT = "Results of calls are kept in memory"
TAKEN_AGAIN = "The database takes results of calls again"


async def several_calls(world: World, count: int) -> list[dict[str, Any]]:
    """Contacts whose calls are up until all are hung up; later ones are short."""
    short, world.switch.rules = world.switch.rules, Rules([Rule(ring=0.01, talk=600)])
    contacts = [ivr(customerNumber=f"+4477009000{number:02}") for number in range(count)]
    await world.load(*contacts)

    def answered() -> bool:
        return all(any(attempt.answered_at for attempt in world.attempts(contact)) for contact in contacts)

    await world.until(answered, "the customers to answer")
    for contact in contacts:
        await world.until_status(contact, "dialed")
    world.switch.rules = short
    return contacts


def all_hang_up(world: World) -> None:
    """Every call ends now."""
    world.switch.calls.kill_all("NORMAL_CLEARING")


def results_waiting(world: World, count: int) -> Any:
    """A condition: so many results are kept, as the status tells."""

    async def shown() -> dict[str, Any] | None:
        body: dict[str, Any] = (await world.get("/status")).body
        return body if body["resultsWaiting"] == count else None

    return shown


@pytest.mark.parametrize("silent", [False, True], ids=["stopped", "frozen"])
@sure
async def test_results_of_calls_that_end_in_an_outage_are_kept_and_shown_and_each_is_told_once_when_it_is_over(
    fragile: World, outage: Outage, silent: bool
) -> None:
    contacts = await several_calls(fragile, 4)
    with listening() as heard:
        async with outage.under_way(silent=silent):
            # A statement that a frozen server has may be made when it goes on, and claim a message unheard.
            await fragile.until_ready(False)
            all_hang_up(fragile)
            body = await fragile.until(results_waiting(fragile, 4), "the results to be kept")
            assert_that(body, has_entries(database="down", activeCalls=none(), notifications=none(), resultsDropped=0))
            await fragile.until(lambda: heard.lines(KEPT))
        for contact in contacts:
            await is_dialed_to_its_end(fragile, contact)
        assert_that(heard.lines(KEPT), has_length(1))
        assert_that(heard.lines(TAKEN_AGAIN), contains_exactly(f"{TAKEN_AGAIN}, up to 4 were kept"))
    body = (await fragile.get("/status")).body
    nothing = {"waiting": 0, "parked": 0, "waitingSince": None, "endChatsParked": 0}
    assert_that(body, has_entries(database="up", resultsWaiting=0, resultsDropped=0))
    await fragile.until(lambda: none_waits(fragile, nothing), "the notifications to be confirmed")


async def none_waits(world: World, nothing: dict[str, Any]) -> bool:
    return bool((await world.get("/status")).body["notifications"] == nothing)


@sure
async def test_results_beyond_the_bound_are_dropped_oldest_first_and_their_contacts_end_as_unknown(
    outage: Outage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "Settlement", partial(settlement.Settlement, kept=2))
    world = World(outage.conninfo, DB_CONN_TIMEOUT=str(TIMEOUT * 1000))
    await world.open()
    try:
        await world.start()
        await world.until_ready()
        contacts = await several_calls(world, 3)
        with listening() as heard:
            await outage.begin()
            all_hang_up(world)
            body = await world.until(results_waiting(world, 2), "two results to be kept")
            while not body["resultsDropped"]:
                body = (await world.get("/status")).body
            dropped = heard.lines("was not stored")
            monkeypatch.setattr(reconcile, "APART", 0.1)
            monkeypatch.setattr(reconcile, "YOUNGEST", 0.1)
            await outage.end()
        assert_that((body["resultsDropped"], dropped), contains_exactly(1, has_length(1)))
        results = [(await world.until_told(contact))["callResult"] for contact in contacts]
        assert_that(sorted(results), is_(["NORMAL_CLEARING", "NORMAL_CLEARING", "UNKNOWN"]))
        assert_that(dropped[0].split()[3], is_(contacts[results.index("UNKNOWN")]["id"]))
        assert_that([len(world.attempts(contact)) for contact in contacts], is_([1, 1, 1]))
    finally:
        await world.close()


@sure
async def test_notifications_that_the_vc_does_not_take_are_shown_in_the_status(fragile: World) -> None:
    fragile.vc.behave("notification", "refuse")
    contact = ivr()
    await fragile.load(contact)
    await fragile.until_status(contact, "ended")
    before = datetime.now(UTC)
    waiting = (await fragile.get("/status")).body["notifications"]
    assert_that(waiting, has_entries(waiting=1, parked=0))
    assert_that(waiting["waitingSince"], ends_with("Z"))
    assert_that(datetime.fromisoformat(waiting["waitingSince"]) <= before)


# -- somebody else's transactions --------------------------------------------------------------------------------------


def locking(contact: dict[str, Any]) -> str:
    """Locks a contact's row."""
    return f"SELECT FROM contacts WHERE id = '{contact['id']}' FOR UPDATE"


@sure
async def test_a_contact_that_an_idle_transaction_has_locked_holds_up_its_own_result_only(
    fragile: World, outage: Outage
) -> None:
    locked, *others = await several_calls(fragile, 4)
    with listening() as heard, session(outage, locking(locked)) as somebody:
        all_hang_up(fragile)
        for contact in others:
            await is_dialed_to_its_end(fragile, contact)
        assert_that(await fragile.until(results_waiting(fragile, 1)), has_entries(database="up"))
        # Dialing goes on, for longer than a transaction of our own might idle.
        later = ivr(customerNumber="+447700900789", startTime=soon(3 * TIMEOUT))
        await fragile.load(later)
        await is_dialed_to_its_end(fragile, later)
        assert_that(await fragile.contact(locked), has_entries(status="dialed"))
        assert_that(
            heard.lines(KEPT),
            contains_exactly(
                f"{KEPT}, the database does not take them: contact {locked['id']} of campaign campaign-1: "
                "another session has locked it"
            ),
        )
        assert_that(heard.lines("DATABASE CONNECTION ERROR"), is_(empty()))
        cursor = somebody.cursor()
        cursor.execute("SHOW idle_in_transaction_session_timeout")
        assert_that(cursor.fetchone(), is_(("0",)))
        somebody.rollback()
        await is_dialed_to_its_end(fragile, locked)
        await fragile.until(lambda: heard.lines(TAKEN_AGAIN))


@sure
async def test_a_contact_at_the_head_of_its_campaign_that_somebody_has_locked_is_passed_over(
    fragile: World, outage: Outage
) -> None:
    # Nobody is called before the first one is locked, however long that takes.
    fragile.switch.set_gateway("gw-1", "DOWN")
    contacts = [ivr(customerNumber=f"+44770090010{number}") for number in range(4)]
    await fragile.load(*contacts)
    with session(outage, locking(contacts[0])) as somebody:
        fragile.switch.set_gateway("gw-1", "UP")
        for contact in contacts[1:]:
            await is_dialed_to_its_end(fragile, contact)
        assert_that(await fragile.contact(contacts[0]), has_entries(status="pending"))
        somebody.rollback()
        await is_dialed_to_its_end(fragile, contacts[0])


@sure
async def test_while_somebody_has_locked_all_contacts_calls_go_on_and_their_results_are_written_when_he_is_done(
    fragile: World, outage: Outage
) -> None:
    contacts = await several_calls(fragile, 3)
    with listening() as heard, session(outage, "LOCK TABLE contacts IN ACCESS EXCLUSIVE MODE") as somebody:
        all_hang_up(fragile)
        await fragile.until(results_waiting(fragile, 3), "the results to be kept")
        await fragile.until(lambda: heard.lines("DATABASE CANCELLED A STATEMENT (55P03)"))
        await fragile.until(lambda: heard.lines(KEPT))
        somebody.rollback()
        for contact in contacts:
            await is_dialed_to_its_end(fragile, contact)
        assert_that(heard.lines("DATABASE CANCELLED A STATEMENT (55P03)"), has_length(1))


# -- statements that hang ----------------------------------------------------------------------------------------------


@sure
async def test_a_result_whose_statement_hangs_holds_up_the_others_for_one_try_and_is_written_when_it_can_be(
    fragile: World, outage: Outage
) -> None:
    slow, *others = await several_calls(fragile, 4)
    administer(
        outage.conninfo,
        f"""
        CREATE FUNCTION hang() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(60); RETURN NEW; END $$;
        CREATE TRIGGER hang BEFORE UPDATE ON contacts
            FOR EACH ROW WHEN (NEW.id = '{slow["id"]}') EXECUTE FUNCTION hang()
        """,
    )
    with listening() as heard:
        all_hang_up(fragile)
        for contact in others:
            await is_dialed_to_its_end(fragile, contact)
        await fragile.until(results_waiting(fragile, 1))
        await fragile.until(lambda: heard.lines(KEPT))
        assert_that(heard.lines("DATABASE CANCELLED A STATEMENT (57014)"), has_length(1))
        assert_that(heard.lines("DATABASE CONNECTION ERROR"), is_(empty()))
        administer(outage.conninfo, "DROP TRIGGER hang ON contacts")
        await is_dialed_to_its_end(fragile, slow)


OURS = """
    SELECT pid FROM pg_stat_activity WHERE application_name = 'dialer dialer-1'
    AND pid NOT IN (SELECT pid FROM pg_locks WHERE locktype = 'advisory')
"""
"""The sessions of the dialer, but for the one that guards its name."""


@sure
async def test_sessions_that_hang_are_given_up_and_others_are_opened(fragile: World, outage: Outage) -> None:
    with session(outage, OURS) as somebody, listening() as heard:
        cursor = somebody.cursor()
        cursor.execute(OURS)
        frozen = [pid for (pid,) in cursor.fetchall()]
        for pid in frozen:
            os.kill(pid, signal.SIGSTOP)
        try:
            contact = ivr()

            async def posted() -> bool:
                return (await fragile.post("/contact", contact)).status == 200

            await fragile.until(posted, "another session")
            await is_dialed_to_its_end(fragile, contact)
            await fragile.until(lambda: heard.lines("no answer in"))
        finally:
            for pid in frozen:
                os.kill(pid, signal.SIGCONT)
