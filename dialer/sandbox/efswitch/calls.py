"""The calls of a switch: which there are, which may start, and how they end from outside."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from random import Random
from typing import Final
from uuid import uuid4

from .bus import Bus
from .call import Call
from .channel import Channel
from .dialstring import Unusable, parse
from .gateways import Gateway, Gateways
from .limits import Limits
from .records import Attempt, Records
from .rules import Rules
from .timepiece import Timepiece

AGENT: Final = "agent"
"""The extension whose dialplan calls the agent and bridges."""

ANY: Final = "*"
"""The key for the application of all extensions that have none of their own."""


class Calls:
    """Dials, and knows the live channels by uuid; the `Exchange` of each Call."""

    def __init__(
        self,
        timepiece: Timepiece,
        bus: Bus,
        *,
        rules: Rules,
        gateways: Gateways,
        limits: Limits,
        records: Records,
        random: Random,
        agent_gateway: str,
        applications: Mapping[str, tuple[str, str]],
        job_first: float,
        unbridge_first: float,
    ) -> None:
        self._timepiece = timepiece
        self._bus = bus
        self.rules = rules
        self.gateways = gateways
        self.limits = limits
        self.records = records
        self._random = random
        self.clock = timepiece.clock
        self.ip = gateways.ip
        self.agent_gateway = agent_gateway
        self._applications = applications
        self._job_first = job_first
        self._unbridge_first = unbridge_first
        self.channels: dict[str, Channel] = {}
        self._calls: dict[str, Call] = {}
        self._unanswered: set[Call] = set()
        """The calls of which `originate` has not heard yet: it may hear of the end after the last channel is gone."""
        self._sessions = 0
        self._waiting_for_silence: list[Callable[[], None]] = []

    # Dialing

    def originate(self, command: str, argument: str, connection: int, done: Callable[[str], None]) -> None:
        """Dial; `done` hears once what FreeSWITCH answers to `originate`."""
        try:
            order = parse(argument)
        except Unusable as unusable:
            done(str(unusable))
            return
        attempt = Attempt(
            serial=self.records.count,
            at=self._timepiece.time(),
            command=command,
            connection=connection,
            uuid=order.uuid or self.new_uuid(),
            number=order.number,
            gateway=order.gateway,
            extension=order.extension,
            variables=order.variables,
        )
        self.records.add(attempt)
        gateway = self.gateways.get(order.gateway)
        attempt.refused = self._refusal(attempt.uuid, gateway)
        if attempt.refused is not None or gateway is None:
            done(f"-ERR {attempt.refused}\n")
            return
        gateway.calls += 1

        def answered(text: str) -> None:
            self._unanswered.discard(call)
            done(text)

        call = Call(self, order, self.rules.choose(order.number, order.gateway), gateway, attempt, answered)
        self._unanswered.add(call)
        call.start()

    def _refusal(self, uuid: str, gateway: Gateway | None) -> str | None:
        """Why there will be no channel, in the order in which FreeSWITCH looks; None when there will be one."""
        if uuid in self.channels or not self.admit():
            return "DESTINATION_OUT_OF_ORDER"
        if gateway is None:
            return "INVALID_GATEWAY"
        return None if gateway.is_up else "GATEWAY_DOWN"

    # The live ones

    def is_alive(self, uuid: str) -> bool:
        """Whether a channel of that uuid lives."""
        return uuid in self.channels

    def kill(self, uuid: str, cause: str) -> None:
        """Hang up a channel, and with it its call; nothing happens when it is gone already."""
        call = self._calls.get(uuid)
        if call is not None:
            call.kill(cause, self.channels[uuid])

    def kill_all(self, cause: str) -> None:
        """Hang up all calls, the newest legs first, as a FreeSWITCH that is shut down does."""
        for uuid in reversed(tuple(self.channels)):
            self.kill(uuid, cause)

    def vanish(self) -> None:
        """Lose all calls without any event."""
        for call in {*self._calls.values(), *self._unanswered}:
            call.vanish()
        self._unanswered.clear()

    def when_silent(self, act: Callable[[], None]) -> None:
        """Call `act` once there is no channel left."""
        if self.channels:
            self._waiting_for_silence.append(act)
        else:
            self._timepiece.later(0, act)

    # What a Call needs

    def now(self) -> int:
        """Microseconds since 1970."""
        return self._timepiece.now()

    def fire(self, event: str, channel: Channel) -> None:
        """Send an event of a channel to whoever subscribed to it."""
        self._bus.fire(event, channel)

    def enter(self, channel: Channel, call: Call) -> None:
        """Count a channel as alive."""
        self.channels[channel.uuid] = channel
        self._calls[channel.uuid] = call

    def leave(self, channel: Channel) -> None:
        """Count a channel as gone."""
        self.channels.pop(channel.uuid, None)
        self._calls.pop(channel.uuid, None)
        if not self.channels:
            waiting, self._waiting_for_silence = self._waiting_for_silence, []
            for act in waiting:
                self._timepiece.later(0, act)

    def admit(self) -> bool:
        """Whether one more session may start; counts it."""
        return self.limits.admit(len(self.channels), self._timepiece.uptime())

    def job_first(self) -> bool:
        """Whether the answer of a call that failed comes before its last events, this time."""
        return self._random.random() < self._job_first

    def unbridge_first(self) -> bool:
        """Whether the customer's leg sees the end of a bridge before the agent's leg is gone, this time."""
        return self._random.random() < self._unbridge_first

    def new_uuid(self) -> str:
        """A random uuid; never the same again, whatever the seed."""
        return str(uuid4())

    def new_session(self) -> int:
        """The number of the next session."""
        self._sessions += 1
        return self._sessions

    def gateway_named(self, name: str) -> Gateway | None:
        """The gateway of that name; the one for agents always exists."""
        return self.gateways.get(name) or (Gateway(name=name) if name == self.agent_gateway else None)

    def application(self, extension: str) -> tuple[str, str] | None:
        """The application and its data that the dialplan runs for an extension; None for one that calls an agent."""
        if extension == AGENT and AGENT not in self._applications:
            return None
        return self._applications.get(extension) or self._applications[ANY]
