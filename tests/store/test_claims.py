"""What becomes of a claim whose outcome is not known: no call without its write-ahead, and no slot that leaks."""

from __future__ import annotations

import os
import signal
from collections.abc import Awaitable, Callable, Mapping, Sequence
from random import Random
from typing import Any

import pytest
import pytest_twisted
from attrs import evolve
from hamcrest import (
    assert_that,
    contains_exactly,
    empty,
    equal_to,
    has_entries,
    has_length,
    has_properties,
    is_,
    is_not,
    none,
)
from twisted.internet.defer import CancelledError, Deferred, gatherResults

from dialer.contact import Contact, Status
from dialer.store import claims as module
from dialer.store.contacts import ContactStore
from dialer.store.database import CommitUnknown, Database, DatabaseDown, Unanswered
from dialer.store.queries import sql
from tests.hygiene import LoggedFailures
from tests.stand_in import stands_in_for
from tests.store.tables import SWITCH, Tables, at_once, conninfo, one_database, tables

__all__ = ["conninfo", "one_database", "tables"]

sure = pytest_twisted.ensureDeferred


MINE = "SELECT pid FROM pg_stat_activity WHERE application_name = 'impatient'"


@stands_in_for(Database, but=frozenset({"let_it_be_committed"}))
class Unsteady:
    """A database that does not answer the next claim, committed or not, and is then down for `outages` questions.

    What was not committed may be so later, when the test says so, as by a server that was frozen.
    """

    def __init__(
        self, database: Database, *, committed: bool, outages: int = 0, error: type[CommitUnknown] = CommitUnknown
    ) -> None:
        self._database = database
        self._committed = committed
        self._outages = outages
        self._error = error
        self._claim: tuple[str, Mapping[str, Any] | None] | None = None
        self.meanwhile: Callable[[], Awaitable[object]] | None = None
        self.running = True

    async def run(self, query: str, params: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        if query in (sql("take"), sql("dial_agent")) and self._claim is None:
            self._claim = (query, params)
            if self._committed:
                await self._database.run(query, params)
            raise self._error("no answer")
        if self._claim is not None and self._outages:
            self._outages -= 1
            raise DatabaseDown("still down")
        return await self._database.run(query, params)

    async def let_it_be_committed(self) -> list[dict[str, Any]]:
        assert self._claim is not None
        return await self._database.run(*self._claim)

    async def pause(self) -> None:
        await self._database.pause()
        if self.meanwhile is not None:
            await self.meanwhile()


async def decided(tables: Tables, store: ContactStore) -> None:
    """Nothing is undecided any more."""
    for _ in range(100):
        if not store._claims._undecided:
            return
        await tables.database.pause()
    raise AssertionError("a claim stays undecided")


async def all_served(tables: Tables) -> None:
    """No statement of the impatient is under way."""
    for _ in range(100):
        if not await tables.run(f"{MINE} AND state = 'active'"):
            return
        await tables.database.pause()
    raise AssertionError("a statement goes on and on")


async def has_begun(tables: Tables) -> None:
    """A statement of the impatient holds its row."""
    while not await tables.run(f"{MINE} AND wait_event = 'PgSleep'"):
        pass


async def take(store: ContactStore, contact: Contact) -> Contact | None:
    return await store.take_for_call(contact, SWITCH)


async def request(store: ContactStore, contact: Contact) -> Contact | None:
    return await store.take_for_agent(contact)


Take = Callable[[ContactStore, Contact], Awaitable[Contact | None]]
both = pytest.mark.parametrize("claim", [take, request])


# The connection is lost, and the database can be asked again at once.


@sure
async def test_a_taking_that_turns_out_to_be_committed_is_gone_on_with(tables: Tables) -> None:
    store = await tables.dialer(database=Unsteady(tables.database, committed=True))
    contact = await tables.put()
    taken = await store.take_for_call(contact, SWITCH)
    assert taken is not None
    assert_that(taken, has_properties(status=Status.DIALED, taking=1, owner="me", switch=SWITCH))
    assert_that(store.never_sent(taken), is_(False))
    assert_that(await store.take_for_call(contact, SWITCH), none())


@both
@sure
async def test_a_taking_that_turns_out_not_to_be_committed_cannot_be_committed_later(
    tables: Tables, claim: Take
) -> None:
    unsteady = Unsteady(tables.database, committed=False)
    store = await tables.dialer(database=unsteady)
    contact = await tables.put()
    assert_that(await claim(store, contact), none())
    assert_that(await unsteady.let_it_be_committed(), is_(empty()))
    waiting = await tables.get()
    assert_that(waiting, equal_to(evolve(contact, taking=1)))
    assert_that(await claim(store, waiting), has_properties(taking=2, owner="me"))


@sure
async def test_an_agents_call_that_turns_out_not_to_be_committed_cannot_be_later_and_its_reply_can_be_acted_on_again(
    tables: Tables,
) -> None:
    unsteady = Unsteady(tables.database, committed=False)
    store = await tables.dialer(database=unsteady)
    contact = await tables.active(status=Status.AGENT_PENDING)
    assert_that(await store.dial_agent(contact, "1005", SWITCH), none())
    assert_that(await unsteady.let_it_be_committed(), is_(empty()))
    waiting = await tables.get()
    assert_that(waiting, has_properties(status=Status.AGENT_PENDING, agent=None))
    assert_that(await store.dial_agent(waiting, "1005", SWITCH), has_properties(status=Status.DIALED, agent="1005"))


@sure
async def test_a_taking_of_another_dialer_is_not_taken_for_ours(tables: Tables) -> None:
    store = await tables.dialer(database=Unsteady(tables.database, committed=False))
    other = await tables.dialer("other")
    contact = await tables.put()
    theirs = await take(other, contact)
    assert_that(await take(store, contact), none())
    assert_that(await tables.get(), equal_to(theirs))


@pytest.mark.parametrize(("error", "outages"), [(CommitUnknown, 2), (Unanswered, 1)])
@sure
async def test_a_taking_of_another_dialer_is_not_taken_for_ours_when_we_have_taken_it_over(
    tables: Tables, error: type[CommitUnknown], outages: int
) -> None:
    unsteady = Unsteady(tables.database, committed=False, outages=outages, error=error)
    store = await tables.dialer(database=unsteady)
    contact = await tables.put()
    other = await tables.dialer("other")

    async def other_sends_and_dies() -> None:
        unsteady.meanwhile = None
        await take(other, contact)
        await tables.end_lease("other")
        assert_that(await store.take_over(), has_length(1))

    unsteady.meanwhile = other_sends_and_dies
    assert_that(await take(store, contact), none())
    await decided(tables, store)
    stored = await tables.get()
    assert_that(stored, has_properties(status=Status.DIALED, taking=1, owner="me"))
    assert_that(store.never_sent(stored), is_(False))


# The database does not answer, or is down: who asked is told, nothing is sent, and it is undone.


@pytest.mark.parametrize(("error", "outages"), [(CommitUnknown, 3), (Unanswered, 0), (Unanswered, 3)])
@both
@sure
async def test_a_taking_that_nobody_knew_of_in_time_goes_back_to_its_queue(
    tables: Tables, claim: Take, error: type[CommitUnknown], outages: int
) -> None:
    unsteady = Unsteady(tables.database, committed=True, outages=outages, error=error)
    store = await tables.dialer(database=unsteady)
    assert_that(await claim(store, await tables.put()), none())
    await decided(tables, store)
    assert_that(await tables.row(), has_entries(status="pending", taking=1, owner=None, dial_time=None))
    assert_that(await tables.outbox(), is_(empty()))


@sure
async def test_an_agents_call_that_nobody_knew_of_in_time_goes_back_and_frees_the_agent(tables: Tables) -> None:
    store = await tables.dialer(database=Unsteady(tables.database, committed=True, error=Unanswered))
    contact = await tables.active(status=Status.AGENT_PENDING)
    with pytest.raises(CommitUnknown):
        await store.dial_agent(contact, "1005", SWITCH)
    await decided(tables, store)
    assert_that(await tables.row(), has_entries(status="pending", owner=None, agent="1005"))
    assert_that(await tables.outbox(), contains_exactly(("c1", "end_chat", None)))


@both
@sure
async def test_a_taking_that_is_not_answered_is_not_made_later_either(tables: Tables, claim: Take) -> None:
    unsteady = Unsteady(tables.database, committed=False, outages=2, error=Unanswered)
    store = await tables.dialer(database=unsteady)
    contact = await tables.put()
    assert_that(await claim(store, contact), none())
    await decided(tables, store)
    assert_that(await unsteady.let_it_be_committed(), is_(empty()))
    assert_that(await tables.get(), equal_to(evolve(contact, taking=1)))


@sure
async def test_a_contact_whose_taking_is_not_decided_is_not_taken_again_and_is_known_for_never_sent(
    tables: Tables,
) -> None:
    unsteady = Unsteady(tables.database, committed=False, outages=2, error=Unanswered)
    store = await tables.dialer(database=unsteady)
    contact = await tables.put()
    assert_that(await take(store, contact), none())
    late = evolve(contact, status=Status.DIALED, taking=1)
    assert_that((store.never_sent(late), store.never_sent(evolve(late, taking=2))), equal_to((True, False)))
    assert_that(await take(store, contact), none())
    await decided(tables, store)
    assert_that(store.never_sent(late), is_(False))
    assert_that(await take(store, await tables.get()), has_properties(taking=2))


# Several takings in one statement: what became of it is found out for each of them.


async def take_all(store: ContactStore, contacts: Sequence[Contact]) -> list[Contact | None]:
    return await gatherResults([Deferred.fromCoroutine(take(store, contact)) for contact in contacts])


@pytest.mark.parametrize("committed", [True, False])
@sure
async def test_takings_that_shared_a_statement_are_each_gone_on_with_or_not_as_they_turn_out(
    tables: Tables, committed: bool
) -> None:
    unsteady = Unsteady(tables.database, committed=committed)
    store = await tables.dialer(database=unsteady)
    contacts = [await tables.put(f"c{n}") for n in range(4)]
    # These two cannot be taken: one was taken by another dialer, one was stopped.
    theirs = await take(await tables.dialer("other"), contacts[1])
    await tables.run("UPDATE contacts SET status = 'stopped' WHERE id = 'c2'")
    taken = await take_all(store, contacts)
    expected = ["c0", None, None, "c3"] if committed else [None] * 4
    assert_that([contact and contact.id for contact in taken], equal_to(expected))
    assert_that((await tables.get("c1"), (await tables.get("c2")).status), equal_to((theirs, Status.STOPPED)))
    assert_that(await store.count_active(), equal_to((2, 3) if committed else (0, 1)))
    if not committed:
        assert_that(await unsteady.let_it_be_committed(), is_(empty()))


@sure
async def test_takings_of_a_statement_that_nobody_knew_of_in_time_all_go_back_to_their_queue(tables: Tables) -> None:
    unsteady = Unsteady(tables.database, committed=True, outages=3, error=Unanswered)
    store = await tables.dialer(database=unsteady)
    contacts = [await tables.put(f"c{n}") for n in range(4)]
    assert_that(await take_all(store, contacts), equal_to([None] * 4))
    assert_that([store.never_sent(evolve(c, status=Status.DIALED, taking=1)) for c in contacts], equal_to([True] * 4))
    await decided(tables, store)
    rows = await tables.run("SELECT DISTINCT status, taking, owner FROM contacts")
    assert_that(rows, equal_to([{"status": "pending", "taking": 1, "owner": None}]))
    await tables.run("UPDATE contacts SET hold_until = NULL")
    taken = await take_all(store, [await tables.get(contact.id) for contact in contacts])
    assert_that([contact and contact.taking for contact in taken], equal_to([2] * 4))


@sure
async def test_so_many_undecided_takings_and_no_more_are_made(tables: Tables, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "UNDECIDED", 1)
    store = await tables.dialer(database=Unsteady(tables.database, committed=False, outages=2, error=Unanswered))
    first, second = await tables.put("c1"), await tables.put("c2")
    assert_that([await take(store, first), await take(store, second)], contains_exactly(None, None))
    await decided(tables, store)
    assert_that(await take(store, second), has_properties(taking=1))


@sure
async def test_a_claim_that_cannot_be_settled_for_any_other_reason_is_told_of_once_and_settled_later(
    tables: Tables, logged_failures: LoggedFailures, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = await tables.dialer(database=Unsteady(tables.database, committed=True, error=Unanswered))
    undo, tries = store._claims._undo, 0

    async def undo_at_last(contact: Contact) -> object:
        nonlocal tries
        tries += 1
        if tries < 3:
            raise ZeroDivisionError
        return await undo(contact)

    monkeypatch.setattr(store._claims, "_undo", undo_at_last)
    contact = await tables.put()
    assert_that(await take(store, contact), none())
    await decided(tables, store)
    assert_that(tries, equal_to(3))
    assert_that(await tables.row(), has_entries(status="pending", taking=1, owner=None))
    assert_that(logged_failures.flush(ZeroDivisionError), has_length(1))


# The statement itself is still running when its caller has had its answer.


@pytest_twisted.async_yield_fixture
async def impatient(reactor: Any, conninfo: str) -> Any:
    """A Database whose callers wait for nothing longer than half a second; its server for much longer."""
    database = Database(reactor, conninfo, timeout=0.5, application_name="impatient", random=Random(1))
    database.startService()
    await database.ready()
    yield database
    await database.stopService()


# Its server gives the statement up in time, but the commit comes all the same, and after the caller's patience.
STUBBORN = """
    CREATE OR REPLACE FUNCTION stubborn() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        PERFORM pg_sleep(10);
        RETURN NEW;
    EXCEPTION WHEN query_canceled THEN
        PERFORM pg_sleep(0.3);
        RETURN NEW;
    END $$;
    CREATE TRIGGER stubborn BEFORE UPDATE ON contacts FOR EACH ROW
    WHEN (OLD.status <> NEW.status AND NEW.owner IS NOT NULL)
    EXECUTE FUNCTION stubborn()
"""


@pytest_twisted.async_yield_fixture
async def stubborn(tables: Tables) -> Any:
    """Contacts whose claims take longer than anybody waits."""
    await tables.run(STUBBORN)
    yield
    await tables.run("DROP TRIGGER stubborn ON contacts")


@pytest.mark.usefixtures("stubborn")
@both
@sure
async def test_a_taking_that_is_committed_after_its_caller_was_answered_frees_its_slot_again(
    tables: Tables, impatient: Database, claim: Take
) -> None:
    store = await tables.dialer(database=impatient)
    assert_that(await claim(store, await tables.put()), none())
    await decided(tables, store)
    row = await tables.row()
    assert_that(row, has_entries(status="pending", taking=1, owner=None))
    assert_that(row["hold"], is_not(none()), "it was committed, and given back")
    assert_that(await store.count_active(), equal_to((0, 0)))


@pytest.mark.usefixtures("stubborn")
@sure
async def test_a_taking_whose_caller_went_away_frees_its_slot_again(tables: Tables, impatient: Database) -> None:
    store = await tables.dialer(database=impatient)
    contact = await tables.put()
    taking = at_once(lambda: take(store, contact))
    await has_begun(tables)
    taking.cancel()
    with pytest.raises(CancelledError):
        await taking
    await decided(tables, store)
    assert_that((await tables.row())["hold"], is_not(none()), "it was committed, and given back")
    assert_that(await store.count_active(), equal_to((0, 0)))


@pytest.mark.usefixtures("stubborn")
@sure
async def test_an_agents_call_that_is_committed_after_its_caller_was_answered_frees_slot_and_agent(
    tables: Tables, impatient: Database
) -> None:
    store = await tables.dialer(database=impatient)
    contact = await tables.active(status=Status.AGENT_PENDING, owner="other")
    with pytest.raises(CommitUnknown):
        await store.dial_agent(contact, "1005", SWITCH)
    await decided(tables, store)
    assert_that(await tables.row(), has_entries(status="pending", taking=1, owner=None, agent="1005"))
    assert_that(await tables.outbox(), contains_exactly(("c1", "end_chat", None)))


@both
@sure
async def test_a_taking_that_lay_before_a_frozen_server_is_not_made_when_it_goes_on(
    tables: Tables, impatient: Database, claim: Take
) -> None:
    store = await tables.dialer(database=impatient)
    contact = await tables.put()
    frozen = [row["pid"] for row in await impatient.run(MINE)]
    for pid in frozen:
        os.kill(pid, signal.SIGSTOP)
    try:
        assert_that(await claim(store, contact), none())
        await decided(tables, store)
    finally:
        for pid in frozen:
            os.kill(pid, signal.SIGCONT)
    await all_served(tables)
    assert_that(await tables.get(), equal_to(evolve(contact, taking=1)))
