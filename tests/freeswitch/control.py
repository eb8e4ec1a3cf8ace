"""The tests' own hand on the switch, past the dialer: it sets limits, ends calls, restarts, and sees what happens."""

from __future__ import annotations

import re
from typing import Any

from attrs import frozen
from twisted.internet.endpoints import HostnameEndpoint, connectProtocol

from dialer.esl.protocol import EslProtocol
from dialer.esl.wire import Event


@frozen
class Address:
    """What the environment says of the switch."""

    host: str
    port: int
    password: str
    gateway: str


@frozen
class Limits:
    """What switch.conf.xml says."""

    sessions_per_second: int
    max_sessions: int


class Control:
    """Each command has a connection of its own, so that it works whatever was restarted before."""

    def __init__(self, reactor: Any, address: Address) -> None:
        self._reactor = reactor
        self._ear: EslProtocol | None = None
        self.address = address
        self.events: list[Event] = []

    async def api(self, command: str) -> str:
        """One command and its answer. Raises what the connection raises."""
        protocol = await self._connect()
        try:
            return await protocol.api(command)
        finally:
            await protocol.close(2)

    async def fsctl(self, command: str) -> None:
        """One `fsctl`, which must not be refused."""
        answer = await self.api(f"fsctl {command}")
        assert answer.startswith("+OK"), answer

    async def bgapi(self, command: str) -> None:
        """One command whose end is not awaited."""
        protocol = await self._connect()
        try:
            await protocol.bgapi(command)
        finally:
            await protocol.close(2)

    async def _connect(self) -> EslProtocol:
        protocol = EslProtocol(self._reactor, on_event=self.events.append, on_closed=lambda _: None)
        endpoint = HostnameEndpoint(self._reactor, self.address.host, self.address.port, timeout=5)
        await connectProtocol(endpoint, protocol)
        await protocol.authenticate(self.address.password)
        return protocol

    # Calls

    async def exists(self, uuid: str) -> bool:
        """Whether the switch has that channel."""
        return (await self.api(f"uuid_exists {uuid}")).strip() == "true"

    async def listen(self, *events: str) -> None:
        """Collect these events in `events` until `deafen`."""
        self.events.clear()
        self._ear = await self._connect()
        await self._ear.subscribe_json(*events)

    async def deafen(self) -> None:
        """Collect no more events."""
        ear, self._ear = self._ear, None
        if ear is not None:
            await ear.close(2)

    def seen(self, name: str, uuid: str) -> list[Event]:
        """The collected events of that name and channel."""
        return [event for event in self.events if event.name == name and event.get("Unique-ID") == uuid]

    # The gateway

    async def gateway(self, name: str = "") -> dict[str, str]:
        """What the switch tells of a gateway, the one of the tests if none is named; empty when there is none."""
        answer = await self.api(f"sofia status gateway {name or self.address.gateway}")
        return dict(re.findall(r"^(\w+)\s*\t(\S*)", answer, re.MULTILINE))

    async def gateway_is(self, status: str) -> bool:
        """Whether the gateway is UP, or DOWN."""
        return (await self.gateway()).get("Status") == status

    # Limits

    async def limits(self) -> Limits:
        """Those in force."""
        answer = await self.api("status")
        rate, most = re.search(r"out of max (\d+)", answer), re.search(r"(\d+) session\(s\) max", answer)
        assert rate is not None, answer
        assert most is not None, answer
        return Limits(int(rate[1]), int(most[1]))

    async def tidy(self, limits: Limits) -> None:
        """No calls, no pause, and these limits."""
        await self.api("hupall")
        await self.fsctl("resume")
        await self.fsctl(f"sps {limits.sessions_per_second}")
        await self.fsctl(f"max_sessions {limits.max_sessions}")
