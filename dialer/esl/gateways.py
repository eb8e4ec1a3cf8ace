"""What a switch knows about a gateway: reading its answer, and asking no more often than needed."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from enum import Enum

from attrs import define, field, frozen
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

FRESH = 1.0
"""Seconds that an answer may be used again: a burst of contacts asks once, an outage is seen by the next cycle."""

MAX_KEPT = 1_000
"""Answers kept before the old ones are thrown away. Few contact centres have more than a hundred gateways."""

_GATEWAY_ID = re.compile(r"[A-Za-z0-9._-]+")
_STATUS = re.compile(r"^Status\s+(.*?)\s*$", re.MULTILINE)


class GatewayStatus(Enum):
    """Whether calls can be placed through a gateway, as one switch sees it."""

    UP = "up"
    DOWN = "down"
    INVALID = "invalid"
    """The switch has no gateway of that name."""


def read_status(answer: str) -> GatewayStatus | None:
    """The answer to `sofia status gateway ID`; None when it is none of the answers known.

    Only the line `Status` counts: `State` is NOREG whether the gateway is up or down. While a ping is under way
    FreeSWITCH says `UP (ping)`, which is up.
    """
    if answer.startswith("Invalid Gateway!"):
        return GatewayStatus.INVALID
    if (status := _STATUS.search(answer)) is None:
        return None
    return GatewayStatus.UP if status[1].split(" ")[0] == "UP" else GatewayStatus.DOWN


@frozen
class KnownGateway:
    """What was last heard of a gateway, since when that is so, and when it was heard; in `clock.seconds()`."""

    gateway_id: str
    status: GatewayStatus
    since: float
    heard: float


@define(eq=False)
class _Answer:
    """A question asked, and who waits for its answer; once it is there, what it was and when it came."""

    askers: list[Deferred[GatewayStatus]] = field(factory=list)
    status: GatewayStatus | None = None
    at: float = 0.0


class Gateways:
    """The gateways of one connection. `ask` sends `sofia status gateway ID` and gives the text of the answer."""

    log = Logger()

    def __init__(self, clock: IReactorTime, ask: Callable[[str], Deferred[str]]) -> None:
        self._clock = clock
        self._ask = ask
        self._answers: dict[str, _Answer] = {}
        self._known: dict[str, KnownGateway] = {}

    @property
    def known(self) -> Sequence[KnownGateway]:
        """The gateways that this connection was asked about, MAX_KEPT at most, in the order of their names."""
        return sorted(self._known.values(), key=lambda known: known.gateway_id)

    def status(self, gateway_id: str) -> Deferred[GatewayStatus]:
        """Fires with the status, not older than FRESH; fails as `ask` does.

        Those who ask while a question is under way share its answer. Who cancels leaves the others waiting.
        """
        asker: Deferred[GatewayStatus] = Deferred()
        if not _GATEWAY_ID.fullmatch(gateway_id):
            # Without a name, or with two words, FreeSWITCH would answer something else than what was asked.
            asker.callback(GatewayStatus.INVALID)
            return asker
        answer = self._answers.get(gateway_id)
        if answer is not None and answer.status is not None and self._clock.seconds() - answer.at <= FRESH:
            asker.callback(answer.status)
            return asker
        if answer is None or answer.status is not None:
            self._make_room()
            answer = self._answers[gateway_id] = _Answer()
            answer.askers.append(asker)
            self._ask(gateway_id).addCallbacks(
                self._answered, self._unanswered, (gateway_id, answer), {}, (gateway_id, answer), {}
            )
        else:
            answer.askers.append(asker)
        return asker

    def _answered(self, text: str, gateway_id: str, answer: _Answer) -> None:
        status = read_status(text)
        if status is None:
            # mod_sofia is not loaded, or the like: nothing can be dialed there now, but nothing is wrong with the id.
            self.log.warn("no status of gateway {gateway} in {answer!r}", gateway=gateway_id, answer=text[:200])
            status = GatewayStatus.DOWN
        answer.status, answer.at = status, self._clock.seconds()
        self._note(gateway_id, status)
        askers, answer.askers = answer.askers, []
        for asker in askers:
            asker.callback(status)

    def _note(self, gateway_id: str, status: GatewayStatus) -> None:
        now = self._clock.seconds()
        before = self._known.pop(gateway_id, None)
        since = now if before is None or before.status is not status else before.since
        # The one that was asked about last stands last.
        self._known[gateway_id] = KnownGateway(gateway_id, status, since, now)
        if len(self._known) > MAX_KEPT:
            del self._known[next(iter(self._known))]

    def _unanswered(self, failure: Failure, gateway_id: str, answer: _Answer) -> None:
        if self._answers.get(gateway_id) is answer:
            del self._answers[gateway_id]
        askers, answer.askers = answer.askers, []
        for asker in askers:
            asker.errback(failure)

    def _make_room(self) -> None:
        if len(self._answers) < MAX_KEPT:
            return
        oldest = self._clock.seconds() - FRESH
        self._answers = {i: a for i, a in self._answers.items() if a.status is None or a.at >= oldest}
