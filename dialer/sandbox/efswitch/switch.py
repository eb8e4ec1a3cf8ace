"""EFSwitch: a FreeSWITCH as its event socket shows it, with calls that only seem to happen."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from random import Random
from typing import ClassVar, Final, Literal
from uuid import uuid4

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, succeed
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.interfaces import IAddress, IDelayedCall, IListeningPort, IReactorTCP, IReactorTime
from twisted.internet.protocol import Factory
from twisted.logger import Logger

from . import wire
from .call import Call
from .channel import Channel
from .commands import Commands
from .connection import Connection
from .dialstring import DialOrder, Unusable, parse
from .events import Envelopes, Identity, write
from .faults import Faults
from .gateways import Gateway, Gateways
from .limits import Limits
from .records import Attempt, Records
from .rules import Rules

JOB_FIRST: Final = 58 / 200
"""How often the job of a failed call came before its CHANNEL_HANGUP_COMPLETE in 200 recorded calls."""

HEARTBEAT: Final = 20.0
"""Seconds between two HEARTBEAT events."""

EPOCH: Final = 1_700_000_000.0
"""Where a clock that starts near 0, as those of tests do, is taken to start; a time of 0 means never on the wire."""

_IVR: Final = {"*": ("playback", "tone_stream://%(2000,0,440)")}


class _Factory(Factory):
    noisy = False

    def __init__(self, switch: EFSwitch) -> None:
        self._switch = switch

    def buildProtocol(self, addr: IAddress | None) -> Connection:
        return self._switch.new_connection()


class EFSwitch:
    """The simulator.

    `clock` paces the calls. `rules` decide what becomes of them. `gateways` is `"any"`, a mapping from name to state,
    or Gateway objects. `sessions_per_second` and `max_sessions` are FreeSWITCH's limits; a stock one has 30 and 1000.
    `js_originate` adds the command `JSoriginate`. `agent_gateway` is where the extension `agent` calls the agent.
    `applications` maps an extension to the application and data that its dialplan runs, `"*"` for all others.
    `job_first` is the fraction of failed calls whose job comes before their last events. The last `records_limit`
    originates are remembered in `records`. The same `seed` gives the same choices.
    """

    log: ClassVar[Logger] = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        *,
        password: str = "ClueCon",
        rules: Rules | None = None,
        gateways: Literal["any"] | Iterable[Gateway] | Mapping[str, str] = "any",
        sessions_per_second: int = 10_000,
        max_sessions: int = 1000,
        js_originate: bool = False,
        agent_gateway: str = "agents",
        applications: Mapping[str, tuple[str, str]] = _IVR,
        job_first: float = JOB_FIRST,
        records_limit: int = 20_000,
        identity: Identity | None = None,
        seed: int | None = None,
    ) -> None:
        self.clock = clock
        self.password = password
        self.rules = rules or Rules(seed=seed)
        self.js_originate = js_originate
        self.agent_gateway = agent_gateway
        self.applications: Mapping[str, tuple[str, str]] = {**_IVR, **applications}
        self.faults = Faults()
        self.records = Records(records_limit)
        self.ip = "127.0.0.1"
        self.random = Random(seed)
        self._job_first = job_first
        self._epoch = 0.0 if clock.seconds() > EPOCH / 2 else EPOCH
        self.started = self.time()
        self.gateways = Gateways(gateways, started=self.started, ip=self.ip)
        self.limits = Limits(sessions_per_second, max_sessions)
        self.envelopes = Envelopes(identity or Identity(str(uuid4())), self.now)
        self.commands = Commands(self)
        self.connections: set[Connection] = set()
        self.channels: dict[str, Channel] = {}
        self._calls: dict[str, Call] = {}
        self._subscribers: dict[str, list[Connection]] = {}
        self._serial = 0
        self._session = 0
        self._port: IListeningPort | None = None
        self._heartbeat: IDelayedCall | None = None
        self._waiting_for_silence: list[Callable[[], None]] = []

    # Time and identity

    def time(self) -> float:
        """Unix time in seconds."""
        return self._epoch + self.clock.seconds()

    def now(self) -> int:
        """Microseconds since 1970."""
        return int((self._epoch + self.clock.seconds()) * 1_000_000)

    def uptime(self) -> float:
        """Seconds since the start of the switch."""
        return self.time() - self.started

    def new_uuid(self) -> str:
        """A random uuid; never the same again, whatever the seed."""
        return str(uuid4())

    def new_session(self) -> int:
        """The number of the next session."""
        self._session += 1
        return self._session

    def job_first(self) -> bool:
        """Whether the answer of a call that failed comes before its last events, this time."""
        return self.random.random() < self._job_first

    # Listening

    def factory(self) -> Factory:
        """A factory of server protocols, for an endpoint of one's own."""
        return _Factory(self)

    def listen(self, reactor: IReactorTCP, interface: str = "127.0.0.1", port: int = 0) -> Deferred[IListeningPort]:
        """Listen; fires with the port once it is open, fails with CannotListenError."""

        def opened(listening: IListeningPort) -> IListeningPort:
            self._port = listening
            self._reopen = lambda: self.listen(reactor, interface, self.address().port)
            self._beat()
            return listening

        endpoint = TCP4ServerEndpoint(reactor, port, interface=interface)
        return endpoint.listen(self.factory()).addCallback(opened)

    def address(self) -> IPv4Address:
        """Where it listens. Raises RuntimeError before `listen`."""
        if self._port is None:
            raise RuntimeError("the simulator does not listen")
        address = self._port.getHost()
        assert isinstance(address, IPv4Address)
        return address

    def stop(self) -> Deferred[None]:
        """End all calls without a word, close all connections and the port; fires when nothing is left."""
        self._forget_calls()
        self._cancel_heartbeat()
        self.drop()
        port = self._port
        return succeed(None) if port is None else _closed(port)

    def _cancel_heartbeat(self) -> None:
        if self._heartbeat is not None and self._heartbeat.active():
            self._heartbeat.cancel()
        self._heartbeat = None

    # Connections

    def new_connection(self) -> Connection:
        """A protocol for the next client."""
        self._serial += 1
        return Connection(self, self._serial)

    def connected(self, connection: Connection) -> None:
        """A client is there."""
        self.connections.add(connection)

    def disconnected(self, connection: Connection) -> None:
        """A client is gone."""
        self.connections.discard(connection)
        self.subscribed(connection)

    def subscribed(self, connection: Connection) -> None:
        """A connection's subscription changed: index anew who hears what."""
        self._subscribers.clear()

    def _hearers(self, event: str) -> list[Connection]:
        hearers = self._subscribers.get(event)
        if hearers is None:
            hearers = self._subscribers[event] = [
                connection
                for connection in sorted(self.connections, key=lambda each: each.serial)
                if event in connection.subscription.names or "ALL" in connection.subscription.names
            ]
        return hearers

    # Events

    def fire(self, event: str, channel: Channel) -> None:
        """Send an event of a channel to whoever subscribed to it."""
        sequence = self.envelopes.next()
        if self._hearers(event):
            self._send(event, sequence, lambda form: channel.body(event, form))

    def announce(self, event: str, headers: dict[str, str], body: str | None = None, subclass: str = "") -> None:
        """Send an event with these headers to whoever subscribed to it."""
        sequence = self.envelopes.next()
        if not self._hearers(event):
            return

        def written(form: str) -> str:
            text = write(headers, form)
            if body is not None and form == wire.JSON:
                return f'{text},"_body":"{wire.json_escape(body)}"'
            return text if body is None else f"{text}\n{body}"

        self._send(event, sequence, written, has_body=body is not None, subclass=subclass)

    def _send(
        self,
        event: str,
        sequence: int,
        body: Callable[[str], str],
        *,
        has_body: bool = False,
        subclass: str = "",
    ) -> None:
        frames: dict[str, bytes] = {}
        texts: dict[str, str] = {}

        def text(form: str) -> str:
            if form not in texts:
                end = "}" if form == wire.JSON else "" if has_body else "\n"
                texts[form] = self.envelopes.head(event, form, sequence, subclass) + body(form) + end
            return texts[form]

        for connection in self._hearers(event):
            subscription = connection.subscription
            if event == "CUSTOM" and not subscription.wants(subclass):
                continue
            if subscription.filters and not subscription.passes(json.loads(text(wire.JSON))):
                continue
            form = subscription.form
            if form not in frames:
                frames[form] = wire.event_frame(form, text(form))
            times = 1 if connection.is_control else self.faults.deliveries(event, self.random)
            for _ in range(times):
                connection.send_event(frames[form])

    def _beat(self) -> None:
        self._cancel_heartbeat()
        self._heartbeat = self.clock.callLater(HEARTBEAT, self._send_heartbeat)

    def _send_heartbeat(self) -> None:
        self._beat()
        limits, uptime = self.limits, self.uptime()
        self.announce(
            "HEARTBEAT",
            {
                "Event-Info": "System Ready",
                "Up-Time": self.commands.uptime_text(),
                "FreeSWITCH-Version": "1.11.3-dev~64bit",
                "Uptime-msec": str(int(uptime * 1000)),
                "Session-Count": str(len(self.channels)),
                "Max-Sessions": str(limits.sessions),
                "Session-Per-Sec": str(limits.per_second),
                "Session-Per-Sec-Last": str(limits.last_second(uptime)),
                "Session-Per-Sec-Max": str(limits.peak_per_second),
                "Session-Per-Sec-FiveMin": str(limits.peak_per_second),
                "Session-Since-Startup": str(limits.total),
                "Session-Peak-Max": str(limits.peak),
                "Session-Peak-FiveMin": str(limits.peak),
                "Idle-CPU": "95.000000",
            },
        )

    # Calls

    def background(self, name: str, argument: str, connection: Connection, job: str) -> None:
        """Run an API command as a background job: its answer becomes a BACKGROUND_JOB event for all subscribers."""

        def done(body: str) -> None:
            headers = {"Job-UUID": job, "Job-Command": name}
            if argument:
                headers["Job-Command-Arg"] = argument
            text = body or "-ERR no reply\n"
            headers["Content-Length"] = str(len(wire.to_bytes(text)))
            self.announce("BACKGROUND_JOB", headers, text)

        self.commands.execute(name, argument, connection, done)

    def originate(self, command: str, argument: str, connection: Connection, done: Callable[[str], None]) -> None:
        """Dial; `done` hears what FreeSWITCH answers to `originate`."""
        try:
            order = parse(argument)
        except Unusable as unusable:
            done(str(unusable))
            return
        attempt = Attempt(
            serial=self.records.count,
            at=self.time(),
            command=command,
            connection=connection.serial,
            uuid=order.uuid or self.new_uuid(),
            number=order.number,
            gateway=order.gateway,
            extension=order.extension,
            variables=order.variables,
        )
        self.records.add(attempt)
        gateway = self.gateways.get(order.gateway)
        attempt.refused = self._refusal(attempt, gateway)
        if attempt.refused is not None or gateway is None:
            done(f"-ERR {attempt.refused}\n")
            return
        self._dial(order, gateway, attempt, done)

    def _refusal(self, attempt: Attempt, gateway: Gateway | None) -> str | None:
        """Why there will be no channel, in the order in which FreeSWITCH looks; None when there will be one."""
        if attempt.uuid in self.channels or not self.admit():
            return "DESTINATION_OUT_OF_ORDER"
        if gateway is None:
            return "INVALID_GATEWAY"
        return None if gateway.is_up else "GATEWAY_DOWN"

    def _dial(self, order: DialOrder, gateway: Gateway, attempt: Attempt, done: Callable[[str], None]) -> None:
        gateway.calls += 1
        plan = self.rules.choose(order.number, order.gateway)
        Call(self, order, plan, gateway, attempt, done).start()

    def admit(self) -> bool:
        """Whether one more session may start; counts it."""
        return self.limits.admit(len(self.channels), self.uptime())

    def gateway_named(self, name: str) -> Gateway | None:
        """The gateway of that name; the one for agents always exists."""
        return self.gateways.get(name) or (Gateway(name=name) if name == self.agent_gateway else None)

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
            for each in waiting:
                self.clock.callLater(0, each)

    def is_alive(self, uuid: str) -> bool:
        """Whether a channel of that uuid lives."""
        return uuid in self.channels

    def kill(self, uuid: str, cause: str) -> None:
        """Hang up a channel, and with it its call; nothing happens when it is gone already."""
        call = self._calls.get(uuid)
        if call is not None:
            call.kill(cause, self.channels[uuid])

    def kill_all(self, cause: str) -> None:
        """Hang up all calls."""
        for uuid in tuple(self.channels):
            self.kill(uuid, cause)

    def _forget_calls(self) -> None:
        for call in tuple(self._calls.values()):
            call.vanish()

    # What goes wrong

    def faults_changed(self) -> None:
        """To be called after a change of `faults`: connections that are open act on it."""
        for connection in tuple(self.connections):
            connection.fault_changed()

    def clear_faults(self) -> None:
        """Turn all faults off."""
        self.faults = Faults()
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
        gateway = self.gateways.put(name, state)
        gateway.ping = gateway.ping or 5
        gateway.pinged = int(self.time())
        gateway.up_since = self.time()
        up = gateway.is_up
        headers = {"Gateway": name, "State": "NOREG", "Ping-Status": "UP" if up else "DOWN"}
        headers |= {"Phrase": "OK", "Status": "200"} if up else {"Phrase": "Request Timeout", "Status": "408"}
        self.announce("CUSTOM", headers, subclass="sofia::gateway_state")

    def restart(self, *, keep_calls: bool = False, downtime: float = 0.0) -> None:
        """Be killed and start again after `downtime` seconds, as after SIGKILL: bare EOF for all, and no events of the
        calls, which are gone unless `keep_calls`. The port stays the same."""
        self.drop()
        if not keep_calls:
            self._forget_calls()
        self._begin_anew()
        if self._port is not None:
            port, reopen = self._port, self._reopen
            address = self.address()
            self.log.info("EFSwitch simulator restarts, back in {downtime} s", downtime=downtime)
            _closed(port).addCallback(lambda _: self.clock.callLater(downtime, self._back, reopen, address))

    def _back(self, reopen: Callable[[], Deferred[IListeningPort]], address: IPv4Address) -> None:
        reopen().addErrback(
            lambda failure: self.log.failure(
                "EFSwitch simulator cannot listen on {address} again", failure, address=address
            )
        )

    def _begin_anew(self) -> None:
        self.started = self.time()
        identity = self.envelopes.identity
        fresh = Identity(str(uuid4()), identity.hostname, identity.switchname, identity.ipv4, identity.ipv6)
        self.envelopes.rename(fresh)
        self.envelopes.sequence = 0
        self.limits = Limits(self.limits.per_second, self.limits.sessions)

    def shut_down(self, *, now: bool = False) -> None:
        """What `fsctl shutdown` does: with `now` bare EOF and calls gone; otherwise events, a notice, EOF. It listens
        no more; `restart` brings it back."""
        self._cancel_heartbeat()
        if now:
            self._forget_calls()
            self.drop()
        else:
            self.announce("SHUTDOWN", {"Event-Info": "System Shutting Down"})
            self.kill_all("SYSTEM_SHUTDOWN")
            self.clock.callLater(0.1, self.drop, wire.disconnect_notice(wire.SHUTTING_DOWN))
        if self._port is not None:
            _closed(self._port)

    def when_silent(self, act: Callable[[], None]) -> None:
        """Call `act` once there is no channel left."""
        if self.channels:
            self._waiting_for_silence.append(act)
        else:
            self.clock.callLater(0, act)


def _closed(port: IListeningPort) -> Deferred[None]:
    closing = port.stopListening()
    return succeed(None) if closing is None else closing
