"""Pictures of the dialer as server-sent events: the whole of one, or what makes it differ from another."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import orjson

from dialer.live import Shot
from dialer.picture import Picture
from dialer.store.campaigns import CampaignCount

RETRY = 2000
"""Milliseconds after which a browser that was cut off tries again."""

_KEPT = 16
"""Encoded events of the latest shot that are kept: most viewers have the one before it, slow ones an older."""


class Telling:
    """Makes events, each once for all viewers who need the same."""

    def __init__(self) -> None:
        self._number = 0
        self._events: dict[int | None, bytes] = {}

    def event(self, told: Shot | None, latest: Shot) -> bytes:
        """What somebody needs who was told the one shot, or nothing yet, to know the latest."""
        if latest.number != self._number:
            self._number = latest.number
            self._events.clear()
        key = None if told is None else told.number
        if (event := self._events.get(key)) is None:
            if told is None:
                event = _encoded("whole", whole(latest.picture))
            else:
                event = _encoded("change", change(told.picture, latest.picture))
            if len(self._events) < _KEPT:
                self._events[key] = event
        return event


def whole(picture: Picture) -> dict[str, Any]:
    """All of a picture."""
    return {
        "facts": picture.facts,
        "campaigns": {campaign_id: rendered(count) for campaign_id, count in picture.campaigns.items()},
    }


def change(before: Picture, after: Picture) -> dict[str, Any]:
    """The subjects and campaigns that differ, and the campaigns that are `gone`."""
    return {
        "facts": {name: fact for name, fact in after.facts.items() if before.facts.get(name) != fact},
        "campaigns": {
            campaign_id: rendered(count)
            for campaign_id, count in after.campaigns.items()
            if before.campaigns.get(campaign_id) != count
        },
        "gone": [campaign_id for campaign_id in before.campaigns if campaign_id not in after.campaigns],
    }


def rendered(count: CampaignCount) -> dict[str, Any]:
    """A campaign's counts."""
    return {"total": count.total, "byStatus": count.by_status, "byCallResult": count.by_call_result}


def beat() -> bytes:
    """Nothing has changed, and the dialer is there."""
    return _encoded("beat", {})


def _encoded(event: str, value: Mapping[str, Any]) -> bytes:
    # JSON has no line breaks, which would end the data.
    body = {"time": datetime.now(UTC), **value}
    return b"event: %s\ndata: %s\n\n" % (event.encode(), orjson.dumps(body, option=orjson.OPT_UTC_Z))
