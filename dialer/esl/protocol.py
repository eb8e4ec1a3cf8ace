"""The client side of one event socket connection: commands in order, each owning its Deferred, events in between."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable

from attrs import define
from twisted.internet.defer import Deferred, fail
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IDelayedCall, IReactorTime, ITCPTransport
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.protocols.basic import LineReceiver
from twisted.python.failure import Failure

from dialer.esl.errors import (
    AccessDenied,
    AuthenticationFailed,
    BadCommand,
    CommandRefused,
    CommandTimedOut,
    ConnectionLostError,
    EslError,
    NotSent,
    ReplyLost,
    WireError,
)
from dialer.esl.wire import Event, Frame, Parser, decode_event, skim_event

COMMAND_TIMEOUT = 10.0
"""Seconds that a reply may take. A healthy switch answers within milliseconds, a loaded one within a second or two."""

STOPPED = 0.5
"""Seconds by which a timer is late when this process itself was stopped: a busy reactor is late by less."""

READ_FIRST = 1.0
"""Seconds for reading what came in meanwhile, events by the thousand perhaps, before a late timer is believed."""

SILENCE = 20.0
"""Seconds without a byte after which the switch is asked whether it is still there."""

MAX_OUTSTANDING = 10_000
"""Commands that may wait for their reply: a thousand a second for the whole time limit, 15 MB at their longest."""

_SHOWN = 80
"""Characters of a command that a message quotes."""

_EVENTS = frozenset({"text/event-json", "text/event-plain"})
_FORBIDDEN = re.compile("[\r\n\0]")
_SECRET = re.compile(r"\s*((?:user)?auth)\b.*", re.IGNORECASE | re.DOTALL)


def masked(command: str) -> str:
    """A command as messages may show it: shortened, and without the password of `auth`."""
    if secret := _SECRET.match(command):
        return f"{secret[1]} ******"
    return command if len(command) <= _SHOWN else f"{command[:_SHOWN]}..."


@define(eq=False)
class _Pending:
    """A command whose reply is awaited. `name` is masked."""

    name: str
    reply: Deferred[Frame]
    timer: IDelayedCall | None = None


class EslProtocol(LineReceiver):
    """One connection to a switch.

    It stays in raw mode for good, since the wire module cuts the bytes: LineReceiver's MAX_LENGTH plays no part.

    `on_event` gets every event in order, `on_closed` is called once, when the connection is no longer usable, with
    the reason. It is called before the commands under way fail, so that who hears of those finds the connection
    closed. What they raise is logged and harms nothing here. `on_dropped` is called for an event that cannot be read,
    if it is read within `on_event` at the latest.
    `skims` tells whether events are probably nobody's here: then each is read only when `on_event` asks what it holds.

    The Deferreds of commands may be cancelled: the reply is then awaited all the same, and dropped.
    """

    log = Logger()
    line_mode = 0
    transport: ITCPTransport

    def __init__(
        self,
        clock: IReactorTime,
        *,
        on_event: Callable[[Event], None],
        on_closed: Callable[[EslError], None],
        on_dropped: Callable[[], None] = lambda: None,
        skims: Callable[[], bool] = lambda: False,
        command_timeout: float = COMMAND_TIMEOUT,
        silence: float = SILENCE,
    ) -> None:
        self._clock = clock
        self._on_event = on_event
        self._on_closed = on_closed
        self._on_dropped = on_dropped
        self._skims = skims
        self._command_timeout = command_timeout
        self._silence = silence
        self._parser = Parser()
        self._pending: deque[_Pending] = deque()
        self._greeted = False
        self._greeting: _Pending | None = None
        self._usable = False
        self._leaving = False
        self._last_received = 0.0
        self._probe: IDelayedCall | None = None
        self._abort_timer: IDelayedCall | None = None
        self._gone: list[Deferred[None]] | None = None  # who waits for the transport to go; None when there is none

    # Commands

    def authenticate(self, password: str) -> Deferred[None]:
        """Log in once the switch has asked for it, so that the password goes to nothing but an event socket.

        Fires when accepted. Fails with AuthenticationFailed, AccessDenied, CommandRefused or ConnectionLostError.
        """
        return Deferred.fromCoroutine(self._authenticate(password))

    def send(self, command: str) -> Deferred[Frame]:
        """Write a command now; fires with its reply.

        Fails with BadCommand or NotSent (nothing was written), CommandRefused (the reply does not begin with +OK),
        ReplyLost, or its subclass CommandTimedOut.
        """
        return self._write(command)

    def api(self, command: str) -> Deferred[str]:
        """Run an API command; fires with the text of its answer, which may well be an `-ERR`. Fails as `send`."""
        return self._write(f"api {command}").addCallback(_text)

    def bgapi(self, command: str, job_id: str | None = None) -> Deferred[str]:
        """Run an API command in the background; fires with the Job-UUID that its BACKGROUND_JOB event will carry.

        `job_id` asks the switch to use that one. Fails as `send`.
        """
        return self._write(f"bgapi {command}", job_id).addCallback(_job_uuid)

    def subscribe_json(self, *events: str) -> Deferred[Frame]:
        """Ask for these events, as JSON, from now on. Fails as `send`."""
        return self._write(f"event json {' '.join(events)}")

    def close(self, timeout: float) -> Deferred[None]:
        """Leave politely: replies under way are still awaited, then `exit`, for `timeout` seconds in all.

        Fires when the connection is gone; never fails.
        """
        if self._usable and not self._leaving:
            # A connection that goes before its answer has left all the same; the abort below sees to one that stays.
            self.send("exit").addErrback(lambda _: None)
            self._leaving = True
        if self._abort_timer is None and self._gone is not None:
            self._abort_timer = self._clock.callLater(timeout, self.abort)
        return self._when_gone()

    def abort(self) -> None:
        """End the connection now. What is under way fails with ReplyLost."""
        self._die(ConnectionLostError("the dialer closed the connection"))

    async def _authenticate(self, password: str) -> None:
        if not self._usable:
            raise NotSent("auth ****** was not sent: there is no connection")
        if not self._greeted:
            self._greeting = _Pending("auth ******", Deferred())
            self._greeting.timer = self._clock.callLater(self._command_timeout, self._not_greeted)
            await self._greeting.reply
        try:
            await self.send(f"auth {password}")
        except CommandRefused as refused:
            if refused.reply.startswith("-ERR invalid"):
                raise AuthenticationFailed from None
            raise
        self._last_received = self._clock.seconds()
        self._probe = self._clock.callLater(self._silence, self._look_for_silence)

    def _write(self, command: str, job_id: str | None = None) -> Deferred[Frame]:
        name = masked(command) if job_id is None else f"{masked(command)} (job {job_id})"
        if not command.strip() or _FORBIDDEN.search(command) or _FORBIDDEN.search(job_id or ""):
            return fail(BadCommand(f"a command must be one line with something in it: {name!a}"))
        try:
            data = (command if job_id is None else f"{command}\nJob-UUID: {job_id}").encode() + b"\n\n"
        except UnicodeEncodeError:
            return fail(BadCommand(f"a command must be valid text: {name!a}"))
        if not self._usable or self._leaving:
            return fail(NotSent(f"{name} was not sent: there is no connection"))
        if len(self._pending) >= MAX_OUTSTANDING:
            return fail(NotSent(f"{name} was not sent: {MAX_OUTSTANDING} commands wait for their replies"))
        pending = _Pending(name, Deferred())
        self._await_reply(pending, self._command_timeout)
        self._pending.append(pending)
        self.transport.write(data)
        return pending.reply

    # What comes in

    def connectionMade(self) -> None:
        """Start using the connection."""
        self._usable = True
        self._gone = []
        if ITCPTransport.providedBy(self.transport):
            self.transport.setTcpNoDelay(True)  # commands are small and pipelined: do not let them wait for each other

    def rawDataReceived(self, data: bytes) -> None:
        """Cut frames out of the bytes and hand each to its owner."""
        self._last_received = self._clock.seconds()
        broken: WireError | None = None
        try:
            frames = self._parser.feed(data)
        except WireError as error:
            frames, broken = list(error.frames), error
        for frame in frames:
            if not self._usable:
                return
            if frame.content_type in _EVENTS:
                self._event(frame)
            else:
                self._received(frame)
        if broken is not None:
            self._die(broken)

    def _received(self, frame: Frame) -> None:
        kind = frame.content_type
        if kind in ("command/reply", "api/response"):
            self._reply(frame)
        elif kind == "auth/request":
            self._greeted = True
            if (greeting := self._greeting) is not None:
                self._greeting = None
                _settle(greeting, frame)
        elif kind == "text/rude-rejection":
            self._die(AccessDenied())
        elif kind == "text/disconnect-notice":
            # Nothing is answered any more, so there is no use in waiting for the end of the stream.
            self._die(ConnectionLostError(f"the switch closed the connection: {' '.join(frame.text.split())[:_SHOWN]}"))
        else:
            self.log.debug("a frame of no use here: {kind}", kind=kind)

    def _event(self, frame: Frame) -> None:
        event: Event | None = None
        try:
            event = (skim_event(frame) if self._skims() else None) or decode_event(frame)
            self._on_event(event)
        except WireError as error:
            # The frames after it are sound. What it told is found out by comparing with the live calls.
            self.log.error("an event was dropped: {reason}", reason=str(error))
            self._on_dropped()
        except Exception:
            self.log.failure("while handling {event}", event=event.name if event else "an event")

    def _reply(self, frame: Frame) -> None:
        if not self._pending:
            self._die(WireError("a reply that no command asked for"))
            return
        pending = self._pending.popleft()
        if frame.content_type == "command/reply" and not frame.reply_text.startswith("+OK"):
            _settle(pending, CommandRefused(pending.name, frame.reply_text))
        else:
            _settle(pending, frame)

    # The end

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Fail what is under way, at once."""
        why = "closed by the switch" if isinstance(reason.value, ConnectionDone) else str(reason.value)
        self._die(ConnectionLostError(f"the connection was lost: {why}"))
        if self._abort_timer is not None and self._abort_timer.active():
            self._abort_timer.cancel()
        waiting, self._gone = self._gone or [], None
        for waiter in waiting:
            waiter.callback(None)

    def _die(self, error: EslError, culprit: _Pending | None = None) -> None:
        """Stop using the connection, tell why, fail every command under way and drop the transport.

        `culprit` is the command, if any, that the error itself is about.
        """
        if not self._usable:
            return
        self._usable = False
        if self._probe is not None and self._probe.active():
            self._probe.cancel()
        try:
            self._on_closed(error)
        except Exception:
            self.log.failure("while handling the end of a connection")
        if (greeting := self._greeting) is not None:
            self._greeting = None
            what = error if isinstance(error, AccessDenied) else NotSent(f"{greeting.name} was not sent: {error}")
            _settle(greeting, what)
        pending, self._pending = self._pending, deque()
        for command in pending:
            _settle(command, error if command is culprit else _lost(command, error))
        self.transport.abortConnection()

    def _await_reply(self, command: _Pending, seconds: float) -> None:
        command.timer = self._clock.callLater(seconds, self._timed_out, command, self._clock.seconds() + seconds)

    def _timed_out(self, command: _Pending, due: float) -> None:
        if self._clock.seconds() - due > STOPPED:
            # Timers run before sockets are read: giving up now would throw away the reply, and the ends of calls.
            self._await_reply(command, READ_FIRST)
            return
        silent = f"the switch went silent: no reply to {command.name} in {self._command_timeout:g} s"
        self._die(CommandTimedOut(silent), command)

    def _not_greeted(self) -> None:
        self._die(ConnectionLostError(f"no event socket: nothing asked for a password in {self._command_timeout:g} s"))

    def _look_for_silence(self) -> None:
        quiet = self._clock.seconds() - self._last_received
        if quiet >= self._silence and not self._pending and not self._leaving:
            self.api("status").addErrback(lambda _: None)  # its time limit is the point; a loss is told elsewhere
            quiet = 0.0
        self._probe = self._clock.callLater(max(self._silence - quiet, 1.0), self._look_for_silence)

    def _when_gone(self) -> Deferred[None]:
        gone: Deferred[None] = Deferred()
        if self._gone is None:
            gone.callback(None)
        else:
            self._gone.append(gone)
        return gone


def _settle(pending: _Pending, result: Frame | EslError) -> None:
    if pending.timer is not None and pending.timer.active():
        pending.timer.cancel()
    if isinstance(result, EslError):
        pending.reply.errback(result)
    else:
        pending.reply.callback(result)


def _lost(command: _Pending, error: EslError) -> EslError:
    return error if isinstance(error, AccessDenied) else ReplyLost(f"no reply to {command.name}: {error}")


def _text(frame: Frame) -> str:
    return frame.text if frame.content_type == "api/response" else frame.reply_text


def _job_uuid(frame: Frame) -> str:
    return frame.headers.get("Job-UUID") or frame.reply_text.removeprefix("+OK Job-UUID: ")
