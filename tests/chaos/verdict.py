"""What must be true after a run, judged from everybody's records. Pure: takes what was seen, gives what is wrong."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence, Set

from attrs import field, frozen

from dialer.outcome import wire_result
from tests.chaos.contacts import NO_GATEWAY
from tests.chaos.weather import Weather

RETURNED = ("GATEWAY_DOWN", "DESTINATION_OUT_OF_ORDER")
"""Refusals after which SPEC 6 has the contact go back to `pending`, to be dialed anew."""


@frozen
class Posted:
    """A contact that was accepted."""

    contact_id: str
    campaign_type: str
    gateway_id: str
    customer_number: str


@frozen
class Row:
    """A contact in the database; the times are Unix seconds."""

    contact_id: str
    status: str
    call_result: str | None
    taking: int
    owner: str | None
    dialed_at: float | None


@frozen
class Message:
    """A row of the outbox."""

    contact_id: str
    kind: str
    key: str
    state: str
    call_result: str | None
    created_at: float


@frozen
class Originate:
    """An originate as the simulator recorded it; see `Attempt` there. `agent` is the extension that it names."""

    serial: int
    contact_id: str
    at: float
    refused: str | None = None
    answered: bool = False
    ended_at: float | None = None
    cause: str | None = None
    vanished: bool = False
    agent: str = ""


@frozen
class Told:
    """A request to the VC, or (path `/agent`) one of its replies to a dialer, as the sandbox recorded it.

    `who` is the contact's id, for an END_CHAT the customer's number; `what` the call result or the agent.
    """

    at: float
    path: str
    who: str
    what: str
    key: str
    status: int | None
    behaviour: str | None
    response: str = ""


@frozen
class Left:
    """What is still there when all is over: each should be empty or 0."""

    active: Mapping[str, int] = field(factory=dict)
    """By dialer, what `GET /status` says of `activeCalls` and `totalActiveCalls`."""
    channels: Sequence[str] = ()
    """Live channels of the simulator."""
    held_agents: Mapping[str, str] = field(factory=dict)
    """Agents that the sandbox holds, with the customer's number each is held for."""
    locked: int = 0
    """Rows that could not be locked at once."""
    refused_requests: int = 0
    """Requests that the sandbox found wrong."""
    complaints: Sequence[str] = ()
    """What the driver met: a dialer that ended by itself, an answer that may not be, a traceback in a log."""


@frozen
class Evidence:
    """Everything that was seen of a run. `senders` says which dialer logged that it sent a contact's command."""

    posted: Mapping[str, Posted]
    rows: Mapping[str, Row]
    outbox: Sequence[Message]
    originates: Sequence[Originate]
    told: Sequence[Told]
    weather: Weather
    left: Left = field(factory=Left)
    senders: Mapping[str, str] = field(factory=dict)


@frozen
class Violation:
    """Something that may not be; `contact_id` is None when it is of no single contact."""

    kind: str
    text: str
    contact_id: str | None = None


class Verdict:
    """Judges one run."""

    def __init__(self, seen: Evidence) -> None:
        self._seen = seen
        self._originates: dict[str, list[Originate]] = defaultdict(list)
        for originate in sorted(seen.originates, key=lambda each: each.serial):
            self._originates[originate.contact_id].append(originate)
        self._messages: dict[str, list[Message]] = defaultdict(list)
        for message in seen.outbox:
            self._messages[message.contact_id].append(message)
        self._notifications: dict[str, list[Told]] = defaultdict(list)
        self._agents: dict[str, set[str]] = defaultdict(set)
        for told in seen.told:
            if told.path == "/send-delivery-notification":
                self._notifications[told.who].append(told)
            elif told.path == "/agent":
                self._agents[told.who].add(told.what)

    def violations(self) -> list[Violation]:
        """All that is wrong; none is what is wanted."""
        return [*self._of_contacts(), *self._of_the_rest()]

    def unknown(self) -> dict[str, int]:
        """Contacts that are UNKNOWN, and why; and the calls that could be: no dialer is held to know their ends."""
        last = [self._originates.get(row.contact_id, [None])[-1] for row in self._rows_with("UNKNOWN")]
        ended = [each for each in self._seen.originates if each.ended_at is not None and not each.vanished]
        return {
            "UNKNOWN": len(last),
            "... lost by EFSwitch": sum(each is not None and each.vanished for each in last),
            "... never sent": sum(each is None for each in last),
            "calls that EFSwitch lost": sum(each.vanished for each in self._seen.originates),
            "other calls whose end nobody need know": sum(self._excused(each) for each in ended),
        }

    def _rows_with(self, result: str) -> list[Row]:
        return [row for row in self._seen.rows.values() if row.call_result == result]

    def repeated_notifications(self) -> int:
        """Notifications that the VC accepted more than once, each time that it was more than needed."""
        return sum(
            max(0, sum(told.status == 200 for told in all_told) - 1) for all_told in self._notifications.values()
        )

    # -- each contact ----------------------------------------------------------------------------------------------

    def _of_contacts(self) -> Iterator[Violation]:
        for contact_id, posted in self._seen.posted.items():
            row = self._seen.rows.get(contact_id)
            if row is None:
                yield Violation("lost", "it was accepted, and is not in the database", contact_id)
                continue
            if row.status not in ("ended", "failed"):
                yield Violation("not terminal", f"it is {row.status}", contact_id)
                continue
            if row.owner is not None:
                yield Violation("leased", f"it is {row.status}, and {row.owner} owns it", contact_id)
            originates = self._originates.get(contact_id, [])
            for kind, text in (
                *self._dialed(posted, row, originates),
                *self._result(posted, row, originates),
                *self._notified(row),
            ):
                yield Violation(kind, text, contact_id)

    def _dialed(self, posted: Posted, row: Row, originates: Sequence[Originate]) -> Iterator[tuple[str, str]]:
        if len(originates) > row.taking:
            yield "dialed twice for a taking", f"{len(originates)} originates for {row.taking} takings"
        if again := [each for each in originates[:-1] if each.refused not in RETURNED]:
            yield "dialed twice", f"{len(originates)} originates, though {_fate(again[0])} does not return to pending"
        if posted.campaign_type == "AGENT":
            for each in originates:
                if each.agent not in self._agents.get(posted.contact_id, ()):
                    yield "wrong agent", f"it was called for agent {each.agent!r}, whom the VC never named"

    def _result(self, posted: Posted, row: Row, originates: Sequence[Originate]) -> Iterator[tuple[str, str]]:
        result = row.call_result
        allowed = self._never_dialed(posted, row) if not originates else self._may_be(row, originates[-1])
        status = "failed" if result in ("Invalid Gateway", "EFSwitch Down", "Expired") else "ended"
        if result not in allowed:
            fate = _fate(originates[-1]) if originates else "no originate"
            yield "wrong result", f"{result} is stored, but {fate} allows {', '.join(sorted(allowed)) or 'nothing'}"
        elif row.status != status:
            yield "wrong status", f"it is {row.status}, {result}"

    def _never_dialed(self, posted: Posted, row: Row) -> Set[str | None]:
        """The results that may stand where no originate reached the simulator."""
        weather = self._seen.weather
        allowed: set[str | None] = {"Invalid Gateway"} if posted.gateway_id == NO_GATEWAY else set()
        if row.dialed_at is not None and weather.may_be_unsent(row.dialed_at):
            allowed.add("UNKNOWN")
        failed = [each.created_at for each in self._messages.get(row.contact_id, []) if each.kind == "notification"]
        if failed and weather.switch_may_be_down(failed[0]):
            allowed.add("EFSwitch Down")
        return allowed

    def _may_be(self, row: Row, last: Originate) -> Set[str | None]:
        """The results that may stand after this, the last originate of a contact."""
        if last.refused in RETURNED:
            # It went back to pending; what came then did not reach the simulator.
            allowed = set(self._never_dialed(self._seen.posted[row.contact_id], row))
            if self._seen.weather.may_be_unsent(last.at):
                allowed.add("UNKNOWN")
            return allowed
        if last.refused is not None:
            known = {"INVALID_GATEWAY": "Invalid Gateway"}.get(last.refused, last.refused)
            return {known, "UNKNOWN"} if self._seen.weather.may_be_unsent(last.at) else {known}
        cause = "NO_ANSWER" if not last.answered and last.cause == "NORMAL_CLEARING" else last.cause
        if last.vanished:
            # The answer to the originate may have told the cause before the switch died with the rest.
            return {"UNKNOWN"} if cause is None else {"UNKNOWN", cause}
        return {cause, "UNKNOWN"} if self._excused(last) else {cause}

    def _excused(self, originate: Originate) -> bool:
        assert originate.ended_at is not None
        sender = self._seen.senders.get(originate.contact_id)
        return self._seen.weather.end_may_be_unknown(originate.at, originate.ended_at, sender)

    def _notified(self, row: Row) -> Iterator[tuple[str, str]]:
        told = self._notifications.get(row.contact_id, [])
        wanted = wire_result(row.call_result or "")
        if not any(each.status == 200 and each.what == wanted for each in told):
            yield "not notified", f"the VC accepted no notification of {wanted}"
        if wrong := {each.what for each in told} - {wanted}:
            yield "notified wrongly", f"the VC was told {', '.join(sorted(wrong))}, {wanted} is stored"
        stored = {each.key for each in self._messages.get(row.contact_id, []) if each.kind == "notification"}
        if len(stored) != 1 or {each.key for each in told} - stored:
            yield "keys", f"{len(stored)} stored notifications, sent under {len({each.key for each in told})} keys"

    # -- all together ----------------------------------------------------------------------------------------------

    def _of_the_rest(self) -> Iterator[Violation]:
        seen, left = self._seen, self._seen.left
        for contact_id in sorted((seen.rows.keys() | self._originates.keys()) - seen.posted.keys()):
            yield Violation("never posted", "it is stored or was dialed, and nobody posted it", contact_id)
        for message in seen.outbox:
            if message.state == "waiting" or (message.state == "parked" and message.kind == "notification"):
                yield Violation("undelivered", f"its {message.kind} is {message.state}", message.contact_id)
        known = {message.key for message in seen.outbox}
        for told in seen.told:
            if told.path == "/end-chat" and told.key not in known:
                yield Violation("keys", f"an END_CHAT for {told.who} came under a key that is not stored")
        for dialer, active in left.active.items():
            if active:
                yield Violation("slots", f"{dialer} says that {active} calls are active")
        if left.channels:
            yield Violation("slots", f"{len(left.channels)} calls live on, such as {left.channels[0]}")
        if left.locked:
            yield Violation("locked", f"{left.locked} rows are locked by somebody")
        if left.refused_requests:
            yield Violation("wrong requests", f"the VC found {left.refused_requests} requests wrong")
        yield from (Violation("complaint", complaint) for complaint in left.complaints)
        # An END_CHAT that could not be delivered in time is not sent any more: its agent is nobody's to free.
        parked = {each.contact_id for each in seen.outbox if each.kind == "end_chat" and each.state == "parked"}
        excused = {seen.posted[contact_id].customer_number for contact_id in parked if contact_id in seen.posted}
        for agent, customer in left.held_agents.items():
            if customer not in excused:
                yield Violation("agent held", f"agent {agent} is still held for {customer}")


def _fate(originate: Originate) -> str:
    """What became of an originate, for people."""
    if originate.refused is not None:
        return f"a refusal {originate.refused}"
    answered = "answered" if originate.answered else "never answered"
    if originate.vanished:
        return f"a call, {answered}, lost by the switch"
    return f"a call, {answered}, that ended with {originate.cause}"
