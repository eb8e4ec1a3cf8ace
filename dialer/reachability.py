"""Whether a peer answers: learnt from what it is asked, and from a bare TCP connection when it is asked nothing."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from dialer.trouble import Trouble, TroubleWatch

PROBE_INTERVAL = 10.0
"""Seconds without a request after which the peer is probed."""

PROBE_TIMEOUT = 5.0
"""Seconds for a probe, the look-up of the name included."""


class Reachability:
    """Keeps `up` and, in words, `reason` for one peer, and logs once for each change.

    `name` is what the log calls the peer.
    """

    log = Logger()

    def __init__(self, reactor: Any, name: str, host: str, port: int) -> None:
        self._reactor = reactor
        self._name = name
        self._host = host
        self._port = port
        self._looping = LoopingCall(self._probe_when_idle)
        self._looping.clock = reactor
        self._probing: Deferred[None] | None = None
        self._asked = self._answered = float("-inf")
        self._known: bool | None = None
        self._watch = TroubleWatch(reactor)
        self._stopped = False
        self.reason = "not asked yet"

    @property
    def up(self) -> bool:
        """Whether the peer is known to answer; False until it first did."""
        return self._known is True

    @property
    def trouble(self) -> Trouble | None:
        """For how long it has not answered, and why it last did not; None while it does, or was not asked yet."""
        return self._watch.trouble

    @property
    def known(self) -> bool:
        """Whether anything is known of the peer yet."""
        return self._known is not None

    def start(self) -> None:
        """Probe now, and again whenever nothing was asked for PROBE_INTERVAL."""
        self._looping.start(PROBE_INTERVAL)

    def stop(self) -> None:
        """Probe no more, and take the requests that are given up now for no sign of the peer."""
        self._stopped = True
        if self._looping.running:
            self._looping.stop()
        if self._probing is not None:
            self._probing.cancel()

    def asked(self) -> float:
        """A request begins; returns the reactor's seconds, for `unanswered`."""
        self._asked = self._reactor.seconds()
        return self._asked

    def answered(self, reason: str) -> None:
        """The peer said something."""
        self._answered = self._reactor.seconds()
        self._become(True, reason)

    def unanswered(self, since: float, reason: str) -> None:
        """A request begun at `since` got no answer. One slow path says nothing while others were answered meanwhile."""
        if self._answered <= since and not self._stopped:
            self._become(False, reason)

    def _become(self, up: bool, reason: str) -> None:
        changed, self._known, self.reason = self._known is not up, up, reason
        if up:
            self._watch.works()
        else:
            self._watch.failed(reason)
        if changed and up:
            self.log.info("{peer} is up: {reason}", peer=self._name, reason=reason)
        elif changed:
            self.log.warn("{peer} is down: {reason}", peer=self._name, reason=reason)

    def _probe_when_idle(self) -> None:
        # Half an interval of play: a request sent just after the last look must not put off the probe to the next.
        if self._probing is None and self._reactor.seconds() - self._asked >= PROBE_INTERVAL / 2:
            self._probing = Deferred.fromCoroutine(self._probe())

    async def _probe(self) -> None:
        since = self._reactor.seconds()
        try:
            endpoint = HostnameEndpoint(self._reactor, self._host, self._port, timeout=PROBE_TIMEOUT)
            connecting = endpoint.connect(Factory.forProtocol(Protocol))
            # The endpoint's own timeout does not cover the look-up of the name.
            protocol: Any = await connecting.addTimeout(PROBE_TIMEOUT, self._reactor)
        except CancelledError:
            return
        except Exception as error:
            self.unanswered(since, f"{type(error).__name__}: {error}"[:200])
        else:
            protocol.transport.abortConnection()
            if self._asked <= since:
                self.answered("takes connections")
        finally:
            self._probing = None
