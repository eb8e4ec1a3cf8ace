"""Each transition of the table of states (SPEC 6) as SQL, on a real PostgreSQL, also when two want the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg2
import pytest
import pytest_twisted
from hamcrest import (
    assert_that,
    close_to,
    contains_exactly,
    contains_inanyorder,
    empty,
    equal_to,
    has_entries,
    has_length,
    has_properties,
    instance_of,
    is_,
    is_not,
    less_than_or_equal_to,
    none,
    not_none,
    only_contains,
)
from twisted.internet.defer import Deferred, gatherResults

from dialer.contact import CampaignType, Contact, Status
from dialer.store import contacts as module
from dialer.store.contacts import LOCKED, Added, ContactClash, ContactStore
from dialer.store.database import Database, DatabaseDown, DatabaseError
from dialer.store.queries import sql
from tests.stand_in import stands_in_for
from tests.store.tables import (
    HOLD,
    SWITCH,
    Held,
    Tables,
    at_once,
    change,
    conninfo,
    one_database,
    posted,
    tables,
)

__all__ = ["conninfo", "one_database", "tables"]

sure = pytest_twisted.ensureDeferred

BOTH = [CampaignType.IVR, CampaignType.AGENT]


# -- adding ------------------------------------------------------------------------------------------------------------


@sure
async def test_every_field_of_a_posted_contact_is_stored_and_comes_back(tables: Tables) -> None:
    zone = datetime(2026, 1, 1, 12, tzinfo=UTC)
    new = posted(start_time=zone, end_time=zone + timedelta(hours=1, microseconds=1))
    store = await tables.dialer()
    assert_that(await store.add([new]), is_(Added(1, 0)))
    found = await tables.get()
    for name in (field.name for field in type(new).__attrs_attrs__):
        assert_that(getattr(found, name), equal_to(getattr(new, name)), name)
    assert_that(found, has_properties(status=Status.PENDING, taking=0, owner=None, received_time=not_none()))


@sure
async def test_a_contact_without_the_optional_fields_is_stored(tables: Tables) -> None:
    store = await tables.dialer()
    bare = dict.fromkeys(("campaign_contact_id", "priority", "ivr", "dialing_mode", "routing_mode"))
    await store.add([posted(**bare, resource_id=None, queue_name=None, tenant_id=None, scheduling_metadata=None)])
    assert_that(await tables.get(), has_properties(ivr=None, priority=None, start_time=None, routing_mode=None))


@sure
async def test_the_same_contact_again_is_a_duplicate_whatever_became_of_it(tables: Tables) -> None:
    store = await tables.dialer()
    await store.add([posted()])
    await tables.run("UPDATE contacts SET status = 'ended', call_result = 'USER_BUSY', taking = 4")
    assert_that(await store.add([posted()]), is_(Added(0, 1)))
    assert_that(await tables.get(), has_properties(status=Status.ENDED, taking=4))


@pytest.mark.parametrize(
    "other",
    [
        {"customer_number": "+15550002"},
        {"campaign_type": CampaignType.IVR},
        {"start_time": datetime(2026, 1, 1, tzinfo=UTC)},
        {"priority": None},
        {"tenant_id": None},
        {"scheduling_metadata": '{"a":"u"}'},
    ],
)
@sure
async def test_the_same_id_with_other_content_is_a_clash_and_changes_nothing(
    tables: Tables, other: dict[str, Any]
) -> None:
    store = await tables.dialer()
    await store.add([posted()])
    before = await tables.get()
    with pytest.raises(ContactClash) as clash:
        await store.add([posted(**other)])
    assert_that(clash.value, has_properties(index=0, contact_id="c1"))
    assert_that(await tables.get(), equal_to(before))


@pytest.fixture(params=[500, 2], ids=["at one go", "in parts"])
def parts(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A list is stored with one statement, or with several."""
    monkeypatch.setattr(module, "ADD_AT_ONCE", request.param)


@pytest.mark.usefixtures("parts")
@sure
async def test_a_list_with_one_clash_stores_nothing_and_names_the_first(tables: Tables) -> None:
    store = await tables.dialer()
    await store.add([posted("c3"), posted("c5")])
    with pytest.raises(ContactClash) as clash:
        await store.add([posted("c1"), posted("c3"), posted("c5", ivr="*2"), posted("c3", ivr="*2"), posted("c6")])
    assert_that(clash.value, has_properties(index=2, contact_id="c5"))
    assert_that(await tables.ids(), contains_exactly("c3", "c5"))


@pytest.mark.usefixtures("parts")
@sure
async def test_a_list_is_stored_in_its_order_and_counts_its_duplicates(tables: Tables) -> None:
    store = await tables.dialer()
    await store.add([posted("c2")])
    assert_that(await store.add([posted(f"c{n}") for n in (9, 2, 4, 9, 1)]), is_(Added(3, 2)))
    assert_that(await tables.ids(), contains_exactly("c2", "c9", "c4", "c1"))


@sure
async def test_a_list_that_contradicts_itself_stores_nothing(tables: Tables) -> None:
    store = await tables.dialer()
    with pytest.raises(ContactClash) as clash:
        await store.add([posted("c1"), posted("c2"), posted("c2", ivr="*2")])
    assert_that((clash.value.index, await tables.ids()), equal_to((2, [])))


@sure
async def test_a_list_with_a_row_that_the_table_refuses_stores_nothing(tables: Tables) -> None:
    store = await tables.dialer()
    with pytest.raises(Exception, match="too long"):
        await store.add([posted("c1"), posted("c2", ivr="*" * 21)])
    assert_that(await tables.ids(), empty())


@pytest.mark.parametrize("backwards", [False, True])
@sure
async def test_the_same_list_twice_at_once_is_stored_once(tables: Tables, backwards: bool) -> None:
    contacts = [posted(f"c{n}") for n in range(300)]
    again = contacts[::-1] if backwards else contacts
    one, other = await tables.dialer("one"), await tables.dialer("other", database=await tables.pool())
    added = await gatherResults([at_once(lambda: one.add(contacts)), at_once(lambda: other.add(again))])
    assert_that(sum(each.accepted for each in added), is_(300))
    assert_that(sum(each.duplicates for each in added), is_(300))
    assert_that(await tables.ids(), has_length(300))


@pytest.mark.usefixtures("parts")
@sure
async def test_of_two_lists_at_once_that_clash_one_is_stored_whole_and_the_other_not_at_all(tables: Tables) -> None:
    one, other = await tables.dialer("one"), await tables.dialer("other", database=await tables.pool())
    lists = {ivr: [posted(f"{ivr}{n}", ivr=ivr) for n in range(50)] + [posted("same", ivr=ivr)] for ivr in "12"}
    outcomes: list[Any] = []
    for store, ivr in ((one, "1"), (other, "2")):
        adding = Deferred.fromCoroutine(store.add(lists[ivr]))
        outcomes.append(adding.addErrback(lambda failure: failure.value))
    outcomes = await gatherResults(outcomes)
    assert_that([type(outcome) for outcome in outcomes], contains_inanyorder(Added, ContactClash))
    winner = "1" if isinstance(outcomes[0], Added) else "2"
    assert_that(set(await tables.ids()), equal_to({contact.id for contact in lists[winner]}))


async def outcomes_of(store: ContactStore, *contacts: Any) -> list[Any]:
    """What becomes of contacts that are posted one by one at the same moment."""
    adding = [Deferred.fromCoroutine(store.add([each])).addErrback(lambda failure: failure.value) for each in contacts]
    return await gatherResults(adding)


@sure
async def test_contacts_posted_at_the_same_moment_share_a_statement_and_each_has_its_own_outcome(
    tables: Tables,
) -> None:
    store = await tables.dialer()
    await store.add([posted("c1")])
    outcomes = await outcomes_of(
        store, posted("c2"), posted("c1"), posted("c1", ivr="*2"), posted("c2"), posted("c2", ivr="*2"), posted("c3")
    )
    assert_that(
        outcomes,
        contains_exactly(
            Added(1, 0),
            Added(0, 1),
            has_properties(index=0, contact_id="c1"),
            Added(0, 1),
            has_properties(index=0, contact_id="c2"),
            Added(1, 0),
        ),
    )
    assert_that(await tables.ids(), contains_exactly("c1", "c2", "c3"))
    times = await tables.run("SELECT count(DISTINCT received_time) AS n FROM contacts WHERE id IN ('c2', 'c3')")
    assert_that(times, contains_exactly({"n": 1}))


@sure
async def test_one_that_cannot_be_stored_does_not_take_those_posted_with_it_along(tables: Tables) -> None:
    store = await tables.dialer()
    outcomes = await outcomes_of(store, posted("c1"), posted("c2", ivr="x" * 21), posted("c3"))
    assert_that(outcomes, contains_exactly(Added(1, 0), instance_of(psycopg2.DataError), Added(1, 0)))
    assert_that(await tables.ids(), contains_exactly("c1", "c3"))


# -- taking ------------------------------------------------------------------------------------------------------------


@sure
async def test_a_taken_ivr_contact_is_dialed_with_its_owner_switch_and_time_before_anything_is_sent(
    tables: Tables,
) -> None:
    store = await tables.dialer()
    contact = await tables.put(
        taking=4, agent="1005", bridged=True, hold_until=-1, on_return="stop", start_time=-5, end_time=5
    )
    taken = await store.take_for_call(contact, SWITCH)
    assert_that(taken, equal_to(await tables.get()))
    assert_that(
        await tables.row(),
        has_entries(
            status="dialed",
            taking=5,
            owner="me",
            switch=SWITCH,
            dial_time=not_none(),
            agent_time=None,
            agent=None,
            bridged=False,
            hold_until=None,
            on_return=None,
        ),
    )


@sure
async def test_a_taken_agent_contact_waits_for_its_agent_without_a_dial_time(tables: Tables) -> None:
    store = await tables.dialer()
    contact = await tables.put(campaign_type="AGENT")
    taken = await store.take_for_agent(contact)
    assert_that(taken, has_properties(status=Status.AGENT_PENDING, taking=1, owner="me", switch=None, dial_time=None))
    assert_that(await tables.row(), has_entries(agent_time=not_none()))


@pytest.mark.parametrize(
    "columns",
    [
        {"start_time": 60},
        {"end_time": -1},
        {"hold_until": 60},
        *({"status": status} for status in ("stopped", "ended", "failed")),
        {"status": "dialed", "owner": "other"},
        {"status": "agent_pending", "owner": "other"},
    ],
)
@sure
async def test_what_is_not_eligible_is_neither_offered_nor_taken(tables: Tables, columns: dict[str, Any]) -> None:
    store = await tables.dialer()
    contact = await tables.put(**columns)
    assert_that(await tables.eligible(), empty())
    assert_that(await store.take_for_call(contact, SWITCH), none())
    assert_that(await store.take_for_agent(contact), none())
    assert_that(await tables.get(), equal_to(contact))


@pytest.mark.parametrize(
    ("number", "kind", "state", "eligible"),
    [
        ("+15550001", "end_chat", "waiting", False),
        ("+15550002", "end_chat", "waiting", True),
        ("+15550001", "end_chat", "delivered", True),
        ("+15550001", "end_chat", "parked", True),
        ("+15550001", "notification", "waiting", True),
    ],
)
@sure
async def test_no_contact_of_a_number_is_taken_while_an_end_chat_to_it_is_under_way(
    tables: Tables, number: str, kind: str, state: str, eligible: bool
) -> None:
    store = await tables.dialer()
    contact = await tables.put()
    await tables.run(
        "INSERT INTO outbox (contact_id, kind, customer_number, call_result, state)"
        " VALUES ('another', %(kind)s, %(number)s, CASE %(kind)s WHEN 'notification' THEN 'BUSY' END, %(state)s)",
        number=number,
        kind=kind,
        state=state,
    )
    assert_that(await tables.eligible(), has_length(int(eligible)))
    assert_that(await store.take_for_agent(contact) is not None, is_(eligible))


@sure
async def test_contacts_of_gateways_to_avoid_are_neither_counted_nor_chosen(tables: Tables) -> None:
    for contact_id, campaign, gateway in [
        ("c1", "k", "down"), ("c2", "k", "up"), ("c3", "k", "down too"), ("c4", "k", "up"), ("c5", "only", "down"),
        ("c6", "three", "up"), ("c7", "three", "up"), ("c8", "three", "up"),
    ]:  # fmt: skip
        await tables.put(contact_id, campaign_id=campaign, gateway_id=gateway)
    avoid = {"down", "down too"}
    assert_that(await tables.eligible(avoid=avoid), contains_exactly("c2", "c4", "c6", "c7", "c8"))
    assert_that(await tables.eligible(avoid={"up", *avoid}), empty())
    # Of all gateways `k` has more than `three`, which therefore comes before it.
    assert_that(await tables.eligible(), contains_exactly("c5", "c6", "c7", "c8", "c1", "c2", "c3", "c4"))


@pytest.mark.parametrize("lease", [None, 0, -60])
@sure
async def test_nothing_is_taken_without_a_lease(tables: Tables, lease: float | None) -> None:
    store = await tables.dialer(lease=lease)
    contact = await tables.put()
    assert_that(await store.take_for_call(contact, SWITCH), none())
    assert_that(await store.take_for_agent(contact), none())
    waiting = await tables.active("c2", Status.AGENT_PENDING)
    assert_that(await store.dial_agent(waiting, "1005", SWITCH), none())
    assert_that(await store.take_over(), empty())
    assert_that((await tables.get(), await tables.get("c2")), equal_to((contact, waiting)))


@sure
async def test_nothing_is_taken_with_the_lease_of_an_earlier_start_of_the_same_dialer(tables: Tables) -> None:
    before = await tables.dialer()
    await tables.run("DELETE FROM dialers")
    await tables.dialer()
    contact = await tables.put()
    assert_that(await before.take_for_call(contact, SWITCH), none())


@sure
async def test_a_contact_is_taken_by_one_of_many_that_want_it_at_once(tables: Tables) -> None:
    one, other = await tables.dialer("one"), await tables.dialer("other", database=await tables.pool())
    contacts = [await tables.put(f"c{n}") for n in range(20)]
    takings = [
        Deferred.fromCoroutine(store.take_for_call(contact, SWITCH))
        for contact in contacts
        for store in (one, other, one, other)
    ]
    taken = [contact.id for contact in await gatherResults(takings) if contact is not None]
    assert_that(sorted(taken), equal_to(sorted(contact.id for contact in contacts)))
    rows = await tables.run("SELECT DISTINCT taking FROM contacts")
    assert_that(rows, equal_to([{"taking": 1}]))


@sure
async def test_a_contact_that_somebody_else_is_changing_is_left_to_them_without_waiting(tables: Tables) -> None:
    store = await tables.dialer()
    contact = await tables.put()
    held = Held(await tables.pool(), "UPDATE contacts SET status = 'stopped'")
    await held.locked
    assert_that(await store.take_for_call(contact, SWITCH), none())
    await held.commit()
    assert_that(await tables.get(), has_properties(status=Status.STOPPED, taking=0))


@stands_in_for(Database)
class Watched:
    """A database whose takings are counted, and fail as the test says."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.takings: list[list[str]] = []
        self.fails: Exception | None = None

    async def run(self, query: str, params: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        if query == sql("take"):
            assert params is not None
            self.takings.append(params["ids"])
            if self.fails is not None:
                raise self.fails
        return await self._database.run(query, params)


def _calls(store: ContactStore, contacts: Sequence[Contact]) -> list[Deferred[Contact | None]]:
    return [Deferred.fromCoroutine(store.take_for_call(contact, f"{contact.id}:8021")) for contact in contacts]


@sure
async def test_contacts_of_both_kinds_are_taken_with_one_statement_each_for_itself(tables: Tables) -> None:
    watched = Watched(tables.database)
    store = await tables.dialer(database=watched)
    contacts = [await tables.put(f"c{n}", taking=n) for n in range(4)]
    takings = _calls(store, contacts[:2])
    takings += [Deferred.fromCoroutine(store.take_for_agent(contact)) for contact in contacts[2:]]
    taken = await gatherResults(takings)
    assert_that(watched.takings, contains_exactly(["c0", "c1", "c2", "c3"]))
    assert_that(
        taken,
        contains_exactly(
            has_properties(id="c0", taking=1, status=Status.DIALED, switch="c0:8021", dial_time=not_none()),
            has_properties(id="c1", taking=2, status=Status.DIALED, switch="c1:8021", dial_time=not_none()),
            has_properties(id="c2", taking=3, status=Status.AGENT_PENDING, switch=None, dial_time=None),
            has_properties(id="c3", taking=4, status=Status.AGENT_PENDING, switch=None, dial_time=None),
        ),
    )
    assert_that([await tables.get(contact.id) for contact in contacts], equal_to(taken))
    noted = await tables.run("SELECT contact_id, taking, event, detail FROM contact_events ORDER BY contact_id")
    assert_that(
        [tuple(row.values()) for row in noted],
        contains_exactly(
            ("c0", 1, "taken", "c0:8021"),
            ("c1", 2, "taken", "c1:8021"),
            ("c2", 3, "taken", None),
            ("c3", 4, "taken", None),
        ),
    )


@sure
async def test_contacts_that_cannot_be_taken_do_not_stop_those_taken_with_them(tables: Tables) -> None:
    watched = Watched(tables.database)
    store = await tables.dialer(database=watched)
    contacts = [await tables.put(f"c{n}") for n in range(6)]
    await tables.run("UPDATE contacts SET status = 'stopped' WHERE id = 'c0'")
    await tables.run("UPDATE contacts SET taking = 1 WHERE id = 'c2'")
    await tables.run("DELETE FROM contacts WHERE id = 'c3'")
    held = Held(await tables.pool(), "SELECT FROM contacts WHERE id = 'c4' FOR UPDATE")
    await held.locked
    taken = await gatherResults(_calls(store, contacts))
    await held.commit()
    assert_that([contact and contact.id for contact in taken], contains_exactly(None, "c1", None, None, None, "c5"))
    assert_that(watched.takings, has_length(1))
    active = await tables.run("SELECT id FROM contacts WHERE owner = 'me' ORDER BY id")
    assert_that(active, equal_to([{"id": "c1"}, {"id": "c5"}]))


@sure
async def test_a_contact_that_is_asked_for_twice_at_once_is_taken_once(tables: Tables) -> None:
    watched = Watched(tables.database)
    store = await tables.dialer(database=watched)
    contact, other = await tables.put("c1"), await tables.put("c2")
    taken = await gatherResults(_calls(store, [contact, contact, other]))
    assert_that(watched.takings, contains_exactly(["c1", "c1", "c2"]))
    assert_that([each and (each.id, each.taking) for each in taken], contains_exactly(("c1", 1), None, ("c2", 1)))
    noted = await tables.run("SELECT contact_id FROM contact_events ORDER BY contact_id")
    assert_that(noted, equal_to([{"contact_id": "c1"}, {"contact_id": "c2"}]))


@sure
async def test_so_many_are_taken_by_one_statement_and_no_more(tables: Tables, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TAKE_AT_ONCE", 2)
    watched = Watched(tables.database)
    store = await tables.dialer(database=watched)
    taken = await gatherResults(_calls(store, [await tables.put(f"c{n}") for n in range(5)]))
    assert_that(watched.takings, contains_exactly(["c0", "c1"], ["c2", "c3"], ["c4"]))
    assert_that([each and each.id for each in taken], contains_exactly("c0", "c1", "c2", "c3", "c4"))


@sure
async def test_an_outage_is_that_of_each_who_shared_the_statement_and_not_of_those_after(tables: Tables) -> None:
    watched = Watched(tables.database)
    store = await tables.dialer(database=watched)
    contacts = [await tables.put(f"c{n}") for n in range(3)]
    watched.fails = DatabaseDown("down")
    takings = [taking.addErrback(lambda failure: failure.value) for taking in _calls(store, contacts)]
    assert_that(await gatherResults(takings), only_contains(is_(watched.fails)))
    watched.fails = None
    taken = await gatherResults(_calls(store, contacts))
    assert_that([each and each.id for each in taken], contains_exactly("c0", "c1", "c2"))


@sure
async def test_the_agents_call_is_dialed_by_whoever_has_the_reply_and_becomes_theirs(tables: Tables) -> None:
    waiting = await tables.active(status=Status.AGENT_PENDING, owner="dead", campaign_type="AGENT", on_return="stop")
    store = await tables.dialer()
    dialed = await store.dial_agent(waiting, "1005", SWITCH)
    assert_that(dialed, has_properties(status=Status.DIALED, owner="me", agent="1005", switch=SWITCH, taking=1))
    assert_that(await tables.row(), has_entries(dial_time=not_none(), on_return="stop"))
    assert_that(await store.dial_agent(waiting, "1006", SWITCH), none())
    assert_that((await tables.get()).agent, is_("1005"))


@pytest.mark.parametrize(
    "columns", [{"taking": 2}, {"status": "pending", "owner": None}, {"status": "dialed"}, {"end_time": -1}]
)
@sure
async def test_a_reply_to_another_taking_or_after_the_end_time_dials_nobody(
    tables: Tables, columns: dict[str, Any]
) -> None:
    stored = await tables.active(**({"status": Status.AGENT_PENDING} | columns))
    store = await tables.dialer()
    asked = module.Contact(**{**_values(stored), "status": Status.AGENT_PENDING, "taking": 1})
    assert_that(await store.dial_agent(asked, "1005", SWITCH), none())
    assert_that(await tables.get(), equal_to(stored))


def _values(contact: Any) -> dict[str, Any]:
    return {field.name: getattr(contact, field.name) for field in type(contact).__attrs_attrs__}


@sure
async def test_a_contact_that_was_purged_and_posted_again_is_not_the_one_that_was_chosen(tables: Tables) -> None:
    store = await tables.dialer()
    chosen = await tables.put()
    await tables.run("DELETE FROM contacts")
    again = await tables.put(customer_number="+15559999")
    assert_that(await store.take_for_call(chosen, SWITCH), none())
    assert_that(await store.take_for_call(again, SWITCH), has_properties(customer_number="+15559999"))


@sure
async def test_a_contact_taken_and_given_back_meanwhile_is_not_the_one_that_was_chosen(tables: Tables) -> None:
    store = await tables.dialer()
    chosen = await tables.put()
    await tables.run("UPDATE contacts SET taking = taking + 1")
    assert_that(await store.take_for_call(chosen, SWITCH), none())


# -- finishing ---------------------------------------------------------------------------------------------------------


@sure
async def test_an_ended_call_is_stored_with_its_result_and_reported_in_the_same_transaction(tables: Tables) -> None:
    store = await tables.dialer()
    contact = await tables.active(on_return="purge", tenant_id="t-1")
    done = change(contact, Status.ENDED, "USER_BUSY")
    assert_that(await store.apply([done]), equal_to({("c1", 1): "ended"}))
    row = await tables.row()
    assert_that(row, has_entries(status="ended", call_result="USER_BUSY", owner=None, on_return=None))
    assert_that(row["dial_time"], is_(less_than_or_equal_to(row["ended_time"])))
    (told,) = await tables.run("SELECT * FROM outbox")
    assert_that(
        told,
        has_entries(
            contact_id="c1",
            kind="notification",
            customer_number="+15550001",
            tenant_id="t-1",
            call_result="USER_BUSY",
            state="waiting",
        ),
    )


@sure
async def test_an_end_chat_is_told_before_the_notification(tables: Tables) -> None:
    store = await tables.dialer()
    contact = await tables.active(campaign_type="AGENT")
    await store.apply([change(contact, Status.ENDED, "NORMAL_CLEARING", end_chat=True)])
    expected = [("c1", "end_chat", None), ("c1", "notification", "NORMAL_CLEARING")]
    assert_that(await tables.outbox(), equal_to(expected))


@sure
async def test_a_change_made_twice_changes_nothing_and_tells_nothing_the_second_time(tables: Tables) -> None:
    store = await tables.dialer()
    done = change(await tables.active(), Status.ENDED, "USER_BUSY", end_chat=True)
    await store.apply([done])
    before = await tables.row()
    assert_that(await store.apply([done]), equal_to({}))
    assert_that(await tables.get(), has_properties(call_result=before["call_result"]))
    assert_that(await tables.outbox(), has_length(2))


@pytest.mark.parametrize(
    "columns", [{"taking": 2}, {"status": "agent_pending"}, {"status": "ended", "owner": None}, {"id": "c2"}]
)
@pytest.mark.parametrize("to", [Status.ENDED, Status.FAILED, Status.PENDING])
@sure
async def test_a_change_from_another_state_or_taking_changes_nothing(
    tables: Tables, to: Status, columns: dict[str, Any]
) -> None:
    store = await tables.dialer()
    stored = await tables.active(columns.get("id", "c1"), **{k: v for k, v in columns.items() if k != "id"})
    late = module.Change("c1", 1, Status.DIALED, to, "X" if to is not Status.PENDING else None, end_chat=True)
    assert_that(await store.apply([late]), equal_to({}))
    assert_that(await tables.get(stored.id), equal_to(stored))
    assert_that(await tables.outbox(), empty())


@pytest.mark.parametrize("second", [Status.ENDED, Status.PENDING])
@sure
async def test_of_two_changes_at_once_one_holds_and_one_tells(tables: Tables, second: Status) -> None:
    one, other = await tables.dialer("me"), await tables.dialer("other", database=await tables.pool())
    contacts = [await tables.active(f"c{n}") for n in range(30)]
    busy = [change(contact, Status.ENDED, "USER_BUSY", end_chat=True) for contact in contacts]
    rival = [change(contact, second, "X" if second is Status.ENDED else None, end_chat=True) for contact in contacts]
    first_half, second_half = at_once(lambda: one.apply(busy)), at_once(lambda: other.apply(rival))
    made = [_done(changed) for changed in await gatherResults([first_half, second_half])]
    assert_that(sorted([*made[0], *made[1]]), equal_to(sorted((contact.id, 1) for contact in contacts)))
    told = await tables.outbox()
    assert_that([kind for _, kind, _ in told].count("end_chat"), is_(30))
    notified = len(made[0]) + (len(made[1]) if second is Status.ENDED else 0)
    assert_that([kind for _, kind, _ in told].count("notification"), is_(notified))


def _done(changed: dict[tuple[str, int], str]) -> dict[tuple[str, int], str]:
    return {which: status for which, status in changed.items() if status != LOCKED}


@pytest.mark.parametrize("to", [Status.ENDED, Status.PENDING])
@sure
async def test_a_row_that_another_session_holds_locked_is_told_and_the_others_are_written(
    tables: Tables, to: Status
) -> None:
    store = await tables.dialer()
    changes = [change(await tables.active(f"c{n}"), to, "X" if to is Status.ENDED else None) for n in range(3)]
    held = Held(await tables.pool(), "SELECT FROM contacts WHERE id = 'c1' FOR UPDATE")
    await held.locked
    assert_that(await store.apply(changes), equal_to({("c0", 1): to, ("c1", 1): LOCKED, ("c2", 1): to}))
    await held.commit()
    assert_that(await store.apply(changes), equal_to({("c1", 1): to}))


@sure
async def test_whoever_sees_a_call_end_writes_it_owner_or_not_lease_or_not(tables: Tables) -> None:
    witness = await tables.dialer("witness", lease=None)
    contact = await tables.active(owner="other")
    assert_that(await witness.apply([change(contact, Status.ENDED, "USER_BUSY")]), equal_to({("c1", 1): "ended"}))


@sure
async def test_a_contact_that_was_never_taken_can_fail(tables: Tables) -> None:
    store = await tables.dialer()
    contact = await tables.put()
    assert_that(await store.apply([change(contact, Status.FAILED, "Invalid Gateway")]), equal_to({("c1", 0): "failed"}))
    failed = await tables.get()
    assert_that(failed, has_properties(status=Status.FAILED, call_result="Invalid Gateway", dial_time=None))
    assert_that(failed.ended_time, not_none())
    assert_that(await tables.outbox(), equal_to([("c1", "notification", "Invalid Gateway")]))


@pytest.mark.parametrize(("agent", "stored"), [("1005", "1005"), (None, "before")])
@sure
async def test_the_agent_of_the_reply_is_stored_with_the_result(tables: Tables, agent: str | None, stored: str) -> None:
    store = await tables.dialer()
    contact = await tables.active(status=Status.AGENT_PENDING, agent="before")
    await store.apply([change(contact, Status.FAILED, "Expired", agent=agent, end_chat=True)])
    assert_that((await tables.get()).agent, is_(stored))


@sure
async def test_changes_of_both_kinds_are_made_together(tables: Tables) -> None:
    store = await tables.dialer()
    ended, failed = await tables.active("c1"), await tables.put("c2")
    back, back_with_agent = await tables.active("c3"), await tables.active("c4", Status.AGENT_PENDING)
    made = await store.apply(
        [
            change(back, Status.PENDING),
            change(ended, Status.ENDED, "NO_ANSWER"),
            change(back_with_agent, Status.PENDING, end_chat=True, agent="1005"),
            change(failed, Status.FAILED, "EFSwitch Down"),
        ]
    )
    assert_that(made, equal_to({("c1", 1): "ended", ("c2", 0): "failed", ("c3", 1): "pending", ("c4", 1): "pending"}))
    expected = [
        ("c1", "notification", "NO_ANSWER"),
        ("c2", "notification", "EFSwitch Down"),
        ("c4", "end_chat", None),
    ]
    assert_that(await tables.outbox(), contains_inanyorder(*expected))


@sure
async def test_a_result_that_postgresql_cannot_store_is_refused_not_cut(tables: Tables) -> None:
    store = await tables.dialer()
    contact = await tables.active()
    for poison in ("a\0b", "x" * 41):
        with pytest.raises(Exception) as refused:  # noqa: PT011  psycopg2 or Python, whichever sees it first
            await store.apply([change(contact, Status.ENDED, poison)])
        assert_that(isinstance(refused.value, DatabaseError), is_(False))
    assert_that(await tables.get(), equal_to(contact))


# -- back to pending ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [Status.DIALED, Status.AGENT_PENDING])
@sure
async def test_on_the_way_back_everything_of_the_taking_is_cleared_and_the_contact_rests(
    tables: Tables, status: Status
) -> None:
    store = await tables.dialer()
    contact = await tables.active(status=status, bridged=True, agent="1005")
    assert_that(await store.apply([change(contact, Status.PENDING)]), equal_to({("c1", 1): "pending"}))
    row = await tables.row()
    cleared = dict.fromkeys(("owner", "switch", "dial_time", "agent_time", "call_result", "on_return"))
    assert_that(row, has_entries(status="pending", taking=1, bridged=False, agent="1005", **cleared))
    assert_that(row["hold"].total_seconds(), close_to(HOLD, 1))
    assert_that(await tables.eligible(), empty())
    assert_that(await tables.outbox(), empty())


@sure
async def test_a_contact_that_goes_back_with_its_agent_ends_the_chat_and_reports_nothing(tables: Tables) -> None:
    store = await tables.dialer()
    contact = await tables.active(status=Status.AGENT_PENDING, tenant_id="t-1")
    await store.apply([change(contact, Status.PENDING, end_chat=True, agent="1005")])
    (told,) = await tables.run("SELECT * FROM outbox")
    assert_that(told, has_entries(kind="end_chat", call_result=None, tenant_id="t-1", customer_number="+15550001"))
    assert_that((await tables.get()).agent, is_("1005"))


@sure
async def test_a_contact_held_back_before_it_was_taken_rests_too(tables: Tables) -> None:
    store = await tables.dialer()
    contact = await tables.put()
    await store.apply([change(contact, Status.PENDING)])
    assert_that((await tables.row())["hold"].total_seconds(), close_to(HOLD, 1))


@pytest.mark.parametrize("end_chat", [False, True])
@sure
async def test_a_contact_whose_campaign_was_stopped_meanwhile_comes_back_stopped(
    tables: Tables, end_chat: bool
) -> None:
    store = await tables.dialer()
    contact = await tables.active(on_return="stop")
    made = await store.apply([change(contact, Status.PENDING, end_chat=end_chat)])
    assert_that(made, equal_to({("c1", 1): "stopped"}))
    assert_that(await tables.row(), has_entries(status="stopped", owner=None, on_return=None, dial_time=None))
    assert_that(await tables.outbox(), equal_to([("c1", "end_chat", None)] if end_chat else []))


@pytest.mark.parametrize("end_chat", [False, True])
@sure
async def test_a_contact_whose_campaign_was_purged_meanwhile_is_removed_when_it_comes_back(
    tables: Tables, end_chat: bool
) -> None:
    store = await tables.dialer()
    contact = await tables.active(on_return="purge")
    back = change(contact, Status.PENDING, end_chat=end_chat)
    assert_that(await store.apply([back]), equal_to({("c1", 1): "removed"}))
    assert_that(await tables.ids(), empty())
    assert_that(await tables.outbox(), equal_to([("c1", "end_chat", None)] if end_chat else []))
    assert_that(await store.apply([back]), equal_to({}))


@pytest.mark.parametrize(("meanwhile", "becomes"), [("stop", "stopped"), ("purge", "removed")])
@sure
async def test_a_return_that_meets_a_stop_or_purge_obeys_it_when_it_is_tried_again(
    tables: Tables, meanwhile: str, becomes: str
) -> None:
    store = await tables.dialer()
    contact = await tables.active()
    held = Held(await tables.pool(), "UPDATE contacts SET on_return = %(what)s", what=meanwhile)
    await held.locked
    back = change(contact, Status.PENDING, end_chat=True)
    assert_that(await store.apply([back]), equal_to({("c1", 1): LOCKED}))
    await held.commit()
    assert_that(await store.apply([back]), equal_to({("c1", 1): becomes}))
    assert_that(await tables.outbox(), equal_to([("c1", "end_chat", None)]))


# -- expiry ------------------------------------------------------------------------------------------------------------


@sure
async def test_waiting_contacts_past_their_end_fail_and_are_reported(
    tables: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = await tables.dialer()
    await tables.put("pending", end_time=-1, hold_until=60)
    await tables.put("stopped", end_time=-2, status="stopped")
    await tables.put("later", end_time=60)
    await tables.put("endless")
    await tables.active("dialed", end_time=-1)
    await tables.active("agent_pending", Status.AGENT_PENDING, end_time=-1)
    await tables.put("ended", end_time=-1, status="ended", call_result="USER_BUSY")
    assert_that(await store.expire(), has_length(2))
    assert_that(await store.expire(), has_length(0))
    expired = "SELECT id, status FROM contacts WHERE call_result = 'Expired' AND ended_time <= now() ORDER BY id"
    rows = await tables.run(expired)
    assert_that([(row["id"], row["status"]) for row in rows], equal_to([("pending", "failed"), ("stopped", "failed")]))
    told = [("pending", "notification", "Expired"), ("stopped", "notification", "Expired")]
    assert_that(await tables.outbox(), contains_inanyorder(*told))


@sure
async def test_an_expiry_is_bounded_and_begins_with_the_longest_due(
    tables: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "EXPIRE_AT_ONCE", 2)
    store = await tables.dialer()
    for number in range(3):
        await tables.put(f"c{number}", end_time=-1 - number)
    assert_that(await store.expire(), has_length(2))
    assert_that((await tables.get("c0")).status, is_(Status.PENDING))
    assert_that(await store.expire(), has_length(1))


@sure
async def test_an_expiry_does_not_wait_for_a_contact_that_is_being_changed(tables: Tables) -> None:
    store = await tables.dialer()
    await tables.put("c1", end_time=-1)
    await tables.put("c2", end_time=-1)
    held = Held(await tables.pool(), "UPDATE contacts SET priority = 1 WHERE id = 'c1'")
    await held.locked
    assert_that(await store.expire(), has_length(1))
    await held.commit()
    assert_that(await store.expire(), has_length(1))


# -- an agent that came too late ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [Status.PENDING, Status.STOPPED, Status.ENDED, Status.FAILED])
@sure
async def test_an_agent_that_came_too_late_is_released_once_however_often_the_reply_is_sent(
    tables: Tables, status: Status
) -> None:
    store = await tables.dialer()
    await tables.put(status=status, tenant_id="t-1")
    assert_that(await store.release_agent("c1", "1005"), is_(True))
    assert_that(await store.release_agent("c1", "1005"), is_(False))
    (told,) = await tables.run("SELECT * FROM outbox")
    assert_that(told, has_entries(kind="end_chat", contact_id="c1", customer_number="+15550001", tenant_id="t-1"))
    await tables.run("UPDATE outbox SET state = 'delivered'")
    assert_that(await store.release_agent("c1", "1005"), is_(False))
    assert_that(await store.release_agent("c1", "1006"), is_(True))


@sure
async def test_a_late_agent_is_not_released_by_a_second_end_chat_while_one_is_under_way(tables: Tables) -> None:
    store = await tables.dialer()
    contact = await tables.active(status=Status.AGENT_PENDING)
    await store.apply([change(contact, Status.PENDING, end_chat=True, agent="1005")])
    assert_that(await store.release_agent("c1", "1006"), is_(False))
    assert_that(await tables.outbox(), has_length(1))


@sure
async def test_the_agent_released_in_an_earlier_taking_can_come_too_late_again(tables: Tables) -> None:
    store = await tables.dialer()
    contact = await tables.put(released_agent="1005")
    taken = await store.take_for_agent(contact)
    assert taken is not None
    await store.apply([change(taken, Status.PENDING)])
    assert_that(await store.release_agent("c1", "1005"), is_(True))


@pytest.mark.parametrize("status", [Status.DIALED, Status.AGENT_PENDING])
@sure
async def test_the_agent_of_an_active_contact_is_not_released(tables: Tables, status: Status) -> None:
    store = await tables.dialer()
    await tables.active(status=status)
    assert_that(await store.release_agent("c1", "1005"), is_(False))
    assert_that(await store.release_agent("unknown", "1005"), is_(False))
    assert_that(await tables.outbox(), empty())


# -- what a dialer holds -----------------------------------------------------------------------------------------------


@sure
async def test_what_a_dialer_holds_and_what_all_hold_is_counted_from_the_table(tables: Tables) -> None:
    store = await tables.dialer()
    await tables.active("c1")
    await tables.active("c2", Status.AGENT_PENDING)
    await tables.active("c3", owner="other")
    await tables.put("c4")
    await tables.put("c5", status="ended")
    assert_that(await store.count_active(), equal_to((2, 3)))
    assert_that([held.contact.id for held in await store.held()], contains_inanyorder("c1", "c2"))


@sure
async def test_how_long_ago_a_contact_was_sent_is_told_by_the_databases_clock(tables: Tables) -> None:
    store = await tables.dialer()
    await tables.active("c1")
    await tables.active("c2", Status.AGENT_PENDING)
    await tables.run("UPDATE contacts SET dial_time = now() - interval '90 s' WHERE id = 'c1'")
    ago = {held.contact.id: held.dialed_ago for held in await store.held()}
    assert_that(ago["c1"], close_to(90, 1))
    assert_that(ago["c2"], none())


@sure
async def test_a_bridge_is_stored_for_the_taking_that_it_belongs_to(tables: Tables) -> None:
    store = await tables.dialer()
    contact = await tables.active(taking=2)
    earlier = module.Contact(**{**_values(contact), "taking": 1})
    await store.mark_bridged(earlier)
    assert_that((await tables.get()).bridged, is_(False))
    await store.mark_bridged(contact)
    assert_that((await tables.get()).bridged, is_(True))


@sure
async def test_only_own_requests_that_have_waited_too_long_are_overdue(tables: Tables) -> None:
    store = await tables.dialer()
    for contact_id, seconds, owner in [("old", 61, "me"), ("young", 59, "me"), ("foreign", 61, "other")]:
        await tables.active(contact_id, Status.AGENT_PENDING, owner=owner)
        await tables.run(
            "UPDATE contacts SET agent_time = now() - %(s)s * interval '1 second' WHERE id = %(id)s",
            s=seconds,
            id=contact_id,
        )
    assert_that([contact.id for contact in await store.overdue_replies(60)], contains_exactly("old"))


# -- taking over -------------------------------------------------------------------------------------------------------


@sure
async def test_only_what_a_dialer_without_a_lease_holds_is_taken_over(tables: Tables) -> None:
    store = await tables.dialer()
    await tables.dialer("alive")
    await tables.dialer("dead", lease=-1)
    await tables.active("alive", owner="alive")
    await tables.active("dead-dialed", owner="dead")
    await tables.active("dead-asked", Status.AGENT_PENDING, owner="dead")
    await tables.active("unknown", owner="nobody")
    await tables.active("ownerless", owner=None)
    await tables.active("mine", owner="me")
    await tables.put("pending")
    taken = [held.contact for held in await store.take_over()]
    ours = ["dead-asked", "dead-dialed", "ownerless", "unknown"]
    assert_that(sorted(contact.id for contact in taken), equal_to(ours))
    assert_that({contact.owner for contact in taken}, equal_to({"me"}))
    assert_that({contact.taking for contact in taken}, equal_to({1}))
    assert_that((await tables.get("alive")).owner, is_("alive"))
    assert_that(await store.take_over(), empty())


@sure
async def test_what_is_taken_over_keeps_its_state_and_its_times(tables: Tables) -> None:
    store = await tables.dialer()
    await tables.active(owner="dead", agent="1005", bridged=True, on_return="stop")
    await tables.run("UPDATE contacts SET dial_time = now() - interval '90 s'")
    before = await tables.row()
    (held,) = await store.take_over()
    after = await tables.row()
    for column in ("status", "taking", "switch", "agent", "bridged", "dial_time", "on_return"):
        assert_that(after[column], equal_to(before[column]), column)
    assert_that(held.dialed_ago, close_to(90, 1))


@sure
async def test_each_contact_of_a_dead_dialer_goes_to_one_of_those_that_ask_at_once(tables: Tables) -> None:
    one, other = await tables.dialer("one"), await tables.dialer("other", database=await tables.pool())
    await tables.run(
        "INSERT INTO contacts (id, customer_number, campaign_type, gateway_id, campaign_id, status, taking)"
        " SELECT 'c' || n, '1', 'IVR', 'gw', 'k', 'dialed', 1 FROM generate_series(1, 300) AS n"
    )
    for _ in range(12):
        await tables.run("UPDATE contacts SET owner = 'dead'")
        asked = [Deferred.fromCoroutine(store.take_over()) for store in (one, other) * 4]
        taken = [held.contact for batch in await gatherResults(asked) for held in batch]
        assert_that(len(taken), is_(300))
        owners = {row["id"]: row["owner"] for row in await tables.run("SELECT id, owner FROM contacts")}
        assert_that({contact.id: contact.owner for contact in taken} == owners, is_(True))


@sure
async def test_a_take_over_is_bounded(tables: Tables, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TAKE_OVER_AT_ONCE", 2)
    store = await tables.dialer()
    for number in range(3):
        await tables.active(f"c{number}", owner="dead")
    assert_that([len(await store.take_over()) for _ in range(3)], equal_to([2, 1, 0]))


@sure
async def test_a_row_of_another_products_words_is_read_as_it_is(tables: Tables) -> None:
    await tables.put(campaign_type="SURVEY", dialing_mode="OTHER", routing_mode="ANY")
    assert_that(
        await tables.get(),
        has_properties(campaign_type="SURVEY", dialing_mode="OTHER", routing_mode="ANY", is_agent=is_not(True)),
    )
    assert_that(await tables.eligible(), empty())
