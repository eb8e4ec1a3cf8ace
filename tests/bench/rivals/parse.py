"""What genesis and greenswitch take for one event: processor seconds from the bytes, in the plain form, to headers.

Only their parsers, fed with the whole event: no socket, no framing, no queue. Usage: parse.py FILE PASSES EVENTS

Each pass is so many events; the fastest counts, since whatever else the machine does can only make one slower.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from genesis.protocol.parser import parse_headers
from greenswitch.esl import ESLEvent

PARSERS: dict[str, Callable[[bytes], Any]] = {
    "genesis": lambda data: parse_headers(data.decode("utf-8")),
    "greenswitch": lambda data: ESLEvent(data.decode("utf-8")).headers,
}


def main() -> None:
    """Measure each and print JSON."""
    data, passes, events = Path(sys.argv[1]).read_bytes(), int(sys.argv[2]), int(sys.argv[3])
    result = {}
    for name, parse in PARSERS.items():
        headers = parse(data)
        result[name] = {
            "seconds": min(_pass(parse, data, events) for _ in range(passes)),
            "headers": len(headers),
            "name": headers["Event-Name"],
            "cause": _last(headers["Hangup-Cause"]),
        }
    print(json.dumps(result))  # noqa: T201  its only output


def _pass(parse: Callable[[bytes], Any], data: bytes, events: int) -> float:
    """Seconds for one event."""
    began = time.process_time()
    for _ in range(events):
        parse(data)
    return (time.process_time() - began) / events


def _last(value: str | list[str]) -> str:
    """Of a header that the event repeats, genesis keeps all values."""
    return value if isinstance(value, str) else value[-1]


if __name__ == "__main__":
    main()
