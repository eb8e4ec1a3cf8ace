"""How the sandbox misbehaves on request: rules per channel, the next N times or a fraction of the time."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from enum import StrEnum
from random import Random
from typing import Any

from attrs import Attribute, asdict, field, frozen

MAX_RULES = 100
"""Counted rules that may wait per channel: more than any test script needs."""

MAX_DELAY = 3_600.0
"""Seconds; a longer delay is a mistake in the unit."""


class Channel(StrEnum):
    """What a rule applies to."""

    REQUEST = "request"
    """The HTTP answer to `/request-agent`."""
    REPLY = "reply"
    """The agent reply that follows an agent request."""
    NOTIFICATION = "notification"
    """The HTTP answer to `/send-delivery-notification`."""
    END_CHAT = "endChat"
    """The HTTP answer to `/end-chat`."""


ACCEPT = "accept"
REFUSE = "refuse"
HANG = "hang"
SLOW = "slow"
LATE = "late"
SILENT = "silent"
NO_AGENT = "no_agent"
TWICE = "twice"
ANOTHER = "another"

HTTP_MODES = frozenset({ACCEPT, REFUSE, HANG, SLOW})
REPLY_MODES = frozenset({ACCEPT, LATE, SILENT, NO_AGENT, TWICE, ANOTHER})

_DEFAULT_DELAY = {SLOW: 5.0, LATE: 5.0}


def _known_mode(rule: Rule, _: Attribute[Any], mode: object) -> None:
    allowed = REPLY_MODES if rule.channel is Channel.REPLY else HTTP_MODES
    if not isinstance(mode, str) or mode not in allowed:
        raise ValueError(f"mode of {rule.channel.value} must be one of {', '.join(sorted(allowed))}: {mode!r}")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _count(_: object, attribute: Attribute[Any], value: object) -> None:
    if value is not None and (not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= 1_000_000):
        raise ValueError(f"{attribute.name} must be an integer from 1 to 1000000: {value!r}")


def _fraction(rule: Rule, _: Attribute[Any], value: Any) -> None:
    if value is None:
        return
    if not _is_number(value) or not 0 <= value <= 1:
        raise ValueError(f"fraction must be from 0 to 1: {value!r}")
    if rule.next is not None:
        raise ValueError("next and fraction exclude each other")


def _status(_: object, __: Attribute[Any], value: object) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not 300 <= value <= 599:
        raise ValueError(f"status must be an HTTP status from 300 to 599: {value!r}")


def _delay(_: object, __: Attribute[Any], value: Any) -> None:
    if value is not None and (not _is_number(value) or not 0 <= value <= MAX_DELAY):
        raise ValueError(f"delay must be seconds from 0 to {MAX_DELAY:g}: {value!r}")


@frozen
class Rule:
    """One way to behave on one channel.

    `next` counts for how many occasions; `fraction` is the share of all occasions until changed; with neither, always.
    `status` is the HTTP status of `refuse`. `delay` is in seconds: how long `slow` takes, how much later than usual
    `late` is, and how long after the first the second reply of `twice` and `another` comes.

    Raises ValueError, naming the field, for a value that makes no sense.
    """

    channel: Channel = field(converter=Channel)
    mode: str = field(validator=_known_mode)
    next: int | None = field(default=None, validator=_count)
    fraction: float | None = field(default=None, validator=_fraction)
    status: int = field(default=503, validator=_status)
    delay: float | None = field(default=None, validator=_delay)

    @property
    def seconds(self) -> float:
        """The delay, or what the mode has when none was given."""
        return _DEFAULT_DELAY.get(self.mode, 0.0) if self.delay is None else self.delay

    @classmethod
    def from_json(cls, channel: str, fields: object) -> Rule:
        """The rule that a posted object describes. Raises ValueError."""
        if not isinstance(fields, Mapping) or "mode" not in fields:
            raise ValueError("a behaviour is an object with at least a mode")
        unknown = sorted(set(fields) - {"mode", "next", "fraction", "status", "delay"})
        if unknown:
            raise ValueError(f"unknown field {unknown[0]}")
        return cls(channel, **fields)


class Behaviours:
    """The rules in force. Counted rules go first, in the order given; then the one standing rule of the channel."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._counted: dict[Channel, deque[list[Any]]] = {}
        self._standing: dict[Channel, Rule] = {}
        self.reset()

    def reset(self) -> None:
        """Behave well on every channel."""
        self._counted = {channel: deque() for channel in Channel}
        self._standing = {}

    def add(self, *rules: Rule) -> None:
        """Put rules in force, in that order. `accept` without a count ends all rules of its channel.

        Raises ValueError, and adds none, when more than MAX_RULES counted rules of a channel would wait.
        """
        for channel in Channel:
            coming = sum(rule.next is not None for rule in rules if rule.channel is channel)
            if coming and len(self._counted[channel]) + coming > MAX_RULES:
                raise ValueError(f"more than {MAX_RULES} rules of {channel.value} would wait")
        for rule in rules:
            if rule.next is not None:
                self._counted[rule.channel].append([rule, rule.next])
            elif rule.mode == ACCEPT:
                self._counted[rule.channel].clear()
                self._standing.pop(rule.channel, None)
            else:
                self._standing[rule.channel] = rule

    def take(self, channel: Channel) -> Rule | None:
        """The rule for this occasion, which it uses up once; None to behave well."""
        counted = self._counted[channel]
        if counted:
            entry = counted[0]
            entry[1] -= 1
            if not entry[1]:
                counted.popleft()
            rule: Rule | None = entry[0]
        else:
            rule = self._standing.get(channel)
            if rule is not None and rule.fraction is not None and self._random.random() >= rule.fraction:
                return None
        return None if rule is None or rule.mode == ACCEPT else rule

    def as_json(self) -> dict[str, list[dict[str, Any]]]:
        """The rules in force by channel, each with what is left of its count."""
        shown: dict[str, list[dict[str, Any]]] = {}
        for channel in Channel:
            rules = [(rule, left) for rule, left in self._counted[channel]]
            if channel in self._standing:
                rules.append((self._standing[channel], None))
            shown[channel.value] = [
                {
                    **asdict(rule, filter=lambda a, v: a.name != "channel" and v is not None),
                    **({"next": left} if left else {}),
                }
                for rule, left in rules
            ]
        return shown
