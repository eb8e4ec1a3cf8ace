"""A whole dialer in the test's own process, with the real things around it: PostgreSQL, the simulator, the sandbox."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import closing
from typing import Any
from urllib.parse import quote, urlencode
from uuid import uuid4

import psycopg2
import treq
from attrs import define
from psycopg2.extensions import parse_dsn
from twisted.internet import reactor
from twisted.internet.defer import fail
from twisted.web.client import Agent, HTTPConnectionPool

from dialer.environment import load
from dialer.sandbox.efswitch import EFSwitch, Rule, Rules
from dialer.sandbox.vc import VoiceConnector
from dialer.service import Dialer
from tests.ports import KeptPort
from tests.waiting import until
from tests.web.contract import contract, is_page

QUICK = {
    "CALLS_PER_SECOND": "200",
    "MAX_CONCURRENT_CALLS": "20",
    "CONTACT_RETRIEVAL_DELAY": "0.3",
    "RECONCILE_INTERVAL": "0.5",
    "ESL_CONNECT_DELAY": "0.3",
    # It is had again at once by whoever starts next, and not lost to a machine that stalls.
    "LEASE_TIME": "10",
    "HTTP_INTERFACE": "127.0.0.1",
    "HTTP_PORT": "0",
}
"""Settings under which nothing that a test waits for takes long."""

PATIENCE = 45.0
"""Seconds after which a condition that did not come true fails the test: a message whose claim got lost is sent when
the claim runs out, after 30."""


def database_url(conninfo: str) -> str:
    """A DB_URL for a libpq connection string."""
    parts = parse_dsn(conninfo)
    return f"postgresql:///{quote(parts.pop('dbname'))}?{urlencode(parts)}"


@define
class Reply:
    """An HTTP answer."""

    status: int
    body: Any
    headers: Any


def ivr(**fields: Any) -> dict[str, Any]:
    """An IVR contact as it is posted."""
    contact = {
        "id": str(uuid4()),
        "customerNumber": "+447700900123",
        "campaignType": "IVR",
        "gatewayId": "gw-1",
        "campaignId": "campaign-1",
    }
    return contact | fields


def agent(**fields: Any) -> dict[str, Any]:
    """An AGENT contact as it is posted."""
    modes = {"campaignType": "AGENT", "dialingMode": "PROGRESSIVE", "routingMode": "QUEUE", "queueName": "Sales"}
    return ivr(**(modes | fields))


class World:
    """Parts are attributes; those that a test does not want are never started.

    `rules` say what becomes of calls. The dialer is started by `start`, so that a test can prepare the rest first.
    """

    patience = PATIENCE

    def __init__(self, conninfo: str, **environment: str) -> None:
        self._conninfo = conninfo
        self._environment = environment
        self._pool = HTTPConnectionPool(reactor, persistent=False)
        self._client = treq.client.HTTPClient(Agent(reactor, pool=self._pool))
        self._dialers: list[Dialer] = []
        self.switch = EFSwitch(
            reactor,
            rules=Rules([Rule(ring=0.01, talk=0.05, agent_ring=0.01)]),
            gateways={"gw-1": "UP", "gw-2": "UP", "agents": "UP"},
            sessions_per_second=1000,
        )
        self.switch_port: Any = None
        # Both go away and come back in some tests.
        self._ports = KeptPort(), KeptPort()
        self.vc = VoiceConnector(reactor, dialer_url=None, reply_delay=0.01)

    @property
    def conninfo(self) -> str:
        """The dialer's database."""
        return self._conninfo

    @property
    def dialer(self) -> Dialer:
        """The dialer started last."""
        return self._dialers[-1]

    @property
    def url(self) -> str:
        """Where the dialer serves HTTP."""
        return f"http://127.0.0.1:{self.dialer.port.getHost().port}"

    async def open(self) -> None:
        """Start the switch and the VC."""
        switch, vc = self._ports
        self.switch_port = await self.switch.listen(reactor, port=switch.number)
        self.vc.listen(port=vc.number)

    async def start(self, **environment: str) -> Dialer:
        """Start a dialer and wait until it may dial, or for whatever it waits for."""
        settings = load(
            QUICK
            | {
                "DB_URL": database_url(self._conninfo),
                "ESL_IP": f"127.0.0.1:{self.switch_port.getHost().port}",
                "VOICE_CONNECTOR": self.vc.url,
                "DIALER_ID": "dialer-1",
            }
            | self._environment
            | environment
        )
        dialer = Dialer(reactor, settings)
        self._dialers.append(dialer)
        dialer.startService()
        await dialer.started
        self.vc.dialer_url = self.url
        return dialer

    async def stop_dialer(self, dialer: Dialer | None = None) -> None:
        """Stop a dialer in order, as SIGTERM does."""
        dialer = dialer or self.dialer
        self._dialers.remove(dialer)
        await dialer.stopService()

    async def close(self) -> None:
        """Stop everything; whatever the VC got is held against its description."""
        for dialer in list(self._dialers):
            await self.stop_dialer(dialer)
        await self.vc.stop()
        await self.switch.stop()
        await self._pool.closeCachedConnections()
        for record in self.vc.records(lambda record: record.direction == "in"):
            contract().sent(record.path, record.headers, record.body)

    # -- HTTP ------------------------------------------------------------------------------------------------------

    async def request(self, method: str, path: str, **keywords: Any) -> Reply:
        """One request to the dialer."""
        response = await self._client.request(method, self.url + path, timeout=self.patience, **keywords)
        text = await response.text("utf-8")
        try:
            body = json.loads(text)
        except ValueError:
            body = text
        # Whatever a test is about, it holds the dialer to its description.
        if method != "HEAD" and not is_page(path):
            promised = contract(asks_for_tokens="API_TOKENS" in self._environment)
            promised.answered(method, path, response.code, response.headers, body)
            if response.code == 200 and "json" in keywords:
                promised.accepted(method, path, keywords["json"])
        return Reply(response.code, body, response.headers)

    async def get(self, path: str) -> Reply:
        """GET."""
        return await self.request("GET", path)

    async def post(self, path: str, body: Any = None) -> Reply:
        """POST, with JSON if there is a body."""
        return await (self.request("POST", path) if body is None else self.request("POST", path, json=body))

    async def load(self, *contacts: dict[str, Any]) -> None:
        """Post contacts; each must be new."""
        reply = await self.post("/contacts", list(contacts))
        assert (reply.status, reply.body) == (200, {"accepted": len(contacts), "duplicates": 0}), reply

    async def contact(self, contact: dict[str, Any] | str) -> dict[str, Any]:
        """A contact as the dialer tells it."""
        contact_id = contact if isinstance(contact, str) else contact["id"]
        reply = await self.get(f"/contact/{contact_id}")
        assert reply.status == 200, reply
        return reply.body

    async def execute(self, statement: str, *values: Any) -> None:
        """Change the database as another program does."""
        with closing(psycopg2.connect(self._conninfo)) as connection, connection, connection.cursor() as cursor:
            cursor.execute(statement, values)

    # -- waiting ---------------------------------------------------------------------------------------------------

    async def until(self, condition: Callable[[], Any], what: str = "condition") -> Any:
        """Wait until `condition` gives something true, which is returned; it may be asynchronous."""
        return await until(reactor, condition, what, patience=self.patience, every=0.02)

    async def until_ready(self, ready: bool = True) -> None:
        """Wait until the dialer says that it can dial, or that it cannot."""

        async def answered() -> bool:
            return ((await self.get("/readyz")).status == 200) is ready

        await self.until(answered, "ready" if ready else "not ready")

    async def until_status(self, contact: dict[str, Any], *statuses: str) -> dict[str, Any]:
        """Wait until a contact has one of these states; the contact."""
        latest: dict[str, Any] = {}

        async def there() -> dict[str, Any] | None:
            latest.update(await self.contact(contact))
            return latest if latest["status"] in statuses else None

        try:
            return await self.until(there, f"status {statuses}")
        except AssertionError as error:
            raise AssertionError(f"{error}; it is {latest}") from None

    async def until_told(self, contact: dict[str, Any]) -> dict[str, Any]:
        """Wait for the VC's delivery notification of a contact; its body."""
        told = self.vc.when(
            lambda record: record.path == "/send-delivery-notification" and record.body.get("id") == contact["id"]
        )
        told.addTimeout(self.patience, reactor, lambda *_: fail(AssertionError("the VC was not told")))
        return (await told).body

    # -- what the others saw ---------------------------------------------------------------------------------------

    def attempts(self, contact: dict[str, Any]) -> list[Any]:
        """The simulator's records of originates for a contact."""
        return [attempt for attempt in self.switch.records.since() if attempt.uuid == contact["id"]]

    def end_chats(self, contact: dict[str, Any]) -> list[dict[str, Any]]:
        """The bodies of the END_CHATs that the VC got for a contact's customer."""
        return [
            record.body
            for record in self.vc.records(lambda record: record.path == "/end-chat")
            if record.body.get("customerId") == contact["customerNumber"]
        ]

    def notifications(self, contact: dict[str, Any]) -> list[dict[str, Any]]:
        """The bodies of the delivery notifications that the VC got for a contact."""
        return [
            record.body
            for record in self.vc.records(lambda record: record.path == "/send-delivery-notification")
            if record.body.get("id") == contact["id"]
        ]
