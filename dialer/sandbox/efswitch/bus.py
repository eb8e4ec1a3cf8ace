"""Events on their way to those who subscribed to them."""

from __future__ import annotations

import json
from collections.abc import Callable
from random import Random
from typing import Protocol

from . import wire
from .channel import Channel
from .events import Envelopes, write
from .faults import Faults
from .subscription import Subscription

Writer = Callable[[str], str]
"""Writes an event's own headers and its body in a format."""


class Listener(Protocol):
    """One who may hear events: a connection."""

    serial: int
    subscription: Subscription
    is_control: bool

    def send_event(self, frame: bytes) -> None:
        """Pass an event on."""


class Bus:
    """Knows who hears what, and writes an event once for each format that someone wants, or not at all."""

    def __init__(self, envelopes: Envelopes, random: Random) -> None:
        self.envelopes = envelopes
        self.faults = Faults()
        self._listeners: set[Listener] = set()
        self._random = random
        self._hearers: dict[str, list[Listener]] = {}

    def join(self, connection: Listener) -> None:
        """A client is there."""
        self._listeners.add(connection)

    def leave(self, connection: Listener) -> None:
        """A client is gone."""
        self._listeners.discard(connection)
        self.forget_hearers()

    def forget_hearers(self) -> None:
        """A subscription changed: find out anew who hears what."""
        self._hearers.clear()

    def _hearers_of(self, event: str) -> list[Listener]:
        hearers = self._hearers.get(event)
        if hearers is None:
            hearers = self._hearers[event] = [
                connection
                for connection in sorted(self._listeners, key=lambda each: each.serial)
                if connection.subscription.has(event)
            ]
        return hearers

    def fire(self, event: str, channel: Channel) -> None:
        """Send an event of a channel."""
        sequence = self.envelopes.next()
        if self._hearers_of(event):
            end = {wire.PLAIN: "\n", wire.JSON: "}"}
            self._send(event, sequence, lambda form: channel.body(event, form) + end[form])

    def announce(self, event: str, headers: dict[str, str], body: str | None = None, subclass: str = "") -> None:
        """Send an event with these headers."""
        sequence = self.envelopes.next()
        if not self._hearers_of(event):
            return

        def written(form: str) -> str:
            text = write(headers, form)
            if form == wire.JSON:
                return text + ("}" if body is None else f',"_body":"{wire.json_escape(body)}"}}')
            return f"{text}\n{body or ''}"

        self._send(event, sequence, written, subclass)

    def _send(self, event: str, sequence: int, written: Writer, subclass: str = "") -> None:
        frames: dict[str, bytes] = {}
        headers: dict[str, str] | None = None
        for connection in self._hearers_of(event):
            subscription = connection.subscription
            if event == "CUSTOM" and not subscription.wants(subclass):
                continue
            if subscription.filters:
                if headers is None:
                    headers = json.loads(self.envelopes.head(event, wire.JSON, sequence, subclass) + written(wire.JSON))
                if not subscription.passes(headers):
                    continue
            form = subscription.form
            if form not in frames:
                text = self.envelopes.head(event, form, sequence, subclass) + written(form)
                frames[form] = wire.event_frame(form, text)
            times = 1 if connection.is_control else self.faults.deliveries(event, self._random)
            for _ in range(times):
                connection.send_event(frames[form])
