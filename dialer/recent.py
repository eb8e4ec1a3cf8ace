"""What happened lately, by campaign, in bounded memory: the calls placed, and what came of agent requests."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator
from enum import Enum

from attrs import frozen
from twisted.internet.interfaces import IReactorTime

MINUTE = 60
"""Seconds for which calls are counted: what is said of them is "in the last minute"."""

ANSWER_WINDOW = 600.0
"""Seconds for which what came of an agent request is remembered: as long as an agent may take to become free."""

ANSWERS_KEPT = 1_000
"""Agent requests remembered at most, those of all campaigns together; of a busy campaign a hundred tell enough."""


class RecentCalls:
    """Counts the calls placed in the last minute. Kept by the second: at most one number for each campaign and second,
    and no more of them than there were calls."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._seconds: deque[tuple[int, Counter[str]]] = deque()

    def placed(self, campaign_id: str) -> None:
        """EFSwitch took the command of a call."""
        second = int(self._clock.seconds())
        if not self._seconds or self._seconds[-1][0] != second:
            self._forget(second)
            self._seconds.append((second, Counter()))
        self._seconds[-1][1][campaign_id] += 1

    def count(self, campaign_id: str | None = None) -> int:
        """Calls of a campaign, or of all, in the last minute."""
        self._forget(int(self._clock.seconds()))
        return sum(calls.total() if campaign_id is None else calls[campaign_id] for _, calls in self._seconds)

    def _forget(self, now: int) -> None:
        while self._seconds and self._seconds[0][0] <= now - MINUTE:
            self._seconds.popleft()


class Answered(Enum):
    """What came of an agent request."""

    REFUSED = "the VC did not take it"
    TAKEN = "the VC took it"
    NO_AGENT = "the VC replied that no agent is available"
    NO_REPLY = "no reply came in AGENT_REPLY_TIMEOUT"
    AGENT = "the VC replied with an agent"


@frozen
class _Entry:
    at: float
    campaign_id: str
    answered: Answered
    reason: str


@frozen
class Streak:
    """How often something failed among the last so many tries. `seconds` is how long ago the failures without a success
    in between began, `reason` the last one's; both say nothing when the last try was a success (`failing`)."""

    failed: int = 0
    tries: int = 0
    failing: bool = False
    seconds: float = 0.0
    reason: str = ""

    @property
    def all(self) -> bool:
        """Whether there were tries and every one failed."""
        return self.failing and self.failed == self.tries


class AgentAnswers:
    """What came of the last agent requests."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._entries: deque[_Entry] = deque(maxlen=ANSWERS_KEPT)

    def note(self, campaign_id: str, answered: Answered, reason: str = "") -> None:
        """Remember what came of a request; `reason` is why it was refused."""
        self._entries.append(_Entry(self._clock.seconds(), campaign_id, answered, reason))

    def refusals(self, campaign_id: str | None = None) -> Streak:
        """How many requests of a campaign, or of all, the VC did not take."""
        return self._streak(campaign_id, Answered.REFUSED, (Answered.TAKEN,))

    def without_agent(self, campaign_id: str | None = None) -> Streak:
        """How many of those that were decided found no agent."""
        return self._streak(campaign_id, Answered.NO_AGENT, (Answered.AGENT, Answered.NO_REPLY))

    def without_reply(self, campaign_id: str | None = None) -> Streak:
        """How many of those that were decided had no reply in time."""
        return self._streak(campaign_id, Answered.NO_REPLY, (Answered.AGENT, Answered.NO_AGENT))

    def _streak(self, campaign_id: str | None, bad: Answered, others: tuple[Answered, ...]) -> Streak:
        entries = [entry for entry in self._lately(campaign_id) if entry.answered is bad or entry.answered in others]
        failed = [entry for entry in entries if entry.answered is bad]
        if not entries or entries[-1].answered is not bad:
            return Streak(len(failed), len(entries))
        first = last = entries[-1]
        for entry in reversed(entries):
            if entry.answered is not bad:
                break
            first = entry
        return Streak(len(failed), len(entries), True, self._clock.seconds() - first.at, last.reason)

    def _lately(self, campaign_id: str | None) -> Iterator[_Entry]:
        oldest = self._clock.seconds() - ANSWER_WINDOW
        for entry in self._entries:
            if entry.at >= oldest and campaign_id in (None, entry.campaign_id):
                yield entry
