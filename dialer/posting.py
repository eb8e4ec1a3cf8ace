"""One HTTP POST, bounded in time and memory, and exactly what is known about it afterwards.

Whether a request was written is not guessed from the failure: the body producer notes it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from http.cookiejar import CookieJar
from typing import Any, cast

from attrs import frozen
from hyperlink import EncodedURL
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IConsumer
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.iweb import IBodyProducer
from zope.interface import implementer

DRAINED_BYTES = 65_536
"""Bytes of an answer's body that are read, so that its connection can serve again; none of them is kept."""

DRAIN_TIME = 1.0
"""Seconds for reading them. Past either bound the connection is closed instead."""


class Address(EncodedURL):
    """An URL to post to, normalized once: treq would do it for each request, for longer than all the rest takes."""

    _prepared: str

    @classmethod
    def of(cls, url: str) -> Address:
        """The address of an absolute URL. Raises ValueError for one that is none."""
        named = EncodedURL.from_text(url)
        if not named.scheme or not named.host:
            raise ValueError(f"not an absolute URL: {url}")
        if named.host.isascii():
            # IDNA is for other names only: it refuses IPv6 addresses, and underscores as in container networks.
            prepared = named.replace(host="host").to_uri().replace(host=named.host).to_text()
        else:
            prepared = named.to_uri().to_text()
        address = cast(Address, cls.from_text(prepared))
        address._prepared = prepared
        return address

    def to_uri(self) -> Address:
        """Itself."""
        return self

    def to_text(self, with_password: bool = False) -> str:  # noqa: ARG002  treq never asks for it
        """Return what it was made of."""
        return self._prepared


@frozen
class Exchange:
    """One request: whether it was written, the HTTP status that came back, if any, and what happened in words.

    `error` is what happened where no status came back.
    """

    sent: bool
    status: int | None
    reason: str
    error: Exception | None = None

    @property
    def accepted(self) -> bool:
        """Whether a 2xx came back."""
        return self.status is not None and 200 <= self.status < 300


class Poster:
    """Posts through a treq `HTTPClient`, following no redirect and repeating nothing."""

    def __init__(self, reactor: Any, client: Any) -> None:
        self._reactor = reactor
        self._client = client
        self._no_cookies = CookieJar()
        self._under_way: set[Deferred[Any]] = set()

    async def post(
        self, url: Address, body: bytes, headers: Mapping[str, str], *, send_within: float, answer_within: float
    ) -> Exchange:
        """Post `body`; never fails. Nothing is written after `send_within` seconds.

        The status is waited for `answer_within` seconds from the writing on, and then the body for DRAIN_TIME.
        A cancelled call gives up at once and, too, returns what is known.
        """
        request: Deferred[Any] | None = None
        late: str | None = None

        def give_up() -> None:
            nonlocal late
            late = f"no answer in {answer_within:g} s" if posted.sent else f"no connection in {send_within:g} s"
            if request is not None:
                request.cancel()

        # The timer is there first: over a standing connection the request is written before `post` returns.
        timer = self._reactor.callLater(send_within, give_up)
        posted = _Body(body, lambda: timer.reset(answer_within))
        try:
            request = self._client.post(
                url,
                data=posted,
                headers=headers,
                cookies=self._no_cookies,
                allow_redirects=False,
                unbuffered=True,
                reactor=self._reactor,
            )
            self._under_way.add(request)
            response = await request
        except Exception as error:
            return Exchange(posted.sent, None, late or _words(error), error)
        finally:
            self._under_way.discard(request)
            if timer.active():
                timer.cancel()
        drain = _Drain(self._reactor)
        response.deliverBody(drain)
        await drain.finished
        return Exchange(True, response.code, f"HTTP {response.code}")

    def give_up(self) -> None:
        """End every request under way; each call returns what is known."""
        for request in list(self._under_way):
            request.cancel()


@implementer(IBodyProducer)
class _Body:
    """Writes the body in one piece, so that nothing can break in between, and notes that it was asked to.

    It is asked right after the request's head was handed to the transport, and never without a connection.
    """

    def __init__(self, body: bytes, on_sent: Callable[[], None]) -> None:
        self._body = body
        self._on_sent = on_sent
        self.length = len(body)
        self.sent = False

    def startProducing(self, consumer: IConsumer) -> Deferred[None]:
        self.sent = True
        self._on_sent()
        consumer.write(self._body)
        return succeed(None)

    def pauseProducing(self) -> None: ...

    def resumeProducing(self) -> None: ...

    def stopProducing(self) -> None: ...


class _Drain(Protocol):
    """Reads a body and forgets it; `finished` fires, without a failure, when it is over or cut off."""

    def __init__(self, reactor: Any) -> None:
        self._left = DRAINED_BYTES
        self._timer = reactor.callLater(DRAIN_TIME, self._cut)
        self.finished: Deferred[None] = Deferred(lambda _: self._cut())

    def dataReceived(self, data: bytes) -> None:
        self._left -= len(data)
        if self._left < 0:
            self._cut()

    def connectionLost(self, reason: Failure = connectionDone) -> None:  # noqa: ARG002
        if self._timer.active():
            self._timer.cancel()
        if not self.finished.called:
            self.finished.callback(None)

    def _cut(self) -> None:
        if self.transport is not None:
            self.transport.loseConnection()
        self.connectionLost()


def _words(error: Exception) -> str:
    """The error in one short line; what twisted.web wraps is taken out of its wrapping."""
    for failure in getattr(error, "reasons", ()):
        return _words(failure.value)
    text = " ".join(str(error).split())
    # It goes into the log and into the database, and may quote what the other side sent.
    text = "".join(character if character.isprintable() else "?" for character in text)
    return f"{type(error).__name__}: {text}"[:200] if text else type(error).__name__
