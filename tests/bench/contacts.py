"""The contacts that are posted: one IVR campaign through two gateways, numbers reserved for fiction."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count, islice
from random import Random
from typing import Any
from uuid import UUID

GATEWAYS = ("5d2c0a3e-9c1b-4d7f-8a64-20f1b7c35e08", "c7e1f94b-3a60-4f25-b1d8-6e90a2d4771c")
IVR = "1218"

_NUMBERS = (
    ("+447700900", 3),
    ("+442079460", 3),
    ("+6149157", 4),
    ("+1212555", 4),
    ("+1416555", 4),
    ("+3319900", 4),
)
"""What fictional numbers begin with, and how many digits follow."""


def ivr_contacts(wanted: int, seed: int) -> list[dict[str, Any]]:
    """The first `wanted` of `ivr_stream`."""
    return list(islice(ivr_stream(seed), wanted))


def ivr_stream(seed: int, campaigns: int = 1) -> Iterator[dict[str, Any]]:
    """Contacts without end, as a campaign manager posts them; the same seed gives the same ones, ids included.

    A third has no `ivr` of its own, some share a customer number.
    """
    random = Random(seed)
    for number in count():
        campaign = f"bench-{seed}" if campaigns == 1 else f"bench-{seed}-{number % campaigns}"
        yield {
            "id": str(UUID(int=random.getrandbits(128), version=4)),
            "customerNumber": _number(random),
            "campaignType": "IVR",
            "gatewayId": random.choice(GATEWAYS),
            "campaignId": campaign,
            "campaignContactId": f"{campaign}-{number:05}",
            "ivr": random.choice((IVR, IVR, None)),
        }


def _number(random: Random) -> str:
    start, digits = random.choice(_NUMBERS)
    return f"{start}{random.randrange(10**digits):0{digits}}"
