"""EFSwitch: a FreeSWITCH as its event socket shows it, with calls that only seem to happen."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from random import Random
from typing import ClassVar, Final, Literal
from uuid import uuid4

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IAddress, IListeningPort, IReactorTCP, IReactorTime
from twisted.internet.protocol import Factory, ServerFactory
from twisted.logger import Logger

from . import wire
from .bus import Bus
from .calls import Calls
from .channel import Channel
from .commands import Commands
from .connection import Connection
from .door import Door
from .events import Envelopes, Identity
from .faults import Faults
from .gateways import Gateway, Gateways
from .heartbeat import Heartbeat
from .limits import Limits
from .records import Records
from .rules import Rules
from .timepiece import Timepiece

JOB_FIRST: Final = 58 / 200
"""How often the job of a failed call came before its CHANNEL_HANGUP_COMPLETE in 200 recorded calls."""

SHUTDOWN_TIME: Final = 0.1
"""Seconds from the last events to the end of the connections; a real one took 1.7 s with a thread for each call."""

_IVR: Final = {"*": ("playback", "tone_stream://%(2000,0,440)")}


class _Factory(ServerFactory):
    noisy = False

    def logPrefix(self) -> str:
        return "EFSwitch simulator"

    def __init__(self, switch: EFSwitch) -> None:
        self._switch = switch

    def buildProtocol(self, addr: IAddress | None) -> Connection:  # noqa: ARG002
        return self._switch.new_connection()


class EFSwitch:
    """The simulator.

    `clock` paces the calls. `rules` decide what becomes of them. `gateways` is `"any"`, a mapping from name to state,
    or Gateway objects. `sessions_per_second` and `max_sessions` are FreeSWITCH's limits; a stock one has 30 and 1000.
    `js_originate` adds the command `JSoriginate`. `agent_gateway` is where the extension `agent` calls the agent.
    `applications` maps an extension to the application and data that its dialplan runs, `"*"` for all others; with an
    entry for `agent` agents are not called.
    `job_first` is the fraction of failed calls whose job comes before their last events, `unbridge_first` that of
    bridges left by the customer whose CHANNEL_UNBRIDGE comes before the CHANNEL_HANGUP_COMPLETE of the agent. The last
    `records_limit` originates are remembered in `records`. The same `seed` gives the same choices.
    """

    log: ClassVar[Logger] = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        *,
        password: str = "ClueCon",  # noqa: S107 - the one that every stock FreeSWITCH has
        rules: Rules | None = None,
        gateways: Literal["any"] | Iterable[Gateway] | Mapping[str, str] = "any",
        sessions_per_second: int = 10_000,
        max_sessions: int = 1000,
        js_originate: bool = False,
        agent_gateway: str = "agents",
        applications: Mapping[str, tuple[str, str]] = _IVR,
        job_first: float = JOB_FIRST,
        unbridge_first: float = 0.5,
        records_limit: int = 20_000,
        identity: Identity | None = None,
        seed: int | None = None,
    ) -> None:
        self.password = password
        self.js_originate = js_originate
        self.timepiece = Timepiece(clock)
        random = Random(seed)
        self.bus = Bus(Envelopes(identity or Identity(str(uuid4())), self.timepiece.now), random)
        self.calls = Calls(
            self.timepiece,
            self.bus,
            rules=rules or Rules(seed=seed),
            gateways=Gateways(gateways, started=self.timepiece.started),
            limits=Limits(sessions_per_second, max_sessions),
            records=Records(records_limit),
            random=random,
            agent_gateway=agent_gateway,
            applications={**_IVR, **applications},
            job_first=job_first,
            unbridge_first=unbridge_first,
        )
        self.commands = Commands(self)
        self._heartbeat = Heartbeat(self.timepiece, self.bus, self.calls)
        self._door = Door(_Factory(self))
        self.connections: set[Connection] = set()
        self._serial = 0
        self._emptied: Deferred[None] | None = None

    @property
    def rules(self) -> Rules:
        """What becomes of calls; may be replaced at any time."""
        return self.calls.rules

    @rules.setter
    def rules(self, rules: Rules) -> None:
        self.calls.rules = rules

    @property
    def records(self) -> Records:
        """Every originate and what really became of it."""
        return self.calls.records

    @property
    def limits(self) -> Limits:
        """FreeSWITCH's limits on sessions; its numbers may be changed at any time."""
        return self.calls.limits

    @property
    def channels(self) -> Mapping[str, Channel]:
        """The live legs by uuid."""
        return self.calls.channels

    # Listening

    def factory(self) -> Factory:
        """A factory of server protocols, for an endpoint of one's own."""
        return _Factory(self)

    def listen(self, reactor: IReactorTCP, interface: str = "127.0.0.1", port: int = 0) -> Deferred[IListeningPort]:
        """Listen; fires with the port, fails with CannotListenError."""
        return maybeDeferred(self._door.open, reactor, interface, port)

    def address(self) -> IPv4Address:
        """Where it listens. Raises RuntimeError when it does not."""
        return self._door.address()

    def stop(self) -> Deferred[None]:
        """End all calls without a word, close all connections and the port; fires when nothing is left."""
        self.calls.vanish()
        self.timepiece.stop()
        self.drop()
        return Deferred.fromCoroutine(self._closed())

    async def _closed(self) -> None:
        await self._door.close()
        if self.connections:
            self._emptied = Deferred()
            await self._emptied

    # Connections

    def new_connection(self) -> Connection:
        """A protocol for the next client."""
        self._serial += 1
        return Connection(self, self._serial)

    def connected(self, connection: Connection) -> None:
        """A client is there."""
        self.connections.add(connection)
        self.bus.join(connection)
        self._heartbeat.start()

    def disconnected(self, connection: Connection) -> None:
        """A client is gone."""
        self.connections.discard(connection)
        self.bus.leave(connection)
        if not self.connections:
            self._heartbeat.stop()
            emptied, self._emptied = self._emptied, None
            if emptied is not None:
                emptied.callback(None)

    # What goes wrong

    def faults_changed(self) -> None:
        """To be called after a change of `faults`: connections that are open act on it."""
        for connection in tuple(self.connections):
            connection.fault_changed()

    @property
    def faults(self) -> Faults:
        """The faults that are on; call `faults_changed` after a change."""
        return self.bus.faults

    def clear_faults(self) -> None:
        """Turn all faults off."""
        self.bus.faults = Faults()
        self.faults_changed()

    def drop(self, *last: bytes, control_too: bool = True) -> None:
        """Cut all connections, after these last frames if there are any."""
        for connection in tuple(self.connections):
            if control_too or not connection.is_control:
                if last:
                    connection.close(*last)
                else:
                    connection.abort()

    def reload_event_socket(self) -> None:
        """End all connections with a notice; calls go on and their events are missed."""
        self.drop(wire.disconnect_notice(wire.SHUTTING_DOWN))

    def set_gateway(self, name: str, state: str) -> None:
        """Add a gateway or change its state, `UP`, `UP (ping)` or `DOWN`; subscribers hear of it.

        Raises ValueError for another state.
        """
        gateway = self.calls.gateways.put(name, state)
        gateway.ping = gateway.ping or 5
        gateway.pinged = int(self.timepiece.time())
        gateway.up_since = self.timepiece.time()
        up = gateway.is_up
        headers = {"Gateway": name, "State": "NOREG", "Ping-Status": "UP" if up else "DOWN"}
        headers |= {"Phrase": "OK", "Status": "200"} if up else {"Phrase": "Request Timeout", "Status": "408"}
        self.bus.announce("CUSTOM", headers, subclass="sofia::gateway_state")

    def restart(self, *, keep_calls: bool = False, downtime: float = 0.0) -> Deferred[None]:
        """Be killed and start again after `downtime` seconds, as after SIGKILL: bare EOF for all, and no events of the
        calls, which are gone unless `keep_calls`. The port stays the same. Fires once it is closed."""
        self.log.info("EFSwitch simulator restarts, back in {downtime} s", downtime=downtime)
        self.drop()
        if not keep_calls:
            self.calls.vanish()
        self._begin_anew()
        return Deferred.fromCoroutine(self._close_and_reopen(downtime))

    async def _close_and_reopen(self, downtime: float) -> None:
        await self._door.close()
        self.timepiece.later(downtime, self._door.reopen)

    def _begin_anew(self) -> None:
        self.timepiece.start_anew()
        envelopes = self.bus.envelopes
        identity = envelopes.identity
        fresh = Identity(str(uuid4()), identity.hostname, identity.switchname, identity.ipv4, identity.ipv6)
        envelopes.rename(fresh)
        envelopes.sequence = 0
        self.calls.limits = Limits(self.limits.per_second, self.limits.sessions)

    def shut_down(self, *, now: bool = False) -> None:
        """What `fsctl shutdown` does: with `now` bare EOF and calls gone; otherwise events, a notice, EOF. It listens
        no more; `restart` brings it back."""
        if now:
            self.calls.vanish()
            self.drop()
        else:
            self.bus.announce("SHUTDOWN", {"Event-Info": "System Shutting Down"})
            self.calls.kill_all("SYSTEM_SHUTDOWN")
            self.timepiece.later(SHUTDOWN_TIME, self.drop, wire.disconnect_notice(wire.SHUTTING_DOWN))
        Deferred.fromCoroutine(self._door.close())
