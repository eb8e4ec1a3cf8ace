"""Sample campaigns of our own making, to show a dialer at work; their numbers are reserved for fiction.

`samples/campaigns.jsonl` holds a contact per line as a campaign manager posts it, without `id`, and with `startIn` and
`endIn`, seconds from the time of loading, for `startTime` and `endTime`.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from typing import Any

import orjson


def sample_contacts(now: datetime, new_id: Callable[[], str]) -> list[dict[str, Any]]:
    """The samples as one list to post to `/contacts`, in the order of the file, each with an id of its own.

    `now` is an aware datetime, the time that the relative times start from.
    """
    lines = files("dialer.sandbox").joinpath("samples/campaigns.jsonl").read_text(encoding="utf-8").splitlines()
    return [_resolved(orjson.loads(line), now, new_id()) for line in lines]


def _resolved(sample: dict[str, Any], now: datetime, contact_id: str) -> dict[str, Any]:
    contact = {"id": contact_id, **sample}
    for relative, absolute in (("startIn", "startTime"), ("endIn", "endTime")):
        if relative in contact:
            seconds = timedelta(seconds=contact.pop(relative))
            contact[absolute] = (now + seconds).astimezone(UTC).isoformat()
    return contact
