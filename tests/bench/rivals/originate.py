"""The bare program: genesis originates and awaits each hangup, so many in flight. No database, no voice connector.

Usage: originate.py PORT SECONDS IN_FLIGHT GATEWAY
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import time
from uuid import uuid4

from genesis import Inbound

EVENTS = "CHANNEL_ANSWER CHANNEL_BRIDGE CHANNEL_HANGUP_COMPLETE BACKGROUND_JOB"
"""What the dialer subscribes to; in the plain form, the only one that genesis reads."""


async def run(port: int, seconds: float, in_flight: int, gateway: str) -> dict[str, float]:
    """Keep so many calls in flight until the time is over, and await the last of them."""
    waiting: dict[str, asyncio.Future[None]] = {}
    ended = 0

    async def hung_up(event: dict[str, str]) -> None:
        nonlocal ended
        if (future := waiting.pop(event["Unique-ID"], None)) is not None:
            ended += 1
            future.set_result(None)

    async with Inbound("127.0.0.1", port, "ClueCon") as client:
        client.on("CHANNEL_HANGUP_COMPLETE", hung_up)
        await client.send(f"event plain {EVENTS}")
        began = time.monotonic()

        async def caller() -> None:
            while time.monotonic() < began + seconds:
                uuid = str(uuid4())
                future = waiting[uuid] = asyncio.get_running_loop().create_future()
                await client.send(f"bgapi {originate(uuid, gateway)}")
                await future

        await asyncio.gather(*(caller() for _ in range(in_flight)))
        return {"calls": ended, "seconds": time.monotonic() - began}


def originate(uuid: str, gateway: str) -> str:
    """The command that the dialer sends for an IVR contact."""
    variables = (
        "session_in_hangup_hook=true,domain_name=127.0.0.1,record_session=true,origination_caller_id_name=1218,"
        f"origination_caller_id_number=1218,call_direction=outbound,origination_uuid={uuid}"
    )
    return f"JSoriginate {{{variables}}}sofia/gateway/{gateway}/+447700900123 1218 XML 127.0.0.1"


def main() -> None:
    """Run and print JSON."""
    # It logs each event; what counts is what it does besides.
    logging.disable(logging.WARNING)
    port, seconds, in_flight, gateway = sys.argv[1:]
    print(json.dumps(asyncio.run(run(int(port), float(seconds), int(in_flight), gateway))))  # noqa: T201


if __name__ == "__main__":
    main()
