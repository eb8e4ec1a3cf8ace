"""One client's connection: frames in, commands to their handlers, replies and events out."""

from __future__ import annotations

import re
import typing
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar, Final, cast
from uuid import uuid4

from twisted.internet.interfaces import IPushProducer
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from . import wire
from .subscription import Subscription

if TYPE_CHECKING:
    from .switch import EFSwitch

MAX_COMMAND: Final = 4 * 1024 * 1024
"""Bytes that may wait for the end of one command; recorded ones are below 64 kB."""

MAX_HELD: Final = 100_000
"""Frames that FreeSWITCH keeps for a slow reader before it drops events."""

MAX_UNREAD: Final = 2 * MAX_HELD
"""Frames, replies too, that may be held for one reader at all: more than FreeSWITCH's own limit on events."""

MAX_LOST: Final = 500
"""Events dropped for one reader before FreeSWITCH cuts it off."""

_END = re.compile(rb"\n\r?\n")
_LENGTH = re.compile(rb"^content-length:\s*(\d+)", re.IGNORECASE | re.MULTILINE)
_JOB_UUID = re.compile(rb"^job-uuid:[ \t]*([^\r\n]*)", re.IGNORECASE | re.MULTILINE)


class _Socket(typing.Protocol):
    """What a connection needs of its transport; all of Twisted's TCP transports have it."""

    def write(self, data: bytes) -> None: ...
    def loseConnection(self) -> None: ...
    def abortConnection(self) -> None: ...
    def registerProducer(self, producer: IPushProducer, streaming: bool) -> None: ...
    def unregisterProducer(self) -> None: ...
    def pauseProducing(self) -> None: ...
    def resumeProducing(self) -> None: ...


@implementer(IPushProducer)
class Connection(Protocol):
    """A client of the event socket.

    `is_control` is set once it used the `simulator` command: faults then leave it alone, so that they can be ended.
    """

    log: ClassVar[Logger] = Logger()

    def __init__(self, switch: EFSwitch, serial: int) -> None:
        self._switch = switch
        self.serial = serial
        self.subscription = Subscription()
        self.is_control = False
        self.is_open = False
        self._authenticated = False
        self._buffer = b""
        self._busy = False
        self._executing = False
        self._reading = True
        self._choked = False
        self._waiting: list[bytes] = []
        self._held: deque[bytes] = deque()
        self._lost = 0

    # The connection

    def connectionMade(self) -> None:
        if self._switch.faults.deny:
            self._socket.write(wire.rude_rejection())
            self._socket.loseConnection()
            return
        self.is_open = True
        self._socket.registerProducer(self, True)
        self._switch.connected(self)
        self.write(wire.AUTH_REQUEST)
        self.fault_changed()

    @property
    def _socket(self) -> _Socket:
        return cast(_Socket, self.transport)

    def connectionLost(self, reason: Failure = connectionDone) -> None:  # noqa: ARG002
        self.is_open = False
        self._held.clear()
        self._waiting.clear()
        self._switch.disconnected(self)

    def close(self, *last: bytes) -> None:
        """Write the last frames and end the connection."""
        if self.is_open:
            for frame in last:
                self._socket.write(frame)
            self.is_open = False
            self._socket.unregisterProducer()
            self._socket.loseConnection()

    def abort(self) -> None:
        """End the connection at once; what was not yet sent is lost."""
        if self.is_open:
            self.is_open = False
            self._socket.unregisterProducer()
            self._socket.abortConnection()

    # Frames in

    def dataReceived(self, data: bytes) -> None:
        self._buffer += data
        self._read()

    def _read(self) -> None:
        data, position = self._buffer, 0
        while self.is_open and not self._busy:
            start = _skip_blank_lines(data, position)
            end = _END.search(data, start)
            if end is None:
                break
            block = data[start : end.start()]
            length = _LENGTH.search(block)
            after = end.end() + (int(length[1]) if length else 0)
            if len(data) < after:
                break
            position = after
            delay = self._switch.faults.delay
            if delay and not self.is_control:
                self._busy = True
                self._switch.timepiece.later(delay, self._delayed, block)
            else:
                self._command(block)
        self._buffer = data[position:]
        if len(self._buffer) > MAX_COMMAND:
            self.log.warn("EFSwitch simulator: a command of more than {limit} bytes", limit=MAX_COMMAND)
            self.abort()

    def _delayed(self, block: bytes) -> None:
        self._busy = False
        if self.is_open:
            self._command(block)
            self._resume()

    def _command(self, block: bytes) -> None:
        """One command; only its first line counts, up to a stray CR or NUL, and verbs are told by how they begin."""
        line = re.split(rb"[\n\r\0]", block, maxsplit=1)[0].decode("utf-8", "surrogateescape")
        verb = line.lower()
        if verb.startswith("exit"):
            self.close(wire.command_reply("+OK bye"), wire.disconnect_notice())
        elif not self._authenticated:
            self._authenticate(line)
        elif verb.startswith("api "):
            self._api(line[4:])
        elif verb.startswith("bgapi "):
            job = _JOB_UUID.search(block)
            self._bgapi(line[6:], job[1].decode("utf-8", "surrogateescape") if job else str(uuid4()))
        elif verb.startswith("sendmsg"):
            self._sendmsg(line[7:].strip(), block)
        else:
            self.write(wire.command_reply(self._subscribe(line, verb)))

    def _authenticate(self, line: str) -> None:
        if not line.lower().startswith("auth "):
            self.write(wire.command_reply("-ERR command not found"))
        elif line[5:] == self._switch.password:
            self._authenticated = True
            self.write(wire.command_reply("+OK accepted"))
        else:
            self.close(wire.command_reply("-ERR invalid"), wire.disconnect_notice())

    def _subscribe(self, line: str, verb: str) -> str:
        """The reply to a command that only concerns the connection itself."""
        subscription = self.subscription
        if verb.startswith("event"):
            reply = subscription.add(line[5:])
        elif verb.startswith("nixevent"):
            reply = subscription.remove(line[8:])
        elif verb.startswith("noevents"):
            reply = subscription.clear()
        elif verb.startswith("filter "):
            return subscription.filter(line[7:])
        elif verb.startswith("log"):
            return _log_level(line[3:].strip())
        elif verb.startswith(("linger", "nolinger")):
            return "-ERR not controlling a session"
        elif verb.startswith("divert_events"):
            return "-ERR not controlling a session."
        else:
            return "-ERR command not found"
        self._switch.bus.forget_hearers()
        return reply

    def _api(self, text: str) -> None:
        name, argument = _split(text)
        if self._is_cut(name, self._switch.faults.take_cut_before):
            self.abort()
            return
        self._busy = self._executing = True
        cut = self._is_cut(name, self._switch.faults.take_cut_after)
        self._switch.commands.execute(name, argument, self, self._api_done)
        if cut:
            self.abort()

    def _api_done(self, body: str) -> None:
        self._busy = self._executing = False
        self.write(wire.api_response(body or wire.NO_REPLY))
        waiting, self._waiting = self._waiting, []
        for frame in waiting:
            self.write(frame)
        if self._buffer:
            self._switch.timepiece.later(0, self._resume)

    def _resume(self) -> None:
        if self.is_open:
            self._read()

    def _bgapi(self, text: str, job: str) -> None:
        name, argument = _split(text)
        faults = self._switch.faults
        if self._is_cut(name, faults.take_cut_before):
            self.abort()
            return
        if self._is_cut(name, faults.take_cut_after):
            self.abort()
        self.write(wire.command_reply(f"+OK Job-UUID: {job}", f"Job-UUID: {job}"))
        self._switch.commands.background(name, argument, self, job)

    def _is_cut(self, name: str, take: Callable[[], bool]) -> bool:
        return not self.is_control and name.lower() in ("originate", "jsoriginate") and take()

    def _sendmsg(self, uuid: str, block: bytes) -> None:
        if not self._switch.calls.is_alive(uuid):
            self.write(wire.command_reply(f"-ERR invalid session id [{uuid}]"))
            return
        self.write(wire.command_reply("+OK"))
        if re.search(rb"^call-command:\s*hangup", block, re.IGNORECASE | re.MULTILINE):
            self._switch.timepiece.later(0, self._switch.calls.kill, uuid, "NORMAL_CLEARING")

    # Frames out

    @property
    def _is_silent(self) -> bool:
        return self._choked or (self._switch.faults.stall and not self.is_control)

    def write(self, frame: bytes) -> None:
        """Send a reply, or hold it while the reader is slow or the fault `stall` is on."""
        if not self.is_open:
            return
        if not self._is_silent and not self._held:
            self._socket.write(frame)
        elif len(self._held) < MAX_UNREAD:
            self._held.append(frame)
        else:
            self.abort()

    def send_event(self, frame: bytes) -> None:
        """Send an event, after the reply to an `api` under way."""
        if self._executing:
            queue: deque[bytes] | list[bytes] = self._waiting
        elif self._is_silent or self._held:
            queue = self._held
        else:
            self.write(frame)
            return
        if len(queue) < MAX_HELD:
            queue.append(frame)
            return
        self._lost += 1
        if self._lost > MAX_LOST:
            self.log.warn("EFSwitch simulator: cut off a reader that lost {lost} events", lost=self._lost)
            self.abort()

    def _flush(self) -> None:
        while self._held and not self._is_silent and self.is_open:
            self._socket.write(self._held.popleft())

    def fault_changed(self) -> None:
        """Do as the faults say from now on."""
        if not self.is_open:
            return
        reading = self.is_control or not self._switch.faults.stop_reading
        if reading != self._reading:
            self._reading = reading
            if reading:
                self._socket.resumeProducing()
            else:
                self._socket.pauseProducing()
        self._flush()

    def pauseProducing(self) -> None:
        """The reader is slow: hold what comes."""
        self._choked = True

    def resumeProducing(self) -> None:
        """The reader caught up."""
        self._choked = False
        self._flush()

    def stopProducing(self) -> None:
        """The connection is gone."""
        self._choked = True


def _skip_blank_lines(data: bytes, position: int) -> int:
    while data[position : position + 1] in (b"\n", b"\r"):
        position += 1
    return position


def _split(text: str) -> tuple[str, str]:
    """The name and the argument of an API command."""
    name, _, argument = text.strip(" ").partition(" ")
    return name, argument.strip(" ")


_LEVELS: Final = ("console", "alert", "crit", "err", "warning", "notice", "info", "debug")


def _log_level(text: str) -> str:
    level = int(text) if text.isdecimal() else _LEVELS.index(text.lower()) if text.lower() in _LEVELS else 7
    return f"+OK log level {text} [{level}]"
