"""One connection to a switch, from the log-in on: what the dialer asks of a switch, in the switch's words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import orjson
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from dialer.esl.errors import CommandRefused, EslError
from dialer.esl.gateways import Gateways, GatewayStatus, KnownGateway
from dialer.esl.protocol import EslProtocol
from dialer.esl.wire import Event

EVENTS = ("CHANNEL_ANSWER", "CHANNEL_BRIDGE", "CHANNEL_HANGUP_COMPLETE", "BACKGROUND_JOB")
"""What the dialer listens to. No filter: `filter Unique-ID` would suppress BACKGROUND_JOB too."""

OriginateSetting = Literal["auto", "originate", "JSoriginate"]
"""The setting ORIGINATE_COMMAND."""


class Session:
    """The questions and commands of one connection. They fail as those of EslProtocol do.

    `lost` fires when the connection is no longer usable; by then `ended` says why, `lasted` for how many seconds it was
    logged in, and `on_lost` has been called.
    """

    def __init__(
        self,
        clock: IReactorTime,
        *,
        on_event: Callable[[Event], None],
        on_lost: Callable[[], None],
        on_dropped: Callable[[], None],
        skims: Callable[[], bool] = lambda: False,
        command_timeout: float,
    ) -> None:
        self.protocol = EslProtocol(
            clock,
            on_event=on_event,
            on_closed=self._closed,
            on_dropped=on_dropped,
            skims=skims,
            command_timeout=command_timeout,
        )
        self.lost: Deferred[None] = Deferred()
        self.ended: EslError | None = None
        self._clock = clock
        self._on_lost = on_lost
        self.lasted = 0.0
        self._logged_in: float | None = None
        self._originate = "originate"
        self._gateways = Gateways(clock, lambda gateway: self.protocol.api(f"sofia status gateway {gateway}"))

    async def log_in(self, password: str, originate: OriginateSetting) -> None:
        """Authenticate, subscribe, and find out which originate command the switch has."""
        await self.protocol.authenticate(password)
        self._logged_in = self._clock.seconds()
        await self.protocol.subscribe_json(*EVENTS)
        self._originate = await self._find_originate() if originate == "auto" else originate

    async def gateway(self, gateway_id: str) -> GatewayStatus:
        """Whether a gateway can be used."""
        return await self._gateways.status(gateway_id)

    @property
    def gateways(self) -> Sequence[KnownGateway]:
        """What was heard of gateways on this connection."""
        return self._gateways.known

    async def originate(self, arguments: str, job_id: str) -> str:
        """Place a call in the background; its Job-UUID. The command is written before this first waits."""
        return await self.protocol.bgapi(f"{self._originate} {arguments}", job_id)

    async def live_calls(self) -> frozenset[str]:
        """The UUIDs of all channels. Raises CommandRefused when the list cannot be relied on."""
        command = "show channels as json"
        answer = await self.protocol.api(command)
        try:
            listing = orjson.loads(answer)
            uuids = frozenset(row["uuid"] for row in listing.get("rows", ()))  # without a channel there are no rows
            if listing["row_count"] == len(uuids):
                return uuids
        except (ValueError, TypeError, LookupError, AttributeError):
            pass
        raise CommandRefused(f"api {command}", answer[:200])

    async def exists(self, uuid: str) -> bool:
        """Whether the switch has a channel of that UUID."""
        command = f"uuid_exists {uuid}"
        answer = (await self.protocol.api(command)).strip()
        if answer not in ("true", "false"):
            raise CommandRefused(f"api {command}", answer[:200])
        return answer == "true"

    def close(self, timeout: float) -> Deferred[None]:
        """Leave politely, within `timeout` seconds; fires when the connection is gone."""
        return self.protocol.close(timeout)

    async def _find_originate(self) -> str:
        # Without arguments it does nothing: a switch that has it answers with its usage or another complaint.
        answer = await self.protocol.api("JSoriginate")
        return "originate" if answer.startswith("-ERR") and "command not found" in answer.lower() else "JSoriginate"

    def _closed(self, error: EslError) -> None:
        self.ended = error
        if self._logged_in is not None:
            self.lasted = self._clock.seconds() - self._logged_in
        self._on_lost()
        self.lost.callback(None)
