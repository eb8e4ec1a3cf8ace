"""A street with a gate on each way from and to its first dialer, so that a test can stop the world at one point."""

from __future__ import annotations

import signal
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg2
from hamcrest import assert_that, has_entries, has_length, is_
from psycopg2.extensions import parse_dsn
from twisted.internet import reactor
from twisted.internet.endpoints import TCP4ClientEndpoint, UNIXClientEndpoint

from dialer.outcome import wire_result
from dialer.sandbox.efswitch import Rule, Rules
from dialer.store.queries import Prepared, sql
from tests.process.gate import Gate, Passing, answered, asked
from tests.process.street import Street
from tests.process.twistd import Twistd
from tests.service.world import database_url

IMPATIENT = (sys.executable, str(Path(__file__).with_name("impatient.py")))

COMMITTED = answered(b"Z\x00\x00\x00\x05I")
"""PostgreSQL's answer to a statement that it has committed (ReadyForQuery, idle)."""

HTTP_ANSWER = answered("HTTP/1.1 ")

SHORT = Rules([Rule(ring=0.01, talk=0.05, agent_ring=0.01)])
LONG = Rules([Rule(ring=0.01, talk=3600, agent_ring=0.01)])
"""Calls that are over at once, and calls that last until somebody ends them."""

FREQUENT = {"LEASE_TIME": "6", "RECONCILE_INTERVAL": "0.3", "DB_CONN_TIMEOUT": "5000"}


def statement(name: str) -> Passing:
    """The dialer asks the statement in sql/queries of this name: told by its text up to the first value."""
    text = sql(name)
    # However it goes on: with webhooks the name of a prepared one is longer.
    return asked(f"EXECUTE {text.name}" if isinstance(text, Prepared) else text.partition("%")[0])


def _to(port: int) -> TCP4ClientEndpoint:
    return TCP4ClientEndpoint(reactor, "127.0.0.1", port)


class Crossroads(Street):
    """A street whose dialers do not wait long for what is gone, and whose gates are:

    `database`: from the dialers to PostgreSQL, but for those that are told to go `around` it.
    `esl`: from the dialers to the switch. `to_vc`: from the dialers to the VC.
    `http`: from the VC and the test to the dialer that is asked.
    """

    def __init__(self, conninfo: str, folder: Path) -> None:
        super().__init__(conninfo, folder)
        where = parse_dsn(conninfo)
        self._sign = f"{where['user']}@127.0.0.1", where["dbname"]
        socket = f"{where['host']}/.s.PGSQL.{where['port']}"
        self.database = Gate(reactor, lambda: UNIXClientEndpoint(reactor, socket))
        self.esl = Gate(reactor, lambda: _to(self.switch_port.getHost().port))
        self.to_vc = Gate(reactor, lambda: _to(int(self.vc.url.rpartition(":")[2])))
        self.http = Gate(reactor, lambda: _to(int(self.own_url.rpartition(":")[2])))
        self.standing = 0
        """Calls that are up all the time, and keep their dialer from taking anybody else."""
        self.gates = (self.database, self.esl, self.to_vc, self.http)

    async def open(self) -> None:
        """Start the switch and the VC, and open the gates."""
        await super().open()
        for gate in self.gates:
            gate.listen()
        self.switch_address = f"127.0.0.1:{self.esl.port}"
        self.vc_url = f"http://127.0.0.1:{self.to_vc.port}"

    async def close(self) -> None:
        """End everything."""
        await super().close()
        for gate in self.gates:
            await gate.close()

    @property
    def own_url(self) -> str:
        """Where `dialer_process` itself serves HTTP."""
        return super().url

    @property
    def url(self) -> str:
        """Where `dialer_process` is reached through the gate."""
        return f"http://127.0.0.1:{self.http.port}"

    def environment(self, *, around: bool = False, **more: str) -> dict[str, str]:
        """Everything configured."""
        user, name = self._sign
        gate = f"postgresql://{user}:{self.database.port}/{name}?sslmode=disable&gssencmode=disable"
        return super().environment(**(FREQUENT | {"DB_URL": database_url(self._conninfo) if around else gate} | more))

    def spawn(self, environment: dict[str, str], **keywords: Any) -> Twistd:
        """An impatient process."""
        return super().spawn(environment, program=IMPATIENT, **keywords)

    async def get_ready(self) -> None:
        """Make everybody do what is expected of them; a dialer is there, be it the one of the test before."""
        self.let_all_pass()
        self.vc.reset()
        self.switch.rules = SHORT
        if self.dialer_process is None or self.dialer_process.status is not None:
            await self.run()
        else:
            await self.until_ready()

    def let_all_pass(self) -> None:
        """Hold nothing back any more."""
        for gate in self.gates:
            gate.forget()

    async def kill(self, process: Twistd) -> None:
        """SIGKILL; returns when it is dead."""
        process.send(signal.SIGKILL)
        assert_that(await self.ends(process), is_(-signal.SIGKILL))

    def hang_up(self, contact: dict[str, Any]) -> None:
        """The customer hangs up."""
        self.switch.calls.kill(contact["id"], "NORMAL_CLEARING")

    async def until_slots(self, taken: int) -> None:
        """Wait until so many slots are taken."""

        async def so_many() -> bool:
            status = (await self.get("/status")).body
            free = max(0, status["maxConcurrentCalls"] - taken)
            return (status["activeCalls"], status["freeSlots"]) == (taken, free)

        await self.until(so_many, f"{taken} slots taken")

    def no_reply_came(self, contact: dict[str, Any]) -> None:
        """AGENT_REPLY_TIMEOUT goes by for a contact that waits for its agent."""
        self.execute("UPDATE contacts SET agent_time = agent_time - interval '1 day' WHERE id = %s", contact["id"])

    def claims_run_out(self) -> None:
        """CLAIM_TIME goes by for the messages that were claimed for delivery."""
        self.execute("UPDATE outbox SET next_time = now() WHERE state = 'waiting'")

    def lease_runs_out(self, owner: str = "dialer-1") -> None:
        """LEASE_TIME goes by for a dialer that cannot renew its lease."""
        self.execute("UPDATE dialers SET lease_until = now() - interval '1 second' WHERE id = %s", owner)

    def has_lease(self, owner: str = "dialer-1") -> bool:
        """Whether what a dialer holds is its own, as the others see it."""
        (row,) = self.query("SELECT lease_until > now() AS held FROM dialers WHERE id = %s", owner)
        return bool(row["held"])

    def execute(self, statement: str, *values: Any) -> None:
        """Change the dialers' database."""
        with closing(psycopg2.connect(self._conninfo)) as connection, connection, connection.cursor() as cursor:
            cursor.execute(statement, values)

    # -- what must be true afterwards ------------------------------------------------------------------------------

    def stored(self, contact: dict[str, Any]) -> dict[str, Any]:
        """The row of a contact."""
        (row,) = self.query("SELECT * FROM contacts WHERE id = %s", contact["id"])
        return row

    def history(self, contact: dict[str, Any], event: str) -> list[dict[str, Any]]:
        """The lines of a contact's history that tell of this event."""
        return self.query("SELECT * FROM contact_events WHERE contact_id = %s AND event = %s", contact["id"], event)

    def keys(self, contact: dict[str, Any], path: str = "/send-delivery-notification") -> set[str]:
        """The Idempotency-Keys under which the VC got something about a contact, or about its customer."""
        return {
            record.headers["idempotency-key"]
            for record in self.vc.records(lambda record: record.path == path)
            if contact["id"] == record.body.get("id") or contact["customerNumber"] == record.body.get("customerId")
        }

    def requests(self, contact: dict[str, Any]) -> int:
        """How often the VC was asked for an agent for a contact."""
        return int(self.vc.summary()["agentRequests"]["byContact"].get(contact["id"], 0))

    async def ends_well(
        self, contact: dict[str, Any], result: str, *, calls: int = 1, end_chats: int = 0, status: str = "ended"
    ) -> None:
        """Check a contact from outside: its result, stored and told, its calls, and that nothing is left of it."""
        told = await self.until_told(contact)
        assert_that(told, has_entries(callResult=wire_result(result)))
        await self.until(lambda: not self.waiting(contact), "everything delivered")
        row = self.stored(contact)
        assert_that(row, has_entries(status=status, call_result=result, owner=None, hold_until=None, on_return=None))
        assert_that(self.attempts(contact), has_length(calls), "calls")
        assert_that(self.keys(contact), has_length(1), "notifications")
        assert_that(self.keys(contact, "/end-chat"), has_length(end_chats), "END_CHATs")
        assert_that(self.vc.summary()["violations"], is_(0))
        await self.until(self._no_other_call, "no call but those that stand")

    async def _no_other_call(self) -> bool:
        """Whether all slots are free again; another contact of the same test may still be in its call."""
        return bool((await self.get("/status")).body["totalActiveCalls"] == self.standing)

    def waiting(self, contact: dict[str, Any]) -> list[dict[str, Any]]:
        """What the VC is still to be told about a contact."""
        return self.query("SELECT * FROM outbox WHERE contact_id = %s AND state <> 'delivered'", contact["id"])
