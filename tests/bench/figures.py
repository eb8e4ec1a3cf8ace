"""The figures of a run, computed from what each side saw."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from attrs import frozen

from tests.bench.evidence import Notification, Originate, Row
from tests.bench.poster import Posted


@frozen
class Seen:
    """What each side saw of a run."""

    posted: Sequence[Posted]
    rows: Sequence[Row]
    originates: Sequence[Originate]
    notifications: Sequence[Notification]


def completeness(ids: Sequence[str], seen: Seen) -> dict[str, list[str]]:
    """For each column the ids that do not belong into it; all lists empty is what is wanted."""
    answered = {each.contact_id for each in seen.posted if each.status == 200}
    rows = Counter(row.contact_id for row in seen.rows)
    attempts = Counter(each.contact_id for each in seen.originates)
    talked = {each.contact_id for each in seen.originates if each.answered}
    stored = {row.contact_id: _on_the_wire(row.call_result) for row in seen.rows if row.status == "ended"}
    told: dict[str, set[str]] = {}
    for notification in seen.notifications:
        told.setdefault(notification.contact_id, set()).add(notification.call_result)
    return {
        "posted": [each for each in ids if each not in answered],
        "stored": [each for each in ids if rows[each] != 1],
        "connected": [each for each in ids if attempts[each] != 1 or each not in talked],
        "notified": [each for each in ids if told.get(each) != {stored.get(each)}],
        "unexpected": sorted((rows.keys() | attempts.keys() | told.keys()) - set(ids)),
    }


def _on_the_wire(result: str | None) -> str | None:
    return None if result is None else result.upper().replace(" ", "_")


def dialing(originates: Sequence[Originate], rate: float) -> dict[str, Any]:
    """How the calls kept to `rate` per second, by the simulator's clock. Times are milliseconds."""
    times = sorted(each.at for each in originates)
    gaps = [later - earlier for earlier, later in pairwise(times)]
    deviations = [abs(gap - 1 / rate) for gap in gaps]
    busiest = busiest_second(times)
    mean = len(gaps) / (times[-1] - times[0]) if gaps and times[-1] > times[0] else 0.0
    return {
        "busiestSecond": busiest,
        "busiestSecondOfRate": round(busiest / rate, 3),
        "callsPerSecond": round(mean, 2),
        "callsPerSecondOfRate": round(mean / rate, 3),
        "gapDeviationMs": {name: round(value * 1000, 2) for name, value in spread(deviations).items()},
        "gapDeviationOfGap": {name: round(value * rate, 3) for name, value in spread(deviations).items()},
        "mostCallsAtOnce": most_at_once(originates),
    }


def latencies(seen: Seen) -> dict[str, dict[str, float]]:
    """How long each step took, in milliseconds."""
    told_at: dict[str, float] = {}
    for notification in seen.notifications:
        told_at.setdefault(notification.contact_id, notification.at)
    steps = {
        "request": [each.took for each in seen.posted],
        "requestLate": [each.late for each in seen.posted],
        "receivedToDialed": [row.waited for row in seen.rows if row.waited is not None],
        "endedToNotified": [
            told_at[each.contact_id] - each.ended_at
            for each in seen.originates
            if each.ended_at is not None and each.contact_id in told_at
        ],
    }
    return {
        step: {name: round(value * 1000, 2) for name, value in spread(took).items()} for step, took in steps.items()
    }


def per_contact(cpu: Mapping[str, float], contacts: int) -> dict[str, float]:
    """Milliseconds of processor time for each contact, by process."""
    return {name: round(seconds * 1000 / contacts, 3) for name, seconds in cpu.items()}


def busiest_second(times: Sequence[float]) -> int:
    """The most of these ascending times, in seconds, that lie in any second, its end not included."""
    return max((place + 1 - bisect_right(times, time - 1.0) for place, time in enumerate(times)), default=0)


def most_at_once(originates: Sequence[Originate]) -> int:
    """The most calls that were up or ringing at one moment."""
    changes = [(each.at, 1) for each in originates]
    changes += [(each.ended_at, -1) for each in originates if each.ended_at is not None]
    most = now = 0
    for _, change in sorted(changes):
        now += change
        most = max(most, now)
    return most


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median, 95th and 99th percentile (by nearest rank) and maximum; zeros when there is nothing."""
    ordered = sorted(values)

    def rank(percent: float) -> float:
        return ordered[max(0, -int(-len(ordered) * percent // 100) - 1)] if ordered else 0.0

    return {"median": rank(50), "p95": rank(95), "p99": rank(99), "max": rank(100)}
