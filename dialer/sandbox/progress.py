"""How far the campaigns of a dialer are, reckoned from what it shows over HTTP: no socket, clock or terminal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from attrs import Factory, frozen

Counts = Mapping[str, Mapping[str, Mapping[str, int]]]
"""By campaign id: `byStatus` and `byCallResult`, each a count by name."""


@frozen
class Campaign:
    """One campaign's line. `ended`, `failed` and `results` leave out what was so before the watch began."""

    campaign_id: str
    waiting: int
    stopped: int
    active: int
    ended: int
    failed: int
    results: dict[str, int] = Factory(dict)

    @property
    def done(self) -> int:
        """Contacts that came to their end since the watch began."""
        return self.ended + self.failed

    @property
    def open(self) -> int:
        """Contacts that have not come to their end."""
        return self.waiting + self.stopped + self.active


@frozen
class Progress:
    """What there is to show. Slots are None while unknown; `trouble` says why what is shown may be old."""

    campaigns: tuple[Campaign, ...] = ()
    calls_per_second: float = 0.0
    speed_limit: float | None = None
    slots_used: int | None = None
    slots: int | None = None
    trouble: str | None = None

    @property
    def without_rate(self) -> tuple[object, ...]:
        """What makes a difference to a reader of a log; a rate changes all the time."""
        return (self.campaigns, self.slots_used, self.trouble)


def read_counts(shown: Any) -> Counts:
    """The counts of an answer to `GET /campaigns`. Raises ValueError when it is not one."""
    try:
        return {
            campaign["campaignId"]: {
                kind: {str(name): int(count) for name, count in campaign[kind].items()}
                for kind in ("byStatus", "byCallResult")
            }
            for campaign in shown["campaigns"]
        }
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(f"this is no list of campaigns: {type(error).__name__} {error}") from None


def reckon(campaign_ids: Iterable[str], before: Counts, now: Counts) -> tuple[Campaign, ...]:
    """The lines of those campaigns; `before` is what was there when the watch began."""
    return tuple(
        _campaign(campaign_id, before.get(campaign_id, {}), now.get(campaign_id, {})) for campaign_id in campaign_ids
    )


def _campaign(
    campaign_id: str, before: Mapping[str, Mapping[str, int]], now: Mapping[str, Mapping[str, int]]
) -> Campaign:
    status = now.get("byStatus", {})
    since = _difference(before.get("byStatus", {}), status)
    return Campaign(
        campaign_id,
        waiting=status.get("pending", 0),
        stopped=status.get("stopped", 0),
        active=status.get("agent_pending", 0) + status.get("dialed", 0),
        ended=since.get("ended", 0),
        failed=since.get("failed", 0),
        results=_difference(before.get("byCallResult", {}), now.get("byCallResult", {})),
    )


def _difference(before: Mapping[str, int], now: Mapping[str, int]) -> dict[str, int]:
    # Never below 0: rows of earlier runs may be removed meanwhile.
    differences = {name: count - before.get(name, 0) for name, count in now.items()}
    return {name: difference for name, difference in differences.items() if difference > 0}


def calls_so_far(counts: Counts) -> int:
    """The calls that the counts tell of: those under way and those that ended."""
    return sum(of["byStatus"].get("dialed", 0) + of["byStatus"].get("ended", 0) for of in counts.values())
