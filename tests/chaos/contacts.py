"""What is posted: contacts of IVR and AGENT campaigns, single ones and lists, the same for the same seed."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Any
from uuid import UUID

GATEWAYS = ("gw-east", "gw-west")
NO_GATEWAY = "gw-nowhere"
"""No switch has it: its contacts fail."""
QUEUES = ("Sales", "Support")
LONGEST_LIST = 20

Contact = dict[str, Any]


def batches(count: int, seed: int) -> Iterator[list[Contact]]:
    """So many contacts, in the pieces in which they are posted."""
    random = Random(f"contacts {seed}")
    made = 0
    while made < count:
        size = 1 if random.random() < 0.7 else min(random.randint(2, LONGEST_LIST), count - made)
        yield [_contact(random, seed, made + place) for place in range(size)]
        made += size


def _contact(random: Random, seed: int, number: int) -> Contact:
    contact: Contact = {
        "id": str(UUID(int=random.getrandbits(128), version=4)),
        # Some customers are in more than one list.
        "customerNumber": f"+4477009{random.randrange(10**6):06}",
        "gatewayId": NO_GATEWAY if random.random() < 0.01 else random.choice(GATEWAYS),
        "campaignContactId": f"{seed}-{number}",
        "priority": random.choice((None, 1, 5)),
    }
    campaign = random.randint(1, 3)
    if random.random() < 0.5:
        return contact | {"campaignType": "IVR", "campaignId": f"ivr-{campaign}", "ivr": random.choice((None, "1218"))}
    return contact | {
        "campaignType": "AGENT",
        "campaignId": f"agent-{campaign}",
        "dialingMode": "PROGRESSIVE",
        "routingMode": "QUEUE",
        "queueName": random.choice(QUEUES),
    }


RULES: list[dict[str, Any]] = [
    {"outcome": "answered", "weight": 46, "ring": (0.1, 0.8), "talk": (0.2, 2.5), "agent_ring": (0.1, 0.4)},
    {"outcome": "we_hang_up", "weight": 10, "ring": (0.1, 0.8), "talk": (0.2, 2), "agent_ring": 0.2},
    {"outcome": "answered", "weight": 2, "ring": 0.5, "talk": (10, 25), "agent_ring": 0.3},
    {"outcome": "no_answer", "weight": 12, "ring": (0.5, 2)},
    {"outcome": "busy", "weight": 9, "ring": (0, 0.5)},
    {"outcome": "busy", "weight": 2, "ring": 0.3, "early_media": True},
    {"outcome": "unallocated", "weight": 4},
    {"outcome": "rejected", "weight": 3, "ring": (0.1, 0.5)},
    {"outcome": "not_reached", "weight": 2, "ring": 0.3},
    {"outcome": "unavailable", "weight": 2},
    {"outcome": "agent_busy", "weight": 3, "ring": 0.3, "agent_ring": 0.3},
    {"outcome": "dropped_before_bridge", "weight": 3, "ring": 0.3, "talk": (0.1, 0.6), "bridge_delay": 2},
    {"outcome": "dropped_while_agent_rings", "weight": 2, "ring": 0.3, "agent_ring": (0.1, 0.5)},
]
"""What becomes of the calls: mostly short ones, so that there are many, and some that outlast the faults."""
