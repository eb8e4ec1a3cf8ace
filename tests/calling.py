"""Calls and their placing, with the switch, the store and the clock in the hands of the test."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from attrs import evolve
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock

from dialer.call import CallWriter, DownPolicy, Placed
from dialer.calls import REFUSAL_GRACE, Calls
from dialer.contact import AgentReply, CampaignType, Contact, Status
from dialer.esl.fleet import Fleet, Route, RouteKind
from dialer.esl.gateways import GatewayStatus
from dialer.esl.switch import Switch
from dialer.esl.wire import Event
from dialer.happenings import Seen
from dialer.journal import Journal
from dialer.limits import SwitchLimits
from dialer.originate import CannotBeCarried
from dialer.placing import Placing
from dialer.settlement import Settlement
from dialer.store.contacts import Change, ContactStore, HeldContact
from dialer.store.database import DatabaseDown
from dialer.takings import Takings
from dialer.throttle import Throttle
from tests.esl.support import result_of
from tests.stand_in import stands_in_for
from tests.told import Told

RATE = 100.0


@stands_in_for(ContactStore)
class Store:
    """Takes everything unless told otherwise; `slow` holds up the takings of these contacts for calls."""

    def __init__(self) -> None:
        self.taken: list[Contact] = []
        self.begun: list[str] = []
        self.slow: dict[str, Deferred[None]] = {}
        self.refuses: Exception | bool = False
        self.bridged: list[str] = []
        self.has_webhooks = False
        self.answered: list[tuple[str, float]] = []
        self.unsent: set[str] = set()
        self.others: list[HeldContact] = []
        self.asked_for: list[list[str]] = []
        self.fails: Exception | None = None
        self.before_answer: Callable[[], None] = lambda: None

    def never_sent(self, contact: Contact) -> bool:
        return contact.id in self.unsent

    async def still_dialed(self, contact_ids: Collection[str]) -> list[HeldContact]:
        self.asked_for.append(list(contact_ids))
        if self.fails is not None:
            raise self.fails
        return [held for held in self.others if held.contact.id in contact_ids]

    async def take_for_call(self, contact: Contact, switch: str) -> Contact | None:
        self.begun.append(contact.id)
        if contact.id in self.slow:
            await self.slow[contact.id]
        return self._take(contact, taking=contact.taking + 1, switch=switch)

    async def dial_agent(self, contact: Contact, agent: str, switch: str) -> Contact | None:
        return self._take(contact, taking=contact.taking, switch=switch, agent=agent)

    async def mark_bridged(self, contact: Contact) -> None:
        if isinstance(self.refuses, Exception):
            raise self.refuses
        self.bridged.append(contact.id)

    async def mark_answered(self, contact: Contact, answered_at: float) -> None:
        if isinstance(self.refuses, Exception):
            raise self.refuses
        self.answered.append((contact.id, answered_at))

    def _take(self, contact: Contact, **changed: Any) -> Contact | None:
        if isinstance(self.refuses, Exception):
            raise self.refuses
        if self.refuses:
            return None
        self.before_answer()
        self.taken.append(evolve(contact, status=Status.DIALED, owner="me", **changed))
        return self.taken[-1]


@stands_in_for(Settlement)
class Results:
    """Keeps the changes; each is committed at once, or when the test says so."""

    def __init__(self) -> None:
        self.changes: list[Change] = []
        self.slow: Deferred[str | None] | None = None
        self.down = False

    def settle(self, change: Change) -> Deferred[str | None]:
        self.changes.append(change)
        return self.slow if self.slow is not None else succeed(str(change.to))

    async def settle_soon(self, change: Change) -> str | None:
        self.changes.append(change)
        if self.slow is not None:
            await self.slow
        if self.down:
            raise DatabaseDown("down")
        return str(change.to)


@stands_in_for(Journal)
class Lines:
    """What was noted, as (contact id, event, detail)."""

    def __init__(self) -> None:
        self.noted: list[tuple[str, Seen, str | None]] = []

    def note(self, contact: Contact, event: Seen, detail: str | None = None) -> None:
        self.noted.append((contact.id, event, detail))


@stands_in_for(Switch)
class Pbx:
    """A switch that takes every command unless told otherwise."""

    def __init__(self, name: str = "pbx:8021") -> None:
        self.name = name
        self.sent: list[tuple[str, str]] = []
        self.reply: Any = None  # a Job-UUID of its own, an error, or a Deferred of these
        self.has: Any = False  # the answer to uuid_exists, an error, or a Deferred of these
        self.asked = 0
        self.disabled: str | None = None
        self.ready = True
        self.up = GatewayStatus.UP

    async def gateway(self, gateway_id: str) -> GatewayStatus:
        return self.up

    async def originate(self, arguments: str, job_id: str) -> str:
        self.sent.append((arguments, job_id))
        reply = await self.reply if isinstance(self.reply, Deferred) else self.reply
        if isinstance(reply, Exception):
            raise reply
        return reply or job_id

    async def exists(self, uuid: str) -> bool:
        self.asked += 1
        has = await self.has if isinstance(self.has, Deferred) else self.has
        if isinstance(has, Exception):
            raise has
        return bool(has)

    def disable(self, reason: str) -> None:
        self.disabled = reason


@stands_in_for(Fleet)
class Routes:
    """Gives what `routes` holds, the last one again and again."""

    def __init__(self, *routes: Route) -> None:
        self.routes = list(routes)
        self.asked = 0

    async def route(self, gateway_id: str, load: Callable[[Any], Any]) -> Route:
        self.asked += 1
        return self.routes.pop(0) if len(self.routes) > 1 else self.routes[0]


class Bench:
    """Calls and Placing around one switch, or around a real `fleet` of such."""

    def __init__(self, policy: DownPolicy = DownPolicy.FAIL, fleet: Fleet | None = None, *, rate: float = RATE) -> None:
        self.clock = Clock()
        self.clock.advance(1000)
        self.store = Store()
        self.results = Results()
        self.lines = Lines()
        self.told = Told()
        self.pbx: Any = Pbx()
        self.fleet: Any = fleet or Routes(Route(RouteKind.FOUND, self.pbx))
        self.throttle = Throttle(self.clock, rate)
        self.limits = SwitchLimits(self.clock, rate)
        self.unspeakable = False
        self.calls: Any = Calls(
            self.clock,
            self.store,  # type: ignore[arg-type]
            self.results,  # type: ignore[arg-type]
            self.limits,
            self.lines,  # type: ignore[arg-type]
            self.told,
        )
        self.lease_since = 0.0
        self.dialers = 1
        self.takings = Takings()
        self.placing = Placing(
            self.clock,
            self.store,  # type: ignore[arg-type]
            self.takings,
            self.results,  # type: ignore[arg-type]
            self.fleet,
            self.calls,
            self.throttle,
            self.limits,
            CallWriter(self._ivr, self._agent),
            policy=policy,
            may_send=lambda taken_at: self.lease_since <= taken_at,
            meter=self.told,
            dialers=lambda: self.dialers,
        )

    def _ivr(self, contact: Contact, switch: Switch) -> str:
        if self.unspeakable:
            raise CannotBeCarried("queue_name", "a quote")
        return f"ivr {contact.id}"

    def _agent(self, contact: Contact, reply: AgentReply, switch: Switch) -> str:
        if self.unspeakable:
            raise CannotBeCarried("queue_name", "a quote")
        return f"agent {contact.id} {reply.agent}"

    def place(self, contact: Contact) -> Deferred[Placed]:
        """Have its turn come."""
        self.clock.advance(2 / RATE)
        return self.begin(contact)

    def begin(self, contact: Contact) -> Deferred[Placed]:
        """Have it wait for its turn."""
        if contact.is_agent:
            reply = AgentReply(contact.id, "1005")
            return Deferred.fromCoroutine(self.placing.place_agent(contact, reply))
        return Deferred.fromCoroutine(self.placing.place_ivr(contact))

    def dialed(self, kind: CampaignType = CampaignType.IVR, contact_id: str = "c1") -> Contact:
        """A contact whose command the switch has taken."""
        assert result_of(self.place(contact(kind, contact_id))) is Placed.SENT
        return self.store.taken[-1]

    def takings_ended(self) -> Deferred[int]:
        """Fires when no taking is under way."""
        return Deferred.fromCoroutine(self.takings.settled())

    def adopt(self, held: HeldContact) -> None:
        """The database, asked just now, says that this is ours."""
        self.calls.adopt(held, self.clock.seconds())

    def tell(self, *events: Event) -> None:
        for event in events:
            self.calls.handle_event(self.pbx, event)

    def wait(self, seconds: float = REFUSAL_GRACE) -> None:
        self.clock.advance(seconds)

    @property
    def settled(self) -> list[tuple[Status, str | None, bool]]:
        return [(change.to, change.result, change.end_chat) for change in self.results.changes]

    @property
    def sent(self) -> list[str]:
        """The contacts whose commands the switch was given, in that order."""
        return [job_id.rpartition(".")[0] for _, job_id in self.pbx.sent]

    @property
    def live(self) -> list[str]:
        return [call.contact.id for call in self.calls]


IVR, AGENT = CampaignType.IVR, CampaignType.AGENT


def contact(kind: CampaignType = IVR, contact_id: str = "c1", **fields: Any) -> Contact:
    """As it is when its turn to be called comes."""
    state = {"status": Status.AGENT_PENDING, "taking": 1} if kind is AGENT else {}
    values: dict[str, Any] = {
        "id": contact_id,
        "customer_number": "+15550001",
        "campaign_type": kind,
        "gateway_id": "gw",
        "campaign_id": "k",
    }
    return Contact(**(values | state | fields))


def job(body: str = "+OK c1\n", taking: int = 1, contact_id: str = "c1", **headers: str) -> Event:
    return Event("BACKGROUND_JOB", {"Job-UUID": f"{contact_id}.{taking}"} | headers, body)


def answer(contact_id: str = "c1") -> Event:
    return Event("CHANNEL_ANSWER", {"Unique-ID": contact_id})


def bridge(contact_id: str = "c1") -> Event:
    return Event("CHANNEL_BRIDGE", {"Unique-ID": contact_id})


def hangup(cause: str, contact_id: str = "c1", *, answered: bool = False, bridged: bool = False) -> Event:
    headers = {
        "Unique-ID": contact_id,
        "Hangup-Cause": cause,
        "Caller-Channel-Answered-Time": "1700000000000000" if answered else "0",
        "Caller-Channel-Bridged-Time": "1700000000000001" if bridged else "0",
    }
    return Event("CHANNEL_HANGUP_COMPLETE", headers)


def held(kind: CampaignType = IVR, dialed_ago: float | None = 30.0, **fields: Any) -> HeldContact:
    state = {"status": Status.DIALED, "taking": 2, "switch": "pbx:8021", "agent": "1005"}
    return HeldContact(contact(kind, **(state | fields)), dialed_ago)
