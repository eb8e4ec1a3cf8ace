"""What is refused for a limit: counted by reason, told of in the log now and then, and answered."""

from __future__ import annotations

from http import HTTPStatus

import orjson
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from dialer.meter import Meter, Refused
from dialer.web.answers import RETRY_AFTER, HttpError

TOLD_EVERY = 60.0
"""Seconds in which the log tells of each reason at most once: a flood must not become one of the log."""


class Refusals:
    """Is told of each."""

    log = Logger()

    def __init__(self, clock: IReactorTime, meter: Meter) -> None:
        self._clock = clock
        self._meter = meter
        self._told: dict[Refused, float] = {}

    def refused(self, reason: Refused, peer: str) -> None:
        """Somebody was."""
        self._meter.refused(reason)
        now = self._clock.seconds()
        told = self._told.get(reason)
        if told is None or now - told >= TOLD_EVERY:
            self._told[reason] = now
            self.log.warn("HTTP: {peer} met the limit {reason}; it is told once a minute", peer=peer, reason=reason)


def raw_answer(error: HttpError) -> bytes:
    """The whole answer, for when there is no request to answer yet. The connection is to be closed after it."""
    body = orjson.dumps(error.body())
    lines = [
        b"HTTP/1.1 %d %s" % (error.status, HTTPStatus(error.status).phrase.encode()),
        b"Content-Type: application/json; charset=utf-8",
        b"X-Content-Type-Options: nosniff",
        b"Connection: close",
        b"Content-Length: %d" % len(body),
    ]
    if error.status in (429, 503):
        lines.append(b"Retry-After: %d" % RETRY_AFTER)
    return b"\r\n".join([*lines, b"", body])
