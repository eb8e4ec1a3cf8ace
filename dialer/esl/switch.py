"""One EFSwitch: a service that keeps a connection to it, knows its state, and passes questions on."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from random import Random
from typing import Any, TypeVar

from twisted.application.service import Service
from twisted.internet import defer, error
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.endpoints import HostnameEndpoint, connectProtocol
from twisted.internet.interfaces import IReactorTime, IStreamClientEndpoint
from twisted.internet.task import deferLater
from twisted.logger import Logger

from dialer.esl.errors import ConnectionLostError, EslError, NotSent, SwitchDown, WireError
from dialer.esl.gateways import GatewayStatus, KnownGateway
from dialer.esl.protocol import COMMAND_TIMEOUT
from dialer.esl.session import OriginateSetting, Session
from dialer.esl.wire import Event
from dialer.pacing import backoff
from dialer.trouble import Trouble, TroubleWatch

FIRST_WAIT = 0.5
"""Seconds before the first new attempt to connect: a switch that restarts its event socket is back at once."""

LASTED = 10.0
"""Seconds that a connection must have been logged in for the waits to start short again."""

RECONCILE_AGAIN = 5.0
"""Seconds between two attempts of `on_connected`, should it fail while the connection stands."""

GOODBYE = 3.0
"""Seconds that stopping waits for replies under way, and again for `on_connected`: together less than the ten that
the whole process has for its exit."""

STOPPING = "the dialer is stopping"

T = TypeVar("T")


class Switch(Service):
    """Keeps one authenticated, subscribed connection to a switch for as long as the service runs.

    After each connect `on_connected` is awaited, so that its owner can compare the contacts with the live calls; only
    then is the switch `ready`. During that it is `connected`: everything but `originate` works. It never runs twice
    at once and is never cancelled: what it asks of a lost connection raises SwitchDown. Should it raise while the
    connection stands, it runs again after RECONCILE_AGAIN.

    `on_event` gets every event, unread while `skims` (see EslProtocol). `on_change` is called after each change of
    `connected`, `ready` or `reason`, the sentence that says why it is not ready; `since` is the time of that change.
    What they raise is logged.

    `log_ins` counts the connections that it took, `events_dropped` the events that could not be read.
    """

    log = Logger()
    name: str

    def __init__(
        self,
        reactor: IReactorTime,
        *,
        host: str,
        port: int,
        password: str,
        originate_command: OriginateSetting,
        connect_delay: float,
        on_event: Callable[[Switch, Event], None],
        on_connected: Callable[[Switch], Awaitable[None]],
        on_change: Callable[[Switch], None],
        random: Random,
        skims: Callable[[], bool] = lambda: False,
        command_timeout: float = COMMAND_TIMEOUT,
        endpoint: IStreamClientEndpoint | None = None,
        name: str | None = None,
    ) -> None:
        """Times are seconds; `connect_delay` is the longest wait between two attempts.

        `endpoint` is where to connect when it is not just that host and port.
        """
        self.name = name or f"{host}:{port}"
        self.host = host
        self._clock = reactor
        self._endpoint = endpoint or HostnameEndpoint(reactor, host, port, timeout=command_timeout)
        self._password = password
        self._originate_command: OriginateSetting = originate_command
        self._connect_delay = connect_delay
        self._command_timeout = command_timeout
        self._on_event = on_event
        self._on_connected = on_connected
        self._on_change = on_change
        self._random = random
        self._skims = skims

        self._connected = self._ready = False
        self._reason: str | None = "not connected yet"
        self._since = reactor.seconds()
        self._disabled: str | None = None
        self._watch = TroubleWatch(reactor)
        self._watch.failed("not connected yet")

        self.log_ins = 0
        self.events_dropped = 0

        self._session: Session | None = None  # from the TCP connection to its end
        self._pause: Deferred[Any] | None = None  # what may be cut short: an attempt to connect, or a wait
        self._loop: Deferred[None] = defer.succeed(None)
        self._first_ended = False
        self._first_waiters: list[Deferred[None]] = []

    @property
    def connected(self) -> bool:
        """Whether it is logged in and subscribed, and can be asked."""
        return self._connected

    @property
    def ready(self) -> bool:
        """Whether calls may be placed: connected, compared with its live calls, and not disabled."""
        return self._ready

    @property
    def settling(self) -> bool:
        """Whether it may become ready any moment: its first connection, or comparing its calls, is under way."""
        return not self._ready and (not self._first_ended or (self._connected and self._disabled is None))

    @property
    def reason(self) -> str | None:
        """Why it is not ready, as a clear sentence; None when it is."""
        return self._reason

    @property
    def since(self) -> float:
        """When the state last changed, in `reactor.seconds()`."""
        return self._since

    @property
    def trouble(self) -> Trouble | None:
        """For how long it has not been ready, and why not; None when it is."""
        return self._watch.trouble

    @property
    def gateways(self) -> Sequence[KnownGateway]:
        """What this connection has heard of gateways; nothing while there is none."""
        return () if self._session is None else self._session.gateways

    # What a switch can be asked

    async def gateway(self, gateway_id: str) -> GatewayStatus:
        """Whether a gateway can be used; an answer may be a second old. What cannot be a name is INVALID, unasked.

        Raises SwitchDown.
        """
        return await self._asked(lambda session: session.gateway(gateway_id))

    async def live_calls(self) -> frozenset[str]:
        """The UUIDs of all channels. Raises SwitchDown, or CommandRefused when the list cannot be relied on."""
        return await self._asked(lambda session: session.live_calls())

    async def exists(self, uuid: str) -> bool:
        """Whether the switch has a channel of that UUID. Raises SwitchDown and CommandRefused."""
        return await self._asked(lambda session: session.exists(uuid))

    async def originate(self, arguments: str, job_id: str) -> str:
        """Place a call in the background; the Job-UUID that the reply names.

        The command is written before this first waits. Raises SwitchDown and BadCommand (certainly never sent),
        ReplyLost (written, but no reply came: the call may exist) and CommandRefused.
        """
        if self._session is None or not self._ready:
            raise self._down()
        try:
            return await self._session.originate(arguments, job_id)
        except NotSent as never:
            raise SwitchDown(str(never)) from never

    async def _asked(self, question: Callable[[Session], Awaitable[T]]) -> T:
        if self._session is None or not self._connected:
            raise self._down()
        try:
            return await question(self._session)
        except ConnectionLostError as lost:
            raise SwitchDown(str(lost)) from lost

    def _down(self) -> SwitchDown:
        return SwitchDown(f"EFSwitch {self.name} cannot be used: {self._reason}")

    # The service

    def startService(self) -> None:
        """Begin to connect."""
        super().startService()
        self._loop = Deferred.fromCoroutine(self._stay_connected())

    def stopService(self) -> Deferred[None]:
        """Let the replies under way come, say `exit`, and be gone. Fires within two times GOODBYE."""
        self._become(reason=STOPPING)
        super().stopService()
        return Deferred.fromCoroutine(self._stop())

    def first_attempt(self) -> Deferred[None]:
        """Fires when the first attempt to connect has ended, well (ready) or badly; at once if it already has."""
        waiter: Deferred[None] = Deferred()
        if self._first_ended:
            waiter.callback(None)
        else:
            self._first_waiters.append(waiter)
        return waiter

    def disable(self, reason: str) -> None:
        """Place no more calls through this connection, such as when it does not know the originate command."""
        if self._connected:
            self._disabled = reason
            self._become(connected=True, reason=reason)

    async def _stop(self) -> None:
        self._interrupt()
        if self._session is not None:
            await self._session.close(GOODBYE)
        self._end_first_attempt()
        over: Deferred[None] = Deferred()
        self._loop.addBoth(over.callback)
        over.addTimeout(GOODBYE, self._clock)
        try:
            await over
        except defer.TimeoutError:
            self.log.warn("the work after a connect to {switch} goes on past its end", switch=self.name)

    async def _stay_connected(self) -> None:
        failures = 0
        while self.running:
            session = Session(
                self._clock,
                on_event=lambda event: self._on_event(self, event),
                on_lost=self._lost,
                on_dropped=self._dropped,
                skims=self._skims,
                command_timeout=self._command_timeout,
            )
            try:
                await self._use(session)
            except Exception as fault:
                self.log.failure("while using EFSwitch {switch}", switch=self.name)
                session.protocol.abort()
                self._become(reason=f"a fault of the dialer itself: {fault!r}")
            self._session = None
            self._end_first_attempt()
            failures = 0 if session.lasted >= LASTED else failures + 1
            if self.running:
                wait = backoff(failures + 1, first=FIRST_WAIT, longest=self._connect_delay, random=self._random.random)
                await self._wait(wait)

    async def _use(self, session: Session) -> None:
        """Connect, and come back when the connection has ended."""
        connecting = connectProtocol(self._endpoint, session.protocol)
        connecting.addTimeout(self._command_timeout, self._clock)
        try:
            await self._interruptible(connecting)
        except Exception as refused:
            self._become(reason=_why(refused))
            return
        self._session = session
        try:
            await session.log_in(self._password, self._originate_command)
        except EslError as refused:
            reason = _why(session.ended or refused)
            session.protocol.abort()
            self._become(reason=reason)
            return
        self._disabled = None
        self.log_ins += 1
        self._become(connected=True, reason="its live calls are not yet compared with the contacts")
        await self._compare(session)
        await session.lost

    async def _compare(self, session: Session) -> None:
        """Have `on_connected` succeed once, unless the connection ends before."""
        while session.ended is None:
            try:
                await self._on_connected(self)
            except Exception as failed:
                if session.ended is None:
                    self.log.failure("after a connect to EFSwitch {switch}", switch=self.name)
                    reason = self._disabled or f"its live calls could not be compared with the contacts: {failed}"
                    self._become(connected=True, reason=reason)
                self._end_first_attempt()
                if session.ended is None:
                    await self._wait(RECONCILE_AGAIN)
            else:
                if session.ended is None and self._disabled is None:
                    self._become(connected=True, ready=True, reason=None)
                self._end_first_attempt()
                return

    def _dropped(self) -> None:
        self.events_dropped += 1

    def _lost(self) -> None:
        if self._session is None or self._session.ended is None:
            return  # it ended as it began: who awaits it sees that
        if self._connected:
            self._become(reason=_why(self._session.ended))
        self._interrupt()

    # Waiting

    async def _wait(self, seconds: float) -> None:
        with suppress(CancelledError):
            await self._interruptible(deferLater(self._clock, seconds))

    async def _interruptible(self, waiting: Deferred[Any]) -> None:
        self._pause = waiting
        try:
            await waiting
        finally:
            self._pause = None

    def _interrupt(self) -> None:
        if self._pause is not None:
            self._pause.cancel()

    def _end_first_attempt(self) -> None:
        self._first_ended = True
        waiters, self._first_waiters = self._first_waiters, []
        for waiter in waiters:
            waiter.callback(None)

    # Telling

    def _become(self, *, connected: bool = False, ready: bool = False, reason: str | None) -> None:
        if not self.running or (connected, ready, reason) == (self._connected, self._ready, self._reason):
            return
        self._connected, self._ready, self._reason = connected, ready, reason
        self._since = self._clock.seconds()
        if ready:
            self._watch.works()
        else:
            self._watch.failed(reason or "not ready")
        if ready:
            self.log.info("EFSwitch {switch} is connected and ready", switch=self.name)
        elif connected:
            self.log.info("EFSwitch {switch} is connected, but not used: {reason}", switch=self.name, reason=reason)
        elif reason == STOPPING:
            self.log.info("leaving EFSwitch {switch}: {reason}", switch=self.name, reason=reason)
        else:
            self.log.error("NO EFSWITCH CONNECTION to {switch}: {reason}", switch=self.name, reason=reason)
        try:
            self._on_change(self)
        except Exception:
            self.log.failure("while telling of a change of EFSwitch {switch}", switch=self.name)


def _why(problem: Exception) -> str:
    """What kept the connection from being used, as one sentence for operators."""
    match problem:
        case error.ConnectionRefusedError():
            return "connection refused: nothing listens on that port"
        case error.TimeoutError() | defer.TimeoutError():
            return "no answer to the attempt to connect"
        case error.DNSLookupError():
            return "unknown host name"
        case WireError():
            return f"what listens there is not an event socket, or is out of step: {problem}"
    return str(problem)
