"""Why nothing in the queue may be taken: there is nothing, or all of it waits for something. As pure as `explain`."""

from __future__ import annotations

from datetime import datetime

from dialer.facts import Facts, Standing, Why
from dialer.phrases import contacts, number, time
from dialer.reasons import Code, Reason


def nothing_pending(facts: Facts, standing: Standing) -> Reason:
    """Nothing is pending: the queue is empty, or all of it is stopped."""
    stopped = standing.contacts.get("stopped", 0)
    of = "" if facts.campaign_id is None else f" of campaign {facts.campaign_id}"
    if stopped:
        campaigns = standing.campaigns.get("stopped", 0)
        if facts.campaign_id is not None:
            wait = "waits" if stopped == 1 else "wait"
            message = f"Campaign {facts.campaign_id} is stopped: {contacts(stopped)} {wait} for its start."
        else:
            of = "1 campaign" if campaigns == 1 else f"{number(campaigns)} campaigns"
            message = f"All that waits is stopped: {contacts(stopped)} of {of}."
        return Reason(Code.ALL_STOPPED, message)
    words = {"dialed": "being called", "agent_pending": "waiting for an agent", "ended": "ended", "failed": "failed"}
    others = [
        f"{number(standing.contacts[status])} {word}" for status, word in words.items() if standing.contacts.get(status)
    ]
    message = f"No contact{of} is waiting to be dialed"
    return Reason(Code.QUEUE_EMPTY, f"{message}: {', '.join(others)}." if others else f"{message}.")


def none_open(standing: Standing) -> list[Reason]:
    """Why none of the pending contacts may be taken: what keeps the most of them first."""
    queue = standing.queue
    found: list[tuple[int, Reason]] = []

    def add(why: Why, code: Code, one: str, many: str, *, since: bool = False) -> None:
        if count := queue.contacts(why):
            first = queue.first(why)
            message = (one if count == 1 else many).format(contacts=contacts(count), first=time(first))
            found.append((count, Reason(code, message, first if since else None)))

    add(
        Why.OPENING,
        Code.OUTSIDE_TIMES,
        "{contacts} is before its start time: it opens at {first}.",
        "{contacts} are before their start times: the next opens at {first}.",
    )
    add(
        Why.HELD,
        Code.HELD_BACK,
        "{contacts} came back to the queue and is held back until {first}.",
        "{contacts} came back to the queue and are held back, the first until {first}.",
    )
    add(
        Why.CHATTING,
        Code.END_CHAT_UNDER_WAY,
        "{contacts} waits for the VC to take the END_CHAT of its number, under way since {first}.",
        "{contacts} wait for the VC to take the END_CHATs of their numbers, the first under way since {first}.",
        since=True,
    )
    add(
        Why.EXPIRED,
        Code.EXPIRED,
        "{contacts} is past its end time: the next cycle ends it as Expired.",
        "{contacts} are past their end times: the next cycle ends them as Expired.",
    )
    if stopped := standing.contacts.get("stopped", 0):
        verb = "is" if stopped == 1 else "are"
        found.append((0, Reason(Code.SOME_STOPPED, f"{contacts(stopped)} {verb} stopped.")))
    return [reason for _, reason in sorted(found, key=lambda each: -each[0])]


def next_moment(standing: Standing) -> datetime | None:
    """When the first contact may be taken by itself."""
    moments = (standing.queue.first(Why.OPENING), standing.queue.first(Why.HELD))
    return min((moment for moment in moments if moment is not None), default=None)
