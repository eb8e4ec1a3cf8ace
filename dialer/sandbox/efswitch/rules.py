"""What becomes of a call: rules by number and gateway, and a weighted choice for the rest."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from enum import StrEnum
from pathlib import Path
from random import Random
from typing import Any, Final

from attrs import asdict, field, fields, frozen


class Outcome(StrEnum):
    """How a call ends. With `early_media` set in the rule, a 183 with media comes first."""

    ANSWERED = "answered"
    """Talks for `talk` seconds, then the customer hangs up."""
    WE_HANG_UP = "we_hang_up"
    """Like `answered`, but the dialplan, or the agent where there is one, hangs up."""
    BUSY = "busy"
    """486, `USER_BUSY`."""
    NO_ANSWER = "no_answer"
    """Rings until the caller's time-out or for `ring` seconds, `NO_ANSWER`."""
    UNALLOCATED = "unallocated"
    """404, `UNALLOCATED_NUMBER`."""
    UNAVAILABLE = "unavailable"
    """503, `NORMAL_TEMPORARY_FAILURE`."""
    REJECTED = "rejected"
    """603, `CALL_REJECTED`."""
    NOT_REACHED = "not_reached"
    """480, `NO_USER_RESPONSE`."""
    UNREACHABLE = "unreachable"
    """Nothing listens behind the gateway, `NORMAL_TEMPORARY_FAILURE`."""
    SILENT = "silent"
    """Never any answer to the INVITE, `NO_ANSWER` when the caller's time-out ends."""
    DROPPED_BEFORE_BRIDGE = "dropped_before_bridge"
    """Answers and hangs up after `talk` seconds, before the agent is called (IVR: like `answered`)."""
    DROPPED_WHILE_AGENT_RINGS = "dropped_while_agent_rings"
    """Answers and hangs up after `agent_ring` seconds while the agent's phone rings (IVR: like `answered`)."""
    AGENT_BUSY = "agent_busy"
    """Answers, then the agent's phone refuses with 486 (IVR: like `answered`)."""


@frozen
class Refusal:
    """A final SIP answer: its status and phrase, FreeSWITCH's cause and that cause's Q.850 number."""

    status: int
    phrase: str
    cause: str


REFUSALS: Final = {
    Outcome.BUSY: Refusal(486, "Busy Here", "USER_BUSY"),
    Outcome.UNALLOCATED: Refusal(404, "Not Found", "UNALLOCATED_NUMBER"),
    Outcome.UNAVAILABLE: Refusal(503, "Service Unavailable", "NORMAL_TEMPORARY_FAILURE"),
    Outcome.REJECTED: Refusal(603, "Decline", "CALL_REJECTED"),
    Outcome.NOT_REACHED: Refusal(480, "Temporarily Unavailable", "NO_USER_RESPONSE"),
    Outcome.UNREACHABLE: Refusal(503, "Service Unavailable", "NORMAL_TEMPORARY_FAILURE"),
}

Seconds = float | tuple[float, float]
"""A time in seconds, or the bounds that it is drawn from."""

_DEFAULT_RING: Final = dict.fromkeys(REFUSALS, 0.0) | {Outcome.NO_ANSWER: 60.0, Outcome.SILENT: 60.0}


def _seconds(value: Any) -> Seconds | None:
    if value is None:
        return None
    low, high = value if isinstance(value, (list, tuple)) else (value, value)
    if not 0 <= low <= high:
        raise ValueError(f"seconds must be a number or two in ascending order, none below 0: {value!r}")
    return float(low) if low == high else (float(low), float(high))


@frozen(kw_only=True)
class Rule:
    """One kind of call.

    `number` and `gateway` are regular expressions that the whole of it must match, None for any. `weight` counts only
    among the rules without a number and a gateway. `ring` is the time to the answer or refusal (0: no 180 is
    sent), `talk` that from the answer (of an agent's call: from the bridge) to the hangup, `agent_ring` the time the
    agent's phone rings, `bridge_delay` that between the customer's answer and the call to the agent.
    """

    outcome: Outcome = field(default=Outcome.ANSWERED, converter=Outcome)
    number: str | None = None
    gateway: str | None = None
    weight: float = 1.0
    ring: Seconds | None = field(default=None, converter=_seconds)
    talk: Seconds | None = field(default=3.0, converter=_seconds)
    agent_ring: Seconds | None = field(default=0.5, converter=_seconds)
    bridge_delay: Seconds | None = field(default=0.0, converter=_seconds)
    early_media: bool = False

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Rule:
        """A rule from a JSON object with this class's attribute names. Raises ValueError for any other name."""
        unknown = value.keys() - {attribute.name for attribute in fields(cls)}
        if unknown:
            raise ValueError(f"a rule has no {', '.join(sorted(unknown))}")
        return cls(**value)

    def to_json(self) -> dict[str, Any]:
        """The rule as `from_json` takes it."""
        return asdict(self)


@frozen
class Plan:
    """What a rule decided for one call; all times are seconds."""

    outcome: Outcome
    ring: float
    talk: float
    agent_ring: float
    bridge_delay: float
    early_media: bool


class Rules:
    """Chooses what becomes of each call: the first rule with a number or a gateway that matches, else one of the
    rules without either, by weight. The same seed and the same calls give the same choices."""

    def __init__(self, rules: Iterable[Rule] = (), *, seed: int | None = None) -> None:
        self.rules = list(rules)
        self._random = Random(seed)
        self._matching: list[tuple[re.Pattern[str] | None, re.Pattern[str] | None, Rule]] = []
        self._rest: list[Rule] = []
        for rule in self.rules:
            if rule.number is None and rule.gateway is None:
                self._rest.append(rule)
            else:
                self._matching.append((_pattern(rule.number), _pattern(rule.gateway), rule))
        self._rest = self._rest or [Rule(ring=0.5)]
        self._weights = [rule.weight for rule in self._rest]

    def choose(self, number: str, gateway: str) -> Plan:
        """The plan of a call to `number` through `gateway`."""
        for by_number, by_gateway, rule in self._matching:
            if (by_number is None or by_number.fullmatch(number)) and (
                by_gateway is None or by_gateway.fullmatch(gateway)
            ):
                return self._plan(rule)
        if len(self._rest) == 1:
            return self._plan(self._rest[0])
        return self._plan(self._random.choices(self._rest, self._weights)[0])

    def _plan(self, rule: Rule) -> Plan:
        ring = rule.ring if rule.ring is not None else _DEFAULT_RING.get(rule.outcome, 0.5)
        return Plan(
            rule.outcome,
            self._draw(ring),
            self._draw(rule.talk),
            self._draw(rule.agent_ring),
            self._draw(rule.bridge_delay),
            rule.early_media,
        )

    def _draw(self, seconds: Seconds | None) -> float:
        if isinstance(seconds, tuple):
            return self._random.uniform(*seconds)
        return seconds or 0.0

    @classmethod
    def mixed(cls, *, seed: int | None = None) -> Rules:
        """An ordinary calling list: six of ten answer, the rest fails in the usual ways."""
        return cls(
            [
                Rule(outcome=Outcome.ANSWERED, weight=50, ring=(0.5, 4), talk=(2, 20)),
                Rule(outcome=Outcome.WE_HANG_UP, weight=10, ring=(0.5, 4), talk=(2, 20)),
                Rule(outcome=Outcome.NO_ANSWER, weight=15, ring=(5, 10)),
                Rule(outcome=Outcome.BUSY, weight=10, ring=(0, 1)),
                Rule(outcome=Outcome.UNALLOCATED, weight=5),
                Rule(outcome=Outcome.REJECTED, weight=3, ring=(1, 3)),
                Rule(outcome=Outcome.UNAVAILABLE, weight=2),
                Rule(outcome=Outcome.AGENT_BUSY, weight=2),
                Rule(outcome=Outcome.DROPPED_BEFORE_BRIDGE, weight=2, talk=(0.2, 1)),
                Rule(outcome=Outcome.BUSY, weight=1, ring=1, early_media=True),
            ],
            seed=seed,
        )

    @classmethod
    def from_file(cls, path: Path, *, seed: int | None = None) -> Rules:
        """Rules from a file with a JSON list of objects. Raises ValueError for one that is not understood."""
        return cls.from_json(json.loads(path.read_text(encoding="utf-8")), seed=seed)

    @classmethod
    def from_json(cls, value: Any, *, seed: int | None = None) -> Rules:
        """Rules from a list of JSON objects. Raises ValueError for one that is not understood."""
        if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
            raise ValueError("rules must be a list of objects")
        return cls([Rule.from_json(each) for each in value], seed=seed)


def _pattern(text: str | None) -> re.Pattern[str] | None:
    try:
        return None if text is None else re.compile(text)
    except re.error as error:
        raise ValueError(f"not a regular expression: {text!r} ({error})") from error
