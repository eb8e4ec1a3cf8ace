"""What can go wrong on the event socket, one class each: theirs apart from ours, never sent apart from reply lost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from dialer.errors import DialerError

if TYPE_CHECKING:
    from dialer.esl.wire import Frame


class EslError(DialerError):
    """Something went wrong on the event socket."""


class WireError(EslError):
    """The bytes received are not the event socket's protocol. `frames` are those that were whole before them."""

    def __init__(self, message: str, frames: Sequence[Frame] = ()) -> None:
        super().__init__(message)
        self.frames = frames


class BadCommand(EslError, ValueError):
    """The command cannot be carried (CR, LF, NUL, or nothing in it); it was not sent."""


class AuthenticationFailed(EslError):
    """Wrong password: the switch answered -ERR invalid (see ESL_PASSWORD)."""


class AccessDenied(EslError):
    """Access denied by the switch's ACL (see apply-inbound-acl in its event_socket.conf.xml)."""


class CommandRefused(EslError):
    """The switch answered, but not with what was asked for. `command` is masked, `reply` is the switch's own text."""

    def __init__(self, command: str, reply: str) -> None:
        super().__init__(f"the switch refused {command}: {reply}")
        self.command = command
        self.reply = reply


class ConnectionLostError(EslError):
    """The connection to the switch is gone."""


class NotSent(ConnectionLostError):
    """The command was certainly never sent: there was no connection to write it to."""


class ReplyLost(ConnectionLostError):
    """The command was written to the connection, which ended before a reply: the switch may have acted on it."""


class CommandTimedOut(ReplyLost):
    """The switch went silent: no reply within the time limit, so the connection was given up."""


class SwitchDown(EslError):
    """The switch cannot be used now. Where it is raised for an originate, nothing was sent."""
