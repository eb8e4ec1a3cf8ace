"""What the tests of the event socket share: frames to send, a connection in memory, and results of Deferreds."""

from __future__ import annotations

from typing import Any

import orjson
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from dialer.esl.errors import EslError
from dialer.esl.protocol import EslProtocol
from dialer.esl.wire import Event

HELLO = b"Content-Type: auth/request\n\n"
BYE = (
    b"Content-Type: text/disconnect-notice\nContent-Length: 67\n\n"
    b"Disconnected, goodbye.\nSee you at ClueCon! http://www.cluecon.com/\n"
)


def reply(text: str, **headers: str) -> bytes:
    """A command/reply; `_` in the name of a header stands for `-`."""
    more = "".join(f"{name.replace('_', '-')}: {value}\n" for name, value in headers.items())
    return f"Content-Type: command/reply\nReply-Text: {text}\n{more}\n".encode()


def answer(text: str) -> bytes:
    """An api/response."""
    return b"Content-Type: api/response\nContent-Length: %d\n\n%b" % (len(text.encode()), text.encode())


def event(name: str, **headers: str) -> bytes:
    """A text/event-json."""
    body = orjson.dumps({"Event-Name": name, **{key.replace("_", "-"): value for key, value in headers.items()}})
    return b"Content-Length: %d\nContent-Type: text/event-json\n\n%b" % (len(body), body)


def result_of(deferred: Deferred[Any]) -> Any:
    """The result or Failure that a Deferred already has, or None when it has none yet."""
    results: list[Any] = []
    deferred.addBoth(results.append)
    return results[0] if results else None


def error_of(deferred: Deferred[Any]) -> BaseException:
    """What a Deferred has already failed with."""
    failure = result_of(deferred)
    assert isinstance(failure, Failure), f"it has not failed: {failure!r}"
    return failure.value


class Connection:
    """An EslProtocol on a transport in memory, with the far end in the hands of the test."""

    def __init__(self, **options: Any) -> None:
        self.clock = Clock()
        self.transport = StringTransport()
        self.events: list[Event] = []
        self.closed: list[EslError] = []
        self.protocol = EslProtocol(
            self.clock, **{"on_event": self.events.append, "on_closed": self.closed.append, **options}
        )
        self.protocol.makeConnection(self.transport)

    def receive(self, data: bytes) -> None:
        """The switch sends this."""
        self.protocol.dataReceived(data)

    def sent(self) -> bytes:
        """What the switch received since this was last asked."""
        data: bytes = self.transport.value()
        self.transport.clear()
        return data

    def logged_in(self) -> Connection:
        """Go through the authentication."""
        accepted = self.protocol.authenticate("secret")
        self.receive(HELLO + reply("+OK accepted"))
        assert not isinstance(result_of(accepted), Failure)
        self.sent()
        return self
