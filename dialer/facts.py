"""What must be known to explain why nothing is dialing: values only, in the words of the domain.

Times are aware datetimes. `None` for a Fault means that nothing is wrong there.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from enum import Enum

from attrs import field, frozen

from dialer.recent import Streak


@frozen
class Fault:
    """Something that does not work: since when, as far as is known, and the last error in words."""

    since: datetime | None
    reason: str


class Why(Enum):
    """Whether a pending contact may be taken, or what keeps it from it."""

    OPEN = "open"
    """It may be taken."""
    OPENING = "opening"
    """Its start time is to come."""
    HELD = "held"
    """It came back to its queue and is left alone for a while."""
    CHATTING = "chatting"
    """An END_CHAT for its number is not delivered yet."""
    EXPIRED = "expired"
    """Its end time is past; the next cycle fails it."""


@frozen
class Waiting:
    """So many pending contacts of a type on a gateway. `first` is the first of the moments that matter: when one opens,
    until when one is held, since when an END_CHAT waits."""

    campaign_type: str
    gateway_id: str
    why: Why
    contacts: int
    first: datetime | None = None


@frozen
class Queue:
    """All that is pending."""

    waiting: Sequence[Waiting] = ()

    def contacts(self, *why: Why, campaign_type: str | None = None) -> int:
        """How many contacts wait for these reasons, any without one, of a type if one is given."""
        return sum(
            each.contacts
            for each in self.waiting
            if (not why or each.why in why) and campaign_type in (None, each.campaign_type)
        )

    def first(self, why: Why) -> datetime | None:
        """The first of the moments of those that wait for this reason."""
        return min((each.first for each in self.waiting if each.why is why and each.first), default=None)


@frozen
class Holding:
    """Call slots that a dialer (empty: none that lives) holds for a campaign's active contacts; `for_agent` tells those
    that wait for an agent's reply from those that were dialed."""

    owner: str
    campaign_id: str
    contacts: int
    for_agent: bool = False


@frozen
class Standing:
    """What only the database tells. By status: how many contacts, and of how many campaigns. `holdings` are those of
    all campaigns, also when the rest is about one."""

    contacts: Mapping[str, int] = field(factory=dict)
    campaigns: Mapping[str, int] = field(factory=dict)
    holdings: Sequence[Holding] = ()
    queue: Queue = field(factory=Queue)


@frozen
class SwitchFact:
    """One EFSwitch. `fault` is there while it is not ready; `slowed_to` is originates per second, while it is slowed
    down for its own limits."""

    name: str
    connected: bool
    settling: bool
    fault: Fault | None = None
    slowed_to: float | None = None
    slowed_since: datetime | None = None


@frozen
class GatewayFact:
    """A gateway that was not up when last asked for: `invalid` when no switch knows it. `campaigns` had contacts that
    met that lately."""

    gateway_id: str
    invalid: bool
    since: datetime
    campaigns: Collection[str] = ()


@frozen
class AgentFacts:
    """What came of the last agent requests, those of the last `minutes`."""

    refused: Streak = field(factory=Streak)
    none_free: Streak = field(factory=Streak)
    no_reply: Streak = field(factory=Streak)
    minutes: int = 10


@frozen(kw_only=True)
class Facts:
    """What is known at `now`, about all campaigns or about one. `standing` is None while the database does not tell."""

    now: datetime
    dialer: str
    campaign_id: str | None = None
    starting: Fault | None = None
    database: Fault | None = None
    takings: Fault | None = None
    """What the last contact that was to be taken met, if the database did not let it be taken."""
    lease: Fault | None = None
    switches: Sequence[SwitchFact] = ()
    hold_while_down: bool = False
    """Whether nothing is taken while no EFSwitch is reachable; otherwise what is taken fails."""
    gateways: Sequence[GatewayFact] = ()
    voice_connector: Fault | None = None
    agents: AgentFacts = field(factory=AgentFacts)
    capacity: int
    """Call slots of this dialer."""
    speed: float
    """Originates, and agent requests, per second."""
    throttled: bool = False
    """Whether calls had to wait for their turn just now."""
    requests_throttled: bool = False
    calls: int = 0
    """Calls of this dialer in the last minute: of the campaign, if one is asked about."""
    all_calls: int = 0
    standing: Standing | None = None
