"""A whole dialer with PostgreSQL and the VC sandbox as in the service tests, but with a real switch to dial through."""

from __future__ import annotations

import itertools
from contextlib import closing
from typing import Any

import psycopg2
from attrs import frozen
from twisted.internet.address import IPv4Address

from tests.freeswitch.control import Control
from tests.freeswitch.customers import Customers, Leg, Manner
from tests.service import world as service_world

_numbers = itertools.count(1)


@frozen
class _Listening:
    """Stands for the port on which the simulator would listen."""

    address: IPv4Address

    def getHost(self) -> IPv4Address:
        """Where the switch is."""
        return self.address


class World(service_world.World):
    """`switch`, the simulator, is never started: instead there are `control` of the switch and its `customers`."""

    def __init__(self, conninfo: str, control: Control, customers: Customers) -> None:
        address = control.address
        super().__init__(
            conninfo,
            ESL_IP=f"{address.host}:{address.port}",
            ESL_PASSWORD=address.password,
            EFSWITCH_IP=address.host,
            CALLS_PER_SECOND="10",
        )
        self.control = control
        self.customers = customers

    async def open(self) -> None:
        """Start the VC; the switch is there."""
        self.switch_port = _Listening(IPv4Address("TCP", self.control.address.host, self.control.address.port))
        self.vc.listen()

    async def start(self, **environment: str) -> Any:
        """Start a dialer and wait until it can dial."""
        dialer = await super().start(**environment)
        await self.until_ready()
        return dialer

    # Contacts

    def for_customer(self, kind: Any, manner: Manner | None = None, **fields: Any) -> dict[str, Any]:
        """A contact of a customer with a new number, who behaves like that."""
        number = f"+4420{next(_numbers):04}"
        if manner is not None:
            self.customers.manners[number] = manner
        return kind(**({"customerNumber": number, "gatewayId": self.control.address.gateway} | fields))

    def legs(self, contact: dict[str, Any]) -> list[Leg]:
        """The calls that came to the customer of a contact."""
        return self.customers.calls(contact["customerNumber"])

    async def until_leg(self, number: str, state: str) -> Leg:
        """Wait until the latest call to a number is in that state."""

        def there() -> Leg | None:
            calls = self.customers.calls(number)
            return calls[-1] if calls and calls[-1].state == state else None

        found: Leg = await self.until(there, f"a call to {number}, {state}")
        return found

    async def until_gone(self, uuid: str) -> None:
        """Wait until the switch has no such channel."""

        async def gone() -> bool:
            return not await self.control.exists(uuid)

        await self.until(gone, f"end of {uuid}")

    async def until_bridged(self, contact: dict[str, Any]) -> None:
        """Wait until the switch has connected the customer with the agent, and the dialer has stored it."""

        def stored() -> bool:
            with closing(psycopg2.connect(self._conninfo)) as connection, connection.cursor() as cursor:
                cursor.execute("SELECT bridged FROM contacts WHERE id = %s", [contact["id"]])
                return bool(cursor.fetchone()[0])

        await self.until(stored, "bridge")

    async def until_gateway(self, status: str) -> None:
        """Wait until the switch says that of the gateway: the next ping may be five seconds away."""
        await self.until(lambda: self.control.gateway_is(status), f"gateway {status}")
