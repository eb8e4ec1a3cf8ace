"""Why nothing is dialing: facts in, reasons out, as plain sentences with numbers, the most important one first.

What stops everything comes first (the dialer itself, the database, EFSwitch), then what the queue holds, then what
slows down. What does not matter now is not said: a full house needs no word about the dialing speed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta

from dialer.facts import Facts, Fault, GatewayFact, Standing, SwitchFact, Why
from dialer.phrases import contacts, enumerated, number, per_second, time
from dialer.reasons import Code, Explanation, Reason
from dialer.recent import Streak
from dialer.waits import next_moment, none_open, nothing_pending

AGENT = "AGENT"

GATEWAYS_NAMED = 10
"""Gateways that get a reason of their own; more say no more to who reads them."""


def explain(facts: Facts) -> Explanation:
    """Why nothing is dialing, or that something is; never without a reason."""
    standing = facts.standing
    stopping = [*_own(facts), *_switches(facts)]
    if standing is None:
        return Explanation(False, [*stopping, *_gateways(facts), *_voice_connector(facts)])
    if not standing.queue.contacts():
        return Explanation(False, [*stopping, nothing_pending(facts, standing), *_failed_by(facts)])
    if not standing.queue.contacts(Why.OPEN):
        causes = [*_gateways(facts), *_agents(facts)]
        # Of all campaigns together, what failed some time ago says nothing about those that wait.
        failed = [] if facts.campaign_id is None else _failed_by(facts)
        return Explanation(False, [*stopping, *causes, *none_open(standing), *failed], next_moment(standing))
    slots = _slots(facts, standing)
    limits = [*slots, *_gateways(facts), *_agents(facts)]
    if not slots:
        limits += _speed(facts)
    if facts.takings is not None:
        message = f"The database does not let contacts be taken: {_said(facts.takings)}."
        stopping.append(Reason(Code.DATABASE_REFUSES, message, facts.takings.since))
    if stopping:
        return Explanation(False, [*stopping, *limits])
    clear = _clear(facts, standing)
    if not clear or (limits and not facts.calls):
        return Explanation(False, [*limits, *_some_unreachable(facts)])
    return Explanation(True, [*limits, _dialing(facts, clear), *_some_unreachable(facts)])


def _clear(facts: Facts, standing: Standing) -> int:
    """How many contacts may be taken that neither their gateway nor the VC will send back, as far as is known."""
    down = {gateway.gateway_id for gateway in facts.gateways}
    agents = facts.agents
    # Where some of the requests find an agent, calls are placed.
    in_vain = facts.voice_connector is not None or agents.refused.failing or agents.none_free.all or agents.no_reply.all
    return sum(
        each.contacts
        for each in standing.queue.waiting
        if each.why is Why.OPEN and each.gateway_id not in down and not (each.campaign_type == AGENT and in_vain)
    )


# -- what stops everything ---------------------------------------------------------------------------------------------


def _own(facts: Facts) -> Iterator[Reason]:
    """The dialer itself and its database."""
    if facts.database is not None:
        fault = facts.database
        # Without a beginning it is there, but has just now not done what it was asked, as somebody has locked a table.
        what = "The database gave up" if fault.since is None else f"The database is down{_since(fault)}"
        yield Reason(Code.DATABASE_DOWN, f"{what}: {_said(fault)}.", fault.since)
    if facts.starting is not None:
        yield Reason(Code.STARTING, f"The dialer is starting: {_said(facts.starting)}.", facts.starting.since)
    elif facts.database is None and facts.lease is not None:
        message = f"This dialer has no lease on its name {facts.dialer}{_since(facts.lease)}: {_said(facts.lease)}."
        yield Reason(Code.NO_LEASE, message, facts.lease.since)


def _switches(facts: Facts) -> Iterator[Reason]:
    """Every switch, while none can be used; nothing is taken before the first attempt to connect to each has ended."""
    if facts.starting is not None:
        return
    faulty = [switch for switch in facts.switches if switch.fault is not None]
    if len(faulty) < len(facts.switches):
        faulty = [switch for switch in faulty if switch.settling and not switch.connected]
    # What needs somebody to see to it comes before what goes on by itself.
    for switch in sorted(faulty, key=lambda switch: switch.settling):
        yield _unusable(switch, facts)


def _some_unreachable(facts: Facts) -> Iterator[Reason]:
    """The switches that cannot be used while others can."""
    for switch in facts.switches:
        if switch.fault is not None:
            yield _unusable(switch, facts)


def _unusable(switch: SwitchFact, facts: Facts) -> Reason:
    fault = switch.fault
    assert fault is not None
    if switch.settling:
        message = f"EFSwitch {switch.name} is not used yet: {_said(fault)}."
        return Reason(Code.EFSWITCH_NOT_READY, message, fault.since)
    if switch.connected:
        message = f"EFSwitch {switch.name} is connected but not used{_since(fault)}: {_said(fault)}."
        return Reason(Code.EFSWITCH_NOT_USED, message, fault.since)
    message = f"EFSwitch {switch.name} is unreachable{_since(fault)}: {_said(fault)}."
    if all(each.fault is not None and not each.connected for each in facts.switches):
        message += (
            " Nothing is taken until it is back."
            if facts.hold_while_down
            else " IVR contacts whose turn comes fail (EFSwitch Down), AGENT contacts wait."
        )
    return Reason(Code.EFSWITCH_UNREACHABLE, message, fault.since)


# -- what stands against single contacts ------------------------------------------------------------------------------


def _gateways(facts: Facts) -> list[Reason]:
    """The gateways that somebody waits for, the most missed first; all of this scope while nobody knows who waits."""
    waiting = _waiting_for(facts)
    named = [
        gateway
        for gateway in facts.gateways
        if waiting[gateway.gateway_id] or (facts.standing is None and _concerns(gateway, facts))
    ]
    named.sort(key=lambda gateway: -waiting[gateway.gateway_id])
    return [_gateway(gateway, waiting[gateway.gateway_id]) for gateway in named[:GATEWAYS_NAMED]]


def _failed_by(facts: Facts) -> list[Reason]:
    """The unknown gateways on which contacts failed that nobody waits for any more: why nothing is left, perhaps."""
    waiting = _waiting_for(facts)
    named = [
        gateway
        for gateway in facts.gateways
        if gateway.invalid and _concerns(gateway, facts) and not waiting[gateway.gateway_id]
    ]
    return [_gateway(gateway, 0) for gateway in named[:GATEWAYS_NAMED]]


def _concerns(gateway: GatewayFact, facts: Facts) -> bool:
    return facts.campaign_id is None or facts.campaign_id in gateway.campaigns


def _waiting_for(facts: Facts) -> Counter[str]:
    """How many contacts wait for each gateway, those included that came back from it."""
    waiting: Counter[str] = Counter()
    for each in facts.standing.queue.waiting if facts.standing is not None else ():
        if each.why in (Why.OPEN, Why.HELD):
            waiting[each.gateway_id] += each.contacts
    return waiting


def _gateway(gateway: GatewayFact, waiting: int) -> Reason:
    name, since = gateway.gateway_id, time(gateway.since)
    if gateway.invalid:
        met = enumerated([f"campaign {each}" for each in sorted(gateway.campaigns)])
        message = f"Gateway {name} is unknown to EFSwitch since {since}: contacts of {met} failed (Invalid Gateway)."
        return Reason(Code.GATEWAY_INVALID, message, gateway.since)
    message = f"Gateway {name} is down since {since}"
    message += f": {contacts(waiting)} {'waits' if waiting == 1 else 'wait'} for it." if waiting else "."
    return Reason(Code.GATEWAY_DOWN, message, gateway.since)


def _agents(facts: Facts) -> Iterator[Reason]:
    """What stands against AGENT contacts, if any wait."""
    assert facts.standing is not None
    if facts.standing.queue.contacts(Why.OPEN, Why.HELD, campaign_type=AGENT):
        yield from _voice_connector(facts)
        yield from _replies(facts)


def _voice_connector(facts: Facts) -> Iterator[Reason]:
    fault, refused = facts.voice_connector, facts.agents.refused
    if fault is not None:
        message = f"The VC is unreachable{_since(fault)}: {_said(fault)}. AGENT contacts wait."
        yield Reason(Code.VC_UNREACHABLE, message, fault.since)
    elif refused.failing:
        since = _ago(facts, refused)
        message = (
            f"The VC refuses agent requests since {time(since)}: {number(refused.failed)} of the last"
            f" {number(refused.tries)} in {facts.agents.minutes} minutes, the last one: {refused.reason.rstrip('. ')}."
        )
        yield Reason(Code.VC_REFUSES, message, since)


def _replies(facts: Facts) -> Iterator[Reason]:
    none_free, no_reply = facts.agents.none_free, facts.agents.no_reply
    if none_free.failing:
        since = _ago(facts, none_free)
        message = (
            f"No agent is free since {time(since)}: {number(none_free.failed)} of the last {number(none_free.tries)}"
            f" agent requests in {facts.agents.minutes} minutes found none."
        )
        yield Reason(Code.NO_AGENTS, message, since)
    if no_reply.failing:
        since = _ago(facts, no_reply)
        message = (
            f"The VC does not reply to agent requests since {time(since)}: {number(no_reply.failed)} of the last"
            f" {number(no_reply.tries)} in {facts.agents.minutes} minutes had no reply in time."
        )
        yield Reason(Code.NO_AGENT_REPLY, message, since)


# -- slots and speed ---------------------------------------------------------------------------------------------------


def _slots(facts: Facts, standing: Standing) -> list[Reason]:
    own = [holding for holding in standing.holdings if holding.owner == facts.dialer]
    held = sum(holding.contacts for holding in own)
    if held < facts.capacity:
        return []
    by_campaign = _summed((holding.campaign_id, holding.contacts) for holding in own)
    whom = enumerated([f"{number(count)} by campaign {campaign}" for campaign, count in by_campaign])
    all_slots = "The only slot is" if facts.capacity == 1 else f"All {number(facts.capacity)} slots are"
    message = f"{all_slots} in use: {whom}."
    if asking := sum(holding.contacts for holding in own if holding.for_agent):
        message += f" {number(asking)} of them {'waits' if asking == 1 else 'wait'} for an agent."
    others = _summed(
        (holding.owner, holding.contacts) for holding in standing.holdings if holding.owner not in ("", facts.dialer)
    )
    if others:
        message += f" Other dialers hold {enumerated([f'{number(count)} ({owner})' for owner, count in others])} more."
    return [Reason(Code.NO_FREE_SLOTS, message)]


def _summed(counts: Iterable[tuple[str, int]]) -> list[tuple[str, int]]:
    """The sum of each name, the largest first."""
    sums: dict[str, int] = {}
    for name, count in counts:
        sums[name] = sums.get(name, 0) + count
    return sorted(sums.items(), key=lambda each: (-each[1], each[0]))


def _speed(facts: Facts) -> Iterator[Reason]:
    for switch in facts.switches:
        if switch.slowed_to is not None:
            since = "" if switch.slowed_since is None else f" since {time(switch.slowed_since)}"
            message = (
                f"EFSwitch {switch.name} is over its own limits{since}: it gets {per_second(switch.slowed_to)}"
                f" instead of {number(facts.speed)}, until it takes more again."
            )
            yield Reason(Code.SWITCH_SLOWED, message, switch.slowed_since)
    if facts.throttled:
        message = (
            f"The dialing speed is the limit: {_calls(facts.all_calls)} in the last minute,"
            f" {per_second(facts.speed)} allowed (CALLS_PER_SECOND)."
        )
        yield Reason(Code.THROTTLE, message)
    assert facts.standing is not None
    if facts.requests_throttled and facts.standing.queue.contacts(Why.OPEN, campaign_type=AGENT):
        message = f"Agent requests wait for their turn: {number(facts.speed)} per second allowed (CALLS_PER_SECOND)."
        yield Reason(Code.REQUEST_THROTTLE, message)


def _dialing(facts: Facts, waiting: int) -> Reason:
    are = "is" if waiting == 1 else "are"
    if not facts.calls:
        return Reason(Code.DIALING, f"Nothing is in the way: {contacts(waiting)} {are} next.")
    return Reason(Code.DIALING, f"Dialing: {_calls(facts.calls)} in the last minute, {contacts(waiting)} {are} next.")


# -- words -------------------------------------------------------------------------------------------------------------


def _calls(count: int) -> str:
    return "1 call" if count == 1 else f"{number(count)} calls"


def _said(fault: Fault) -> str:
    """The last error as the end of a sentence."""
    return fault.reason.strip().rstrip(".")


def _ago(facts: Facts, streak: Streak) -> datetime:
    """When failures began, to the second."""
    return (facts.now - timedelta(seconds=streak.seconds)).replace(microsecond=0)


def _since(fault: Fault) -> str:
    return "" if fault.since is None else f" since {time(fault.since)}"
